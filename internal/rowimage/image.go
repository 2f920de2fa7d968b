package rowimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/jsonb"
)

// This file reads row images as they stand in the log: a bitmap of the columns that are NULL, then the values of the
// others, without anything between them. Lengths that the image claims are believed only as far as its bytes go.

// Columns returns how many columns a row image has, be they all in the frame's table or not.
func (l *Layout) Columns() int { return len(l.columns) }

// appendImage writes the row image that stands at the beginning of image, and returns its place in the frame and what
// follows it. present is the row event's bitmap of the columns that its images hold; with patches, some of them stand there
// as differences. After an error the row is taken back.
func (l *Layout) appendImage(b *cdc.Builder, image, present []byte, patches *patches) (row uint32, rest []byte, err error) {
	nulls, rest, err := l.cutNulls(image, present)
	if err != nil {
		return 0, nil, err
	}
	b.BeginRow(len(l.table.Columns))
	null := 0
	for i := range l.columns {
		if !bit(present, i) {
			continue
		}
		c := &l.columns[i]
		if null++; bit(nulls, null-1) {
			if c.at >= 0 {
				b.SetNull(c.at)
			}
			continue
		}
		var value []byte
		var ok bool
		if value, rest, ok = c.cut(rest); !ok {
			b.DropRow()
			return 0, nil, l.short(i)
		}
		switch {
		case c.at < 0:
			continue
		case patches.hold(c):
			err = l.putPatched(b, i, patches, value)
		default:
			err = c.putLogged(b, value)
		}
		if err == nil && c.masked != nil {
			err = c.maskLast(b)
		}
		if err != nil {
			b.DropRow()
			return 0, nil, l.valueError(i, err)
		}
	}
	return b.EndRow(), rest, nil
}

// putPatched writes the JSON document that the differences make of the one in the image before.
func (l *Layout) putPatched(b *cdc.Builder, i int, p *patches, diffs []byte) error {
	doc, ok := l.find(p.before, p.present, i)
	if !ok {
		return ErrNoDocument
	}
	text, err := jsonb.AppendPatched(b.BeginText(), doc, diffs)
	if err != nil {
		return err
	}
	b.EndText(l.columns[i].at, l.columns[i].kind, text)
	return nil
}

// find returns the value of a column of a row image, if it has one that is not NULL.
func (l *Layout) find(image, present []byte, column int) (value []byte, ok bool) {
	if present == nil || !bit(present, column) {
		return nil, false
	}
	nulls, rest, err := l.cutNulls(image, present)
	if err != nil {
		return nil, false
	}
	null := 0
	for i := range column + 1 {
		if !bit(present, i) {
			continue
		}
		if null++; bit(nulls, null-1) {
			value, ok = nil, false
			continue
		}
		if value, rest, ok = l.columns[i].cut(rest); !ok {
			return nil, false
		}
	}
	return value, ok
}

// skipImage returns what follows the row image that stands at the beginning of image.
func (l *Layout) skipImage(image, present []byte) (rest []byte, err error) {
	nulls, rest, err := l.cutNulls(image, present)
	if err != nil {
		return nil, err
	}
	null := 0
	for i := range l.columns {
		if !bit(present, i) {
			continue
		}
		if null++; bit(nulls, null-1) {
			continue
		}
		var ok bool
		if _, rest, ok = l.columns[i].cut(rest); !ok {
			return nil, l.short(i)
		}
	}
	return rest, nil
}

// cutNulls cuts off the bitmap of NULLs, which has a bit for each column that is present.
func (l *Layout) cutNulls(image, present []byte) (nulls, rest []byte, err error) {
	n := len(l.columns)
	if len(present) != (n+7)/8 {
		return nil, nil, fmt.Errorf("a bitmap of %d bytes for %d columns", len(present), n)
	}
	count := 0
	for _, b := range present {
		count += bits.OnesCount8(b)
	}
	if n%8 != 0 {
		count -= bits.OnesCount8(present[n/8] >> (n % 8)) // bits that mean nothing
	}
	if count = (count + 7) / 8; count > len(image) {
		return nil, nil, fmt.Errorf("a row ends within its bitmap of NULLs")
	}
	return image[:count], image[count:], nil
}

func bit(bitmap []byte, i int) bool { return bitmap[i>>3]>>(i&7)&1 != 0 }

func (l *Layout) short(i int) error { return l.valueError(i, errShort) }

var errShort = errors.New("the row ends within its value")

func (l *Layout) valueError(i int, err error) error {
	if l.columns[i].masked != nil && err != errShort && err != ErrNoDocument {
		err = errors.New("a value cannot be read or masked") // what err says may show it
	}
	return fmt.Errorf("column %s: %w", l.name(i), err)
}

// cut cuts off a value, without its length.
func (c *column) cut(data []byte) (value, rest []byte, ok bool) {
	n := uint(c.fixed)
	switch c.prefix {
	case 1:
		if len(data) < 1 {
			return nil, nil, false
		}
		n, data = uint(data[0]), data[1:]
	case 2:
		if len(data) < 2 {
			return nil, nil, false
		}
		n, data = uint(binary.LittleEndian.Uint16(data)), data[2:]
	case 3:
		if len(data) < 3 {
			return nil, nil, false
		}
		n, data = uint(uint24(data)), data[3:]
	case 4:
		if len(data) < 4 {
			return nil, nil, false
		}
		n, data = uint(binary.LittleEndian.Uint32(data)), data[4:]
	}
	if n > uint(len(data)) {
		return nil, nil, false
	}
	return data[:n], data[n:], true
}

// putLogged writes a value as it stands in the log.
func (c *column) putLogged(b *cdc.Builder, value []byte) error {
	if c.packed {
		return c.putCompressed(b, value)
	}
	return c.put(b, value)
}

// put writes a value. It has the bytes of its type, which cut has seen to, where that has a fixed number.
func (c *column) put(b *cdc.Builder, value []byte) error {
	switch c.convert {
	case convertInt:
		n := uintLE(value)
		if c.unsigned {
			b.SetUint(c.at, n)
		} else {
			unused := 64 - 8*len(value)
			b.SetInt(c.at, int64(n<<unused)>>unused)
		}
		return nil
	case convertYear:
		year := int64(value[0])
		if year != 0 {
			year += 1900
		}
		b.SetInt(c.at, year)
		return nil
	case convertFloat:
		if len(value) == 4 {
			b.SetFloat(c.at, float64(math.Float32frombits(binary.LittleEndian.Uint32(value))))
		} else {
			b.SetFloat(c.at, math.Float64frombits(binary.LittleEndian.Uint64(value)))
		}
		return nil
	case convertDecimal:
		if text, ok := appendDecimal(b.BeginText(), value, int(c.precision), int(c.scale)); ok {
			b.EndText(c.at, c.kind, text)
			return nil
		}
	case convertBit:
		b.SetNum(c.at, c.kind, uintBE(value))
		return nil
	case convertDate:
		n := int(uint24(value))
		if c.putCivil(b, cdc.Civil{Year: n >> 9, Month: n >> 5 & 15, Day: n & 31}) {
			return nil
		}
	case convertTime:
		if micros, ok := readTime(value, int(c.fsp)); ok {
			b.SetNum(c.at, c.kind, uint64(micros))
			return nil
		}
	case convertDatetime:
		if civil, ok := readDatetime(value, int(c.fsp)); ok && c.putCivil(b, civil) {
			return nil
		}
	case convertTimestamp:
		seconds, micros := int64(binary.BigEndian.Uint32(value)), readFraction(value[4:])
		if !fits(micros, int(c.fsp)) {
			break
		}
		if seconds == 0 {
			micros = 0 // the zero date has no fraction
		}
		b.SetNum(c.at, c.kind, uint64(seconds*1_000_000+micros))
		return nil
	case convertText:
		return c.putText(b, value)
	case convertBytes:
		c.putBytes(b, value)
		return nil
	case convertBinary:
		b.EndText(c.at, c.kind, c.appendPadded(b.BeginText(), value))
		return nil
	case convertUUID:
		if c.putUUID(b, value) {
			return nil
		}
	case convertInet:
		if c.putInet(b, value) {
			return nil
		}
	case convertJSON:
		text, err := jsonb.AppendText(b.BeginText(), value)
		if err != nil {
			return err
		}
		b.EndText(c.at, c.kind, text)
		return nil
	case convertEnum:
		if c.putEnum(b, uintLE(value)) {
			return nil
		}
	case convertSet:
		if c.putSet(b, uintLE(value)) {
			return nil
		}
	}
	return fmt.Errorf("the binlog holds %x, which is not a %s", value[:min(len(value), 100)], c.kind)
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func uintLE(b []byte) (n uint64) {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	for i, x := range b {
		n |= uint64(x) << (8 * i)
	}
	return n
}

func uintBE(b []byte) (n uint64) {
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}
