package partner_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/partner"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/file"
)

// store is a bucket in memory.
type store map[string]entry

type entry struct {
	body []byte
	meta map[string]string
}

func (s store) String() string { return "memory://acme" }

func (s store) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(key, prefix) && key > after && !yield(key, int64(len(s[key].body))) {
			return nil
		}
	}
	return nil
}

func (s store) Head(_ context.Context, key string) (map[string]string, int64, bool, error) {
	e, ok := s[key]
	return e.meta, int64(len(e.body)), ok, nil
}

func (s store) Get(_ context.Context, key string) ([]byte, bool, error) {
	e, ok := s[key]
	return e.body, ok, nil
}

// deliver puts objects into stores as a feed does: object i of a chain has i records.
func deliver(t testing.TB, partition, n int, put func(o cdc.Object, body []byte, meta map[string]string)) []cdc.Object {
	t.Helper()
	var all []cdc.Object
	prev, next := "", uint64(1)
	for i := range n {
		var lines bytes.Buffer
		for r := range i + 1 {
			fmt.Fprintf(&lines, `{"chain":%d,"object":%d,"record":%d}`+"\n", partition, i+1, r)
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(lines.Bytes())
		w.Close()
		sum := sha256.Sum256(packed.Bytes())
		root := chain.RecordsRoot(lines.Bytes())
		o := cdc.Object{Chain: fmt.Sprintf("shop/acme/%02d", partition), Ordinal: uint64(i + 1), Store: "memory://acme", Bytes: int64(packed.Len()),
			Key:    fmt.Sprintf("p=%02d/dt=2026-11-%02d/%020d.jsonl.gz", partition, 1+i/10, next),
			SHA256: hex.EncodeToString(sum[:]), Records: i + 1, RecordsRoot: hex.EncodeToString(root[:]), FirstPartNo: next, LastPartNo: next + 9, LastSeq: 1,
			Prev: prev, FirstCommit: time.Unix(1, 0).UTC(), LastCommit: time.Unix(2, 0).UTC()}
		put(o, packed.Bytes(), map[string]string{"cdcd-chain": o.Chain, "cdcd-ordinal": fmt.Sprint(o.Ordinal), "cdcd-sha256": o.SHA256,
			"cdcd-records": fmt.Sprint(o.Records), "cdcd-records-root": o.RecordsRoot, "cdcd-first-part-no": fmt.Sprint(o.FirstPartNo),
			"cdcd-last-part-no": fmt.Sprint(o.LastPartNo), "cdcd-prev-sha256": o.Prev, "cdcd-last-commit": "2026-11-21T00:00:00Z"})
		prev, next = o.SHA256, o.LastPartNo+1
		all = append(all, o)
	}
	return all
}

func (s store) fill(t testing.TB, partitions, n int) (all []cdc.Object) {
	for p := range partitions {
		all = append(all, deliver(t, p, n, func(o cdc.Object, body []byte, meta map[string]string) { s[o.Key] = entry{body, meta} })...)
	}
	s["p=00/chain.json"] = entry{body: fmt.Appendf(nil, `{"version":1,"partitions":%d}`, partitions)}
	return all
}

// got is what a partner has, by key.
type got map[string]string

func pull(t testing.TB, c partner.Config, into got) (partner.Report, error) {
	t.Helper()
	if c.State == "" {
		c.State = filepath.Join(t.TempDir(), "state.json")
	}
	c.Deliver = func(_ context.Context, o partner.Object, _, lines []byte) error {
		into[o.Key] += string(lines)
		return nil
	}
	p, err := partner.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.Pull(t.Context())
}

func TestEachObjectIsPulledOnceAndInOrder(t *testing.T) {
	s, state, have := store{}, filepath.Join(t.TempDir(), "state.json"), got{}
	if r, err := pull(t, partner.Config{Store: s, State: state}, have); err != nil || r.Objects != 0 {
		t.Fatalf("nothing there: %+v, %v", r, err)
	}
	s.fill(t, 2, 15)
	s["p=00/dt=2026-11-01/00000000000000000001.jsonl.gz.manifest.json"] = entry{body: []byte("{}")} // beside an object
	for i, want := range []int{30, 0} {
		if r, err := pull(t, partner.Config{Store: s, State: state}, have); err != nil || r.Objects != want || len(r.Chains) != 2 || r.Chains[1].Ordinal != 15 {
			t.Fatalf("pull %d: %+v, %v", i, r, err)
		}
	}
	s.fill(t, 2, 17)
	if r, err := pull(t, partner.Config{Store: s, State: state}, have); err != nil || r.Objects != 4 || r.Records != 2*(16+17) {
		t.Fatalf("later: %+v, %v", r, err)
	}
	if n := strings.Count(fmt.Sprint(have), "record"); n != 2*17*18/2 {
		t.Errorf("%d records", n)
	}
}

// Of a store whose oldest objects have expired a partner says with which one it begins; a gap behind that is one.
func TestAPartnerMayBeginWhereTheOldestObjectsHaveExpired(t *testing.T) {
	full := store{}
	objects := full.fill(t, 2, 600)
	for name, test := range map[string]struct {
		begin   map[string]uint64
		expired int // objects of each chain
		want    string
		objects int
	}{
		"without saying so":            {nil, 4, "the objects from 1 to 4 are missing", 0},
		"with the first that is there": {map[string]uint64{"p=00": 591, "p=01": 591}, 590, "", 2 * 10},
		"with a later one":             {map[string]uint64{"p=00": 595, "p=01": 600}, 4, "", 6 + 1},
		"with one that is gone, too":   {map[string]uint64{"p=00": 3, "p=01": 5}, 4, "the objects from 3 to 4 are missing", 0},
	} {
		s := maps.Clone(full)
		for i, o := range objects {
			if i%600 < test.expired {
				delete(s, o.Key)
			}
		}
		state, have := filepath.Join(t.TempDir(), "state.json"), got{}
		r, err := pull(t, partner.Config{Store: s, State: state, Begin: test.begin}, have)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || r.Objects != test.objects {
			t.Errorf("%s: %d objects, %v", name, r.Objects, err)
		}
		if r, err := pull(t, partner.Config{Store: s, State: state, Begin: map[string]uint64{"p=00": 1}}, have); err == nil && r.Objects != 0 {
			t.Errorf("%s, again: %d objects, %v", name, r.Objects, err)
		}
	}
}

// semicolons is a container of another kind than lines.
type semicolons struct{ broken error }

func (c semicolons) Unseal(body []byte) ([]byte, error) { return body, c.broken }
func (semicolons) Next(records []byte) (record, rest []byte) {
	record, rest, _ = bytes.Cut(records, []byte(";"))
	return record, rest
}

func TestRecordsOfOtherContainersAreProved(t *testing.T) {
	const key = "p=00/dt=2026-11-01/00000000000000000001.csv"
	fill := func(body string) store {
		s := store{}
		o := s.fill(t, 1, 1)[0]
		sum, root := sha256.Sum256([]byte(body)), chain.RecordsRoot([]byte("a,1\nb,2\n"))
		meta := s[o.Key].meta
		meta["cdcd-sha256"], meta["cdcd-records"], meta["cdcd-records-root"] = hex.EncodeToString(sum[:]), "2", hex.EncodeToString(root[:])
		delete(s, o.Key)
		s[key] = entry{[]byte(body), meta}
		return s
	}
	for name, test := range map[string]struct {
		body string
		read func(string) (partner.Container, error)
		want string
	}{
		"whole":               {"a,1;b,2;", func(string) (partner.Container, error) { return semicolons{}, nil }, ""},
		"other records":       {"a,1;b,3;", func(string) (partner.Container, error) { return semicolons{}, nil }, "it has 2 records with the root"},
		"fewer records":       {"a,1;", func(string) (partner.Container, error) { return semicolons{}, nil }, "it has 1 records with the root"},
		"no such container":   {"a,1;b,2;", func(string) (partner.Container, error) { return semicolons{errors.New("torn")}, nil }, "it cannot be read: torn"},
		"nobody who reads it": {"a,1;b,3;", nil, ""},
	} {
		have := got{}
		r, err := pull(t, partner.Config{Store: fill(test.body), Container: test.read}, have)
		var fault *partner.Fault
		if test.want == "" && (err != nil || r.Objects != 1 || have[key] != "") || test.want != "" && (!errors.As(err, &fault) || !strings.Contains(fault.Why, test.want)) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	const third = "p=00/dt=2026-11-01/00000000000000000021.jsonl.gz"
	with := func(name, value string) func(store) {
		return func(s store) {
			s[third] = entry{s[third].body, maps.Clone(s[third].meta)}
			s[third].meta[name] = value
		}
	}
	for _, tt := range []struct {
		name string
		harm func(s store)
		want string
	}{
		{"removed", func(s store) { delete(s, third) }, "the objects from 3 to 3 are missing"},
		{"all removed", func(s store) { clear(s) }, ""},
		{"a byte", func(s store) { s[third].body[9] ^= 1 }, "its sha256 is "},
		{"cut", func(s store) { s[third] = entry{s[third].body[:9], s[third].meta} }, "its sha256 is "},
		{"another chain", with("cdcd-chain", "shop/other/00"), `it is of chain "shop/other/00"`},
		{"an ordinal again", with("cdcd-ordinal", "2"), "comes after object 2"},
		{"another link", with("cdcd-prev-sha256", "00"), `it follows an object with sha256 "00"`},
		{"a hole in the events", with("cdcd-first-part-no", "22"), "answers for the events from 22 on, the object before it for those up to 20"},
		{"backwards", with("cdcd-last-part-no", "20"), "answers for the events from 21 to 20"},
		{"no number", with("cdcd-records", "three"), `its metadata cdcd-records is "three"`},
		{"fewer records", with("cdcd-records", "2"), "it has 3 records"},
		{"another root", with("cdcd-records-root", strings.Repeat("0", 64)), "with the root"},
		{"under another key", func(s store) {
			s[strings.Replace(third, "21.", "22.", 1)] = s[third]
			delete(s, third)
		}, "which its key does not say"},
		{"no pin", func(s store) { s["p=00/chain.json"] = entry{body: []byte("?")} }, "does not describe a chain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store{}
			s.fill(t, 1, 5)
			tt.harm(s)
			r, err := pull(t, partner.Config{Store: s}, got{})
			var f *partner.Fault
			if tt.want == "" && err == nil {
				return
			}
			if !errors.As(err, &f) || !strings.Contains(f.Error(), tt.want) || r.Objects > 2 {
				t.Errorf("got %v after %d objects, want %q", err, r.Objects, tt.want)
			}
		})
	}
}

// auditLog is a real one.
func auditLog(t testing.TB) (l *audit.Log, dir, key string) {
	dir = t.TempDir()
	l, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), KeyFile: filepath.Join(dir, "key"), Origin: "cdcd/shop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, filepath.Join(dir, "log"), l.PublicKey()
}

func folder(dir string) partner.LogFiles {
	return func(_ context.Context, path string) ([]byte, bool, error) {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if errors.Is(err, os.ErrNotExist) {
			return nil, false, nil
		}
		return data, err == nil, err
	}
}

func TestAnObjectCountsWhenTheAuditLogHasIt(t *testing.T) {
	s, state, have := store{}, filepath.Join(t.TempDir(), "state.json"), got{}
	all := s.fill(t, 2, 40)
	l, dir, key := auditLog(t)
	c := partner.Config{Store: s, State: state, Log: folder(dir), LogKey: key}
	log := func(o cdc.Object) {
		if err := l.Object(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	next := []int{0, 40}
	foreign := uint64(0)
	for _, most := range []int{1, 10, 40} {
		for next[0] < most || next[1] < 40+most { // chains come between each other, and those of other feeds
			i := random.IntN(2)
			if random.IntN(3) == 0 {
				foreign++
				o := all[0]
				o.Chain, o.Ordinal, o.SHA256, o.Prev = "shop/other/00", foreign, fmt.Sprint(foreign), fmt.Sprint(foreign-1)
				if foreign == 1 {
					o.Prev = ""
				}
				log(o)
			} else if next[i] < i*40+most {
				log(all[next[i]])
				next[i]++
			}
		}
		r, err := pull(t, c, have)
		if err != nil || !r.Logged || r.Chains[0].Ordinal != uint64(most) || r.Chains[1].Ordinal != uint64(most) || r.Ahead > 2 {
			t.Fatalf("up to %d: %+v, %v", most, r, err)
		}
	}
	if len(have) != 80 {
		t.Errorf("got %d objects", len(have))
	}

	// Another log with the same key would be noticed, and so would one that is put back.
	other, dir2, key2 := auditLog(t)
	if err := other.Object(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c    partner.Config
		want string
	}{
		{partner.Config{Store: s, State: state, Log: folder(dir2), LogKey: key}, "signature"},
		{partner.Config{Store: s, State: state, Log: folder(dir2), LogKey: key2}, "signature"},
		{partner.Config{Store: s, State: state, Log: folder(t.TempDir()), LogKey: key}, "not there"},
	} {
		if _, err := pull(t, tt.c, have); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	tiles, err := filepath.Glob(filepath.Join(dir, "tile/0/000.p/*"))
	if err != nil || len(tiles) == 0 {
		t.Fatalf("no tile: %v", err)
	}
	for _, name := range tiles {
		tile, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tile[0] ^= 1
		if err := os.WriteFile(name, tile, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pull(t, partner.Config{Store: s, Log: folder(dir), LogKey: key}, have); !errors.As(err, new(*partner.Fault)) {
		t.Errorf("a changed tile: got %v", err)
	}
}

func TestAnObjectThatTheLogHasOtherwiseIsAFault(t *testing.T) {
	s := store{}
	all := s.fill(t, 1, 3)
	l, dir, key := auditLog(t)
	for _, o := range all {
		if o.Ordinal == 2 {
			o.Records++
		}
		if err := l.Object(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	r, err := pull(t, partner.Config{Store: s, Log: folder(dir), LogKey: key}, got{})
	if !errors.As(err, new(*partner.Fault)) || r.Objects != 1 || !strings.Contains(err.Error(), "the audit log has it as") {
		t.Errorf("got %v, %+v", err, r)
	}
}

// The same folder or bucket may have another name at the partner's. That the log has another object is a fault all the same, as long
// as there is no other store that it could be in.
func TestAnObjectThatTheLogHasOtherwiseIsAFaultUnderAnyNameOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		name      string
		elsewhere int // objects that the feed had in another store before
		want      string
	}{
		{"one store", 0, "p=00/dt=2026-11-01/00000000000000000011.jsonl.gz: the audit log has it as"},
		{"perhaps it is not logged yet", 1, ""},
	} {
		s := store{}
		all := s.fill(t, 1, 3)
		l, dir, key := auditLog(t)
		before := deliver(t, 0, tt.elsewhere, func(cdc.Object, []byte, map[string]string) {})
		for i := range before {
			before[i].Store = "s3://before"
		}
		for _, o := range append(before, all...) {
			if o.Store != "s3://before" {
				o.Store = "s3://acme"
			}
			if o.Ordinal >= 2 {
				o.SHA256, o.Prev = fmt.Sprint(o.Ordinal), strings.Replace(o.Prev, all[1].SHA256, "2", 1)
			}
			if err := l.Object(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		state := filepath.Join(t.TempDir(), "state.json")
		for attempt, objects := range []int{1, 0} { // a fault does not go away
			r, err := pull(t, partner.Config{Store: s, Log: folder(dir), LogKey: key, State: state}, got{})
			var f *partner.Fault
			if tt.want == "" && (err != nil || r.Ahead != 1) || tt.want != "" && (!errors.As(err, &f) || !strings.Contains(f.Error(), tt.want)) || r.Objects != objects {
				t.Errorf("%s, %d: got %v, %+v", tt.name, attempt, err, r)
			}
		}
	}
}

func TestAStateThatCannotBeUsedSaysSo(t *testing.T) {
	s := store{}
	s.fill(t, 1, 3)
	state := filepath.Join(t.TempDir(), "state.json")
	if _, err := pull(t, partner.Config{Store: s, State: state}, got{}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", string(whole[:len(whole)/2]), "{}", strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1), strings.Replace(string(whole), "acme", "other", 1)} {
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := partner.Open(partner.Config{Store: s, State: state, Deliver: partner.Folder(t.TempDir())})
		if !errors.Is(err, partner.ErrState) {
			t.Errorf("%.40q: got %v", text, err)
		}
	}
}

// What is not there any more is found by the log only: the objects before it are whole.
func TestObjectsThatOnlyTheLogHasAreMissing(t *testing.T) {
	const last, other = "p=00/dt=2026-11-01/00000000000000000041.jsonl.gz", "p=01/dt=2026-11-01/00000000000000000041.jsonl.gz"
	elsewhere := func(o *cdc.Object) { o.Store = "s3://acme" }
	for _, tt := range []struct {
		name  string
		harm  func(s store)
		log   func(o *cdc.Object)
		begin map[string]uint64
		want  string
	}{
		{"nothing is missing", func(store) {}, nil, nil, ""},
		{"the last one", func(s store) { delete(s, other) }, nil, nil, other + ": the audit log has it as object 5 of shop/acme/01, and it is not in the store"},
		{"the last one of a store that has another name here", func(s store) { delete(s, last) }, elsewhere, nil, last + ": the audit log has it"},
		{"a chain", func(s store) {
			maps.DeleteFunc(s, func(key string, _ entry) bool { return strings.HasPrefix(key, "p=01/") })
		}, nil, nil, "object 1 of shop/acme/01"},
		{"a chain, and what says that there is one", func(s store) {
			s["p=00/chain.json"] = entry{body: []byte(`{"version":1,"chain":"shop/acme/00","partitions":1}`)}
		}, nil, nil, "object 1 of shop/acme/01"},
		{"what the partner begins behind", func(s store) {
			maps.DeleteFunc(s, func(key string, _ entry) bool { return strings.HasPrefix(key, "p=01/") })
		}, nil, map[string]uint64{"p=01": 6}, ""},
		{"what the feed had in another store before", func(store) {}, nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store{}
			all := s.fill(t, 2, 5)
			s["p=00/chain.json"] = entry{body: []byte(`{"version":1,"chain":"shop/acme/00","partitions":2}`)}
			l, dir, key := auditLog(t)
			if strings.Contains(tt.name, "another store before") {
				before := deliver(t, 0, 7, func(cdc.Object, []byte, map[string]string) {})
				for i := range before {
					elsewhere(&before[i])
				}
				all = append(before, all...)
			}
			for _, o := range all {
				if tt.log != nil {
					tt.log(&o)
				}
				if err := l.Object(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			tt.harm(s)
			_, err := pull(t, partner.Config{Store: s, Log: folder(dir), LogKey: key, Begin: tt.begin}, got{})
			var f *partner.Fault
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &f) || !strings.Contains(f.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAChainThatWasPulledDoesNotGoAway(t *testing.T) {
	s, state := store{}, filepath.Join(t.TempDir(), "state.json")
	s.fill(t, 2, 3)
	if _, err := pull(t, partner.Config{Store: s, State: state}, got{}); err != nil {
		t.Fatal(err)
	}
	s["p=00/chain.json"] = entry{body: []byte(`{"version":1,"partitions":1}`)}
	_, err := pull(t, partner.Config{Store: s, State: state}, got{})
	if want := "p=00/chain.json: it says that there are 1 chains, and p=01/ was pulled before"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTilesAreNumberedAsOthersDo(t *testing.T) {
	// A log of more than a tile of tiles: hashes of level 1 are read, too.
	s := store{}
	all := s.fill(t, 1, 1)
	l, dir, key := auditLog(t)
	var g sync.WaitGroup
	for i := range 600 { // at once, so that they share syncs of the disk
		g.Go(func() {
			o := all[0]
			o.Chain = fmt.Sprintf("shop/other/%d", i)
			if err := l.Object(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if err := l.Object(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if r, err := pull(t, partner.Config{Store: s, Log: folder(dir), LogKey: key}, got{}); err != nil || r.Objects != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tile/1/000.p/2")); err != nil {
		t.Error(err)
	}
}

func TestReceiptsAreSentOnceAndAgainWhenTheyFailed(t *testing.T) {
	s, state := store{}, filepath.Join(t.TempDir(), "state.json")
	s.fill(t, 2, 3)
	var sent []string
	fails := true
	c := partner.Config{Store: s, State: state, Now: func() time.Time { return time.Unix(5, 0) }, Receipt: func(_ context.Context, r partner.Receipt) error {
		sent = append(sent, fmt.Sprintf("%s %d", r.Chain, r.Ordinal))
		if fails {
			return errors.New("down")
		}
		return nil
	}}
	if r, err := pull(t, c, got{}); err == nil || r.Objects != 6 { // no chain waits for the receipts of another
		t.Fatalf("got %+v, %v", r, err)
	}
	fails = false
	for range 2 {
		if _, err := pull(t, c, got{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"shop/acme/00 3", "shop/acme/01 3", "shop/acme/00 3", "shop/acme/01 3"}; !slices.Equal(sent, want) {
		t.Errorf("got %q, want %q", sent, want)
	}
}

func TestAStateIsOfOneStoreAndOneProcess(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	s := store{}
	s.fill(t, 1, 1)
	deliver := func(context.Context, partner.Object, []byte, []byte) error { return nil }
	p, err := partner.Open(partner.Config{Store: s, State: state, Deliver: deliver})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := partner.Open(partner.Config{Store: s, State: state, Deliver: deliver}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
	if _, err := p.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	other, err := file.Open(file.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := partner.Open(partner.Config{Store: other, State: state, Deliver: deliver}); err == nil || !strings.Contains(err.Error(), "it is about memory://acme") {
		t.Errorf("another store: %v", err)
	}
}

// TestMain is also the process that is killed.
func TestMain(m *testing.M) {
	if args := os.Getenv("PARTNER_PULL"); args != "" {
		dirs := strings.Split(args, "|")
		s, err := file.Open(file.Config{URL: "file://" + dirs[0]})
		if err == nil {
			var p *partner.Puller
			if p, err = partner.Open(partner.Config{Store: s, State: filepath.Join(dirs[1], "state.json"), Deliver: partner.Folder(dirs[1])}); err == nil {
				_, err = p.Pull(context.Background())
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAPartnerThatIsKilledHasEachRecordOnce(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s, err := file.Open(file.Config{URL: "file://" + from})
	if err != nil {
		t.Fatal(err)
	}
	const objects = 60
	deliver(t, 0, objects, func(o cdc.Object, body []byte, meta map[string]string) {
		if o.Prev == "" {
			delete(meta, "cdcd-prev-sha256")
		}
		if _, err := s.Put(t.Context(), o.Key, body, meta); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := s.Put(t.Context(), "p=00/chain.json", []byte(`{"version":1}`), nil); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for ended := false; !ended; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PARTNER_PULL="+from+"|"+to)
		var out bytes.Buffer
		cmd.Stderr = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(20+rand.IntN(100)) * time.Millisecond
		if kills > 40 {
			after = time.Minute
		}
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if ended = err == nil; err != nil {
			if kills++; out.Len() > 0 {
				t.Fatalf("%v: %s", err, &out)
			}
		}
	}
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(to, "p=00", "dt=*", "*.jsonl"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var want strings.Builder
	for i := range objects {
		for r := range i + 1 {
			fmt.Fprintf(&want, `{"chain":0,"object":%d,"record":%d}`+"\n", i+1, r)
		}
	}
	if all.String() != want.String() {
		t.Errorf("%d files, %d bytes, want %d, after %d kills", len(files), all.Len(), want.Len(), kills)
	}
	if left, _ := filepath.Glob(filepath.Join(to, "p=00", "dt=*", "*.new")); len(left) > 0 {
		t.Logf("left behind: %v", left)
	}
	t.Logf("killed %d times", kills)
}
