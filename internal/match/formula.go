package match

import "github.com/cdcd-project/cdcd/cdc"

// Truth is a value of strong Kleene logic: what an expression gives when it may also fail. In this order And is the
// minimum and Or the maximum, which is what CEL's && and || do.
type Truth uint8

// The three values.
const (
	False Truth = iota
	Failed
	True
)

// Not returns the negation: a failure stays one.
func (t Truth) Not() Truth { return True - t }

// Image says which of an event's two row images an atom looks at.
type Image uint8

// The images.
const (
	Before Image = iota
	After
)

// Derived says what is done with a column's value before it is compared.
type Derived uint8

// The derivations. NULL stays NULL in Itself and Civil; the others have no text then, and every test on them fails.
const (
	Itself  Derived = iota
	Lower           // a text with its ASCII letters in lower case; all other bytes stay
	Upper           // a text with its ASCII letters in upper case
	Trimmed         // a text without white space around it
	Folded          // a text without the difference of cases, see AppendFolded
	Civil           // a date, time or datetime as text, the way it is delivered
)

// Slot is a value of the event that atoms look at.
type Slot struct {
	Image   Image
	Column  int
	Derived Derived
}

// Test says what an atom asks of its slot.
type Test uint8

// The tests. What they give for values that are not plain is part of what they are: on a column that is not in the row
// image, or whose value is not of the column's kind, all but Present fail; on NULL, Equal and In are false, Null is true
// and the others but Changed fail; NaN is equal to nothing and neither smaller nor larger than anything, so that x < 1 is
// not the opposite of x >= 1. Numbers, bools, civil values and timestamps are ordered as such (a zero date comes before
// all others), decimals by value, texts and bytes by their bytes.
const (
	Equal        Test = iota // slot == Const
	In                       // slot in Consts
	Less                     // slot < Const
	LessEqual                // slot <= Const
	Greater                  // slot > Const
	GreaterEqual             // slot >= Const
	Prefix                   // slot, a text, begins with Const
	Suffix                   // slot, a text, ends with Const
	Contains                 // slot, a text, contains Const
	Null                     // slot == null
	Present                  // the column is in the row image
	Changed                  // the column differs between the images, both of which are there; the slot's image does not matter
	Opaque                   // asked of the caller, by number
)

// Atom is a question about one event. Atoms that ask the same are one in an index.
type Atom struct {
	Test   Test
	Slot   Slot
	Const  cdc.Value   // of the column's kind, or a string for a derived slot; never NULL
	Consts []cdc.Value // of In
	Number int         // of Opaque
}

// Op says how a formula is put together.
type Op uint8

// The ways.
const (
	Leaf Op = iota
	And
	Or
	Always // Value, whatever the event
)

// Formula is a condition in negation normal form: only leaves are negated. It must not be changed once it is in an index.
type Formula struct {
	Op      Op
	Kids    []*Formula // of And and Or
	Atom    *Atom      // of Leaf
	Negated bool       // of Leaf
	Value   Truth      // of Always
}
