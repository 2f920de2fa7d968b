package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// maxVerifyKeys bounds the rows that one run keeps in memory: about 200 bytes each with ten columns.
const maxVerifyKeys = 10_000_000

// verifyRecord is what matters here of a record in the envelope cdcd.
type verifyRecord struct {
	Op     string                     `json:"op"`
	Change string                     `json:"change"`
	Table  string                     `json:"table"`
	Key    map[string]json.RawMessage `json:"key"`
	Before map[string]json.RawMessage `json:"before"`
	After  map[string]json.RawMessage `json:"after"`
	Rules  []struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"rules"`
	Source struct {
		No uint64 `json:"no"`
	} `json:"source"`
}

// replica is what a partner has of one table who applies all records of a feed. Of each value it has a hash: rows are compared, not
// shown. A column that a record does not have is one that nothing is said about.
type replica struct {
	key     []string // of the primary key
	columns map[string]int
	seed    maphash.Seed
	rows    map[string]replicaRow
	room    *int // rows that may still be kept

	snapshot bool // a snapshot delivered it, so that every row of the source must have been delivered

	// pending are rows of the source that were not the partner's when they were read; nil: the source does not have the row. Those
	// that become the same while later records are applied were only on their way.
	pending map[string][]uint64
	same    int
	read    int // rows of the source that belong into the feed
}

type replicaRow struct {
	no     uint64
	values []uint64 // by column, 0: not known; nil: the row is gone
	seen   bool     // the source has it
}

func newReplica(key []string, room *int) *replica {
	return &replica{key: key, columns: map[string]int{}, seed: maphash.MakeSeed(), rows: map[string]replicaRow{}, room: room, pending: map[string][]uint64{}}
}

// apply takes the next record of a chain. Of the records of a key that are in several chains, the newest counts.
func (r *replica) apply(rec *verifyRecord) error {
	r.snapshot = r.snapshot || rec.Op == cdc.OpSnapshot.String()
	key, ok := r.keyOf(rec.Key)
	if !ok {
		return fmt.Errorf("a record of %s has not the key (%s)", rec.Table, strings.Join(r.key, ", "))
	}
	if was, ok := r.keyOf(rec.Before); ok && was != key {
		if err := r.set(was, rec.Source.No, nil); err != nil {
			return err
		}
	}
	if rec.Op == cdc.OpDelete.String() || rec.Change == cdc.Left {
		return r.set(key, rec.Source.No, nil)
	}
	if rec.After == nil {
		return fmt.Errorf("a record of %s does not show the row", rec.Table)
	}
	values := r.hash(rec.After)
	if old, ok := r.rows[key]; ok && old.values != nil && rec.Op == cdc.OpUpdate.String() && rec.Change != cdc.Entered {
		for i, v := range old.values { // of images that have only what changed
			if i >= len(values) {
				values = append(values, v)
			} else if values[i] == 0 {
				values[i] = v
			}
		}
	}
	return r.set(key, rec.Source.No, values)
}

func (r *replica) set(key string, no uint64, values []uint64) error {
	row, ok := r.rows[key]
	if ok && row.no > no {
		return nil
	}
	if !ok {
		if err := r.take(); err != nil {
			return err
		}
	}
	r.rows[key] = replicaRow{no: no, values: values, seen: row.seen}
	if source, waits := r.pending[key]; waits && agree(source, values) {
		delete(r.pending, key)
		if source != nil {
			r.same++
		}
	}
	return nil
}

// compare takes a row of the source, rendered as a record that inserts it.
func (r *replica) compare(rec *verifyRecord) error {
	key, ok := r.keyOf(rec.Key)
	if !ok {
		return fmt.Errorf("the feed does not show the key of %s", rec.Table)
	}
	r.read++
	values := r.hash(rec.After)
	row, delivered := r.rows[key]
	if delivered {
		row.seen = true
		r.rows[key] = row
	}
	if agree(values, row.values) {
		r.same++
		return nil
	}
	r.pending[key] = values
	return r.take()
}

// compared notes the rows that the source does not have.
func (r *replica) compared() {
	for key, row := range r.rows {
		if row.values != nil && !row.seen {
			r.pending[key] = nil
		}
	}
}

// agree reports whether two rows are the same in all columns that both have.
func agree(a, b []uint64) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	for i := range min(len(a), len(b)) {
		if a[i] != 0 && b[i] != 0 && a[i] != b[i] {
			return false
		}
	}
	return true
}

func (r *replica) take() error {
	if *r.room--; *r.room < 0 {
		return cdc.Errorf("CDCD-4704", "there are more than %d million rows to keep in memory", maxVerifyKeys/1_000_000).
			WithFix("verify table by table, with --feed and --table")
	}
	return nil
}

// keyOf makes a map's key of a row's; ok is false when a column of it is not there.
func (r *replica) keyOf(values map[string]json.RawMessage) (string, bool) {
	var text bytes.Buffer
	for i, name := range r.key {
		v, ok := values[name]
		if !ok {
			return "", false
		}
		if i > 0 {
			text.WriteByte(',')
		}
		text.Write(v)
	}
	return text.String(), len(r.key) > 0
}

func (r *replica) hash(values map[string]json.RawMessage) []uint64 {
	hashes := make([]uint64, len(r.columns), max(len(r.columns), len(values)))
	for name, v := range values {
		i, ok := r.columns[name]
		if !ok {
			i = len(r.columns)
			r.columns[name] = i
			hashes = append(hashes, 0)
		}
		hashes[i] = maphash.Bytes(r.seed, v) | 1
	}
	return hashes
}

// verifiedTable says what was found of a table.
type verifiedTable struct {
	Table     string `json:"table"`
	NotJudged string `json:"not_judged,omitempty"` // why
	Rows      int    `json:"rows"`                 // of the source that belong into the feed
	Delivered int    `json:"delivered"`            // rows that a partner has now
	Same      int    `json:"same"`
	Before    int    `json:"before_feed"` // rows that were there before the feed began and have not changed since
	Missing   int    `json:"missing"`
	Extra     int    `json:"extra"`
	Different int    `json:"different"`

	MissingKeys   []string `json:"missing_keys,omitempty"` // the first of them
	ExtraKeys     []string `json:"extra_keys,omitempty"`
	DifferentKeys []string `json:"different_keys,omitempty"`
}

func (v *verifiedTable) wrong() int { return v.Missing + v.Extra + v.Different }

// verdict counts what has stayed different.
func (r *replica) verdict(table string) verifiedTable {
	v := verifiedTable{Table: table, Rows: r.read, Same: r.same}
	for _, row := range r.rows {
		if row.values != nil {
			v.Delivered++
		}
	}
	for key, source := range r.pending {
		row, delivered := r.rows[key]
		switch {
		case source == nil:
			v.Extra++
			v.ExtraKeys = firstKeys(v.ExtraKeys, key)
		case row.values != nil:
			v.Different++
			v.DifferentKeys = firstKeys(v.DifferentKeys, key)
		case delivered || r.snapshot:
			v.Missing++
			v.MissingKeys = firstKeys(v.MissingKeys, key)
		default:
			v.Before++
		}
	}
	return v
}

// firstKeys adds a key to the first ten.
func firstKeys(keys []string, key string) []string {
	i, _ := slices.BinarySearch(keys, key)
	if keys = slices.Insert(keys, i, key); len(keys) > 10 {
		keys = keys[:10]
	}
	return keys
}
