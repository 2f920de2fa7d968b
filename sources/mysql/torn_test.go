package mysql_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// tear appends the beginning of a transaction to the last binlog file of a server that is down: that of the group of events
// at from, up to the event that ends at to, as the next transaction.
func tear(t *testing.T, s *testenv.Server, from, to, cut int) {
	t.Helper()
	files := s.BinlogFiles(t)
	name := files[len(files)-1]
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := from; at < to; {
		size := int(binary.LittleEndian.Uint32(log[at+9:]))
		ev := append([]byte(nil), log[at:at+size]...)
		if at == from {
			binary.LittleEndian.PutUint64(ev[19:], binary.LittleEndian.Uint64(ev[19:])+1)
		}
		binary.LittleEndian.PutUint32(ev[13:], uint32(len(log)+size))
		binary.LittleEndian.PutUint32(ev[size-4:], crc32.ChecksumIEEE(ev[:size-4]))
		log, at = append(log, ev...), at+size
	}
	if err := os.WriteFile(name, log[:len(log)-cut], 0o600); err != nil {
		t.Fatal(err)
	}
}

// MariaDB leaves in its binlog what it had written of a transaction when it died.
func TestATransactionWithoutAnEndIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rows, cut int }{"none of it is in the stream": {1000, 0}, "within an event": {1000, 10}, "rows of it are in the stream": {2, 0}} {
		rows, cut := c.rows, c.cut
		t.Run(name, func(t *testing.T) {
			s := testenv.MariaDB(t)
			s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE=InnoDB")
			cfg := config(s)
			cfg.FrameRows = rows
			run := begin(t, cfg, cdc.Checkpoint{}, nil)
			s.Exec(t, "BEGIN", "INSERT INTO shop.t VALUES (1), (2), (3), (4), (5)", "COMMIT")
			before := run.checkpoint()
			run.wait(t, 5)
			run.stop(t)
			var from, to int
			for _, e := range s.Query(t, "SHOW BINLOG EVENTS") {
				at, _ := strconv.Atoi(e[1])
				end, _ := strconv.Atoi(e[4])
				switch e[2] {
				case "Gtid":
					from = at
				case "Write_rows_v1":
					to = end
				}
			}
			if to < from {
				t.Fatal("no rows in the last transaction")
			}
			s.Kill()
			tear(t, s, from, to, cut)
			s.Start(t)
			if rows == 2 {
				cfg.HoldBytes = 4 // else they wait for the end
			}
			run = launch(t, cfg, before, nil)
			if rows == 2 {
				run.ends(t, "CDCD-1307")
				return
			}
			run.wait(t, 5)
			s.Exec(t, "INSERT INTO shop.t VALUES (6)")
			compare(t, short(run.wait(t, 6))[5:], []string{`insert shop.t {"id":6} null -> {"id":6}`})
			run.stop(t)
			again := launch(t, cfg, run.checkpoint(), nil)
			s.Exec(t, "INSERT INTO shop.t VALUES (7)")
			compare(t, short(again.wait(t, 1)), []string{`insert shop.t {"id":7} null -> {"id":7}`})
		})
	}
}

// What the server had committed when it was killed is in the stream, and nothing else.
func TestServersThatAreKilledUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("CDCD_KILLS")); err == nil {
		rounds = n
	}
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		m := newMirror()
		cfg := config(s)
		cfg.HoldBytes = 64 << 10
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		const n = 500
		orders(t, conn, n)
		for range rounds {
			var stops []func()
			for range 4 {
				stops = append(stops, writer(t, s, random, changeOrders(n)))
			}
			time.Sleep(time.Duration(200+random.IntN(500)) * time.Millisecond)
			s.Kill()
			for _, stop := range stops {
				stop()
			}
			s.Start(t)
			m.check(t)
		}
		m.caughtUp(t, s.Conn(t))
		r.stop(t)
		m.same(t, s, s.Conn(t), "shop.orders")
		t.Logf("%v", m.counts)
	})
}
