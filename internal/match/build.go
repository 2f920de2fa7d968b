package match

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
)

// New makes an index of formulas over the rows of a table. The formulas must not be changed any more.
func New(t *cdc.Table, formulas []*Formula) *Index { return newBuilder(t, formulas).build(formulas) }

func newBuilder(t *cdc.Table, formulas []*Formula) *builder {
	n := len(formulas)
	b := &builder{
		x:        &Index{table: t, roots: make([]int32, n), nodes: make([]node, 0, 3*n), atoms: make([]*Atom, 0, 3*n), kids: make([]int32, 0, 3*n)},
		slots:    map[Slot]int32{},
		nodes:    make(map[nodeKey]int32, 2*n),
		inners:   make(map[uint64]int32, n),
		others:   map[int32]int32{},
		sets:     map[string]int32{},
		patterns: map[string]int32{},
		asked:    map[int32]int32{},
	}
	b.guess = b.guessed
	return b
}

func (b *builder) build(formulas []*Formula) *Index {
	for i, f := range formulas {
		b.x.roots[i] = b.intern(f)
	}
	b.sortConstants()
	b.estimate()
	b.finders = make([]finder, len(b.x.slots))
	for i, root := range b.x.roots {
		b.uses[root]++
		if b.askAll {
			b.x.picks[root] = pick{how: ask}
		}
		b.collect(root, int32(i), nil)
	}
	b.finish()
	return b.x
}

// builder builds an index: equal parts of formulas become one node, then each formula gets its witnesses.
type builder struct {
	x *Index

	slots     map[Slot]int32
	constants []slotConstants // by slot
	nodes     map[nodeKey]int32
	inners    map[uint64]int32 // nodes with kids, by the hash of these
	others    map[int32]int32  // of such a node: the one before it with the same hash
	sets      map[string]int32
	patterns  map[string]int32

	guess             func(n *node) (rate, work float64)
	askAll            bool            // no formula has witnesses; for tests
	uses              []int32         // by node: how many nodes and formulas have it
	rate, work, price []float64       // by node, see estimate
	finders           []finder        // by slot
	asked             map[int32]int32 // place in the index's asked, by node
}

type nodeKey struct {
	op      op
	negated bool
	a, b    int32
}

// slotConstants are the numbers of the constants of a slot while its formulas are read.
type slotConstants struct {
	equalNums, orderNums   map[uint64]int32
	equalTexts, orderTexts map[string]int32
	mentions               []int32 // by constant for equality: how often formulas name it
	total                  int32
}

// intern returns the node of a formula.
func (b *builder) intern(f *Formula) int32 {
	switch f.Op {
	case Always:
		return b.node(node{op: opConst, a: int32(f.Value)}, nil)
	case Leaf:
		if opposite, ok := opposites[f.Atom.Test]; ok && f.Negated && f.Atom.Const.Kind() != cdc.KindFloat64 { // NaN is not in order either way
			a := *f.Atom
			a.Test = opposite
			return b.leaf(&a)
		}
		id := b.leaf(f.Atom)
		if !f.Negated {
			return id
		}
		n := b.x.nodes[id]
		if n.op == opConst {
			return b.node(node{op: opConst, a: int32(Truth(n.a).Not())}, nil)
		}
		n.negated = true
		return b.node(n, f.Atom)
	}
	o, zero, one := opAnd, False, True // zero decides, one adds nothing
	if f.Op == Or {
		o, zero, one = opOr, True, False
	}
	var kids []int32
	for _, kid := range f.Kids {
		id := b.intern(kid)
		n := &b.x.nodes[id]
		switch {
		case n.op == o:
			kids = append(kids, b.x.kids[n.a:n.b]...)
		case n.op != opConst || Truth(n.a) == Failed:
			kids = append(kids, id)
		case Truth(n.a) == zero:
			return id
		}
	}
	slices.Sort(kids)
	kids = slices.Compact(kids)
	switch len(kids) {
	case 0:
		return b.node(node{op: opConst, a: int32(one)}, nil)
	case 1:
		return kids[0]
	}
	return b.inner(o, kids)
}

var opposites = map[Test]Test{Less: GreaterEqual, LessEqual: Greater, Greater: LessEqual, GreaterEqual: Less}

// leaf returns the node of an atom.
func (b *builder) leaf(a *Atom) int32 {
	switch a.Test {
	case Opaque:
		return b.node(node{op: opOpaque, a: int32(a.Number)}, a)
	case Changed:
		b.x.uses = [2]bool{true, true}
		return b.node(node{op: opChanged, a: int32(a.Slot.Column)}, a)
	}
	s := b.slot(a.Slot)
	switch a.Test {
	case Null:
		return b.node(node{op: opNull, a: s}, a)
	case Present:
		return b.node(node{op: opPresent, a: s}, a)
	case Equal:
		return b.node(node{op: opEqual, a: s, b: b.equalConstant(s, a.Const)}, a)
	case In:
		var set []int32
		for _, c := range a.Consts {
			if id := b.equalConstant(s, c); id >= 0 {
				set = append(set, id)
			}
		}
		slices.Sort(set)
		return b.node(node{op: opIn, a: s, b: b.set(slices.Compact(set))}, a)
	case Prefix, Suffix, Contains:
		p, ok := b.patterns[a.Const.Text()]
		if !ok {
			p = int32(len(b.x.patterns))
			b.patterns[a.Const.Text()] = p
			b.x.patterns = append(b.x.patterns, a.Const.Text())
		}
		return b.node(node{op: opPrefix + op(a.Test-Prefix), a: s, b: p}, a)
	}
	if _, comparable := compare(a.Const, a.Const); a.Const.Kind() != b.x.slots[s].kind || !comparable && !isNaN(a.Const) {
		return b.node(node{op: opConst, a: int32(Failed)}, nil)
	}
	return b.node(node{op: opLess + op(a.Test-Less), a: s, b: b.orderConstant(s, a.Const)}, a)
}

// slot returns the number of a slot.
func (b *builder) slot(s Slot) int32 {
	id, ok := b.slots[s]
	if !ok {
		id = int32(len(b.x.slots))
		b.slots[s] = id
		column := cdc.Column{Kind: math.MaxUint8} // of which no value is
		if s.Column >= 0 && s.Column < len(b.x.table.Columns) {
			column = b.x.table.Columns[s.Column]
		}
		kind := column.Kind
		if s.Derived != Itself {
			kind = cdc.KindString
		}
		of := numbers
		switch kind {
		case cdc.KindDecimal:
			of = decimals
		case cdc.KindString, cdc.KindEnum, cdc.KindBytes, cdc.KindGeometry:
			of = plainTexts
		}
		b.x.slots = append(b.x.slots, slot{image: s.Image, column: s.Column, derived: s.Derived, from: column.Kind, kind: kind, of: column,
			dict: dict{of: of}, order: order{of: of}})
		switch kind {
		case cdc.KindInt64, cdc.KindTime:
			b.x.slots[id].whole, b.x.slots[id].flip = true, 1<<63
		case cdc.KindUint64, cdc.KindBit, cdc.KindDate, cdc.KindDatetime:
			b.x.slots[id].whole = true
		}
		b.constants = append(b.constants, slotConstants{equalNums: map[uint64]int32{}, orderNums: map[uint64]int32{},
			equalTexts: map[string]int32{}, orderTexts: map[string]int32{}})
		b.x.uses[s.Image] = true
	}
	return id
}

// nothing is the number of a constant that no value equals.
const nothing = -2

// equalConstant returns the number of a constant that the slot's values may equal, or nothing.
func (b *builder) equalConstant(s int32, c cdc.Value) int32 {
	sl, k := &b.x.slots[s], &b.constants[s]
	if c.Kind() != sl.kind {
		return nothing
	}
	id := int32(len(k.mentions))
	num, st := ordered(c)
	switch {
	case st == isValue:
		if known, ok := k.equalNums[num]; ok {
			id = known
			break
		}
		k.equalNums[num] = id
		sl.dict.nums = append(sl.dict.nums, num)
	case st == isText && sl.dict.of != numbers:
		text := c.Text()
		if sl.dict.of == decimals {
			text = plainDecimal(text)
		}
		if known, ok := k.equalTexts[text]; ok {
			id = known
			break
		}
		k.equalTexts[text] = id
		sl.dict.texts = append(sl.dict.texts, text)
	default:
		return nothing
	}
	if int(id) == len(k.mentions) {
		k.mentions = append(k.mentions, 0)
	}
	k.mentions[id]++
	k.total++
	return id
}

// orderConstant returns the number of a constant that the slot's values are ordered with, or nothing.
func (b *builder) orderConstant(s int32, c cdc.Value) int32 {
	sl, k := &b.x.slots[s], &b.constants[s]
	num, st := ordered(c)
	switch {
	case st == isValue:
		id, ok := k.orderNums[num]
		if !ok {
			id = int32(len(sl.order.nums))
			k.orderNums[num] = id
			sl.order.nums = append(sl.order.nums, num)
		}
		return id
	case st == isText && sl.order.of != numbers:
		text := c.Text()
		if sl.order.of == decimals {
			text = plainDecimal(text)
		}
		id, ok := k.orderTexts[text]
		if !ok {
			id = int32(len(sl.order.texts))
			k.orderTexts[text] = id
			sl.order.texts = append(sl.order.texts, text)
		}
		return id
	}
	return nothing
}

// plainDecimal returns the one text that all decimals of the same value have.
func plainDecimal(s string) string {
	sign, whole, fraction := decimalParts(s)
	if sign == 0 {
		return "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if sign < 0 {
		whole = "-" + whole
	}
	return whole
}

// set returns the number of a set of constants in order.
func (b *builder) set(members []int32) int32 {
	var key []byte
	for _, m := range members {
		key = binary.LittleEndian.AppendUint32(key, uint32(m))
	}
	id, ok := b.sets[string(key)]
	if !ok {
		id = int32(len(b.x.sets))
		b.sets[string(key)] = id
		b.x.sets = append(b.x.sets, members)
	}
	return id
}

// node returns the number of a node without kids.
func (b *builder) node(n node, a *Atom) int32 {
	n.memo = -1
	key := nodeKey{n.op, n.negated, n.a, n.b}
	id, ok := b.nodes[key]
	if !ok {
		id = b.add(n, a)
		b.nodes[key] = id
	}
	return id
}

// inner returns the number of a node with kids, which are in order.
func (b *builder) inner(o op, kids []int32) int32 {
	hash := uint64(o)
	for _, kid := range kids {
		hash = hashNumber(bits.RotateLeft64(hash, 5) ^ uint64(kid))
	}
	first, known := b.inners[hash]
	for id, ok := first, known; ok; id, ok = b.others[id] {
		if n := &b.x.nodes[id]; n.op == o && slices.Equal(b.x.kids[n.a:n.b], kids) {
			return id
		}
	}
	from := int32(len(b.x.kids))
	b.x.kids = append(b.x.kids, kids...)
	id := b.add(node{op: o, memo: -1, a: from, b: int32(len(b.x.kids))}, nil)
	if b.inners[hash] = id; known {
		b.others[id] = first
	}
	return id
}

func (b *builder) add(n node, a *Atom) int32 {
	b.x.nodes = append(b.x.nodes, n)
	b.x.atoms = append(b.x.atoms, a)
	return int32(len(b.x.nodes) - 1)
}

// sortConstants makes the dictionaries and orders of the slots, and turns comparisons into ranks.
func (b *builder) sortConstants() {
	places := make([][]int32, len(b.x.slots))
	for i := range b.x.slots {
		b.x.slots[i].dict.build()
		places[i] = b.x.slots[i].order.sort()
	}
	for i := range b.x.nodes {
		n := &b.x.nodes[i]
		if n.op < opLess {
			continue
		}
		if n.b == nothing { // NaN
			n.op, n.b = opUp, int32(b.x.slots[n.a].order.ranks())
			continue
		}
		equal := 2*places[n.a][n.b] + 1 // the rank of what equals the constant
		switch n.op {
		case opLess:
			n.op, n.b = opDown, equal-1
		case opLessEqual:
			n.op, n.b = opDown, equal
		case opGreater:
			n.op, n.b = opUp, equal+1
		case opGreaterEqual:
			n.op, n.b = opUp, equal
		}
	}
}

// finish makes of what was collected what is searched.
func (b *builder) finish() {
	x := b.x
	states := 0
	for i := range x.slots {
		sl, f := &x.slots[i], &b.finders[i]
		if len(f.onBroken) == 0 {
			continue
		}
		x.probed = append(x.probed, int32(i))
		sl.equals = newPosts(max(len(sl.dict.nums), len(sl.dict.texts)), f.equals)
		sl.ranged = len(f.ups)+len(f.downs)+len(f.intervals) > 0
		sl.ups, sl.downs = newPosts(sl.order.ranks()+1, f.ups), newPosts(sl.order.ranks(), f.downs)
		sl.intervals = newIntervals(sl.order.ranks(), f.intervals)
		for j, found := range [...][]post{f.prefixes, f.suffixes} {
			if len(found) > 0 {
				patterns, ps := b.distinct(found)
				a, places := newAffixes(patterns, j == 1)
				a.posts = newPosts(len(patterns), moved(ps, places))
				sl.affixes = append(sl.affixes, a)
			}
		}
		if len(f.contains) > 0 {
			patterns, ps := b.distinct(f.contains)
			a, places := newAutomaton(patterns)
			a.posts = newPosts(len(patterns), moved(ps, places))
			a.first = states
			states += len(a.fails)
			sl.contains = a
		}
		sl.onBroken = slices.Clip(f.onBroken)
		sl.onNull, sl.onAbsent = shared(f.onNull, f.onBroken), shared(f.onAbsent, f.onBroken)
	}
	for i := range x.nodes {
		n := &x.nodes[i]
		_, asked := b.asked[int32(i)]
		switch {
		case n.op == opOpaque || n.op == opContains || n.op == opChanged:
			if n.negated {
				n.memo = x.nodes[b.nodes[nodeKey{n.op, false, n.a, n.b}]].memo // the atom came first
				continue
			}
		case n.op != opAnd && n.op != opOr || b.uses[i] < 2 && !asked:
			continue
		}
		n.memo = int32(x.memos)
		x.memos++
	}
}

// distinct numbers the patterns among the keys of posts, and returns the posts with those numbers.
func (b *builder) distinct(ps []post) ([]string, []post) {
	var patterns []string
	numbers := map[int32]int32{}
	out := make([]post, len(ps))
	for i, p := range ps {
		n, ok := numbers[p.key]
		if !ok {
			n = int32(len(patterns))
			numbers[p.key] = n
			patterns = append(patterns, b.x.patterns[p.key])
		}
		out[i] = post{n, p.formula}
	}
	return patterns, out
}

// moved gives posts the keys that stand at their keys' places.
func moved(ps []post, places []int32) []post {
	for i := range ps {
		ps[i].key = places[ps[i].key]
	}
	return ps
}

// shared returns all if list, which is a part of it, is all of it: most lists are.
func shared(list, all []int32) []int32 {
	if len(list) == len(all) {
		return slices.Clip(all)
	}
	return slices.Clip(list)
}
