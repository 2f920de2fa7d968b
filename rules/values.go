package rules

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/cdcd-project/cdcd/cdc"
)

// rowType is the CEL type of before and after. Each table has its own provider, so one name does for all.
var rowType = types.NewObjectType("row")

// columnType returns the CEL type of a column's values, without null.
func columnType(c *cdc.Column) *types.Type {
	switch c.Kind {
	case cdc.KindBool:
		return types.BoolType
	case cdc.KindInt64:
		return types.IntType
	case cdc.KindUint64, cdc.KindBit:
		return types.UintType
	case cdc.KindFloat64:
		return types.DoubleType
	case cdc.KindDecimal:
		return decimalType
	case cdc.KindString, cdc.KindEnum, cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
		return types.StringType
	case cdc.KindTimestamp:
		return types.TimestampType
	case cdc.KindBytes, cdc.KindGeometry:
		return types.BytesType
	case cdc.KindSet:
		return types.NewListType(types.StringType)
	case cdc.KindVector:
		return types.NewListType(types.DoubleType)
	}
	return types.DynType
}

// image is a row image as CEL sees it. It reads each column at most once per event.
type image struct {
	row  cdc.Row
	vals []ref.Val // by column; nil: not read yet
	read []int     // the columns that are in vals
}

func (m *image) reset(row cdc.Row, columns int) {
	for _, i := range m.read {
		m.vals[i] = nil
	}
	m.read = m.read[:0]
	m.row = row
	if len(m.vals) < columns {
		m.vals = make([]ref.Val, columns)
	}
}

// errors of reading a row; [explain] turns them into sentences.
var errNoImage = errors.New("there is no such row image")

type absentError struct{ column string }

func (e absentError) Error() string { return "column " + e.column + " is not in the row image" }

// get returns column i.
func (m *image) get(i int) (ref.Val, error) {
	if v := m.vals[i]; v != nil {
		return v, nil
	}
	v, err := toCEL(&m.row.Table().Columns[i], m.row.Value(i))
	if err != nil {
		return nil, err
	}
	m.vals[i] = v
	m.read = append(m.read, i)
	return v, nil
}

func kindError(c *cdc.Column, k cdc.Kind) error {
	return fmt.Errorf("column %s holds a %s, not a %s", c.Name, k, c.Kind)
}

// toCEL returns a column's value as CEL sees it.
func toCEL(c *cdc.Column, v cdc.Value) (ref.Val, error) {
	switch k := v.Kind(); {
	case k == cdc.KindAbsent:
		return nil, absentError{c.Name}
	case k == cdc.KindNull:
		return types.NullValue, nil
	case k != c.Kind:
		return nil, kindError(c, k)
	}
	switch c.Kind {
	case cdc.KindBool:
		return types.Bool(v.Bool()), nil
	case cdc.KindInt64:
		return types.Int(v.Int64()), nil
	case cdc.KindUint64, cdc.KindBit:
		return types.Uint(v.Uint64()), nil
	case cdc.KindFloat64:
		return types.Double(v.Float64()), nil
	case cdc.KindDecimal:
		return decimal(v.Text()), nil
	case cdc.KindString, cdc.KindEnum:
		return types.String(v.Text()), nil
	case cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
		var buf [40]byte
		text := cdc.AppendJSON(buf[:0], c, v)
		return types.String(text[1 : len(text)-1]), nil
	case cdc.KindTimestamp:
		return types.Timestamp{Time: v.Time()}, nil
	case cdc.KindBytes, cdc.KindGeometry:
		return types.Bytes(v.Text()), nil
	case cdc.KindSet:
		if v.Text() == "" {
			return types.NewStringList(types.DefaultTypeAdapter, nil), nil
		}
		return types.NewStringList(types.DefaultTypeAdapter, strings.Split(v.Text(), ",")), nil
	case cdc.KindVector:
		return types.NewDynamicList(types.DefaultTypeAdapter, vector(v.Text())), nil
	case cdc.KindJSON:
		return parseJSON(v.Text())
	}
	return nil, fmt.Errorf("column %s is of a kind that rules do not know", c.Name)
}

func vector(s string) []float64 {
	out := make([]float64, 0, len(s)/4)
	for ; len(s) >= 4; s = s[4:] {
		out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32([]byte(s[:4])))))
	}
	return out
}

// parseJSON returns a document as CEL sees it. Whole numbers stay exact as long as CEL has an integer for them.
func parseJSON(text string) (ref.Val, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("a JSON column holds a text that is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("a JSON column holds more than one document")
	}
	return types.DefaultTypeAdapter.NativeToValue(fromJSON(doc)), nil
}

// fromJSON replaces the numbers by those of CEL.
func fromJSON(x any) any {
	switch v := x.(type) {
	case json.Number:
		return jsonNumber(string(v))
	case []any:
		for i := range v {
			v[i] = fromJSON(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = fromJSON(v[k])
		}
	}
	return x
}

func jsonNumber(s string) ref.Val {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return types.Uint(n)
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range is infinite, as in SQL's cast
	return types.Double(f)
}

// An image is a CEL value itself, for expressions such as before != null and before == after.

// ConvertToNative fails: there is no Go type for a row.
func (m *image) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a row is not a %s", t)
}

// ConvertToType implements type(after).
func (m *image) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return rowType
	}
	return types.NewErr("a row cannot become a %s", t.TypeName())
}

// Equal compares all columns.
func (m *image) Equal(other ref.Val) ref.Val {
	o, ok := other.(*image)
	if !ok || m.row.Len() != o.row.Len() {
		return types.False
	}
	for i := range m.row.Len() {
		if !m.row.Equal(o.row, i) {
			return types.False
		}
	}
	return types.True
}

// Type returns the CEL type.
func (m *image) Type() ref.Type { return rowType }

// Value returns the image itself, which is what field access is bound to.
func (m *image) Value() any { return m }

// provider tells CEL the fields of rows and how to read them.
type provider struct {
	types.Provider
	rows map[string]rowFields // by the name of their type
}

// rowFields are the columns of one table.
type rowFields struct {
	fields map[string]*types.FieldType
	names  []string
}

func newProvider(base types.Provider, t *cdc.Table) *provider {
	return &provider{base, map[string]rowFields{rowType.TypeName(): fieldsOf(t)}}
}

// and returns a provider that knows the rows of another table, too.
func (p *provider) and(typ string, t *cdc.Table) *provider {
	return &provider{p, map[string]rowFields{typ: fieldsOf(t)}}
}

func fieldsOf(t *cdc.Table) rowFields {
	p := rowFields{fields: make(map[string]*types.FieldType, len(t.Columns))}
	for i := range t.Columns {
		c := &t.Columns[i]
		typ := columnType(c)
		if c.Nullable && typ != types.DynType {
			typ = types.NewNullableType(typ)
		}
		p.names = append(p.names, c.Name)
		p.fields[c.Name] = &types.FieldType{
			Type: typ,
			IsSet: func(target any) bool {
				m, ok := target.(*image)
				return ok && m.row.Kind(i) != cdc.KindAbsent
			},
			GetFrom: func(target any) (any, error) {
				m, ok := target.(*image)
				if !ok {
					return nil, errNoImage
				}
				return m.get(i)
			},
		}
	}
	return p
}

// FindStructType makes row a type.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.rows[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames returns the columns.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if rows, ok := p.rows[name]; ok {
		return rows.names, true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType returns a column.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if rows, ok := p.rows[name]; ok {
		f, ok := rows.fields[field]
		return f, ok
	}
	return p.Provider.FindStructFieldType(name, field)
}
