package form

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// The columns of rows that tell of the change; those of the table follow, as before_… and after_….
var fixed = []string{"id", "op", "change", "commit_time", "table", "feed", "rules", "tags", "key", "lookup", "absent",
	"source", "gtid", "file", "pos", "row", "no", "part_no"}

// csvRows writes deliveries as rows of CSV as RFC 4180 has it. Nothing between two commas is NULL, "" is the empty text.
type csvRows struct{}

// append leaves out the line feed of the row's end: whoever collects records adds it.
func (csvRows) append(dst []byte, d *cdc.Delivery) []byte {
	e, t, p := d.Event, d.Event.Table(), d.Event.Position()
	dst = quoteCell(p.AppendID(dst), len(dst))
	dst = append(append(dst, ','), e.Op().String()...)
	dst = append(append(dst, ','), d.Change...)
	dst = cdc.AppendInstant(append(dst, ','), p.CommitTime, 6)
	dst = appendCell(append(dst, ','), t.String())
	dst = appendCell(append(dst, ','), d.Feed)
	dst = append(dst, ',')
	dst = quoteCell(d.AppendRules(dst), len(dst))
	dst = append(dst, ',')
	if len(d.Tags) > 0 {
		dst = quoteCell(d.AppendTags(dst), len(dst))
	}
	dst = append(dst, ',')
	if d.Key != nil {
		dst = quoteCell(d.AppendKey(dst), len(dst))
	}
	dst = append(dst, ',')
	if len(d.Lookups) > 0 {
		dst = quoteCell(d.AppendLookups(dst), len(dst))
	}
	dst = append(dst, ',')
	if absent := appendAbsent(dst, d); len(absent) > len(dst) {
		dst = quoteCell(absent, len(dst))
	}
	dst = appendCell(append(dst, ','), e.Batch().Header().Source)
	dst = append(dst, ',')
	if p.GTID != "" {
		dst = appendCell(dst, p.GTID)
	}
	dst = appendCell(append(dst, ','), p.File)
	for _, n := range [...]uint64{p.Pos, uint64(p.Row), e.No(), e.PartNo()} {
		dst = strconv.AppendUint(append(dst, ','), n, 10)
	}
	for _, values := range [...][]cdc.Value{d.Before, d.After} {
		for i := range t.Columns {
			dst = append(dst, ',')
			if values != nil {
				dst = appendCSV(dst, &d.Columns[i], values[i])
			}
		}
	}
	return append(dst, '\r')
}

func appendCSV(dst []byte, c *cdc.Column, v cdc.Value) []byte {
	switch v.Kind() {
	case cdc.KindAbsent, cdc.KindNull:
		return dst
	case cdc.KindString, cdc.KindEnum, cdc.KindSet:
		return appendCell(dst, v.Text())
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector, cdc.KindBytes:
		return quoteCell(cdc.AppendText(dst, c, v), len(dst))
	case cdc.KindFloat64:
		if out := cdc.AppendJSON(dst, c, v); string(out[len(dst):]) != "null" { // neither server stores that
			return out
		}
		return dst
	}
	return cdc.AppendText(dst, c, v) // without anything that needs quotes
}

// appendAbsent appends the names of the columns that a row has no value of, not even NULL, as a JSON array: "before" and
// "after" stand for a whole image. Nothing when there is none.
func appendAbsent(dst []byte, d *cdc.Delivery) []byte {
	open := byte('[')
	say := func(image, column string) {
		dst = append(dst, open)
		open = ','
		if column != "" {
			image += "_" + column
		}
		dst = cdc.AppendString(dst, image)
	}
	for n, image := range [...]string{"before", "after"} {
		values := [...][]cdc.Value{d.Before, d.After}[n]
		if values == nil {
			say(image, "")
			continue
		}
		for i := range values {
			if values[i].IsAbsent() {
				say(image, d.Event.Table().Columns[i].Name)
			}
		}
	}
	if open == ',' {
		dst = append(dst, ']')
	}
	return dst
}

// appendCell appends a text, in quotes where it needs them. Bytes that are not UTF-8 become U+FFFD, as in JSON.
func appendCell(dst []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") && utf8.ValidString(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i, r := range s {
		switch {
		case r == '"':
			dst = append(dst, `""`...)
		case r == utf8.RuneError:
			dst = append(dst, "\ufffd"...)
		case r < utf8.RuneSelf:
			dst = append(dst, s[i])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// quoteCell makes a cell of the text that dst ends with, from start on: what [appendCell] would have made of it.
func quoteCell(dst []byte, start int) []byte {
	cell := dst[start:]
	if !utf8.Valid(cell) { // only where a source is broken
		return appendCell(dst[:start], string(cell))
	}
	if len(cell) > 0 && bytes.IndexByte(cell, '"') < 0 && bytes.IndexByte(cell, ',') < 0 && !bytes.ContainsAny(cell, "\r\n") {
		return dst
	}
	from := len(dst)
	more := 2 + bytes.Count(cell, []byte{'"'})
	dst = slices.Grow(dst, more)[:from+more]
	to := len(dst) - 1
	dst[to] = '"'
	for from > start { // from behind, each byte once
		from, to = from-1, to-1
		dst[to] = dst[from]
		if dst[from] == '"' {
			to--
			dst[to] = '"'
		}
	}
	dst[start] = '"'
	return dst
}

// csvFile is a file of CSV: a header, then the rows.
type csvFile struct{}

func (csvFile) extension() string { return ".csv" }
func (csvFile) single() bool      { return true }

func (csvFile) seal(k *Kind, lines []byte) ([]byte, error) {
	header := appendHeader(make([]byte, 0, len(lines)+1024), k)
	return append(header, lines...), nil
}

func appendHeader(dst []byte, k *Kind) []byte {
	dst = append(dst, strings.Join(fixed, ",")...)
	for _, image := range [...]string{"before_", "after_"} {
		for i := range k.Columns {
			dst = appendCell(append(dst, ','), image+k.Columns[i].Name)
		}
	}
	return append(dst, "\r\n"...)
}

func (f csvFile) unseal(body []byte) ([]byte, error) {
	header, rows := f.next(body)
	if !bytes.HasPrefix(header, []byte(strings.Join(fixed, ","))) {
		return nil, errors.New("it does not begin with the header of a feed's CSV")
	}
	return rows, nil
}

// next cuts at the first end of a line that is not in quotes.
func (csvFile) next(lines []byte) (record, rest []byte) {
	quoted := false
	for i, c := range lines {
		if c == '"' {
			quoted = !quoted
		} else if c == '\n' && !quoted {
			return bytes.TrimSuffix(lines[:i], []byte{'\r'}), lines[i+1:]
		}
	}
	return bytes.TrimSuffix(lines, []byte{'\r'}), nil
}
