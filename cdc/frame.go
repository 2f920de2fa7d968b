package cdc

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"
	"unsafe"
)

// The frame's layout, version 1. FORMAT.md is its page of prose; the numbers here and there are a contract.
const (
	frameMagic   = 0x46434443 // "CDCF"
	frameVersion = 1

	headerSize = 112
	txSize     = 64
	eventSize  = 32
	columnSize = 32
	tableFixed = 32
	imageFixed = 8

	// MaxFrame bounds a frame: the largest message that the bus can keep is 32 MiB with its headers.
	MaxFrame = 31 << 20

	maxColumns    = 4096 // InnoDB allows 1017, other engines 4096
	maxTables     = 1 << 16
	maxPartitions = 1 << 16
	maxStates     = 1 << 10
	maxName       = 1024 // bytes of a name that stands in every record; the servers' longest is a file name of 512
)

// offsets in the header
const (
	hMagic       = 0
	hVersion     = 4
	hFlags       = 6
	hSize        = 8
	hCRC         = 12
	hEpoch       = 16
	hFirstPartNo = 24
	hNextNo      = 32
	hCreated     = 40
	hPartition   = 48
	hPartitions  = 50
	hTxs         = 52 // count, offset
	hTables      = 60
	hEvents      = 68
	hSource      = 76 // offset, length
	hWriter      = 84
	hCheckpoint  = 92 // offset of the checkpoint section
	hState       = 96 // count, offset
)

const (
	flagHeartbeat = 1 << 0

	txEnds = 1 << 0

	eventIncomplete = 1 << 0

	colNullable = 1 << 0
	colUnsigned = 1 << 1
	colFloat32  = 1 << 2
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noCRC      [4]byte
	padding    [8]byte
)

// Header is what a frame says about all of its events.
type Header struct {
	Source string // configured name of the source
	Writer string // the capture process that wrote the frame
	// Epoch says which numbering No and PartNo belong to, and what of the source is numbered. The upper 32 bits, the
	// lineage, are drawn when a stream is begun: events of different lineages have nothing to do with each other. The
	// next 8 bits, the generation, are raised when capture begins anew behind a loss: the numbers go on, but changes
	// in between may be missing. The lower 24 bits are a digest of what is captured: the numbers go on, and nothing is
	// missing of what is captured on both sides.
	Epoch       uint64
	Partition   uint16    // the partition that all events belong to
	Partitions  uint16    // number of partitions of the epoch; at least 1
	FirstPartNo uint64    // PartNo of the first event; of the next one if there is none
	Created     time.Time // when the frame was sealed, for measuring lag; microseconds
	Heartbeat   bool      // the frame carries progress through the log, no events
}

// Checkpoint is how far the source's log has been read into the stream, as of the end of a frame. The last frame of a
// stream is the only checkpoint there is.
type Checkpoint struct {
	Flavor  string   // "mysql" or "mariadb"
	Server  string   // identity of the server that was read: its UUID, or for MariaDB "domain-server"
	GTIDSet string   // everything executed before the transaction below
	File    string   // where to start reading again without GTIDs
	Pos     uint64   // offset in File of the next transaction, or of the one below
	TxGTID  string   // the transaction that the frame ends within; "" at a transaction's end or without GTIDs
	TxRows  uint32   // how many captured rows of that transaction are in the stream; 0 at a transaction's end
	NextNo  uint64   // No of the next captured row
	PartNos []uint64 // PartNo of the next captured row, by partition
	Commit  time.Time

	// Snapshot is how far the source has got with reading present rows beside its log: a text of the source's own,
	// "" when no snapshot is under way or asked for.
	Snapshot string

	// Prepared are the transactions that were prepared and neither committed nor rolled back by then: a text of the
	// source's own, "" when there are none.
	Prepared string
}

// Tx is one transaction of which a frame holds rows.
type Tx struct {
	Server     string
	GTID       string
	File       string
	Pos        uint64 // offset of the transaction's first event
	CommitTime time.Time
	Rows       uint32 // captured rows in the whole transaction; 0 when not known
	Ends       bool   // the frame holds its last row
}

// EventInfo is what a [Builder] needs to add an event. Before and After are what [Builder.EndRow] returned, 0 for none.
type EventInfo struct {
	No            uint64
	Tx            int
	Row           uint32
	Table         int
	Op            Op
	Before, After uint32
	Incomplete    bool // see [Event.Incomplete]
}

// Builder builds one frame after the other in place; each begins with [Builder.Reset]. It is used by one goroutine.
// Rows are written column by column between BeginRow and EndRow, during which nothing else is added; columns that are
// not set are absent.
type Builder struct {
	buf    []byte
	header Header
	events []byte // fixed event entries, moved into buf by Seal
	txs    []Tx
	tables map[*Table]int
	tabOff []uint32
	guess  int    // the next frame's size, since frames mostly resemble the one before
	spare  []byte // memory for the next frame

	row   int // offset of the row being written
	kinds int // offset of its kinds
	slots int // offset of its slots
	cols  int
}

// Recycle gives the memory of a sealed frame back, which nobody may look at any more: the next frame is built in it.
func (w *Builder) Recycle(frame []byte) { w.spare = frame }

// Reset begins a new frame. Sealed frames stay valid: their memory is never used again, but for what [Builder.Recycle] got.
func (w *Builder) Reset(h Header) {
	if h.Partitions == 0 {
		h.Partitions = 1
	}
	w.header = h
	if cap(w.spare) < headerSize {
		w.spare = make([]byte, headerSize, max(4096, w.guess))
	}
	w.buf, w.spare = w.spare[:headerSize], nil
	clear(w.buf)
	w.events = w.events[:0]
	w.txs = w.txs[:0]
	w.tabOff = w.tabOff[:0]
	if w.tables == nil {
		w.tables = map[*Table]int{}
	}
	clear(w.tables)
}

// Len returns the number of events so far.
func (w *Builder) Len() int { return len(w.events) / eventSize }

// Size returns the bytes that the sealed frame will have, but for the texts of transactions and checkpoint. A frame
// that is larger than [MaxFrame] when it is sealed cannot be opened.
func (w *Builder) Size() int { return len(w.buf) + len(w.events) + len(w.txs)*txSize }

// AddTx adds a transaction and returns its number in the frame.
func (w *Builder) AddTx(tx Tx) int {
	w.txs = append(w.txs, tx)
	return len(w.txs) - 1
}

// UpdateTx replaces the number-th transaction: its row count and end become known when its last row has been read.
func (w *Builder) UpdateTx(number int, update func(*Tx)) { update(&w.txs[number]) }

// AddTable returns the table's number in the frame, adding it at first. Tables are told apart by pointer.
func (w *Builder) AddTable(t *Table) int {
	if n, ok := w.tables[t]; ok {
		return n
	}
	n := len(w.tabOff)
	w.tables[t] = n
	w.align()
	w.tabOff = append(w.tabOff, uint32(len(w.buf)))
	w.buf = appendTable(w.buf, t)
	return n
}

// AddEvent adds an event. Its PartNo is the frame's FirstPartNo plus its number in the frame.
func (w *Builder) AddEvent(e EventInfo) {
	at := len(w.events)
	w.events = slices.Grow(w.events, eventSize)[:at+eventSize]
	b := w.events[at:]
	flags := uint64(0)
	if e.Incomplete {
		flags = eventIncomplete
	}
	le.PutUint64(b[0:], e.No)
	le.PutUint64(b[8:], uint64(uint32(e.Tx))|uint64(e.Row)<<32)
	le.PutUint64(b[16:], uint64(uint16(e.Table))|uint64(e.Op)<<16|flags<<24|uint64(e.Before)<<32)
	le.PutUint64(b[24:], uint64(e.After))
}

// BeginRow begins a row image of columns columns, all absent.
func (w *Builder) BeginRow(columns int) {
	w.align()
	w.row, w.cols = len(w.buf), columns
	w.kinds = w.row + imageFixed
	w.slots = w.kinds + align8(columns)
	end := w.slots + 8*columns
	if end <= cap(w.buf) {
		w.buf = w.buf[:end]
		clear(w.buf[w.row:])
	} else {
		w.buf = append(w.buf, make([]byte, end-w.row)...)
	}
}

// EndRow ends the row image and returns its place for [EventInfo].
func (w *Builder) EndRow() uint32 {
	le.PutUint32(w.buf[w.row:], uint32(len(w.buf)-w.row))
	le.PutUint16(w.buf[w.row+4:], uint16(w.cols))
	return uint32(w.row)
}

// DropRow takes back the row begun last.
func (w *Builder) DropRow() { w.buf = w.buf[:w.row] }

// Shrink writes the rows at the places again, which must be the last that were written, without their largest values
// until the frame has at most limit bytes as [Builder.Size] counts: these columns become absent. What is in the columns keep
// stays. It returns the rows' new places, and false when leaving out all else is not enough; the frame is as it was then.
func (w *Builder) Shrink(limit int, keep []int, places ...uint32) ([]uint32, bool) {
	type value struct{ place, col, size int }
	var values []value
	for i, place := range places {
		kinds, slots, columns := w.image(place)
		for col := range columns {
			if Kind(w.buf[kinds+col]).inHeap() && !slices.Contains(keep, col) {
				values = append(values, value{i, col, int(le.Uint32(w.buf[slots+8*col+4:]))})
			}
		}
	}
	slices.SortStableFunc(values, func(a, b value) int { return cmp.Compare(b.size, a.size) })
	size, out := w.Size(), 0
	for ; out < len(values) && size > limit; out++ {
		size -= values[out].size
	}
	if size > limit {
		return places, false
	}
	from := w.buf
	w.buf = append(make([]byte, 0, size-len(w.events)+8*len(places)), from[:places[0]]...) // lets go of what was too large
	moved := make([]uint32, len(places))
	for i, place := range places {
		row := from[place:]
		columns := int(le.Uint16(row[4:]))
		w.BeginRow(columns)
		for col := range columns {
			k := Kind(row[imageFixed+col])
			num := le.Uint64(row[imageFixed+align8(columns)+8*col:])
			switch {
			case slices.ContainsFunc(values[:out], func(v value) bool { return v.place == i && v.col == col }):
			case k.inHeap():
				at, n := uint32(num), uint32(num>>32)
				w.SetBytes(col, k, row[at:at+n])
			default:
				w.set(col, k, num)
			}
		}
		moved[i] = w.EndRow()
	}
	return moved, true
}

// image returns where the kinds and the slots of the row at place begin, and how many columns it has.
func (w *Builder) image(place uint32) (kinds, slots, columns int) {
	columns = int(le.Uint16(w.buf[place+4:]))
	kinds = int(place) + imageFixed
	return kinds, kinds + align8(columns), columns
}

// DropRows takes back the row at the place that [Builder.EndRow] returned and all rows after it. No event may hold them,
// and no table may have been added since.
func (w *Builder) DropRows(from uint32) { w.buf = w.buf[:from] }

func (w *Builder) set(col int, k Kind, num uint64) {
	w.buf[w.kinds+col] = byte(k)
	le.PutUint64(w.buf[w.slots+8*col:], num)
}

// Set sets a column to any value.
func (w *Builder) Set(col int, v Value) {
	if v.kind.inHeap() {
		w.SetText(col, v.kind, v.str)
		return
	}
	w.set(col, v.kind, v.num)
}

// SetNull sets a column to SQL NULL.
func (w *Builder) SetNull(col int) { w.set(col, KindNull, 0) }

// SetInt sets an int64.
func (w *Builder) SetInt(col int, n int64) { w.set(col, KindInt64, uint64(n)) }

// SetUint sets a uint64.
func (w *Builder) SetUint(col int, n uint64) { w.set(col, KindUint64, n) }

// SetFloat sets a float64.
func (w *Builder) SetFloat(col int, f float64) { w.set(col, KindFloat64, math.Float64bits(f)) }

// SetNum sets a column of a kind that is held inline by its 64 bits, as [Value] defines them for the kind.
func (w *Builder) SetNum(col int, k Kind, num uint64) { w.set(col, k, num) }

// SetCivil sets a date or datetime.
func (w *Builder) SetCivil(col int, k Kind, c Civil) { w.set(col, k, c.pack()) }

// SetText sets a column of a kind that is text or bytes.
func (w *Builder) SetText(col int, k Kind, s string) {
	at := len(w.buf) - w.row
	w.buf = append(w.buf, s...)
	w.set(col, k, uint64(at)|uint64(len(s))<<32)
}

// SetBytes is [Builder.SetText] for a byte slice, which is copied.
func (w *Builder) SetBytes(col int, k Kind, b []byte) {
	at := len(w.buf) - w.row
	w.buf = append(w.buf, b...)
	w.set(col, k, uint64(at)|uint64(len(b))<<32)
}

// BeginText returns the frame's bytes for a value of a kind that is text or bytes to be appended to them. What append
// returns goes to [Builder.EndText]; nothing else may be done with the builder or the bytes in between. A value that is
// not ended is not there.
func (w *Builder) BeginText() []byte { return w.buf }

// EndText sets a column to what has been appended to the bytes of [Builder.BeginText].
func (w *Builder) EndText(col int, k Kind, buf []byte) {
	at, n := len(w.buf)-w.row, len(buf)-len(w.buf)
	w.buf = buf
	w.set(col, k, uint64(at)|uint64(n)<<32)
}

// Replace replaces the value of the column that was set last in the row being written by what with makes of it; the
// bytes of the old value are taken back. The value that with gets is only valid until it returns.
func (w *Builder) Replace(col int, with func(Value) (Value, error)) error {
	kind, num := Kind(w.buf[w.kinds+col]), le.Uint64(w.buf[w.slots+8*col:])
	old := Value{kind: kind, num: num}
	buf, end := w.buf, len(w.buf)
	if kind.inHeap() {
		at, n := w.row+int(uint32(num)), int(num>>32)
		if at+n != end {
			panic("cdc: Replace of a column that was not set last")
		}
		old = Value{kind: kind, str: view(w.buf[at:end])}
		end = at
	}
	v, err := with(old)
	if err != nil {
		return err
	}
	w.buf = buf[:end]
	w.Set(col, v)
	clear(buf[min(len(w.buf), len(buf)):]) // frames never show what is behind their end; all the same
	return nil
}

// CopyRow appends a copy of a row image and returns its place, 0 if there is none: images are self-contained.
func (w *Builder) CopyRow(r Row) uint32 {
	if !r.Exists() {
		return 0
	}
	w.align()
	at := len(w.buf)
	w.buf = append(w.buf, r.img...)
	return uint32(at)
}

// CopyColumns appends an image that has the columns of r with these numbers, in this order, and returns its place, 0 if there
// is no r. A number that r does not have, as -1, stands for a column that is absent.
func (w *Builder) CopyColumns(r Row, columns []int) uint32 {
	if !r.Exists() {
		return 0
	}
	has := len(r.table.Columns)
	from, fromSlots := r.img[imageFixed:imageFixed+has], r.img[imageFixed+align8(has):]
	w.row = align8(len(w.buf))
	texts := w.row + imageTexts(len(columns))
	buf := slices.Grow(w.buf, texts-len(w.buf))
	clear(buf[len(buf):w.row]) // padding
	buf = buf[:texts]
	kinds := buf[w.row+imageFixed:][:align8(len(columns))]
	slots := buf[w.row+imageFixed+len(kinds):][:8*len(columns)]
	if len(kinds) > 0 {
		le.PutUint64(kinds[len(kinds)-8:], 0) // padding
	}
	room := uint64(len(r.img)) // for texts, which may overlap in a frame that nobody has verified
	for i, c := range columns {
		var k Kind
		var num uint64
		if uint(c) < uint(has) {
			k, num = Kind(from[c]), le.Uint64(fromSlots[8*c:])
		}
		switch {
		case k.inHeap():
			at, n := num&math.MaxUint32, num>>32
			if at+n > uint64(len(r.img)) || n > room {
				k, num = KindAbsent, 0
				break
			}
			room -= n
			num = uint64(len(buf)-w.row) | n<<32
			text := r.img[at : at+n]
			if len(text) <= cap(buf)-len(buf) {
				buf = append(buf, text...)
				break
			}
			buf = append(buf, text...) // to another place
			kinds = buf[w.row+imageFixed:][:len(kinds)]
			slots = buf[w.row+imageFixed+len(kinds):][:len(slots)]
		case k >= kindCount:
			k, num = KindAbsent, 0
		}
		kinds[i] = byte(k)
		le.PutUint64(slots[8*i:], num)
	}
	le.PutUint64(buf[w.row:], uint64(uint32(len(buf)-w.row))|uint64(len(columns))<<32)
	w.buf = buf
	return uint32(w.row)
}

// Single returns a frame that holds just e, with the numbers and the position that it has in its own: what an event is
// kept and sent as when it stands alone. Whatever the builder had is gone.
func (w *Builder) Single(e Event) []byte {
	h := e.Batch().Header()
	h.FirstPartNo = e.PartNo() // so that the copy has the same number
	w.Reset(h)
	p := e.Position()
	tx := w.AddTx(Tx{Server: p.Server, GTID: p.GTID, File: p.File, Pos: p.Pos, CommitTime: p.CommitTime, Rows: p.Rows})
	w.AddEvent(EventInfo{No: e.No(), Tx: tx, Row: p.Row, Table: w.AddTable(e.Table()), Op: e.Op(), Incomplete: e.Incomplete(),
		Before: w.CopyRow(e.Before()), After: w.CopyRow(e.After())})
	return w.Seal(Checkpoint{})
}

// Seal ends the frame and returns its bytes, which belong to the caller and must not be changed.
func (w *Builder) Seal(c Checkpoint) []byte {
	w.align()
	events := len(w.buf)
	w.buf = append(w.buf, w.events...)
	txs := len(w.buf)
	w.buf = append(w.buf, make([]byte, len(w.txs)*txSize)...)
	for i := range w.txs {
		t, at := &w.txs[i], txs+i*txSize
		w.putRef(at, t.GTID)
		if i > 0 && t.File == w.txs[i-1].File { // neighbours mostly share these
			copy(w.buf[at+8:at+16], w.buf[at-txSize+8:])
		} else {
			w.putRef(at+8, t.File)
		}
		if i > 0 && t.Server == w.txs[i-1].Server {
			copy(w.buf[at+16:at+24], w.buf[at-txSize+16:])
		} else {
			w.putRef(at+16, t.Server)
		}
		le.PutUint64(w.buf[at+24:], t.Pos)
		le.PutUint64(w.buf[at+32:], uint64(micros(t.CommitTime)))
		le.PutUint32(w.buf[at+40:], t.Rows)
		if t.Ends {
			le.PutUint32(w.buf[at+44:], txEnds)
		}
	}
	w.align()
	tables := len(w.buf)
	for _, off := range w.tabOff {
		w.buf = le.AppendUint32(w.buf, off)
	}
	w.align()
	checkpoint := len(w.buf)
	w.putCheckpoint(&c)

	h := w.buf
	le.PutUint32(h[hMagic:], frameMagic)
	le.PutUint16(h[hVersion:], frameVersion)
	if w.header.Heartbeat {
		le.PutUint16(h[hFlags:], flagHeartbeat)
	}
	le.PutUint64(h[hEpoch:], w.header.Epoch)
	le.PutUint64(h[hFirstPartNo:], w.header.FirstPartNo)
	le.PutUint64(h[hNextNo:], c.NextNo)
	le.PutUint64(h[hCreated:], uint64(micros(w.header.Created)))
	le.PutUint16(h[hPartition:], w.header.Partition)
	le.PutUint16(h[hPartitions:], w.header.Partitions)
	le.PutUint32(h[hTxs:], uint32(len(w.txs)))
	le.PutUint32(h[hTxs+4:], uint32(txs))
	le.PutUint32(h[hTables:], uint32(len(w.tabOff)))
	le.PutUint32(h[hTables+4:], uint32(tables))
	le.PutUint32(h[hEvents:], uint32(w.Len()))
	le.PutUint32(h[hEvents+4:], uint32(events))
	w.putRef(hSource, w.header.Source)
	w.putRef(hWriter, w.header.Writer)
	w.putState(c.Snapshot, c.Prepared)
	le.PutUint32(w.buf[hCheckpoint:], uint32(checkpoint))
	w.align()
	le.PutUint32(w.buf[hSize:], uint32(len(w.buf)))
	le.PutUint32(w.buf[hCRC:], frameCRC(w.buf))
	frame := w.buf
	w.buf, w.guess = nil, min(len(frame)+len(frame)/8, 8<<20)
	return frame
}

// checkpoint section: refs of flavor, server, gtid set, file, tx gtid; pos, commit; tx rows; count and part numbers.
const checkpointFixed = 64

func (w *Builder) putCheckpoint(c *Checkpoint) {
	at := len(w.buf)
	w.buf = append(w.buf, make([]byte, checkpointFixed+8*len(c.PartNos))...)
	le.PutUint64(w.buf[at+40:], c.Pos)
	le.PutUint64(w.buf[at+48:], uint64(micros(c.Commit)))
	le.PutUint32(w.buf[at+56:], c.TxRows)
	le.PutUint32(w.buf[at+60:], uint32(len(c.PartNos)))
	for i, n := range c.PartNos {
		le.PutUint64(w.buf[at+checkpointFixed+8*i:], n)
	}
	for i, s := range [...]string{c.Flavor, c.Server, c.GTIDSet, c.File, c.TxGTID} {
		w.putRef(at+8*i, s)
	}
}

// putState writes the texts of the checkpoint that belong to the source, as a list of refs that can grow.
func (w *Builder) putState(texts ...string) {
	for len(texts) > 0 && texts[len(texts)-1] == "" {
		texts = texts[:len(texts)-1]
	}
	if len(texts) == 0 {
		return
	}
	w.align()
	at := len(w.buf)
	w.buf = append(w.buf, make([]byte, 8*len(texts))...)
	for i, s := range texts {
		w.putRef(at+8*i, s)
	}
	le.PutUint32(w.buf[hState:], uint32(len(texts)))
	le.PutUint32(w.buf[hState+4:], uint32(at))
}

func (w *Builder) putRef(at int, s string) {
	le.PutUint32(w.buf[at:], uint32(len(w.buf)))
	le.PutUint32(w.buf[at+4:], uint32(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *Builder) align() {
	if n := -len(w.buf) & 7; n != 0 {
		w.buf = append(w.buf, padding[:n]...)
	}
}

// appendTable appends a table entry; the references within are relative to its start, so that equal tables are equal
// bytes wherever they stand.
func appendTable(dst []byte, t *Table) []byte {
	start := len(dst)
	n := len(t.Columns)
	dst = append(dst, make([]byte, tableFixed+n*columnSize)...)
	ref := func(at int, s string) {
		le.PutUint32(dst[at:], uint32(len(dst)-start))
		le.PutUint32(dst[at+4:], uint32(len(s)))
		dst = append(dst, s...)
	}
	le.PutUint16(dst[start+4:], uint16(n))
	ref(start+8, t.Schema)
	ref(start+16, t.Name)
	for i := range t.Columns {
		c, at := &t.Columns[i], start+tableFixed+i*columnSize
		ref(at, c.Name)
		ref(at+8, c.Type)
		var flags byte
		if c.Nullable {
			flags |= colNullable
		}
		if c.Unsigned {
			flags |= colUnsigned
		}
		if c.Float32 {
			flags |= colFloat32
		}
		dst[at+16], dst[at+17] = byte(c.Kind), flags
		dst[at+18], dst[at+19], dst[at+20] = c.Fsp, c.Precision, c.Scale
		le.PutUint16(dst[at+22:], c.Key)
		le.PutUint16(dst[at+24:], c.Collation)
		le.PutUint16(dst[at+26:], uint16(len(c.Members)))
		if len(c.Members) > 0 {
			for (len(dst)-start)%4 != 0 {
				dst = append(dst, 0)
			}
			members := len(dst)
			le.PutUint32(dst[at+28:], uint32(members-start))
			dst = append(dst, make([]byte, 8*len(c.Members))...)
			for j, m := range c.Members {
				ref(members+8*j, m)
			}
		}
	}
	le.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// frameCRC is the checksum over all bytes, with its own field taken as zero.
func frameCRC(frame []byte) uint32 {
	sum := crc32.Update(0, castagnoli, frame[:hCRC])
	sum = crc32.Update(sum, castagnoli, noCRC[:])
	return crc32.Update(sum, castagnoli, frame[hCRC+4:])
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(micros uint64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(micros)).UTC()
}

func align8(n int) int { return (n + 7) &^ 7 }

// view returns b as a string without a copy; frames are immutable.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// unview is its inverse, for functions that only read.
func unview(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// FrameError says why bytes are not a frame.
type FrameError struct{ What string }

// Error implements error.
func (e *FrameError) Error() string { return "frame: " + e.What }

func frameErrorf(format string, args ...any) error { return &FrameError{fmt.Sprintf(format, args...)} }
