package person

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/cdcd-project/cdcd/cdc"
)

// Erased stands for values of a person whose key was destroyed before they came.
const Erased = "erased"

// redacted stands for values of nobody knows whom.
const redacted = "***"

// Kind is a kind of person.
type Kind struct {
	Name     string            // customer
	Subjects map[string]string // the column that names the person, by table: shop.orders → customer_id
	Columns  []cdc.ColumnGlob  // that are the person's, in these tables
}

// Store keeps the wrapped keys of persons by their IDs.
type Store interface {
	// Create keeps a key for each of these persons who never had one, and returns those which are kept then: nil of one who was
	// erased. The IDs are distinct. After an error some of the keys may be kept.
	Create(ctx context.Context, ids []string, keys [][]byte) (kept [][]byte, err error)
}

// Sealer seals batches. It may be used by many goroutines at once.
type Sealer struct {
	kinds []Kind
	ring  *Keyring
	store Store

	mu     sync.Mutex
	plans  map[*cdc.Table]*plan // guarded by mu
	keys   map[string]*key      // guarded by mu: by ID
	forgot uint64               // guarded by mu: how often Forget was called
	tables cdc.Tables
}

// key is a person's; nil siv: it was destroyed.
type key struct{ siv *subtle.AESSIV }

const (
	maxKeys   = 200_000 // remembered, some 500 bytes each
	maxTables = 10_000
)

// New returns a sealer.
func New(kinds []Kind, ring *Keyring, store Store) *Sealer {
	return &Sealer{kinds: kinds, ring: ring, store: store, plans: map[*cdc.Table]*plan{}, keys: map[string]*key{}}
}

// plan says what of a table is sealed.
type plan struct {
	table   *cdc.Table // as readers see it
	columns []sealed   // by column
}

type sealed struct {
	kind    string // "": not at all
	subject int    // the column that names the person
	place   string // schema.table.column
}

// Table returns a table as those see it who read what was sealed: t itself if nothing of it is.
func Table(kinds []Kind, t *cdc.Table) *cdc.Table { return newPlan(kinds, t).table }

func newPlan(kinds []Kind, t *cdc.Table) *plan {
	p := &plan{table: t}
	for _, k := range kinds {
		name, ok := k.Subjects[t.String()]
		if !ok {
			continue
		}
		subject := t.Column(name)
		for i := range t.Columns {
			c := &t.Columns[i]
			if i == subject || p.columns != nil && p.columns[i].kind != "" || !matches(k.Columns, t, c.Name) {
				continue
			}
			if p.columns == nil {
				copied := cdc.Table{Schema: t.Schema, Name: t.Name, Columns: append([]cdc.Column(nil), t.Columns...), Dropped: t.Dropped}
				p.table, p.columns = &copied, make([]sealed, len(t.Columns))
			}
			p.columns[i] = sealed{k.Name, subject, t.String() + "." + c.Name}
			p.table.Columns[i] = cdc.Column{Name: c.Name, Type: "text", Kind: cdc.KindString, Nullable: c.Nullable, Key: c.Key}
		}
	}
	return p
}

// Seals returns the kind of person for whom a column of a table is sealed; "": for nobody.
func Seals(kinds []Kind, t *cdc.Table, column string) string {
	i := t.Column(column)
	if p := newPlan(kinds, t); i >= 0 && p.columns != nil {
		return p.columns[i].kind
	}
	return ""
}

func matches(globs []cdc.ColumnGlob, t *cdc.Table, column string) bool {
	for _, g := range globs {
		if g.Match(t.Schema, t.Name, column) {
			return true
		}
	}
	return false
}

func (s *Sealer) plan(t *cdc.Table) *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plans[t]
	if p == nil {
		if len(s.plans) >= maxTables {
			clear(s.plans)
		}
		p = newPlan(s.kinds, t)
		s.plans[t] = p
	}
	return p
}

// Seal returns a batch with the values of persons sealed, b itself if it has none. All else is as it was.
func (s *Sealer) Seal(ctx context.Context, b *cdc.Batch) (*cdc.Batch, error) {
	needed := map[string]*key{}
	touched := false
	for i := range b.Len() {
		e := b.Event(i)
		p := s.plan(e.Table())
		if p.columns == nil {
			continue
		}
		touched = true
		for _, r := range [...]cdc.Row{e.Before(), e.After()} {
			for c := range p.columns {
				if id := s.personOf(p.columns[c], e, r, c); id != "" {
					needed[id] = nil
				}
			}
		}
	}
	if !touched {
		return b, nil
	}
	if err := s.fetch(ctx, needed); err != nil {
		return nil, err
	}
	var w cdc.Builder
	w.Reset(b.Header())
	for i := range b.Txs() {
		w.AddTx(b.Tx(i))
	}
	for i := range b.Len() {
		e := b.Event(i)
		p := s.plan(e.Table())
		info := cdc.EventInfo{No: e.No(), Tx: e.TxIndex(), Row: e.Position().Row, Table: w.AddTable(p.table), Op: e.Op(), Incomplete: e.Incomplete()}
		for _, image := range [...]struct {
			row cdc.Row
			at  *uint32
		}{{e.Before(), &info.Before}, {e.After(), &info.After}} {
			if p.columns == nil || !image.row.Exists() {
				*image.at = w.CopyRow(image.row)
				continue
			}
			w.BeginRow(len(p.columns))
			for c := range p.columns {
				v := image.row.Value(c)
				if p.columns[c].kind != "" && !v.IsNull() && !v.IsAbsent() {
					text, err := seal(needed[s.personOf(p.columns[c], e, image.row, c)], p.columns[c].place, &e.Table().Columns[c], v)
					if err != nil {
						return nil, err
					}
					v = cdc.TextValue(cdc.KindString, text)
				}
				if !v.IsAbsent() {
					w.Set(c, v)
				}
			}
			*image.at = w.EndRow()
		}
		w.AddEvent(info)
	}
	out, err := cdc.Open(w.Seal(b.Checkpoint()), &s.tables)
	if err != nil {
		return nil, fmt.Errorf("seal the values of persons: %w", err)
	}
	out.Seq, out.Rules = b.Seq, b.Rules
	return out, nil
}

// personOf returns the ID of the person that a value of an image is of; "" when there is no value, or the person is not known. An
// image that does not have the subject is of the person of the other: it has not changed.
func (s *Sealer) personOf(c sealed, e cdc.Event, r cdc.Row, column int) string {
	if c.kind == "" || c.subject < 0 || !r.Exists() {
		return ""
	}
	if v := r.Value(column); v.IsNull() || v.IsAbsent() {
		return ""
	}
	subject := r.Value(c.subject)
	for _, other := range [...]cdc.Row{e.Before(), e.After()} {
		if subject.IsAbsent() && other.Exists() {
			subject = other.Value(c.subject)
		}
	}
	if subject.IsNull() || subject.IsAbsent() {
		return ""
	}
	return s.ring.ID(c.kind, string(cdc.AppendText(nil, &e.Table().Columns[c.subject], subject)))
}

func seal(k *key, place string, c *cdc.Column, v cdc.Value) (string, error) {
	switch {
	case k == nil:
		return redacted, nil
	case k.siv == nil:
		return Erased, nil
	}
	out, err := k.siv.EncryptDeterministically(cdc.AppendText(nil, c, v), []byte(place))
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", place, err)
	}
	return base64.StdEncoding.EncodeToString(out), nil
}

// fetch fills in keys that are not there, and makes those of persons that are new. Who is not remembered is taken to be new: the store
// knows better, and asking it first would be a second way there and back for each of the many who are.
func (s *Sealer) fetch(ctx context.Context, needed map[string]*key) error {
	var missing []string
	s.mu.Lock()
	for id := range needed {
		if k := s.keys[id]; k != nil {
			needed[id] = k
		} else {
			missing = append(missing, id)
		}
	}
	forgot := s.forgot
	s.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	wrapped := make([][]byte, len(missing))
	for i, id := range missing {
		fresh := make([]byte, subtle.AESSIVKeySize)
		rand.Read(fresh)
		var err error
		if wrapped[i], err = s.ring.kek.Encrypt(fresh, []byte(id)); err != nil {
			return fmt.Errorf("wrap the key of a person: %w", err)
		}
	}
	kept, err := s.store.Create(ctx, missing, wrapped)
	if err != nil {
		return err
	}
	for i, id := range missing {
		needed[id] = &key{}
		if kept[i] == nil { // erased
			continue
		}
		if needed[id], err = s.ring.unwrap(id, kept[i]); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgot != forgot { // one of them may have been erased meanwhile
		return nil
	}
	if len(s.keys)+len(missing) > maxKeys {
		clear(s.keys)
	}
	for _, id := range missing {
		s.keys[id] = needed[id]
	}
	return nil
}

func (k *Keyring) unwrap(id string, wrapped []byte) (*key, error) {
	plain, err := k.kek.Decrypt(wrapped, []byte(id))
	if err != nil {
		return nil, cdc.Errorf(codeWrapped, "the key of a person cannot be unwrapped with this keyring").
			WithFix("restore the keyring that mask_key_files.persons names from a backup: with every key that it ever had")
	}
	siv, err := subtle.NewAESSIV(plain)
	if err != nil {
		return nil, errors.New("the key of a person is not one of AES-SIV")
	}
	return &key{siv}, nil
}

// codeWrapped: a person's key was wrapped with a key that is not there.
const codeWrapped = "CDCD-4211"

// Forget makes the sealer ask again for a person's key.
func (s *Sealer) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot++
	delete(s.keys, id)
}

// ForgetAll makes the sealer ask again for everybody's key.
func (s *Sealer) ForgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot++
	clear(s.keys)
}

// Reveal returns the text that was sealed for a person, whose wrapped key is as the store has it.
func (k *Keyring) Reveal(id string, wrapped []byte, place, text string) (string, error) {
	unwrapped, err := k.unwrap(id, wrapped)
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("it is not base64")
	}
	plain, err := unwrapped.siv.DecryptDeterministically(raw, []byte(place))
	if err != nil {
		return "", fmt.Errorf("it is not a value of %s that was sealed for this person", place)
	}
	return string(plain), nil
}
