package jsonb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how many objects and arrays the server lets stand inside each other.
const maxDepth = 100

const (
	typeSmallObject = 0x00
	typeLargeObject = 0x01
	typeSmallArray  = 0x02
	typeLargeArray  = 0x03
	typeLiteral     = 0x04
	typeInt16       = 0x05
	typeUint16      = 0x06
	typeInt32       = 0x07
	typeUint32      = 0x08
	typeInt64       = 0x09
	typeUint64      = 0x0a
	typeDouble      = 0x0b
	typeString      = 0x0c
	typeOpaque      = 0x0f
)

var le = binary.LittleEndian

// AppendText appends a document as JSON text on one line: members in the order in which they are stored, numbers with
// all their digits, nothing escaped that need not be, and a byte that is no UTF-8 as U+FFFD. An empty document, which
// INSERT IGNORE can leave behind, is null, as it is for the server. If it fails, dst comes back as it was.
func AppendText(dst, doc []byte) ([]byte, error) {
	if len(doc) == 0 {
		return append(dst, "null"...), nil
	}
	out, _, err := appendValue(dst, doc, doc[0], 1, len(doc), 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// damaged says where in a document something is wrong, counted from its first byte.
func damaged(at int, format string, args ...any) error {
	return fmt.Errorf("damaged JSON document: byte %d: %s", at, fmt.Sprintf(format, args...))
}

// appendValue appends the value of that type that starts at doc[at] and must end at or before doc[end]. It returns where
// it ends. depth is how many objects and arrays it stands in.
func appendValue(dst, doc []byte, typ byte, at, end, depth int) ([]byte, int, error) {
	if typ > typeLargeArray {
		return appendScalar(dst, doc, typ, at, end)
	}
	var c container
	if err := c.open(doc, typ, at, end, depth); err != nil {
		return dst, 0, err
	}
	if c.object {
		dst = append(dst, '{')
	} else {
		dst = append(dst, '[')
	}
	for i := range c.count {
		if i > 0 {
			dst = append(dst, ',')
		}
		if c.object {
			key, err := c.key(i)
			if err != nil {
				return dst, 0, err
			}
			dst = append(appendString(dst, key), ':')
		}
		typ, at, end, err := c.value(i)
		if err != nil {
			return dst, 0, err
		}
		var next int
		if dst, next, err = appendValue(dst, doc, typ, at, end, depth+1); err != nil {
			return dst, 0, err
		}
		c.passed(next)
	}
	if c.object {
		return append(dst, '}'), c.end, nil
	}
	return append(dst, ']'), c.end, nil
}

// container reads an object or array in one pass, and sees to it that its parts stand in order and apart. Positions are
// counted from the start of the document.
type container struct {
	doc     []byte
	object  bool
	large   bool
	count   int
	at, end int    // where it starts and ends
	keys    int    // the next key starts here or behind
	values  int    // the next value starts here or behind
	entry   int    // the entries of the values start here
	last    []byte // the key before
}

func (c *container) open(doc []byte, typ byte, at, end, depth int) error {
	if depth >= maxDepth {
		return damaged(at, "more than %d objects and arrays inside each other", maxDepth)
	}
	c.doc, c.at = doc, at
	c.object, c.large = typ <= typeLargeObject, typ&1 != 0
	width := c.width()
	if end-at < 2*width {
		return damaged(at, "an object or array has a head of %d bytes where %d are left", 2*width, end-at)
	}
	count, size := uint64(c.offset(at)), uint64(c.offset(at+width))
	if size > uint64(end-at) {
		return damaged(at, "an object or array of %d bytes where %d are left", size, end-at)
	}
	head := uint64(2 * width)
	if c.object {
		head += count * uint64(width+2)
	}
	entry := head
	if head += count * uint64(width+1); head > size {
		return damaged(at, "an object or array of %d elements has %d bytes only", count, size)
	}
	c.count = int(count)
	c.end = at + int(size)
	c.entry = at + int(entry)
	c.keys = at + int(head)
	c.values = c.keys
	if c.object && c.count > 0 { // the values stand behind the last key
		at := c.entry - width - 2
		last := uint64(c.offset(at)) + uint64(le.Uint16(doc[at+width:]))
		if last > size {
			return damaged(at, "a key ends at byte %d of an object of %d bytes", last, size)
		}
		c.values = max(c.values, c.at+int(last))
	}
	return nil
}

func (c *container) width() int {
	if c.large {
		return 4
	}
	return 2
}

// offset reads a count, a size or an offset.
func (c *container) offset(at int) uint32 {
	if c.large {
		return le.Uint32(c.doc[at:])
	}
	return uint32(le.Uint16(c.doc[at:]))
}

// key returns the i-th key. Keys are to be asked for in order.
func (c *container) key(i int) ([]byte, error) {
	width := c.width()
	at := c.at + 2*width + i*(width+2)
	offset, size := uint64(c.offset(at)), uint64(le.Uint16(c.doc[at+width:]))
	from, to := uint64(c.at)+offset, uint64(c.at)+offset+size
	if from < uint64(c.keys) || to > uint64(c.end) {
		return nil, damaged(at, "a key of %d bytes at byte %d, where there is room from %d to %d", size, from, c.keys, c.end)
	}
	key := c.doc[from:to:to]
	if i > 0 && compareKeys(c.last, key) >= 0 {
		return nil, damaged(at, "the key %.64q stands behind %.64q", key, c.last)
	}
	c.keys, c.last = int(to), key
	return key, nil
}

// compareKeys tells the order in which members are stored.
func compareKeys(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// value returns the type of the i-th value and where its bytes are to be found.
func (c *container) value(i int) (typ byte, at, end int, err error) {
	at = c.entry + i*(c.width()+1)
	typ = c.doc[at]
	switch typ {
	case typeLiteral, typeInt16, typeUint16:
		return typ, at + 1, at + 1 + c.width(), nil
	case typeInt32, typeUint32:
		if c.large {
			return typ, at + 1, at + 1 + c.width(), nil
		}
	}
	from := uint64(c.at) + uint64(c.offset(at+1))
	if from < uint64(c.values) || from > uint64(c.end) {
		return 0, 0, 0, damaged(at, "a value at byte %d, where there is room from %d to %d", from, c.values, c.end)
	}
	return typ, int(from), c.end, nil
}

// passed is told where the value ended that value returned last.
func (c *container) passed(at int) { c.values = max(c.values, at) }

// appendScalar is appendValue for all but objects and arrays.
func appendScalar(dst, doc []byte, typ byte, at, end int) ([]byte, int, error) {
	left := end - at
	switch typ {
	case typeLiteral:
		if left < 1 {
			return dst, 0, damaged(at, "the document ends in a literal")
		}
		switch doc[at] {
		case 0:
			return append(dst, "null"...), at + 1, nil
		case 1:
			return append(dst, "true"...), at + 1, nil
		case 2:
			return append(dst, "false"...), at + 1, nil
		}
		return dst, 0, damaged(at, "%d is no literal", doc[at])
	case typeInt16, typeUint16:
		if left < 2 {
			break
		}
		if n := le.Uint16(doc[at:]); typ == typeUint16 {
			return appendInt(dst, int64(n)), at + 2, nil
		} else {
			return appendInt(dst, int64(int16(n))), at + 2, nil
		}
	case typeInt32, typeUint32:
		if left < 4 {
			break
		}
		if n := le.Uint32(doc[at:]); typ == typeUint32 {
			return appendInt(dst, int64(n)), at + 4, nil
		} else {
			return appendInt(dst, int64(int32(n))), at + 4, nil
		}
	case typeInt64, typeUint64, typeDouble:
		if left < 8 {
			break
		}
		switch n := le.Uint64(doc[at:]); typ {
		case typeInt64:
			return appendInt(dst, int64(n)), at + 8, nil
		case typeUint64:
			return appendUint(dst, n), at + 8, nil
		default:
			out, err := appendDouble(dst, n)
			if err != nil {
				return dst, 0, damaged(at, "%v", err)
			}
			return out, at + 8, nil
		}
	case typeString:
		from, to, err := span(doc, at, end)
		if err != nil {
			return dst, 0, err
		}
		return appendString(dst, doc[from:to]), to, nil
	case typeOpaque:
		if left < 1 {
			break
		}
		from, to, err := span(doc, at+1, end)
		if err != nil {
			return dst, 0, err
		}
		out, err := appendOpaque(dst, doc[at], doc[from:to])
		if err != nil {
			return dst, 0, damaged(at, "%v", err)
		}
		return out, to, nil
	default:
		return dst, 0, damaged(at, "there is no type %#02x", typ)
	}
	return dst, 0, damaged(at, "a value of type %#02x where %d bytes are left", typ, left)
}

// span reads the length at doc[at] and returns from where to where the bytes go that follow it.
func span(doc []byte, at, end int) (from, to int, err error) {
	var size uint64
	for i := range 5 {
		if at+i >= end {
			return 0, 0, damaged(at, "the document ends in a length")
		}
		b := doc[at+i]
		size |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			from = at + i + 1
			if size > uint64(end-from) {
				return 0, 0, damaged(at, "%d bytes are announced where %d are left", size, end-from)
			}
			return from, from + int(size), nil
		}
	}
	return 0, 0, damaged(at, "a length of more than five bytes")
}

// plain tells the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"
