package chain_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// What the tests of this package share: a stream, a store that breaks on demand, and the checker.

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "note", Kind: cdc.KindString, Type: "text"},
}}

const testEpoch = 0xabcd<<32 | 1

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// stream is what a bus holds: frames of one partition, sequence numbers from 1.
type stream struct {
	frames []*cdc.Batch
	total  uint64                 // events have the numbers 1 to total
	commit func(uint64) time.Time // of an event
	match  func(uint64) bool      // whether the rules match an event
	begins func(uint64) uint64    // the first event of an event's transaction; nil: each is one

	keeps    bool // the chain keeps transactions
	manifest bool // each object has a manifest
}

// tx returns the first event of an event's transaction.
func (s *stream) tx(no uint64) uint64 {
	if s.begins == nil {
		return no
	}
	return s.begins(no)
}

// newStream has frames of the given sizes; 0 is a heartbeat.
func newStream(t testing.TB, sizes ...int) *stream {
	s := &stream{commit: func(no uint64) time.Time { return noon.Add(time.Duration(no) * time.Second) }, match: func(uint64) bool { return true }}
	s.append(t, testEpoch, sizes...)
	return s
}

func (s *stream) append(t testing.TB, epoch uint64, sizes ...int) {
	for _, n := range sizes {
		s.frames = append(s.frames, s.frame(t, epoch, s.total+1, n))
		s.frames[len(s.frames)-1].Seq = uint64(len(s.frames))
		s.total += uint64(n)
	}
}

func (s *stream) frame(t testing.TB, epoch, first uint64, n int) *cdc.Batch {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Epoch: epoch, FirstPartNo: first, Heartbeat: n == 0})
	tx, left := 0, uint32(first-s.tx(first)) // also of a heartbeat within a transaction
	for no := first; no < first+uint64(n); no++ {
		begins := s.tx(no)
		ends := s.tx(no+1) != begins
		if no == first || begins == no {
			tx = w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", begins), File: "binlog.000001", Pos: 100 * begins, CommitTime: s.commit(no)})
		}
		if left = uint32(no + 1 - begins); ends {
			left = 0
			w.UpdateTx(tx, func(tx *cdc.Tx) { tx.Ends = true })
		}
		table := w.AddTable(orders)
		w.BeginRow(2)
		w.SetInt(0, int64(no))
		w.SetText(1, cdc.KindString, strings.Repeat("é\n", int(no%4)))
		w.AddEvent(cdc.EventInfo{No: no, Tx: tx, Row: uint32(no - begins), Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{NextNo: first + uint64(n), TxRows: left}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decide is what the engine hands to the sink of feed acme.
func (s *stream) decide(b *cdc.Batch, ruleSet string) []cdc.Decision {
	var ds []cdc.Decision
	for i := range b.Len() {
		if e := b.Event(i); s.match(e.PartNo()) {
			ds = append(ds, cdc.Decision{Event: e, RuleSet: ruleSet, Matches: []cdc.RuleMatch{{Name: "all", Version: "sha256:1", To: []string{"acme"}}}})
		}
	}
	return ds
}

// frameOf returns the sequence of the frame that holds an event.
func (s *stream) frameOf(no uint64) uint64 {
	for _, b := range s.frames {
		if first := b.Header().FirstPartNo; no >= first && no < first+uint64(b.Len()) {
			return b.Seq
		}
	}
	return 0
}

// outcome is what becomes of a call to the store.
type outcome int

const (
	fine   outcome = iota
	failed         // an error, and nothing was done
	lost           // an error, though it was done
)

func (o outcome) String() string { return [...]string{"fine", "failed", "failed but persisted"}[o] }

var errBroken = errors.New("broken on purpose")

type object struct {
	body []byte
	meta map[string]string
}

// shelf is where the objects of a memory are.
type shelf struct {
	mu      sync.Mutex
	objects map[string]object
}

// memory is a store in memory that keeps the contract. Several of them may share a shelf.
type memory struct {
	*shelf
	// before, if set, is asked at each call what is to become of it; it may block.
	before func(ctx context.Context, call, key string) outcome
	// overwrites makes it a store that ignores conditions.
	overwrites bool
}

func newMemory() *memory { return &memory{shelf: &shelf{objects: map[string]object{}}} }

func (m *memory) String() string { return "mem://acme" }

func (m *memory) do(ctx context.Context, call, key string, work func()) error {
	var o outcome
	if m.before != nil {
		o = m.before(ctx, call, key)
	}
	if err := ctx.Err(); err != nil && o != lost { // a request that was sent is carried out though its sender has died
		return err
	}
	if o == failed {
		return fmt.Errorf("%s %s: %w", call, key, errBroken)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	work()
	if o == lost {
		return fmt.Errorf("%s %s: reply lost: %w", call, key, errBroken)
	}
	return nil
}

func (m *memory) Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error) {
	err = m.do(ctx, "put", key, func() {
		if _, there := m.objects[key]; there && !m.overwrites {
			return
		}
		created = true
		m.objects[key] = object{bytes.Clone(body), maps.Clone(meta)}
	})
	return created && err == nil, err
}

func (m *memory) Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error) {
	err = m.do(ctx, "head", key, func() {
		var o object
		o, ok = m.objects[key]
		meta, size = maps.Clone(o.meta), int64(len(o.body))
	})
	if err != nil {
		return nil, 0, false, err
	}
	return meta, size, ok, nil
}

func (m *memory) Get(ctx context.Context, key string) (body []byte, ok bool, err error) {
	err = m.do(ctx, "get", key, func() {
		var o object
		o, ok = m.objects[key]
		body = bytes.Clone(o.body)
	})
	if err != nil {
		return nil, false, err
	}
	return body, ok, nil
}

func (m *memory) List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error {
	var keys []string
	err := m.do(ctx, "list", prefix, func() {
		for key := range m.objects {
			if strings.HasPrefix(key, prefix) && key > after {
				keys = append(keys, key)
			}
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !yield(key, 0) {
			break
		}
	}
	return nil
}

// audit stands for what Committed does: it keeps the objects in order and is idempotent.
type audit struct {
	mu      sync.Mutex
	objects []cdc.Object
	err     error // the first call out of order
}

func (a *audit) committed(_ context.Context, o cdc.Object) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch n := uint64(len(a.objects)); {
	case o.Ordinal == n+1:
		a.objects = append(a.objects, o)
	case o.Ordinal > n+1 || o.Ordinal == 0:
		a.err = errors.Join(a.err, fmt.Errorf("Committed for object %d after %d", o.Ordinal, n))
	case a.objects[o.Ordinal-1] != o:
		a.err = errors.Join(a.err, fmt.Errorf("Committed twice for object %d:\n%+v\n%+v", o.Ordinal, a.objects[o.Ordinal-1], o))
	}
	return nil
}

func (a *audit) audited(string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return uint64(len(a.objects))
}

// check reads a chain in its store from nothing but its keys and proves every promise: each decision is there once and in order,
// ordinals and ranges are dense, hashes chained, metadata true. It returns the objects.
func check(s *stream, store chain.Store, a *audit) ([]cdc.Object, error) {
	ctx := context.Background()
	var keys []string
	manifests := 0
	if err := store.List(ctx, "p=00/dt=", "", func(key string, _ int64) bool {
		if strings.HasSuffix(key, ".manifest.json") {
			manifests++
		} else {
			keys = append(keys, key)
		}
		return true
	}); err != nil {
		return nil, err
	}
	var objects []cdc.Object
	var prev cdc.Object
	date := ""
	for i, key := range keys {
		meta, size, _, err := store.Head(ctx, key)
		if err != nil {
			return nil, err
		}
		body, _, err := store.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		got, epoch, err := chain.ParseObject(store.String(), key, size, meta)
		if err != nil {
			return nil, err
		}
		first := prev.LastPartNo + 1
		if i == 0 {
			first = got.FirstPartNo // where a chain begins is tested by itself
		}
		date = max(date, s.commit(first).UTC().Format(time.DateOnly))
		lines, ext, err := decompress(key, body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		sum := sha256.Sum256(body)
		want := cdc.Object{
			Chain: "shop/acme/00", Ordinal: uint64(i + 1), Store: store.String(), Key: fmt.Sprintf("p=00/dt=%s/%020d%s", date, first, ext),
			Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Prev: prev.SHA256,
			FirstPartNo: first, LastPartNo: got.LastPartNo, LastSeq: s.frameOf(got.LastPartNo),
			RuleSet: got.RuleSet, Writer: got.Writer, // who wins is not settled
		}
		var text []byte
		var leaves []string
		for no := want.FirstPartNo; no <= want.LastPartNo; no++ {
			if !s.match(no) {
				continue
			}
			b := s.frames[s.frameOf(no)-1]
			ds := s.decide(b, "")
			d := ds[slices.IndexFunc(ds, func(d cdc.Decision) bool { return d.Event.PartNo() == no })]
			line := cdc.AppendRecord(nil, "acme", &d)
			leaves = append(leaves, string(line))
			text = append(append(text, line...), '\n')
			if want.Records++; want.Records == 1 {
				want.FirstCommit = s.commit(no).UTC()
			}
			want.LastCommit = s.commit(no).UTC()
		}
		want.RecordsRoot = treeHash(leaves)
		if got != want {
			return nil, fmt.Errorf("object %d of %d:\ngot  %+v\nwant %+v", i+1, len(keys), got, want)
		}
		if !bytes.Equal(lines, text) {
			return nil, fmt.Errorf("%s:\ngot\n%s\nwant\n%s", key, lines, text)
		}
		if want.Records == 0 {
			return nil, fmt.Errorf("%s: an object without records", key)
		}
		if want := s.frames[want.LastSeq-1].Header().Epoch; epoch != want {
			return nil, fmt.Errorf("%s: epoch %x, want %x", key, epoch, want)
		}
		if cut := s.tx(want.LastPartNo+1) == s.tx(want.LastPartNo); s.keeps && cut != (meta["cdcd-ends-within"] == "true") {
			return nil, fmt.Errorf("%s: ends within a transaction: %v, its metadata say %q", key, cut, meta["cdcd-ends-within"])
		}
		if s.manifest {
			if err := checkManifest(store, want, prev, s); err != nil {
				return nil, err
			}
		}
		prev = got
		objects = append(objects, got)
	}
	if s.manifest && manifests != len(objects) {
		return nil, fmt.Errorf("%d objects have %d manifests", len(objects), manifests)
	}
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.err != nil {
			return nil, a.err
		}
		if !slices.Equal(a.objects, objects) {
			return nil, fmt.Errorf("Committed was told of\n%+v\nthe store has\n%+v", a.objects, objects)
		}
	}
	return objects, nil
}

// checkManifest checks that the manifest of an object says what is so.
func checkManifest(store chain.Store, o, prev cdc.Object, s *stream) error {
	text, ok, err := store.Get(context.Background(), chain.ManifestKey(o.Key))
	if err != nil || !ok {
		return fmt.Errorf("the manifest of %s: there %v, %w", o.Key, ok, err)
	}
	var got chain.Manifest
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("the manifest of %s: %w", o.Key, err)
	}
	first, last := o.FirstPartNo, o.LastPartNo
	for !s.match(first) {
		first++
	}
	for !s.match(last) {
		last--
	}
	id := func(no uint64) string { return fmt.Sprintf("0-1-%d/%d", s.tx(no), no-s.tx(no)) }
	want := chain.Manifest{Version: 1, Chain: o.Chain, Ordinal: o.Ordinal, Key: o.Key, Bytes: o.Bytes, SHA256: o.SHA256, Envelope: "cdcd", Compress: "none",
		Records: o.Records, RecordsRoot: o.RecordsRoot, FirstPartNo: o.FirstPartNo, LastPartNo: o.LastPartNo,
		Epoch: fmt.Sprintf("%x", s.frames[o.LastSeq-1].Header().Epoch),
		First: chain.ManifestRecord{ID: id(first), CommitTime: o.FirstCommit}, Last: chain.ManifestRecord{ID: id(last), CommitTime: o.LastCommit},
		EndsWithin: s.keeps && s.tx(o.LastPartNo+1) == s.tx(o.LastPartNo), RuleSet: o.RuleSet, Writer: o.Writer, Program: "v1",
		Rules:  json.RawMessage(`[{"name":"all","version":"sha256:1"}]`),
		Tables: json.RawMessage(`[{"table":"shop.orders","columns":[{"name":"id","type":"bigint","kind":"int64","key":1},{"name":"note","type":"text","kind":"string"}]}]`)}
	if prev.Key != "" {
		want.Prev = &chain.ManifestPrev{Key: prev.Key, SHA256: prev.SHA256}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the manifest of %s:\ngot  %s\nwant %+v", o.Key, text, want)
	}
	return nil
}

// checkAll is check, and that nothing is missing at the end.
func checkAll(s *stream, store chain.Store, a *audit) ([]cdc.Object, error) {
	objects, err := check(s, store, a)
	if err != nil {
		return nil, err
	}
	var last uint64
	if len(objects) > 0 {
		last = objects[len(objects)-1].LastPartNo
		for no := uint64(1); no < objects[0].FirstPartNo; no++ {
			if s.match(no) {
				return nil, fmt.Errorf("event %d was not delivered; the chain begins with %d", no, objects[0].FirstPartNo)
			}
		}
	}
	for no := last + 1; no <= s.total; no++ {
		if s.match(no) {
			return nil, fmt.Errorf("event %d was not delivered; the chain ends with %d", no, last)
		}
	}
	return objects, nil
}

func decompress(key string, body []byte) (lines []byte, ext string, err error) {
	switch {
	case strings.HasSuffix(key, ".jsonl.zst"):
		r, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		defer r.Close()
		lines, err = io.ReadAll(r)
		return lines, ".jsonl.zst", err
	case strings.HasSuffix(key, ".jsonl.gz"):
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		lines, err = io.ReadAll(r)
		return lines, ".jsonl.gz", err
	}
	return body, ".jsonl", nil
}

// treeHash is RFC 6962's tree hash the way that golang.org/x/mod computes it.
func treeHash(leaves []string) string {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashes(int64(i), []byte(leaf), reader)
		if err != nil {
			panic(err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), reader)
	if err != nil {
		panic(err)
	}
	return hex.EncodeToString(root[:])
}

// config is that of a chain whose objects have rows records.
func config(store chain.Store, rows int) chain.Config {
	return chain.Config{Source: "shop", Feed: "acme", Store: store, Compress: "none", Writer: "test", Rows: rows,
		Pause: func(ctx context.Context, _ int) error { return ctx.Err() }}
}

// running is a chain whose Run is under way.
type running struct {
	*chain.Chain
	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has ended
	err    error         // what Run returned, after ended
}

// start runs c until stop is called. Whoever starts it must stop it.
func start(ctx context.Context, c *chain.Chain) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{Chain: c, cancel: cancel, ended: make(chan struct{})}
	go func() { // stop waits for it
		r.err = c.Run(ctx)
		close(r.ended)
	}()
	return r
}

func (r *running) stop() error {
	r.cancel()
	<-r.ended
	return r.err
}

// open opens and starts a chain for the length of the test.
func open(t *testing.T, cfg chain.Config) *running {
	t.Helper()
	c, err := chain.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t.Context(), c)
	t.Cleanup(func() { r.stop() })
	return r
}

// deliver writes the frames of s from Resume on and flushes.
func deliver(ctx context.Context, c *chain.Chain, s *stream) error {
	for seq := c.Resume(); seq <= uint64(len(s.frames)); seq++ {
		b := s.frames[seq-1]
		if err := c.Write(ctx, b, s.decide(b, "sha256:rules")); err != nil {
			return err
		}
	}
	return c.Flush(ctx)
}

func code(err error) string {
	var e *cdc.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
