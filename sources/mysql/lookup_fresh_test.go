package mysql_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// Transactions change a customer and add an order that says what the customer is like then. Whoever looks up the customer of an order, as
// soon as the log tells of it, must find it as it was then or later; on the source and on a replica.
func TestLookUpIsNeverOlderThanTheChange(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		const customers, writers = 5, 4
		a.Exec(t, "CREATE TABLE shop.customers (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, v INT)")
		for id := range customers {
			a.Exec(t, fmt.Sprintf("INSERT INTO shop.customers VALUES (%d, 0)", id))
		}
		b.CatchUp(t, a)
		var asked atomic.Int64
		look := map[string]*mysql.Lookups{"the source": lookups(t, a), "the replica": lookups(t, b, func(c *mysql.LookupConfig) { c.Timeout = time.Minute })}
		rec := newRecorder()
		rec.fail = func(_ int, batch *cdc.Batch) error {
			var wg sync.WaitGroup
			for where, l := range look {
				for i := range min(batch.Len(), 3) { // the newest are the ones that may not be visible yet
					e := batch.Event(batch.Len() - 1 - i)
					wg.Go(func() {
						after := e.After()
						q := cdc.Query{Table: "shop.customers", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{after.Value(1)}}, After: e.Position()}
						answer, err := l.LookUp(context.Background(), &q)
						if err != nil {
							t.Errorf("%s: %v", where, err)
							return
						}
						asked.Add(1)
						if got, want := answer.Batch.Event(0).After().Value(1).Int64(), after.Value(2).Int64(); got < want {
							t.Errorf("%s, %s: the customer is as of %d, and the order as of %d", where, e.Position(), got, want)
						}
					})
				}
			}
			wg.Wait()
			return nil
		}
		cfg := config(a, "shop.orders")
		cfg.Linger = time.Microsecond
		r := begin(t, cfg, cdc.Checkpoint{}, rec)
		var wg sync.WaitGroup
		end := time.Now().Add(3 * time.Second)
		for range writers {
			conn := a.Conn(t)
			wg.Go(func() {
				for n := 0; time.Now().Before(end); n++ {
					id := n % customers
					for _, statement := range []string{"BEGIN", fmt.Sprintf("UPDATE shop.customers SET v = v + 1 WHERE id = %d", id),
						fmt.Sprintf("INSERT INTO shop.orders (customer, v) SELECT id, v FROM shop.customers WHERE id = %d", id), "COMMIT"} {
						if _, err := conn.Execute(statement); err != nil {
							t.Errorf("%s: %v", statement, err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		r.stop(t)
		if asked.Load() < 50 {
			t.Errorf("only %d look-ups", asked.Load())
		}
		t.Logf("%d look-ups", asked.Load())
	}, "--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1")
}

// A replica that is behind is waited for; what the answer is stamped with has the change.
func TestLookUpWaitsForAReplicaThatLags(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		a.Exec(t, "INSERT INTO shop.a VALUES (1, 1)")
		b.CatchUp(t, a)
		stop, start := "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD"
		if a.Flavor == "mariadb" {
			stop, start = "STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"
		}
		b.Exec(t, stop)
		r := begin(t, config(a), cdc.Checkpoint{}, nil)
		a.Exec(t, "UPDATE shop.a SET v = 2 WHERE id = 1")
		r.wait(t, 1)
		position := r.waitFrame(t, func(b *cdc.Batch) bool { return b.Len() > 0 }).Event(0).Position()
		q := &cdc.Query{Table: "shop.a", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}, After: position}

		if _, err := lookups(t, b, func(c *mysql.LookupConfig) { c.Timeout = 300 * time.Millisecond }).LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1345" {
			t.Errorf("%v, want CDCD-1345", err)
		}
		answers := make(chan *cdc.Answer, 1)
		l := lookups(t, b, func(c *mysql.LookupConfig) { c.Timeout = time.Minute })
		go func() {
			answer, err := l.LookUp(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
		select {
		case <-answers:
			t.Error("the replica has answered without the change")
		case <-time.After(200 * time.Millisecond):
		}
		b.Exec(t, start)
		answer := <-answers
		if answer == nil {
			t.FailNow()
		}
		if got := found(answer); got[0] != "1 2" {
			t.Errorf("got %q", got)
		}
		at := map[string]string{"mysql": "SELECT GTID_SUBSET('%[1]s', '%[2]s')", "mariadb": "SELECT '%[2]s' LIKE '%%%[1]s%%'"}[a.Flavor]
		if has := a.Query(t, fmt.Sprintf(at, position.GTID, answer.At))[0][0]; has != "1" {
			t.Errorf("the answer's stamp %s does not have %s", answer.At, position.GTID)
		}

		// A row of a snapshot has no GTID: the replica must have what the source has by then.
		b.Exec(t, stop)
		a.Exec(t, "UPDATE shop.a SET v = 3 WHERE id = 1")
		source := config(a)
		q.After = cdc.Position{Server: r.checkpoint().Server, File: "snapshot/x", Pos: 1}
		if _, err := lookups(t, b, func(c *mysql.LookupConfig) { c.Timeout, c.Source = 300*time.Millisecond, &source }).LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1345" {
			t.Errorf("for a row of a snapshot: %v, want CDCD-1345", err)
		}
		b.Exec(t, start)
		after, err := lookups(t, b, func(c *mysql.LookupConfig) { c.Timeout, c.Source = time.Minute, &source }).LookUp(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if got := found(after); got[0] != "1 3" {
			t.Errorf("for a row of a snapshot: got %q", got)
		}
	})
}

// MariaDB that replicates without a log of its own tells by gtid_slave_pos how far it is.
func TestLookUpAtAReplicaWithoutALog(t *testing.T) {
	t.Parallel()
	a, b := testenv.MariaDB(t, "--server-id=1"), testenv.MariaDB(t, "--server-id=2", "--skip-log-bin")
	b.Follow(t, a)
	r := begin(t, config(a), cdc.Checkpoint{}, nil)
	a.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.a VALUES (1, 1)")
	r.wait(t, 1)
	l := lookups(t, b)
	for v := range 20 {
		a.Exec(t, fmt.Sprintf("UPDATE shop.a SET v = %d", v+2))
		r.wait(t, v+2)
		position := r.frames[len(r.frames)-1].Event(0).Position()
		answer, err := l.LookUp(t.Context(), &cdc.Query{Table: "shop.a", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}, After: position})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := found(answer)[0], fmt.Sprintf("1 %d", v+2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLookUpRefusesAServerThatCannotTell(t *testing.T) {
	t.Parallel()
	q := &cdc.Query{Table: "shop.a", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}}
	s := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	if _, err := lookups(t, s).LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1344" {
		t.Errorf("without GTIDs: %v, want CDCD-1344", err)
	}
	maria := testenv.MariaDB(t)
	if _, err := lookups(t, maria, func(c *mysql.LookupConfig) { c.Server.Flavor = "mysql" }).LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1104" {
		t.Errorf("another kind of server: %v, want CDCD-1104", err)
	}
	a, b := testenv.MySQL(t, "--server-id=1"), testenv.MySQL(t, "--server-id=2", "--replica-preserve-commit-order=OFF", "--replica-parallel-workers=4")
	b.Follow(t, a)
	if _, err := lookups(t, b).LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1344" {
		t.Errorf("a replica without order: %v, want CDCD-1344", err)
	}
}

// An XA transaction that another connection commits is in MariaDB's log before it can be seen, in no order to anything. A look-up of a change
// in it finds what it made all the same; and one that stays prepared holds nobody up for ever.
func TestLookUpBesideXATransactions(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		const customers = 20
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.customers (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, v INT)",
			"CREATE TABLE shop.others (id INT PRIMARY KEY)")
		for id := range customers {
			s.Exec(t, fmt.Sprintf("INSERT INTO shop.customers VALUES (%d, 0)", id))
		}
		decider := s.Conn(t)
		var strangers []*client.Conn
		for i := range 50 {
			conn, err := prepareXA(t, s, fmt.Sprintf("'other %d'", i), fmt.Sprintf("INSERT INTO shop.others VALUES (%d)", i))
			if err != nil {
				t.Fatal(err)
			}
			strangers = append(strangers, conn)
		}
		if err := leave(decider, strangers); err != nil {
			t.Fatal(err)
		}
		l := lookups(t, s, func(c *mysql.LookupConfig) { c.Timeout = time.Minute })
		rec := newRecorder()
		var asked atomic.Int64
		rec.fail = func(_ int, batch *cdc.Batch) error {
			for i := range batch.Len() {
				e := batch.Event(i)
				q := cdc.Query{Table: "shop.customers", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{e.After().Value(1)}}, After: e.Position()}
				answer, err := l.LookUp(context.Background(), &q)
				if err != nil {
					t.Error(err)
					return nil
				}
				asked.Add(1)
				if got, want := answer.Batch.Event(0).After().Value(1).Int64(), e.After().Value(2).Int64(); got < want {
					t.Errorf("%s: the customer is as of %d, and the order as of %d", e.Position(), got, want)
				}
			}
			return nil
		}
		cfg := config(s, "shop.orders")
		cfg.Linger = time.Microsecond
		r := begin(t, cfg, cdc.Checkpoint{}, rec)
		for round := 1; round <= 3; round++ {
			var left []*client.Conn
			var xids []string
			for id := range customers {
				xid := fmt.Sprintf("'change %d %d'", round, id)
				conn := s.Conn(t)
				for _, sql := range []string{"XA START " + xid, fmt.Sprintf("UPDATE shop.customers SET v = %d WHERE id = %d", round, id),
					fmt.Sprintf("INSERT INTO shop.orders (customer, v) VALUES (%d, %d)", id, round), "XA END " + xid, "XA PREPARE " + xid} {
					if _, err := conn.Execute(sql); err != nil {
						t.Fatalf("%s: %v", sql, err)
					}
				}
				left, xids = append(left, conn), append(xids, xid)
			}
			if err := leave(decider, left); err != nil {
				t.Fatal(err)
			}
			for _, xid := range xids {
				if _, err := decider.Execute("XA COMMIT " + xid); err != nil {
					t.Fatal(err)
				}
			}
		}
		for deadline := time.Now().Add(2 * time.Minute); asked.Load() < 3*customers && time.Now().Before(deadline) && !t.Failed(); {
			time.Sleep(50 * time.Millisecond)
		}
		r.stop(t)
		if asked.Load() != 3*customers {
			t.Errorf("%d look-ups, want %d", asked.Load(), 3*customers)
		}
	})
}
