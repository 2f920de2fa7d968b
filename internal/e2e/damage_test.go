package e2e

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// Blocks of the embedded stream are damaged before a feed has read them. The server drops what stands behind the damage in the
// block and carries on. What was at the stream's end is captured again; where frames are missing in the middle, delivery stops,
// says what is missing and what to do, and delivers nothing of what comes behind.
func TestADamagedStreamIsNoticed(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger")
	flip := func(t *testing.T, name string) { tamper(t, name) }
	truncate := func(t *testing.T, name string) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, info.Size()/2); err != nil {
			t.Fatal(err)
		}
	}
	for i, test := range []struct {
		name   string
		damage func(*testing.T, string)
		end    bool // of the last block, otherwise of the first
		clean  bool // cdcd was stopped, and not killed
	}{
		{"a flipped bit in the middle, after a kill", flip, false, false},
		{"a flipped bit in the middle, after a stop", flip, false, true},
		{"a file cut off in the middle, after a kill", truncate, false, false},
		{"a file cut off in the middle, after a stop", truncate, false, true},
		{"a flipped bit at the end", flip, true, false},
		{"a file cut off at the end", truncate, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Every case has a table of its own; rows that do not compress fill several blocks.
			table := fmt.Sprintf("t%d", i)
			db.Exec(t, "CREATE TABLE ledger."+table+" (id INT PRIMARY KEY, b LONGBLOB NOT NULL)")
			d := deploy(t, db, options{rotate: "{every: 1h, rows: 100000, bytes: 64MiB}"})
			config := strings.Replace(read(t, filepath.Join(d.dir, "cdcd.yaml")), "tables: [ledger.*]", "tables: [ledger."+table+"]", 1)
			write(t, filepath.Join(d.dir, "cdcd.yaml"), config)
			d.start(t)
			d.capturing(t)
			const rows = 24
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for id := range rows {
				db.Exec(t, fmt.Sprintf("INSERT INTO ledger.%s VALUES (%d, x'%s')", table, id, noise(random, 1_000_000)))
			}
			await(t, d, "all is captured", func() bool {
				s, _ := d.status(t)
				return s.Capture.Rows == rows
			})
			if test.clean {
				d.stop(t)
			} else {
				d.kill()
			}
			blocks, err := filepath.Glob(filepath.Join(d.dir, "cdcd-data/jetstream/jetstream/$G/streams/CDC_ledger/msgs/*.blk"))
			if err != nil || len(blocks) < 2 {
				t.Fatalf("blocks: %q, %v", blocks, err)
			}
			slices.SortFunc(blocks, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b)/2 })
			broken := blocks[0]
			if test.end {
				broken = blocks[len(blocks)-1]
			}
			test.damage(t, broken)
			write(t, filepath.Join(d.dir, "cdcd.yaml"), strings.Replace(config, "every: 1h", "every: 100ms", 1))
			d.start(t)
			if test.end {
				await(t, d, "all is delivered", func() bool { return len(lines(t, d.bucket)) >= rows })
				if got := len(lines(t, d.bucket)); got != rows {
					t.Errorf("%d records, want %d", got, rows)
				}
				d.stop(t)
				d.verify(t)
				return
			}
			says := func(s status, answers bool) bool {
				return answers && strings.HasPrefix(s.Feeds[0].Error, "CDCD-3008") && len(lines(t, d.bucket)) > 0
			}
			await(t, d, "what is before the gap is delivered, and the gap is named", func() bool { return says(d.status(t)) })
			before := lines(t, d.bucket)
			if len(before) >= rows {
				t.Errorf("%d of %d records delivered in spite of the gap", len(before), rows)
			}
			db.Exec(t, fmt.Sprintf("INSERT INTO ledger.%s VALUES (1000, '')", table))
			await(t, d, "capture goes on", func() bool {
				s, _ := d.status(t)
				return s.Capture.Rows > 0
			})
			await(t, d, "the gap is named still", func() bool { return says(d.status(t)) })
			if after := lines(t, d.bucket); !slices.Equal(after, before) {
				t.Errorf("delivered from behind the gap: %q after %q", after, before)
			}
			d.stop(t)
			d.verify(t)
		})
	}
}

// noise is bytes that cannot be compressed, as digits.
func noise(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return hex.EncodeToString(b)
}
