package fuzz

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// FuzzGTIDSet: a checkpoint with any text for its GTID set is understood or refused.
func FuzzGTIDSet(f *testing.F) {
	for _, set := range []string{"", "0-1-5", "0-1-5,1-2-18446744073709551615", "d244ea6f-e567-11f1-a142-02fc00000001:1-5:7",
		"d244ea6f-e567-11f1-a142-02fc00000001:1-5:blue:1-3,\ne244ea6f-e567-11f1-a142-02fc00000001:1", "0-0", ":", "x:1-"} {
		f.Add(set, false)
		f.Add(set, true)
	}
	dir := f.TempDir()
	for i, seed := range binlogSeeds(f) {
		if err := os.WriteFile(filepath.Join(dir, []string{"mariadb", "mysql"}[i]), seed, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, set string, mariadb bool) {
		flavor := "mysql"
		if mariadb {
			flavor = "mariadb"
		}
		from := cdc.Checkpoint{Flavor: flavor, GTIDSet: set, NextNo: 5, PartNos: []uint64{5}}
		events, last, err := readBinlog(t, filepath.Join(dir, flavor), from)
		if err == nil && last.NextNo != 5+uint64(events) {
			t.Errorf("%d events, checkpoint %+v", events, last)
		}
	})
}
