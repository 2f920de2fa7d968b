package match

import "slices"

// automaton finds which of many texts a value contains, in one pass: the automaton of Aho and Corasick (CACM 1975). Its
// states are the beginnings of the texts, numbered from the shortest, so that what a state can become has numbers in a
// row.
type automaton struct {
	root   [256]int32 // from the empty text, which is state 0
	labels []byte     // the last byte of each state
	kids   []int32    // the first state that continues each state, and the end
	fails  []int32    // the longest other state that each ends with
	outs   []int32    // the text that each state is, or -1
	links  []int32    // the longest other state that each ends with and that is a text, or -1
	posts  posts
	first  int // where its states begin in the scratch
}

// newAutomaton takes distinct texts and returns the place of each.
func newAutomaton(given []string) (*automaton, []int32) {
	places, patterns := make([]int32, len(given)), slices.Clone(given)
	slices.Sort(patterns)
	for i, text := range given {
		at, _ := slices.BinarySearch(patterns, text)
		places[i] = int32(at)
	}
	// A state is a run of patterns that begin alike.
	type run struct{ from, to, length int }
	runs := []run{{0, len(patterns), 0}}
	a := &automaton{labels: make([]byte, 1)}
	for state := 0; state < len(runs); state++ {
		r := runs[state]
		a.kids = append(a.kids, int32(len(runs)))
		a.outs = append(a.outs, -1)
		if r.from < r.to && len(patterns[r.from]) == r.length {
			a.outs[state] = int32(r.from)
			r.from++
		}
		for r.from < r.to {
			c, end := patterns[r.from][r.length], r.from+1
			for end < r.to && patterns[end][r.length] == c {
				end++
			}
			a.labels = append(a.labels, c)
			runs = append(runs, run{r.from, end, r.length + 1})
			r.from = end
		}
	}
	a.kids = append(a.kids, int32(len(runs)))
	for kid := a.kids[0]; kid < a.kids[1]; kid++ {
		a.root[a.labels[kid]] = kid
	}
	a.fails, a.links = make([]int32, len(runs)), make([]int32, len(runs))
	a.links[0] = -1
	for state := range runs {
		for kid := a.kids[state]; kid < a.kids[state+1]; kid++ {
			if state > 0 {
				a.fails[kid] = a.step(a.fails[state], a.labels[kid])
			}
			if fail := a.fails[kid]; a.outs[fail] >= 0 {
				a.links[kid] = fail
			} else {
				a.links[kid] = a.links[fail]
			}
		}
	}
	return a, places
}

// step returns the state after another byte.
func (a *automaton) step(state int32, c byte) int32 {
	for state > 0 {
		if next := a.next(state, c); next > 0 {
			return next
		}
		state = a.fails[state]
	}
	return a.root[c]
}

// next returns the state that continues a state with a byte, or 0.
func (a *automaton) next(state int32, c byte) int32 {
	lo, hi := a.kids[state], a.kids[state+1]
	for hi-lo > 8 {
		if half := (lo + hi) / 2; a.labels[half] <= c {
			lo = half
		} else {
			hi = half
		}
	}
	for ; lo < hi; lo++ {
		if a.labels[lo] == c {
			return lo
		}
	}
	return 0
}

// scan marks the formulas of all texts that s contains.
func (a *automaton) scan(s string, to *Scratch) {
	state := int32(0)
	a.report(0, to)
	for i := range len(s) {
		if state = a.step(state, s[i]); state > 0 {
			a.report(state, to)
		}
	}
}

// report marks the formulas of all texts that a state ends with, the first time in an event.
func (a *automaton) report(state int32, to *Scratch) {
	if a.outs[state] < 0 {
		state = a.links[state]
	}
	for ; state >= 0; state = a.links[state] {
		if to.found[a.first+int(state)] == to.epoch {
			return
		}
		to.found[a.first+int(state)] = to.epoch
		to.mark(a.posts.of(a.outs[state]))
	}
}
