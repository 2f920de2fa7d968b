package match_test

import (
	"testing"

	"github.com/cdcd-project/cdcd/internal/match"
	"github.com/cdcd-project/cdcd/internal/match/matchtest"
)

// The index says of random formulas and events what evaluating the formulas one by one says.
func TestTheIndexAgreesWithPlainEvaluation(t *testing.T) {
	var s match.Scratch
	for seed := range uint64(600) {
		d := matchtest.Random(seed)
		table := matchtest.Table(d)
		formulas := make([]*match.Formula, d.Roll(1+int(seed%150)))
		for i := range formulas {
			formulas[i] = matchtest.Formula(d, table, d.Roll(4))
		}
		x := match.New(table, formulas)
		for i, e := range matchtest.Events(d, table, 20) {
			if wrong := matchtest.Check(x, formulas, e, &s, matchtest.NewAnswers(d)); wrong != "" {
				t.Fatalf("seed %d, event %d: %s", seed, i, wrong)
			}
		}
	}
}
