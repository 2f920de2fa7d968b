package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// publication returns the n-th publication of a rule store.
func publication(store string, n uint64) Rules {
	r := Rules{Store: store, Revision: n, ID: fmt.Sprintf("%s:%d", store, n), Time: time.Unix(int64(n), 0).UTC(), Who: "ana@desk", Why: "because",
		Kind: "push", Digest: "sha256:1", Changed: []string{"paid"}}
	if n > 1 {
		r.Prev = fmt.Sprintf("%s:%d", store, n-1)
	}
	return r
}

func TestRevisionsAreLoggedOnceAndInOrderBesideObjects(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	log := func(r Rules, code string) {
		t.Helper()
		switch err := l.Rules(t.Context(), r); {
		case code == "" && err != nil:
			t.Fatalf("revision %d: %v", r.Revision, err)
		case code != "":
			wantCode(t, err, code)
		}
	}
	other := publication("RULES_shop/A", 2)
	other.ID = "other"
	log(publication("RULES_shop/A", 2), codeGap)
	log(publication("RULES_shop/A", 1), "")
	fill(t, l, "c/d/00", 2, 1)
	log(publication("RULES_shop/A", 2), "")
	log(publication("RULES_shop/A", 1), "") // is in it
	log(publication("RULES_shop/A", 2), "")
	log(other, codeConflict)
	log(publication("RULES_shop/B", 1), "") // a store that was begun anew
	third := publication("RULES_shop/A", 3)
	third.Prev = "other"
	log(third, codeConflict)
	l.Close()

	l = p.open(t)
	if a, b, c := l.Revision("RULES_shop/A"), l.Revision("RULES_shop/B"), l.Revision("RULES_shop/C"); a != 2 || b != 1 || c != 0 {
		t.Fatalf("after a restart: revisions %d, %d and %d, want 2, 1 and 0", a, b, c)
	}
	log(publication("RULES_shop/A", 3), "")
	if r := p.verify(t, nil); r.Bad != nil || r.Entries != 6 || r.Revisions != 4 || r.Chains != 1 {
		t.Fatalf("got %+v", r)
	}
}

func TestVerifyChecksTheRevisions(t *testing.T) {
	another := publication("RULES_shop/A", 2)
	another.Prev = "other"
	for _, c := range []struct {
		name, item string
		rules      []Rules
	}{
		{"a gap", "leaf 1 (revision 3 of RULES_shop/A)", []Rules{publication("RULES_shop/A", 1), publication("RULES_shop/A", 3)}},
		{"twice", "leaf 1 (revision 1 of RULES_shop/A)", []Rules{publication("RULES_shop/A", 1), publication("RULES_shop/A", 1)}},
		{"another predecessor", "leaf 1 (revision 2 of RULES_shop/A)", []Rules{publication("RULES_shop/A", 1), another}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			l := p.open(t)
			for _, r := range c.rules {
				l.setHeads(map[chainID]head{{"", r.Store}: {r.Revision - 1, r.Prev}}) // so that it lets anything through
				if err := l.Rules(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			wantBad(t, p.verify(t, nil), "chains", c.item)
		})
	}
}

func TestAPublicationOfAnySizeFitsALeaf(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	r := publication("RULES_shop/"+strings.Repeat("A", 26), 1)
	r.Who, r.Why = strings.Repeat("\x01", 1000), strings.Repeat("<\x02\xff", 1000)
	r.Changed = nil
	for i := range 10_000 {
		r.Changed, r.Removed = append(r.Changed, fmt.Sprintf("rule-%05d", i)), append(r.Removed, fmt.Sprintf("gone-%05d", i))
	}
	if err := l.Rules(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var got Rules
	if err := replay(t.Context(), p.dir, 0, 1, func(_ int64, leaf Leaf) { got = *leaf.Rules }); err != nil {
		t.Fatal(err)
	}
	if n := len(got.Changed) + len(got.Removed); n < 50 || n+got.More != 20_000 || got.ID != r.ID {
		t.Fatalf("%d names are in the leaf and %d are not", n, got.More)
	}
	if r := p.verify(t, nil); r.Bad != nil {
		t.Fatal(r.Bad)
	}
}
