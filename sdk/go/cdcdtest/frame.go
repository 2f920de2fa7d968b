package cdcdtest

import (
	"encoding/binary"
	"strings"
	"unsafe"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
)

// frame writes changes as the frame that a plugin reads; what plugins do not look at is left out of it. Each has a transaction and a
// table of its own. Numbers have the order of bytes of this machine, since the plugin runs on it.
func frame(changes []Change) []uint64 {
	f := &writer{words: make([]uint64, 112/8)}
	n := len(changes)
	f.set32(0, 0x46434443)
	f.set16(4, 1)
	f.set32(52, n)
	f.set32(56, f.room(64*n))
	f.set32(60, n)
	f.set32(64, f.room(4*n))
	f.set32(68, n)
	f.set32(72, f.room(32*n))
	for i, c := range changes {
		f.words[f.get32(56)/8+8*i+4] = uint64(c.CommitTime)
		f.set32(f.get32(64)+4*i, f.table(c))
		before, after := f.image(c.Before), f.image(c.After)
		event := f.get32(72) + 32*i
		f.words[event/8] = c.No
		f.set32(event+8, i)
		f.set16(event+16, i)
		f.set8(event+18, int(c.Op))
		if c.Incomplete {
			f.set8(event+19, 1)
		}
		f.set32(event+20, before)
		f.set32(event+24, after)
	}
	f.set32(8, 8*len(f.words))
	return f.words
}

// writer is a frame that grows.
type writer struct{ words []uint64 }

// table writes the dictionary's entry of a change's table, and returns its place.
func (f *writer) table(c Change) int {
	schema, name, _ := strings.Cut(c.Table, ".")
	at := f.room(32)
	f.words[at/8+1] = f.text(at, schema)
	f.words[at/8+2] = f.text(at, name)
	return at
}

// image writes a row image, and returns its place; 0 if there is none.
func (f *writer) image(values []cdcd.Value) int {
	if values == nil {
		return 0
	}
	n := len(values)
	at := f.room(8)
	f.set16(at+4, n)
	kinds := f.room(n)
	slots := f.room(8*n) / 8
	for i, v := range values {
		f.set8(kinds+i, int(v.Kind()))
		f.words[slots+i] = v.Uint()
		if isText(v.Kind()) {
			f.words[slots+i] = f.text(at, v.Text())
		}
	}
	return at
}

// text writes a text and returns the ref to it from a place.
func (f *writer) text(from int, s string) uint64 {
	at := f.room(len(s))
	for i := range len(s) {
		f.set8(at+i, int(s[i]))
	}
	return uint64(at-from) | uint64(len(s))<<32
}

// room makes room for so many bytes, and returns its place.
func (f *writer) room(bytes int) int {
	at := 8 * len(f.words)
	f.words = append(f.words, make([]uint64, (bytes+7)/8)...)
	return at
}

func (f *writer) get32(at int) int    { return int(binary.NativeEndian.Uint32(f.bytes()[at:])) }
func (f *writer) set32(at, value int) { binary.NativeEndian.PutUint32(f.bytes()[at:], uint32(value)) }
func (f *writer) set16(at, value int) { binary.NativeEndian.PutUint16(f.bytes()[at:], uint16(value)) }
func (f *writer) set8(at, value int)  { f.bytes()[at] = byte(value) }

func (f *writer) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f.words))), 8*len(f.words))
}
