package index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

var start = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// place is a log, and what its objects hold.
type place struct {
	t       *testing.T
	cfg     audit.Config
	objects map[string][]Record // by key
	read    int                 // objects that were read
	broken  error               // what reading answers, if it is set
	chains  map[string]cdc.Object
}

func newPlace(t *testing.T) *place {
	dir, err := os.MkdirTemp("/dev/shm", "cdcd-index-") // in memory: these tests sync a lot, and none cuts the power
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &place{t: t, cfg: audit.Config{Dir: filepath.Join(dir, "audit"), KeyFile: filepath.Join(dir, "key"), Origin: "cdcd/test"},
		objects: map[string][]Record{}, chains: map[string]cdc.Object{}}
}

// deliver logs n objects of a feed with three records each: of orders 0 to 9 in turn.
func (p *place) deliver(feed string, n int) {
	p.t.Helper()
	log, err := audit.Open(p.t.Context(), p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	for range n {
		o := p.chains[feed]
		o = cdc.Object{Chain: "shop/" + feed + "/00", Ordinal: o.Ordinal + 1, Store: "file:///x", Key: fmt.Sprintf("%s/%d", feed, o.Ordinal+1),
			SHA256: fmt.Sprintf("%064x", o.Ordinal+1), Prev: o.SHA256, Records: 3}
		p.chains[feed] = o
		for i := range 3 {
			no := 3*int(o.Ordinal-1) + i
			p.objects[o.Key] = append(p.objects[o.Key], Record{"shop.orders", []string{fmt.Sprint(no % 10)}, start.Add(time.Duration(no) * time.Second)})
		}
		if err := log.Object(p.t.Context(), o); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *place) records(_ context.Context, o cdc.Object) (iter.Seq[Record], error) {
	p.read++
	all, ok := p.objects[o.Key]
	if !ok {
		return nil, &Gap{Why: "it is gone"}
	}
	return slices.Values(all), p.broken
}

func (p *place) log() *audit.Reader {
	p.t.Helper()
	key, err := os.ReadFile(p.cfg.KeyFile + ".pub")
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := audit.Read(p.cfg.Dir, string(key), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *place) path() string { return p.cfg.KeyFile + ".index.db" }

func (p *place) open(secret string) *Index {
	p.t.Helper()
	x, err := Open(p.path(), []byte(secret), false)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { x.Close() })
	return x
}

func (p *place) update(x *Index) {
	p.t.Helper()
	if err := x.Update(p.t.Context(), p.log(), p.records, nil); err != nil {
		p.t.Fatal(err)
	}
}

// find compares what is found with what the objects have.
func (p *place) find(x *Index, q Query) (n int) {
	p.t.Helper()
	var want, got []string
	for i := uint64(1); i <= p.chains[q.Feed].Ordinal; i++ {
		for no, r := range p.objects[fmt.Sprintf("%s/%d", q.Feed, i)] {
			if r.Table == q.Table && (q.Key == nil || slices.Equal(r.Key, q.Key)) &&
				(q.From.IsZero() || !r.Time.Before(q.From)) && (q.To.IsZero() || r.Time.Before(q.To)) {
				want = append(want, fmt.Sprintf("%s/%d:%d %s", q.Feed, i, no, r.Time))
			}
		}
	}
	log := p.log()
	err := x.Find(q, func(h Hit) error {
		return log.Leaves(p.t.Context(), h.Leaf, func(index int64, leaf audit.Leaf, _ []byte) error {
			if index == h.Leaf {
				got = append(got, fmt.Sprintf("%s:%d %s", leaf.Object.Key, h.Record, h.Time))
			}
			return nil
		})
	})
	if err != nil || !slices.Equal(got, want) {
		p.t.Errorf("%+v: got %q\nwant %q (%v)", q, got, want, err)
	}
	return len(got)
}

func TestWhatWasDeliveredAboutARowIsFound(t *testing.T) {
	p := newPlace(t)
	p.deliver("acme", 7)
	p.deliver("beta", 2)
	p.deliver("acme.dead-letters", 1)
	x := p.open("secret")
	p.update(x)
	all := func() {
		t.Helper()
		for _, feed := range []string{"acme", "beta"} {
			if n := p.find(x, Query{Feed: feed, Table: "shop.orders", Key: []string{"3"}}); n == 0 {
				t.Error("nothing was found")
			}
			p.find(x, Query{Feed: feed, Table: "shop.orders"})
			p.find(x, Query{Feed: feed, Table: "shop.orders", From: start.Add(4 * time.Second), To: start.Add(8 * time.Second)})
			p.find(x, Query{Feed: feed, Table: "shop.orders", Key: []string{"4"}, From: start.Add(5 * time.Second)})
			p.find(x, Query{Feed: feed, Table: "shop.orders", Key: []string{"3", ""}})
			p.find(x, Query{Feed: feed, Table: "shop.items"})
		}
		p.find(x, Query{Feed: "nobody", Table: "shop.orders"})
	}
	all()
	if p.read != 9 {
		t.Errorf("%d objects were read, want 9", p.read)
	}

	// It goes on where it was, also in another process, and beyond a page of answers.
	x.Close()
	p.deliver("acme", 400)
	p.read = 0
	x = p.open("secret")
	p.update(x)
	all()
	if p.read != 400 {
		t.Errorf("%d objects were read, want the 400 new ones", p.read)
	}
}

func TestAnIndexThatCannotBeUsedIsMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, p *place){
		"missing": func(_ *testing.T, p *place) { os.Remove(p.path()) },
		"cut":     func(_ *testing.T, p *place) { os.Truncate(p.path(), 5000) },
		"other": func(t *testing.T, p *place) {
			os.WriteFile(p.path(), []byte(strings.Repeat("no index\n", 3000)), 0o600)
		},
		"pages": func(t *testing.T, p *place) {
			text, err := os.ReadFile(p.path())
			if err != nil {
				t.Fatal(err)
			}
			for i := 2 * os.Getpagesize(); i < len(text); i++ {
				text[i] ^= 0x55
			}
			os.WriteFile(p.path(), text, 0o600)
		},
		"of another log": func(t *testing.T, p *place) {
			dir := p.cfg.Dir
			for _, d := range []string{dir, p.cfg.KeyFile, p.cfg.KeyFile + ".pub", p.cfg.KeyFile + ".checkpoint"} {
				os.RemoveAll(d)
			}
			p.chains, p.objects = map[string]cdc.Object{}, map[string][]Record{}
			p.deliver("acme", 5)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.deliver("acme", 5)
			x := p.open("secret")
			p.update(x)
			x.Close()
			spoil(t, p)
			p.read = 0
			x = p.open("secret")
			p.update(x)
			p.find(x, Query{Feed: "acme", Table: "shop.orders", Key: []string{"2"}})
			if p.read != 5 {
				t.Errorf("%d objects were read, want all 5", p.read)
			}
		})
	}
	p := newPlace(t)
	p.deliver("acme", 5)
	x := p.open("secret")
	p.update(x)
	x.Close()
	x = p.open("another secret")
	p.update(x)
	p.find(x, Query{Feed: "acme", Table: "shop.orders", Key: []string{"2"}})
	if p.read != 10 {
		t.Errorf("%d objects were read, want all 5 twice", p.read)
	}
}

func TestObjectsThatCannotBeReadAreTold(t *testing.T) {
	p := newPlace(t)
	p.deliver("acme", 3)
	delete(p.objects, "acme/2")
	p.objects["acme/3"][1].Key = nil
	x := p.open("secret")
	p.update(x)
	p.deliver("beta", 1)
	delete(p.objects, "beta/1")
	p.update(x)
	gaps, err := x.Gaps("acme")
	want := []Gap{{1, "acme", "file:///x/acme/2", "it is gone"}, {2, "acme", "file:///x/acme/3", "1 of its records do not tell their primary key: they are found without --key only"}}
	if err != nil || !slices.Equal(gaps, want) {
		t.Errorf("got %v, %v", gaps, err)
	}
	p.find(x, Query{Feed: "acme", Table: "shop.orders"})

	// A store that does not answer is another thing: the index waits, and keeps what it has read.
	p.deliver("acme", 3)
	p.broken = errors.New("no answer")
	if err := x.Update(t.Context(), p.log(), p.records, nil); !errors.Is(err, p.broken) {
		t.Errorf("got %v", err)
	}
	p.broken, p.read = nil, 0
	p.update(x)
	p.find(x, Query{Feed: "acme", Table: "shop.orders"})
	if p.read != 3 {
		t.Errorf("%d objects were read, want 3", p.read)
	}
}

func TestObjectsAreFoundByTheirNames(t *testing.T) {
	p := newPlace(t)
	p.deliver("acme", 3)
	p.deliver("acme.dead-letters", 1)
	delete(p.objects, "acme/2") // it was removed, and the log still has it
	x := p.open("secret")
	p.update(x)
	for name, want := range map[string]string{"acme/2": "[1]", "file:///x/acme/3": "[2]", "acme.dead-letters/1": "[3]", "acme/4": "[]", "": "[]"} {
		leaves, size, err := x.Object(name)
		if fmt.Sprint(leaves) != want || size != 4 || err != nil {
			t.Errorf("object %q: leaves %v of %d, %v; want %s of 4", name, leaves, size, err, want)
		}
	}
}

func TestTheFileTellsNothingOfRows(t *testing.T) {
	p := newPlace(t)
	p.deliver("acme", 1)
	p.objects["acme/1"][0] = Record{"shop.customers", []string{"anna.visible@example.com"}, start}
	x := p.open("secret")
	p.update(x)
	p.find(x, Query{Feed: "acme", Table: "shop.customers", Key: []string{"anna.visible@example.com"}})
	x.Close()
	text, err := os.ReadFile(p.path())
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"anna", "customers", "orders", "acme"} {
		if strings.Contains(string(text), word) {
			t.Errorf("the file has %q in it", word)
		}
	}
}
