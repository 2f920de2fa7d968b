package match

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// order holds the constants that a slot is ordered with, in their order, and finds the place of a value among them.
type order struct {
	of    constants
	nums  []uint64 // numbers; of texts their heads; of decimals their multiples of 10^-scale, if all have one
	texts []string
	scale int
}

// ranks returns how many ranks there are.
func (o *order) ranks() int { return 2*max(len(o.nums), len(o.texts)) + 1 }

// sort puts the constants in order and returns the place of each.
func (o *order) sort() []int32 {
	by := make([]int32, max(len(o.nums), len(o.texts)))
	for i := range by {
		by[i] = int32(i)
	}
	slices.SortFunc(by, func(a, b int32) int {
		switch o.of {
		case numbers:
			return cmp.Compare(o.nums[a], o.nums[b])
		case plainTexts:
			return strings.Compare(o.texts[a], o.texts[b])
		}
		return compareDecimals(o.texts[a], o.texts[b])
	})
	places := make([]int32, len(by))
	for place, c := range by {
		places[c] = int32(place)
	}
	o.nums, o.texts = picked(o.nums, by), picked(o.texts, by)
	switch o.of {
	case plainTexts:
		for _, t := range o.texts {
			o.nums = append(o.nums, head(t))
		}
	case decimals:
		o.scaleDecimals()
	}
	return places
}

func picked[T any](from []T, by []int32) []T {
	if from == nil {
		return nil
	}
	out := make([]T, len(by))
	for i, c := range by {
		out[i] = from[c]
	}
	return out
}

// rank returns the place of a value among the constants in order: 2i+1 if it equals the i-th, 2i if it stands right
// before it, twice their number if it stands behind all.
func (o *order) rank(v *view) int32 {
	switch o.of {
	case numbers:
		return o.rankNumber(v.num)
	case plainTexts:
		return o.rankText(v.text)
	}
	return o.rankDecimal(v.text)
}

func (o *order) rankNumber(num uint64) int32 {
	i := below(o.nums, num)
	if i < len(o.nums) && o.nums[i] == num {
		return int32(2*i + 1)
	}
	return int32(2 * i)
}

// below returns how many numbers of a list in order are less than num.
func below(nums []uint64, num uint64) int {
	i, n := 0, len(nums)
	if n > few && (num <= nums[0] || num > nums[n-1]) { // most values are beyond all thresholds
		if num <= nums[0] {
			return 0
		}
		return n
	}
	for n > 1 { // the answer is from i to i+n
		half := n >> 1
		if nums[i+half-1] < num {
			i += half
		}
		n -= half
	}
	if n == 1 && nums[i] < num {
		i++
	}
	return i
}

// rankText finds the texts with the same head by number, and compares only those.
func (o *order) rankText(s string) int32 {
	from, to := alike(o.nums, head(s))
	i, equal := slices.BinarySearch(o.texts[from:to], s)
	if equal {
		return int32(2*(from+i) + 1)
	}
	return int32(2 * (from + i))
}

// alike returns where the heads that equal h begin and end.
func alike(heads []uint64, h uint64) (from, to int) {
	from = below(heads, h)
	switch {
	case from == len(heads) || heads[from] != h:
		return from, from
	case h == 1<<64-1:
		return from, len(heads)
	}
	return from, from + below(heads[from:], h+1)
}

// head is the first eight bytes of a text as a number: texts in order have heads in order.
func head(s string) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64([]byte(s[:8]))
	}
	var h uint64
	for i := range len(s) {
		h |= uint64(s[i]) << (56 - 8*i)
	}
	return h
}

// maxSteps is how many steps of 10^-scale a decimal's number does not tell any more.
const maxSteps = 1 << 60

// scaleDecimals gives all constants numbers, if that is possible.
func (o *order) scaleDecimals() {
	for _, t := range o.texts {
		_, _, fraction := decimalParts(t)
		o.scale = max(o.scale, len(fraction))
	}
	nums := make([]uint64, len(o.texts))
	for i, t := range o.texts {
		num, exact := decimalNumber(t, o.scale)
		if !exact {
			return
		}
		nums[i] = num
	}
	o.nums = nums
}

// rankDecimal searches by number, or by text if a number cannot tell.
func (o *order) rankDecimal(s string) int32 {
	if o.nums != nil {
		if num, _ := decimalNumber(s, o.scale); num != 0 {
			return o.rankNumber(num)
		}
	}
	i, equal := slices.BinarySearchFunc(o.texts, s, compareDecimals)
	if equal {
		return int32(2*i + 1)
	}
	return int32(2 * i)
}

// decimalNumber returns a number for a decimal, such that the numbers of decimals have their order: the even numbers are
// the multiples of 10^-scale, the odd ones stand for all that is between two of them, and what is too large is all one.
// It is exact for multiples that are not too large. It returns 0 for what is not a decimal.
func decimalNumber(s string, scale int) (num uint64, exact bool) {
	digits := s
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		digits = s[1:]
	}
	if digits == "" {
		return 0, false
	}
	var steps, rest uint64
	left := -1 // how many digits after the point are steps; -1 before the point
	for i := range len(digits) {
		d := uint64(digits[i] - '0')
		switch {
		case digits[i] == '.' && left < 0:
			left = scale
			continue
		case d > 9:
			return 0, false
		case left == 0:
			rest |= d
			continue
		case left > 0:
			left--
		}
		steps = min(steps*10+d, maxSteps)
	}
	if left < 0 {
		left = scale
	}
	for ; left > 0; left-- {
		steps = min(steps*10, maxSteps)
	}
	num = 2 * steps
	if rest != 0 {
		num++
	}
	if steps == maxSteps {
		num = 2 * maxSteps
	}
	if negative {
		num = -num
	}
	return num ^ 1<<63, rest == 0 && steps < maxSteps
}
