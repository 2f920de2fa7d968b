package index

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// Record is what the index has to know of a record.
type Record struct {
	Table string
	Key   []string // values of the primary key as text, in its order; nil: it cannot be found by key
	Time  time.Time
}

// Records reads the records of an object, in their order. An error that is a [Gap] says that this object cannot be read,
// now or ever; any other ends the update.
type Records func(ctx context.Context, o cdc.Object) (iter.Seq[Record], error)

// Gap says why an object is not in the index.
type Gap struct {
	Leaf   int64  `json:"leaf"`
	Feed   string `json:"feed"`
	Object string `json:"object"`
	Why    string `json:"why"`
}

// Error returns why.
func (g *Gap) Error() string { return g.Why }

// Query says what to find. Feed and Table are required; without Key all records of the table are found.
type Query struct {
	Feed, Table string
	Key         []string
	From, To    time.Time // commit times, From <= t < To; zero: no limit
}

// Hit is a record that the index says is there.
type Hit struct {
	Leaf   int64 // of its object
	Record int64 // in the object, from 0
	Time   time.Time
}

// Index is an open index. One process has it open at a time.
type Index struct {
	path   string
	secret []byte
	db     *bbolt.DB
}

var (
	stateBucket = []byte("state")
	hitBucket   = []byte("records") // HMAC, time, leaf, record, or of an object HMAC, leaf: nothing
	gapBucket   = []byte("gaps")    // leaf: Gap
	stateKey    = []byte("state")
)

const (
	format    = 2
	printSize = 16
	perUpdate = 50_000 // records in a transaction, about

	objectFeed = "\x00object" // what no feed is called: objects are in the index by their names, too
)

// state says what the index is of.
type state struct {
	Format int    `json:"format"`
	Key    string `json:"key"` // proves that it was made with this secret
	Origin string `json:"origin"`
	Size   int64  `json:"size"` // leaves that are in it
	Root   string `json:"root"` // of the log at this size
}

// errDamaged says that the file is not one that can be used.
var errDamaged = errors.New("the index is damaged")

// Open opens the index in a file, or begins it anew: when it is missing, damaged, made with another secret, or when it is
// wished.
func Open(path string, secret []byte, anew bool) (*Index, error) {
	x := &Index{path: path, secret: secret}
	if !anew {
		err := x.open()
		if err == nil {
			return x, nil
		}
		if !errors.Is(err, errDamaged) {
			return nil, err
		}
	}
	return x, x.Reset()
}

// Reset begins the index anew.
func (x *Index) Reset() error {
	if err := x.Close(); err != nil {
		return err
	}
	if err := os.Remove(x.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit index: %w", err)
	}
	return x.open()
}

// Close closes the file.
func (x *Index) Close() error {
	if x.db == nil {
		return nil
	}
	db := x.db
	x.db = nil
	return db.Close()
}

func (x *Index) open() error {
	err := guard(func() (err error) {
		x.db, err = bbolt.Open(x.path, 0o600, &bbolt.Options{Timeout: 10 * time.Second})
		return err
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("audit index %s: another process has it open", x.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("audit index: %w", err)
	case err != nil:
		x.db = nil
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	err = x.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{stateBucket, hitBucket, gapBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		s, ok := readState(tx)
		if ok && (s.Format != format || s.Key != x.proof()) {
			return errDamaged
		}
		if ok {
			return nil
		}
		return writeState(tx, state{Format: format, Key: x.proof()})
	})
	if err != nil {
		x.Close()
		return err
	}
	return nil
}

// proof is made of the secret and tells nothing of it.
func (x *Index) proof() string {
	m := hmac.New(sha256.New, x.secret)
	m.Write([]byte("cdcd audit index"))
	return fmt.Sprintf("%x", m.Sum(nil)[:8])
}

// print is what a row is known by.
func (x *Index) print(feed, table string, key []string) []byte {
	m := hmac.New(sha256.New, x.secret)
	for _, s := range append([]string{feed, table}, key...) {
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s)))) // so that no two lists of values are the same bytes
		m.Write([]byte(s))
	}
	return m.Sum(nil)[:printSize]
}

// guard makes an error of what goes wrong deep in a damaged file, which is mapped into memory.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return do()
}

func (x *Index) update(do func(tx *bbolt.Tx) error) error {
	return guard(func() error { return x.db.Update(do) })
}

func (x *Index) view(do func(tx *bbolt.Tx) error) error {
	return guard(func() error { return x.db.View(do) })
}

func readState(tx *bbolt.Tx) (s state, ok bool) {
	text := tx.Bucket(stateBucket).Get(stateKey)
	return s, text != nil && json.Unmarshal(text, &s) == nil
}

func writeState(tx *bbolt.Tx, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Bucket(stateBucket).Put(stateKey, text)
}

// Update brings the index to the log's checkpoint: it reads the leaves that are not in it yet, and their objects. An index of
// another log, or one that is damaged, is begun anew. What is interrupted is gone on with the next time.
func (x *Index) Update(ctx context.Context, log *audit.Reader, records Records, progress func(done, total int64)) error {
	err := x.updateFrom(ctx, log, records, progress)
	if errors.Is(err, errDamaged) {
		if err := x.Reset(); err != nil {
			return err
		}
		err = x.updateFrom(ctx, log, records, progress)
	}
	return err
}

func (x *Index) updateFrom(ctx context.Context, log *audit.Reader, records Records, progress func(done, total int64)) error {
	now, _ := log.Checkpoint()
	var s state
	err := x.view(func(tx *bbolt.Tx) error {
		var ok bool
		if s, ok = readState(tx); !ok {
			return errDamaged
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.Size > 0 && (s.Origin != now.Origin || s.Size > now.Size) {
		return fmt.Errorf("%w: it is of another log", errDamaged)
	}
	if s.Size > 0 {
		root, err := log.Root(s.Size)
		if err != nil {
			return err
		}
		if fmt.Sprintf("%x", root[:]) != s.Root {
			return fmt.Errorf("%w: it is of another log", errDamaged)
		}
	}
	w := &writer{x: x, log: log, origin: now.Origin}
	err = log.Leaves(ctx, s.Size, func(index int64, leaf audit.Leaf, _ []byte) error {
		if err := w.add(ctx, index, leaf, records); err != nil {
			return err
		}
		if w.next = index + 1; progress != nil {
			progress(w.next, now.Size)
		}
		if len(w.hits) < perUpdate {
			return nil
		}
		return w.flush()
	})
	return errors.Join(err, w.flush()) // what was read before an error is kept
}

// writer collects what is written in one transaction.
type writer struct {
	x      *Index
	log    *audit.Reader
	origin string
	next   int64 // leaves before it are collected or written
	hits   [][]byte
	gaps   []Gap
}

func (w *writer) add(ctx context.Context, index int64, leaf audit.Leaf, records Records) error {
	o := leaf.Object
	if o == nil {
		return nil
	}
	for _, name := range []string{o.Key, o.Store + "/" + o.Key} {
		w.hits = append(w.hits, binary.BigEndian.AppendUint64(w.x.print(objectFeed, name, nil), uint64(index)))
	}
	feed := FeedOf(o.Chain)
	if o.Records == 0 || strings.HasSuffix(feed, ".dead-letters") { // these are not delivered
		return nil
	}
	all, err := records(ctx, *o)
	var gap *Gap
	if errors.As(err, &gap) {
		w.gaps = append(w.gaps, Gap{index, feed, o.Store + "/" + o.Key, gap.Why})
		return nil
	}
	if err != nil {
		return fmt.Errorf("index object %s/%s: %w", o.Store, o.Key, err)
	}
	number, keyless := 0, 0
	for r := range all {
		micros := uint64(r.Time.UnixMicro())
		rows := [][]byte{w.x.print(feed, r.Table, nil)}
		if r.Key == nil {
			keyless++
		} else {
			rows = append(rows, w.x.print(feed, r.Table, r.Key))
		}
		for _, row := range rows {
			row = binary.BigEndian.AppendUint64(row, micros)
			row = binary.BigEndian.AppendUint64(row, uint64(index))
			w.hits = append(w.hits, binary.BigEndian.AppendUint32(row, uint32(number)))
		}
		number++
	}
	if keyless > 0 {
		w.gaps = append(w.gaps, Gap{index, feed, o.Store + "/" + o.Key, fmt.Sprintf("%d of its records do not tell their primary key: they are found without --key only", keyless)})
	}
	return nil
}

func (w *writer) flush() error {
	if w.next == 0 {
		return nil
	}
	root, err := w.log.Root(w.next)
	if err != nil {
		return err
	}
	slices.SortFunc(w.hits, func(a, b []byte) int { return strings.Compare(string(a), string(b)) })
	err = w.x.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(hitBucket)
		for _, h := range w.hits {
			if err := b.Put(h, nil); err != nil {
				return err
			}
		}
		b = tx.Bucket(gapBucket)
		for _, g := range w.gaps {
			text, err := json.Marshal(g)
			if err != nil {
				return err
			}
			if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(g.Leaf)), text); err != nil {
				return err
			}
		}
		return writeState(tx, state{format, w.x.proof(), w.origin, w.next, fmt.Sprintf("%x", root[:])})
	})
	w.hits, w.gaps = w.hits[:0], nil
	return err
}

// Find calls do with what the index has of a row or a table, oldest first, until it returns an error.
func (x *Index) Find(q Query, do func(Hit) error) error {
	prefix := x.print(q.Feed, q.Table, q.Key)
	from := slices.Clone(prefix)
	if !q.From.IsZero() {
		from = binary.BigEndian.AppendUint64(from, uint64(q.From.UnixMicro()))
	}
	var hits []Hit
	next := from
	for {
		hits = hits[:0]
		err := x.view(func(tx *bbolt.Tx) error { // a page at a time: nobody is kept waiting while do works
			c := tx.Bucket(hitBucket).Cursor()
			for k, _ := c.Seek(next); k != nil && strings.HasPrefix(string(k), string(prefix)); k, _ = c.Next() {
				if len(k) != printSize+8+8+4 {
					return errDamaged
				}
				h := Hit{Time: time.UnixMicro(int64(binary.BigEndian.Uint64(k[printSize:]))).UTC(),
					Leaf: int64(binary.BigEndian.Uint64(k[printSize+8:])), Record: int64(binary.BigEndian.Uint32(k[printSize+16:]))}
				if !q.To.IsZero() && !h.Time.Before(q.To) {
					break
				}
				next = append(slices.Clone(k), 0)
				if hits = append(hits, h); len(hits) == 1000 {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, h := range hits {
			if err := do(h); err != nil {
				return err
			}
		}
		if len(hits) < 1000 {
			return nil
		}
	}
}

// Object returns the leaves that the index has of objects of a name: the key, or store and key; and how many leaves of the log it
// has read.
func (x *Index) Object(name string) (leaves []int64, size int64, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		s, ok := readState(tx)
		if !ok {
			return errDamaged
		}
		size = s.Size
		prefix := x.print(objectFeed, name, nil)
		c := tx.Bucket(hitBucket).Cursor()
		for k, _ := c.Seek(prefix); k != nil && strings.HasPrefix(string(k), string(prefix)); k, _ = c.Next() {
			if len(k) != printSize+8 {
				return errDamaged
			}
			leaves = append(leaves, int64(binary.BigEndian.Uint64(k[printSize:])))
		}
		return nil
	})
	return leaves, size, err
}

// Gaps returns the objects of a feed that are not in the index, or not whole.
func (x *Index) Gaps(feed string) (gaps []Gap, err error) {
	err = x.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(gapBucket).ForEach(func(_, text []byte) error {
			var g Gap
			if json.Unmarshal(text, &g) != nil {
				return errDamaged
			}
			if g.Feed == feed {
				gaps = append(gaps, g)
			}
			return nil
		})
	})
	return gaps, err
}

// Damaged reports whether an error says that the index cannot be used, and has to be begun anew.
func Damaged(err error) bool { return errors.Is(err, errDamaged) }

// FeedOf returns the feed of a chain: it is called source/feed/partition.
func FeedOf(chain string) string {
	parts := strings.Split(chain, "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[1]
}
