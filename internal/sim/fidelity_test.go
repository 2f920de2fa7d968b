package sim

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// The log of the simulation takes and refuses what the real one does.
func TestTheLogIsAsStrictAsTheRealOne(t *testing.T) {
	dir := t.TempDir()
	real, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), KeyFile: filepath.Join(dir, "key"), Origin: "cdcd/shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	model, rng, taken := newAuditLog(), rand.New(rand.NewPCG(1, 2)), 0
	sum := func(n uint64) string { return fmt.Sprintf("%064x", n) }
	for step := range 150 {
		n := 1 + rng.Uint64N(5)
		n += model.heads["shop/acme/00"].Ordinal / 2
		o := cdc.Object{Chain: "shop/acme/00", Store: place, Ordinal: n, Key: fmt.Sprint(n), SHA256: sum(n), Prev: sum(n - 1)}
		if n == 1 {
			o.Prev = ""
		}
		if rng.IntN(6) == 0 {
			o.SHA256 = sum(99)
		}
		var got, want error
		if rng.IntN(3) == 0 {
			id := "webhook/" + o.SHA256
			got, want = model.note(o, id), real.Note(t.Context(), audit.Note{Kind: audit.TypeTrigger, ID: id, By: "webhook", Chain: o.Chain, Store: place, Ordinal: n})
		} else {
			got, want = model.add(o), real.Object(t.Context(), o)
		}
		if (got == nil) != (want == nil) {
			t.Fatalf("step %d: object %d: the simulation says %v, the log says %v", step, n, got, want)
		}
		if got == nil {
			taken++
		}
		head, _ := real.Head(o.Chain, place)
		noted := real.Noted(audit.TypeTrigger, "webhook", o.Chain, place)
		if head != model.heads[o.Chain].Ordinal || noted != model.noted[o.Chain] {
			t.Fatalf("step %d: the simulation is at %d and %d, the log at %d and %d", step, model.heads[o.Chain].Ordinal, model.noted[o.Chain], head, noted)
		}
	}
	if taken < 20 {
		t.Errorf("only %d of the calls were taken", taken)
	}
}
