package match

import (
	"math/bits"

	"github.com/cdcd-project/cdcd/cdc"
)

// Index finds those of many formulas that do not give False on an event. It is immutable and may be used by many
// goroutines at once, each with a [Scratch] of its own.
type Index struct {
	table *cdc.Table
	roots []int32 // of the formulas

	nodes []node
	kids  []int32 // of the nodes that have any
	memos int     // how many values of nodes are remembered
	atoms []*Atom // of the leaves, for Describe
	picks []pick  // by node: what its witnesses are

	slots    []slot
	uses     [2]bool // which of the images the slots are of
	sets     [][]int32
	patterns []string

	probed []int32 // slots that find witnesses
	asked  []asked
}

// Result is what a formula gives on an event: True or Failed.
type Result struct {
	Formula int // its number in the index
	Truth   Truth
}

// asked is a node that is evaluated on every event, and the formulas that are candidates if it is not False.
type asked struct {
	node     int32
	formulas []int32
}

// Match returns what the formulas give on an event, in their order, but for those that give False. The event must be of
// the index's table, or of one that is defined alike. The slice is valid until the next call with the same scratch. ask
// may be nil if no atom is opaque. Nothing is allocated once the scratch has grown.
func (x *Index) Match(e cdc.Event, s *Scratch, ask Asker) []Result {
	s.begin(x, e, ask)
	x.call(s)
	x.verify(s)
	s.end()
	return s.results
}

// call marks the formulas that the event calls for.
func (x *Index) call(s *Scratch) {
	for _, i := range x.probed {
		x.probe(s, i)
	}
	for i := range x.asked {
		if a := &x.asked[i]; x.eval(s, a.node) != False {
			s.mark(a.formulas)
		}
	}
}

// probe marks the formulas of which a witness on the slot is not False.
func (x *Index) probe(s *Scratch, i int32) {
	sl := &x.slots[i]
	v := x.look(s, i)
	switch v.state {
	case isNull, isBlank:
		s.mark(sl.onNull)
		return
	case isAbsent:
		s.mark(sl.onAbsent)
		return
	case isBroken:
		s.mark(sl.onBroken)
		return
	case isUnordered: // equal to nothing, and in no order with anything
		return
	}
	if sl.equals.list != nil {
		if c := sl.constant(v); c >= 0 {
			s.mark(sl.equals.of(c))
		}
	}
	if sl.ranged {
		r := sl.rank(v)
		s.mark(sl.ups.through(r))
		s.mark(sl.downs.from(r))
		for at := sl.intervals.containing(r); at > 0; at = sl.intervals.wider[at] {
			s.mark(sl.intervals.of(at))
		}
	}
	for _, a := range sl.affixes {
		for p := a.longest(v.text); p >= 0; p = a.parents[p] {
			s.mark(a.posts.of(p))
		}
	}
	if sl.contains != nil {
		sl.contains.scan(v.text, s)
	}
}

// verify evaluates the candidates in the order of their numbers, and forgets that they are candidates.
func (x *Index) verify(s *Scratch) {
	s.results = s.results[:0]
	for i, summary := range s.summary {
		if summary == 0 {
			continue
		}
		s.summary[i] = 0
		for ; summary != 0; summary &= summary - 1 {
			at := i<<6 | bits.TrailingZeros64(summary)
			word := s.candidates[at]
			s.candidates[at] = 0
			for ; word != 0; word &= word - 1 {
				f := at<<6 | bits.TrailingZeros64(word)
				if t := x.eval(s, x.roots[f]); t != False {
					s.results = append(s.results, Result{f, t})
				}
			}
		}
	}
}

// node is a distinct part of the formulas. Leaves are of the ops up to opOpaque.
type node struct {
	op      op
	negated bool
	memo    int32 // where its value is remembered within an event; -1: it is not. Of a leaf, that of its atom.
	a, b    int32
}

type op uint8

const (
	opEqual    op = iota // slot a equals its constant b
	opIn                 // slot a equals a constant of set b
	opUp                 // slot a has rank b or a higher one
	opDown               // slot a has rank b or a lower one
	opPrefix             // slot a begins with pattern b
	opSuffix             // slot a ends with pattern b
	opContains           // slot a contains pattern b
	opNull               // slot a is NULL
	opPresent            // slot a is in the row image
	opChanged            // column a differs
	opOpaque             // asked of the caller by number a
	opAnd                // of kids a to b
	opOr                 // of kids a to b
	opConst              // Truth a

	// While an index is built, before ranks are known:
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

// eval evaluates a node, at most once per event if it is remembered.
func (x *Index) eval(s *Scratch, id int32) Truth {
	n := &x.nodes[id]
	if n.memo >= 0 {
		if m := s.memos[n.memo]; m>>2 == s.epoch {
			return signed(Truth(m&3), n.negated)
		}
	}
	var t Truth
	switch n.op {
	case opAnd:
		t = True
		for _, kid := range x.kids[n.a:n.b] {
			if t = min(t, x.eval(s, kid)); t == False {
				break
			}
		}
	case opOr:
		for _, kid := range x.kids[n.a:n.b] {
			if t = max(t, x.eval(s, kid)); t == True {
				break
			}
		}
	case opConst:
		return Truth(n.a)
	case opOpaque:
		t = s.ask.Ask(int(n.a))
	case opChanged:
		t = s.changed(int(n.a))
	case opPresent:
		sl := &x.slots[n.a]
		t = truth(s.rows[sl.image].Kind(sl.column) != cdc.KindAbsent)
	default:
		t = x.test(s, n)
	}
	if n.memo >= 0 {
		s.memos[n.memo] = s.epoch<<2 | uint32(t)
	}
	return signed(t, n.negated)
}

func signed(t Truth, negated bool) Truth {
	if negated {
		return t.Not()
	}
	return t
}

// test evaluates an atom about a slot's value.
func (x *Index) test(s *Scratch, n *node) Truth {
	v := x.look(s, n.a)
	sl := &x.slots[n.a]
	if v.state != isValue {
		return unusual(n.op, v.state)
	}
	switch n.op {
	case opEqual:
		return truth(sl.constant(v) == n.b)
	case opIn:
		return truth(contains(x.sets[n.b], sl.constant(v)))
	case opUp:
		return truth(sl.rank(v) >= n.b)
	case opDown:
		return truth(sl.rank(v) <= n.b)
	case opNull:
		return False
	}
	return truth(affixed(n.op, v.text, x.patterns[n.b]))
}

// unusual is what an atom gives for what is no plain value, see [Test].
func unusual(o op, st state) Truth {
	switch {
	case st == isNull && o == opNull:
		return True
	case st == isNull && (o == opEqual || o == opIn):
		return False
	case st == isUnordered:
		return False
	}
	return Failed
}

// contains reports whether a set, which is in order, has c.
func contains(set []int32, c int32) bool {
	for len(set) > 8 {
		if half := len(set) / 2; set[half] <= c {
			set = set[half:]
		} else {
			set = set[:half]
		}
	}
	for _, m := range set {
		if m == c {
			return true
		}
	}
	return false
}
