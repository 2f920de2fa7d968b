package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// snapshots measures how fast the rows of bench.big are read into a stream, beside the dump of the same table and a plain
// SELECT of it: what any reader can reach with one connection.
func (r *report) snapshots(db *testenv.Server) {
	b := r.b
	var dumped, selected, framed, read measured
	var peak int
	for round := range rounds {
		done := r.step("%s: a snapshot of %d rows, round %d", db.Flavor, bigRows, round+1)
		if cmd := db.Dump("bench", "big"); cmd != nil {
			dumped = faster(dumped, dump(b, cmd))
		}
		selected = faster(selected, selectAll(b, db))
		framed = faster(framed, snapshot(b, db, func(context.Context, *cdc.Batch) error { return nil }))
		got, resident := durableSnapshot(b, db)
		read, peak = faster(read, got), max(peak, resident)
		done()
	}
	rate := func(m measured) float64 { return bigRows / m.wall.Seconds() }
	figure := func(m measured) string {
		return fmt.Sprintf("%7.0f rows/s  %5.2f µs CPU  %.2f ×", rate(m), float64(m.cpu.Microseconds())/bigRows, rate(m)/rate(selected))
	}
	r.section(fmt.Sprintf("%s: a snapshot of %d rows of 12 columns", db.Flavor, bigRows))
	r.add("SELECT *, thrown away", "%s", figure(selected))
	r.add("read into frames", "%s", figure(framed))
	if dumped.wall == 0 {
		r.add("read into the stream, durably (no dump program to compare)", "%s", figure(read))
	} else {
		r.add("dumped as SQL to /dev/null", "%7.0f rows/s  %14.2f ×", rate(dumped), rate(dumped)/rate(selected))
		r.judge(rate(read) >= rate(dumped), "read into the stream, durably", "≥ the dump", "%s", figure(read))
	}
	r.add("  resident memory of this process while it is read, peak", "%d MiB", peak)
}

// dump writes the table to nowhere.
func dump(b *testing.B, cmd *exec.Cmd) measured {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = null, &errs
	return here(func() {
		if err := cmd.Run(); err != nil {
			b.Fatalf("%v: %s", err, errs.String())
		}
	})
}

// selectAll reads the table with go-mysql as it stands.
func selectAll(b *testing.B, db *testenv.Server) measured {
	conn := db.Conn(b)
	return here(func() {
		rows := 0
		var result gomysql.Result
		err := conn.ExecuteSelectStreaming("SELECT * FROM bench.big", &result, func([]gomysql.FieldValue) error { rows++; return nil }, nil)
		if err != nil || rows != bigRows {
			b.Fatalf("%d rows, %v", rows, err)
		}
	})
}

// snapshot reads the table, from the start of the source on, until next has all of its rows.
func snapshot(b *testing.B, db *testenv.Server, next cdc.Handler) measured {
	source, err := mysql.New(mysql.Config{Name: "bench", Addr: db.Addr, User: testenv.User, Password: testenv.Password,
		Tables: []string{"bench.big"}, Epoch: 1, Snapshot: true})
	if err != nil {
		b.Fatal(err)
	}
	return here(func() {
		if err := source.Run(b.Context(), cdc.Checkpoint{}, until(bigRows, next)); !errors.Is(err, errEnough) {
			b.Fatal(err)
		}
	})
}

// durableSnapshot reads the table into a stream that syncs each write, until all is acknowledged.
func durableSnapshot(b *testing.B, db *testenv.Server) (m measured, peak int) {
	stream, err := bus.Open(b.Context(), bus.Config{Source: "bench", Dir: b.TempDir(), MaxBytes: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	publisher, err := stream.Publisher(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer publisher.Close()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // VmHWM begins anew
		b.Fatal(err)
	}
	m = snapshot(b, db, publisher.Handle)
	began, used := time.Now(), processorTime()
	if err := publisher.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	m.wall, m.cpu = m.wall+time.Since(began), m.cpu+processorTime()-used
	kB, err := strconv.Atoi(strings.TrimSuffix(first(grep("/proc/self/status", "VmHWM"), ""), " kB"))
	if err != nil {
		b.Fatal(err)
	}
	return m, kB / 1024
}

// BenchmarkSnapshot measures snapshots alone.
func BenchmarkSnapshot(b *testing.B) {
	for range b.N {
		r := &report{b: b}
		r.machine()
		for _, db := range []*testenv.Server{testenv.MariaDB(b, serverOptions...), testenv.MySQL(b, mysqlOptions...)} {
			createTable(b, db)
			insertBig(b, db)
			r.snapshots(db)
		}
		r.print(os.Stdout)
	}
}
