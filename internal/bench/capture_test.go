package bench

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// measured is how long something took for all updates, and how much processor time.
type measured struct {
	wall, cpu time.Duration
	rows      int // default updates
}

func (m measured) rate() float64 { return m.rateOf(cmp.Or(m.rows, updates)) }

// rateOf is rate for something else than all updates.
func (m measured) rateOf(rows int) float64 { return float64(rows) / m.wall.Seconds() }

// perRow returns the processor time a row, in microseconds.
func (m measured) perRow() float64 {
	return float64(m.cpu.Microseconds()) / float64(cmp.Or(m.rows, updates))
}

func faster(a, b measured) measured {
	if a.wall == 0 || b.wall < a.wall {
		return b
	}
	return a
}

// here measures what do does in this process.
func here(do func()) measured {
	debug.FreeOSMemory()
	began, used := time.Now(), processorTime()
	do()
	return measured{wall: time.Since(began), cpu: processorTime() - used}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// decode reads the updates with go-mysql alone, as its documentation shows it: what any capture built on it can reach
// that has it decode rows.
func decode(b *testing.B, db *testenv.Server, from place) measured {
	return here(func() {
		rows := 0
		read(b, syncerConfig(b, db), from, func(ev *replication.BinlogEvent) (more bool) {
			if e, ok := ev.Event.(*replication.RowsEvent); ok {
				rows += len(e.Rows) / 2
			}
			return rows < updates
		})
	})
}

func syncerConfig(b *testing.B, db *testenv.Server) replication.BinlogSyncerConfig {
	host, portText, err := net.SplitHostPort(db.Addr)
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		b.Fatal(err)
	}
	return replication.BinlogSyncerConfig{ServerID: 4711, Flavor: db.Flavor, Host: host, Port: uint16(port),
		User: testenv.User, Password: testenv.Password, Logger: slog.New(slog.DiscardHandler)}
}

// read hands over events from the place on until it is told that no more are wanted.
func read(b *testing.B, c replication.BinlogSyncerConfig, from place, next func(*replication.BinlogEvent) (more bool)) {
	syncer := replication.NewBinlogSyncer(c)
	defer syncer.Close()
	streamer, err := syncer.StartSync(gomysql.Position{Name: from.file, Pos: from.pos})
	if err != nil {
		b.Fatal(err)
	}
	for more := true; more; {
		ev, err := streamer.GetEvent(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		more = next(ev)
	}
}

func newSource(b *testing.B, db *testenv.Server) *mysql.Source {
	source, err := mysql.New(mysql.Config{Name: "bench", Addr: db.Addr, User: testenv.User, Password: testenv.Password,
		Tables: []string{"bench.*"}, Epoch: 1})
	if err != nil {
		b.Fatal(err)
	}
	return source
}

// errEnough ends a capture that has seen what it was to see.
var errEnough = errors.New("enough")

// until returns a handler that passes on to next and fails with errEnough once rows events have been.
func until(rows int, next cdc.Handler) cdc.Handler {
	return func(ctx context.Context, b *cdc.Batch) error {
		if err := next(ctx, b); err != nil {
			return err
		}
		if rows -= b.Len(); rows <= 0 {
			return errEnough
		}
		return nil
	}
}

// present returns the checkpoint of the log's present end.
func present(b *testing.B, db *testenv.Server) (at cdc.Checkpoint) {
	err := newSource(b, db).Run(b.Context(), cdc.Checkpoint{}, until(0, func(_ context.Context, batch *cdc.Batch) error {
		at = batch.Checkpoint()
		return nil
	}))
	if !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	return at
}

// frames captures the updates into frames, which go nowhere.
func frames(b *testing.B, db *testenv.Server, from cdc.Checkpoint) measured {
	return here(func() {
		err := newSource(b, db).Run(b.Context(), from, until(updates, func(context.Context, *cdc.Batch) error { return nil }))
		if !errors.Is(err, errEnough) {
			b.Fatal(err)
		}
	})
}

// capture captures the updates into a stream that syncs each write, until all are acknowledged.
func capture(b *testing.B, db *testenv.Server, from cdc.Checkpoint) measured {
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
	return here(func() {
		if err := newSource(b, db).Run(b.Context(), from, until(updates, publisher.Handle)); !errors.Is(err, errEnough) {
			b.Fatal(err)
		}
		if err := publisher.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
}
