package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/cdcd-project/cdcd/cdc"
)

// Leaf is one entry of the log. Type says which of the other fields is set.
type Leaf struct {
	Type   string      `json:"type"` // "object", "rules", "trap" or a note's kind; readers skip types that they do not know
	Time   time.Time   `json:"time"` // when it was logged
	Object *cdc.Object `json:"object,omitempty"`
	Rules  *Rules      `json:"rules,omitempty"`
	Trap   *Trap       `json:"trap,omitempty"`
	Note   *Note       `json:"note,omitempty"`
}

const (
	// TypeObject is the type of a leaf about an object that was delivered.
	TypeObject = "object"
	// TypeRules is the type of a leaf about a publication of rules.
	TypeRules = "rules"
	// TypeTrap is the type of a leaf about a change that a plugin could not judge.
	TypeTrap = "trap"
)

// Rules is one publication of rules: what was judged by from it on, and who has to answer for it.
type Rules struct {
	Store    string    `json:"store"`    // names the rule store; one that was lost and begun anew is another
	Revision uint64    `json:"revision"` // dense from 1
	ID       string    `json:"id"`       // over this publication and all before it
	Prev     string    `json:"prev"`     // ID of the revision before
	Time     time.Time `json:"time"`     // when it was published
	Who      string    `json:"who"`
	Why      string    `json:"why,omitempty"`
	Kind     string    `json:"kind"`
	Digest   string    `json:"digest"`            // of all rules that hold from then on
	Changed  []string  `json:"changed,omitempty"` // names of rules, as many as fit
	Removed  []string  `json:"removed,omitempty"`
	More     int       `json:"more,omitempty"` // names that did not fit; ID is over them, too

	StandsFor string `json:"stands_for,omitempty"` // the revision whose frames are judged by this one
	Tried     string `json:"tried,omitempty"`      // how it was tried before it was published, or why not
}

// clip cuts a text that would make the leaf too long.
func clip(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

// fit cuts what would make the leaf too long.
func (r Rules) fit() Rules {
	r.Time, r.Who, r.Why = r.Time.UTC(), clip(r.Who, 100), clip(r.Why, 300) // in JSON a byte may be six
	left := 1000
	if r.Tried != "" {
		r.Why, r.Tried, left = clip(r.Why, 200), clip(r.Tried, 200), 500
	}
	cut := func(names []string) []string {
		var kept []string
		for i, name := range names {
			if left -= len(name) + len(`"",`); left < 0 {
				r.More += len(names) - i
				break
			}
			kept = append(kept, name)
		}
		return kept
	}
	r.Changed, r.Removed = cut(r.Changed), cut(r.Removed)
	return r
}

// Trap is a change on which a plugin broke down, and what was done with it then.
type Trap struct {
	Feed    string   `json:"feed"`
	Rule    string   `json:"rule"`
	Version string   `json:"version"` // of the rule
	Plugin  string   `json:"plugin"`
	Digest  string   `json:"digest"`          // of the plugin's bytes
	Kind    string   `json:"kind"`            // fuel, memory, unreachable, …
	Why     string   `json:"why,omitempty"`   // in words
	Stack   []string `json:"stack,omitempty"` // of functions, the innermost first
	Fuel    int64    `json:"fuel"`            // used for this change alone
	Event   string   `json:"event"`           // its ID
	Table   string   `json:"table"`
	Epoch   uint64   `json:"epoch"`
	PartNo  uint64   `json:"part_no"`
	Seq     uint64   `json:"seq"`              // of its frame in the stream
	Policy  string   `json:"policy"`           // dead_letter, skip, halt, pass or drop
	Missed  uint64   `json:"missed,omitempty"` // such changes before it that have no leaf: they came too fast
}

// fit cuts what would make the leaf too long. Names of functions are the plugin author's.
func (t Trap) fit() Trap {
	plain := func(s string, most int) string {
		return clip(strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return '?'
		}, s), most)
	}
	t.Why, t.Event, t.Table = plain(t.Why, 200), plain(t.Event, 150), plain(t.Table, 130)
	left := 800
	var stack []string
	for _, frame := range t.Stack {
		frame = plain(frame, 100)
		if left -= len(frame) + len(`"",`); left < 0 {
			break
		}
		stack = append(stack, frame)
	}
	t.Stack = stack
	return t
}

// line names those changes that come one behind the other, so that one which is judged again is known by its number.
func (t *Trap) line() string {
	return fmt.Sprintf("traps/%x/%s/%s/%s", t.Epoch>>32, t.Feed, t.Rule, t.Digest)
}

// link says which chain a leaf is in, as what, and what it continues. Publications of a rule store are a chain without a
// name, and so are a plugin's traps, whose numbers only ascend. ok is false for leaves of types that are not known.
func (l Leaf) link() (id chainID, at head, prev string, ok bool) {
	switch {
	case l.Object != nil:
		return chainID{l.Object.Chain, l.Object.Store}, head{l.Object.Ordinal, l.Object.SHA256}, l.Object.Prev, true
	case l.Rules != nil:
		return chainID{"", l.Rules.Store}, head{l.Rules.Revision, l.Rules.ID}, l.Rules.Prev, true
	case l.Trap != nil:
		return chainID{"", l.Trap.line()}, head{l.Trap.PartNo, l.Trap.Event}, "", true
	}
	return chainID{}, head{}, "", false
}

// what names what the leaf is about.
func (l Leaf) what() string {
	switch {
	case l.Note != nil:
		return l.Note.what()
	case l.Rules != nil:
		return fmt.Sprintf("revision %d of %s", l.Rules.Revision, l.Rules.Store)
	case l.Trap != nil:
		return fmt.Sprintf("trap of plugin %s in rule %s at event %d", l.Trap.Plugin, l.Trap.Rule, l.Trap.PartNo)
	}
	return "object " + l.Object.Key
}

const (
	maxLeaf    = 4 << 10
	tileHeight = 8
	tileWidth  = 1 << tileHeight // hashes in a full tile, leaves in a full bundle
)

// name says which leaf it is, for people.
func (l Leaf) name(index int64) string {
	if l.Rules != nil || l.Trap != nil || l.Note != nil {
		return fmt.Sprintf("leaf %d (%s)", index, l.what())
	}
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
	whole := l.Type != ""
	switch l.Type {
	case TypeObject:
		whole = l.Object != nil && l.Object.Chain != ""
	case TypeRules:
		whole = l.Rules != nil && l.Rules.Store != ""
	case TypeTrap:
		whole = l.Trap != nil && l.Trap.Plugin != ""
	default:
		if noteKinds[l.Type] == nil {
			break
		}
		if whole = l.Note != nil; whole {
			l.Note.Kind = l.Type
			whole = l.Note.complete() == nil
		}
	}
	if !whole {
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
