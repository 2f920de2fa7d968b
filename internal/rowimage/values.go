package rowimage

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/cdcd-project/cdcd/cdc"
)

// badText counts the values of a layout that held bytes which their character set does not allow.
type badText struct {
	n      atomic.Uint64
	column atomic.Int64 // where the last of them was
}

// BadText returns how many values held bytes that their column's character set does not allow, which are U+FFFD in the
// frame, and which column the last of them was in.
func (l *Layout) BadText() (n uint64, column string) {
	if n = l.bad.n.Load(); n > 0 {
		column = l.table.Columns[l.bad.column.Load()].Name
	}
	return n, column
}

// This file writes values into frames, wherever they came from. What a server cannot have written is refused: these
// functions then report false.

func (c *column) putText(b *cdc.Builder, text []byte) error {
	out, clean, err := c.charset.appendUTF8(b.BeginText(), text)
	if err != nil {
		return err
	}
	if !clean {
		c.bad.n.Add(1)
		c.bad.column.Store(int64(c.at))
	}
	b.EndText(c.at, c.kind, out)
	return nil
}

// putBytes writes bytes as they are. A geometry without any, which servers that are not strict leave in a column that is
// NOT NULL, is NULL all the same: there is no geometry.
func (c *column) putBytes(b *cdc.Builder, value []byte) {
	if c.kind == cdc.KindGeometry && len(value) == 0 {
		b.SetNull(c.at)
		return
	}
	b.SetBytes(c.at, c.kind, value)
}

func (c *column) putCivil(b *cdc.Builder, civil cdc.Civil) bool {
	if civil.Year > 9999 || civil.Month > 12 || civil.Hour > 23 || civil.Minute > 59 || civil.Second > 59 {
		return false
	}
	b.SetCivil(c.at, c.kind, civil)
	return true
}

func (c *column) putEnum(b *cdc.Builder, n uint64) bool {
	if n > uint64(len(c.members)) {
		return false
	}
	text := "" // the error value
	if n > 0 {
		text = c.members[n-1]
	}
	b.SetText(c.at, c.kind, text)
	return true
}

func (c *column) putSet(b *cdc.Builder, n uint64) bool {
	if len(c.members) < 64 && n>>len(c.members) != 0 {
		return false
	}
	text := b.BeginText()
	for empty, at := true, 0; n != 0; n, at = n>>1, at+1 {
		if n&1 == 0 {
			continue
		}
		if !empty {
			text = append(text, ',')
		}
		text, empty = append(text, c.members[at]...), false
	}
	b.EndText(c.at, c.kind, text)
	return true
}

// appendPadded undoes what the servers do to BINARY: the log leaves out zero bytes at the end.
func (c *column) appendPadded(dst, value []byte) []byte {
	dst = append(dst, value...)
	for range c.size - len(value) {
		dst = append(dst, 0)
	}
	return dst
}

func (c *column) putUUID(b *cdc.Builder, value []byte) bool {
	var raw [16]byte
	if len(value) > len(raw) {
		return false
	}
	copy(raw[:], value)
	text := b.BeginText()
	for i, to := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, raw[[...]int{0, 4, 6, 8, 10}[i]:to])
	}
	b.EndText(c.at, c.kind, text)
	return true
}

func (c *column) putInet(b *cdc.Builder, value []byte) bool {
	var raw [16]byte
	if len(value) > c.size {
		return false
	}
	copy(raw[:], value)
	addr, ok := netip.AddrFromSlice(raw[:c.size])
	if ok {
		b.EndText(c.at, c.kind, addr.AppendTo(b.BeginText()))
	}
	return ok
}

// readTime reads TIME as microseconds. It is stored such that bytes sort like times: hours, minutes and seconds as bits
// from an offset on, and after them the fraction, which counts backwards for negative times.
func readTime(value []byte, fsp int) (micros int64, ok bool) {
	const offset = 1 << 23
	whole := int64(value[0])<<16 | int64(value[1])<<8 | int64(value[2]) - offset
	fraction, unit, over := int64(0), int64(1), int64(0)
	switch len(value) {
	case 4:
		fraction, unit, over = int64(value[3]), 10_000, 1<<8
	case 5:
		fraction, unit, over = int64(binary.BigEndian.Uint16(value[3:])), 100, 1<<16
	case 6:
		fraction, over = int64(uintBE(value[3:])), 1<<24
	}
	if whole < 0 && fraction != 0 {
		whole++
		fraction -= over
	}
	negative := whole < 0 || fraction < 0
	if negative {
		whole, fraction = -whole, -fraction
	}
	fraction *= unit
	hours, minutes, seconds := whole>>12, whole>>6&63, whole&63
	if hours > 838 || minutes > 59 || seconds > 59 || !fits(fraction, fsp) {
		return 0, false
	}
	if micros = ((hours*60+minutes)*60+seconds)*1_000_000 + fraction; negative {
		micros = -micros
	}
	return micros, true
}

// readDatetime reads DATETIME: a sign that is always set, and then year and month, day, hour, minute and second as bits.
func readDatetime(value []byte, fsp int) (cdc.Civil, bool) {
	n := uint64(value[0])<<32 | uint64(binary.BigEndian.Uint32(value[1:]))
	micros := readFraction(value[5:])
	if n>>39 == 0 || !fits(micros, fsp) {
		return cdc.Civil{}, false
	}
	months := int(n >> 22 & (1<<17 - 1))
	return cdc.Civil{Year: months / 13, Month: months % 13, Day: int(n >> 17 & 31), Hour: int(n >> 12 & 31),
		Minute: int(n >> 6 & 63), Second: int(n & 63), Micro: int(micros)}, true
}

// readFraction reads the microseconds of TIMESTAMP and DATETIME, of which as many bytes are stored as needed.
func readFraction(value []byte) int64 {
	switch len(value) {
	case 1:
		return int64(value[0]) * 10_000
	case 2:
		return int64(binary.BigEndian.Uint16(value)) * 100
	case 3:
		return int64(uintBE(value))
	}
	return 0
}

// fits reports whether microseconds are a fraction of no more digits than the column has.
func fits(micros int64, fsp int) bool {
	return micros == 0 || micros < 1_000_000 && micros%int64(pow10[6-fsp]) == 0
}

var pow10 = [...]uint32{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// decimalBytes is what a number of decimal digits below nine takes; nine digits take four bytes.
var decimalBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4}

func decimalSize(precision, scale int) int {
	whole := precision - scale
	return whole/9*4 + decimalBytes[whole%9] + scale/9*4 + decimalBytes[scale%9]
}

const maxDecimalSize = 40

// appendDecimal writes a DECIMAL in full. It is stored as groups of nine digits, counted from the point, the outer ones
// shorter; all bits of a negative number are inverted, and then the very first bit of any number.
func appendDecimal(dst, value []byte, precision, scale int) ([]byte, bool) {
	var buf [maxDecimalSize]byte
	mask := byte(0)
	if value[0]&0x80 == 0 {
		mask = 0xff
		dst = append(dst, '-')
	}
	for i, x := range value {
		buf[i] = x ^ mask
	}
	buf[0] ^= 0x80
	rest := buf[:len(value)]

	whole := precision - scale
	first := whole % 9
	group := uint32(uintBE(rest[:decimalBytes[first]]))
	rest = rest[decimalBytes[first]:]
	if group >= pow10[first] {
		return dst, false
	}
	begun := group != 0
	if begun {
		dst = strconv.AppendUint(dst, uint64(group), 10)
	}
	for range whole / 9 {
		group, rest = binary.BigEndian.Uint32(rest), rest[4:]
		switch {
		case group >= pow10[9]:
			return dst, false
		case begun:
			dst = appendDigits(dst, group, 9)
		case group != 0:
			dst, begun = strconv.AppendUint(dst, uint64(group), 10), true
		}
	}
	if !begun {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst, true
	}
	dst = append(dst, '.')
	for range scale / 9 {
		if group, rest = binary.BigEndian.Uint32(rest), rest[4:]; group >= pow10[9] {
			return dst, false
		}
		dst = appendDigits(dst, group, 9)
	}
	last := scale % 9
	if group = uint32(uintBE(rest)); group >= pow10[last] {
		return dst, false
	}
	return appendDigits(dst, group, last), true
}

func appendDigits(dst []byte, n uint32, digits int) []byte {
	var text [9]byte
	for i := digits - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, text[:digits]...)
}
