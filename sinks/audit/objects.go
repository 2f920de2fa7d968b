package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
)

// Store is where objects are, as far as [Verify] needs it. sinks/s3 and sinks/file have one.
type Store interface {
	// Get returns the object's bytes, ok=false when there is none.
	Get(ctx context.Context, key string) (body []byte, ok bool, err error)
	// List calls yield with each key that begins with prefix and sorts after `after`, in lexical order, until yield
	// returns false.
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
}

const readers = 8 // objects that are read at the same time

// objectCheck compares leaves with stores: it reads the objects, and walks through each store's keys in step with the
// leaves, which come in the same order, to find objects that the log does not know.
type objectCheck struct {
	v       *verifier
	stores  map[string]Store
	walks   map[[2]string]*walk // by store and prefix
	pending []pendingObject     // leaves of the current bundle
}

type pendingObject struct {
	index int64
	leaf  Leaf
	store Store
	bad   *Finding
	err   error
}

func newObjectCheck(v *verifier) *objectCheck {
	return &objectCheck{v: v, stores: map[string]Store{}, walks: map[[2]string]*walk{}}
}

func (c *objectCheck) add(index int64, leaf Leaf) {
	c.pending = append(c.pending, pendingObject{index: index, leaf: leaf})
}

// check looks at the objects that were added.
func (c *objectCheck) check(ctx context.Context) error {
	pending := c.pending
	c.pending = c.pending[:0]
	for i := range pending {
		p := &pending[i]
		o := p.leaf.Object
		store, err := c.store(o.Store)
		if err != nil {
			return err
		}
		p.store = store
		size, found, err := c.walk(ctx, store, o).find(o.Key)
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		switch {
		case !found:
			p.bad = finding("objects", o.Store+"/"+o.Key, "it was removed: %s has it with %d bytes", p.leaf.name(p.index), o.Bytes)
		case size != o.Bytes:
			p.bad = finding("objects", o.Store+"/"+o.Key, "it was changed: it has %d bytes, %s has %d", size, p.leaf.name(p.index), o.Bytes)
		}
	}

	var wg sync.WaitGroup
	turn := make(chan struct{}, readers)
	for i := range pending {
		p := &pending[i]
		if p.index < c.v.cfg.Since || p.bad != nil {
			continue
		}
		turn <- struct{}{}
		wg.Go(func() { // waited for below
			p.bad, p.err = readObject(ctx, p)
			<-turn
		})
	}
	wg.Wait()
	for i := range pending {
		p := &pending[i]
		if p.err != nil {
			return p.err
		}
		if p.bad != nil {
			return p.bad
		}
		if p.index < c.v.cfg.Since {
			c.v.report.Objects.Found++
		} else {
			c.v.report.Objects.Read++
		}
	}
	return nil
}

// readObject compares an object's bytes with its leaf.
func readObject(ctx context.Context, p *pendingObject) (*Finding, error) {
	o := p.leaf.Object
	item, leaf := o.Store+"/"+o.Key, p.leaf.name(p.index)
	body, ok, err := p.store.Get(ctx, o.Key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return finding("objects", item, "it was removed: %s has it with %d bytes", leaf, o.Bytes), nil
	}
	if int64(len(body)) != o.Bytes {
		return finding("objects", item, "it was changed: it has %d bytes, %s has %d", len(body), leaf, o.Bytes), nil
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != o.SHA256 {
		return finding("objects", item, "it was changed: its sha256 is %x, %s has %s", sum, leaf, o.SHA256), nil
	}
	return nil, nil
}

func (c *objectCheck) store(name string) (Store, error) {
	if s := c.stores[name]; s != nil {
		return s, nil
	}
	s, err := c.v.cfg.Objects(name)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	c.stores[name] = s
	c.v.report.Objects.Stores = append(c.v.report.Objects.Stores, name)
	slices.Sort(c.v.report.Objects.Stores)
	return s, nil
}

// walk returns the walk through the keys that an object's is one of: those of the chain's objects, which begin with the
// same text up to the date.
func (c *objectCheck) walk(ctx context.Context, store Store, o *cdc.Object) *walk {
	prefix := ""
	if i := strings.Index(o.Key, "dt="); i >= 0 {
		prefix = o.Key[:i+len("dt=")]
	} else if i := strings.LastIndex(o.Key, "/"); i >= 0 {
		prefix = o.Key[:i+1]
	}
	at := [2]string{o.Store, prefix}
	w := c.walks[at]
	if w == nil {
		w = newWalk(ctx, store, prefix)
		c.walks[at] = w
	}
	return w
}

// finish looks for objects that the log does not know.
func (c *objectCheck) finish(ctx context.Context) error {
	live := c.v.live()
	for at, w := range c.walks {
		last := w.last
		for {
			next, ok := w.pull()
			if !ok {
				break
			}
			w.unknown[next.key] = next.size
		}
		if w.err != nil {
			return fmt.Errorf("list objects: %w", w.err)
		}
		var keys []string
		for key := range w.unknown {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			object, manifest := strings.CutSuffix(key, ".manifest.json")
			_, unknown := w.unknown[object]
			switch item := at[0] + "/" + key; {
			case manifest && !unknown: // it stands beside an object that the log knows
			case key > last && live:
				c.v.report.Objects.Newer++
			case key > last:
				return finding("objects", item, "the log does not know it. If cdcd was killed after writing it, its next start logs it")
			default:
				return finding("objects", item, "the log does not know it")
			}
		}
	}
	return nil
}

func (c *objectCheck) close() {
	for _, w := range c.walks {
		w.stop()
	}
	for _, s := range c.stores {
		if s, ok := s.(io.Closer); ok {
			s.Close() // it was only read
		}
	}
}

// walk goes through a store's keys, in order, as far as it is asked for.
type walk struct {
	pull    func() (listed, bool)
	stop    func()
	err     error // why the list ended early
	last    string
	unknown map[string]int64 // keys that were passed and not asked for yet
}

type listed struct {
	key  string
	size int64
}

func newWalk(ctx context.Context, store Store, prefix string) *walk {
	w := &walk{unknown: map[string]int64{}}
	w.pull, w.stop = iter.Pull(func(yield func(listed) bool) {
		w.err = store.List(ctx, prefix, "", func(key string, size int64) bool { return yield(listed{key, size}) })
	})
	return w
}

// find looks for a key. Keys are asked for in order, mostly; those that are passed are remembered.
func (w *walk) find(key string) (size int64, found bool, err error) {
	for w.last = max(w.last, key); ; {
		if size, ok := w.unknown[key]; ok {
			delete(w.unknown, key)
			return size, true, nil
		}
		next, ok := w.pull()
		if !ok {
			return 0, false, w.err
		}
		w.unknown[next.key] = next.size
		if next.key > key {
			return 0, false, nil
		}
	}
}
