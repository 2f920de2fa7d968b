package rules

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// fixtureValue returns the value that x, in its delivered JSON form, is for a column; or a hint how to write one.
func fixtureValue(c *cdc.Column, x any) (cdc.Value, string) {
	if x == nil {
		if !c.Nullable {
			return cdc.Value{}, "the column is NOT NULL"
		}
		return cdc.NullValue(), ""
	}
	text, isText := x.(string)
	num, isNum := x.(json.Number)
	switch c.Kind {
	case cdc.KindBool:
		if b, ok := x.(bool); ok {
			return cdc.BoolValue(b), ""
		}
		return cdc.Value{}, "write true or false"
	case cdc.KindInt64:
		if b, ok := x.(bool); ok && isFlag(c) {
			return cdc.Int64Value(map[bool]int64{true: 1}[b]), ""
		}
		if n, err := strconv.ParseInt(string(num), 10, 64); isNum && err == nil {
			return cdc.Int64Value(n), ""
		}
		return cdc.Value{}, "write a whole number without quotes"
	case cdc.KindUint64, cdc.KindBit:
		n, err := strconv.ParseUint(string(num), 10, 64)
		if b, ok := x.(bool); ok && isFlag(c) {
			n, err, isNum = map[bool]uint64{true: 1}[b], nil, true
		}
		if !isNum || err != nil {
			return cdc.Value{}, "write a whole number, 0 or more, without quotes"
		}
		if c.Kind == cdc.KindBit {
			return cdc.BitValue(n), ""
		}
		return cdc.Uint64Value(n), ""
	case cdc.KindFloat64:
		f, err := strconv.ParseFloat(string(num), 64)
		if !isNum || err != nil {
			return cdc.Value{}, "write a number without quotes"
		}
		if c.Float32 {
			f = float64(float32(f))
		}
		return cdc.Float64Value(f), ""
	case cdc.KindDecimal:
		return decimalValue(c, text, isText)
	case cdc.KindString, cdc.KindEnum:
		if !isText {
			return cdc.Value{}, "write it in quotes"
		}
		if c.Kind == cdc.KindEnum && len(c.Members) > 0 && !slices.Contains(c.Members, text) {
			if near, ok := nearest(text, c.Members); ok {
				return cdc.Value{}, fmt.Sprintf("did you mean '%s'?", near)
			}
			return cdc.Value{}, "it is one of '" + strings.Join(c.Members, "', '") + "'"
		}
		return cdc.TextValue(c.Kind, text), ""
	case cdc.KindSet:
		return setValue(c, x)
	case cdc.KindBytes:
		raw, err := base64.StdEncoding.DecodeString(text)
		if !isText || err != nil {
			return cdc.Value{}, "write it in base64"
		}
		return cdc.TextValue(c.Kind, string(raw)), ""
	case cdc.KindDate, cdc.KindDatetime:
		out, hint := civilText(text, c)
		if !isText || hint != "" {
			return cdc.Value{}, orElse(hint, "write it in quotes")
		}
		return cdc.CivilValue(c.Kind, parseCivil(out)), ""
	case cdc.KindTime:
		out, hint := civilText(text, c)
		if !isText || hint != "" {
			return cdc.Value{}, orElse(hint, "write it in quotes")
		}
		return cdc.TimeValue(parseTime(out)), ""
	case cdc.KindTimestamp:
		if strings.HasPrefix(text, "0000-00-00") {
			return cdc.TimestampValue(0), ""
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if !isText || err != nil {
			return cdc.Value{}, "write it like '2026-01-01T00:00:00Z'"
		}
		return cdc.TimestampValue(at.UnixMicro()), ""
	case cdc.KindJSON:
		raw, err := json.Marshal(x)
		if err != nil {
			return cdc.Value{}, "write a JSON value"
		}
		return cdc.TextValue(c.Kind, string(raw)), ""
	case cdc.KindGeometry:
		return geometryValue(x)
	case cdc.KindVector:
		return vectorValue(x)
	}
	return cdc.Value{}, "values of this type cannot be written"
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// decimalValue fills in the digits that the column has.
func decimalValue(c *cdc.Column, text string, isText bool) (cdc.Value, string) {
	d, err := parseDecimal(text)
	if !isText || err != nil {
		return cdc.Value{}, "write the digits in quotes: \"12.50\""
	}
	_, fraction, point := strings.Cut(string(d), ".")
	if len(strings.TrimRight(fraction, "0")) > int(c.Scale) {
		return cdc.Value{}, fmt.Sprintf("the column has %d digits after the point", c.Scale)
	}
	s := string(d)
	if missing := int(c.Scale) - len(fraction); missing > 0 {
		if !point {
			s += "."
		}
		s += strings.Repeat("0", missing)
	}
	return cdc.TextValue(cdc.KindDecimal, s), ""
}

func setValue(c *cdc.Column, x any) (cdc.Value, string) {
	items, ok := x.([]any)
	if !ok {
		return cdc.Value{}, "write a list: [a, b]"
	}
	var members []string
	for _, item := range items {
		m, ok := item.(string)
		if !ok || strings.Contains(m, ",") || len(c.Members) > 0 && !slices.Contains(c.Members, m) {
			return cdc.Value{}, "its members are '" + strings.Join(c.Members, "', '") + "'"
		}
		members = append(members, m)
	}
	return cdc.TextValue(cdc.KindSet, strings.Join(members, ",")), ""
}

func geometryValue(x any) (cdc.Value, string) {
	m, _ := x.(map[string]any)
	srid, _ := m["srid"].(json.Number)
	wkb, _ := m["wkb"].(string)
	n, err := strconv.ParseUint(string(srid), 10, 32)
	raw, err2 := base64.StdEncoding.DecodeString(wkb)
	if err != nil || err2 != nil || len(raw) == 0 {
		return cdc.Value{}, "write {srid: 4326, wkb: \"…\"} with the WKB in base64"
	}
	return cdc.TextValue(cdc.KindGeometry, string(binary.LittleEndian.AppendUint32(nil, uint32(n)))+string(raw)), ""
}

func vectorValue(x any) (cdc.Value, string) {
	items, ok := x.([]any)
	if !ok {
		return cdc.Value{}, "write a list of numbers"
	}
	var raw []byte
	for _, item := range items {
		num, _ := item.(json.Number)
		f, err := strconv.ParseFloat(string(num), 32)
		if err != nil {
			return cdc.Value{}, "write a list of numbers"
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
	}
	return cdc.TextValue(cdc.KindVector, string(raw)), ""
}

// parseCivil reads what civilText gave.
func parseCivil(s string) cdc.Civil {
	n := func(from, to int) int {
		if to > len(s) {
			return 0
		}
		v, _ := strconv.Atoi(s[from:to])
		return v
	}
	return cdc.Civil{Year: n(0, 4), Month: n(5, 7), Day: n(8, 10), Hour: n(11, 13), Minute: n(14, 16), Second: n(17, 19), Micro: micros(s[min(len(s), 19):])}
}

// micros reads a fraction such as .123.
func micros(fraction string) int {
	digits := strings.TrimPrefix(fraction, ".")
	v, _ := strconv.Atoi((digits + "000000")[:6])
	return v
}

// parseTime reads what civilText gave for a TIME.
func parseTime(s string) int64 {
	digits := strings.TrimPrefix(s, "-")
	parts := strings.SplitN(digits, ":", 3)
	hours, _ := strconv.Atoi(parts[0])
	minutes, _ := strconv.Atoi(parts[1])
	whole, fraction, _ := strings.Cut(parts[2], ".")
	seconds, _ := strconv.Atoi(whole)
	n := int64(hours*3600+minutes*60+seconds)*1_000_000 + int64(micros(fraction))
	if s != digits {
		return -n
	}
	return n
}
