package cdcd

import (
	"strconv"
	"unsafe"
)

// The entries of the edit log.
const (
	editSet    = 1
	editNull   = 2
	editDrop   = 3
	editTag    = 4
	editReason = 5
	editRoute  = 6
	editError  = 7
)

// Set gives a column of an image another value, of the column's own kind. The column is named by its place in `edits` of the manifest.
// Null is a value; one that is absent changes nothing. An image that the event does not have, and the key, cannot be altered.
func (e *Event) Set(image Image, edit int, v Value) {
	switch v.kind {
	case KindAbsent:
	case KindNull:
		e.SetNull(image, edit)
	default:
		edits.add(e.number, editSet, image, edit, v)
	}
}

// SetNull makes a column of an image null.
func (e *Event) SetNull(image Image, edit int) { edits.add(e.number, editNull, image, edit, Value{}) }

// DropColumn leaves a column of an image out of what is delivered.
func (e *Event) DropColumn(image Image, edit int) {
	edits.add(e.number, editDrop, image, edit, Value{})
}

// Tag adds a tag to what is delivered: up to 16 for an event, of 1 to 256 bytes.
func (e *Event) Tag(tag string) { edits.addText(e.number, editTag, tag) }

// Reason says why the event is kept, in 1 to 256 bytes. The last one counts.
func (e *Event) Reason(text string) { edits.addText(e.number, editReason, text) }

// Route names a feed. An event with routes goes only to these of the feeds that its rule names.
func (e *Event) Route(feed string) { edits.addText(e.number, editRoute, feed) }

// Error says that the event cannot be judged, and why, in at most 1,024 bytes. It returns the verdict that is to be returned; edits of the
// event have no effect then:
//
//	return e.Error("a total without a currency")
func (e *Event) Error(text string) Verdict {
	e.failure = text
	return Failed
}

// edits is the edit log of the batch.
var edits = editLog{words: make([]uint64, 4<<10/8)}

type editLog struct {
	words []uint64 // so that it is aligned
	used  int      // words in use
	kept  int      // of them, those of events that are judged
}

func (l *editLog) reset() {
	l.used, l.kept = 0, 0
	l.publish()
}

func (l *editLog) pending() bool { return l.used > l.kept }

func (l *editLog) undo() { l.used = l.kept }

func (l *editLog) commit() {
	if l.used != l.kept {
		l.kept = l.used
		l.publish()
	}
}

// publish tells the host where the entries of the events are that are judged.
func (l *editLog) publish() {
	out.log = uint32(uintptr(unsafe.Pointer(unsafe.SliceData(l.words))))
	out.logBytes = uint32(8 * l.kept)
}

// header is the beginning of an entry.
type header struct {
	size   uint32
	event  uint32
	what   uint8
	image  Image
	column uint16
	kind   Kind
	_      [3]byte
	number uint64
}

const headerWords = int(unsafe.Sizeof(header{}) / 8)

// add writes an entry with its text, filled up with zeros.
func (l *editLog) add(event uint32, what uint8, image Image, column int, v Value) {
	if uint(column) > 0xffff {
		panicEdit(column)
	}
	words := headerWords + (len(v.text)+7)/8
	if l.used+words > len(l.words) {
		l.grow(words)
	}
	entry := l.words[l.used : l.used+words]
	l.used += words
	entry[words-1] = 0
	h := (*header)(unsafe.Pointer(unsafe.SliceData(entry)))
	*h = header{size: uint32(8 * words), event: event, what: what, image: image, column: uint16(column), kind: v.kind, number: v.number}
	if v.text != "" {
		h.number = uint64(len(v.text))
		text := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(entry[headerWords:]))), len(v.text))
		copy(text, v.text)
	}
}

func (l *editLog) addText(event uint32, what uint8, text string) {
	l.add(event, what, 0, 0, Value{text: text})
}

// grow makes room for so many more words. The host is told at once where the log is now: the old place is free for other things.
func (l *editLog) grow(words int) {
	larger := make([]uint64, 2*(l.used+words))
	copy(larger, l.words[:l.used])
	l.words = larger
	l.publish()
}

func panicEdit(column int) { panic("cdcd: there is no edit " + strconv.Itoa(column)) }
