package mysql

import (
	"context"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// Description is a table of the server, for people.
type Description struct {
	*cdc.Table
	Captured bool
	Rows     uint64 // what the server estimates
	Columns  []ColumnDescription
}

// ColumnDescription is what a [cdc.Column] does not say.
type ColumnDescription struct {
	Charset   string // "" when it is not text
	Collation string
	Problem   string // why it cannot be captured; "" when it can
}

// Describe returns all tables of the databases that captured tables are in, ordered by name, those that are not captured
// too. Errors are [*cdc.Error].
func Describe(ctx context.Context, cfg Config) ([]Description, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	selected, err := newSelection(cfg.Tables, cfg.ExcludeTables)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	databases, err := s.query("SHOW DATABASES")
	if err != nil {
		return nil, sourceError(&cfg, err)
	}
	var out []Description
	for _, row := range databases {
		if !selected.mayHold(row[0]) {
			continue
		}
		tables, err := s.describe(row[0], selected)
		if err != nil {
			return nil, sourceError(&cfg, err)
		}
		out = append(out, tables...)
	}
	return out, nil
}

func (s *server) describe(database string, selected *selection) ([]Description, error) {
	where := "TABLE_SCHEMA = '" + quote(database) + "'"
	base, err := s.query("SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND " + where)
	if err != nil {
		return nil, err
	}
	estimate := map[string]uint64{}
	for _, row := range base {
		estimate[row[0]], _ = strconv.ParseUint(row[1], 10, 64) // NULL: not known
	}
	collations, err := s.query("SELECT TABLE_NAME, COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS WHERE COLLATION_NAME IS NOT NULL AND " + where)
	if err != nil {
		return nil, err
	}
	collation := map[[2]string]string{}
	for _, row := range collations {
		collation[[2]string{row[0], row[1]}] = row[2]
	}
	columns, order, err := s.schemaColumns(where)
	if err != nil {
		return nil, err
	}
	var out []Description
	for _, key := range order {
		schema, name, _ := strings.Cut(key, "\x00")
		rows, isTable := estimate[name]
		if !isTable {
			continue // a view
		}
		d := Description{Table: &cdc.Table{Schema: schema, Name: name}, Captured: selected.match(schema, name), Rows: rows}
		for _, c := range columns[key] {
			one := ColumnDescription{Charset: c.Charset, Collation: collation[[2]string{name, c.Name}]}
			if err := rowimage.Supports(&c); err != nil {
				one.Problem = err.Error()
			}
			d.Table.Columns, d.Columns = append(d.Table.Columns, c.Column), append(d.Columns, one)
		}
		out = append(out, d)
	}
	return out, nil
}
