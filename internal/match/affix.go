package match

import (
	"encoding/binary"
	"slices"
	"strings"
)

// affixes finds which of many texts a value begins with, or ends with. They are in order, so that all that a value begins
// with lie on one chain: of two texts that a value begins with, the shorter is the beginning of the longer, and any text
// in between in the order begins with it too.
type affixes struct {
	ends    bool // the value ends with them; they are kept and compared from back to front
	heads   []uint64
	texts   []string
	parents []int32 // the longest other that a text begins with, or -1
	posts   posts
}

// newAffixes takes distinct texts and returns the place of each.
func newAffixes(given []string, ends bool) (*affixes, []int32) {
	by := make([]int32, len(given))
	a := &affixes{ends: ends, texts: make([]string, len(given)), parents: make([]int32, len(given))}
	flipped := slices.Clone(given)
	for i := range by {
		by[i] = int32(i)
		if ends {
			flipped[i] = flip(given[i])
		}
	}
	slices.SortFunc(by, func(x, y int32) int { return strings.Compare(flipped[x], flipped[y]) })
	places := make([]int32, len(given))
	for place, i := range by {
		t := flipped[i]
		a.texts[place] = t
		a.heads = append(a.heads, head(t))
		places[i] = int32(place)
		parent := int32(place) - 1
		for parent >= 0 && !strings.HasPrefix(t, a.texts[parent]) {
			parent = a.parents[parent]
		}
		a.parents[place] = parent
	}
	return a, places
}

func flip(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// longest returns the longest text that a value begins or ends with, or -1; its parents are the others.
func (a *affixes) longest(s string) int32 {
	// The last text that does not come after the value begins with all texts that the value begins with.
	i, n := alike(a.heads, a.head(s))
	for i < n {
		if half := (i + n) / 2; a.compare(a.texts[half], s) <= 0 {
			i = half + 1
		} else {
			n = half
		}
	}
	at := int32(i) - 1
	if at < 0 {
		return -1
	}
	common := a.common(a.texts[at], s)
	for at >= 0 && len(a.texts[at]) > common {
		at = a.parents[at]
	}
	return at
}

// head is head of a value, read in the direction of the texts.
func (a *affixes) head(s string) uint64 {
	if !a.ends {
		return head(s)
	}
	if n := len(s); n >= 8 {
		return binary.LittleEndian.Uint64([]byte(s[n-8:]))
	}
	var h uint64
	for i := range len(s) {
		h |= uint64(s[len(s)-1-i]) << (56 - 8*i)
	}
	return h
}

// common returns how many bytes a text and a value have in common from where they begin.
func (a *affixes) common(text, s string) int {
	n := min(len(text), len(s))
	for i := range n {
		c := s[i]
		if a.ends {
			c = s[len(s)-1-i]
		}
		if text[i] != c {
			return i
		}
	}
	return n
}

// compare orders a text and a value.
func (a *affixes) compare(text, s string) int {
	n := a.common(text, s)
	switch {
	case n == len(text) && n == len(s):
		return 0
	case n == len(text):
		return -1
	case n == len(s):
		return 1
	}
	c := s[n]
	if a.ends {
		c = s[len(s)-1-n]
	}
	if text[n] < c {
		return -1
	}
	return 1
}
