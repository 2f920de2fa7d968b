package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// told is the note that a webhook was told of an object.
func told(hook, chain string, n uint64) Note {
	return Note{Kind: TypeTrigger, ID: fmt.Sprintf("%s/%s/%d", hook, chain, n), By: hook, Chain: chain, Store: nowhere, Ordinal: n, Status: 200, Attempts: 1}
}

func TestANoteIsLoggedOnceAcrossRestarts(t *testing.T) {
	const chain = "shop/acme/00"
	p := newPlace(t)
	l := p.open(t)
	note := func(n Note) {
		t.Helper()
		if err := l.Note(t.Context(), n); err != nil {
			t.Fatalf("%s: %v", n.what(), err)
		}
	}
	noted := func(hook string, want uint64) {
		t.Helper()
		if got := l.Noted(TypeTrigger, hook, chain, nowhere); got != want {
			t.Errorf("noted for %s: got %d, want %d", hook, got, want)
		}
	}
	wantCode(t, l.Note(t.Context(), told("a", chain, 1)), codeGap)
	fill(t, l, chain, 3, 3)
	note(told("a", chain, 1))
	note(told("a", chain, 3))
	note(told("a", chain, 2)) // later than its successor
	note(told("b", chain, 1))
	note(told("a", chain, 1)) // again
	note(Note{Kind: TypeConfig, ID: "1", By: "ana@desk", Digest: "sha256:1"})
	note(Note{Kind: TypeConfig, ID: "2", By: "ana@desk", Digest: "sha256:2"})
	note(Note{Kind: TypeConfig, ID: "1", By: "bob@desk", Digest: "sha256:3"}) // the ID counts
	noted("a", 3)
	noted("b", 1)
	noted("c", 0)
	wantCode(t, l.Note(t.Context(), told("a", chain, 4)), codeGap)
	l.Close()

	for name, spoil := range map[string]func(){
		"as it was":        func() {},
		"without index":    func() { os.Remove(filepath.Join(p.dir, idsFile)) },
		"a damaged head":   func() { damage(t, p.dir, 20) },
		"without heads":    func() { os.Remove(filepath.Join(p.dir, headsFile)) },
		"damaged pages":    func() { damagePages(t, p.dir) },
		"of another log":   func() { otherIDs(t, p.dir) },
		"a stretched file": func() { os.Truncate(filepath.Join(p.dir, idsFile), 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			spoil()
			l = p.open(t)
			defer l.Close()
			note(told("a", chain, 1))
			note(told("a", chain, 3))
			note(Note{Kind: TypeConfig, ID: "1", By: "ana@desk", Digest: "sha256:1"})
			noted("a", 3)
			noted("b", 1)
			if id, digest := l.Last(TypeConfig); id != "2" || digest != "sha256:2" {
				t.Errorf("last configuration: %q, %q", id, digest)
			}
			want := map[string]int64{TypeTrigger: 4, TypeConfig: 2}
			if r := p.verify(t, nil); r.Bad != nil || r.Entries != 9 || !maps.Equal(r.Notes, want) || r.Delivered() != 3 {
				t.Errorf("got %+v, %v", r, r.Bad)
			}
		})
	}
}

// damage changes a byte of the index.
func damage(t *testing.T, dir string, at int64) {
	f, err := os.OpenFile(filepath.Join(dir, idsFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	f.ReadAt(b[:], at)
	f.WriteAt([]byte{b[0] ^ 1}, at)
}

func damagePages(t *testing.T, dir string) {
	for at := range int64(firstPages) {
		damage(t, dir, (1+at)*pageSize+5)
	}
}

// otherIDs puts an index of another log in the place.
func otherIDs(t *testing.T, dir string) {
	x, err := newIDs(filepath.Join(dir, idsFile), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	n := told("z", "shop/acme/00", 9)
	if err := errors.Join(x.add(n.print(), 0), x.save(1, [32]byte{1})); err != nil {
		t.Fatal(err)
	}
}

func TestNotesThatCameAfterTheIndexWasSavedAreFoundAfterACrash(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "c/d/00", 1, 1)
	for n := range 5 {
		if err := l.Note(t.Context(), Note{Kind: TypeErased, ID: fmt.Sprint(n), By: "ana", Digest: "hmac:1", Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	// A crash: nothing is saved, and the pages are as they were at the start.
	if _, err := newIDs(filepath.Join(p.dir, idsFile), firstPages); err != nil {
		t.Fatal(err)
	}
	unlock(l.lock)
	l = p.open(t)
	for n := range 6 {
		if err := l.Note(t.Context(), Note{Kind: TypeErased, ID: fmt.Sprint(n), By: "ana", Digest: "hmac:1", Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.verify(t, nil); r.Bad != nil || r.Notes[TypeErased] != 6 {
		t.Fatalf("got %+v, %v", r, r.Bad)
	}
}

func TestANoteThatLacksSomethingIsRefused(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	for _, n := range []Note{
		{},
		{Kind: "other", ID: "1"},
		{Kind: TypeObject, ID: "1"},
		{Kind: TypeParked, ID: ""},
		{Kind: TypeParked, ID: strings.Repeat("x", maxNoteID+1), Feed: "acme"},
		{Kind: TypeParked, ID: "1"},
		{Kind: TypeTrigger, ID: "1", By: "hook"},
		{Kind: TypeTrigger, ID: "1", By: "hook", Chain: "c/d/00", Ordinal: 1},
		{Kind: TypeReceipt, ID: "1", By: "partner", Chain: "c/d/00", Store: nowhere, Ordinal: 1, SHA256: "00"},
		{Kind: TypeErased, ID: "1", By: "ana", Digest: "hmac:1"},
		{Kind: TypeDiscarded, ID: "1", By: "ana"},
	} {
		if err := l.Note(t.Context(), n); err == nil {
			t.Errorf("%+v was logged", n)
		}
	}
	if c := string(l.Checkpoint()); !strings.Contains(c, "\n0\n") {
		t.Errorf("the log has grown: %s", c)
	}
}

func TestANoteOfAnySizeFitsALeaf(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	n := Note{Kind: TypeDiscarded, ID: strings.Repeat("i", maxNoteID), Feed: "acme", By: strings.Repeat("\x01", 1000), Why: strings.Repeat("\x02\xff", 1000),
		Job: strings.Repeat("j", 40)}
	for i := range 1000 {
		n.Items = append(n.Items, fmt.Sprintf("%064x", i))
	}
	if err := l.Note(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var got Note
	if err := replay(t.Context(), p.dir, 0, 1, func(_ int64, leaf Leaf) { got = *leaf.Note }); err != nil {
		t.Fatal(err)
	}
	if len(got.Items) < 20 || len(got.Items)+got.More != 1000 || got.ID != n.ID || got.Kind != TypeDiscarded {
		t.Fatalf("%d items are in the leaf and %d are not", len(got.Items), got.More)
	}
}

func TestVerifyChecksThatNotesFollowTheirObjects(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	l.setHeads(map[chainID]head{{"c/d/00", nowhere}: {1, ""}}) // so that it lets it through
	if err := l.Note(t.Context(), told("a", "c/d/00", 1)); err != nil {
		t.Fatal(err)
	}
	wantBad(t, p.verify(t, nil), "chains", "leaf 0 (trigger a/c/d/00/1 of object 1 of c/d/00)")
}

// The index against a map: whatever was entered is found, and nothing else, also over its growth and in other processes.
func TestTheIndexOfNotesIsASet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(tempDir(t), idsFile)
		x, err := newIDs(path, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { x.close() }()
		want := map[[printSize]byte]int64{}
		print := func(n int) (p [printSize]byte) {
			binary.BigEndian.PutUint64(p[:], uint64(n%7)) // many in one page
			binary.BigEndian.PutUint64(p[8:], uint64(n))
			return p
		}
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 400).Draw(rt, "n") {
				n := rapid.IntRange(0, 2000).Draw(rt, "entry")
				if err := x.add(print(n), int64(n)); err != nil {
					rt.Fatal(err)
				}
				want[print(n)] = int64(n)
			}
			if rapid.Bool().Draw(rt, "again") {
				if err := x.save(7, [32]byte{7}); err != nil {
					rt.Fatal(err)
				}
				x.close()
				if x, err = openIDs(path); err != nil || x.size != 7 {
					rt.Fatal(x, err)
				}
			}
			if x.entries != uint64(len(want)) {
				rt.Fatalf("%d entries, want %d", x.entries, len(want))
			}
			for n := range 2000 {
				index, has := want[print(n)]
				ok, err := x.find(print(n), func(i int64) (bool, error) { return i == index, nil })
				if ok != has || err != nil {
					rt.Fatalf("entry %d: found %v (%v), want %v", n, ok, err, has)
				}
			}
		}
	})
}
