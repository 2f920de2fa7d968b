package mysql

import (
	"cmp"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// Rows that are read from a table and changes that are read from the log meet here. The idea is that of DBLog (Andreakis
// and Papapanagiotou, "DBLog: A Watermark Based Change-Data-Capture Framework", 2020) in the form that does not write to
// the source: the watermarks are places in the log, which the server is asked for. A chunk of a table is read like this:
//
//  1. Capture, between two transactions, opens a window. Let B be all transactions that it has taken until then. From now
//     on the window notes the keys that the log changes.
//  2. The reader waits until all of B is visible to a new reader, and opens a read view V.
//  3. It reads the chunk's rows in V and then, the table still in use, asks for the end of the server's log, high.
//  4. When capture, again between two transactions, has taken everything up to high, it emits the rows whose keys the
//     window has not noted, and closes the window. Let P be all transactions that it has taken by then.
//
// Then each emitted row is exactly the row as P leaves it, and so in its right place between the changes around it:
// servers write a transaction to the log before they make it visible, so V holds no transaction from beyond high, and
// B ⊆ V ⊆ P. No transaction in P without B has changed the emitted row, or else its key would have been noted. So those
// that have changed it are in B, V and P alike, and it is the same in all three. A row that is not emitted has been changed
// by a transaction that is in the stream, behind everything before it, with all of its columns.
//
// Step 2 is not idle: a replica, and so capture, is sent a transaction before it is visible, for as long as the server waits
// for other replicas or for its disk. Without the wait, a row could be emitted as it was before a change that is in
// the stream already.
//
// The places in the log and GTIDs that tell of visibility do not tell of MariaDB's XA transactions: see snapshot_xa.go for
// what makes B ⊆ V of them.
//
// DDL changes rows without naming them, so it spoils all windows. V does not fix which table a name means: after a rename, as
// tools for schema changes do it, the rows are those that another table had in V. That is why high is asked for last: from
// the read on the table keeps its name until the transaction ends, so a rename that the read has seen is in the log
// before high, and the window is spoilt before anything is emitted.

// mark is a place in the log of one server.
type mark struct {
	file string
	pos  uint64
}

// before compares places. The names of a server's files end with a number that may get longer.
func (m mark) before(o mark) bool {
	if m.file != o.file {
		a, b := number(m.file), number(o.file)
		if len(a) != len(b) {
			return len(a) < len(b)
		}
		return cmp.Or(strings.Compare(a, b), strings.Compare(m.file, o.file)) < 0
	}
	return m.pos < o.pos
}

func number(file string) string {
	return strings.TrimLeft(file[strings.LastIndexByte(file, '.')+1:], "0")
}

// window notes what the log changes in one table.
type window struct {
	schema, name string
	key          []string // names of the key's columns; none: only whether the table was changed
	limit        int      // of the bytes that notes take

	noted   map[string]bool // by merge key: whether the stream's image lacks columns
	bytes   int
	changed bool // anything in the table
	spoilt  bool // nothing is known about what was changed: the chunk must be read again

	last    *cdc.Table // whose key columns are in columns
	columns []int
	scratch []byte
}

// note takes a streamed change. With images that hold only some columns, a key column that is not in the image after the
// change has the value that it had before.
func (w *window) note(e cdc.Event) {
	t := e.Table()
	if w.spoilt || t.Name != w.name || t.Schema != w.schema || e.Op() == cdc.OpSnapshot {
		return
	}
	w.changed = true
	if len(w.key) == 0 {
		return
	}
	if t != w.last {
		w.last, w.columns = t, w.columns[:0]
		for _, name := range w.key {
			w.columns = append(w.columns, t.Column(name))
		}
	}
	before, after := e.Before(), e.After()
	if before.Exists() && !w.add(before, before, false) {
		w.spoilt = true
		return
	}
	if after.Exists() && !w.add(after, before, lacksColumns(after) && !e.Incomplete()) {
		w.spoilt = true
	}
}

func lacksColumns(r cdc.Row) bool {
	for i := range r.Len() {
		if r.Kind(i) == cdc.KindAbsent {
			return true
		}
	}
	return false
}

func (w *window) add(r, otherwise cdc.Row, lacking bool) bool {
	w.scratch = w.scratch[:0]
	for _, at := range w.columns {
		if at < 0 {
			return false // the table has been another one
		}
		v := r.Value(at)
		if v.IsAbsent() && otherwise.Exists() {
			v = otherwise.Value(at)
		}
		if v.IsAbsent() {
			return false
		}
		w.scratch = appendMergeKey(w.scratch, v)
	}
	if _, ok := w.noted[string(w.scratch)]; !ok {
		if w.bytes += len(w.scratch) + 64; w.bytes > w.limit {
			w.noted = nil
			return false
		}
	}
	if w.noted == nil {
		w.noted = map[string]bool{}
	}
	w.noted[string(w.scratch)] = lacking
	return true
}

// fate is what becomes of a row that was read.
type fate uint8

const (
	emitted    fate = iota
	superseded      // the stream has it, newer or the same
	again           // the stream has only a part of it: it must be read anew
)

// judge says what becomes of a row, of which key are the columns that make its key.
func (w *window) judge(key []int, row cdc.Row) fate {
	if len(w.noted) == 0 {
		return emitted
	}
	w.scratch = w.scratch[:0]
	for _, at := range key {
		w.scratch = appendMergeKey(w.scratch, row.Value(at))
	}
	return w.fateOf(w.scratch)
}

func (w *window) fateOf(mergeKey []byte) fate {
	lacking, noted := w.noted[string(mergeKey)]
	switch {
	case !noted:
		return emitted
	case lacking:
		return again
	}
	return superseded
}
