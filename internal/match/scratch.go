package match

import "github.com/cdcd-project/cdcd/cdc"

// Scratch is what one goroutine needs to match: memory that is used again for each event. The zero value is ready, and
// may be used with one index after the other; staying with one is faster.
type Scratch struct {
	index *Index
	rows  [2]cdc.Row // by image
	ask   Asker

	epoch uint32   // the number of the event; what bears another number is of an earlier one
	views []view   // by slot
	memos []uint32 // epoch<<2 | truth
	texts []int32  // slots whose views hold a text
	found []uint32 // by state of an automaton: the epoch in which it was reported

	candidates []uint64 // a bit for each formula
	summary    []uint64 // a bit for each word of candidates that is not 0
	results    []Result
	buffers    [][]byte // of derived texts, by slot
}

// lastEpoch is the largest that fits into a memo beside a truth.
const lastEpoch = 1<<30 - 1

// begin turns to another event.
func (s *Scratch) begin(x *Index, e cdc.Event, ask Asker) {
	if s.index != x {
		s.fit(x)
	}
	if s.epoch++; s.epoch > lastEpoch {
		s.epoch = 1
		clear(s.views[:cap(s.views)])
		clear(s.memos[:cap(s.memos)])
		clear(s.found[:cap(s.found)])
	}
	s.ask = ask
	if x.uses[Before] {
		s.rows[Before] = e.Before()
	}
	if x.uses[After] {
		s.rows[After] = e.After()
	}
}

// fit makes room for an index. What is there from another one is of earlier epochs, but for what a panic of an Asker may
// have left.
func (s *Scratch) fit(x *Index) {
	s.end()
	s.index = x
	s.views = grown(s.views, len(x.slots))
	s.buffers = grown(s.buffers, len(x.slots))
	s.memos = grown(s.memos, x.memos)
	states := 0
	for i := range x.slots {
		if a := x.slots[i].contains; a != nil {
			states = max(states, a.first+len(a.fails))
		}
	}
	s.found = grown(s.found, states)
	words := (len(x.roots) + 63) / 64
	clear(s.candidates)
	clear(s.summary)
	s.candidates = grown(s.candidates, words)
	s.summary = grown(s.summary, (words+63)/64)
}

func grown[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}

// end forgets the event, so that a scratch that is kept does not keep a frame alive.
func (s *Scratch) end() {
	for _, i := range s.texts {
		s.views[i].text = ""
	}
	s.texts = s.texts[:0]
	s.rows = [2]cdc.Row{}
	s.ask = nil
}

// mark makes formulas candidates.
func (s *Scratch) mark(formulas []int32) {
	for _, f := range formulas {
		w := f >> 6
		s.candidates[w] |= 1 << (f & 63)
		s.summary[w>>6] |= 1 << (w & 63)
	}
}

// changed says whether a column differs between the images.
func (s *Scratch) changed(column int) Truth {
	slot := Slot{Column: column}
	before, ok1 := slot.read(s.rows[Before])
	after, ok2 := slot.read(s.rows[After])
	if !ok1 || !ok2 {
		return Failed
	}
	return truth(before != after)
}
