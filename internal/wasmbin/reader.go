package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// Error says what is wrong with a module, and where.
type Error struct {
	Offset int    // in the module
	What   string // what is wrong there
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.What) }

// reader reads a part of a module. After the first error it reads zeros; loops must look at failed.
type reader struct {
	b   []byte
	at  int // in the part
	off int // of the part in the module
	err *Error
}

func (r *reader) failed() bool { return r.err != nil }
func (r *reader) left() int    { return len(r.b) - r.at }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{r.off + r.at, fmt.Sprintf(format, args...)}
		r.at = len(r.b)
	}
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.fail("it ends too early")
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// u32 reads an unsigned LEB128 number of 32 bits.
func (r *reader) u32() uint32 { return uint32(r.leb(32)) }

func (r *reader) leb(bits uint) uint64 {
	var x uint64
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if r.failed() {
			return 0
		}
		if shift+7 > bits && c>>(bits-shift) != 0 {
			r.fail("a number is larger than %d bits", bits)
			return 0
		}
		x |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return x
		}
	}
}

// sleb reads a signed LEB128 number.
func (r *reader) sleb(bits uint) int64 {
	var x int64
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if r.failed() {
			return 0
		}
		if shift+7 > bits { // the last byte: what does not fit must repeat the sign
			sign := int8(c<<1) >> (bits - shift)
			if c >= 0x80 || sign != 0 && sign != -1 {
				r.fail("a number is larger than %d bits", bits)
				return 0
			}
		}
		x |= int64(c&0x7f) << shift
		if c < 0x80 {
			if shift+7 < 64 && c&0x40 != 0 {
				x |= -1 << (shift + 7)
			}
			return x
		}
	}
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail("%d bytes are announced and %d are left", n, r.left())
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at : r.at]
}

func (r *reader) skip(n int) { r.bytes(uint32(n)) }

func (r *reader) name() string {
	name := r.bytes(r.u32())
	if !utf8.Valid(name) {
		r.fail("a name is not UTF-8")
	}
	return string(name)
}

// count reads how many things follow, each of which takes at least one byte.
func (r *reader) count(what string, most int) int {
	n := r.u32()
	switch {
	case r.failed():
		return 0
	case uint64(n) > uint64(r.left()):
		r.fail("%d %s are announced in %d bytes", n, what, r.left())
		return 0
	case uint64(n) > uint64(most):
		r.fail("%d %s; at most %d are read", n, what, most)
		return 0
	}
	return int(n)
}

// part returns a reader of the next n bytes.
func (r *reader) part(n uint32) *reader {
	off := r.off + r.at
	return &reader{b: r.bytes(n), off: off, err: r.err}
}

// AppendU32 appends an unsigned LEB128 number.
func AppendU32(dst []byte, x uint32) []byte {
	for ; x >= 0x80; x >>= 7 {
		dst = append(dst, byte(x)|0x80)
	}
	return append(dst, byte(x))
}

// AppendS64 appends a signed LEB128 number.
func AppendS64(dst []byte, x int64) []byte {
	for {
		c := byte(x & 0x7f)
		x >>= 7
		if x == 0 && c&0x40 == 0 || x == -1 && c&0x40 != 0 {
			return append(dst, c)
		}
		dst = append(dst, c|0x80)
	}
}
