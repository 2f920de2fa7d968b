package backtest

import (
	"math"
	"slices"
)

// sketch counts distinct hashes with bounded memory: it keeps the k smallest that it has seen. While there are fewer the
// count is exact; after that, the k-th smallest of uniform hashes tells how dense they are.
//
// Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan: Counting distinct elements in a data stream, RANDOM 2002; the unbiased
// form is from Beyer, Haas, Reinwald, Sismanis, Gemulla: On synopses for distinct-value estimation, SIGMOD 2007.
type sketch struct {
	k      int
	most   uint64 // hashes above it are of no interest; the k-th smallest once pruned
	pruned bool
	seen   map[uint64]struct{}
}

func newSketch(k int) *sketch {
	return &sketch{k: k, most: math.MaxUint64, seen: map[uint64]struct{}{}}
}

func (s *sketch) add(hash uint64) {
	if hash > s.most {
		return
	}
	s.seen[hash] = struct{}{}
	if len(s.seen) >= 2*s.k {
		s.prune()
	}
}

// prune keeps the k smallest.
func (s *sketch) prune() {
	if len(s.seen) <= s.k {
		return
	}
	all := make([]uint64, 0, len(s.seen))
	for hash := range s.seen {
		all = append(all, hash)
	}
	slices.Sort(all)
	s.most, s.pruned = all[s.k-1], true
	clear(s.seen)
	for _, hash := range all[:s.k] {
		s.seen[hash] = struct{}{}
	}
}

// merge adds what another one has seen.
func (s *sketch) merge(o *sketch) {
	if o.pruned {
		s.pruned, s.most = true, min(s.most, o.most)
	}
	for hash := range o.seen {
		s.add(hash)
	}
	if s.pruned { // what the other one still had above our bound, or we above its
		for hash := range s.seen {
			if hash > s.most {
				delete(s.seen, hash)
			}
		}
	}
	s.prune()
}

func (s *sketch) count() Count {
	s.prune()
	if !s.pruned {
		return Count{N: uint64(len(s.seen))}
	}
	n := float64(len(s.seen)-1) / (float64(s.most) / math.MaxUint64)
	return Count{N: uint64(math.Round(n)), Estimated: true}
}

// hasher is FNV-1a with a finish that makes all bits count, which a sketch needs.
type hasher uint64

func newHasher() hasher { return 14695981039346656037 }

func (h *hasher) text(s string) {
	x := uint64(*h)
	for i := range len(s) {
		x = (x ^ uint64(s[i])) * 1099511628211
	}
	*h = hasher((x ^ 0xff) * 1099511628211) // so that "a","bc" is not "ab","c"
}

func (h *hasher) number(n uint64) {
	*h = hasher(mix(uint64(*h) ^ mix(n)))
}

func (h hasher) sum() uint64 { return mix(uint64(h)) }

// mix is the finish of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
