package audit

import (
	"strings"
	"testing"
)

// trap returns the leaf of a change that a plugin could not judge.
func trap(rule string, partNo uint64) Trap {
	return Trap{Feed: "acme", Rule: rule, Version: "sha256:1", Plugin: "score", Digest: "sha256:2", Kind: "unreachable", Stack: []string{"judge", "cdc_batch"},
		Fuel: 4711, Event: "0-1-17/0", Table: "shop.orders", Epoch: 7 << 32, PartNo: partNo, Seq: 3, Policy: "dead_letter"}
}

func TestATrapIsLoggedOnceHoweverOftenItsChangeIsJudged(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	log := func(tr Trap) {
		t.Helper()
		if err := l.Trap(t.Context(), tr); err != nil {
			t.Fatalf("trap at event %d: %v", tr.PartNo, err)
		}
	}
	log(trap("paid", 5))
	fill(t, l, "c/d/00", 2, 1)
	log(trap("paid", 9))
	log(trap("paid", 5)) // offered again
	log(trap("big", 5))
	other := trap("paid", 5)
	other.Digest = "sha256:3" // another version of the plugin breaks down on it, too
	log(other)
	anew := trap("paid", 5)
	anew.Epoch = 8 << 32 // another line of numbers
	log(anew)
	l.Close()

	l = p.open(t)
	log(trap("paid", 9))
	log(trap("paid", 10))
	if err := l.Trap(t.Context(), Trap{Feed: "acme"}); err == nil {
		t.Error("a trap of no plugin was logged")
	}
	if r := p.verify(t, nil); r.Bad != nil || r.Entries != 8 || r.Traps != 6 || r.Chains != 1 {
		t.Fatalf("got %+v", r)
	}
}

func TestVerifyChecksTheOrderOfTraps(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	for _, n := range []uint64{5, 4} {
		l.setHeads(map[chainID]head{}) // so that it lets anything through
		if err := l.Trap(t.Context(), trap("paid", n)); err != nil {
			t.Fatal(err)
		}
	}
	wantBad(t, p.verify(t, nil), "chains", "leaf 1 (trap of plugin score in rule paid at event 4)")
}

func TestATrapOfAnySizeFitsALeaf(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	tr := trap(strings.Repeat("r", 128), 1)
	tr.Plugin, tr.Why, tr.Event, tr.Table = strings.Repeat("p", 64), strings.Repeat("\x01\"", 1000), strings.Repeat("\\", 1000), strings.Repeat("\xff\u2028", 500)
	for range 1000 {
		tr.Stack = append(tr.Stack, strings.Repeat("\"\x00", 5000))
	}
	if err := l.Trap(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	var got Trap
	if err := replay(t.Context(), p.dir, 0, 1, func(_ int64, leaf Leaf) { got = *leaf.Trap }); err != nil {
		t.Fatal(err)
	}
	if len(got.Stack) < 5 || len(tr.Stack) != 1002 || tr.Stack[2][1] != 0 {
		t.Fatalf("%d of %d frames are in the leaf", len(got.Stack), len(tr.Stack))
	}
}
