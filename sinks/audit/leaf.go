package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Leaf is one entry of the log. Type says which of the other fields is set.
type Leaf struct {
	Type   string      `json:"type"` // "object"; readers skip types that they do not know
	Time   time.Time   `json:"time"` // when it was logged
	Object *cdc.Object `json:"object,omitempty"`
}

// TypeObject is the type of a leaf about an object that was delivered.
const TypeObject = "object"

const (
	maxLeaf    = 4 << 10
	tileHeight = 8
	tileWidth  = 1 << tileHeight // hashes in a full tile, leaves in a full bundle
)

// name says which leaf it is, for people.
func (l Leaf) name(index int64) string {
	if l.Object == nil {
		return fmt.Sprintf("leaf %d", index)
	}
	return fmt.Sprintf("leaf %d (%s, object %d)", index, l.Object.Chain, l.Object.Ordinal)
}

// encode returns the leaf's bytes: JSON with the fields in their order, without space, in UTC.
func (l Leaf) encode() ([]byte, error) {
	l.Time = l.Time.UTC()
	if l.Object != nil {
		o := *l.Object
		o.FirstCommit, o.LastCommit = o.FirstCommit.UTC(), o.LastCommit.UTC()
		l.Object = &o
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(text) > maxLeaf {
		return nil, fmt.Errorf("%d bytes are more than the %d that a leaf may have", len(text), maxLeaf)
	}
	return text, nil
}

// ParseLeaf reads one entry of a bundle. Fields and types that it does not know are no error.
func ParseLeaf(entry []byte) (Leaf, error) {
	var l Leaf
	if err := json.Unmarshal(entry, &l); err != nil {
		return Leaf{}, fmt.Errorf("leaf: %w", err)
	}
	if l.Type == "" || l.Type == TypeObject && (l.Object == nil || l.Object.Chain == "") {
		return Leaf{}, fmt.Errorf("leaf of type %q is not complete", l.Type)
	}
	return l, nil
}

// ReadBundle splits a bundle into its entries, which alias it.
func ReadBundle(bundle []byte) (entries [][]byte, err error) {
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return entries, fmt.Errorf("the bundle ends within the length of entry %d", len(entries))
		}
		n := int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < 2+n {
			return entries, fmt.Errorf("the bundle ends within entry %d", len(entries))
		}
		if len(entries) == tileWidth {
			return entries, fmt.Errorf("the bundle has more than %d entries", tileWidth)
		}
		entries = append(entries, bundle[2:2+n:2+n])
		bundle = bundle[2+n:]
	}
	return entries, nil
}

// appendEntry adds an entry to a bundle.
func appendEntry(bundle, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
}
