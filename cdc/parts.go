package cdc

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// The parts of a record, for those who put them together in another way than [AppendDelivery].

// AppendImage appends a row image of a delivery as a JSON object; null when there is none. Absent columns are left out.
// t gives the columns their names, columns says how they are delivered.
func AppendImage(dst []byte, t *Table, columns []Column, values []Value) []byte {
	return appendValues(dst, t.names(), columns, values)
}

// AppendKey appends the delivery's key as a JSON object; null when the table has none.
func (d *Delivery) AppendKey(dst []byte) []byte { return appendKey(dst, d, d.Event.Table().names()) }

// AppendRules appends the rules that deliver as a JSON array.
func (d *Delivery) AppendRules(dst []byte) []byte {
	dst = append(dst, '[')
	for i, m := range d.Rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = AppendString(dst, m.Name)
		dst = append(dst, `,"version":`...)
		dst = AppendString(dst, m.Version)
		if m.Change != "" {
			dst = append(dst, `,"change":"`...)
			dst = append(dst, m.Change...)
			dst = append(dst, '"')
		}
		if m.Edits != nil && m.Edits.Reason != "" {
			dst = append(dst, `,"reason":`...)
			dst = AppendString(dst, m.Edits.Reason)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// AppendTags appends the tags as a JSON array.
func (d *Delivery) AppendTags(dst []byte) []byte {
	dst = append(dst, '[')
	for i, tag := range d.Tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, tag)
	}
	return append(dst, ']')
}

// AppendLookups appends what was looked up as a JSON object.
func (d *Delivery) AppendLookups(dst []byte) []byte { return appendFound(dst, d.Lookups) }

// AppendID appends the identity of the change as a JSON string.
func (d *Delivery) AppendID(dst []byte) []byte { return appendID(dst, d.Event.Position()) }

// AppendInstant appends a moment in UTC, as records have it, with this many digits of the second and without quotes.
func AppendInstant(dst []byte, t time.Time, fsp uint8) []byte { return appendInstant(dst, t, fsp) }

// AppendDescription appends what a table is like, as a JSON object: its name and its columns with name, type, kind and what
// else a reader of their values may want to know. Equal tables have equal descriptions.
func (t *Table) AppendDescription(dst []byte) []byte {
	dst = append(dst, `{"table":`...)
	dst = AppendString(dst, t.String())
	dst = append(dst, `,"columns":[`...)
	for i := range t.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = t.Columns[i].appendDescription(dst)
	}
	return append(dst, "]}"...)
}

func (c *Column) appendDescription(dst []byte) []byte {
	dst = append(dst, `{"name":`...)
	dst = AppendString(dst, c.Name)
	if c.Type != "" {
		dst = AppendString(append(dst, `,"type":`...), c.Type)
	}
	dst = append(append(append(dst, `,"kind":"`...), c.Kind.String()...), '"')
	for _, n := range [...]struct {
		name  string
		value uint64
	}{{"key", uint64(c.Key)}, {"fsp", uint64(c.Fsp)}, {"precision", uint64(c.Precision)}, {"scale", uint64(c.Scale)}} {
		if n.value > 0 {
			dst = appendUint(append(append(append(dst, `,"`...), n.name...), `":`...), n.value)
		}
	}
	for _, b := range [...]struct {
		name  string
		value bool
	}{{"nullable", c.Nullable}, {"unsigned", c.Unsigned}, {"float32", c.Float32}} {
		if b.value {
			dst = append(append(append(dst, `,"`...), b.name...), `":true`...)
		}
	}
	return append(dst, '}')
}

// Digest returns 16 hexadecimal digits over the table's description: another version of the table has another digest.
func (t *Table) Digest() string {
	sum := sha256.Sum256(t.AppendDescription(nil))
	return hex.EncodeToString(sum[:8])
}
