package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/trigger"
	"github.com/cdcd-project/cdcd/sinks/webhook"
)

// triggers is all that tells partners of objects, and hears of them. Nothing of it holds up a chain.
//
//	chain → audit.Object → committed → Teller.Run → webhook.Post or bus.Tell → audit.Note
type triggers struct {
	p     *pipeline
	lines map[string]*triggerLine // by chain
	order []*triggerLine
}

// triggerLine is one chain of a feed with a trigger.
type triggerLine struct {
	feed     *feed
	store    chain.Store
	chain    string
	folder   string // p=00/
	redriven bool   // of dead letters, in a place of their own
	tellers  []*trigger.Teller
	finders  []*objectFinder // of tellers
	receipts *receiptBook
}

// newTriggers makes what the feeds' triggers say. It calls nobody.
func newTriggers(ctx context.Context, p *pipeline) (*triggers, error) {
	ts := &triggers{p: p, lines: map[string]*triggerLine{}}
	for _, f := range p.feeds {
		if f.cfg.Trigger == nil {
			continue
		}
		lines := make([]*triggerLine, max(1, f.cfg.Partitions))
		for i := range lines {
			lines[i] = &triggerLine{feed: f, store: f.store, chain: fmt.Sprintf("%s/%s/%02d", p.cfg.Name, f.name, i), folder: fmt.Sprintf("p=%02d/", i)}
		}
		if !f.cfg.toNATS() {
			store, err := openPlace(ctx, p.env, p.cfg.Name, f.name, redriven(f.cfg))
			if err != nil {
				return nil, fmt.Errorf("feed %s: %w", f.name, err)
			}
			lines = append(lines, &triggerLine{feed: f, store: store, chain: fmt.Sprintf("%s/%s.%s/00", p.cfg.Name, f.name, redrivenName), folder: "p=00/", redriven: true})
		}
		for _, l := range lines {
			if err := ts.tellers(l); err != nil {
				return nil, fmt.Errorf("feed %s: %w", f.name, err)
			}
			if r := f.cfg.Trigger.Receipts; r != nil {
				if _, err := r.Keys(); err != nil {
					return nil, fmt.Errorf("feed %s: %w", f.name, err)
				}
				l.receipts = &receiptBook{p: p, line: l, finder: newObjectFinder(l.store, l.folder, l.chain)}
			}
			ts.lines[l.chain], ts.order = l, append(ts.order, l)
		}
	}
	return ts, nil
}

// tellers makes what tells of a line's objects.
func (ts *triggers) tellers(l *triggerLine) error {
	t := l.feed.cfg.Trigger
	if w := t.Webhook; w != nil {
		hook, err := openHook(ts.p.app, w)
		if err != nil {
			return err
		}
		c := ts.config(l, "webhook", hook.String(), w.URL)
		c.GiveUp, c.Send = time.Duration(w.GiveUp), hook.Post
		if w.Presign > 0 {
			c.Event = ts.event(func(ctx context.Context, o cdc.Object) (string, error) {
				return presign(ctx, l.store, o.Key, time.Duration(w.Presign))
			})
		}
		l.tellers = append(l.tellers, trigger.New(c))
	}
	if n := t.Nats; n != nil {
		c := ts.config(l, "nats", n.Subject, n.Subject)
		c.Send = func(ctx context.Context, id string, body []byte) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			return ts.p.stream.Tell(ctx, n.Subject, id, body, map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8"})
		}
		l.tellers = append(l.tellers, trigger.New(c))
	}
	return nil
}

// config is what all Tellers have.
func (ts *triggers) config(l *triggerLine, by, place, keep string) trigger.Config {
	p, store := ts.p, l.store.String()
	h := newObjectFinder(l.store, l.folder, l.chain)
	l.finders = append(l.finders, h)
	told := func() uint64 { return p.audit.Noted(audit.TypeTrigger, by, l.chain, store) }
	name := l.feed.name
	if l.redriven {
		name += "." + redrivenName
	}
	memory := filepath.Join(p.cfg.Data, "triggers", fmt.Sprintf("%s.%s.%s.json", name, l.folder[:len(l.folder)-1], by))
	disk := durable.New()
	return trigger.Config{
		Chain: l.chain, By: by, Place: place, Keep: digest(keep), Logger: p.log,
		Audited: func() uint64 { return p.audited(l.store)(l.chain) },
		Told:    told,
		Note: func(ctx context.Context, d trigger.Done) error {
			return p.audit.Note(ctx, audit.Note{Kind: audit.TypeTrigger, ID: by + "/" + d.ID, Feed: l.feed.name, By: by, Chain: d.Object.Chain, Store: store,
				Ordinal: d.Object.Ordinal, Attempts: d.Attempts, Outcome: "delivered"})
		},
		Find:  h.find,
		Event: ts.event(nil),
		Load: func() (m trigger.Memory, err error) {
			text, err := os.ReadFile(memory)
			if errors.Is(err, fs.ErrNotExist) {
				return m, nil
			}
			if err == nil {
				err = json.Unmarshal(text, &m)
			}
			return m, err
		},
		Save: func(m trigger.Memory) error {
			text, _ := json.Marshal(m) // has nothing that could fail
			if err := disk.Replace(memory, append(text, '\n'), 0o600); err != nil {
				return err
			}
			last := told()
			if m.Disabled == "" || last == 0 {
				return nil
			}
			// About the last object that was told of: one that was not is to be told of when this is enabled again.
			return p.audit.Note(context.Background(), audit.Note{Kind: audit.TypeTrigger, ID: fmt.Sprintf("%s/%s/disabled/%d", by, l.chain, m.DisabledAt.Unix()),
				Feed: l.feed.name, By: by, Chain: l.chain, Store: store, Ordinal: last, Outcome: "disabled"})
		},
	}
}

// event makes an object's event. What its checkpoint says is under it by then.
func (ts *triggers) event(sign func(ctx context.Context, o cdc.Object) (string, error)) func(context.Context, cdc.Object, string) ([]byte, error) {
	return func(ctx context.Context, o cdc.Object, prevKey string) (body []byte, err error) {
		u := ""
		if sign != nil {
			if u, err = sign(ctx, o); err != nil {
				return nil, err
			}
		}
		return trigger.ObjectEvent(o, prevKey, string(ts.p.audit.Checkpoint()), u).JSON(), nil
	}
}

// committed says that an object is there and audited. It never waits.
func (ts *triggers) committed(o cdc.Object) {
	l := ts.lines[o.Chain]
	if l == nil || o.Store != l.store.String() {
		return
	}
	for i, t := range l.tellers {
		l.finders[i].note(o)
		t.Kick()
	}
}

// Run tells, and listens, until ctx ends.
func (ts *triggers) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range ts.order {
		for _, t := range l.tellers {
			g.Go(func() error { return t.Run(ctx) })
		}
		if l.receipts != nil {
			g.Go(func() error { return l.receipts.watch(ctx) })
		}
	}
	g.Go(func() error { return ts.listenForReceipts(ctx) })
	g.Go(func() error { // also when there is none, so that the end of ctx is waited for
		<-ctx.Done()
		return ctx.Err()
	})
	return g.Wait()
}

// kick lets a feed's triggers look whether there is something to tell of.
func (ts *triggers) kick(feed string) {
	for _, l := range ts.order {
		if l.feed.name != feed {
			continue
		}
		for _, t := range l.tellers {
			t.Kick()
		}
	}
}

// enable lets the disabled triggers of a feed go on, and returns how many there were.
func (ts *triggers) enable(feed string) (n int) {
	for _, l := range ts.order {
		if l.feed.name != feed {
			continue
		}
		for _, t := range l.tellers {
			if t.Stats().Disabled != "" {
				n++
			}
			t.Enable()
		}
	}
	return n
}

// settle waits until everybody has been told of everything, or has not taken it for a while: that is for the next start, and
// said in the log.
func (ts *triggers) settle(ctx context.Context) error {
	until := time.Now().Add(settleTakes)
	for _, l := range ts.order {
		for _, t := range l.tellers {
			s := t.Stats()
			for s.Told < s.Audited && s.Disabled == "" && (s.Err == nil || time.Now().Before(until)) {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				s = t.Stats()
			}
			if s.Told < s.Audited {
				ts.p.log.Warn("somebody is not told of all objects; the next start goes on", "event", "trigger.unfinished", "feed", l.feed.name,
					"chain", s.Chain, "by", s.By, "objects", s.Audited-s.Told, "disabled", s.Disabled != "", "err", s.Err)
			}
		}
	}
	return nil
}

// settleTakes is how long a run over files that has delivered everything waits for who does not take a trigger.
const settleTakes = 15 * time.Second

// digest names a place without showing it.
func digest(place string) string {
	sum := sha256.Sum256([]byte(place))
	return hex.EncodeToString(sum[:8])
}

// openHook makes a hook as it is configured.
func openHook(a *app, w *webhookConfig) (*webhook.Hook, error) {
	if _, err := w.Keys(a.env); err != nil {
		return nil, err
	}
	c := webhook.Config{URL: w.URL, AllowInsecure: w.AllowInsecure, AllowPrivate: w.AllowPrivate, Timeout: time.Duration(w.Timeout),
		Agent: "cdcd/" + readVersion().Version, Keys: func() ([]webhooksig.Key, error) { return w.Keys(a.env) }}
	if w.CAFile != "" {
		pem, err := os.ReadFile(w.CAFile)
		if err != nil {
			return nil, cdc.Errorf("CDCD-4401", "webhook: ca_file: %w", err).WithFix("name a file with certificates in PEM")
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, cdc.Errorf("CDCD-4401", "webhook: ca_file %s has no certificate", w.CAFile).WithFix("name a file with certificates in PEM")
		}
		c.TLS = &tls.Config{RootCAs: roots}
	}
	return webhook.New(c)
}

// presign makes a URL to fetch an object with. It is given to the partner and written nowhere.
func presign(ctx context.Context, store chain.Store, key string, valid time.Duration) (string, error) {
	s, ok := store.(interface {
		Presign(ctx context.Context, key string, valid time.Duration) (string, error)
	})
	if !ok {
		return "", fmt.Errorf("%s has no URLs that could be signed", store)
	}
	signed, err := s.Presign(ctx, key, valid)
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without what it was about
	}
	return signed, err
}

// objectFinder finds a chain's objects by their ordinals: those that were just committed in memory, older ones in the store.
type objectFinder struct {
	store         chain.Store
	folder, chain string

	mu     sync.Mutex // guards recent
	recent map[uint64]cdc.Object

	// Owned by who calls find.
	last    uint64 // the ordinal that was found last
	lastKey string
	passed  string   // key that was looked at, and is not of the chain
	ahead   []string // keys behind it
	pages   []page   // of the chain's keys, in their order
}

// page is up to listedKeys keys of a chain that follow each other, or those at its end.
type page struct {
	after   string // the key before its first one
	ordinal uint64 // of its first object; 0 while nobody has asked
}

const (
	recentObjects = 256
	listedKeys    = 1000
	strideObjects = 50 // to go over one by one before the place is looked up
)

func newObjectFinder(store chain.Store, folder, name string) *objectFinder {
	return &objectFinder{store: store, folder: folder, chain: name, recent: map[uint64]cdc.Object{}}
}

// note remembers an object that was committed.
func (h *objectFinder) note(o cdc.Object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent[o.Ordinal] = o
	delete(h.recent, o.Ordinal-recentObjects)
}

// find returns the object with that ordinal, or the first one behind it that is still there, and the key of the one before.
func (h *objectFinder) find(ctx context.Context, ordinal uint64) (o cdc.Object, prevKey string, ok bool, err error) {
	h.mu.Lock()
	o, ok = h.recent[ordinal]
	before, known := h.recent[ordinal-1]
	h.mu.Unlock()
	switch {
	case ok && known:
		prevKey = before.Key
	case ok && h.last == ordinal-1 && h.lastKey != "":
		prevKey = h.lastKey
	case ok && ordinal == 1:
	default:
		return h.look(ctx, ordinal)
	}
	if h.last != ordinal-1 {
		h.ahead = nil
	}
	h.last, h.lastKey = ordinal, o.Key
	if len(h.ahead) > 0 && h.ahead[0] == o.Key {
		h.ahead = h.ahead[1:]
	} else {
		h.ahead = nil
	}
	return o, prevKey, true, nil
}

// objectKey is what the key of a chain's object looks like. Others, such as manifests beside them, do not say that they are one.
var objectKey = regexp.MustCompile(`^p=\d{2,}/dt=\d{4}-\d{2}-\d{2}/\d{20}\.[a-z0-9.]+$`)

// look looks in the store.
func (h *objectFinder) look(ctx context.Context, ordinal uint64) (o cdc.Object, prevKey string, ok bool, err error) {
	if h.last == 0 || h.last >= ordinal || ordinal-h.last > strideObjects {
		if err := h.begin(ctx, ordinal); err != nil {
			return o, "", false, err
		}
	}
	for {
		if len(h.ahead) == 0 {
			if h.ahead, err = h.list(ctx, max(h.lastKey, h.passed), listedKeys); err != nil || len(h.ahead) == 0 {
				return cdc.Object{}, "", false, err
			}
		}
		key := h.ahead[0]
		o, is, err := h.object(ctx, key)
		if err != nil {
			return cdc.Object{}, "", false, err // the key stays: it is asked about again
		}
		h.ahead = h.ahead[1:]
		if !is {
			h.passed = key
			continue
		}
		if h.last == o.Ordinal-1 {
			prevKey = h.lastKey
		}
		h.last, h.lastKey = o.Ordinal, key
		if o.Ordinal >= ordinal {
			return o, prevKey, true, nil
		}
	}
}

// begin finds the place before an ordinal among all keys of the chain: its ordinals ascend with its keys. All of them are listed
// once; who goes back again, as receipts do that come in any order, has the newest ones listed and some pages.
func (h *objectFinder) begin(ctx context.Context, ordinal uint64) error {
	if err := h.turnPages(ctx); err != nil {
		return err
	}
	var err error
	behind := sort.Search(len(h.pages), func(i int) bool {
		for ; i < len(h.pages) && err == nil; i++ {
			if err = h.open(ctx, &h.pages[i]); h.pages[i].ordinal > 0 {
				return h.pages[i].ordinal >= ordinal
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	keys, err := h.list(ctx, h.pages[max(0, behind-1)].after, listedKeys)
	if err != nil {
		return err
	}
	at := sort.Search(len(keys), func(i int) bool {
		for ; i < len(keys) && err == nil; i++ {
			o, is, e := h.object(ctx, keys[i])
			if err = e; is {
				return o.Ordinal >= ordinal
			}
		}
		return true
	})
	h.last, h.lastKey, h.passed, h.ahead = 0, "", "", keys[min(len(keys), max(0, at-1)):]
	return err
}

// turnPages divides the keys that came since the last time.
func (h *objectFinder) turnPages(ctx context.Context) error {
	if len(h.pages) == 0 {
		h.pages = []page{{}}
	}
	n, last := 0, ""
	return h.store.List(ctx, h.folder+"dt=", h.pages[len(h.pages)-1].after, func(key string, _ int64) bool {
		if !objectKey.MatchString(key) {
			return true
		}
		if n == listedKeys {
			h.pages, n = append(h.pages, page{after: last}), 0
		}
		n, last = n+1, key
		return true
	})
}

// open asks for the ordinal of the first object on a page; it stays 0 when there is none any more.
func (h *objectFinder) open(ctx context.Context, p *page) error {
	if p.ordinal > 0 {
		return nil
	}
	keys, err := h.list(ctx, p.after, listedKeys)
	for _, key := range keys {
		var o cdc.Object
		var is bool
		if o, is, err = h.object(ctx, key); err != nil || is {
			p.ordinal = o.Ordinal
			break
		}
	}
	return err
}

// list returns keys of objects, most of them at the most.
func (h *objectFinder) list(ctx context.Context, after string, most int) (keys []string, err error) {
	err = h.store.List(ctx, h.folder+"dt=", after, func(key string, _ int64) bool {
		if objectKey.MatchString(key) {
			keys = append(keys, key)
		}
		return len(keys) != most || most == 0
	})
	return keys, err
}

func (h *objectFinder) object(ctx context.Context, key string) (o cdc.Object, is bool, err error) {
	meta, size, ok, err := h.store.Head(ctx, key)
	if err != nil || !ok {
		return o, false, err
	}
	if o, _, err = chain.ParseObject(h.store.String(), key, size, meta); err != nil || o.Chain != h.chain {
		return cdc.Object{}, false, nil // not one of the chain
	}
	return o, true, nil
}
