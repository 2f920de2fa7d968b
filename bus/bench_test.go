package bus

import (
	"context"
	"fmt"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// rowSize is about the size of a row of 12 columns in a frame.
const rowSize = 300

func BenchmarkPublish(b *testing.B) {
	for _, rows := range []int{1, 256, 1024} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := open(b, Config{Dir: b.TempDir(), MaxBytes: 40 << 30})
			p, f := begin(b, s)
			batch := f.frame(b, rows, rowSize-50) // its numbers do not matter to the publisher
			b.SetBytes(int64(len(batch.Frame())))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := p.Handle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			flush(b, p)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkConsume(b *testing.B) {
	for _, rows := range []int{256, 1024} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := open(b, Config{Dir: b.TempDir(), MaxBytes: 40 << 30, AllowUnsynced: true})
			p, f := begin(b, s)
			for range b.N {
				publish(b, p, f.frame(b, rows, rowSize-50))
			}
			flush(b, p)
			b.ReportAllocs()
			b.ResetTimer()
			ctx, cancel := context.WithCancel(b.Context())
			n := 0
			s.Consume(ctx, 0, func(_ context.Context, batch *cdc.Batch) error {
				if n == 0 {
					b.SetBytes(int64(len(batch.Frame())))
				}
				if n++; n == b.N {
					cancel()
				}
				return nil
			})
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(n*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
