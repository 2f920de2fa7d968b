package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"
	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/file"
)

const (
	origin  = "cdcd/test"
	nowhere = "file:///nowhere"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CDCD_TEST_LOG_IN"); dir != "" {
		logAndDie(dir)
	}
	klog.LogToStderr(false) // fsck's
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// place is where one log lives.
type place struct{ dir, key string }

func newPlace(t testing.TB) place {
	dir := tempDir(t)
	return place{filepath.Join(dir, "audit"), filepath.Join(dir, "audit.key")}
}

// tempDir is t.TempDir in memory, where there is such a thing: these tests sync a lot, and none cuts the power.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cdcd-audit-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (p place) config() Config { return Config{Dir: p.dir, KeyFile: p.key, Origin: origin} }

func (p place) open(t testing.TB) *Log {
	t.Helper()
	l, err := Open(t.Context(), p.config())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// verify verifies with what an operator has: the public key and the checkpoint beside the key.
func (p place) verify(t testing.TB, change func(*VerifyConfig)) Report {
	t.Helper()
	r, err := Verify(t.Context(), p.verifyConfig(t, change))
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

func (p place) verifyConfig(t testing.TB, change func(*VerifyConfig)) VerifyConfig {
	t.Helper()
	cfg := VerifyConfig{Dir: p.dir, Key: read(t, p.key+".pub")}
	if anchor, err := os.ReadFile(AnchorFile(p.key)); err == nil {
		cfg.Pins = []Pin{{Name: "the copy beside the key", Checkpoint: anchor}}
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// object makes the n-th object of a chain, the same each time.
func object(chain string, n uint64) cdc.Object {
	body := objectBody(chain, n)
	sum := sha256.Sum256(body)
	o := cdc.Object{
		Chain: chain, Ordinal: n, Store: nowhere, Key: objectKey(chain, n), Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:]),
		Records: 3, RecordsRoot: strings.Repeat("ab", 32), FirstPartNo: 10*n - 9, LastPartNo: 10 * n, LastSeq: n, RuleSet: "sha256:1", Writer: "w",
		FirstCommit: time.Date(2026, 11, 21, 2, 0, int(n%60), 123456000, time.UTC), LastCommit: time.Date(2026, 11, 21, 2, 1, int(n%60), 0, time.UTC),
	}
	if n > 1 {
		sum := sha256.Sum256(objectBody(chain, n-1))
		o.Prev = hex.EncodeToString(sum[:])
	}
	return o
}

func objectBody(chain string, n uint64) []byte { return fmt.Appendf(nil, "%s object %d\n", chain, n) }

func objectKey(chain string, n uint64) string {
	return fmt.Sprintf("p=%s/dt=2026-11-%02d/%020d.jsonl", chain[len(chain)-2:], 21+n/10, 10*n-9)
}

// fill appends n objects to a chain with as few commits as the sizes in steps.
func fill(t testing.TB, l *Log, chain string, n int, step int) {
	t.Helper()
	first, _ := l.Head(chain, nowhere)
	for done := 0; done < n; {
		var all []*request
		for range min(step, n-done) {
			done++
			o := object(chain, first+uint64(done))
			all = append(all, &request{leaf: Leaf{Type: TypeObject, Object: &o}, done: make(chan struct{})})
		}
		l.writing <- struct{}{}
		l.commit(t.Context(), all)
		<-l.writing
		for _, r := range all {
			if r.err != nil {
				t.Fatalf("object %d: %v", r.leaf.Object.Ordinal, r.err)
			}
		}
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var coded *cdc.Error
	if !errors.As(err, &coded) || coded.Code != code {
		t.Fatalf("got %v, want an error with code %s", err, code)
	}
	if coded.Fix == "" {
		t.Errorf("%v: does not say how to mend it", err)
	}
}

func TestTreeHasTheRootsAndTilesOfPackageTlog(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	const n = 66_000
	tree := &tree{}
	tiles := map[string][]byte{}
	for i := range int64(n) {
		if i < 1000 || i%997 == 0 || i > n-5 {
			if want, err := tlog.TreeHash(i, reader); err != nil || tree.root() != want {
				t.Fatalf("size %d: root %v, want %v (%v)", i, tree.root(), want, err)
			}
			reloaded, err := loadTree(i, func(level int, n int64, width int) ([]tlog.Hash, error) {
				for _, p := range tree.partial() {
					if p.level == level && p.n == n && len(p.hashes) == width {
						return p.hashes, nil
					}
				}
				return nil, fmt.Errorf("no tile %s", tilePath(level, n, width))
			})
			if err != nil || reloaded.root() != tree.root() {
				t.Fatalf("size %d: loaded again, the root is %v, want %v (%v)", i, reloaded.root(), tree.root(), err)
			}
			tree = reloaded
		}
		leaf := tlog.RecordHash(fmt.Appendf(nil, "leaf %d", i))
		hashes, err := tlog.StoredHashesForRecordHash(i, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		for _, full := range tree.append(leaf) {
			tiles[full.path()] = full.bytes()
		}
	}
	for _, p := range tree.partial() {
		tiles[p.path()] = p.bytes()
	}
	want := 0
	for _, tile := range tlog.NewTiles(tileHeight, 0, n) {
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			t.Fatal(err)
		}
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		if !bytes.Equal(tiles[path], data) {
			t.Errorf("%s: got %d bytes, want %d others", path, len(tiles[path]), len(data))
		}
		want++
	}
	if len(tiles) != want {
		t.Errorf("got %d tiles, want %d", len(tiles), want)
	}
}

func TestNumbersArePathsAsInTlogTiles(t *testing.T) {
	for _, c := range []struct {
		n     int64
		width int
		want  string
	}{{0, 256, "000"}, {7, 1, "007.p/1"}, {1234067, 256, "x001/x234/067"}, {1000, 255, "x001/000.p/255"}} {
		if got := numberPath(c.n, c.width); got != c.want {
			t.Errorf("%d, %d: got %s, want %s", c.n, c.width, got, c.want)
		}
	}
}

// Tessera's checker shares no code with us.
func TestOtherPeoplesCheckerAgrees(t *testing.T) {
	for _, size := range []int{1, 255, 256, 257, 511, 512, 600, 66_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			p := newPlace(t)
			l := p.open(t)
			notes := int64(0)
			if size > 1 {
				notes = noteOfEachKind(t, l)
			}
			fill(t, l, "shop/acme/00", size-int(notes), max(7, size/3))
			check := func() error {
				verifier, err := note.NewVerifier(l.PublicKey())
				if err != nil {
					t.Fatal(err)
				}
				hashes := func(bundle []byte) ([][]byte, error) {
					entries, err := ReadBundle(bundle)
					var out [][]byte
					for _, e := range entries {
						out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
					}
					return out, err
				}
				return fsck.New(origin, verifier, client.FileFetcher{Root: p.dir}, hashes, fsck.Opts{N: 2}).Check(t.Context())
			}
			if err := check(); err != nil {
				t.Errorf("fsck: %v", err)
			}
			if r := p.verify(t, nil); r.Bad != nil || r.Entries != int64(size) || r.Delivered() != int64(size)-notes {
				t.Errorf("verify: %+v, %v", r, r.Bad)
			}
			sameProofs(t, p, l.PublicKey(), uint64(size))

			// And it notices when the two would not agree.
			bundles, err := filepath.Glob(filepath.Join(p.dir, "tile/entries/*/*"))
			if size%256 == 0 {
				bundles, err = filepath.Glob(filepath.Join(p.dir, "tile/entries/000"))
			}
			if err != nil || len(bundles) == 0 {
				t.Fatalf("bundles: %v, %v", bundles, err)
			}
			for _, b := range bundles {
				write(t, b, strings.Replace(read(t, b), `"writer":"w"`, `"writer":"x"`, 1))
			}
			if check() == nil {
				t.Error("fsck has nothing to say about a changed leaf")
			}
		})
	}
}

// noteOfEachKind appends a note of each kind that is not about an object, and returns their number.
func noteOfEachKind(t *testing.T, l *Log) (n int64) {
	for kind := range noteKinds {
		note := Note{Kind: kind, ID: "1", Feed: "acme", By: "ana@desk", Why: "because", Digest: "sha256:1", Key: "k", Counts: map[string]int64{"letters": 3}}
		if kind == TypeTrigger || kind == TypeReceipt {
			continue
		}
		if err := l.Note(t.Context(), note); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// sameProofs compares our proofs with those that tessera's client makes from the same tiles.
func sameProofs(t *testing.T, p place, key string, size uint64) {
	r, err := Read(p.dir, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	builder, err := client.NewProofBuilder(t.Context(), size, client.FileFetcher{Root: p.dir}.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	same := func(ours []tlog.Hash, theirs [][]byte) bool {
		return slices.EqualFunc(ours, theirs, func(a tlog.Hash, b []byte) bool { return bytes.Equal(a[:], b) })
	}
	for _, i := range []uint64{0, size / 3, size / 2, size - 1} {
		ours, err := r.Prove(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := builder.InclusionProof(t.Context(), i); err != nil || !same(ours.Path, theirs) {
			t.Errorf("inclusion of leaf %d: ours %v, theirs %x (%v)", i, ours.Path, theirs, err)
		}
		q, err := r.Request(int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := builder.ConsistencyProof(t.Context(), i, size); err != nil || !same(q.Path, theirs) {
			t.Errorf("continuation of size %d: ours %v, theirs %x (%v)", i, q.Path, theirs, err)
		}
	}
}

func TestGrowingLogIsAlwaysInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(tempDir(t), "log")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		p := place{filepath.Join(dir, "audit"), filepath.Join(dir, "key")}
		l := p.open(t)
		total := map[string]int{}
		commits := 1
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			chain := rapid.SampledFrom([]string{"shop/acme/00", "shop/acme/01", "shop/other/00"}).Draw(rt, "chain")
			n := rapid.SampledFrom([]int{1, 2, 100, 255, 256, 257}).Draw(rt, "n")
			fill(t, l, chain, n, n)
			total[chain] += n
			commits++
			if rapid.Bool().Draw(rt, "restart") {
				l.Close()
				if rapid.Bool().Draw(rt, "without heads") {
					os.Remove(filepath.Join(p.dir, headsFile))
				}
				l = p.open(t)
			}
			sum := 0
			for chain, n := range total {
				sum += n
				if ordinal, sha := l.Head(chain, nowhere); ordinal != uint64(n) || sha != object(chain, uint64(n)).SHA256 {
					t.Fatalf("head of %s: %d, %.8s, want %d", chain, ordinal, sha, n)
				}
			}
			got := p.verify(t, nil)
			want := Report{
				Origin: origin, Size: int64(sum), Root: hexOf(l.tree.root()), Checkpoints: int64(commits), Steps: int64(commits - 1),
				Pins: 1, Entries: int64(sum), Chains: len(total),
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v (%v)\nwant %+v", got, got.Bad, want)
			}
			if left := leftovers(t, p.dir); len(left) > 0 {
				t.Fatalf("left on disk: %q", left)
			}
		}
		l.Close()
	})
}

// leftovers are temporary files, and partial ones beyond the two newest sizes.
func leftovers(t testing.TB, dir string) (left []string) {
	counts := map[string]int{}
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".new") || strings.HasSuffix(path, ".first") {
			left = append(left, path)
		}
		if strings.HasSuffix(filepath.Dir(path), ".p") {
			if counts[filepath.Dir(path)]++; counts[filepath.Dir(path)] > 2 {
				left = append(left, path)
			}
		}
		return err
	})
	return left
}

func TestConcurrentChainsShareCheckpoints(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	const chains, objects = 20, 30
	var wg sync.WaitGroup
	for c := range chains {
		chain := fmt.Sprintf("shop/feed-%d/%02d", c, c)
		wg.Go(func() { // waited for below
			for n := range uint64(objects) {
				for range 2 { // the second time it is there already
					if err := l.Object(t.Context(), object(chain, n+1)); err != nil {
						t.Errorf("%s object %d: %v", chain, n+1, err)
					}
				}
				if ordinal, _ := l.Head(chain, nowhere); ordinal != n+1 {
					t.Errorf("%s: head is %d after object %d", chain, ordinal, n+1)
				}
			}
		})
	}
	wg.Wait()
	r := p.verify(t, nil)
	if r.Bad != nil || r.Entries != chains*objects || r.Chains != chains {
		t.Errorf("got %+v, %v", r, r.Bad)
	}
	if r.Checkpoints > chains*objects*2/3 {
		t.Errorf("%d checkpoints for %d leaves: callers do not share them", r.Checkpoints, r.Entries)
	}
}

func TestObjectsAreLoggedOnceAndInOrder(t *testing.T) {
	const chain = "shop/acme/00"
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "shop/other/00", 300, 300)
	fill(t, l, chain, 300, 300)
	fill(t, l, "shop/other/00", 300, 300)
	changed := func(n uint64, change func(*cdc.Object)) cdc.Object {
		o := object(chain, n)
		change(&o)
		return o
	}
	before := read(t, filepath.Join(p.dir, "checkpoint"))
	for _, c := range []struct {
		name   string
		object cdc.Object
		code   string
	}{
		{"the last again", object(chain, 300), ""},
		{"an old one again", object(chain, 3), ""},
		{"the first again", object(chain, 1), ""},
		{"a gap", object(chain, 302), "CDCD-4505"},
		{"a new chain that does not begin with 1", object("shop/new/00", 2), "CDCD-4505"},
		{"another last", changed(300, func(o *cdc.Object) { o.SHA256 = "other" }), "CDCD-4506"},
		{"another old one", changed(17, func(o *cdc.Object) { o.SHA256 = "other" }), "CDCD-4506"},
		{"another predecessor", changed(301, func(o *cdc.Object) { o.Prev = "other" }), "CDCD-4506"},
		{"too much for a leaf", changed(301, func(o *cdc.Object) { o.Key = strings.Repeat("k", 4096) }), "CDCD-4507"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := l.Object(t.Context(), c.object)
			if c.code == "" && err != nil {
				t.Error(err)
			}
			var coded *cdc.Error
			if c.code != "" && (!errors.As(err, &coded) || coded.Code != c.code) {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if now := read(t, filepath.Join(p.dir, "checkpoint")); now != before {
				t.Errorf("the log has grown: %s", now)
			}
		})
	}
	if err := l.Object(t.Context(), object(chain, 301)); err != nil {
		t.Errorf("the next after all that: %v", err)
	}
}

func TestFeedInAnotherStoreIsAnotherChain(t *testing.T) {
	const chain = "shop/acme/00"
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, chain, 5, 5)
	moved := func(n uint64) cdc.Object {
		o := object(chain, n)
		o.Store = "s3://elsewhere/changes"
		return o
	}
	for n := range uint64(3) {
		if err := l.Object(t.Context(), moved(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	l = p.open(t)
	for store, want := range map[string]uint64{nowhere: 5, "s3://elsewhere/changes": 3, "s3://neither": 0} {
		if got, _ := l.Head(chain, store); got != want {
			t.Errorf("head in %s: got %d, want %d", store, got, want)
		}
	}
	if err := l.Object(t.Context(), object(chain, 6)); err != nil {
		t.Errorf("back in the first store: %v", err)
	}
	if r := p.verify(t, nil); r.Bad != nil || r.Chains != 2 || r.Entries != 9 {
		t.Errorf("got %+v, %v", r, r.Bad)
	}
}

func TestStartReadsOnlyTheEndOfTheLog(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "shop/acme/00", 600, 100)
	l.Close()
	away := p.dir + "/tile/entries/000"
	if err := os.Rename(away, away+".away"); err != nil {
		t.Fatal(err)
	}
	l = p.open(t)
	if ordinal, _ := l.Head("shop/acme/00", nowhere); ordinal != 600 {
		t.Errorf("head: got %d, want 600", ordinal)
	}
	l.Close()

	// Without the cache, or with one of another log, it has to read everything.
	for name, spoil := range map[string]func(){
		"removed": func() { os.Remove(p.dir + "/" + headsFile) },
		"cut":     func() { os.Truncate(p.dir+"/"+headsFile, 10) },
		"of another log": func() {
			write(t, p.dir+"/"+headsFile, `{"size":300,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","heads":[{"chain":"shop/acme/00","ordinal":7}]}`)
		},
	} {
		spoil()
		_, err := Open(t.Context(), p.config())
		wantCode(t, err, "CDCD-4504")
		if err := os.Rename(away+".away", away); err != nil {
			t.Fatal(err)
		}
		l = p.open(t)
		if ordinal, _ := l.Head("shop/acme/00", nowhere); ordinal != 600 {
			t.Errorf("%s: head: got %d, want 600", name, ordinal)
		}
		l.Close()
		if err := os.Rename(away, away+".away"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelledCallsEndAndMayBeRepeated(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.writing <- struct{}{} // somebody writes
	result := make(chan error)
	go func() { result <- l.Object(ctx, object("c/d/00", 1)) }() // waited for below
	time.Sleep(10 * time.Millisecond)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-l.writing
	if err := l.Object(t.Context(), object("c/d/00", 1)); err != nil {
		t.Error(err)
	}
	if r := p.verify(t, nil); r.Entries != 1 || r.Bad != nil {
		t.Errorf("got %+v", r)
	}
	l.Close()
	if err := l.Object(t.Context(), object("c/d/00", 2)); err == nil {
		t.Error("a closed log takes objects")
	}
}

func TestOnlyOneProcessWrites(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	_, err := Open(t.Context(), p.config())
	wantCode(t, err, "CDCD-4501")
	l.Close()
	p.open(t)
}

func TestOpenRefusesWhatIsNotItsLog(t *testing.T) {
	for _, c := range []struct {
		name, code string
		do         func(t *testing.T, p place) // to a log of 300 leaves whose state at 200 is in <dir>.200
	}{
		{"key lost", "CDCD-4502", func(t *testing.T, p place) { os.Remove(p.key) }},
		{"key for all to read", "CDCD-4502", func(t *testing.T, p place) { os.Chmod(p.key, 0o644) }},
		{"not a key", "CDCD-4502", func(t *testing.T, p place) { write(t, p.key, "x") }},
		{"another log's key", "CDCD-4502", func(t *testing.T, p place) {
			secret, _, _ := note.GenerateKey(rand.Reader, "cdcd/other")
			write(t, p.key, secret)
		}},
		{"another key of the same name", "CDCD-4504", func(t *testing.T, p place) {
			secret, _, _ := note.GenerateKey(rand.Reader, origin)
			write(t, p.key, secret)
		}},
		{"folder rolled back", "CDCD-4503", func(t *testing.T, p place) {
			os.RemoveAll(p.dir)
			os.Rename(p.dir+".200", p.dir)
		}},
		{"folder removed", "CDCD-4503", func(t *testing.T, p place) { os.RemoveAll(p.dir) }},
		{"checkpoint rolled back", "CDCD-4503", func(t *testing.T, p place) {
			write(t, p.dir+"/checkpoint", read(t, p.dir+".200/checkpoint"))
			for _, f := range []string{"tile/0/000.p/200", "tile/entries/000.p/200"} {
				os.MkdirAll(filepath.Dir(p.dir+"/"+f), 0o755)
				write(t, p.dir+"/"+f, read(t, p.dir+".200/"+f))
			}
		}},
		{"checkpoint removed", "CDCD-4503", func(t *testing.T, p place) { os.Remove(p.dir + "/checkpoint") }},
		{"checkpoint changed", "CDCD-4504", func(t *testing.T, p place) {
			write(t, p.dir+"/checkpoint", strings.Replace(read(t, p.dir+"/checkpoint"), "\n300\n", "\n301\n", 1))
		}},
		{"last leaf changed", "CDCD-4504", func(t *testing.T, p place) {
			b := p.dir + "/tile/entries/001.p/44"
			write(t, b, strings.Replace(read(t, b), `"records":3`, `"records":4`, 1))
		}},
		{"last bundle removed", "CDCD-4504", func(t *testing.T, p place) { os.RemoveAll(p.dir + "/tile/entries/001.p") }},
		{"last tile removed", "CDCD-4504", func(t *testing.T, p place) { os.RemoveAll(p.dir + "/tile/0/001.p") }},
		{"another log's checkpoint beside the key", "CDCD-4503", func(t *testing.T, p place) {
			other := newPlace(t)
			write(t, other.key, read(t, p.key))
			os.Chmod(other.key, 0o600)
			fill(t, other.open(t), "shop/x/00", 100, 10)
			write(t, AnchorFile(p.key), read(t, AnchorFile(other.key)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			l := p.open(t)
			fill(t, l, "shop/acme/00", 200, 100)
			copyDir(t, p.dir, p.dir+".200")
			fill(t, l, "shop/acme/00", 100, 100)
			l.Close()
			c.do(t, p)
			l, err := Open(t.Context(), p.config())
			if err == nil {
				l.Close()
			}
			wantCode(t, err, c.code)
		})
	}
}

func TestKeyIsSecretAndItsPublicHalfIsBesideIt(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	info, err := os.Stat(p.key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	public := read(t, p.key+".pub")
	if strings.TrimSpace(public) != l.PublicKey() || !strings.HasPrefix(public, origin+"+") {
		t.Errorf("public key file %q, key %q", public, l.PublicKey())
	}
	c, err := OpenCheckpoint(l.Checkpoint(), public)
	if want := (Checkpoint{Origin: origin, Root: (&tree{}).root()}); err != nil || c != want {
		t.Errorf("first checkpoint: %+v, %v, want %+v", c, err, want)
	}
	l.Close()
	os.Remove(p.key + ".pub")
	p.open(t)
	if got := read(t, p.key+".pub"); got != public {
		t.Errorf("made again: %q, want %q", got, public)
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	os.RemoveAll(to)
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// store makes a store with the objects of two chains and a log that knows them.
func store(t testing.TB, p place, n int) (url, dir string) {
	t.Helper()
	dir = tempDir(t)
	url = "file://" + dir
	s, err := file.Open(file.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := p.open(t)
	defer l.Close()
	for i := range uint64(n) {
		for _, chain := range []string{"shop/acme/00", "shop/acme/01"} {
			o := object(chain, i+1)
			o.Store = url
			if _, err := s.Put(t.Context(), o.Key, objectBody(chain, i+1), nil); err != nil {
				t.Fatal(err)
			}
			if err := l.Object(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return url, dir
}

func openFileStore(t testing.TB) func(string) (Store, error) {
	return func(url string) (Store, error) {
		return file.Open(file.Config{URL: url})
	}
}

func withObjects(t testing.TB) func(*VerifyConfig) {
	return func(cfg *VerifyConfig) { cfg.Objects = openFileStore(t) }
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	edit := func(t *testing.T, path, old, new string) {
		t.Helper()
		text := read(t, path)
		if !strings.Contains(text, old) {
			t.Fatalf("%s does not contain %q", path, old)
		}
		write(t, path, strings.Replace(text, old, new, 1))
	}
	// A log of 600 leaves in commits of 50, and its state at 300 leaves in <dir>.300.
	sound := newPlace(t)
	l := sound.open(t)
	fill(t, l, "shop/acme/00", 300, 50)
	copyDir(t, sound.dir, sound.dir+".300")
	fill(t, l, "shop/acme/00", 300, 50)
	l.Close()
	for _, c := range []struct {
		name        string
		check, item string
		do          func(t *testing.T, p place)
	}{
		{"a leaf", "entries", "leaf 3 (shop/acme/00, object 4)", func(t *testing.T, p place) {
			edit(t, p.dir+"/tile/entries/000", `"ordinal":4,`, `"ordinal":9,`)
			edit(t, p.dir+"/tile/entries/000", `"ordinal":9,`, `"ordinal":4,`) // and back: nothing
			edit(t, p.dir+"/tile/entries/000", string(`"first_part_no":31`), `"first_part_no":32`)
		}},
		{"a leaf of the last bundle", "entries", "leaf 599 (shop/acme/00, object 600)", func(t *testing.T, p place) {
			edit(t, p.dir+"/tile/entries/002.p/88", `"first_part_no":5991`, `"first_part_no":5992`)
		}},
		{"a hash of a leaf", "entries", "tile/0/001", func(t *testing.T, p place) { flip(t, p.dir+"/tile/0/001", 100*32) }},
		{"a hash further up", "entries", "tile/1/000.p/2", func(t *testing.T, p place) { flip(t, p.dir+"/tile/1/000.p/2", 40) }},
		{"a leaf and its hash", "consistency", "one of the leaves 0 to 49", func(t *testing.T, p place) {
			edit(t, p.dir+"/tile/entries/000", `"first_part_no":31`, `"first_part_no":32`)
			entries, err := ReadBundle([]byte(read(t, p.dir+"/tile/entries/000")))
			if err != nil {
				t.Fatal(err)
			}
			tile := []byte(read(t, p.dir+"/tile/0/000"))
			h := tlog.RecordHash(entries[3])
			copy(tile[3*32:], h[:])
			write(t, p.dir+"/tile/0/000", string(tile))
		}},
		{"a bundle removed", "entries", "tile/entries/001", func(t *testing.T, p place) { os.Remove(p.dir + "/tile/entries/001") }},
		{"the last bundle removed", "entries", "tile/entries/002.p/88", func(t *testing.T, p place) { os.RemoveAll(p.dir + "/tile/entries/002.p") }},
		{"a bundle cut", "entries", "tile/entries/001", func(t *testing.T, p place) { os.Truncate(p.dir+"/tile/entries/001", 10_000) }},
		{"a tile removed", "entries", "tile/0/001", func(t *testing.T, p place) { os.Remove(p.dir + "/tile/0/001") }},
		{"a tile cut", "entries", "tile/0/001", func(t *testing.T, p place) { os.Truncate(p.dir+"/tile/0/001", 1000) }},
		{"a tile further up removed", "entries", "tile/1/000.p/2", func(t *testing.T, p place) { os.RemoveAll(p.dir + "/tile/1") }},
		{"the checkpoint rolled back", "checkpoints", "checkpoint", func(t *testing.T, p place) {
			write(t, p.dir+"/checkpoint", read(t, p.dir+".300/checkpoint"))
		}},
		{"the checkpoint rolled back, and no copy of it", "checkpoints", "checkpoint", func(t *testing.T, p place) {
			write(t, p.dir+"/checkpoint", read(t, p.dir+".300/checkpoint"))
			os.Remove(AnchorFile(p.key))
		}},
		{"the folder rolled back", "checkpoints", "checkpoint", func(t *testing.T, p place) { copyDir(t, p.dir+".300", p.dir) }},
		{"the checkpoint removed", "checkpoints", "checkpoint", func(t *testing.T, p place) { os.Remove(p.dir + "/checkpoint") }},
		{"the size changed", "checkpoints", "checkpoint", func(t *testing.T, p place) { edit(t, p.dir+"/checkpoint", "\n600\n", "\n599\n") }},
		{"a signature changed", "checkpoints", "checkpoint", func(t *testing.T, p place) {
			text := read(t, p.dir+"/checkpoint")
			i := strings.LastIndex(text, " ") + 30
			write(t, p.dir+"/checkpoint", text[:i]+map[bool]string{true: "B", false: "A"}[text[i] == 'A']+text[i+1:])
		}},
		{"signed with another key", "checkpoints", "checkpoint", func(t *testing.T, p place) {
			secret, _, _ := note.GenerateKey(rand.Reader, origin)
			signer, _ := note.NewSigner(secret)
			signed, err := note.Sign(&note.Note{Text: Checkpoint{Origin: origin, Size: 600}.Text()}, signer)
			if err != nil {
				t.Fatal(err)
			}
			write(t, p.dir+"/checkpoint", string(signed))
		}},
		{"an old signature", "checkpoints", "checkpoints.jsonl line 3", func(t *testing.T, p place) {
			edit(t, p.dir+"/checkpoints.jsonl", `\n100\n`, `\n101\n`)
		}},
		{"the oldest checkpoint removed", "checkpoints", "checkpoints.jsonl", func(t *testing.T, p place) {
			_, rest, _ := strings.Cut(read(t, p.dir+"/checkpoints.jsonl"), "\n")
			write(t, p.dir+"/checkpoints.jsonl", rest)
		}},
		{"checkpoints in another order", "checkpoints", "checkpoints.jsonl line 3", func(t *testing.T, p place) {
			lines := strings.SplitAfter(read(t, p.dir+"/checkpoints.jsonl"), "\n")
			lines[1], lines[2] = lines[2], lines[1]
			write(t, p.dir+"/checkpoints.jsonl", strings.Join(lines, ""))
		}},
		{"the log signed anew with its own key", "consistency", "the copy beside the key", func(t *testing.T, p place) {
			// Who has the key can make a new log, but not one that the old checkpoint is part of.
			anchor, key := read(t, AnchorFile(p.key)), p.key
			os.RemoveAll(p.dir)
			os.Remove(AnchorFile(p.key))
			fill(t, place{p.dir, key}.open(t), "shop/evil/00", 700, 700)
			write(t, AnchorFile(p.key), anchor)
		}},
		{"the copy beside the key is of nobody", "checkpoints", "the copy beside the key", func(t *testing.T, p place) { write(t, AnchorFile(p.key), "x") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			copyDir(t, filepath.Dir(sound.dir), filepath.Dir(p.dir))
			if r := p.verify(t, nil); r.Bad != nil {
				t.Fatalf("before: %v", r.Bad)
			}
			c.do(t, p)
			wantBad(t, p.verify(t, nil), c.check, c.item)
		})
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b := []byte(read(t, path))
	b[at] ^= 1
	write(t, path, string(b))
}

func wantBad(t *testing.T, r Report, check, item string) {
	t.Helper()
	if r.Bad == nil || r.Bad.Check != check || r.Bad.Item != item || r.Bad.Why == "" {
		t.Errorf("got %+v, want %s: %s", r.Bad, check, item)
	}
}

// Leaves that were wrong when they were signed: the tree is fine, the chains are not.
func TestVerifyChecksTheChains(t *testing.T) {
	for _, c := range []struct {
		name, item string
		objects    []cdc.Object
	}{
		{"a gap", "leaf 2 (c/d/00, object 4)", []cdc.Object{object("c/d/00", 1), object("c/d/00", 2), object("c/d/00", 4)}},
		{"twice", "leaf 2 (c/d/00, object 2)", []cdc.Object{object("c/d/00", 1), object("c/d/00", 2), object("c/d/00", 2)}},
		{"not from 1", "leaf 0 (c/d/00, object 2)", []cdc.Object{object("c/d/00", 2)}},
		{"another predecessor", "leaf 1 (c/d/00, object 2)", []cdc.Object{object("c/d/00", 1), func() cdc.Object {
			o := object("c/d/00", 2)
			o.Prev = "other"
			return o
		}()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			l := p.open(t)
			for _, o := range c.objects {
				l.setHeads(map[chainID]head{{o.Chain, nowhere}: {o.Ordinal - 1, o.Prev}}) // so that it lets anything through
				if err := l.Object(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			wantBad(t, p.verify(t, nil), "chains", c.item)
		})
	}
}

func TestVerifyComparesObjectsWithTheirStore(t *testing.T) {
	put := func(t *testing.T, url, key, body string) {
		s, err := file.Open(file.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if created, err := s.Put(t.Context(), key, []byte(body), nil); err != nil || !created {
			t.Fatal(created, err)
		}
	}
	overwrite := func(t *testing.T, path, body string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, body)
	}
	key := objectKey("shop/acme/00", 7)
	for _, c := range []struct {
		name, item string // item is below the store's URL
		do         func(t *testing.T, url, dir string)
	}{
		{"nothing", "", func(*testing.T, string, string) {}},
		{"same size, other bytes", key, func(t *testing.T, url, dir string) { overwrite(t, dir+"/"+key, "shop/acme/00 OBJECT 7\n") }},
		{"removed", key, func(t *testing.T, url, dir string) { os.Remove(dir + "/" + key) }},
		{"removed with its metadata", key, func(t *testing.T, url, dir string) {
			os.Remove(dir + "/" + key)
			os.Remove(dir + "/.cdcd/meta/" + key + ".json")
		}},
		{"the last removed", objectKey("shop/acme/01", 30), func(t *testing.T, url, dir string) { os.Remove(dir + "/" + objectKey("shop/acme/01", 30)) }},
		{"one more in between", strings.TrimSuffix(key, ".jsonl") + "-x.jsonl", func(t *testing.T, url, dir string) {
			put(t, url, strings.TrimSuffix(key, ".jsonl")+"-x.jsonl", "x")
		}},
		{"one more before", "p=00/dt=2020-01-01/1", func(t *testing.T, url, dir string) { put(t, url, "p=00/dt=2020-01-01/1", "x") }},
		{"one more at the end", "p=01/dt=2027-01-01/1", func(t *testing.T, url, dir string) { put(t, url, "p=01/dt=2027-01-01/1", "x") }},
		{"other files of the chain", "", func(t *testing.T, url, dir string) { put(t, url, "p=00/chain.json", "x") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			url, dir := store(t, p, 30)
			c.do(t, url, dir)
			r := p.verify(t, withObjects(t))
			if c.item != "" {
				wantBad(t, r, "objects", url+"/"+c.item)
				return
			}
			want := &ObjectsReport{Read: 60, Stores: []string{url}}
			if r.Bad != nil || !slices.Equal(r.Objects.Stores, want.Stores) || r.Objects.Read != want.Read {
				t.Errorf("got %+v, %v, want %+v", r.Objects, r.Bad, want)
			}
		})
	}
}

func TestVerifyReadsOnlyNewObjectsSince(t *testing.T) {
	p := newPlace(t)
	url, dir := store(t, p, 30)
	since := func(size int64) func(*VerifyConfig) {
		return func(cfg *VerifyConfig) { cfg.Objects, cfg.Since = openFileStore(t), size }
	}
	if r := p.verify(t, since(50)); r.Bad != nil || r.Objects.Read != 10 || r.Objects.Found != 50 {
		t.Errorf("got %+v, %v", r.Objects, r.Bad)
	}
	os.Remove(dir + "/" + objectKey("shop/acme/00", 7))
	wantBad(t, p.verify(t, since(50)), "objects", url+"/"+objectKey("shop/acme/00", 7))
}

func TestVerifyToleratesOneThatIsBeingWritten(t *testing.T) {
	p := newPlace(t)
	url, _ := store(t, p, 10)
	s, err := file.Open(file.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := p.open(t)
	if _, err := s.Put(t.Context(), objectKey("shop/acme/00", 11), objectBody("shop/acme/00", 11), nil); err != nil {
		t.Fatal(err)
	}
	if r := p.verify(t, withObjects(t)); r.Bad != nil || r.Objects.Newer != 1 {
		t.Errorf("log in use: got %+v, %v", r.Objects, r.Bad)
	}
	l.Close()
	wantBad(t, p.verify(t, withObjects(t)), "objects", url+"/"+objectKey("shop/acme/00", 11))
}

func TestVerifyWhileTheLogGrows(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // waited for below
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Object(t.Context(), object("shop/acme/00", n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for start := time.Now(); time.Since(start) < 3*time.Second; {
		if r := p.verify(t, nil); r.Bad != nil {
			t.Errorf("got %v", r.Bad)
			break
		}
	}
	close(stop)
	wg.Wait()
}

func TestWhatCannotBeCheckedIsAnErrorAndNotAVerdict(t *testing.T) {
	p := newPlace(t)
	url, _ := store(t, p, 3)
	boom := errors.New("boom")
	for name, change := range map[string]func(*VerifyConfig){
		"no such folder":      func(c *VerifyConfig) { c.Dir, c.Pins = c.Dir+"-not", nil },
		"not a key":           func(c *VerifyConfig) { c.Key = "x" },
		"store can't be had":  func(c *VerifyConfig) { c.Objects = func(string) (Store, error) { return nil, boom } },
		"store does not read": func(c *VerifyConfig) { c.Objects = func(string) (Store, error) { return failing{boom, true}, nil } },
		"store does not list": func(c *VerifyConfig) { c.Objects = func(string) (Store, error) { return failing{boom, false}, nil } },
	} {
		if r, err := Verify(t.Context(), p.verifyConfig(t, change)); err == nil || r.Bad != nil {
			t.Errorf("%s: got %v, verdict %v, want an error and no verdict", name, err, r.Bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Verify(ctx, p.verifyConfig(t, nil)); !errors.Is(err, context.Canceled) || r.Bad != nil {
		t.Errorf("cancelled: got %v, verdict %v", err, r.Bad)
	}
	_ = url
}

// failing is a store that lists what the test's chains have, or not even that, and reads nothing.
type failing struct {
	err   error
	lists bool
}

func (f failing) Get(context.Context, string) ([]byte, bool, error) { return nil, false, f.err }

func (f failing) List(_ context.Context, prefix, _ string, yield func(string, int64) bool) error {
	if !f.lists {
		return f.err
	}
	for n := range uint64(3) {
		chain := "shop/acme/" + prefix[2:4]
		if !yield(objectKey(chain, n+1), int64(len(objectBody(chain, n+1)))) {
			break
		}
	}
	return nil
}
