package match

import (
	"math"
	"math/bits"
	"strings"
	"unsafe"

	"github.com/cdcd-project/cdcd/cdc"
)

// slot is what an index knows of a value that atoms look at.
type slot struct {
	image   Image
	derived Derived
	from    cdc.Kind // of the column
	kind    cdc.Kind // of its values, as derived
	ranged  bool     // there are ups, downs or intervals
	whole   bool     // its values are whole numbers,
	flip    uint64   // whose order is that of their bits with these exchanged
	column  int

	dict  dict  // the constants that it is compared with for equality
	order order // the constants that it is ordered with

	// What finds witnesses: the formulas by constant, by rank and by pattern, and those that have a witness here which is
	// not False though there is no plain value.
	equals    posts
	ups       posts // by lowest rank
	downs     posts // by highest rank
	intervals intervals
	affixes   []*affixes
	contains  *automaton

	onNull, onAbsent, onBroken []int32

	of cdc.Column
}

// state says what a slot has for an event.
type state uint8

const (
	isValue     state = iota
	isUnordered       // NaN
	isNull            // NULL
	isBlank           // NULL where only a text could be derived from
	isAbsent          // the column is not in the row image
	isBroken          // the value is not of the column's kind
)

// view is what is known of a slot's value within an event.
type view struct {
	epoch uint32
	state state
	known known
	c     int32  // the constant that it equals, -1 for none, once that is known
	r     int32  // its rank, once that is known
	num   uint64 // what is not text, in an order that is that of the values
	text  string
}

type known uint8

const (
	constantKnown known = 1 << iota
	rankKnown
)

// look returns the view of a slot, which it reads at most once per event.
func (x *Index) look(s *Scratch, i int32) *view {
	v := &s.views[i]
	if v.epoch != s.epoch {
		v.epoch = s.epoch
		v.known = 0
		v.state = x.slots[i].read(s, i, v)
	}
	return v
}

// read reads the slot's value into its view.
func (sl *slot) read(s *Scratch, i int32, v *view) state {
	value := s.rows[sl.image].Value(sl.column)
	switch k := value.Kind(); {
	case k == sl.from && sl.whole:
		v.num = value.Uint64() ^ sl.flip
		return isValue
	case k == sl.from:
		return sl.derive(s, i, v, value)
	case k == cdc.KindNull && (sl.derived == Itself || sl.derived == Civil):
		return isNull
	case k == cdc.KindNull:
		return isBlank
	case k == cdc.KindAbsent && s.rows[sl.image].Kind(sl.column) == cdc.KindAbsent:
		return isAbsent
	}
	return isBroken
}

// derive puts into the view what is derived from a value of the column's kind.
func (sl *slot) derive(s *Scratch, i int32, v *view, value cdc.Value) state {
	switch sl.derived {
	case Itself:
		if n, st := ordered(value); st != isText {
			v.num = n
			return st
		}
		v.text = value.Text()
	case Trimmed:
		v.text = strings.TrimSpace(value.Text())
	default:
		b := s.buffers[i][:0]
		switch sl.derived {
		case Lower:
			b = appendLower(b, value.Text())
		case Upper:
			b = appendUpper(b, value.Text())
		case Folded:
			b = AppendFolded(b, value.Text())
		case Civil:
			b = cdc.AppendJSON(b, &sl.of, value)
		}
		s.buffers[i] = b
		if sl.derived == Civil {
			b = b[1 : len(b)-1]
		}
		v.text = unsafe.String(unsafe.SliceData(b), len(b)) // until the end of the event
	}
	s.texts = append(s.texts, i)
	return isValue
}

// isText is what ordered says of values that are text.
const isText state = math.MaxUint8

// ordered returns a number for a value that is not text, such that the numbers of values of one kind have their order.
func ordered(v cdc.Value) (uint64, state) {
	switch v.Kind() {
	case cdc.KindBool:
		return uint64(ordinal(v.Bool())), isValue
	case cdc.KindInt64, cdc.KindTime:
		return signFlipped(v.Int64()), isValue
	case cdc.KindTimestamp:
		if v.Int64() == 0 { // the zero date
			return signFlipped(zeroDate), isValue
		}
		return signFlipped(v.Int64()), isValue
	case cdc.KindUint64, cdc.KindBit, cdc.KindDate, cdc.KindDatetime:
		return v.Uint64(), isValue
	case cdc.KindFloat64:
		f := v.Float64()
		if f != f {
			return 0, isUnordered
		}
		n := math.Float64bits(f + 0) // -0 + 0 is 0
		if n>>63 != 0 {
			return ^n, isValue
		}
		return n | 1<<63, isValue
	}
	return 0, isText
}

func signFlipped(n int64) uint64 { return uint64(n) ^ 1<<63 }

// zeroDate is the instant that a zero date stands for, in microseconds since 1970: the beginning of year 1.
const zeroDate = -62135596800_000_000

// constant returns the constant that a value equals, or -1.
func (sl *slot) constant(v *view) int32 {
	if v.known&constantKnown == 0 {
		v.known |= constantKnown
		v.c = sl.dict.find(v)
	}
	return v.c
}

// rank returns a value's place among the constants in order: 2i+1 if it equals the i-th, 2i if it stands before it.
func (sl *slot) rank(v *view) int32 {
	if v.known&rankKnown == 0 {
		v.known |= rankKnown
		v.r = sl.order.rank(v)
	}
	return v.r
}

func affixed(o op, text, pattern string) bool {
	switch o {
	case opPrefix:
		return strings.HasPrefix(text, pattern)
	case opSuffix:
		return strings.HasSuffix(text, pattern)
	}
	return strings.Contains(text, pattern)
}

// posts are lists of formulas, by a key from 0.
type posts struct {
	at   []int32 // where the list of each key begins, and the end
	list []int32
}

// post says that a list holds a formula.
type post struct{ key, formula int32 }

// newPosts makes lists for n keys, in the order in which the formulas come.
func newPosts(n int, ps []post) posts {
	if len(ps) == 0 {
		return posts{}
	}
	p := posts{at: make([]int32, n+1), list: make([]int32, len(ps))}
	for _, one := range ps {
		p.at[one.key+1]++
	}
	for i := range n {
		p.at[i+1] += p.at[i]
	}
	next := append([]int32(nil), p.at[:n]...)
	for _, one := range ps {
		p.list[next[one.key]] = one.formula
		next[one.key]++
	}
	return p
}

// intervals are lists of formulas by the node of a segment tree over the ranks: node 1 is all ranks, nodes 2n and 2n+1
// are the halves of node n, and an interval is entered at the few nodes of which it consists.
type intervals struct {
	posts
	leaves int32   // a power of two: the node of rank 0
	wider  []int32 // of each node: the next one above it that has formulas, or 0
}

func newIntervals(ranks int, ps []post) intervals {
	if len(ps) == 0 {
		return intervals{}
	}
	t := intervals{leaves: leaves(ranks)}
	t.posts = newPosts(2*int(t.leaves), ps)
	t.wider = make([]int32, 2*t.leaves)
	for at := int32(2); at < 2*t.leaves; at++ {
		if above := at >> 1; t.at[above] < t.at[above+1] {
			t.wider[at] = above
		} else {
			t.wider[at] = t.wider[above]
		}
	}
	return t
}

// containing returns the smallest node with formulas that contains a rank, or 0.
func (t *intervals) containing(rank int32) int32 {
	if t.list == nil {
		return 0
	}
	at := t.leaves + rank
	if t.at[at] < t.at[at+1] {
		return at
	}
	return t.wider[at]
}

// leaves returns how many leaves a segment tree over so many ranks has.
func leaves(ranks int) int32 { return 1 << bits.Len(uint(ranks-1)) }

func (p *posts) of(key int32) []int32 { return p.list[p.at[key]:p.at[key+1]] }

// through returns the formulas of all keys up to one.
func (p *posts) through(key int32) []int32 {
	if p.list == nil {
		return nil
	}
	return p.list[:p.at[key+1]]
}

// from returns the formulas of all keys from one.
func (p *posts) from(key int32) []int32 {
	if p.list == nil {
		return nil
	}
	return p.list[p.at[key]:]
}
