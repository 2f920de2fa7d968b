package fuzz

import (
	"math/rand/v2"
	"testing"

	"github.com/cdcd-project/cdcd/internal/match"
	"github.com/cdcd-project/cdcd/internal/match/matchtest"
)

// FuzzMatch: an index over any formulas says of any events what evaluating the formulas one by one says, and asks each
// opaque atom at most once.
func FuzzMatch(f *testing.F) {
	for seed := range uint64(20) {
		bytes := make([]byte, 100*(1+seed))
		for i, random := 0, rand.New(rand.NewPCG(seed, 1)); i < len(bytes); i++ {
			bytes[i] = byte(random.Uint32())
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := matchtest.Bytes(data)
		table := matchtest.Table(d)
		events := matchtest.Events(d, table, 4)
		formulas := make([]*match.Formula, d.Roll(100))
		for i := range formulas {
			formulas[i] = matchtest.Formula(d, table, d.Roll(5))
		}
		x := match.New(table, formulas)
		var s match.Scratch
		for i, e := range events {
			if wrong := matchtest.Check(x, formulas, e, &s, matchtest.NewAnswers(d)); wrong != "" {
				t.Fatalf("event %d: %s", i, wrong)
			}
		}
	})
}
