package wasm

import (
	"cmp"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// projection is a table as the plugin sees it.
type projection struct {
	err    error // it cannot judge it
	table  *cdc.Table
	before []int // columns of the table for each one that the plugin reads, -1: there is none; all of them if it does not read the image
	after  []int
	reads  struct{ before, after bool }
	edits  []int // columns of the table for each that the plugin may edit

	// in the part that is being made
	part   uint64 // its number
	number int
	blank  uint32 // an image without values, for updates one of whose images the plugin does not read
}

// add puts the table into a frame.
func (p *projection) add(w *cdc.Builder, part uint64) {
	p.part, p.number = part, w.AddTable(p.table)
	if !p.reads.before || !p.reads.after {
		w.BeginRow(len(p.table.Columns))
		p.blank = w.EndRow()
	}
}

const maxTables = 4096 // that are remembered

// projection returns what the plugin sees of a table.
func (f *Filter) projection(t *cdc.Table) *projection {
	if p, ok := f.tables[t]; ok {
		return p
	}
	if len(f.tables) >= maxTables {
		clear(f.tables)
	}
	p := f.plugin.project(t)
	f.tables[t] = p
	return p
}

func (p *Plugin) project(t *cdc.Table) *projection {
	if err := p.Check(t); err != nil {
		return &projection{err: err}
	}
	m := p.manifest
	out := &projection{table: &cdc.Table{Schema: t.Schema, Name: t.Name, Columns: make([]cdc.Column, len(m.Columns))}}
	columns, none := make([]int, len(m.Columns)), make([]int, len(m.Columns))
	for i, c := range m.Columns {
		columns[i], none[i] = t.Column(c.Name), -1
		if columns[i] >= 0 {
			out.table.Columns[i] = t.Columns[columns[i]]
		} else {
			out.table.Columns[i] = cdc.Column{Name: c.Name, Kind: cdc.KindString, Nullable: true}
		}
	}
	out.before, out.after = none, none
	if m.Images != "after" {
		out.before, out.reads.before = columns, true
	}
	if m.Images != "before" {
		out.after, out.reads.after = columns, true
	}
	for _, name := range m.Edits {
		out.edits = append(out.edits, t.Column(name))
	}
	return out
}

// part is what is given to the plugin at once.
type part struct {
	filter  *Filter
	number  uint64
	builder cdc.Builder
	frame   []byte
	events  []cdc.Event
	tables  []*projection
	index   []int // of each event among those that were to be judged
	skipped bool  // there were events of tables that the plugin cannot judge
}

// forget lets go of the events, which keep a frame in memory.
func (p *part) forget() {
	clear(p.events)
	clear(p.tables)
	p.events, p.tables, p.skipped = p.events[:0], p.tables[:0], false
}

// fill takes up to size events, as many as fit, and returns how many. Those of tables that the plugin cannot judge get their verdict.
func (p *part) fill(events []cdc.Event, verdicts []cdc.Verdict, size int) (done int) {
	p.events, p.tables, p.index = p.events[:0], p.tables[:0], p.index[:0]
	w := &p.builder
	if len(p.frame) <= 4*maxBytes { // a larger one is rare
		w.Recycle(p.frame)
	}
	p.frame = nil
	w.Reset(cdc.Header{Source: events[0].Batch().Header().Source})
	var table *cdc.Table // of the event before
	var seen *projection
	var commit time.Time
	tx, txIndex := -1, -1
	p.number++
	for _, e := range events {
		if len(p.events) == size {
			break
		}
		if t := e.Table(); t != table {
			table, seen = t, p.filter.projection(t)
			if seen.err == nil && seen.part != p.number {
				seen.add(w, p.number)
			}
		}
		if seen.err != nil {
			verdicts[done] = cdc.Verdict{Err: seen.err}
			p.skipped = true
			done++
			continue
		}
		if n := e.TxIndex(); n != txIndex {
			txIndex = n
			if at := e.CommitTime(); tx < 0 || !at.Equal(commit) {
				commit, tx = at, w.AddTx(cdc.Tx{CommitTime: at})
			}
		}
		op := e.Op()
		before, after, copied := uint32(0), uint32(0), uint32(0)
		if op == cdc.OpUpdate || op == cdc.OpDelete {
			if before = seen.blank; seen.reads.before || op == cdc.OpDelete { // an event has an image of its own: frames may name none too often
				before = w.CopyColumns(e.Before(), seen.before)
				copied = before
			}
		}
		if op != cdc.OpDelete {
			if after = seen.blank; seen.reads.after || op != cdc.OpUpdate {
				after = w.CopyColumns(e.After(), seen.after)
				copied = cmp.Or(copied, after)
			}
		}
		if w.Size() > maxBytes && len(p.events) > 0 {
			if copied != 0 {
				w.DropRows(copied)
			}
			break
		}
		w.AddEvent(cdc.EventInfo{No: e.No(), Tx: tx, Table: seen.number, Op: op, Before: before, After: after, Incomplete: e.Incomplete()})
		p.events, p.tables, p.index = append(p.events, e), append(p.tables, seen), append(p.index, done)
		done++
	}
	if len(p.events) > 0 {
		p.frame = w.Seal(cdc.Checkpoint{})
	}
	return done
}

// commitTime returns the commit time of an event in nanoseconds.
func (p *part) commitTime(event uint32) int64 {
	if int(event) >= len(p.events) {
		return beginning
	}
	at := p.events[event].CommitTime()
	if at.IsZero() {
		return beginning
	}
	return at.UnixNano()
}

// seed returns what random numbers of an event begin with.
func (p *part) seed(event uint32) uint64 {
	if int(event) >= len(p.events) {
		return 0
	}
	return mix(p.events[event].No()) ^ uint64(p.commitTime(event))
}

// appendJSON appends what cdc1.json gives of an event.
func (p *part) appendJSON(dst []byte, event int) []byte {
	e, t := p.events[event], p.tables[event]
	dst = append(dst, `{"no":`...)
	dst = cdc.AppendJSON(dst, &cdc.Column{Kind: cdc.KindUint64}, cdc.Uint64Value(e.No()))
	dst = append(dst, `,"op":"`...)
	dst = append(dst, e.Op().String()...)
	dst = append(dst, `","table":`...)
	dst = cdc.AppendString(dst, t.table.String())
	dst = append(dst, `,"commit_time":`...)
	dst = cdc.AppendJSON(dst, &cdc.Column{Kind: cdc.KindTimestamp, Fsp: 6}, cdc.TimestampValue(e.CommitTime().UnixMicro()))
	dst = append(dst, `,"before":`...)
	dst = appendImage(dst, t.table, e.Before(), t.before)
	dst = append(dst, `,"after":`...)
	dst = appendImage(dst, t.table, e.After(), t.after)
	return append(dst, '}')
}

func appendImage(dst []byte, t *cdc.Table, r cdc.Row, columns []int) []byte {
	if !r.Exists() {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	n := 0
	for i, from := range columns {
		v := r.Value(from)
		if v.IsAbsent() {
			continue
		}
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		dst = cdc.AppendString(dst, t.Columns[i].Name)
		dst = append(dst, ':')
		dst = cdc.AppendJSON(dst, &t.Columns[i], v)
	}
	return append(dst, '}')
}

// offer gives the plugin a frame to judge.
func (i *instance) offer(frame []byte) error {
	i.fresh = false
	out, _ := i.memory.Read(i.out, outBytes)
	clear(out)
	if err := i.room(len(frame)); err != nil {
		return err
	}
	in, _ := i.memory.Read(i.in, uint32(len(frame)))
	refill(in, frame)
	if out, _ = i.memory.Read(i.out, outBytes); out[0]|out[1]|out[2]|out[3] != 0 { // cdc_arena may have written it
		clear(out)
	}
	i.stack[0] = uint64(len(frame))
	if err := i.batch.CallWithStack(i, i.stack[:]); err != nil {
		return err
	}
	if n := int32(i.stack[0]); n != 0 {
		return &stop{kind: TrapFailed, what: "cdc_batch returned that it failed"}
	}
	return nil
}

// cursor returns the number of the event that is being judged.
func (i *instance) cursor() uint32 {
	c, _ := i.memory.ReadUint32Le(i.out)
	return c
}
