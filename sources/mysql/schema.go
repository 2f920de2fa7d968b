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
	if s.flavor == FlavorMySQL { // so that generated invisible keys are told; servers before 8.0.30 have none
		_, _ = s.query("SET SESSION show_gipk_in_create_table_and_information_schema = ON")
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
	rows, err := s.query(`SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME, GENERATION_EXPRESSION
		FROM information_schema.COLUMNS WHERE ` + where + ` ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`)
	if err != nil {
		return nil, nil, err
	}
	out, order, explicit := map[string][]rowimage.Column{}, []string(nil), map[string]bool{}
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
		explicit[table] = explicit[table] || row[7] == "ROW START"
	}
	if s.flavor == FlavorMariaDB {
		err = s.addHidden(where, out, explicit)
	}
	return out, order, err
}

// addHidden adds the columns that MariaDB has in row images and not in information_schema: the period of a row in
// system-versioned tables that do not name theirs (explicit), and the hashes of UNIQUE keys of long columns.
func (s *server) addHidden(where string, columns map[string][]rowimage.Column, explicit map[string]bool) error {
	tables, err := s.query("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE " + where)
	if err != nil {
		return err
	}
	inMemory := map[string]bool{} // where HASH is what it says
	for _, row := range tables {
		table := row[0] + "\x00" + row[1]
		inMemory[table] = row[3] == "MEMORY"
		now := columns[table]
		if len(now) == 0 || row[2] != "SYSTEM VERSIONED" || explicit[table] {
			continue
		}
		var key uint16
		for _, c := range now {
			key = max(key, c.Key)
		}
		for _, name := range []string{"row_start", "row_end"} {
			c := rowimage.Column{Known: true}
			c.Column, _ = cdc.ParseType("timestamp(6)")
			c.Name, c.Nullable = name, false
			if name == "row_end" && key > 0 {
				c.Key = key + 1
			}
			now = append(now, c)
		}
		columns[table] = now
	}
	hashes, err := s.query(`SELECT TABLE_SCHEMA, TABLE_NAME, COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS
		WHERE INDEX_TYPE = 'HASH' AND NON_UNIQUE = 0 AND ` + where + ` GROUP BY TABLE_SCHEMA, TABLE_NAME`)
	if err != nil {
		return err
	}
	for _, row := range hashes {
		table := row[0] + "\x00" + row[1]
		n, _ := strconv.Atoi(row[2])
		for i := range n {
			if len(columns[table]) > 0 && !inMemory[table] {
				columns[table] = append(columns[table], rowimage.HashColumn(i+1))
			}
		}
	}
	return nil
}

func whereTable(schema, table string) string {
	return fmt.Sprintf("TABLE_SCHEMA = '%s' AND TABLE_NAME = '%s'", quote(schema), quote(table))
}

// lookupColumns returns what asks information_schema on a fresh connection, and then how far the server's log has come:
// a change of the table that lies further on is not in the answer.
func lookupColumns(cfg *Config) func(ctx context.Context, schema, table string) ([]rowimage.Column, Place, error) {
	return func(ctx context.Context, schema, table string) (now []rowimage.Column, at Place, err error) {
		s, err := connect(ctx, cfg)
		if err != nil {
			return nil, at, err
		}
		defer s.close()
		found, _, err := s.schemaColumns(whereTable(schema, table))
		if err != nil {
			return nil, at, sourceError(cfg, err)
		}
		file, pos, _, err := s.end(cfg)
		if err != nil {
			return nil, at, sourceError(cfg, err)
		}
		at.File = file
		at.Pos, _ = strconv.ParseUint(pos, 10, 64)
		return found[schema+"\x00"+table], at, nil
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

// canonical returns a table as frames have it, but for columns that cannot be captured: they are as information_schema
// has them, so that the rest can be told.
func canonical(schema, name string, now []rowimage.Column, flavor string) *cdc.Table {
	t := &cdc.Table{Schema: schema, Name: name}
	for _, c := range now {
		if c.Hidden {
			continue
		}
		if l, err := rowimage.New(schema, name, []rowimage.Column{c}, flavor); err == nil {
			c.Column = l.Table().Columns[0]
		} else if !c.Known {
			c.Kind = cdc.KindBytes
		}
		t.Columns = append(t.Columns, c.Column)
	}
	return t
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
		out = append(out, canonical(schema, name, columns[key], s.flavor))
	}
	return out, nil
}
