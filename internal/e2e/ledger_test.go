package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// capturing waits until cdcd follows the source: without a snapshot, changes from before that are not delivered.
func (d *deployment) capturing(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		stdout, stderr, code := d.cdcd(t, "status", "-o", "json")
		if code == 0 {
			return
		}
		d.alive(t)
		if time.Now().After(deadline) {
			t.Fatalf("not ready after a minute: %s%s\n%s", stdout, stderr, d.tail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// follow makes the ledger's tables, starts cdcd, and when it follows the source the workload; stop ends that.
func follow(t *testing.T, db *testenv.Server, c ledger.Config, o options) (w *ledger.Workload, d *deployment, stop func()) {
	t.Helper()
	w, run := workload(t, db, c)
	d = deploy(t, db, o)
	d.start(t)
	d.capturing(t)
	return w, d, run()
}

func TestEveryCommittedChangeIsDeliveredExactlyOnceInOrder(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"files", "s3"} {
		t.Run(to, func(t *testing.T) {
			testenv.Each(t, func(t *testing.T, db *testenv.Server) {
				n, _ := seed(t)
				o := options{}
				if to == "s3" {
					o.store = testenv.S3(t)
					o.store.CreateBucket(t, "partner")
				}
				w, d, stop := follow(t, db, ledger.Config{Seed: n, ChangeKeys: true}, o)
				time.Sleep(5 * time.Second)
				stop()
				settle(t, w, ledger.Want{}, d)
				d.stop(t)
				d.verify(t)
			})
		})
	}
}

func TestOnlyWhatMatchesIsDelivered(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	w, d, stop := follow(t, db, ledger.Config{Seed: n}, options{rules: `version: 1
rules:
  - name: updates-and-deletes
    tables: [ledger.accounts]
    on: [update, delete]
    to: [acme]
`})
	time.Sleep(4 * time.Second)
	stop()
	settle(t, w, ledger.Want{Matches: func(c ledger.Change) bool { return c.Table == "accounts" && c.Op != "insert" }}, d)
	d.stop(t)
	d.verify(t)
}

func TestNothingIsLostOrDoubledWhenKilled(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		n, random := seed(t)
		o := options{}
		if random.IntN(2) == 0 {
			o.store = testenv.S3(t)
			o.store.CreateBucket(t, "partner")
		}
		w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, o)
		for i := range kills(t) {
			// From before anything is open to well into delivery.
			time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
			d.alive(t)
			d.kill()
			if i%5 == 4 {
				time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
			}
			d.start(t)
		}
		time.Sleep(time.Second)
		stop()
		settle(t, w, ledger.Want{}, d)
		d.stop(t)
		d.verify(t)
	})
}

// Two cdcd that share a NATS server, each with a data folder of its own, deliver to the same place.
func TestASecondCdcdStartedByMistakeDoesNoHarm(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, random := seed(t)
	nats := startNATS(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	o := options{nats: nats.URL, store: store}
	w, a, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, o)
	b := deploy(t, db, o)
	time.Sleep(time.Second)
	b.start(t)
	time.Sleep(4 * time.Second)
	for range 4 {
		victim := []*deployment{a, b}[random.IntN(2)]
		victim.alive(t)
		victim.kill()
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
		victim.start(t)
		time.Sleep(2 * time.Second)
	}
	stop()
	settle(t, w, ledger.Want{}, a, b)
	a.stop(t)
	b.stop(t)
	a.verify(t)
	b.verify(t)
}

func TestOutagesAreWaitedOut(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, random := seed(t)
	nats := startNATS(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	toStore := testenv.NewProxy(t, store.Addr)
	toDB := testenv.NewProxy(t, db.Addr)
	w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond},
		options{nats: nats.URL, store: store, s3: "http://" + toStore.Addr, source: toDB.Addr})
	outages := map[string]func(){
		"database cut":       func() { toDB.Cut() },
		"database refuses":   func() { toDB.Refuse(); time.Sleep(2 * time.Second); toDB.Restore(t) },
		"database restarted": func() { db.Stop(t); db.Start(t) },
		"database killed":    func() { db.Kill(); db.Start(t) },
		"store cut":          func() { toStore.Cut() },
		"store refuses":      func() { toStore.Refuse(); time.Sleep(2 * time.Second); toStore.Restore(t) },
		"store stalls":       func() { toStore.Stall(); time.Sleep(2 * time.Second); toStore.Restore(t) },
		"store killed":       func() { store.Kill(); time.Sleep(time.Second); store.Start(t) },
		"nats restarted":     func() { nats.Stop(); time.Sleep(time.Second); nats.Start(t) },
	}
	names := make([]string, 0, len(outages))
	for name := range outages {
		names = append(names, name)
	}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		t.Log(name)
		outages[name]()
		time.Sleep(1500 * time.Millisecond)
		d.alive(t)
	}
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
}

func TestAuditNamesWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	w, d, stop := follow(t, db, ledger.Config{Seed: n}, options{})
	time.Sleep(2 * time.Second)
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
	files, err := objects(d.bucket)
	if err != nil || len(files) < 3 {
		t.Fatalf("%d objects, %v", len(files), err)
	}
	tamper(t, files[1])
	stdout, stderr, code := d.cdcd(t, "audit", "verify", "--objects")
	if name := objectName.FindString(filepath.Base(files[1])); code != 1 || !strings.Contains(stdout+stderr, name) {
		t.Errorf("an object was altered; audit verify --objects: exit code %d, want 1 and the name %s\n%s%s", code, name, stdout, stderr)
	}
	if stdout, stderr, code := d.cdcd(t, "audit", "verify"); code != 0 {
		t.Errorf("audit verify without --objects: exit code %d, want 0\n%s%s", code, stdout, stderr)
	}
}

func TestStatusTellsWhatIsBrokenAndThatItWasMended(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 20 * time.Millisecond}, options{store: store})
	until := func(what string, want int, says string) {
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for {
			stdout, stderr, code := d.cdcd(t, "status")
			if code == want && strings.Contains(stdout, says) {
				return
			}
			d.alive(t)
			if time.Now().After(deadline) {
				t.Fatalf("%s: status has exit code %d after a minute, want %d and %q\n%s%s", what, code, want, says, stdout, stderr)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	store.Kill()
	until("store killed", 1, "feed acme")
	store.Start(t)
	until("store back", 0, "✓ ready")
	db.Kill()
	until("database killed", 1, "CDCD-1101")
	db.Start(t)
	until("database back", 0, "✓ ready")
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
}

// A dead letter is kept at once, what matched before it may wait for its object.
func TestDeadLettersAreKeptOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, n INT NOT NULL)")
	_, random := seed(t)
	d := deploy(t, db, options{rotate: "{every: 1h, rows: 100000}", rules: `version: 1
rules:
  - name: divides
    tables: [ledger.t]
    when: 100 / after.n > 0
    on: [insert]
    to: [acme]
`})
	d.start(t)
	d.capturing(t)
	const rows = 400
	for id := range rows {
		db.Exec(t, fmt.Sprintf("INSERT INTO ledger.t VALUES (%d, %d)", id, id%4)) // every fourth fails
		if id%50 == 49 {
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			d.kill()
			d.start(t)
		}
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		letters, err := delivered(filepath.Join(d.dir, "cdcd-data", "dead-letters", "acme"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(letters), `"errors":[{"rule":"divides"`); got == rows/4 {
			for id := range rows {
				if want, got := id%4 == 0, strings.Contains(string(letters), fmt.Sprintf(`"key":{"id":%d}`, id)); got != want {
					t.Fatalf("a dead letter for row %d: %v, want %v", id, got, want)
				}
			}
			break
		} else if got > rows/4 || time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d\n%s", got, rows/4, d.tail())
		}
		d.alive(t)
		time.Sleep(100 * time.Millisecond)
	}
	d.stop(t)
	d.verify(t)
}
