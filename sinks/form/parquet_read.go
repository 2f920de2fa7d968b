package form

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// reader reads what AppendDelivery has written.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("it is not a record of envelope cdcd: at byte %d %s", r.at, what)
		r.at = len(r.b)
	}
}

func (r *reader) accept(text string) bool {
	if len(r.b)-r.at < len(text) || string(r.b[r.at:r.at+len(text)]) != text {
		return false
	}
	r.at += len(text)
	return true
}

func (r *reader) expect(text string) {
	if !r.accept(text) {
		r.fail("should stand " + text)
	}
}

// raw reads a JSON value as it stands.
func (r *reader) raw() []byte {
	start, depth := r.at, 0
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case '"':
			if !r.skipText() {
				return []byte("null")
			}
			if depth == 0 {
				return r.b[start:r.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return r.done(start)
			}
			if r.at++; depth == 0 {
				return r.b[start:r.at]
			}
			continue
		case ',':
			if depth == 0 {
				return r.done(start)
			}
		}
		r.at++
	}
	return r.done(start)
}

func (r *reader) done(start int) []byte {
	if r.at == start {
		r.fail("a value is missing")
		return []byte("null")
	}
	return r.b[start:r.at]
}

// skipText moves behind a JSON string.
func (r *reader) skipText() bool {
	for i := r.at + 1; i < len(r.b); i++ {
		switch r.b[i] {
		case '\\':
			i++
		case '"':
			r.at = i + 1
			return true
		}
	}
	r.fail("a text does not end")
	return false
}

// text reads a JSON string.
func (r *reader) text(e *encoder) parquet.Value {
	start := r.at
	if r.at >= len(r.b) || r.b[r.at] != '"' || !r.skipText() {
		r.fail("a text is missing")
		return parquet.ByteArrayValue(nil)
	}
	return unquote(e, r.b[start:r.at])
}

// unquote returns the text of a JSON string, which is kept in the encoder's memory.
func unquote(e *encoder, raw []byte) parquet.Value {
	start := len(e.memory)
	raw = raw[1 : len(raw)-1]
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			break
		}
		e.memory = append(e.memory, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			if len(raw) < 4 {
				continue
			}
			n, _ := strconv.ParseUint(string(raw[:4]), 16, 32)
			raw = raw[4:]
			e.memory = utf8.AppendRune(e.memory, rune(n))
			continue
		}
		e.memory = append(e.memory, c)
	}
	e.memory = append(e.memory, raw...)
	return parquet.ByteArrayValue(e.memory[start:len(e.memory):len(e.memory)])
}
