package testenv

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-mysql-org/go-mysql/client"
)

func TestServerIsASourceAndKeepsItsDataAndAddressWhenKilled(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "INSERT INTO shop.orders VALUES (1)")
		got := s.Query(t, "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@binlog_row_metadata, NULL")
		if want := [][]string{{"1", "ROW", "FULL", "FULL", "NULL"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("settings:\n got %v\nwant %v", got, want)
		}
		if files := s.BinlogFiles(t); len(files) != 1 {
			t.Errorf("binlog files before the restart: got %v, want one", files)
		}
		addr, pid := s.Addr, s.PID()
		s.Kill()
		if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after kill: got %v, want refused", err)
		}
		s.Start(t)
		if s.Addr != addr || s.PID() == pid {
			t.Errorf("after restart: address %s (was %s), pid %d (was %d)", s.Addr, addr, s.PID(), pid)
		}
		if got := s.Query(t, "SELECT id FROM shop.orders"); !reflect.DeepEqual(got, [][]string{{"1"}}) {
			t.Errorf("rows after restart: got %v", got)
		}
		if files := s.BinlogFiles(t); len(files) != 2 {
			t.Errorf("binlog files after the restart: got %v, want two", files)
		}
		s.Stop(t)
		s.Start(t)
	})
}

func TestCdcdUserMayReadTheLogAndTheTablesAndNothingElse(t *testing.T) {
	Each(t, func(t *testing.T, s *Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
		conn, err := client.Connect(s.Addr, User, Password, "shop")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, allowed := range []string{"SELECT * FROM orders", "SHOW BINARY LOGS"} {
			if _, err := conn.Execute(allowed); err != nil {
				t.Errorf("%s: %v", allowed, err)
			}
		}
		for _, denied := range []string{"INSERT INTO orders VALUES (1)", "FLUSH TABLES", "CREATE DATABASE mine"} {
			if _, err := conn.Execute(denied); err == nil {
				t.Errorf("%s: allowed, want denied", denied)
			}
		}
	})
}

func TestServersAreStrangersToEachOther(t *testing.T) {
	a, b := MySQL(t), MySQL(t)
	const identity = "SELECT @@server_uuid, @@server_id, @@port, @@datadir"
	ofA, ofB := a.Query(t, identity)[0], b.Query(t, identity)[0]
	for i := range ofA {
		if ofA[i] == ofB[i] {
			t.Errorf("%s: both have %q as column %d", identity, ofA[i], i)
		}
	}
}

func TestOptionsOverrideTheDefaults(t *testing.T) {
	s := MariaDB(t, "--binlog-row-image=MINIMAL")
	if got := s.Query(t, "SELECT @@binlog_row_image")[0][0]; got != "MINIMAL" {
		t.Errorf("binlog_row_image: got %s, want MINIMAL", got)
	}
}

func TestPausedServerDoesNotAnswer(t *testing.T) {
	s := MariaDB(t)
	conn := s.Conn(t)
	s.Pause(t)
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping() }() // received from below
	select {
	case err := <-answered:
		t.Fatalf("paused server answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	s.Resume(t)
	if err := <-answered; err != nil {
		t.Errorf("after resume: %v", err)
	}
}

func TestTemplateIsMadeOnceByManyAtTheSameTime(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var made sync.Map
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			program, err := findMariaDB()
			if err != nil {
				t.Error(err)
				return
			}
			dir, err := template(program)
			if err != nil {
				t.Error(err)
				return
			}
			info, err := os.Stat(dir)
			if err != nil {
				t.Error(err)
				return
			}
			made.Store(info.ModTime(), dir)
		})
	}
	wg.Wait()
	n := 0
	made.Range(func(_, _ any) bool { n++; return true })
	if n != 1 {
		t.Errorf("templates: got %d, want 1", n)
	}
}

func TestNothingIsLeftAfterATest(t *testing.T) {
	var dir string
	var pids []int
	t.Run("with servers", func(t *testing.T) {
		db, store := MariaDB(t), S3(t)
		dir, pids = filepath.Dir(db.DataDir), []int{db.PID(), store.process.PID()}
		db.Pause(t) // even then
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: got %v, want it gone", dir, err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: got %v, want it gone", pid, err)
		}
	}
}

func TestStoreKeepsItsObjectsWhenKilledAndHonoursIfNoneMatch(t *testing.T) {
	s := S3(t)
	s.CreateBucket(t, "partner")
	put := func() error {
		_, err := s.Client().PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("partner"), Key: aws.String("p=00/1"), Body: strings.NewReader("one"), IfNoneMatch: aws.String("*"),
		})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := put(); err == nil {
		t.Error("put to a killed store: no error")
	}
	s.Start(t)
	if err := put(); err == nil || !strings.Contains(err.Error(), "PreconditionFailed") {
		t.Errorf("second put: got %v, want PreconditionFailed", err)
	}
	got, err := os.ReadFile(filepath.Join(s.Dir, "partner/p=00/1"))
	if err != nil || string(got) != "one" {
		t.Errorf("object: got %q, %v, want \"one\"", got, err)
	}
}

// echo starts a server that sends back what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends when l is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

// ask sends a line and expects it back within the time.
func ask(conn net.Conn, within time.Duration) error {
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.ReadFull(conn, make([]byte, 6))
	return err
}

func TestProxyBreaksAsTold(t *testing.T) {
	p := NewProxy(t, echo(t))
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	const soon = 5 * time.Second
	conn := dial()
	if err := ask(conn, soon); err != nil {
		t.Fatalf("whole line: %v", err)
	}

	p.Cut()
	if err := ask(conn, soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Cut: got %v, want a broken connection", err)
	}
	conn = dial()
	if err := ask(conn, soon); err != nil {
		t.Errorf("new connection after Cut: %v", err)
	}

	p.Stall()
	if err := ask(conn, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Stall: got %v, want no answer", err)
	}
	p.Restore(t)
	if _, err := io.ReadFull(deadline(conn, soon), make([]byte, 6)); err != nil {
		t.Errorf("what was under way at Stall, after Restore: %v", err)
	}

	p.Delay(60 * time.Millisecond)
	start := time.Now()
	if err := ask(conn, soon); err != nil || time.Since(start) < 120*time.Millisecond {
		t.Errorf("with Delay: got %v after %v, want an answer after 120ms or more", err, time.Since(start))
	}

	p.Refuse()
	if err := ask(conn, soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Refuse: got %v, want a broken connection", err)
	}
	if _, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Refuse: got %v, want refused", err)
	}
	p.Restore(t)
	if err := ask(dial(), soon); err != nil {
		t.Errorf("after Restore: %v", err)
	}
}

func deadline(conn net.Conn, d time.Duration) net.Conn {
	conn.SetReadDeadline(time.Now().Add(d))
	return conn
}

func TestProxyEndsWhileStalled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { // received from below
		defer close(done)
		t.Run("stalled", func(t *testing.T) {
			p := NewProxy(t, echo(t))
			p.Stall()
			conn, err := net.Dial("tcp", p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ask(conn, 10*time.Millisecond)
		})
	}()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the proxy's end hangs")
	}
}
