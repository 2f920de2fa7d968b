package mysql_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

var update = flag.Bool("update", false, "write docs/types.md anew")

const typesPage = "../../docs/types.md"

// TestTypeMatrix takes every value of typeGroups through every way into a frame: on both servers, as insert, update and
// delete with every row image, with every row metadata, and by a SELECT. docs/types.md is what it saw.
func TestTypeMatrix(t *testing.T) {
	t.Parallel()
	if !t.Run("servers", func(t *testing.T) { testenv.Each(t, typeMatrix) }) {
		return
	}
	page := []byte(typesMarkdown())
	if *update {
		if err := os.WriteFile(typesPage, page, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now, err := os.ReadFile(typesPage); err != nil || string(now) != string(page) {
		t.Errorf("docs/types.md is not what was seen (%v): go test ./sources/mysql -run TypeMatrix -update", err)
	}
}

// typeTable is a table of some of the cases, with as many rows as one of them has values.
type typeTable struct {
	cases []typeCase
	rows  int
}

func typeTables(flavor string) (tables []typeTable) {
	const perTable = 16 // a row cannot be longer than 64 KiB
	for _, g := range typeGroups {
		for _, c := range g.cases {
			if c.flavor != "" && c.flavor != flavor {
				continue
			}
			if len(tables) == 0 || len(tables[len(tables)-1].cases) == perTable {
				tables = append(tables, typeTable{})
			}
			last := &tables[len(tables)-1]
			last.cases, last.rows = append(last.cases, c), max(last.rows, len(c.values)/2)
		}
	}
	return tables
}

// value returns the value of a row, as SQL and as JSON. Rows go round.
func (c *typeCase) value(row int) (sql, json string) {
	at := row * 2 % len(c.values)
	return c.values[at], c.values[at+1]
}

func typeMatrix(t *testing.T, s *testenv.Server) {
	metadata := []string{"FULL", "MINIMAL"}
	if s.Flavor == "mariadb" {
		metadata = append(metadata, "NO_LOG")
	}
	images := []string{"FULL", "MINIMAL", "NOBLOB"}
	tables := typeTables(s.Flavor)
	s.Exec(t, "CREATE DATABASE shop CHARACTER SET utf8mb4")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	conn := s.Conn(t)
	execute := func(statement string) {
		if _, err := conn.Execute(statement); err != nil {
			t.Fatalf("%.600s: %v", statement, err)
		}
	}
	for _, statement := range append([]string{"SET SESSION innodb_strict_mode = OFF"}, session...) {
		execute(statement)
	}
	events := 0
	selected := map[string][]*cdc.Batch{}
	for _, m := range metadata {
		execute("SET GLOBAL binlog_row_metadata = '" + m + "'")
		for _, image := range images {
			execute("SET SESSION binlog_row_image = '" + image + "'")
			for i, table := range tables {
				name := fmt.Sprintf("%s_%s_%d", m, image, i)
				execute("CREATE TABLE shop." + name + " (id INT PRIMARY KEY" + table.columns() + ")")
				execute("INSERT INTO shop." + name + " VALUES " + table.inserts())
				if image == "FULL" {
					rows, err := mysql.SelectRows(t.Context(), config(s), "shop", name, "ORDER BY id")
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					selected[name] = rows
				}
				execute("BEGIN")
				for row := range table.rows {
					execute(fmt.Sprintf("UPDATE shop.%s SET %s WHERE id = %d", name, table.sets(row+1), row))
				}
				execute("COMMIT")
				execute("DELETE FROM shop." + name)
				events += 3 * table.rows
			}
		}
	}
	r.wait(t, events)
	schema := map[string]*cdc.Table{} // as rules, `cdcd schema` and snapshots see it
	all, err := mysql.Schema(t.Context(), config(s))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range all {
		schema[table.Name] = table
	}
	inserted := map[string]int{}
	for _, b := range r.frames {
		for i := range b.Len() {
			e := b.Event(i)
			name := e.Table().Name
			if now := schema[name]; now != nil && strings.HasPrefix(name, "FULL_FULL_") {
				sameColumns(t, shownMembers(now, e.Table()), e.Table())
				delete(schema, name)
			}
			parts := strings.Split(name, "_")
			image := parts[len(parts)-2]
			number, _ := strconv.Atoi(parts[len(parts)-1])
			table := &tables[number]
			switch e.Op() {
			case cdc.OpInsert:
				row := inserted[name]
				table.check(t, e.After(), row, "insert")
				if image == "FULL" && row < len(selected[name]) {
					sameImage(t, e.After(), selected[name][row].Event(0).After())
				}
				inserted[name]++
			case cdc.OpUpdate:
				row := int(e.Before().Value(0).Int64())
				table.check(t, e.Before(), row, "before "+image)
				table.check(t, e.After(), row+1, "after "+image)
			case cdc.OpDelete:
				table.check(t, e.Before(), int(e.Before().Value(0).Int64())+1, "before "+image)
			}
		}
	}
	for name, rows := range selected {
		if len(rows) != inserted[name] || len(rows) == 0 {
			t.Errorf("%s: %d rows selected, %d streamed", name, len(rows), inserted[name])
		}
	}
}

// shownMembers returns the table with the log's members where information_schema has question marks in place of what it
// cannot show.
func shownMembers(now, log *cdc.Table) *cdc.Table {
	out := *now
	out.Columns = slices.Clone(now.Columns)
	for i := range min(len(out.Columns), len(log.Columns)) {
		if strings.Contains(out.Columns[i].Type, "?") && len(out.Columns[i].Members) == len(log.Columns[i].Members) {
			out.Columns[i].Type, out.Columns[i].Members = log.Columns[i].Type, log.Columns[i].Members
		}
	}
	return &out
}

func (table *typeTable) columns() string {
	var b strings.Builder
	for i, c := range table.cases {
		fmt.Fprintf(&b, ", c%d %s", i, c.sql)
	}
	return b.String()
}

func (table *typeTable) inserts() string {
	rows := make([]string, table.rows)
	for row := range rows {
		rows[row] = fmt.Sprintf("(%d", row)
		for i := range table.cases {
			sql, _ := table.cases[i].value(row)
			rows[row] += ", " + sql
		}
		rows[row] += ")"
	}
	return strings.Join(rows, ", ")
}

func (table *typeTable) sets(row int) string {
	list := make([]string, len(table.cases))
	for i := range table.cases {
		sql, _ := table.cases[i].value(row)
		list[i] = fmt.Sprintf("c%d = %s", i, sql)
	}
	return strings.Join(list, ", ")
}

// check compares an image with what its row shall be. Images before a change leave out, with MINIMAL, everything but the
// key, and with NOBLOB the families of TEXT and BLOB.
func (table *typeTable) check(t *testing.T, r cdc.Row, row int, image string) {
	t.Helper()
	for i := range table.cases {
		c, column, v := &table.cases[i], &r.Table().Columns[i+1], r.Value(i+1)
		large := strings.HasSuffix(column.Type, "text") || strings.HasSuffix(column.Type, "blob")
		if absent := image == "before MINIMAL" || image == "before NOBLOB" && large; v.IsAbsent() != absent {
			t.Errorf("%s, %s: row %d, %s: absent is %v", r.Table(), image, row, c.sql, v.IsAbsent())
			continue
		} else if absent {
			continue
		}
		if _, want := c.value(row); string(cdc.AppendJSON(nil, column, v)) != want {
			t.Errorf("%s, %s: row %d, %.100s:\n got %.300s\nwant %.300s", r.Table(), image, row, c.sql, cdc.AppendJSON(nil, column, v), want)
		}
		typ := c.typ
		if typ == "" {
			typ = strings.ToLower(c.sql)
		}
		if column.Kind != c.kind || column.Type != typ {
			t.Errorf("%s: %.100s is %s %.100s, want %s %.100s", r.Table(), c.sql, column.Kind, column.Type, c.kind, typ)
		}
	}
}

func typesMarkdown() string {
	var b strings.Builder
	b.WriteString(typesHead)
	for _, g := range typeGroups {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| SQL type | kind | written → delivered |\n|---|---|---|\n", g.title, g.text)
		silent := 0
		for _, c := range g.cases {
			if c.silent {
				silent++
				continue
			}
			name := code(c.sql)
			if c.flavor != "" {
				name += "<br>" + map[string]string{"mysql": "MySQL", "mariadb": "MariaDB"}[c.flavor] + " only"
			}
			var values []string
			for i := 0; i < len(c.values); i += 2 {
				values = append(values, code(c.values[i])+" → "+code(c.values[i+1]))
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, c.kind, strings.Join(values, "<br>"))
		}
		if silent > 0 {
			fmt.Fprintf(&b, "\n%d more columns of these types are checked in the same way.\n", silent)
		}
	}
	b.WriteString(typesTail)
	return b.String()
}

// code is a text as code within a table; long ones are cut.
func code(text string) string {
	runes := []rune(text)
	if len(runes) > 96 {
		text = fmt.Sprintf("%s … %s", string(runes[:32]), string(runes[len(runes)-24:]))
	}
	text = strings.ReplaceAll(text, "|", "\\|")
	if len(runes) > 96 {
		return fmt.Sprintf("`%s` (%d characters)", text, len(runes))
	}
	return "`" + text + "`"
}

const typesHead = `# Types

What becomes of every column type of MySQL and MariaDB: its kind in frames and rules, and what a partner receives. This page is written by
the test that checks it, ` + "`go test ./sources/mysql -run TypeMatrix -update`" + `. Every value below was

- written to MariaDB 10.11 and to MySQL 9.7 (where a line names one server, to that one);
- captured from the binlog as insert, as update and as delete, with ` + "`binlog_row_image`" + ` FULL, MINIMAL and NOBLOB: MINIMAL leaves out of
  the image before a change what is not in the key, NOBLOB the families of TEXT and BLOB (JSON, geometries and vectors stay); all others are as shown here;
- captured with ` + "`binlog_row_metadata`" + ` FULL and MINIMAL (on MariaDB also NO_LOG), where names, signs, character sets and members come from
  information_schema: the table in the frame is the same to the byte;
- read by SELECT as snapshots do: the row in the frame is the same to the byte.

Another test makes up tables and rows of all these types and compares the last two again, at every run.

SQL NULL is ` + "`null`" + ` in every type. Rules see the kinds: numbers as numbers, ` + "`decimal`" + ` exact, ` + "`date`, `datetime`, `timestamp`, `time`" + ` as such, ` + "`enum`" + ` as a string,
` + "`set`" + ` as a list of strings, whatever the server calls the type. [Delivered objects](objects.md) has the rest of a record.
`

const typesTail = `
## What is refused

Capture stops with [CDCD-1308](../cmd/cdcd/codes/CDCD-1308.md), before anything of the table is delivered, and so does a snapshot, at

- TIME, DATETIME and TIMESTAMP in the format of before MySQL 5.6 (MariaDB with ` + "`mysql56_temporal_format = OFF`" + `, and tables that were never rewritten since);
- text in the character sets armscii8, dec8, geostd8, hp8, keybcs2, macce and swe7;
- with ` + "`binlog_row_metadata`" + ` other than FULL: ENUM and SET of utf8mb4, utf16, utf32 or gb18030 with a question mark in a member, since information_schema
  shows one in the place of characters such as emoji. With FULL they are right; in a snapshot the values are right, the list of members has the question mark.

## Where the servers differ

- JSON is a type on MySQL, and LONGTEXT on MariaDB.
- UUID, INET4 and INET6 are MariaDB's, VECTOR is MySQL's.
- MySQL stores the negative zero of FLOAT and DOUBLE, MariaDB makes zero of it.
- MySQL has gb18030, MariaDB has not.
- MySQL counts VECTOR among the columns with a character set, MariaDB the geometries; cdcd knows.
`

// TestColumnsThatAreRefused: what docs/types.md says under "What is refused".
func TestColumnsThatAreRefused(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		columns := []string{"VARCHAR(9) CHARACTER SET armscii8", "VARCHAR(9) CHARACTER SET dec8", "TEXT CHARACTER SET geostd8", "CHAR(9) CHARACTER SET hp8", "CHAR(9) CHARACTER SET keybcs2",
			"CHAR(9) CHARACTER SET macce", "CHAR(9) CHARACTER SET swe7"}
		setting := "DO 1"
		if s.Flavor == "mariadb" {
			columns = append(columns, "TIME", "DATETIME", "TIMESTAMP NULL")
			setting = "SET GLOBAL mysql56_temporal_format = OFF"
		}
		s.Exec(t, "CREATE DATABASE shop", setting)
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		r.stop(t)
		for i, column := range columns {
			name := fmt.Sprintf("t%d", i)
			s.Exec(t, "CREATE TABLE shop."+name+" (v "+column+")", "INSERT INTO shop."+name+" VALUES (NULL)")
			_, err := mysql.SelectRows(t.Context(), config(s), "shop", name, "")
			var coded *cdc.Error
			if !errors.As(err, &coded) || coded.Code != "CDCD-1308" {
				t.Errorf("SELECT of %s: %v", column, err)
			}
			launch(t, config(s, "shop."+name), from, nil).ends(t, "CDCD-1308")
		}
	})
}
