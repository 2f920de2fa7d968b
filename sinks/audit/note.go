package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Kinds of notes, which are the types of their leaves.
const (
	TypeTrigger   = "trigger"        // somebody was told of an object, or will not be told of it any more
	TypeReceipt   = "receipt"        // a partner has signed that it has an object
	TypeParked    = "parked"         // changes were put aside as dead letters
	TypeRetested  = "retested"       // dead letters were judged once more, without effect
	TypeEdited    = "edited"         // a dead letter got a corrected copy
	TypeRedriven  = "redriven"       // dead letters were delivered after all
	TypeDiscarded = "discarded"      // dead letters were given up
	TypeReplayed  = "replayed"       // history was delivered once more, to another place
	TypeConfig    = "config_changed" // the effective configuration is another one from here on
	TypeErased    = "erased"         // the key of a person's values was destroyed
	TypeKey       = "key_rotated"    // a key took another's place
	TypeReleased  = "released"       // a plugin that was in quarantine is asked again
)

// noteKinds says what a note of a kind must have besides Kind and ID.
var noteKinds = map[string]func(*Note) bool{
	TypeTrigger:   func(n *Note) bool { return n.By != "" && n.Chain != "" },
	TypeReceipt:   func(n *Note) bool { return n.By != "" && n.Chain != "" && n.SHA256 != "" && n.Digest != "" },
	TypeParked:    func(n *Note) bool { return n.Feed != "" },
	TypeRetested:  func(n *Note) bool { return n.By != "" },
	TypeEdited:    func(n *Note) bool { return n.By != "" && n.Digest != "" },
	TypeRedriven:  func(n *Note) bool { return n.By != "" },
	TypeDiscarded: func(n *Note) bool { return n.By != "" && n.Why != "" },
	TypeReplayed:  func(n *Note) bool { return n.By != "" },
	TypeConfig:    func(n *Note) bool { return n.By != "" && n.Digest != "" },
	TypeErased:    func(n *Note) bool { return n.By != "" && n.Digest != "" && n.Key != "" },
	TypeKey:       func(n *Note) bool { return n.Key != "" },
	TypeReleased:  func(n *Note) bool { return n.By != "" && n.Feed != "" && n.Digest != "" },
}

// Note is something that was done beside delivering objects: somebody was told, answered, gave up, changed or destroyed
// something. Kind and ID say which, and what a kind must have besides is in its comment. A note is read by partners:
// it has no personal data and no secrets, but digests and counts of them.
type Note struct {
	Kind string `json:"-"`  // the leaf's type, one of the Type… constants
	ID   string `json:"id"` // of one kind no two notes have the same; at most 200 bytes

	// An object that the note is about: all of Chain, Store and Ordinal, or none.
	Chain   string `json:"chain,omitempty"`
	Store   string `json:"store,omitempty"`
	Ordinal uint64 `json:"ordinal,omitempty"`

	Feed string     `json:"feed,omitempty"`
	By   string     `json:"by,omitempty"`  // who: a webhook's or partner's ID, user@host of a person
	Why  string     `json:"why,omitempty"` // in words of who did it
	At   *time.Time `json:"at,omitempty"`  // when it happened, if that is not when it was logged

	SHA256   string           `json:"sha256,omitempty"`   // hex, of the object as the partner has it
	Key      string           `json:"key,omitempty"`      // ID of the key that signed, was destroyed, or is new
	Digest   string           `json:"digest,omitempty"`   // of a signature, a configuration, an edit, or keyed of a person
	Prev     string           `json:"prev,omitempty"`     // what Digest or Key was before
	Status   int              `json:"status,omitempty"`   // the other side's answer, as HTTP counts them
	Attempts int              `json:"attempts,omitempty"` // until then
	Outcome  string           `json:"outcome,omitempty"`  // in a word: delivered, gave_up, disabled, dry_run, …
	Job      string           `json:"job,omitempty"`      // the job that this is a step of
	Counts   map[string]int64 `json:"counts,omitempty"`   // of what, by its name
	Items    []string         `json:"items,omitempty"`    // hashes of what it was done with, as many as fit
	More     int              `json:"more,omitempty"`     // items that did not fit
}

const maxNoteID = 200

// fit cuts what would make the leaf too long. What identifies things is not cut: a note with too much of it is refused.
func (n Note) fit() Note {
	n.By, n.Why, n.Outcome = clip(n.By, 100), clip(n.Why, 200), clip(n.Outcome, 40)
	if n.At != nil {
		at := n.At.UTC()
		n.At = &at
	}
	n.Counts = maps.Clone(n.Counts)
	left := 1500
	var kept []string
	for i, item := range n.Items {
		if left -= len(item) + len(`"",`); left < 0 {
			n.More += len(n.Items) - i
			break
		}
		kept = append(kept, item)
	}
	n.Items = kept
	return n
}

// complete says what a note lacks.
func (n *Note) complete() error {
	has, known := noteKinds[n.Kind]
	switch {
	case !known:
		return fmt.Errorf("%q is not a kind of note", n.Kind)
	case n.ID == "" || len(n.ID) > maxNoteID:
		return fmt.Errorf("a note's ID has 1 to %d bytes, %.20q… has %d", maxNoteID, n.ID, len(n.ID))
	case (n.Chain == "") != (n.Ordinal == 0) || (n.Chain == "") != (n.Store == ""):
		return fmt.Errorf("chain %q, store %q and ordinal %d are set all or none", n.Chain, n.Store, n.Ordinal)
	case !has(n):
		return fmt.Errorf("%s %s lacks a field that all of its kind have", n.Kind, n.ID)
	}
	return nil
}

// what names a note.
func (n *Note) what() string {
	if n.Chain != "" {
		return fmt.Sprintf("%s %s of object %d of %s", n.Kind, n.ID, n.Ordinal, n.Chain)
	}
	return n.Kind + " " + n.ID
}

// line names the notes of which the highest ordinal is remembered.
func (n *Note) line() chainID { return noteLine(n.Kind, n.By, n.Chain, n.Store) }

func noteLine(kind, by, chain, store string) chainID {
	return chainID{"", fmt.Sprintf("notes/%s/%q/%q/%s", kind, by, chain, store)}
}

// print is what an index over IDs has of a note's.
func (n *Note) print() (p [printSize]byte) {
	sum := sha256.Sum256([]byte(n.Kind + "\x00" + n.ID))
	return [printSize]byte(sum[:])
}

// Note appends the leaf of a note. nil means that it is durable and under a signed checkpoint. A note whose kind and ID
// are in the log already is no error and changes nothing, however long ago and whatever else it says: so it can be
// offered again by whoever does not know how far it had come. A note about an object that is not in the log yet is
// CDCD-4505.
func (l *Log) Note(ctx context.Context, n Note) error {
	n = n.fit()
	return l.log(ctx, Leaf{Type: n.Kind, Note: &n})
}

// Noted returns the highest ordinal in a chain of a store that somebody has a note of a kind for, 0 if there is none. Like
// [Log.Head], it tells where to go on.
func (l *Log) Noted(kind, by, chain, store string) uint64 {
	return l.head(noteLine(kind, by, chain, store)).ordinal
}

// Last returns the ID and digest of the newest note of a kind, "" if there is none: what has changed since then?
func (l *Log) Last(kind string) (id, digest string) {
	id, digest, _ = strings.Cut(l.head(newestLine(kind)).sha256, "\x00")
	return id, digest
}

func newestLine(kind string) chainID { return chainID{"", "newest/" + kind} }

// judgeNote does what judge does for notes.
func (l *Log) judgeNote(ctx context.Context, n *Note, fresh map[chainID]head, added []Leaf) (isNew bool, err error) {
	if err := n.complete(); err != nil {
		return false, fmt.Errorf("log note: %w", err)
	}
	if n.Chain != "" {
		last, ok := fresh[chainID{n.Chain, n.Store}]
		if !ok {
			last.ordinal, _ = l.Head(n.Chain, n.Store)
		}
		if n.Ordinal > last.ordinal {
			return false, cdc.Errorf(codeGap, "%s can't be logged, the log has the objects of this chain up to %d", n.what(), last.ordinal).
				WithFix("start cdcd again: it logs the objects that are missing")
		}
	}
	for i := range added {
		if is := added[i].Note; is != nil && is.Kind == n.Kind && is.ID == n.ID {
			return false, nil
		}
	}
	is := func(index int64) (bool, error) { return l.isNote(ctx, index, n) }
	ok, err := l.ids.find(n.print(), is)
	if errors.Is(err, errIDs) {
		if err = l.renewIDs(ctx); err == nil {
			ok, err = l.ids.find(n.print(), is)
		}
	}
	if err != nil {
		return false, fmt.Errorf("log %s: %w", n.what(), err)
	}
	return !ok, nil
}

// isNote reports whether a leaf is the note of that kind and ID: the index over them is only a cache.
func (l *Log) isNote(ctx context.Context, index int64, n *Note) (is bool, err error) {
	if index >= l.tree.size {
		return false, nil // of a log that was put back
	}
	err = replay(ctx, l.cfg.Dir, index, index+1, func(_ int64, leaf Leaf) {
		is = leaf.Note != nil && leaf.Note.Kind == n.Kind && leaf.Note.ID == n.ID
	})
	return is, err
}

// enter notes what a leaf makes the last of its chains.
func enter(heads map[chainID]head, leaf Leaf, before func(chainID) head) {
	if n := leaf.Note; n != nil {
		heads[newestLine(n.Kind)] = head{0, n.ID + "\x00" + n.Digest}
		if id := n.line(); n.Chain != "" && n.Ordinal > before(id).ordinal {
			heads[id] = head{n.Ordinal, n.ID}
		}
		return
	}
	if id, at, _, ok := leaf.link(); ok {
		heads[id] = at
	}
}
