package wasm

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// plain returns testdata/plain.wasm as a plugin that reads so many columns.
func plain(t testing.TB, columns int) []byte {
	t.Helper()
	module, err := os.ReadFile("testdata/plain.wasm")
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, columns)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprint("c", i))
	}
	module, err = AppendManifest(module, fmt.Appendf(nil, `{"abi": "cdc1", "name": "plain", "version": "1.0.0", "columns": [%s]}`, strings.Join(names, ",")))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// rows returns updates of a table of 16 columns, integers and texts in turn.
func rows(t testing.TB, n int) []cdc.Event {
	t.Helper()
	table := &cdc.Table{Schema: "shop", Name: "items"}
	for i := range 16 {
		kind := cdc.KindInt64
		if i%2 == 1 {
			kind = cdc.KindString
		}
		table.Columns = append(table.Columns, cdc.Column{Name: fmt.Sprint("c", i), Kind: kind})
	}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	number := w.AddTable(table)
	for e := range n {
		tx := w.AddTx(cdc.Tx{CommitTime: clock})
		var images [2]uint32
		for k := range images {
			w.BeginRow(16)
			for i := range 16 {
				if i%2 == 1 {
					w.SetText(i, cdc.KindString, "some text")
				} else {
					w.SetInt(i, int64(e%100+k))
				}
			}
			images[k] = w.EndRow()
		}
		w.AddEvent(cdc.EventInfo{No: uint64(e), Tx: tx, Table: number, Op: cdc.OpUpdate, Before: images[0], After: images[1]})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = b.Event(i)
	}
	return events
}

// BenchmarkJudge is what an event costs, all in: projecting it, the plugin's own work, and taking down its verdict.
func BenchmarkJudge(b *testing.B) {
	for _, columns := range []int{1, 3, 12} {
		f := filter(b, load(b, newHost(b, Config{}), plain(b, columns), Limits{}), "")
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("columns=%d/batch=%d", columns, n), func(b *testing.B) {
				events := rows(b, n)
				verdicts := make([]cdc.Verdict, n)
				b.ReportAllocs()
				began := cpuTime()
				for b.Loop() {
					if err := f.Judge(b.Context(), events, verdicts); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
				b.ReportMetric(float64(cpuTime()-began)/float64(b.N*n), "cpu-ns/event")
			})
		}
	}
}

// cpuTime is what the process has used of processors, which a machine that does other things, too, does not change much.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
