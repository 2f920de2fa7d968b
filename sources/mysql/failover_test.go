package mysql_test

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// eachPair runs a test against a primary and its replica, of each flavor. Both have database shop with table a.
func eachPair(t *testing.T, test func(t *testing.T, a, b *testenv.Server), options ...string) {
	t.Helper()
	start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}
	for flavor, options := range map[string][]string{
		"mariadb": append([]string{"--log-slave-updates=ON"}, options...),
		"mysql":   append([]string{"--log-replica-updates=ON"}, options...),
	} {
		t.Run(flavor, func(t *testing.T) {
			a, b := start[flavor](t, append(options, "--server-id=1")...), start[flavor](t, append(options, "--server-id=2")...)
			b.Follow(t, a)
			a.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
			b.CatchUp(t, a)
			test(t, a, b)
		})
	}
}

// handOver makes the replica the primary, and the primary its replica.
func handOver(t *testing.T, from, to *testenv.Server) {
	t.Helper()
	to.CatchUp(t, from)
	to.Promote(t)
	from.Follow(t, to)
}

var ofTheServer = regexp.MustCompile(`,"file":"[^"]*","pos":\d+`)

// anywhere leaves out of events what differs between the servers that they are read from.
func anywhere(events []string) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = ofTheServer.ReplaceAllString(e, "")
	}
	return out
}

func at(cfg mysql.Config, addr string) mysql.Config {
	cfg.Addr = addr
	return cfg
}

// insert makes a transaction of each id.
func insert(t *testing.T, s *testenv.Server, ids ...int) {
	t.Helper()
	var statements []string
	for _, id := range ids {
		statements = append(statements, fmt.Sprintf("INSERT INTO shop.a VALUES (%d, 0), (-%d, 0)", id, id))
	}
	s.Exec(t, statements...)
}

func TestPlannedFailoverAndBack(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		proxy := testenv.NewProxy(t, a.Addr)
		r := begin(t, at(config(a), proxy.Addr), cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		insert(t, a, 1, 2)
		r.wait(t, 4)

		// The address moves while the capture runs.
		handOver(t, a, b)
		proxy.Switch(b.Addr)
		proxy.Cut()
		insert(t, b, 3)
		r.wait(t, 6)
		if got := r.checkpoint().Server; got == from.Server {
			t.Errorf("the checkpoint says that %s was read, as before", got)
		}

		// It is started against the other address.
		r.stop(t)
		handOver(t, b, a)
		insert(t, a, 4)
		r = launch(t, config(a), r.checkpoint(), r.recorder)
		r.wait(t, 8)
		insert(t, a, 5)
		r.wait(t, 10)
		r.stop(t)
		b.CatchUp(t, a)
		insert(t, a, 6)
		b.CatchUp(t, a)
		r = launch(t, config(b), r.checkpoint(), r.recorder)
		got := r.wait(t, 12)
		r.stop(t)

		whole := launch(t, config(a), from, nil)
		compare(t, anywhere(got), anywhere(whole.wait(t, 12)))
		whole.stop(t)
	})
}

// A transaction that is half in the stream goes on at the other server, row by row.
func TestFailoverWithinATransaction(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		cfg := config(a)
		cfg.FrameRows = 1
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		a.Exec(t, "INSERT INTO shop.a VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO shop.a VALUES (4, 4)")
		want := anywhere(r.wait(t, 4))
		r.stop(t)
		handOver(t, a, b)
		a.Kill()
		for i, frame := range r.frames {
			cp := frame.Checkpoint()
			rest := launch(t, config(b), cp, nil)
			compare(t, anywhere(rest.wait(t, 4-i)), want[i:])
			rest.stop(t)
		}

		// On a server that has other transactions where these were, nothing is passed over.
		cut := r.frames[1].Checkpoint()
		cut.GTIDSet = r.frames[0].Checkpoint().GTIDSet
		cut.TxGTID = r.frames[len(r.frames)-1].Event(0).Position().GTID // the second transaction, of which there is one row
		err := launch(t, config(b), cut, nil).ends(t, "CDCD-1325")
		if !strings.Contains(err.Error(), cut.TxGTID) {
			t.Errorf("%v, want it to name %s", err, cut.TxGTID)
		}
		cut = r.frames[1].Checkpoint()
		cut.TxRows, cut.NextNo, cut.PartNos = 9, 100, []uint64{100}
		launch(t, config(b), cut, nil).ends(t, "CDCD-1325")
	})
}

// What was prepared on the other server has another place in this one's log.
func TestFailoverWithAPreparedXATransaction(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		cfg := config(a)
		cfg.FrameRows = 1
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		b.Exec(t, "FLUSH BINARY LOGS")
		insert(t, a, 1, 2, 3)
		conn := a.Conn(t)
		execute(t, conn, "XA START 'x'", "INSERT INTO shop.a VALUES (100, 0)", "XA END 'x'", "XA PREPARE 'x'")
		insert(t, a, 4)
		r.wait(t, 8)
		r.stop(t)
		insert(t, a, 5)
		b.CatchUp(t, a)
		r = launch(t, at(cfg, b.Addr), r.checkpoint(), r.recorder)
		r.wait(t, 10)
		execute(t, conn, "XA COMMIT 'x'")
		want := r.wait(t, 11)
		r.stop(t)
		for _, frame := range r.frames[len(r.frames)-4:] { // of the second server, but the first
			rest := launch(t, config(b), frame.Checkpoint(), nil)
			left := int(r.checkpoint().NextNo - frame.Checkpoint().NextNo)
			compare(t, anywhere(rest.wait(t, left)), anywhere(want[len(want)-left:]))
			rest.stop(t)
		}
	})
}

func TestFailoverAfterACrashWithTheReplicaBehind(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		proxy := testenv.NewProxy(t, a.Addr)
		r := begin(t, at(config(a), proxy.Addr), cdc.Checkpoint{}, nil)
		insert(t, a, 1)
		r.wait(t, 2)
		b.CatchUp(t, a)
		b.Promote(t) // it reads no more
		insert(t, a, 2)
		events := r.wait(t, 4)
		lost := r.frames[len(r.frames)-1].Event(0).Position().GTID
		insert(t, b, 3) // the replica goes its own way
		a.Kill()
		proxy.Switch(b.Addr)
		proxy.Cut()
		err := r.ends(t, "CDCD-1302")
		if !strings.Contains(err.Error(), number(lost)) || !strings.Contains(err.Fix, "cdcd resync") {
			t.Errorf("%v (fix: %s), want it to name %s", err, err.Fix, lost)
		}
		launch(t, config(b), r.checkpoint(), nil).ends(t, "CDCD-1302")

		// The crashed primary comes back, and with it what the stream goes on from.
		a.Start(t)
		insert(t, a, 4)
		r = launch(t, config(a), r.checkpoint(), r.recorder)
		compare(t, r.wait(t, 6)[:4], events)
	})
}

// number returns what of a GTID every way to write a set holds: MySQL puts the numbers of one server together.
func number(gtid string) string { return gtid[strings.LastIndexAny(gtid, ":-")+1:] }

func TestFailoverAfterACrashWithTheReplicaAhead(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		r := begin(t, config(a), cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		insert(t, a, 1)
		r.wait(t, 2)
		r.stop(t)
		insert(t, a, 2, 3)
		b.CatchUp(t, a)
		a.Kill()
		b.Promote(t)
		insert(t, b, 4)
		r = launch(t, config(b), r.checkpoint(), r.recorder)
		r.wait(t, 8)
		insert(t, b, 5)
		r.wait(t, 10)
		r.stop(t)

		// The old primary follows the new one, and becomes it again.
		a.Start(t)
		a.Follow(t, b)
		handOver(t, b, a)
		insert(t, a, 6)
		r = launch(t, config(a), r.checkpoint(), r.recorder)
		got := r.wait(t, 12)
		r.stop(t)
		b.CatchUp(t, a)
		for _, s := range []*testenv.Server{a, b} {
			whole := launch(t, config(s), from, nil)
			compare(t, anywhere(got), anywhere(whole.wait(t, 12)))
			whole.stop(t)
		}
	})
}

func TestSeveralDomainsAlsoOutOfOrder(t *testing.T) {
	t.Parallel()
	a, b := testenv.MariaDB(t, "--log-slave-updates", "--server-id=1", "--gtid-strict-mode=OFF"), testenv.MariaDB(t, "--log-slave-updates", "--server-id=2", "--gtid-strict-mode=OFF")
	b.Follow(t, a)
	a.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	r := begin(t, config(a), cdc.Checkpoint{}, nil)
	from := r.checkpoint()
	a.Exec(t, "SET gtid_domain_id = 7", "INSERT INTO shop.a VALUES (1, 0)", "SET gtid_domain_id = 3", "INSERT INTO shop.a VALUES (2, 0)",
		"SET server_id = 9, gtid_seq_no = 500", "INSERT INTO shop.a VALUES (3, 0)", "SET server_id = 1, gtid_seq_no = 90", "INSERT INTO shop.a VALUES (4, 0)",
		"SET gtid_domain_id = 7", "INSERT INTO shop.a VALUES (5, 0)")
	want := anywhere(r.wait(t, 5))
	r.stop(t)
	b.CatchUp(t, a)
	for _, s := range []*testenv.Server{a, b} {
		for _, f := range r.frames {
			n := int(f.Checkpoint().NextNo - from.NextNo)
			rest := launch(t, config(s), f.Checkpoint(), nil)
			compare(t, anywhere(rest.wait(t, len(want)-n)), want[n:])
			rest.stop(t)
		}
	}
}

func TestReplicaWhoseBinlogBeginsLater(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		r := begin(t, config(a), cdc.Checkpoint{}, nil)
		insert(t, a, 1)
		r.wait(t, 2)
		r.stop(t)
		insert(t, a, 2, 3)
		b.CatchUp(t, a)
		for deadline := time.Now().Add(patience); len(b.Query(t, "SHOW BINARY LOGS")) > 1 || b.Query(t, "SHOW BINARY LOGS")[0][0] == "binlog.000001"; {
			b.Exec(t, "FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
			if time.Now().After(deadline) {
				t.Fatal("the binlog files cannot be deleted")
			}
			time.Sleep(50 * time.Millisecond)
		}
		launch(t, config(b), r.checkpoint(), nil).ends(t, "CDCD-1301")
	})
}

func TestAServerThatBeganAnewIsNotTheSame(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		proxy := testenv.NewProxy(t, s.Addr)
		r := begin(t, at(config(s), proxy.Addr), cdc.Checkpoint{}, nil)
		s.Exec(t, "FLUSH BINARY LOGS")
		insert(t, s, 1, 2)
		r.wait(t, 4)
		early := r.checkpoint()
		insert(t, s, 3, 4, 5)
		r.wait(t, 10)
		proxy.Refuse()
		reset := map[string]string{"mysql": "RESET BINARY LOGS AND GTIDS", "mariadb": "RESET MASTER"}[s.Flavor]
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // while the capture is being sent the log, it is in use
			if _, err := s.Conn(t).Execute(reset); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		proxy.Restore(t)
		r.ends(t, "CDCD-1302")

		// The numbers come again, and in time they pass those of the stream; so do the names of the files.
		for id := 10; id < 20; id++ {
			insert(t, s, id)
		}
		launch(t, config(s), early, nil).ends(t, "CDCD-1302")
		s.Exec(t, "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
		for id := 20; id < 30; id++ {
			s.Exec(t, fmt.Sprintf("UPDATE shop.a SET v = %d", id))
		}
		launch(t, config(s), early, nil).ends(t, "CDCD-1302")
		launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1302")
	})
}

func TestGTIDGapsAndPurgedFilesStop(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	proxy := testenv.NewProxy(t, s.Addr)
	r := begin(t, at(config(s), proxy.Addr), cdc.Checkpoint{}, nil)
	insert(t, s, 1)
	r.wait(t, 2)
	other := "11111111-2222-3333-4444-555555555555:1-50"
	s.Exec(t, "SET GLOBAL gtid_purged = '+"+other+"'")
	proxy.Cut()
	if err := r.ends(t, "CDCD-1301"); !strings.Contains(err.Error(), other) {
		t.Errorf("%v, want it to name %s", err, other)
	}
}

// A server that is restored from an older backup has the old name, and new transactions get the numbers of lost ones.
func TestRestoredFromAnOlderBackup(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		insert(t, s, 1)
		r.wait(t, 2)
		r.stop(t) // MySQL takes ten seconds to stop while it sends its log
		s.Stop(t)
		s.Backup(t)
		s.Start(t)
		r = launch(t, config(s), r.checkpoint(), r.recorder)
		insert(t, s, 2, 3)
		r.wait(t, 6)
		r.stop(t)
		s.Kill() // what it has is thrown away
		s.Restore(t)
		s.Start(t)
		launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1302")
		s.Exec(t, "UPDATE shop.a SET v = 1", "UPDATE shop.a SET v = 2", "UPDATE shop.a SET v = 3") // as many transactions, and more
		launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1302")
	}, "--server-id=1")
}

func TestServerUUIDMayChangeWhereGTIDsTellTheHistory(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	insert(t, s, 1)
	r.wait(t, 2)
	before := r.checkpoint().Server
	s.Kill()
	s.Remove(t, "auto.cnf")
	s.Start(t)
	insert(t, s, 2)
	r.wait(t, 4)
	if got := r.checkpoint().Server; got == before {
		t.Errorf("the server's identity is still %s", got)
	}
}

func TestWithoutGTIDsAResetBinlogIsNoticed(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	insert(t, s, 1)
	r.wait(t, 2)
	r.stop(t)
	time.Sleep(1100 * time.Millisecond) // files are dated to the second
	s.Exec(t, "RESET BINARY LOGS AND GTIDS")
	launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1302")
	s.Exec(t, "DROP DATABASE shop", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)") // the same bytes again
	insert(t, s, 1, 2)
	launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1302")
}

func TestGTIDsAreTakenUpWhenTheyAreSwitchedOn(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=ON")
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	insert(t, s, 1)
	r.wait(t, 2)
	s.Exec(t, "SET GLOBAL gtid_mode = OFF_PERMISSIVE", "SET GLOBAL gtid_mode = ON_PERMISSIVE", "SET GLOBAL gtid_mode = ON")
	insert(t, s, 2)
	r.wait(t, 4)
	r.stop(t)
	r = launch(t, config(s), r.checkpoint(), r.recorder) // on a server that has GTIDs, from a place without
	insert(t, s, 3)
	r.wait(t, 6)
	s.Exec(t, "FLUSH BINARY LOGS")
	insert(t, s, 4)
	r.wait(t, 8)
	if got, want := r.checkpoint().GTIDSet, s.Query(t, "SELECT @@global.gtid_executed")[0][0]; got != want {
		t.Errorf("the checkpoint has the GTIDs %q, executed is %q", got, want)
	}
	r.stop(t)
	insert(t, s, 5)
	r = launch(t, config(s), r.checkpoint(), r.recorder)
	r.wait(t, 10)
}

func TestAServerWithoutAnyTransaction(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, map[string]string{"mysql": "RESET BINARY LOGS AND GTIDS", "mariadb": "RESET MASTER"}[s.Flavor])
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		r.stop(t)
		r = launch(t, config(s), r.checkpoint(), r.recorder)
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		insert(t, s, 1)
		r.wait(t, 2)
		variable := map[string]string{"mysql": "gtid_executed", "mariadb": "gtid_binlog_pos"}[s.Flavor]
		if got, want := r.checkpoint().GTIDSet, s.Query(t, "SELECT @@global."+variable)[0][0]; got != want {
			t.Errorf("the checkpoint has the GTIDs %q, executed is %q", got, want)
		}
	})
}

// An address that leads to one server and then to another, as a balancer's does, is not read from: what was found out
// about the one says nothing about the other.
func TestTheLogMustComeFromTheServerThatWasLookedAt(t *testing.T) {
	t.Parallel()
	a, b := testenv.MariaDB(t, "--server-id=1"), testenv.MariaDB(t, "--server-id=2")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() { // ends with the listener
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", []string{a.Addr, b.Addr}[i%2])
			if err != nil {
				conn.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{conn, server}, {server, conn}} {
				go func() { // ends with the connection
					io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	cfg := at(config(a), listener.Addr().String())
	lost := make(chan error, 100)
	cfg.Following = func(err error) { lost <- err }
	r := launch(t, cfg, cdc.Checkpoint{}, nil)
	select {
	case err := <-lost:
		if err == nil || !strings.Contains(err.Error(), "it leads to 0-2 now, a moment ago it was 0-1") {
			t.Errorf("got %v, want it to name both servers", err)
		}
	case <-time.After(patience):
		t.Fatal("nothing was noticed")
	}
	r.stop(t)
}
