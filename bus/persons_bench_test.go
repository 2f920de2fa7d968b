package bus

import (
	"fmt"
	"testing"
)

// BenchmarkNewPersons is what the keys of 500 persons cost whom nobody has met before, on a disk that is synced, and whom everybody
// has met.
func BenchmarkNewPersons(b *testing.B) {
	for _, known := range []bool{false, true} {
		b.Run(map[bool]string{false: "new", true: "known"}[known], func(b *testing.B) {
			s, err := Open(b.Context(), Config{Source: "shop", Dir: b.TempDir(), MaxBytes: 64 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			p, err := s.Persons(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			ids, keys := make([]string, 500), make([][]byte, 500)
			for n := 0; b.Loop(); {
				for i := range ids {
					ids[i], keys[i] = fmt.Sprintf("%032x", n+i), make([]byte, 120)
				}
				if _, err := p.Create(b.Context(), ids, keys); err != nil {
					b.Fatal(err)
				}
				if !known {
					n += len(ids)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/person")
		})
	}
}
