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
	Delivered *cdc.Table // as frames have it: with columns dropped and masked
	Captured  bool
	Rows      uint64 // what the server estimates
	Columns   []ColumnDescription
}

// ColumnDescription is what a [cdc.Column] does not say.
type ColumnDescription struct {
	Charset   string // "" when it is not text
	Collation string
	Comment   string // of whoever made the table
	Problem   string // why it cannot be captured; "" when it can
	Treatment string // "dropped" or "masked" at the source; "" for neither
}

// Describe returns all tables of the databases that captured tables are in, ordered by name, those that are not captured
// too. Errors are [*cdc.Error].
func Describe(ctx context.Context, cfg Config) ([]Description, error) {
	source, err := New(cfg)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, &source.cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	databases, err := s.query("SHOW DATABASES")
	if err != nil {
		return nil, sourceError(&source.cfg, err)
	}
	var out []Description
	for _, row := range databases {
		if !source.selected.mayHold(row[0]) {
			continue
		}
		tables, err := s.describe(row[0], source.selected)
		if err != nil {
			return nil, sourceError(&source.cfg, err)
		}
		for i := range tables {
			if err := tables[i].treat(source.treated); err != nil {
				return nil, err
			}
		}
		out = append(out, tables...)
	}
	return out, nil
}

func (d *Description) treat(treated *treatments) (err error) {
	if d.Delivered, err = treated.table(d.Table); err != nil {
		return err
	}
	of := treated.of(d.Schema, d.Name)
	for i := range d.Columns {
		switch t := of(d.Table.Columns[i].Name); {
		case t.Drop:
			d.Columns[i].Treatment = "dropped"
		case t.Mask != nil:
			d.Columns[i].Treatment = "masked"
		}
	}
	return nil
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
	said, err := s.query("SELECT TABLE_NAME, COLUMN_NAME, COLLATION_NAME, COLUMN_COMMENT FROM information_schema.COLUMNS " +
		"WHERE (COLLATION_NAME IS NOT NULL OR COLUMN_COMMENT <> '') AND " + where)
	if err != nil {
		return nil, err
	}
	more := map[[2]string]ColumnDescription{}
	for _, row := range said {
		more[[2]string{row[0], row[1]}] = ColumnDescription{Collation: row[2], Comment: row[3]}
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
		d := Description{Table: canonical(schema, name, columns[key], s.flavor), Captured: selected.match(schema, name), Rows: rows}
		for _, c := range columns[key] {
			if c.Hidden {
				continue
			}
			one := more[[2]string{name, c.Name}]
			one.Charset = c.Charset
			if err := rowimage.Supports(&c); err != nil {
				one.Problem = err.Error()
			}
			d.Columns = append(d.Columns, one)
		}
		out = append(out, d)
	}
	return out, nil
}
