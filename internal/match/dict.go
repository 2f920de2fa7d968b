package match

import (
	"hash/maphash"
	"math/bits"
)

// dict finds which of a slot's constants a value equals: a hash table with open addressing, at most half full, which
// probes one entry after the other. Constants are numbers, or texts, or decimals, which are texts that are equal by value.
type dict struct {
	of      constants
	nums    []uint64
	texts   []string
	entries []entry // empty if there are so few constants that all are compared
}

// constants says what a slot's constants are.
type constants uint8

const (
	numbers constants = iota
	plainTexts
	decimals
)

type entry struct {
	key uint64 // the number, or the hash of the text
	c   int32  // the constant's number and 1; 0 if the entry is empty
}

// few is how many constants are compared one by one.
const few = 3

var seed = maphash.MakeSeed()

// hashBits is what is kept of a hash. Tests set it to 0 to make everything collide.
var hashBits uint64 = 1<<64 - 1

func hashNumber(n uint64) uint64 {
	hi, lo := bits.Mul64(n^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
	return (hi ^ lo) & hashBits
}

func hashText(s string) uint64 { return maphash.String(seed, s) & hashBits }

// hashDecimal gives decimals of the same value the same hash.
func hashDecimal(s string) uint64 {
	sign, whole, fraction := decimalParts(s)
	return (maphash.String(seed, whole) + bits.RotateLeft64(maphash.String(seed, fraction), 32) + uint64(sign)) & hashBits
}

// build makes the table of the constants.
func (d *dict) build() {
	n := max(len(d.nums), len(d.texts))
	if n <= few {
		return
	}
	d.entries = make([]entry, 1<<bits.Len(uint(2*n-1)))
	for c := range n {
		var key, hash uint64
		switch d.of {
		case numbers:
			key, hash = d.nums[c], hashNumber(d.nums[c])
		case plainTexts:
			hash = hashText(d.texts[c])
			key = hash
		default:
			hash = hashDecimal(d.texts[c])
			key = hash
		}
		i := hash
		for ; d.entries[i&d.mask()].c != 0; i++ {
		}
		d.entries[i&d.mask()] = entry{key, int32(c) + 1}
	}
}

func (d *dict) mask() uint64 { return uint64(len(d.entries) - 1) }

// find returns the constant that a value equals, or -1.
func (d *dict) find(v *view) int32 {
	if d.of == numbers {
		return d.findNumber(v.num)
	}
	return d.findText(v.text)
}

func (d *dict) findNumber(n uint64) int32 {
	if len(d.entries) == 0 {
		for c, num := range d.nums {
			if num == n {
				return int32(c)
			}
		}
		return -1
	}
	for i := hashNumber(n); ; i++ {
		e := &d.entries[i&d.mask()]
		if e.key == n || e.c == 0 {
			return e.c - 1
		}
	}
}

func (d *dict) findText(s string) int32 {
	if len(d.entries) == 0 {
		for c, text := range d.texts {
			if text == s || d.of == decimals && compareDecimals(text, s) == 0 {
				return int32(c)
			}
		}
		return -1
	}
	var hash uint64
	if d.of == plainTexts {
		hash = hashText(s)
	} else {
		hash = hashDecimal(s)
	}
	for i := hash; ; i++ {
		e := &d.entries[i&d.mask()]
		if e.c == 0 {
			return -1
		}
		if e.key == hash {
			if text := d.texts[e.c-1]; text == s || d.of == decimals && compareDecimals(text, s) == 0 {
				return e.c - 1
			}
		}
	}
}
