package fuzz

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func binlogSeeds(f *testing.F) [][]byte {
	f.Helper()
	var seeds [][]byte
	for _, name := range []string{"mariadb", "mysql", "mariadb-unchecked", "mysql-unchecked"} {
		log, err := os.ReadFile(filepath.Join("testdata", "binlog", name+".binlog"))
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, log)
	}
	return seeds
}

// readBinlog reads one file from the checkpoint on and checks each frame.
func readBinlog(t *testing.T, path string, from cdc.Checkpoint) (events int, last cdc.Checkpoint, err error) {
	t.Helper()
	source, err := mysql.Files(mysql.Config{Name: "fuzz", Tables: []string{"*.*"}, FrameRows: 2}, path)
	if err != nil {
		return 0, last, err
	}
	last = from
	err = source.Run(t.Context(), from, func(_ context.Context, b *cdc.Batch) error {
		if err := b.Verify(); err != nil {
			t.Errorf("frame: %v", err)
		}
		for i := range b.Len() {
			cdc.AppendEvent(nil, b.Event(i))
		}
		events += b.Len()
		last = b.Checkpoint()
		return nil
	})
	return events, last, err
}

// FuzzBinlog: whatever a binlog file holds, it is read or refused; and where it was read to its end, going on from there
// finds nothing more, or is refused with a code.
func FuzzBinlog(f *testing.F) {
	for _, seed := range binlogSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		path := filepath.Join(t.TempDir(), "binlog.000001")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		_, last, err := readBinlog(t, path, cdc.Checkpoint{})
		if err != nil || last.Flavor == "" {
			return
		}
		n, _, err := readBinlog(t, path, last)
		var coded *cdc.Error
		if n != 0 || err != nil && !errors.As(err, &coded) {
			t.Errorf("after the end there are %d more events, error %v", n, err)
		}
	})
}
