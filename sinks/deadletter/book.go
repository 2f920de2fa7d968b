package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Store has the chain of a feed's dead letters, and takes what became of them beside it. Those of package chain are such stores.
type Store interface {
	Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error)
	Get(ctx context.Context, key string) (body []byte, ok bool, err error)
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
	String() string
}

// Book is the dead letters of one feed, and what became of them: jobs, which each settle some letters for good, and corrections.
// Everything in it is written once. Several processes may use it at once: of two that want to add the same job one is told.
type Book struct {
	feed  string
	store Store
}

// NewBook returns the book of a feed.
func NewBook(feed string, store Store) *Book { return &Book{feed, store} }

// codeBroken: something in the book is not what was written.
const codeBroken = "CDCD-4603"

func (b *Book) broken(key string, err error) error {
	return cdc.Errorf(codeBroken, "%s in %s cannot be read: %w", key, b.store, err).
		WithFix("restore the file from a backup; `cdcd audit verify --objects` says whether it is a letter that was changed")
}

// Letters calls yield with each letter, in the order in which they came, until it returns an error.
func (b *Book) Letters(ctx context.Context, yield func(*Letter) error) error {
	keys, err := b.keys(ctx, "p=00/dt=")
	if err != nil {
		return err
	}
	for _, key := range keys {
		body, ok, err := b.store.Get(ctx, key)
		if err == nil && !ok {
			err = errors.New("it is gone")
		}
		if err != nil {
			return fmt.Errorf("dead letters of %s: %s: %w", b.feed, key, err)
		}
		for line := range bytes.Lines(body) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			l, err := Parse(line)
			if err != nil {
				return b.broken(key, err)
			}
			sum := sha256.Sum256(line)
			l.SHA256 = hex.EncodeToString(sum[:])
			if err := yield(&l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Book) keys(ctx context.Context, prefix string) (keys []string, err error) {
	err = b.store.List(ctx, prefix, "", func(key string, _ int64) bool {
		keys = append(keys, key)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters of %s: %w", b.feed, err)
	}
	return keys, nil
}

// No is the number of a letter: that of its event in the stream's partition. Of one feed no two letters have the same.
func (l *Letter) No() uint64 { return l.Batch.Event(0).PartNo() }

// ID names a letter: feed/number.
func (l *Letter) ID() string { return fmt.Sprintf("%s/%d", l.Feed, l.No()) }

// Cause is what letters have in common that will likely be mended together.
type Cause struct {
	Feed  string `json:"feed"`
	Rule  string `json:"rule"`
	Table string `json:"table"`
	Code  string `json:"code"` // of the error; "" if it has none
}

// ID names a cause: g and eight hexadecimal digits.
func (c Cause) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", c.Feed, c.Rule, c.Table, c.Code))
	return "g" + hex.EncodeToString(sum[:4])
}

// Cause returns the cause of a letter: that of the first rule because of which it is one.
func (l *Letter) Cause() Cause {
	c := Cause{Feed: l.Feed, Table: l.Batch.Event(0).Table().String()}
	for _, f := range l.Errors {
		if f.dead() {
			c.Rule, c.Code = f.Rule, f.code()
			break
		}
	}
	return c
}

// Failed names the rules that could not judge the event and want it judged later.
func (l *Letter) Failed() (names []string) {
	for _, f := range l.Errors {
		if f.dead() {
			names = append(names, f.Rule)
		}
	}
	return names
}

func (f *Failure) dead() bool { return f.OnError == "" || f.OnError == cdc.DeadLetter.String() }

// code returns the code of the error; letters that have none beside it have it in its text.
func (f *Failure) code() string {
	if code, _, ok := strings.Cut(f.Error, ": "); f.Code == "" && ok && strings.HasPrefix(code, "CDCD-") {
		return code
	}
	return f.Code
}

// Renumber returns the letter's event as the only one of a batch, with another number in another numbering.
func (l *Letter) Renumber(no, epoch uint64) (*cdc.Batch, error) { return l.copy(no, epoch, nil) }

// Edited returns the letter's event with other values in the columns that value knows. A change that was captured without
// its largest values is complete when they are all given.
func (l *Letter) Edited(value func(after bool, column int) (cdc.Value, bool)) (*cdc.Batch, error) {
	return l.copy(l.No(), l.Batch.Header().Epoch, value)
}

func (l *Letter) copy(no, epoch uint64, value func(after bool, column int) (cdc.Value, bool)) (*cdc.Batch, error) {
	e := l.Batch.Event(0)
	h, p := l.Batch.Header(), e.Position()
	h.FirstPartNo, h.Epoch = no, epoch
	var w cdc.Builder
	w.Reset(h)
	tx := w.AddTx(cdc.Tx{Server: p.Server, GTID: p.GTID, File: p.File, Pos: p.Pos, CommitTime: p.CommitTime, Rows: p.Rows})
	whole := value != nil // what was too large to be captured has been filled in
	row := func(r cdc.Row, after bool) uint32 {
		if !r.Exists() || value == nil {
			return w.CopyRow(r)
		}
		w.BeginRow(r.Len())
		for i := range r.Len() {
			v, ok := value(after, i)
			if !ok {
				v = r.Value(i)
			}
			if v.IsAbsent() {
				whole = false
				continue
			}
			w.Set(i, v)
		}
		return w.EndRow()
	}
	info := cdc.EventInfo{No: e.No(), Tx: tx, Row: p.Row, Table: w.AddTable(e.Table()), Op: e.Op()}
	info.Before, info.After = row(e.Before(), false), row(e.After(), true)
	info.Incomplete = e.Incomplete() && !whole
	w.AddEvent(info)
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		return nil, err
	}
	if err := b.Verify(); err != nil {
		return nil, err
	}
	b.Seq = l.Seq
	return b, nil
}

// Edit is a correction of a letter: what somebody has said that the values are.
type Edit struct {
	Letter string          `json:"letter"`
	No     int             `json:"edit"` // 1 is the first
	At     time.Time       `json:"at"`
	By     string          `json:"by"`
	Why    string          `json:"why,omitempty"`
	Set    json.RawMessage `json:"set"` // {"before":{column: value},"after":{…}}
}

// Edits returns the corrections of a letter, the first one first: the last one holds.
func (b *Book) Edits(ctx context.Context, no uint64) (edits []Edit, err error) {
	keys, err := b.keys(ctx, editFolder(no))
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		var e Edit
		if err := b.read(ctx, key, &e); err != nil {
			return nil, err
		}
		edits = append(edits, e)
	}
	return edits, nil
}

// Corrected returns how many corrections letters have, by their numbers.
func (b *Book) Corrected(ctx context.Context) (map[uint64]int, error) {
	keys, err := b.keys(ctx, "edits/")
	count := map[uint64]int{}
	for _, key := range keys {
		var no uint64
		var edit int
		if _, err := fmt.Sscanf(key, "edits/%d/%d.json", &no, &edit); err == nil {
			count[no]++
		}
	}
	return count, err
}

// AddEdit keeps a correction beside those that there are. It returns its bytes' hash.
func (b *Book) AddEdit(ctx context.Context, no uint64, e Edit) (digest string, err error) {
	for {
		edits, err := b.Edits(ctx, no)
		if err != nil {
			return "", err
		}
		e.No = len(edits) + 1
		body, created, err := b.put(ctx, fmt.Sprintf("%s%06d.json", editFolder(no), e.No), e)
		if err != nil {
			return "", err
		}
		if created {
			sum := sha256.Sum256(body)
			return hex.EncodeToString(sum[:]), nil
		}
	}
}

func editFolder(no uint64) string { return fmt.Sprintf("edits/%020d/", no) }

// What a job does, and what became of a letter.
const (
	Redrive = "redrive"
	Discard = "discard"

	Redriven  = "redriven"  // its record is delivered, or will be: it is decided
	NoMatch   = "no_match"  // the rules say now that it does not matter
	Discarded = "discarded" // somebody gave it up
)

// Job settles letters. That it is in the book is the decision: from then on its letters are settled, and its records have
// their numbers and their bytes. Delivering them can be interrupted at any time and taken up by anybody.
type Job struct {
	No      uint64    `json:"job"` // 1 is the first
	Do      string    `json:"do"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Why     string    `json:"why,omitempty"`
	RuleSet string    `json:"rule_set,omitempty"` // that has judged
	First   uint64    `json:"first,omitempty"`    // number of the first record in the chain of redriven records
	Records int       `json:"records,omitempty"`
	Settled []Settled `json:"settled"` // those with records first, in the order of their numbers
}

// Settled is a letter that a job settles.
type Settled struct {
	No      uint64 `json:"no"`
	SHA256  string `json:"sha256"` // of the letter
	Outcome string `json:"outcome"`
	Line    []byte `json:"line,omitempty"` // the record, as it is delivered
}

// Jobs returns all jobs, the first one first.
func (b *Book) Jobs(ctx context.Context) (jobs []Job, err error) {
	keys, err := b.keys(ctx, "jobs/")
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		var j Job
		if err := b.read(ctx, key, &j); err != nil {
			return nil, err
		}
		if key != jobKey(uint64(i+1)) || j.No != uint64(i+1) || j.Records > len(j.Settled) {
			return nil, b.broken(key, fmt.Errorf("job %d is missing, or this one is another", i+1))
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// ErrTaken says that another process has added a job meanwhile: look at the book again, and decide again.
var ErrTaken = errors.New("another job came first")

// AddJob adds a job behind those that the caller has decided it by.
func (b *Book) AddJob(ctx context.Context, after []Job, j Job) (Job, error) {
	j.No, j.First = uint64(len(after))+1, NextRecord(after)
	j.Records = 0
	for _, s := range j.Settled {
		if s.Outcome == Redriven {
			j.Records++
		}
	}
	if j.Records == 0 {
		j.First = 0
	}
	_, created, err := b.put(ctx, jobKey(j.No), j)
	if err == nil && !created {
		err = ErrTaken
	}
	return j, err
}

// NextRecord returns the number of the next record in the chain of redriven ones.
func NextRecord(jobs []Job) uint64 {
	next := uint64(1)
	for _, j := range jobs {
		next += uint64(j.Records)
	}
	return next
}

func jobKey(no uint64) string { return fmt.Sprintf("jobs/%08d.json", no) }

func (b *Book) read(ctx context.Context, key string, to any) error {
	body, ok, err := b.store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("dead letters of %s: %w", b.feed, err)
	}
	if !ok {
		err = errors.New("it is gone")
	} else {
		err = json.Unmarshal(body, to)
	}
	if err != nil {
		return b.broken(key, err)
	}
	return nil
}

func (b *Book) put(ctx context.Context, key string, what any) (body []byte, created bool, err error) {
	if body, err = json.Marshal(what); err != nil {
		return nil, false, err
	}
	body = append(body, '\n')
	created, err = b.store.Put(ctx, key, body, map[string]string{"cdcd-feed": b.feed})
	if err != nil {
		return nil, false, fmt.Errorf("dead letters of %s: %w", b.feed, err)
	}
	if !created { // it may be our own, from a try before
		if there, ok, err := b.store.Get(ctx, key); err == nil && ok && bytes.Equal(there, body) {
			return body, true, nil
		}
	}
	return body, created, nil
}
