package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// slowly writes rules whose look-ups are waited for a short time.
func (l *looking) slowly(onTimeout string) {
	l.t.Helper()
	rules := strings.Replace(lookingRules, "columns: [id, v]", "columns: [id, v], timeout: 300ms, on_timeout: "+onTimeout, 1)
	if err := os.WriteFile(filepath.Join(l.dir, "rules.yaml"), []byte(rules), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// until waits for a condition.
func (l *looking) until(what string, is func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// customers are what delivered orders say of their customers, by order; -1: nothing.
func (l *looking) customers() map[int]int {
	l.t.Helper()
	out := map[int]int{}
	for _, o := range l.delivered() {
		out[o.order] = o.customer
	}
	return out
}

// A replica that has hung up in the middle of a word: a rule goes on without what it would have looked up, or waits, as it says. What
// was decided for want of an answer is decided so again when it is judged again.
func TestASourceOfLookUpsThatHangs(t *testing.T) {
	s := testenv.MariaDB(t)
	proxy := testenv.NewProxy(t, s.Addr) // only look-ups go through it
	l := newLooking(t, s, s.Addr, fmt.Sprintf(", url: 'mariadb://%s@%s', password_env: LOOKING", testenv.User, proxy.Addr))
	l.slowly("null")
	d := l.run()
	d.waitFor(t, "stderr", "reading the source's log")
	l.order(1, 5)
	l.wait(5)
	proxy.Stall()
	l.order(6, 3)
	l.until("three orders without their customers", func() bool { return len(l.customers()) == 8 })
	for order, customer := range l.customers() {
		if (customer < 0) != (order > 5) {
			t.Errorf("order %d came with its customer as of %d", order, customer)
		}
	}
	proxy.Restore(t)
	if code := d.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// A replay finds that there was no answer, though there would be one now.
	again := &looking{t: t, dir: t.TempDir()}
	replay := exec.Command("cdcd", "replay", "-c", filepath.Join(l.dir, "cdcd.yaml"), "--feed", "acme", "--into", "file://"+again.dir+"/out", "--yes")
	replay.Env = append(os.Environ(), "LOOKING="+testenv.Password)
	if out, err := replay.CombinedOutput(); err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	if got, want := again.customers(), l.customers(); !maps.Equal(got, want) {
		t.Errorf("replayed, orders have customers %v, want %v", got, want)
	}

	l.slowly("wait")
	d = l.run()
	d.waitFor(t, "stderr", "reading the source's log")
	proxy.Stall()
	l.order(9, 2)
	d.waitFor(t, "stderr", "CDCD-2240")
	if n := len(l.customers()); n != 8 {
		t.Errorf("%d orders are delivered while the rule waits, want 8", n)
	}
	proxy.Restore(t)
	l.until("the orders that were waited for", func() bool { return len(l.customers()) == 10 })
	for order, customer := range l.customers() {
		if order > 8 && customer < order {
			t.Errorf("order %d came with its customer as of %d", order, customer)
		}
	}
}

// What was read before a kill is not read again: a customer that has changed meanwhile is delivered as it was then.
func TestAnAnswerThatIsKeptSurvivesAKill(t *testing.T) {
	s := testenv.MariaDB(t)
	l := newLooking(t, s, s.Addr)
	config := filepath.Join(l.dir, "cdcd.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// Objects are not cut by themselves: all that is judged is judged again after the kill.
	late := strings.Replace(string(text), "{rows: 20, every: 300ms}", "{rows: 1000, every: 1h}", 1)
	if err := os.WriteFile(config, []byte(late), 0o600); err != nil {
		t.Fatal(err)
	}
	status := func() (asked, kept uint64) {
		cmd := exec.Command("cdcd", "status", "-c", config, "-o", "json")
		cmd.Env = append(os.Environ(), "LOOKING="+testenv.Password)
		out, err := cmd.Output()
		if err != nil {
			return 0, 0
		}
		var st struct {
			Result struct {
				Lookups struct{ Keys, Kept uint64 }
			}
		}
		if err := json.Unmarshal(out, &st); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return st.Result.Lookups.Keys, st.Result.Lookups.Kept
	}
	late = strings.Replace(late, "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort()), 1)
	if err := os.WriteFile(config, []byte(late), 0o600); err != nil {
		t.Fatal(err)
	}
	d := l.run()
	d.waitFor(t, "stderr", "reading the source's log")
	l.order(1, 3)
	l.until("three customers are looked up", func() bool { asked, _ := status(); return asked >= 3 })
	d.end(t, syscall.SIGKILL)
	s.Exec(t, "UPDATE shop.customers SET v = 1000")
	d = l.run()
	l.until("what was read is used again", func() bool { _, kept := status(); return kept > 0 })
	if asked, _ := status(); asked > 0 {
		t.Errorf("%d keys were asked for again", asked)
	}
	if code := d.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l.run()
	l.wait(3)
	for order, customer := range l.customers() {
		if customer == 1000 {
			t.Errorf("order %d came with its customer as of after the kill", order)
		}
	}
}
