package cdcd

import (
	"strconv"
	"unsafe"
)

// Op is what was done to a row.
type Op uint8

// The operations.
const (
	Insert   Op = 1
	Update   Op = 2
	Delete   Op = 3
	Snapshot Op = 4 // the row was there when the table was first read
)

// String returns the operation's name.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Snapshot:
		return "snapshot"
	}
	return "op(" + strconv.Itoa(int(o)) + ")"
}

// Image is one of the two images of a row.
type Image uint8

// The images.
const (
	Before Image = 1
	After  Image = 2
)

// String returns the image's name.
func (i Image) String() string {
	switch i {
	case Before:
		return "before"
	case After:
		return "after"
	}
	return "image(" + strconv.Itoa(int(i)) + ")"
}

// Event is one row change. It is a view: see "What lives how long".
type Event struct {
	frame unsafe.Pointer

	// Places in the frame: pointers would keep the runtime busy with barriers.
	dictionary  uint32
	entry       uint32
	transaction uint32
	before      uint32 // 0: there is none
	after       uint32

	number  uint32 // in the batch
	failure string // what Error was told
}

// Op returns what was done to the row.
func (e *Event) Op() Op { return Op(load[uint8](e.frame, e.entry+18)) }

// Schema returns the name of the database that the table is in.
func (e *Event) Schema() string { return e.tableText(8) }

// Table returns the name of the table, without the database.
func (e *Event) Table() string { return e.tableText(16) }

// No returns the number of the change among all of its source.
func (e *Event) No() uint64 { return load[uint64](e.frame, e.entry) }

// CommitTime returns when the transaction was committed, in microseconds since 1970-01-01 UTC; 0 if that is not known.
func (e *Event) CommitTime() int64 { return load[int64](e.frame, e.transaction+32) }

// Incomplete says that the change is so large that the source has left out values: they are absent.
func (e *Event) Incomplete() bool { return load[uint8](e.frame, e.entry+19)&1 != 0 }

// HasBefore says whether there is an image of the row before the change: of an update and a delete.
func (e *Event) HasBefore() bool { return e.before != 0 }

// HasAfter says whether there is an image of the row after the change: of all but a delete.
func (e *Event) HasAfter() bool { return e.after != 0 }

// Before returns the value of a column before the change. Where there is no image before, all values are absent.
func (e *Event) Before(column int) Value { return e.value(e.before, column) }

// After returns the value of a column after the change. Where there is no image after, all values are absent.
func (e *Event) After(column int) Value { return e.value(e.after, column) }

// Changed says whether a column differs between the image before and the image after, which the manifest must ask for
// both. Where there is only one of them, as on an insert, every column has changed. NULL differs from every value but NULL.
func (e *Event) Changed(column int) bool {
	if e.before == 0 || e.after == 0 {
		return true
	}
	kind, slot := e.slot(e.before, column)
	kindAfter, slotAfter := e.slot(e.after, column)
	switch {
	case kind != kindAfter:
		return true
	case kind.isText():
		return textAt(e.frame, e.before, slot) != textAt(e.frame, e.after, slotAfter)
	}
	return slot != slotAfter
}

// JSON returns the change as JSON: {"no":…,"op":"update","table":"shop.orders","commit_time":"…","before":{…},"after":{…}},
// with the columns that the manifest declares. It is much slower than reading values, and good until it is called again.
func (e *Event) JSON() []byte {
	for {
		n := hostJSON(e.number, jsonText)
		if n < 0 {
			panic("cdcd: the host does not know the event that it has given")
		}
		if n <= len(jsonText) {
			return jsonText[:n]
		}
		jsonText = make([]byte, n+n/2)
	}
}

// jsonText is the room for [Event.JSON], kept from event to event.
var jsonText = make([]byte, 4<<10)

// tableText returns the text that a ref in the event's table points to.
func (e *Event) tableText(at uint32) string {
	number := uint32(load[uint16](e.frame, e.entry+16))
	table := load[uint32](e.frame, e.dictionary+4*number)
	return textAt(e.frame, table, load[uint64](e.frame, table+at))
}

// value reads a column of an image.
func (e *Event) value(image uint32, column int) Value {
	if image == 0 {
		return Value{}
	}
	kind, slot := e.slot(image, column)
	if kind.isText() {
		return Value{kind: kind, text: textAt(e.frame, image, slot)}
	}
	return Value{kind: kind, number: slot}
}

// slot returns a column of an image as it stands there.
func (e *Event) slot(image uint32, column int) (Kind, uint64) {
	columns := uint32(load[uint16](e.frame, image+4))
	if uint(column) >= uint(columns) {
		panicColumn(column, int(columns))
	}
	kinds := image + 8
	slots := kinds + (columns+7)&^7
	return Kind(load[uint8](e.frame, kinds+uint32(column))), load[uint64](e.frame, slots+8*uint32(column))
}

// load reads a number of a frame.
func load[N uint8 | uint16 | uint32 | uint64 | int64](frame unsafe.Pointer, at uint32) N {
	return *(*N)(unsafe.Add(frame, at))
}

// textAt returns the text that a ref points to, whose offset counts from a place in the frame.
func textAt(frame unsafe.Pointer, from uint32, ref uint64) string {
	return unsafe.String((*byte)(unsafe.Add(frame, from+uint32(ref))), int(ref>>32))
}

func panicColumn(column, columns int) {
	panic("cdcd: there is no column " + strconv.Itoa(column) + ": the manifest declares " + strconv.Itoa(columns))
}
