package fuzz

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// FuzzGTIDSet: a checkpoint with any text for its GTID set is understood or refused.
func FuzzGTIDSet(f *testing.F) {
	for _, set := range []string{"", "0-1-5", "0-1-5,1-2-18446744073709551615", "d244ea6f-e567-11f1-a142-02fc00000001:1-5:7",
		"d244ea6f-e567-11f1-a142-02fc00000001:1-5:blue:1-3,\ne244ea6f-e567-11f1-a142-02fc00000001:1", "0-0", ":", "x:1-",
		"d244ea6f-e567-11f1-a142-02fc00000001:1-9223372036854775806", "d244ea6f-e567-11f1-a142-02fc00000001:1-9223372036854775807",
		"d244ea6f-e567-11f1-a142-02fc00000001:BLUE:1:red:5-9:blue:2-3:1", "4294967295-4294967295-18446744073709551615,0-1-1,0-2-1",
		manyTags(500), manyIntervals(500)} {
		f.Add(set, false)
		f.Add(set, true)
	}
	dir := filepath.Join("testdata", "binlog")
	f.Fuzz(func(t *testing.T, set string, mariadb bool) {
		flavor := "mysql"
		if mariadb {
			flavor = "mariadb"
		}
		from := cdc.Checkpoint{Flavor: flavor, GTIDSet: set, NextNo: 5, PartNos: []uint64{5}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		events, last, err := readBinlog(t, filepath.Join(dir, flavor+".binlog"), from)
		runtime.ReadMemStats(&after)
		if err == nil && last.NextNo != 5+uint64(events) {
			t.Errorf("%d events, checkpoint %+v", events, last)
		}
		// What a set takes grows with its text, not with the numbers in it. It is written once per transaction.
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+len(set)*40_000); got > most {
			t.Errorf("a set of %d bytes took %d bytes of memory, want at most %d", len(set), got, most)
		}
		if err != nil || last.GTIDSet == "" {
			return
		}
		again, next, err := readBinlog(t, filepath.Join(dir, flavor+".binlog"), last) // what was written can be read
		var coded *cdc.Error
		if err != nil && (!errors.As(err, &coded) || coded.Code == "CDCD-1302") {
			t.Errorf("the checkpoint %+v: %v", last, err)
		}
		if err == nil && (again != 0 || next.GTIDSet != last.GTIDSet) {
			t.Errorf("the checkpoint %+v read again gives %d events, %+v", last, again, next)
		}
	})
}

func manyTags(n int) string {
	var b strings.Builder
	b.WriteString("d244ea6f-e567-11f1-a142-02fc00000001")
	for i := range n {
		fmt.Fprintf(&b, ":tag%d:%d", i, i+1)
	}
	return b.String()
}

func manyIntervals(n int) string {
	var b strings.Builder
	b.WriteString("d244ea6f-e567-11f1-a142-02fc00000001")
	for i := range n {
		fmt.Fprintf(&b, ":%d", 2*(n-i))
	}
	return b.String()
}
