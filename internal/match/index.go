package match

import "github.com/cdcd-project/cdcd/cdc"

// Index finds those of many formulas that do not give False on an event. It is immutable and may be used by many
// goroutines at once, each with a [Scratch] of its own.
type Index struct {
	table    *cdc.Table
	formulas []*Formula
}

// Result is what a formula gives on an event: True or Failed.
type Result struct {
	Formula int // its number in the index
	Truth   Truth
}

// Scratch is what one goroutine needs to match: memory that is used again for each event. The zero value is ready, and
// may be used with one index after the other; staying with one is faster.
type Scratch struct {
	results []Result
}

// New makes an index of formulas over the rows of a table, to match events of that table or of one that is defined
// alike. The formulas must not be changed any more.
func New(t *cdc.Table, formulas []*Formula) *Index {
	return &Index{table: t, formulas: formulas}
}

// Match returns what the formulas give on an event, in their order, but for those that give False. The slice is valid
// until the next call with the same scratch. ask may be nil if no atom is opaque. Nothing is allocated once the scratch
// has grown.
func (x *Index) Match(e cdc.Event, s *Scratch, ask Asker) []Result {
	s.results = s.results[:0]
	for i, f := range x.formulas {
		if t := f.Eval(e, ask); t != False {
			s.results = append(s.results, Result{i, t})
		}
	}
	return s.results
}

// Witness is one of the ways in which an event calls for a formula: unless the event makes one of a formula's witnesses
// something else than False, the formula is not looked at.
type Witness struct {
	Atom    *Atom // nil: every event calls for the formula
	Negated bool
	Upper   *Atom // of an interval: Atom is its lower bound
	Asked   bool  // no search finds it: it is evaluated on every event
}

// Describe returns the witnesses of a formula. One without any is never true.
func (x *Index) Describe(formula int) []Witness { return []Witness{{}} }
