package mysql

import (
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// borrowed knows the tables whose names come from information_schema, because the log does not have them
// (binlog_row_metadata is not FULL), and how far the log had come when that was asked. A reader that lags may be given
// names that the columns only got later. Most changes show: the number or the types of the columns do not fit. That two
// columns of one type changed places, or their names, does not; it comes out when the reader gets to the statement.
type borrowed map[string]*loan

type loan struct {
	first  cdc.Tx // the first transaction whose rows were read so
	server string // that was asked
	at     Place  // the end of its log then
}

func (b borrowed) note(schema, table string, at Place) {
	key := schema + "\x00" + table
	if b[key] == nil {
		b[key] = &loan{}
	}
	b[key].at = at
}

// lent completes what was noted, with the transaction that is being read.
func (c *capture) lent(t *cdc.Table) {
	l := c.tables.asked[t.Schema+"\x00"+t.Name]
	if l == nil {
		return
	}
	if l.server = c.identity; l.first.File == "" {
		l.first = c.tx.tx
	}
}

// outlived is called for a statement that changes tables: it stops where rows before it were read with names from
// behind it. What is in the stream stays there; the next start goes on here.
func (c *capture) outlived(st statement, schema string, start uint64) error {
	words := st.words(4)
	replaces := st.verb == "CREATE" && words[1] == "OR" && words[3] == "TABLE"
	if st.verb != "RENAME" && !replaces && !((st.verb == "ALTER" || st.verb == "DROP") && slices.Contains(words, "TABLE")) {
		return nil
	}
	for _, ref := range st.tables(schema) {
		for _, key := range []string{ref, strings.ToLower(ref)} {
			l := c.tables.asked[key]
			if l == nil {
				continue
			}
			delete(c.tables.asked, key)
			behind := fileNumber(c.file) < fileNumber(l.at.File) || c.file == l.at.File && c.pos <= l.at.Pos
			if l.server != c.identity || !behind {
				continue
			}
			if c.open {
				if err := c.flush(); err != nil {
					return err
				}
			}
			table := strings.Replace(key, "\x00", ".", 1)
			return cdc.Errorf("CDCD-1321", "%s at %s:%d changed %s after rows of it were written that have been read with the names of columns from behind the change: "+
				"those from the transaction %s at %s:%d on may have values under wrong names", st.verb, c.file, start, table, l.first.GTID, l.first.File, l.first.Pos).
				WithFix("SET GLOBAL binlog_row_metadata = 'FULL'; compare these rows with the table (cdcd snapshot %s), and start again to go on behind them", table)
		}
	}
	return nil
}
