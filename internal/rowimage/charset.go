package rowimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// charset is how a server writes text.
type charset struct {
	name     string
	encoding encoding.Encoding // nil: the bytes are UTF-8 already
	ascii    bool              // bytes below 0x80 mean what they mean in ASCII
	width    int               // most bytes of a character, by which the server multiplies declared lengths
	known    bool
	others   map[uint32]rune // characters that the servers read otherwise than encoding, by their bytes

	decoders sync.Pool // of *encoding.Decoder, which have a state
}

var (
	binaryCharset  = &charset{name: "binary", ascii: true, width: 1, known: true}
	utf8mb4Charset = &charset{name: "utf8mb4", ascii: true, width: 4, known: true}
	utf8mb3Charset = &charset{name: "utf8mb3", ascii: true, width: 3, known: true}
	asciiCharset   = &charset{name: "ascii", ascii: true, width: 1, known: true}
)

// charsets are those that are not UTF-8, with the ids of their collations as both servers number them.
var charsets = []struct {
	charset
	collations []uint16
}{
	{charset{name: "latin1", encoding: charmap.Windows1252, ascii: true, width: 1}, []uint16{5, 8, 15, 31, 47, 48, 49, 94}},
	{charset{name: "latin2", encoding: charmap.ISO8859_2, ascii: true, width: 1}, []uint16{2, 9, 21, 27, 77}},
	{charset{name: "latin5", encoding: charmap.ISO8859_9, ascii: true, width: 1}, []uint16{30, 78}},
	{charset{name: "latin7", encoding: charmap.ISO8859_13, ascii: true, width: 1}, []uint16{20, 41, 42, 79}},
	{charset{name: "greek", encoding: charmap.ISO8859_7, ascii: true, width: 1}, []uint16{25, 70}},
	{charset{name: "hebrew", encoding: charmap.ISO8859_8, ascii: true, width: 1}, []uint16{16, 71}},
	{charset{name: "cp1250", encoding: charmap.Windows1250, ascii: true, width: 1}, []uint16{26, 34, 44, 66, 99}},
	{charset{name: "cp1251", encoding: charmap.Windows1251, ascii: true, width: 1}, []uint16{14, 23, 50, 51, 52}},
	{charset{name: "cp1256", encoding: charmap.Windows1256, ascii: true, width: 1}, []uint16{57, 67}},
	{charset{name: "cp1257", encoding: charmap.Windows1257, ascii: true, width: 1}, []uint16{29, 58, 59}},
	{charset{name: "cp850", encoding: charmap.CodePage850, ascii: true, width: 1}, []uint16{4, 80}},
	{charset{name: "cp852", encoding: charmap.CodePage852, ascii: true, width: 1}, []uint16{40, 81}},
	{charset{name: "cp866", encoding: charmap.CodePage866, ascii: true, width: 1}, []uint16{36, 68}},
	{charset{name: "koi8r", encoding: charmap.KOI8R, ascii: true, width: 1}, []uint16{7, 74}},
	{charset{name: "koi8u", encoding: charmap.KOI8U, ascii: true, width: 1}, []uint16{22, 75}},
	{charset{name: "tis620", encoding: charmap.Windows874, ascii: true, width: 1}, []uint16{18, 89}},
	{charset{name: "macroman", encoding: charmap.Macintosh, ascii: true, width: 1}, []uint16{39, 53}},
	{charset{name: "gbk", encoding: simplifiedchinese.GBK, ascii: true, width: 2}, []uint16{28, 87}},
	{charset{name: "gb2312", encoding: simplifiedchinese.GBK, ascii: true, width: 2}, []uint16{24, 86}},
	{charset{name: "gb18030", encoding: simplifiedchinese.GB18030, ascii: true, width: 4}, []uint16{248, 249, 250}},
	{charset{name: "big5", encoding: traditionalchinese.Big5, ascii: true, width: 2}, []uint16{1, 84}},
	{charset{name: "sjis", encoding: japanese.ShiftJIS, ascii: true, width: 2}, []uint16{13, 88}},
	{charset{name: "cp932", encoding: japanese.ShiftJIS, ascii: true, width: 2}, []uint16{95, 96}},
	{charset{name: "ujis", encoding: japanese.EUCJP, ascii: true, width: 3}, []uint16{12, 91}},
	{charset{name: "eucjpms", encoding: japanese.EUCJP, ascii: true, width: 3}, []uint16{97, 98}},
	{charset{name: "euckr", encoding: korean.EUCKR, ascii: true, width: 2}, []uint16{19, 85}},
	{charset{name: "ucs2", encoding: utf16be, width: 2}, []uint16{35, 90, 159}},
	{charset{name: "utf16", encoding: utf16be, width: 4}, []uint16{54, 55}},
	{charset{name: "utf16le", encoding: utf16le, width: 4}, []uint16{56, 62}},
	{charset{name: "utf32", encoding: utf32be, width: 4}, []uint16{60, 61}},
}

var (
	utf16be = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	utf16le = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	utf32be = utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
)

var charsetByName = func() map[string]*charset {
	m := map[string]*charset{"binary": binaryCharset, "utf8mb4": utf8mb4Charset, "utf8mb3": utf8mb3Charset,
		"utf8": utf8mb3Charset, "ascii": asciiCharset}
	for i := range charsets {
		charsets[i].known = true
		charsets[i].others = otherCharacters[charsets[i].name]
		m[charsets[i].name] = &charsets[i].charset
	}
	return m
}()

var charsetByCollation = func() map[uint16]*charset {
	m := map[uint16]*charset{63: binaryCharset, 11: asciiCharset, 65: asciiCharset}
	for i := range charsets {
		for _, id := range charsets[i].collations {
			m[id] = charsetByName[charsets[i].name]
		}
	}
	span := func(cs *charset, from, to uint16) {
		for id := from; id <= to; id++ {
			m[id] = cs
		}
	}
	span(charsetByName["utf16"], 101, 124)
	span(charsetByName["ucs2"], 128, 151)
	span(charsetByName["utf32"], 160, 183)
	span(utf8mb3Charset, 192, 215)
	span(utf8mb4Charset, 224, 247)
	span(utf8mb4Charset, 255, 330)
	for _, id := range []uint16{33, 76, 83, 223} {
		m[id] = utf8mb3Charset
	}
	for _, id := range []uint16{45, 46} {
		m[id] = utf8mb4Charset
	}
	return m
}()

// charsetOf returns the character set of a collation. MariaDB has variants of the common collations with 1024 added
// (no padding), and from 2048 the UCA 14.0.0 collations, whose ids hold the character set in bits 8 to 10.
func charsetOf(collation uint64) *charset {
	id := collation
	if id >= 2048 && id < 4096 {
		switch id >> 8 & 7 {
		case 0:
			return utf8mb3Charset
		case 1:
			return utf8mb4Charset
		case 2:
			return charsetByName["ucs2"]
		case 3:
			return charsetByName["utf16"]
		case 4:
			return charsetByName["utf32"]
		}
	}
	if id >= 1024 && id < 2048 {
		id -= 1024
	}
	if cs := charsetByCollation[uint16(min(id, 65535))]; cs != nil {
		return cs
	}
	return &charset{name: fmt.Sprintf("of collation %d", collation), width: 1}
}

// isASCII looks at eight bytes at a time where it can.
func isASCII(s []byte) bool {
	for len(s) >= 8 {
		if binary.LittleEndian.Uint64(s)&0x8080808080808080 != 0 {
			return false
		}
		s = s[8:]
	}
	for _, b := range s {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendUTF8 appends text of the character set as UTF-8. It is the only place where bytes become text. Bytes that the
// character set does not allow become U+FFFD; clean is false then.
func (c *charset) appendUTF8(dst, text []byte) (out []byte, clean bool, err error) {
	switch {
	case c.encoding == nil && c.known:
		if utf8.Valid(text) {
			return append(dst, text...), true, nil
		}
		for len(text) > 0 {
			r, size := utf8.DecodeRune(text)
			dst, text = utf8.AppendRune(dst, r), text[size:]
		}
		return dst, false, nil
	case c.ascii && isASCII(text):
		return append(dst, text...), true, nil
	}
	out, err = c.convert(dst, text)
	return out, !bytes.Contains(out[len(dst):], []byte("\uFFFD")), err
}

// convert appends what is not UTF-8 already.
func (c *charset) convert(dst, text []byte) ([]byte, error) {
	switch e := c.encoding.(type) {
	case nil:
		return dst, fmt.Errorf("the character set %s is not supported", c.name)
	case *charmap.Charmap:
		for _, b := range text {
			r := e.DecodeByte(b)
			if other, ok := c.others[uint32(b)]; ok {
				r = other
			}
			dst = utf8.AppendRune(dst, r)
		}
		return dst, nil
	}
	for len(c.others) > 0 && len(text) > 0 {
		at, size, other := c.other(text)
		if size == 0 {
			break
		}
		var err error
		if dst, err = c.transform(dst, text[:at]); err != nil {
			return dst, err
		}
		dst, text = utf8.AppendRune(dst, other), text[at+size:]
	}
	return c.transform(dst, text)
}

// other finds the next character that is among the others; size is 0 if there is none.
func (c *charset) other(text []byte) (at, size int, other rune) {
	for at < len(text) {
		size = c.characterSize(text[at:])
		if size > 1 {
			if other, ok := c.others[uint32(uintBE(text[at:at+size]))]; ok {
				return at, size, other
			}
		}
		at += size
	}
	return at, 0, 0
}

// characterSize returns how many bytes the character at the beginning of text has.
func (c *charset) characterSize(text []byte) int {
	first, size := text[0], 2
	switch {
	case first < 0x80:
		return 1
	case c.name == "sjis" || c.name == "cp932":
		if first >= 0xa1 && first <= 0xdf || first == 0x80 {
			return 1
		}
	case first == 0x8f && (c.name == "ujis" || c.name == "eucjpms"):
		size = 3
	case c.name == "gb18030" && len(text) > 1 && text[1] >= '0' && text[1] <= '9':
		size = 4
	}
	return min(size, len(text))
}

func (c *charset) transform(dst, text []byte) ([]byte, error) {
	decoder, _ := c.decoders.Get().(*encoding.Decoder)
	if decoder == nil {
		decoder = c.encoding.NewDecoder()
	}
	defer c.decoders.Put(decoder)
	decoder.Reset()
	for {
		dst = slices.Grow(dst, 3*len(text)+utf8.UTFMax)
		wrote, read, err := decoder.Transform(dst[len(dst):cap(dst)], text, true)
		dst, text = dst[:len(dst)+wrote], text[read:]
		if !errors.Is(err, transform.ErrShortDst) {
			return dst, err
		}
	}
}

// decode returns s as UTF-8.
func (c *charset) decode(s string) (string, error) {
	text, _, err := c.appendUTF8(nil, []byte(s))
	return string(text), err
}

// IsUTF8 reports that text in the character set of the collation is UTF-8 as it is.
func IsUTF8(collation uint16, text []byte) bool {
	cs := charsetOf(uint64(collation))
	return cs.encoding == nil && cs.known || cs.ascii && isASCII(text)
}

// DecodeText returns text in the character set of the collation as UTF-8.
func DecodeText(collation uint16, text []byte) (string, error) {
	return charsetOf(uint64(collation)).decode(string(text))
}
