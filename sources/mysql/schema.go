package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// schemaColumns asks information_schema for the columns of a table, or of all tables whose schema and name match.
func (s *server) schemaColumns(where string) (map[string][]rowimage.Column, []string, error) {
	// MariaDB's newer collations have a number per character set, which only this table tells.
	collations, err := s.query("SELECT FULL_COLLATION_NAME, ID FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
	if err != nil {
		if collations, err = s.query("SELECT COLLATION_NAME, ID FROM information_schema.COLLATIONS"); err != nil {
			return nil, nil, err
		}
	}
	ids := map[string]uint16{}
	for _, row := range collations {
		if n, err := strconv.ParseUint(row[1], 10, 16); err == nil {
			ids[row[0]] = uint16(n)
		}
	}
	keys, err := s.query(`SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, SEQ_IN_INDEX FROM information_schema.STATISTICS
		WHERE INDEX_NAME = 'PRIMARY' AND ` + where)
	if err != nil {
		return nil, nil, err
	}
	place := map[[3]string]uint16{}
	for _, row := range keys {
		n, _ := strconv.ParseUint(row[3], 10, 16)
		place[[3]string{row[0], row[1], row[2]}] = uint16(n)
	}
	rows, err := s.query(`SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME
		FROM information_schema.COLUMNS WHERE ` + where + ` ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`)
	if err != nil {
		return nil, nil, err
	}
	out, order := map[string][]rowimage.Column{}, []string(nil)
	for _, row := range rows {
		table := row[0] + "\x00" + row[1]
		if _, ok := out[table]; !ok {
			order = append(order, table)
		}
		c := rowimage.Column{Charset: row[5]}
		c.Column, c.Known = cdc.ParseType(row[3])
		if strings.HasPrefix(strings.ToLower(row[3]), "year") {
			c.Unsigned = false
		}
		c.Name, c.Nullable, c.Collation = row[2], row[4] == "YES", ids[row[6]]
		c.Key = place[[3]string{row[0], row[1], row[2]}]
		out[table] = append(out[table], c)
	}
	return out, order, nil
}

func whereTable(schema, table string) string {
	return fmt.Sprintf("TABLE_SCHEMA = '%s' AND TABLE_NAME = '%s'", quote(schema), quote(table))
}

// lookupColumns returns what asks information_schema on a fresh connection.
func lookupColumns(cfg *Config) func(ctx context.Context, schema, table string) ([]rowimage.Column, error) {
	return func(ctx context.Context, schema, table string) ([]rowimage.Column, error) {
		s, err := connect(ctx, cfg)
		if err != nil {
			return nil, err
		}
		defer s.close()
		found, _, err := s.schemaColumns(whereTable(schema, table))
		if err != nil {
			return nil, sourceError(cfg, err)
		}
		return found[schema+"\x00"+table], nil
	}
}

// Schema returns the captured tables as information_schema describes them now, with columns dropped and masked as in
// frames, ordered by name. Views are not among them. Errors are [*cdc.Error].
func Schema(ctx context.Context, cfg Config) ([]*cdc.Table, error) {
	source, err := New(cfg)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, &source.cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	out, err := s.schema(source.selected)
	if err != nil {
		return nil, sourceError(&source.cfg, err)
	}
	for i := range out {
		if out[i], err = source.treated.table(out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// schema asks one database after the other, and only those that can hold selected tables. A condition on all databases
// at once has the server open every table and view there is; MariaDB 10.11 was seen to crash over that under load.
func (s *server) schema(selected *selection) ([]*cdc.Table, error) {
	databases, err := s.query("SHOW DATABASES")
	if err != nil {
		return nil, err
	}
	var out []*cdc.Table
	for _, row := range databases {
		if !selected.mayHold(row[0]) {
			continue
		}
		tables, err := s.schemaOf(row[0], selected)
		if err != nil {
			return nil, err
		}
		out = append(out, tables...)
	}
	return out, nil
}

func (s *server) schemaOf(database string, selected *selection) ([]*cdc.Table, error) {
	where := "TABLE_SCHEMA = '" + quote(database) + "'"
	base, err := s.query("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND " + where)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, row := range base {
		if selected.match(database, row[0]) {
			wanted[row[0]] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	columns, order, err := s.schemaColumns(where)
	if err != nil {
		return nil, err
	}
	var out []*cdc.Table
	for _, key := range order {
		schema, name, _ := strings.Cut(key, "\x00")
		if !wanted[name] {
			continue
		}
		t := &cdc.Table{Schema: schema, Name: name}
		for _, c := range columns[key] {
			if !c.Known {
				c.Kind = cdc.KindBytes
			}
			t.Columns = append(t.Columns, c.Column)
		}
		out = append(out, t)
	}
	return out, nil
}
