package e2e

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// blackHole takes connections and never says anything.
func blackHole(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_, _ = io.Copy(io.Discard, c) // until the client has enough
				c.Close()
			})
		}
	})
	return l.Addr().String()
}

// The store of one feed hangs from the very start on. The others are delivered all the same, and when the stream is full, what it is kept
// for is given up after the time that the feed may hold it.
func TestAStoreThatHangsFromTheStartHoldsNobodyUpForEver(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, v LONGTEXT)")
	d := deploy(t, db, options{
		rules: strings.Replace(everything, "[acme]", "[acme, hung]", 1),
		feeds: fmt.Sprintf("  hung:\n    to: s3://partner/hung\n    hold: 1m\n    s3: {endpoint: 'http://%s', region: us-east-1, path_style: true, access_key_env: KEY, secret_key_env: SECRET}\n", blackHole(t)),
		env:   []string{"KEY=k", "SECRET=s"},
		more:  "bus: {embedded: {max_bytes: 64MiB}}\n",
	})
	d.start(t)
	logged := func(text string) func() bool {
		return func() bool { return strings.Contains(read(t, d.log), text) }
	}
	await(t, d, "the hung store is gone without", logged(`"event":"feed.unknown","feed":"hung"`))
	rows := 0
	more := func() {
		d.alive(t)
		rows++
		db.Exec(t, fmt.Sprintf("INSERT INTO ledger.t SELECT %d, GROUP_CONCAT(SHA2(RAND() * seq, 512) SEPARATOR '') FROM ledger.seq_1_to_8192", rows))
	}
	await(t, d, "something is delivered", func() bool {
		more()
		return len(keys(t, d.bucket)) > 0
	})
	first, err := strconv.Atoi(keys(t, d.bucket)[0])
	if err != nil {
		t.Fatal(err)
	}
	for rows < 80 { // MiB: more than there is room for
		more()
	}
	await(t, d, "capture waits for the feed", logged(`"event":"capture.held"`))
	for deadline := time.Now().Add(3 * time.Minute); !logged(`"event":"feed.given_up","code":"CDCD-4310","feed":"hung"`)(); time.Sleep(time.Second) {
		if d.alive(t); time.Now().After(deadline) { // it may hold the stream for a minute
			t.Fatalf("the feed is not given up\n%s", d.tail())
		}
	}
	await(t, d, "the other feed has everything", func() bool { return len(keys(t, d.bucket)) >= rows-first+1 })
	for i, key := range keys(t, d.bucket) {
		if key != strconv.Itoa(first+i) {
			t.Fatalf("record %d is of row %s, want %d", i, key, first+i)
		}
	}
	d.stop(t)
}
