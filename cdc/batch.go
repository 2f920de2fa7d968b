package cdc

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// Batch is a frame that has been opened: a view, whose reading allocates nothing. It is immutable and may be read by
// many goroutines at once.
type Batch struct {
	frame  []byte
	header Header
	tables []*Table
	txs    int // offset of the transactions
	nTxs   int
	events int
	n      int

	// Seq is the stream sequence that the frame was consumed with; 0 outside of a stream.
	Seq uint64

	// Rules is the revision of the rules that the events are judged by, wherever and how often that happens; zero when
	// nobody has said.
	Rules Revision
}

// Tables keeps the tables that were read from frames, so that equal tables become the same pointer and opening a
// frame of known tables allocates nothing for them. Its zero value is ready. It may be used by many goroutines at
// once; it grows with every distinct table definition, up to a bound after which it starts anew.
type Tables struct {
	mu    sync.Mutex
	known map[string]*Table // by the bytes of the entry
	bytes int               // of all keys
}

const maxKnownBytes = 64 << 20

func (c *Tables) get(entry []byte) (*Table, error) {
	if c == nil {
		return readTable(bytes.Clone(entry))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.known[view(entry)]; ok {
		return t, nil
	}
	entry = bytes.Clone(entry)
	t, err := readTable(entry)
	if err != nil {
		return nil, err
	}
	if c.known == nil || c.bytes+len(entry) > maxKnownBytes {
		c.known, c.bytes = map[string]*Table{}, 0
	}
	c.known[view(entry)] = t
	c.bytes += len(entry)
	return t, nil
}

// Open opens a frame without copying or parsing its rows: it checks the checksum and every bound that reading relies
// on, in time and memory linear in the frame's size, whoever made it. tables may be nil. The batch keeps the frame,
// which must not be changed afterwards. Errors are [*FrameError].
func Open(frame []byte, tables *Tables) (*Batch, error) {
	if len(frame) < headerSize {
		return nil, frameErrorf("%d bytes are less than a header", len(frame))
	}
	if len(frame) > MaxFrame {
		return nil, frameErrorf("%d bytes are more than the limit of %d", len(frame), MaxFrame)
	}
	if le.Uint32(frame[hMagic:]) != frameMagic {
		return nil, frameErrorf("magic is %#x", le.Uint32(frame[hMagic:]))
	}
	if v := le.Uint16(frame[hVersion:]); v != frameVersion {
		return nil, frameErrorf("version is %d, this program reads %d", v, frameVersion)
	}
	if n := le.Uint32(frame[hSize:]); int64(n) != int64(len(frame)) {
		return nil, frameErrorf("size says %d, there are %d bytes", n, len(frame))
	}
	if got, want := frameCRC(frame), le.Uint32(frame[hCRC:]); got != want {
		return nil, frameErrorf("checksum is %08x, should be %08x", got, want)
	}
	b := &Batch{frame: frame}
	b.header = Header{
		Epoch:       le.Uint64(frame[hEpoch:]),
		FirstPartNo: le.Uint64(frame[hFirstPartNo:]),
		Created:     timeOf(le.Uint64(frame[hCreated:])),
		Partition:   le.Uint16(frame[hPartition:]),
		Partitions:  le.Uint16(frame[hPartitions:]),
		Heartbeat:   le.Uint16(frame[hFlags:])&flagHeartbeat != 0,
	}
	var ok1, ok2 bool
	b.header.Source, ok1 = name(frame, hSource)
	b.header.Writer, ok2 = name(frame, hWriter)
	if !ok1 || !ok2 {
		return nil, frameErrorf("a name in the header points outside or is too long")
	}
	section := func(at, size int, what string) (int, int, error) {
		n, off := int64(le.Uint32(frame[at:])), int64(le.Uint32(frame[at+4:]))
		if off < headerSize || off%8 != 0 || off+n*int64(size) > int64(len(frame)) {
			return 0, 0, frameErrorf("%d %s at %d do not fit into %d bytes", n, what, off, len(frame))
		}
		return int(n), int(off), nil
	}
	var err error
	if b.nTxs, b.txs, err = section(hTxs, txSize, "transactions"); err != nil {
		return nil, err
	}
	if b.n, b.events, err = section(hEvents, eventSize, "events"); err != nil {
		return nil, err
	}
	nTables, offTables, err := section(hTables, 4, "tables")
	if err != nil {
		return nil, err
	}
	if nTables > maxTables {
		return nil, frameErrorf("%d tables", nTables)
	}
	// Parts that are named more often than they exist would make a small frame expensive to read, so their sizes are
	// added up as often as they are named: here, in readTable, in checkEvent and in verifyRow.
	b.tables = make([]*Table, nTables)
	sum := 0
	for i := range b.tables {
		entry, ok := sized(frame, le.Uint32(frame[offTables+4*i:]), tableFixed)
		if sum += len(entry); !ok || sum > len(frame) {
			return nil, frameErrorf("table %d lies outside or overlaps another", i)
		}
		if b.tables[i], err = tables.get(entry); err != nil {
			return nil, err
		}
	}
	for i := range b.nTxs {
		at := b.txs + i*txSize
		for _, field := range [...]int{0, 8, 16} {
			if _, ok := name(frame, at+field); !ok {
				return nil, frameErrorf("transaction %d has a name that points outside or is too long", i)
			}
		}
	}
	if b.header.Heartbeat && b.n > 0 {
		return nil, frameErrorf("a heartbeat has %d events", b.n)
	}
	sum = 0
	for i := range b.n {
		size, err := b.checkEvent(i)
		if err != nil {
			return nil, err
		}
		if sum += size; sum > 2*len(frame) {
			return nil, frameErrorf("event %d: row images overlap", i)
		}
	}
	if err := b.checkCheckpoint(); err != nil {
		return nil, err
	}
	return b, nil
}

// checkEvent returns the size of the event's row images.
func (b *Batch) checkEvent(i int) (size int, err error) {
	e := b.frame[b.events+i*eventSize:]
	table := int(le.Uint16(e[16:]))
	if int64(le.Uint32(e[8:])) >= int64(b.nTxs) || table >= len(b.tables) {
		return 0, frameErrorf("event %d names a transaction or table that is not there", i)
	}
	op, before, after := Op(e[18]), le.Uint32(e[20:]), le.Uint32(e[24:])
	if op < OpInsert || op > OpSnapshot {
		return 0, frameErrorf("event %d has operation %d", i, e[18])
	}
	if (before != 0) != (op == OpUpdate || op == OpDelete) || (after != 0) != (op != OpDelete) {
		return 0, frameErrorf("event %d (%s) has a row image too many or too few", i, op)
	}
	columns := len(b.tables[table].Columns)
	for _, off := range [...]uint32{before, after} {
		if off == 0 {
			continue
		}
		img, ok := sized(b.frame, off, imageFixed)
		if !ok {
			return 0, frameErrorf("event %d has a row image outside of the frame", i)
		}
		n := int(le.Uint16(img[4:]))
		if n != columns || imageTexts(n) > len(img) {
			return 0, frameErrorf("event %d has a row image of %d columns in %d bytes, its table has %d", i, n, len(img), columns)
		}
		size += len(img)
	}
	return size, nil
}

// imageTexts is where the texts begin in an image of n columns.
func imageTexts(n int) int { return imageFixed + align8(n) + 8*n }

// sized returns the part that begins at off with its own size in 4 bytes, at least minimum bytes long.
func sized(frame []byte, off uint32, minimum int) ([]byte, bool) {
	if off < headerSize || off%8 != 0 || int64(off)+int64(minimum) > int64(len(frame)) {
		return nil, false
	}
	n := int64(le.Uint32(frame[off:]))
	if n < int64(minimum) || int64(off)+n > int64(len(frame)) {
		return nil, false
	}
	return frame[off : int64(off)+n : int64(off)+n], true
}

// ref reads the text that the offset and length at at point to.
func ref(b []byte, at int) (string, bool) {
	off, n := int64(le.Uint32(b[at:])), int64(le.Uint32(b[at+4:]))
	if off+n > int64(len(b)) {
		return "", false
	}
	return view(b[off : off+n]), true
}

// name is ref for a text that stands in every record, and so has a limit.
func name(b []byte, at int) (string, bool) {
	s, ok := ref(b, at)
	return s, ok && len(s) <= maxName
}

// readTable makes a table of its entry, which it keeps.
func readTable(entry []byte) (*Table, error) {
	n := int(le.Uint16(entry[4:]))
	if n > maxColumns || tableFixed+n*columnSize > len(entry) {
		return nil, frameErrorf("a table of %d columns in %d bytes", n, len(entry))
	}
	t := &Table{Columns: make([]Column, n)}
	used, ok := tableFixed+n*columnSize, true
	text := func(at, limit int) string {
		s, in := ref(entry, at)
		if !in || len(s) > limit || used+len(s) > len(entry) {
			ok = false
			return ""
		}
		used += len(s)
		return s
	}
	t.Schema, t.Name = text(8, maxName), text(16, maxName)
	for i := range t.Columns {
		at := tableFixed + i*columnSize
		c := &t.Columns[i]
		c.Name, c.Type = text(at, maxName), text(at+8, len(entry))
		if c.Kind = Kind(entry[at+16]); c.Kind >= kindCount {
			return nil, frameErrorf("column %q has kind %d", c.Name, c.Kind)
		}
		flags := entry[at+17]
		c.Nullable, c.Unsigned, c.Float32 = flags&colNullable != 0, flags&colUnsigned != 0, flags&colFloat32 != 0
		c.Fsp, c.Precision, c.Scale = entry[at+18], entry[at+19], entry[at+20]
		c.Key = le.Uint16(entry[at+22:])
		c.Collation = le.Uint16(entry[at+24:])
		count, off := int(le.Uint16(entry[at+26:])), int64(le.Uint32(entry[at+28:]))
		if count > 0 {
			used += 8 * count
			if off%4 != 0 || off+8*int64(count) > int64(len(entry)) || used > len(entry) {
				return nil, frameErrorf("column %q has %d members that point outside", c.Name, count)
			}
			c.Members = make([]string, count)
		}
		for j := range c.Members {
			c.Members[j] = text(int(off)+8*j, len(entry))
		}
		if !ok {
			break
		}
	}
	if !ok {
		return nil, frameErrorf("a table's texts point outside, overlap or are too long")
	}
	t.key, t.json = t.keyColumns(), t.makeNames()
	return t, nil
}

// Frame returns the frame's bytes, which must not be changed.
func (b *Batch) Frame() []byte { return b.frame }

// Header returns what the frame says about all of its events.
func (b *Batch) Header() Header { return b.header }

// Len returns the number of events.
func (b *Batch) Len() int { return b.n }

// Event returns the i-th event.
func (b *Batch) Event(i int) Event {
	return Event{batch: b, at: uint32(b.events + i*eventSize), n: uint32(i)}
}

// Checkpoint returns how far the source's log is in the stream as of this frame. It allocates.
func (b *Batch) Checkpoint() Checkpoint {
	at := int(le.Uint32(b.frame[hCheckpoint:]))
	c := Checkpoint{
		NextNo: le.Uint64(b.frame[hNextNo:]),
		Pos:    le.Uint64(b.frame[at+40:]),
		Commit: timeOf(le.Uint64(b.frame[at+48:])),
		TxRows: le.Uint32(b.frame[at+56:]),
	}
	for i, s := range [...]*string{&c.Flavor, &c.Server, &c.GTIDSet, &c.File, &c.TxGTID} {
		*s, _ = ref(b.frame, at+8*i) // Open has checked it
	}
	if n := int(le.Uint32(b.frame[at+60:])); n > 0 {
		c.PartNos = make([]uint64, n)
	}
	for i := range c.PartNos {
		c.PartNos[i] = le.Uint64(b.frame[at+checkpointFixed+8*i:])
	}
	states, at := int(le.Uint32(b.frame[hState:])), int(le.Uint32(b.frame[hState+4:]))
	for i, s := range [...]*string{&c.Snapshot, &c.Prepared} {
		if i < states { // what follows was written by a newer program
			*s, _ = ref(b.frame, at+8*i)
		}
	}
	return c
}

func (b *Batch) checkCheckpoint() error {
	at := int64(le.Uint32(b.frame[hCheckpoint:]))
	if at < headerSize || at%8 != 0 || at+checkpointFixed > int64(len(b.frame)) {
		return frameErrorf("the checkpoint lies outside")
	}
	for i := range 5 {
		if _, ok := ref(b.frame, int(at)+8*i); !ok {
			return frameErrorf("the checkpoint points outside")
		}
	}
	states, list := int64(le.Uint32(b.frame[hState:])), int64(le.Uint32(b.frame[hState+4:]))
	if list+8*states > int64(len(b.frame)) || states > maxStates {
		return frameErrorf("the source's state lies outside")
	}
	for i := range states {
		if _, ok := ref(b.frame, int(list+8*i)); !ok {
			return frameErrorf("the source's state lies outside")
		}
	}
	n := int64(le.Uint32(b.frame[at+60:]))
	if n > maxPartitions || at+checkpointFixed+8*n > int64(len(b.frame)) {
		return frameErrorf("the checkpoint's %d partitions do not fit", n)
	}
	return nil
}

// Event is one row change: a view into its batch, copied freely.
type Event struct {
	batch *Batch
	at    uint32 // offset of its entry
	n     uint32 // number in the batch
}

// Batch returns the batch that the event is part of.
func (e Event) Batch() *Batch { return e.batch }

// Index returns the event's number in its batch.
func (e Event) Index() int { return int(e.n) }

func (e Event) entry() []byte { return e.batch.frame[e.at : e.at+eventSize] }

// No returns the event's number among all captured rows of the source, dense within an epoch.
func (e Event) No() uint64 { return le.Uint64(e.entry()) }

// PartNo returns the event's number within its partition, dense within an epoch.
func (e Event) PartNo() uint64 { return e.batch.header.FirstPartNo + uint64(e.n) }

// Op returns what happened.
func (e Event) Op() Op { return Op(e.entry()[18]) }

// Incomplete reports that the change was too large for a frame, so that the source left out values: they are absent
// from the images. What the key is and where the change stands in the log is there.
func (e Event) Incomplete() bool { return e.entry()[19]&eventIncomplete != 0 }

// Table returns the table as it was when the change was written.
func (e Event) Table() *Table { return e.batch.tables[le.Uint16(e.entry()[16:])] }

// Before returns the row as it was; on insert and snapshot there is none ([Row.Exists] is false).
func (e Event) Before() Row { return e.row(20) }

// After returns the row as it became; on delete there is none.
func (e Event) After() Row { return e.row(24) }

func (e Event) row(field int) Row {
	off := le.Uint32(e.entry()[field:])
	if off == 0 {
		return Row{}
	}
	n := le.Uint32(e.batch.frame[off:]) // Open has seen that it lies within
	return Row{table: e.Table(), img: e.batch.frame[off : off+n : off+n]}
}

func (e Event) tx() []byte {
	at := e.batch.txs + int(le.Uint32(e.entry()[8:]))*txSize
	return e.batch.frame[at : at+txSize]
}

// Txs returns the number of transactions that the frame holds rows of.
func (b *Batch) Txs() int { return b.nTxs }

// Tx returns the i-th transaction. Its texts alias the frame.
func (b *Batch) Tx(i int) Tx {
	at, f := b.txs+i*txSize, b.frame
	gtid, _ := ref(f, at)
	file, _ := ref(f, at+8)
	server, _ := ref(f, at+16)
	return Tx{Server: server, GTID: gtid, File: file, Pos: le.Uint64(f[at+24:]), CommitTime: timeOf(le.Uint64(f[at+32:])),
		Rows: le.Uint32(f[at+40:]), Ends: le.Uint32(f[at+44:])&txEnds != 0}
}

// TxIndex returns the number of the event's transaction in its batch.
func (e Event) TxIndex() int { return int(le.Uint32(e.entry()[8:])) }

// CommitTime returns when the transaction committed, in UTC.
func (e Event) CommitTime() time.Time { return timeOf(le.Uint64(e.tx()[32:])) }

// TxEnds reports whether the event's transaction ends within its batch.
func (e Event) TxEnds() bool { return le.Uint32(e.tx()[44:])&txEnds != 0 }

// Position returns the event's place in the source's log. Its texts alias the frame.
func (e Event) Position() Position {
	at := e.batch.txs + int(le.Uint32(e.entry()[8:]))*txSize
	f := e.batch.frame
	gtid, _ := ref(f, at)
	file, _ := ref(f, at+8)
	server, _ := ref(f, at+16)
	return Position{Server: server, GTID: gtid, File: file, Pos: le.Uint64(f[at+24:]),
		Row: le.Uint32(e.entry()[12:]), Rows: le.Uint32(f[at+40:]), CommitTime: timeOf(le.Uint64(f[at+32:]))}
}

// ID returns the event's identity, see [Position.ID].
func (e Event) ID() string { return e.Position().ID() }

// Row is a row image: a view, copied freely.
type Row struct {
	table *Table
	img   []byte
}

// Exists reports whether there is an image at all.
func (r Row) Exists() bool { return r.img != nil }

// Table returns the table that gives the columns their names.
func (r Row) Table() *Table { return r.table }

// Len returns the number of columns.
func (r Row) Len() int {
	if r.img == nil {
		return 0
	}
	return len(r.table.Columns)
}

// Kind returns the kind of column i without reading it.
func (r Row) Kind(i int) Kind {
	if r.img == nil || uint(i) >= uint(len(r.table.Columns)) {
		return KindAbsent
	}
	return Kind(r.img[imageFixed+i])
}

// Value returns column i. A column that is out of range, or whose bytes are not what a frame allows, is absent.
func (r Row) Value(i int) Value {
	k := r.Kind(i)
	if k <= KindNull || k >= kindCount {
		if k == KindNull {
			return Value{kind: KindNull}
		}
		return Value{}
	}
	num := le.Uint64(r.img[imageFixed+align8(len(r.table.Columns))+8*i:])
	if !k.inHeap() {
		return Value{kind: k, num: num}
	}
	off, size := uint64(uint32(num)), num>>32
	if off+size > uint64(len(r.img)) {
		return Value{}
	}
	return Value{kind: k, str: view(r.img[off : off+size])}
}

// Get returns the named column and whether the table has it.
func (r Row) Get(name string) (Value, bool) {
	if r.table == nil {
		return Value{}, false
	}
	i := r.table.Column(name)
	if i < 0 {
		return Value{}, false
	}
	return r.Value(i), true
}

// Equal reports whether column i is the same in both images. A column that is absent in only one is not.
func (r Row) Equal(o Row, i int) bool { return r.Value(i) == o.Value(i) }

// Verify reads every column of every row and reports the first value that a frame must not hold. [Open] does not do
// this, since reading such a value is harmless; but only of a verified frame may a reader expect that every value is
// of its column's kind, in range and well-formed, and that all rows together take no more room than the frame. Its
// time is linear in the frame's size.
func (b *Batch) Verify() error {
	for i := range b.n {
		e := b.Event(i)
		for _, r := range [...]Row{e.Before(), e.After()} {
			if c, what := r.verify(); what != "" {
				return frameErrorf("event %d, table %s, column %s: %s", i, e.Table(), r.table.Columns[c].Name, what)
			}
		}
	}
	return nil
}

// verify returns the first column that is wrong, and what is; "" if none is.
func (r Row) verify() (int, string) {
	used := 0
	for i := range r.Len() {
		k := r.Kind(i)
		if k <= KindNull {
			continue
		}
		if want := r.table.Columns[i].Kind; k != want {
			return i, fmt.Sprintf("a value of kind %s in a column of %s", k, want)
		}
		v := r.Value(i)
		if v.IsAbsent() {
			return i, "its bytes lie outside of the row image"
		}
		used += len(v.str)
		if k.inHeap() {
			n := len(r.table.Columns)
			if at := le.Uint32(r.img[imageFixed+align8(n)+8*i:]); int64(at) < int64(imageTexts(n)) || imageTexts(n)+used > len(r.img) {
				return i, "its bytes are those of other columns"
			}
		}
		if what := v.check(); what != "" {
			return i, what
		}
	}
	return 0, ""
}
