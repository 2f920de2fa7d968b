package fuzz

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// Whatever single byte of a binlog file is wrong: with checksums it is noticed or means nothing, and without them it
// neither ends the process nor takes memory that the file does not fill.
func TestFilesWithAWrongByte(t *testing.T) {
	const most = 48 << 20
	for _, name := range []string{"mariadb", "mysql", "mariadb-unchecked", "mysql-unchecked"} {
		t.Run(name, func(t *testing.T) {
			log, err := os.ReadFile(filepath.Join("testdata", "binlog", name+".binlog"))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "binlog.000001")
			want, err := fileEvents(t, path, log)
			if err != nil || len(want) == 0 {
				t.Fatal(len(want), err)
			}
			for at := 4; at < len(log); at++ {
				flip := [...]byte{0xff, 1 << (at / 2 % 8)}[at%2]
				wrong := slices.Clone(log)
				wrong[at] ^= flip
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got, err := fileEvents(t, path, wrong)
				runtime.ReadMemStats(&after)
				if took := after.TotalAlloc - before.TotalAlloc; took > most {
					t.Errorf("byte %d with %#x: took %d bytes; %v", at, flip, took, err)
				}
				if err == nil && !strings.HasSuffix(name, "unchecked") && !slices.Equal(got, want) {
					t.Errorf("byte %d with %#x: other events: %s", at, flip, got)
				}
			}
		})
	}
}

func fileEvents(t *testing.T, path string, log []byte) (events []string, err error) {
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := mysql.Files(mysql.Config{Name: "fuzz", Tables: []string{"*.*"}}, path)
	if err != nil {
		return nil, err
	}
	err = source.Run(t.Context(), cdc.Checkpoint{}, func(_ context.Context, b *cdc.Batch) error {
		for i := range b.Len() {
			events = append(events, string(cdc.AppendEvent(nil, b.Event(i))))
		}
		return nil
	})
	return events, err
}
