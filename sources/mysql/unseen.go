package mysql

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/replication"
)

// This file looks for what changes rows and is not in the log as rows: statements that servers write as text, and
// statements that remove rows without naming them.

// asStatement is called for a change that is in the log as a statement. thread is the connection that made it.
func (c *capture) asStatement(st statement, schema string, thread uint32, start uint64) error {
	table, hit := c.touches(st, schema)
	switch {
	case hit:
	case st.verb == "SELECT" || st.verb == "DO" || st.verb == "CALL":
		table = "unknown tables (by a stored function)"
	default:
		c.notices.Statements++
		if c.once("statement", "") {
			c.cfg.Logger.Warn("a table that is not captured was changed by a statement, not by rows: if a trigger of it changes captured tables, that is not captured",
				"event", "capture.statement", "code", "CDCD-1304", "thread", thread, "gtid", c.tx.tx.GTID, "file", c.file, "pos", start)
		}
		return nil
	}
	return cdc.Errorf("CDCD-1304", "a change of %s at %s:%d is in the binlog as a statement (%s), not as rows: connection %d has binlog_format = STATEMENT or MIXED",
		table, c.file, start, st.verb, thread).
		WithFix("SET GLOBAL binlog_format = 'ROW', and see to it that no session sets another; `cdcd errors CDCD-1304` says how to go on")
}

// loadData is called for a LOAD DATA that is in the log as a statement.
func (c *capture) loadData(raw []byte, checksum bool, start uint64) error {
	// thread 4, time 4, length of the schema 1, error 2, length of the status variables 2, then 13 of its own
	const fixed = 26
	body := raw[replication.EventHeaderSize:]
	if checksum && len(body) >= replication.BinlogChecksumLength {
		body = body[:len(body)-replication.BinlogChecksumLength]
	}
	if len(body) < fixed {
		return cdc.Errorf("CDCD-1307", "the LOAD DATA at %s:%d is cut short", c.file, start)
	}
	schemaLen, statusLen := int(body[8]), int(binary.LittleEndian.Uint16(body[11:]))
	if len(body) < fixed+statusLen+schemaLen+1 {
		return cdc.Errorf("CDCD-1307", "the LOAD DATA at %s:%d is cut short", c.file, start)
	}
	rest := body[fixed+statusLen:]
	st := sessionOf(body[fixed : fixed+statusLen]).read(rest[schemaLen+1:])
	return c.asStatement(st, string(rest[:schemaLen]), binary.LittleEndian.Uint32(body), start)
}

// gone is called for statements that remove rows of captured tables without delete events.
func (c *capture) gone(st statement, schema string, start uint64) error {
	table, hit := c.removes(st, schema)
	if !hit {
		return nil
	}
	if c.cfg.OnTruncate == PolicyHalt {
		return cdc.Errorf("CDCD-1318", "%s at %s:%d removed rows of %s; the binlog does not say which", st.verb, c.file, start, table).
			WithFix("begin a new epoch (cdcd resync), or set source.mysql.on_truncate: warn and start again to go on without delete events")
	}
	c.notices.RowsGone++
	c.cfg.Logger.Warn("rows of a captured table are gone without delete events", "event", "capture.rows_gone", "code", "CDCD-1318",
		"statement", st.verb, "table", table, "gtid", c.tx.tx.GTID, "file", c.file, "pos", start)
	return nil
}

// removes reports which captured table loses rows by a DDL statement.
func (c *capture) removes(st statement, schema string) (string, bool) {
	words := st.words(5)
	switch st.verb {
	case "TRUNCATE":
		return c.touches(st, schema)
	case "DROP":
		switch {
		case words[1] == "TABLE" || words[1] == "TABLES":
			return c.touches(st, schema)
		case words[1] == "DATABASE" || words[1] == "SCHEMA":
			name := st.after("DATABASE", "SCHEMA", "IF", "EXISTS")
			return name + ".*", c.selected.mayHold(name) || c.selected.mayHold(strings.ToLower(name))
		}
	case "CREATE":
		if words[1] == "OR" && words[2] == "REPLACE" && words[3] == "TABLE" {
			return c.touches(st, schema)
		}
	case "ALTER":
		at := slices.Index(words, "TABLE")
		ignore := at > 0 && slices.Contains(words[:at], "IGNORE") // what a new unique key has twice is deleted
		if ignore || at > 0 && st.movesPartitions() {
			return c.touches(st, schema)
		}
	}
	return "", false
}

// sequence reports that a table is a MariaDB sequence, whose state the log has as rows of a table of these columns.
func sequence(t *cdc.Table) bool {
	names := [...]string{"next_not_cached_value", "minimum_value", "maximum_value", "start_value", "increment", "cache_size", "cycle_option", "cycle_count"}
	if len(t.Columns) != len(names) {
		return false
	}
	for i, name := range names {
		if t.Columns[i].Name != name {
			return false
		}
	}
	return true
}

// touches reports which captured table a statement may change. Where a server takes names in any case, it has made them
// lower case in what it says of rows.
func (c *capture) touches(st statement, schema string) (string, bool) {
	refs := st.tables(schema)
	for _, as := range [...]func(string) string{func(s string) string { return s }, strings.ToLower} {
		for _, ref := range refs {
			if schema, table, _ := strings.Cut(as(ref), "\x00"); c.selected.match(schema, table) {
				return schema + "." + table, true
			}
		}
	}
	return "", false
}
