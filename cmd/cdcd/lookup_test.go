package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// looking is a shop whose orders are delivered with their customers. Each transaction changes a customer and adds an order that
// says what the customer is like then.
type looking struct {
	t      *testing.T
	dir    string
	server *testenv.Server
	addr   string
}

const lookingRules = `version: 1
rules:
  - name: orders
    tables: [shop.orders]
    on: [insert]
    lookup:
      customer: {table: shop.customers, by: {id: after.customer}, columns: [id, v]}
    to: [acme]
`

func newLooking(t *testing.T, s *testenv.Server, addr string, more ...string) *looking {
	l := &looking{t: t, dir: t.TempDir(), server: s, addr: addr}
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.customers (id INT PRIMARY KEY, v INT, note TEXT)", "CREATE TABLE shop.orders (id INT PRIMARY KEY, customer INT, v INT)",
		"INSERT INTO shop.customers VALUES (0, 0, 'a'), (1, 0, 'b'), (2, 0, 'c')")
	text := fmt.Sprintf(`version: 1
name: shop
data: ./data
source:
  mysql:
    url: %s://%s@%s
    password_env: LOOKING
    tables: [shop.orders]
    lookup: {timeout: 2s%s}
rules: [rules.yaml]
console: {listen: 127.0.0.1:0}
feeds:
  acme: {to: file://./out, compress: none, rotate: {rows: 20, every: 300ms}}
`, s.Flavor, testenv.User, addr, strings.Join(more, ""))
	for name, text := range map[string]string{"cdcd.yaml": text, "rules.yaml": lookingRules} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// order makes n transactions, the first of which is order number from.
func (l *looking) order(from, n int) {
	l.t.Helper()
	var statements []string
	for id := from; id < from+n; id++ {
		statements = append(statements, "BEGIN", fmt.Sprintf("UPDATE shop.customers SET v = %d WHERE id = %d", id, id%3), fmt.Sprintf("INSERT INTO shop.orders VALUES (%d, %d, %d)", id, id%3, id), "COMMIT")
	}
	l.server.Exec(l.t, statements...)
}

// run starts cdcd as a process of its own.
func (l *looking) run() *demoRun {
	l.t.Helper()
	d := &demoRun{cmd: exec.Command("cdcd", "run", "-c", filepath.Join(l.dir, "cdcd.yaml")), folder: l.t.TempDir()}
	d.cmd.Env = append(os.Environ(), "LOOKING="+testenv.Password)
	out, err := os.Create(filepath.Join(d.folder, "stderr"))
	if err != nil {
		l.t.Fatal(err)
	}
	defer out.Close() // the process has its own
	d.cmd.Stdout, d.cmd.Stderr = out, out
	if err := d.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill() // it may have ended
			_ = d.cmd.Wait()
		}
		if l.t.Failed() {
			l.t.Logf("%.4000s", d.said("stderr"))
		}
	})
	return d
}

// delivered reads all records that are in objects.
func (l *looking) delivered() (orders []struct{ order, v, customer int }) {
	l.t.Helper()
	err := filepath.WalkDir(filepath.Join(l.dir, "out"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return nil // the folder is made with the first object
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r struct {
				After struct{ ID, V int }
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return fmt.Errorf("%s: %w", lines.Bytes(), err)
			}
			m := regexp.MustCompile(`"customer":\{[^}]*"v":(\d+)`).FindStringSubmatch(lines.Text())
			v := -1
			if m != nil {
				fmt.Sscan(m[1], &v)
			}
			orders = append(orders, struct{ order, v, customer int }{r.After.ID, r.After.V, v})
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return orders
}

// wait waits until orders 1 to n are delivered, and checks that each came once and with its customer as of it or later.
func (l *looking) wait(n int) {
	l.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		orders := l.delivered()
		if len(orders) >= n {
			seen := map[int]bool{}
			for _, o := range orders {
				if seen[o.order] {
					l.t.Errorf("order %d was delivered twice", o.order)
				}
				seen[o.order] = true
				if o.customer < o.v {
					l.t.Errorf("order %d came with its customer as of %d", o.order, o.customer)
				}
			}
			if len(seen) != n {
				l.t.Errorf("%d orders, want %d", len(seen), n)
			}
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%d of %d orders were delivered", len(orders), n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Orders are delivered with their customers while cdcd is killed, the server restarts, and look-ups cannot be answered for a while.
func TestLookUpsAreDeliveredThroughKillsAndRestarts(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		proxy := testenv.NewProxy(t, s.Addr)
		l := newLooking(t, s, proxy.Addr)
		d := l.run()
		d.waitFor(t, "stderr", "reading the source's log")
		l.order(1, 30)
		l.wait(30)

		l.order(31, 30)
		d.end(t, syscall.SIGKILL)
		d = l.run()
		l.order(61, 30)
		l.wait(90)

		proxy.Refuse()
		l.order(91, 30)
		s.Kill()
		s.Start(t)
		proxy.Restore(t)
		l.wait(120)
		if code := d.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// A replica that lags is waited for: nothing is delivered before it has the change.
func TestLookUpsWaitForTheReplica(t *testing.T) {
	s, replica := testenv.MariaDB(t, "--server-id=1", "--log-slave-updates=ON"), testenv.MariaDB(t, "--server-id=2", "--log-slave-updates=ON")
	replica.Follow(t, s)
	l := newLooking(t, s, s.Addr, fmt.Sprintf(", url: 'mariadb://%s@%s', password_env: LOOKING", testenv.User, replica.Addr))
	replica.CatchUp(t, s)
	d := l.run()
	d.waitFor(t, "stderr", "reading the source's log")
	l.order(1, 5)
	l.wait(5)
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	l.order(6, 5)
	d.waitFor(t, "stderr", "CDCD-1345")
	if n := len(l.delivered()); n != 5 {
		t.Errorf("%d orders are delivered, want 5", n)
	}
	replica.Exec(t, "START SLAVE SQL_THREAD")
	l.wait(10)
}

func TestCheckSaysHowLookUpsAreDone(t *testing.T) {
	s := testenv.MySQL(t)
	l := newLooking(t, s, s.Addr)
	rules := strings.Replace(lookingRules, "    to: [acme]", "      others: {table: shop.customers, by: {v: after.v}, rows: many}\n    to: [acme]", 1)
	if err := os.WriteFile(filepath.Join(l.dir, "rules.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOOKING", testenv.Password)
	var out strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run(ctx, []string{"check", "-c", filepath.Join(l.dir, "cdcd.yaml"), "-o", "json"}, strings.NewReader(""), &out, &out)
	for _, want := range []string{`"name":"lookup.orders.customer","verdict":"ok"`, `"name":"lookup.orders.others","verdict":"warn"`, "CDCD-1347", "ADD INDEX (v)", "every rule fits its tables"} {
		if !strings.Contains(strings.ReplaceAll(out.String(), `": "`, `":"`), want) && !strings.Contains(strings.Join(strings.Fields(out.String()), ""), strings.ReplaceAll(want, " ", "")) {
			t.Errorf("check does not say %s:\n%s", want, out.String())
		}
	}
}
