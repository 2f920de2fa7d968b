package match

import (
	"cmp"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
)

// pick says what the witnesses of a node are.
type pick struct {
	how  how
	a, b int32
}

type how uint8

const (
	never   how = iota // none: the node is False on every event
	itself             // the node itself, which the index of its slot finds
	ask                // the node itself, evaluated on every event
	kid                // of an And: those of node a
	between            // of an And: that a slot has at least the rank of node a and at most that of node b
	all                // of an Or: those of all its kids
)

// What things cost, in nanoseconds. Only their proportions matter.
const (
	costVerify  = 15 // evaluating a candidate
	costCompare = 4
	costText    = 8
	costChanged = 12
	costScan    = 60
	costOpaque  = 300
)

// estimate guesses for each node how often it is not False, what evaluating it costs, and what it costs on an event to
// find the formulas of which it is a part, and picks the witnesses that make that cheapest. Kids come before their
// parents, so one pass does. It also puts kids in the order in which they are evaluated: what is cheap and decides first.
func (b *builder) estimate() {
	x := b.x
	n := len(x.nodes)
	b.uses, x.picks = make([]int32, n), make([]pick, n)
	b.rate, b.work, b.price = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x.nodes {
		for _, kid := range x.kidsOf(int32(i)) {
			b.uses[kid]++
		}
	}
	for i := range x.nodes {
		id := int32(i)
		switch n := &x.nodes[i]; n.op {
		case opAnd:
			b.arrange(id, func(kid int32) float64 { return b.work[kid] / (1.001 - b.rate[kid]) })
			b.rate[i] = 1
			for _, kid := range x.kidsOf(id) {
				b.work[i] += b.rate[i] * b.work[kid]
				b.rate[i] *= b.rate[kid]
			}
			b.pickAnd(id)
		case opOr:
			b.arrange(id, func(kid int32) float64 { return b.work[kid] / (0.001 + b.rate[kid]) })
			missed := 1.0
			for _, kid := range x.kidsOf(id) {
				b.work[i] += missed * b.work[kid]
				missed *= 1 - b.rate[kid]
				b.price[i] += b.price[kid]
			}
			b.rate[i] = 1 - missed
			x.picks[i] = pick{how: all}
			b.rather(id, pick{how: ask}, b.asking(id))
		case opConst:
			if Truth(n.a) != False {
				b.rate[i] = 1
				x.picks[i] = pick{how: ask}
				b.price[i] = b.asking(id)
			}
		default:
			b.rate[i], b.work[i] = b.guess(n)
			if n.negated {
				b.rate[i] = 1 - b.rate[i]
			}
			x.picks[i] = pick{how: ask}
			b.price[i] = b.asking(id)
			if n.op <= opContains && !n.negated {
				x.picks[i] = pick{how: itself}
				b.price[i] = b.rate[i] * costVerify
			}
		}
	}
}

// kidsOf returns the kids of a node, which may be put into another order.
func (x *Index) kidsOf(id int32) []int32 {
	if n := &x.nodes[id]; n.op == opAnd || n.op == opOr {
		return x.kids[n.a:n.b]
	}
	return nil
}

// asking is what it costs to evaluate a node on every event, for the sake of one of those that have it.
func (b *builder) asking(id int32) float64 {
	return b.work[id]/float64(max(b.uses[id], 1)) + b.rate[id]*costVerify
}

// rather takes other witnesses for a node if they are cheaper.
func (b *builder) rather(id int32, p pick, price float64) {
	if price < b.price[id] {
		b.x.picks[id], b.price[id] = p, price
	}
}

// arrange puts the kids of a node in order.
func (b *builder) arrange(id int32, weight func(kid int32) float64) {
	slices.SortFunc(b.x.kidsOf(id), func(p, q int32) int {
		return cmp.Or(cmp.Compare(weight(p), weight(q)), cmp.Compare(p, q))
	})
}

// pickAnd picks the cheapest of the kids' witnesses, of intervals, and of the node itself.
func (b *builder) pickAnd(id int32) {
	x := b.x
	kids := x.kidsOf(id)
	x.picks[id], b.price[id] = pick{how: kid, a: kids[0]}, b.price[kids[0]]
	for _, k := range kids[1:] {
		b.rather(id, pick{how: kid, a: k}, b.price[k])
	}
	for _, up := range kids {
		if x.nodes[up].op != opUp || x.nodes[up].negated {
			continue
		}
		for _, down := range kids {
			if x.nodes[down].op != opDown || x.nodes[down].negated || x.nodes[down].a != x.nodes[up].a {
				continue
			}
			width := max(0, x.nodes[down].b-x.nodes[up].b+1)
			rate := float64(width) / float64(x.slots[x.nodes[up].a].order.ranks())
			b.rather(id, pick{between, up, down}, 0.99*min(rate, b.rate[up], b.rate[down])*costVerify) // in it less than beyond one end
		}
	}
	b.rather(id, pick{how: ask}, b.asking(id))
}

// guessed returns how often an atom is not False, and what evaluating it costs. What is known is the table and the formulas:
// values that many formulas ask for are taken for frequent, and thresholds for lying where values lie.
func (b *builder) guessed(n *node) (rate, work float64) {
	switch n.op {
	case opEqual:
		return b.share(n.a, n.b), costCompare
	case opIn:
		for _, c := range b.x.sets[n.b] {
			rate += b.share(n.a, c)
		}
		return min(rate, 0.9), costCompare
	case opUp:
		ranks := b.x.slots[n.a].order.ranks()
		return rareOrder * float64(ranks-int(n.b)) / float64(ranks), costCompare
	case opDown:
		return rareOrder * float64(n.b+1) / float64(b.x.slots[n.a].order.ranks()), costCompare
	case opPrefix, opSuffix:
		return 0.02, costText
	case opContains:
		return 0.05, costScan
	case opNull:
		return 0.05, costCompare
	case opPresent:
		return 0.98, costCompare
	case opChanged:
		return 0.1, costChanged
	}
	return 0.5, costOpaque
}

// rareOrder is how much rarer values are beyond thresholds than between them: people ask for what is out of the ordinary.
const rareOrder = 1.0 / 3

// share guesses how many of a slot's values are the constant c.
func (b *builder) share(s, c int32) float64 {
	if c < 0 {
		return 0.001
	}
	k := &b.constants[s]
	share := float64(k.mentions[c]+1) / float64(k.total+20)
	column := &b.x.slots[s].of
	switch {
	case column.Kind == cdc.KindBool:
		return max(share, 0.5)
	case column.Kind == cdc.KindEnum && len(column.Members) > 0:
		return max(share, 1/float64(len(column.Members)))
	case column.Key == 1 && len(b.x.table.Key()) == 1:
		return share / 1000
	}
	return share
}

// finder is what is collected of a slot's witnesses.
type finder struct {
	equals, ups, downs, intervals []post
	prefixes, suffixes, contains  []post // by pattern
	onNull, onAbsent, onBroken    []int32
}

// guard says that a formula is False if a column is NULL in an image, or is not in it.
type guard struct {
	image    Image
	column   int
	ifNull   bool
	ifAbsent bool
}

// collect enters a formula under its witnesses: those of the node, which is the formula or what of it has been picked.
func (b *builder) collect(id, formula int32, guards []guard) {
	x := b.x
	switch p := x.picks[id]; p.how {
	case itself:
		b.enter(id, formula, guards)
	case ask:
		at, ok := b.asked[id]
		if !ok {
			at = int32(len(x.asked))
			b.asked[id] = at
			x.asked = append(x.asked, asked{node: id})
		}
		if a := &x.asked[at]; len(a.formulas) == 0 || a.formulas[len(a.formulas)-1] != formula {
			a.formulas = append(a.formulas, formula)
		}
	case kid:
		b.collect(p.a, formula, b.guarded(id, guards))
	case between:
		b.enterBetween(p, formula, b.guarded(id, guards))
	case all:
		for _, k := range x.kidsOf(id) {
			b.collect(k, formula, guards)
		}
	}
}

// guarded adds to the guards those of an And.
func (b *builder) guarded(id int32, guards []guard) []guard {
	for _, k := range b.x.kidsOf(id) {
		n := &b.x.nodes[k]
		ifNull, ifAbsent := n.op == opNull && n.negated, n.op == opPresent && !n.negated
		if !ifNull && !ifAbsent {
			continue
		}
		if sl := &b.x.slots[n.a]; ifAbsent || sl.derived == Itself || sl.derived == Civil {
			guards = append(guards[:len(guards):len(guards)], guard{sl.image, sl.column, ifNull, ifAbsent})
		}
	}
	return guards
}

// enter enters a formula under a leaf.
func (b *builder) enter(id, formula int32, guards []guard) {
	n := &b.x.nodes[id]
	f := &b.finders[n.a]
	key := post{n.b, formula}
	switch n.op {
	case opEqual:
		if n.b >= 0 {
			f.equals = append(f.equals, key)
		}
	case opIn:
		for _, c := range b.x.sets[n.b] {
			f.equals = append(f.equals, post{c, formula})
		}
	case opUp:
		f.ups = append(f.ups, key)
	case opDown:
		f.downs = append(f.downs, key)
	case opPrefix:
		f.prefixes = append(f.prefixes, key)
	case opSuffix:
		f.suffixes = append(f.suffixes, key)
	case opContains:
		f.contains = append(f.contains, key)
	}
	b.enterUnusual(n.a, n.op, formula, guards)
}

// enterBetween enters a formula under an interval of ranks, at the nodes of the segment tree that it consists of.
func (b *builder) enterBetween(p pick, formula int32, guards []guard) {
	up, down := &b.x.nodes[p.a], &b.x.nodes[p.b]
	f := &b.finders[up.a]
	n := leaves(b.x.slots[up.a].order.ranks())
	for lo, hi := up.b+n, down.b+n+1; lo < hi; lo, hi = lo>>1, hi>>1 {
		if lo&1 != 0 {
			f.intervals = append(f.intervals, post{lo, formula})
			lo++
		}
		if hi&1 != 0 {
			hi--
			f.intervals = append(f.intervals, post{hi, formula})
		}
	}
	b.enterUnusual(up.a, opUp, formula, guards)
}

// enterUnusual enters a formula under what its witness gives if there is no plain value.
func (b *builder) enterUnusual(s int32, o op, formula int32, guards []guard) {
	sl, f := &b.x.slots[s], &b.finders[s]
	add := func(list *[]int32) {
		if n := len(*list); n == 0 || (*list)[n-1] != formula {
			*list = append(*list, formula)
		}
	}
	guarded := func(by func(g guard) bool) bool {
		return slices.ContainsFunc(guards, func(g guard) bool { return g.image == sl.image && g.column == sl.column && by(g) })
	}
	null := isNull
	if sl.derived != Itself && sl.derived != Civil {
		null = isBlank
	}
	if unusual(o, null) != False && !guarded(func(g guard) bool { return g.ifNull }) {
		add(&f.onNull)
	}
	if !guarded(func(g guard) bool { return g.ifAbsent }) {
		add(&f.onAbsent)
	}
	add(&f.onBroken)
}

// Witness is one of the ways in which an event calls for a formula: unless the event makes one of a formula's witnesses
// something else than False, the formula is not looked at.
type Witness struct {
	Atom    *Atom // nil: that of several atoms together
	Negated bool
	Upper   *Atom // of an interval: Atom is its lower bound
	Asked   bool  // no search finds it: it is evaluated on every event, once for all formulas that have it
}

// Describe returns the witnesses of a formula. One without any gives False on every event.
func (x *Index) Describe(formula int) []Witness { return x.witnesses(x.roots[formula], nil) }

func (x *Index) witnesses(id int32, out []Witness) []Witness {
	switch p := x.picks[id]; p.how {
	case itself, ask:
		return append(out, Witness{Atom: x.atoms[id], Negated: x.nodes[id].negated, Asked: p.how == ask})
	case kid:
		return x.witnesses(p.a, out)
	case between:
		return append(out, Witness{Atom: x.atoms[p.a], Upper: x.atoms[p.b]})
	case all:
		for _, k := range x.kidsOf(id) {
			out = x.witnesses(k, out)
		}
	}
	return out
}
