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

// What is used again comes from a pool, which forgets things on purpose when the race detector looks.
func TestRenderingDoesNotAllocate(t *testing.T) {
	b := open(t, golden[0].spec.build(new(cdc.Builder)), nil)
	dst := make([]byte, 0, 1<<16)
	edits := &cdc.Edits{Columns: []cdc.ColumnEdit{{Column: "a", Drop: true}, {Column: "b", Value: cdc.NullValue()}}, Tags: []string{"x", "y"}, Reason: "why"}
	d := cdc.Decision{Matches: []cdc.RuleMatch{{Name: "r", To: []string{"acme"}}, {Name: "f", To: []string{"acme"}, Edits: edits}}}
	for i := range b.Len() {
		d.Event = b.Event(i)
		n := 1.0
		for range 5 { // the runtime allocates too, now and then
			n = min(n, testing.AllocsPerRun(100, func() { dst = cdc.AppendRecord(dst[:0], "acme", &d) }))
		}
		if n != 0 {
			t.Errorf("event %d allocates %v times", i, n)
		}
	}
}
