package match

import (
	"math/bits"

	"github.com/cdcd-project/cdcd/cdc"
)

// NewRated makes an index whose witnesses are picked as if atoms were not False as often as rate says.
func NewRated(t *cdc.Table, formulas []*Formula, rate func() float64) *Index {
	b := newBuilder(t, formulas)
	b.guess = func(*node) (float64, float64) { return rate(), 1 + 100*rate() }
	return b.build(formulas)
}

// NewAsked makes an index without witnesses: every formula is evaluated on every event.
func NewAsked(t *cdc.Table, formulas []*Formula) *Index {
	b := newBuilder(t, formulas)
	b.askAll = true
	return b.build(formulas)
}

// Collide gives everything that is hashed the same hash until the returned function is called.
func Collide() func() {
	before := hashBits
	hashBits = 0
	return func() { hashBits = before }
}

// LastEpochs lets a scratch have only n more events before it counts anew.
func (s *Scratch) LastEpochs(n uint32) { s.epoch = lastEpoch - n }

// Holds says whether the scratch holds anything of an event.
func (s *Scratch) Holds() bool {
	held := len(s.texts) > 0 || s.ask != nil || s.rows[Before].Exists() || s.rows[After].Exists()
	for _, v := range s.views {
		held = held || v.text != ""
	}
	return held
}

// Candidates returns the formulas that an event calls for, in their order.
func (x *Index) Candidates(e cdc.Event, ask Asker) []int {
	var s Scratch
	s.begin(x, e, ask)
	x.call(&s)
	var out []int
	for i, word := range s.candidates {
		for ; word != 0; word &= word - 1 {
			out = append(out, i<<6|bits.TrailingZeros64(word))
		}
	}
	return out
}

// CompareDecimals orders two decimals.
func CompareDecimals(a, b string) int { return compareDecimals(a, b) }
