//go:build !race

package cdc_test

import (
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// The race detector's build allocates where the ordinary one does not.
func TestCopyColumnsDoesNotAllocate(t *testing.T) {
	_, row := projected(t)
	columns := []int{4, 0, -1}
	var w cdc.Builder
	var frame []byte
	if n := testing.AllocsPerRun(100, func() {
		w.Recycle(frame)
		w.Reset(cdc.Header{})
		for range 50 {
			w.CopyColumns(row, columns)
		}
		frame = w.Seal(cdc.Checkpoint{})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
