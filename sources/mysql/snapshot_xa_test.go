package mysql_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// prepareXA prepares an XA transaction on a connection of its own.
func prepareXA(t *testing.T, s *testenv.Server, xid, statement string) (*client.Conn, error) {
	conn := s.Conn(t)
	for _, sql := range []string{"XA START " + xid, statement, "XA END " + xid, "XA PREPARE " + xid} {
		if _, err := conn.Execute(sql); err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return conn, nil
}

// leave closes connections and waits until the server has let go of them. MariaDB 10.11 says yes to an XA COMMIT that meets
// the end of the connection that has prepared, writes it to the log, and leaves the transaction prepared in InnoDB for good.
func leave(by *client.Conn, conns []*client.Conn) error {
	var ids []string
	for _, conn := range conns {
		ids = append(ids, fmt.Sprint(conn.GetConnectionID()))
		conn.Close()
	}
	for _, still := range []string{"information_schema.PROCESSLIST WHERE ID", "information_schema.INNODB_TRX WHERE trx_mysql_thread_id"} {
		for n := int64(1); n > 0; {
			result, err := by.Execute("SELECT COUNT(*) FROM " + still + " IN (" + strings.Join(ids, ",") + ")")
			if err != nil {
				return err
			}
			n, _ = result.GetInt(0, 0)
			time.Sleep(110 * time.Millisecond) // INNODB_TRX may be that old
		}
	}
	return nil
}

// xaWriter adds to rows of shop.orders, by XA transactions that most are decided by a connection that did not prepare them.
func xaWriter(t *testing.T, s *testenv.Server, random *rand.Rand, over <-chan struct{}, decided *atomic.Int64) error {
	decider := s.Conn(t)
	for {
		own := map[string]*client.Conn{}
		var xids []string
		var left []*client.Conn
		for i := range 40 {
			xid := fmt.Sprintf("X'777269746572ff','%d',77", i) // no UTF-8; written as such, MySQL's PROCESSLIST would fail on it
			conn, err := prepareXA(t, s, xid, fmt.Sprintf("UPDATE shop.orders SET v = v + 1 WHERE id = %d", 3*i))
			if err != nil {
				return err
			}
			if xids = append(xids, xid); random.IntN(5) == 0 {
				own[xid] = conn
			} else {
				left = append(left, conn)
			}
		}
		if err := leave(decider, left); err != nil {
			return err
		}
		for _, xid := range xids {
			verb := "XA COMMIT "
			if random.IntN(20) == 0 {
				verb = "XA ROLLBACK "
			}
			by := decider
			if own[xid] != nil {
				by = own[xid]
			}
			if _, err := by.Execute(verb + xid); err != nil {
				return fmt.Errorf("%s %s: %w", verb, xid, err)
			}
			decided.Add(1)
			if by != decider {
				by.Close()
			}
		}
		select {
		case <-over:
			return nil
		default:
		}
	}
}

// MariaDB has an XA transaction that another connection commits in its log, and then makes it visible without any order to
// read views. The more transactions are prepared the longer that takes, so with many of them this shows soon. CDCD_SNAPSHOT_XA
// says for how long to try, such as 5m, with that many.
func TestASnapshotBesideXATransactions(t *testing.T) {
	t.Parallel()
	others := 100
	long, err := time.ParseDuration(os.Getenv("CDCD_SNAPSHOT_XA"))
	if err == nil {
		others = 10_000
	}
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		orders(t, conn, 40)
		execute(t, conn, "CREATE TABLE shop.others (id INT PRIMARY KEY)")
		cfg := config(s)
		cfg.SnapshotRows = 20
		m := newMirror()
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		var batch []*client.Conn
		for i := range others {
			one, err := prepareXA(t, s, fmt.Sprintf("'other %d'", i), fmt.Sprintf("INSERT INTO shop.others VALUES (%d)", i))
			if err != nil {
				t.Fatal(err)
			}
			if batch = append(batch, one); len(batch) == 100 {
				if err := leave(conn, batch); err != nil {
					t.Fatal(err)
				}
				batch = nil
			}
		}
		var decided atomic.Int64
		var group sync.WaitGroup
		over := make(chan struct{})
		group.Go(func() {
			if err := xaWriter(t, s, random, over, &decided); err != nil {
				t.Error(err)
			}
		})
		snapshots := 0
		for end := time.Now().Add(max(long, 2*time.Second)); time.Now().Before(end) && !t.Failed(); snapshots++ {
			if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
				t.Fatal(err)
			}
			m.complete(t)
		}
		close(over)
		group.Wait()
		for i := range others {
			execute(t, conn, fmt.Sprintf("XA ROLLBACK 'other %d'", i))
		}
		m.caughtUp(t, conn)
		r.stop(t)
		m.same(t, s, conn, "shop.orders")
		t.Logf("%d snapshots beside %d XA transactions", snapshots, decided.Load())
	}, "--max-connections=500")
}

// What was prepared before the capture began is in neither the stream nor, before it is committed, a snapshot.
func TestASnapshotWaitsForXATransactionsThatTheLogDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	conn := s.Conn(t)
	orders(t, conn, 10)
	by, err := prepareXA(t, s, "'old'", "UPDATE shop.orders SET v = 100 WHERE id = 3")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(s)
	cfg.Snapshot, cfg.OnUnknownXA = true, mysql.PolicyWarn
	m := newMirror()
	r := read(t, cfg, m)
	await(t, "the snapshot has begun", func() bool { return strings.Contains(m.checkpoint().Snapshot, `"jobs"`) })
	time.Sleep(time.Second)
	if n := m.count("shop.orders snapshot"); n != 0 {
		t.Fatalf("%d rows", n)
	}
	execute(t, by, "XA COMMIT 'old'")
	m.complete(t)
	r.stop(t)
	if got := m.rows("shop.orders"); len(got) != 10 || !slices.Contains(got, `{"id":3,"v":100,"s":"row 1"}`) {
		t.Error(got)
	}
}
