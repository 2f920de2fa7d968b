package form

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/cdcd-project/cdcd/cdc"
)

// description is a table as the file's metadata describe it.
type description struct {
	Table   string `json:"table"`
	Columns []struct {
		Name      string `json:"name"`
		Type      string `json:"type"`
		Kind      string `json:"kind"`
		Fsp       uint8  `json:"fsp"`
		Precision uint8  `json:"precision"`
		Scale     uint8  `json:"scale"`
		Float32   bool   `json:"float32"`
		Unsigned  bool   `json:"unsigned"`
	} `json:"columns"`
}

// unseal makes the records of a file again.
func (parquetFile) unseal(body []byte) ([]byte, error) {
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	text, ok := file.Lookup(keyTable)
	format, _ := file.Lookup(keyFormat)
	if !ok || format != "1" {
		return nil, fmt.Errorf("its metadata have no %s, or %s is not 1", keyTable, keyFormat)
	}
	var d description
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("%s: %w", keyTable, err)
	}
	dec := &decoder{columns: make([]cdc.Column, len(d.Columns))}
	for i, c := range d.Columns {
		kind, ok := kinds[c.Kind]
		if !ok {
			return nil, fmt.Errorf("column %s is of kind %q", c.Name, c.Kind)
		}
		dec.columns[i] = cdc.Column{Name: c.Name, Type: c.Type, Kind: kind, Fsp: c.Fsp, Precision: c.Precision, Scale: c.Scale, Float32: c.Float32,
			Unsigned: c.Unsigned}
	}
	if got, want := len(file.Schema().Columns()), leafColumns+2*len(d.Columns); got != want {
		return nil, fmt.Errorf("it has %d columns and should have %d", got, want)
	}
	var lines []byte
	rows := parquet.NewReader(file)
	defer rows.Close()
	buf := make([]parquet.Row, 64)
	for left := file.NumRows(); left > 0; {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			lines = append(dec.record(lines, row), '\n')
		}
		if left -= int64(n); n == 0 || err != nil && left > 0 {
			return nil, fmt.Errorf("%d rows are missing: %w", left, err)
		}
	}
	return lines, nil
}

// kinds by their names.
var kinds = func() map[string]cdc.Kind {
	m := map[string]cdc.Kind{}
	for k := cdc.KindAbsent; k <= cdc.KindVector; k++ {
		m[k.String()] = k
	}
	return m
}()

// decoder makes records of rows.
type decoder struct {
	columns []cdc.Column
	leaves  [][]parquet.Value
	absent  map[string]bool
	unfit   map[string]json.RawMessage
}

func (d *decoder) record(dst []byte, row parquet.Row) []byte {
	d.leaves = d.leaves[:0]
	for i := 0; i < len(row); {
		j := i + 1
		for j < len(row) && row[j].Column() == row[i].Column() {
			j++
		}
		d.leaves = append(d.leaves, row[i:j])
		i = j
	}
	one := func(leaf int) parquet.Value { return d.leaves[leaf][0] }
	str := func(dst []byte, v parquet.Value) []byte { return cdc.AppendString(dst, string(v.ByteArray())) }
	d.absent, d.unfit = map[string]bool{}, nil
	for _, v := range d.leaves[leafAbsent] {
		if !v.IsNull() {
			d.absent[string(v.ByteArray())] = true
		}
	}
	if v := one(leafUnfit); !v.IsNull() {
		_ = json.Unmarshal(v.ByteArray(), &d.unfit)
	}
	dst = str(append(dst, `{"id":`...), one(leafID))
	dst = str(append(dst, `,"feed":`...), one(leafFeed))
	dst = append(dst, `,"rules":[`...)
	for i, v := range d.leaves[leafRuleName] {
		if v.IsNull() {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = str(append(dst, `{"name":`...), v)
		dst = str(append(dst, `,"version":`...), d.leaves[leafRuleVersion][i])
		if c := d.leaves[leafRuleChange][i]; !c.IsNull() {
			dst = str(append(dst, `,"change":`...), c)
		}
		if c := d.leaves[leafRuleReason][i]; !c.IsNull() {
			dst = str(append(dst, `,"reason":`...), c)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	for i, v := range d.leaves[leafTags] {
		if v.IsNull() {
			break
		}
		if i == 0 {
			dst = append(dst, `,"tags":[`...)
		} else {
			dst = append(dst, ',')
		}
		if dst = str(dst, v); i == len(d.leaves[leafTags])-1 {
			dst = append(dst, ']')
		}
	}
	if v := one(leafChange); !v.IsNull() {
		dst = str(append(dst, `,"change":`...), v)
	}
	dst = str(append(dst, `,"op":`...), one(leafOp))
	dst = str(append(dst, `,"table":`...), one(leafTable))
	dst = append(dst, `,"key":`...)
	if v := one(leafKey); v.IsNull() {
		dst = append(dst, `null`...)
	} else {
		dst = append(dst, v.ByteArray()...)
	}
	dst = d.image(append(dst, `,"before":`...), "before", leafColumns)
	dst = d.image(append(dst, `,"after":`...), "after", leafColumns+len(d.columns))
	if v := one(leafLookup); !v.IsNull() {
		dst = append(append(dst, `,"lookup":`...), v.ByteArray()...)
	}
	dst = append(dst, `,"commit_time":"`...)
	dst = cdc.AppendInstant(dst, time.UnixMicro(one(leafCommit).Int64()), 6)
	dst = str(append(dst, `","source":{"name":`...), one(leafSource))
	dst = append(dst, `,"gtid":`...)
	if v := one(leafGTID); v.IsNull() {
		dst = append(dst, `null`...)
	} else {
		dst = str(dst, v)
	}
	dst = str(append(dst, `,"file":`...), one(leafFile))
	dst = strconv.AppendUint(append(dst, `,"pos":`...), one(leafPos).Uint64(), 10)
	dst = strconv.AppendUint(append(dst, `,"row":`...), uint64(one(leafRow).Uint32()), 10)
	dst = strconv.AppendUint(append(dst, `,"no":`...), one(leafNo).Uint64(), 10)
	dst = strconv.AppendUint(append(dst, `,"part_no":`...), one(leafPartNo).Uint64(), 10)
	return append(dst, "}}"...)
}

func (d *decoder) image(dst []byte, name string, leaf int) []byte {
	if d.absent[name] {
		return append(dst, `null`...)
	}
	open := byte('{')
	for i := range d.columns {
		c := &d.columns[i]
		if len(d.absent) > 0 && d.absent[name+"_"+c.Name] {
			continue
		}
		dst = append(dst, open)
		open = ','
		dst = append(cdc.AppendString(dst, c.Name), ':')
		if raw, ok := d.unfit[name+"_"+c.Name]; ok {
			dst = append(dst, raw...)
			continue
		}
		dst = appendParquet(dst, c, d.leaves[leaf+i][0])
	}
	if open == '{' {
		dst = append(dst, open)
	}
	return append(dst, '}')
}

// appendParquet appends a value as records have it.
func appendParquet(dst []byte, c *cdc.Column, v parquet.Value) []byte {
	if v.IsNull() {
		return append(dst, `null`...)
	}
	switch c.Kind {
	case cdc.KindBool:
		return strconv.AppendBool(dst, v.Boolean())
	case cdc.KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case cdc.KindUint64, cdc.KindBit:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	case cdc.KindFloat64:
		f := v.Double()
		if c.Float32 {
			f = float64(v.Float())
		}
		return cdc.AppendJSON(dst, c, cdc.Float64Value(f))
	case cdc.KindDecimal:
		return cdc.AppendString(dst, decimalText(c, v))
	case cdc.KindBytes:
		return appendQuoted(dst, base64.StdEncoding, v.ByteArray())
	case cdc.KindDate:
		return append(time.Unix(86400*int64(v.Int32()), 0).UTC().AppendFormat(append(dst, '"'), time.DateOnly), '"')
	case cdc.KindDatetime:
		dst = cdc.AppendInstant(append(dst, '"'), time.UnixMicro(v.Int64()), c.Fsp)
		dst[len(dst)-1] = '"' // it has no zone
		return dst
	case cdc.KindTimestamp:
		return append(cdc.AppendInstant(append(dst, '"'), time.UnixMicro(v.Int64()), c.Fsp), '"')
	case cdc.KindTime:
		return cdc.AppendJSON(dst, c, cdc.TimeValue(v.Int64()))
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
		return append(dst, v.ByteArray()...)
	case cdc.KindSet:
		return cdc.AppendJSON(dst, c, cdc.TextValue(cdc.KindSet, string(v.ByteArray())))
	}
	return cdc.AppendString(dst, string(v.ByteArray()))
}

func decimalText(c *cdc.Column, v parquet.Value) string {
	p, s := int(c.Precision), int(c.Scale)
	var n *big.Int
	switch {
	case p == 0 || p > 38 || s > p:
		return string(v.ByteArray())
	case p <= 9:
		n = big.NewInt(int64(v.Int32()))
	case p <= 18:
		n = big.NewInt(v.Int64())
	default:
		b := v.ByteArray()
		if n = new(big.Int).SetBytes(b); len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := new(big.Int).Abs(n).String()
	if s > 0 {
		if len(digits) <= s {
			digits = strings.Repeat("0", s+1-len(digits)) + digits
		}
		digits = digits[:len(digits)-s] + "." + digits[len(digits)-s:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}
