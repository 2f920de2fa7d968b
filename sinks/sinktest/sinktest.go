// Package sinktest is the suite that every store of objects has to pass, and the broken stores that callers are tested
// against.
//
//	func TestStore(t *testing.T) {
//		sinktest.Run(t, func(t *testing.T) sinktest.Store { return newStore(t) })
//	}
//
// [IgnoringConditions] is an S3 server that overwrites where it should refuse; [LosingReplies] one whose answers get
// lost after the work was done.
package sinktest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Store is what is tested: a place for objects that are written once. sinks/chain declares the same interface, with the
// whole contract.
type Store interface {
	Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error)
	Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error)
	Get(ctx context.Context, key string) (body []byte, ok bool, err error)
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
	String() string
}

// Run tests the stores that open makes, each of which must be empty.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Run("the first put of a key wins, the second changes nothing", func(t *testing.T) { testPutTwice(t, open(t)) })
	t.Run("a second put of a large object is answered", func(t *testing.T) { testPutLargeAgain(t, open(t)) })
	t.Run("of 100 puts at once exactly one wins", func(t *testing.T) { testRace(t, open(t)) })
	t.Run("bodies from empty to 5 MiB come back", func(t *testing.T) { testBodies(t, open(t)) })
	t.Run("metadata comes back", func(t *testing.T) { testMeta(t, open(t)) })
	t.Run("keys of every kind", func(t *testing.T) { testKeys(t, open(t)) })
	t.Run("keys that lead elsewhere are refused", func(t *testing.T) { testBadKeys(t, open(t)) })
	t.Run("what is not there is not found", func(t *testing.T) { testMissing(t, open(t)) })
	t.Run("lists are sorted, cut and resumed", func(t *testing.T) { testList(t, open(t)) })
	t.Run("a list of 1,100 keys is complete", func(t *testing.T) { testLongList(t, open(t)) })
	t.Run("a cancelled context ends every call", func(t *testing.T) { testCancelled(t, open(t)) })
}

func testPutTwice(t *testing.T, s Store) {
	const key = "p=00/dt=2026-11-21/00000000000000000001.jsonl"
	first, second := map[string]string{"cdcd-writer": "first"}, map[string]string{"cdcd-writer": "second"}
	if created := put(t, s, key, "one", first); !created {
		t.Fatal("the first put did not create the object")
	}
	if created := put(t, s, key, "two and more", second); created {
		t.Error("the second put created the object again")
	}
	if created := put(t, s, key, "one", second); created {
		t.Error("a put of the same bytes created the object again")
	}
	want(t, s, key, "one", first)
}

// A server may refuse before it has read the body, and the refusal must get through all the same.
func testPutLargeAgain(t *testing.T, s Store) {
	body := strings.Repeat("x", 20<<20)
	if !put(t, s, "large", body, nil) {
		t.Fatal("the first put did not create the object")
	}
	for range 5 {
		if put(t, s, "large", body, nil) {
			t.Fatal("a later put created the object again")
		}
	}
}

func testRace(t *testing.T, s Store) {
	const writers = 100
	const key = "p=07/dt=2026-11-21/00000000000000000001.jsonl"
	created := make([]bool, writers)
	errs := make([]error, writers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { // waited for below
			<-start
			created[i], errs[i] = s.Put(t.Context(), key, []byte(strings.Repeat(writer(i), 1000)), map[string]string{"cdcd-writer": writer(i)})
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("put: %v", err)
	}
	var winners []int
	for i, c := range created {
		if c {
			winners = append(winners, i)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("winners: got %v, want one", winners)
	}
	name := writer(winners[0])
	want(t, s, key, strings.Repeat(name, 1000), map[string]string{"cdcd-writer": name})
}

func writer(i int) string { return fmt.Sprintf("writer-%03d", i) }

func testBodies(t *testing.T, s Store) {
	large := make([]byte, 5<<20+1)
	rand.Read(large)
	for _, body := range [][]byte{nil, []byte("\n"), []byte("\x00\xff\r\n"), large[:64<<10], large[:5<<20], large} {
		key := fmt.Sprintf("bodies/%d", len(body))
		if !put(t, s, key, string(body), nil) {
			t.Errorf("%d bytes: not created", len(body))
		}
		got, ok, err := s.Get(t.Context(), key)
		if err != nil || !ok || !bytes.Equal(got, body) {
			t.Errorf("get of %d bytes: got %d bytes, ok %v, error %v", len(body), len(got), ok, err)
		}
		if _, size, ok, err := s.Head(t.Context(), key); size != int64(len(body)) || !ok || err != nil {
			t.Errorf("head of %d bytes: got %d, ok %v, error %v", len(body), size, ok, err)
		}
	}
}

func testMeta(t *testing.T, s Store) {
	for name, meta := range map[string]map[string]string{
		"none": {},
		"as a chain writes it": {
			"cdcd-chain": "shop/acme/00", "cdcd-ordinal": "18446744073709551615", "cdcd-sha256": strings.Repeat("9f", 32),
			"cdcd-commit": "2026-11-21T02:00:00.123456Z", "cdcd-prev": "",
		},
		"signs":     {"cdcd-signs": `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~ a  b`},
		"almost 2K": {"cdcd-long": strings.Repeat("x", 1900)},
	} {
		put(t, s, "meta/"+name, "body", meta)
		want(t, s, "meta/"+name, "body", meta)
	}
}

// keys of every kind that cdcd makes, or that a person could configure.
var keys = []string{
	"a",
	"p=00/dt=2026-11-21/00000000000000000001.jsonl.zst",
	"p=00/dt=2026-11-21/00000000000000000002.jsonl.zst",
	"p=00/dt=2026-11-22/00000000000000000003.jsonl.gz",
	"p=00-b", // sorts before p=00/, although a folder named p=00 sorts before p=00-b
	"p=01/x+y z&~%41",
	"p=01/ümlaut/日本",
	".hidden/.also",
	strings.Repeat("long/", 100) + "key",
}

func testKeys(t *testing.T, s Store) {
	for i, key := range keys {
		body, meta := fmt.Sprintf("body %d", i), map[string]string{"cdcd-ordinal": fmt.Sprint(i)}
		if !put(t, s, key, body, meta) {
			t.Errorf("%s: not created", key)
		}
		want(t, s, key, body, meta)
	}
	sorted := slices.Sorted(slices.Values(keys))
	if got := list(t, s, "", ""); !slices.Equal(got, sorted) {
		t.Errorf("list: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(sorted, "\n"))
	}
}

func testBadKeys(t *testing.T, s Store) {
	for _, key := range []string{"", "/a", "../a", "a/../../b", "a/..", "./a", strings.Repeat("k", 1100)} {
		if created, err := s.Put(t.Context(), key, []byte("x"), nil); created || err == nil {
			t.Errorf("put %.20q: created %v, error %v, want an error", key, created, err)
		}
		if _, _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("get %.20q: no error", key)
		}
		if _, _, _, err := s.Head(t.Context(), key); err == nil {
			t.Errorf("head %.20q: no error", key)
		}
	}
}

func testMissing(t *testing.T, s Store) {
	put(t, s, "there/is", "one", nil)
	for _, key := range []string{"nothing", "there/is-not", "there/is/not", "there"} {
		if meta, size, ok, err := s.Head(t.Context(), key); meta != nil || size != 0 || ok || err != nil {
			t.Errorf("head %s: got %v, %d, %v, %v", key, meta, size, ok, err)
		}
		if body, ok, err := s.Get(t.Context(), key); body != nil || ok || err != nil {
			t.Errorf("get %s: got %q, %v, %v", key, body, ok, err)
		}
	}
	if got := list(t, s, "nothing/", ""); len(got) != 0 {
		t.Errorf("list: got %q, want nothing", got)
	}
}

func testList(t *testing.T, s Store) {
	all := []string{"a/1", "a/2", "a/3", "ab", "b/1/x", "b/1/y", "b/2"}
	for _, key := range slices.Backward(all) {
		put(t, s, key, "12345", nil)
	}
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "", all},
		{"a/", "", []string{"a/1", "a/2", "a/3"}},
		{"a", "", []string{"a/1", "a/2", "a/3", "ab"}},
		{"a/", "a/1", []string{"a/2", "a/3"}},
		{"a/", "a/15", []string{"a/2", "a/3"}},
		{"a/", "a/3", nil},
		{"", "a/3", []string{"ab", "b/1/x", "b/1/y", "b/2"}},
		{"b/1", "b/1/x", []string{"b/1/y"}},
		{"b/", "a", []string{"b/1/x", "b/1/y", "b/2"}},
		{"", "b/2", nil},
		{"c", "", nil},
	} {
		if got := list(t, s, c.prefix, c.after); !slices.Equal(got, c.want) {
			t.Errorf("list %q after %q: got %q, want %q", c.prefix, c.after, got, c.want)
		}
	}
	var got []string
	err := s.List(t.Context(), "", "", func(key string, size int64) bool {
		if size != 5 {
			t.Errorf("%s: got size %d, want 5", key, size)
		}
		got = append(got, key)
		return len(got) < 3
	})
	if err != nil || !slices.Equal(got, all[:3]) {
		t.Errorf("list that stops after 3: got %q, error %v, want %q", got, err, all[:3])
	}
}

func testLongList(t *testing.T, s Store) {
	const n = 1100
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("p=00/dt=2026-11-%02d/%020d.jsonl", 1+i/400, i))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() { // waited for below
			for i := worker; i < n; i += 4 {
				if created, err := s.Put(t.Context(), all[i], []byte("x"), nil); err != nil || !created {
					t.Errorf("put %s: %v, %v", all[i], created, err)
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, s, "p=00/", ""); !slices.Equal(got, all) {
		t.Errorf("list: got %d keys, want %d in order", len(got), len(all))
	}
	if got := list(t, s, "p=00/", all[1049]); !slices.Equal(got, all[1050:]) {
		t.Errorf("list after the 1,050th: got %d keys, want %d", len(got), n-1050)
	}
}

func testCancelled(t *testing.T, s Store) {
	put(t, s, "a", "one", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if created, err := s.Put(ctx, "b", []byte("x"), nil); created || !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, %v", created, err)
	}
	if _, _, _, err := s.Head(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("head: got %v", err)
	}
	if _, _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v", err)
	}
	if err := s.List(ctx, "", "", func(string, int64) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("list: got %v", err)
	}
	if _, ok, err := s.Get(t.Context(), "b"); ok || err != nil {
		t.Errorf("the cancelled put left an object: %v, %v", ok, err)
	}
}

func put(t *testing.T, s Store, key, body string, meta map[string]string) bool {
	t.Helper()
	created, err := s.Put(t.Context(), key, []byte(body), meta)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return created
}

// want compares an object as a whole.
func want(t *testing.T, s Store, key, body string, meta map[string]string) {
	t.Helper()
	got, ok, err := s.Get(t.Context(), key)
	if err != nil || !ok || string(got) != body {
		t.Errorf("get %s: got %.40q, ok %v, error %v, want %.40q", key, got, ok, err, body)
	}
	gotMeta, size, ok, err := s.Head(t.Context(), key)
	if err != nil || !ok || size != int64(len(body)) || !maps.Equal(gotMeta, meta) {
		t.Errorf("head %s: got %v, %d bytes, ok %v, error %v, want %v, %d bytes", key, gotMeta, size, ok, err, meta, len(body))
	}
}

func list(t *testing.T, s Store, prefix, after string) []string {
	t.Helper()
	var keys []string
	err := s.List(t.Context(), prefix, after, func(key string, _ int64) bool {
		keys = append(keys, key)
		return true
	})
	if err != nil {
		t.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	return keys
}
