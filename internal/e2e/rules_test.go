package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

const oneRule = `version: 1
rules:
  - name: divides
    tables: [ledger.t]
    on: [insert, update]
    when: after.n %% %d == 0
    to: [acme]
`

// judged judges the whole stream by the revisions that its frames name, and returns what is to be delivered: the IDs of
// events with the versions of the rules that matched. revisions are how many frames name each.
func judged(t *testing.T, cfg bus.Config) (want []string, revisions map[uint64]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg.Source, cfg.Writer = "ledger", "checker"
	stream, err := bus.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	store, err := stream.Rules(ctx)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sets := map[cdc.Revision]*rules.Set{}
	revisions = map[uint64]int{}
	err = stream.Read(ctx, info.First, info.Last, func(ctx context.Context, b *cdc.Batch) error {
		revisions[b.Rules.No]++
		if sets[b.Rules] == nil {
			st, err := store.Resolve(ctx, b.Rules, b.Seq)
			if err != nil {
				return err
			}
			var all []*rules.Rule
			for _, name := range slices.Sorted(maps.Keys(st.Rules)) {
				r, err := rules.ParseText(name, st.Rules[name].Text)
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			if sets[b.Rules], err = rules.New(all); err != nil {
				return err
			}
		}
		for i := range b.Len() {
			e := b.Event(i)
			line := e.ID()
			for _, m := range sets[b.Rules].Decide(e).Matches {
				line += " " + m.Version
			}
			if strings.Contains(line, " ") {
				want = append(want, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want, revisions
}

// lines returns what is in the bucket in the form of judged.
func lines(t *testing.T, bucket string) (got []string) {
	t.Helper()
	all, err := delivered(bucket)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(all) {
		var record struct {
			ID    string
			Rules []struct{ Version string }
		}
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		text := record.ID
		for _, r := range record.Rules {
			text += " " + r.Version
		}
		got = append(got, text)
	}
	return got
}

// same waits until the bucket holds exactly what the stream, judged by its revisions, says.
func same(t *testing.T, want []string, bucket string, ds ...*deployment) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	got := lines(t, bucket)
	for ; !slices.Equal(got, want) && time.Now().Before(deadline); got = lines(t, bucket) {
		time.Sleep(200 * time.Millisecond)
	}
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("record %d of %d: got %q, want %q", i, len(want), slices.Concat(got, make([]string, len(want)))[i], slices.Concat(want, make([]string, len(got)))[i])
			break
		}
	}
	for _, d := range ds {
		t.Logf("log of %s\n%s", d.dir, d.tail())
	}
	t.FailNow()
}

// Revisions are published while changes are captured here and judged elsewhere, and everything is killed again and again:
// what is delivered is what judging the stream once more says, record by record.
func TestEveryChangeIsJudgedByTheRevisionThatItNamesWhateverIsKilled(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT NOT NULL)")
	_, random := seed(t)
	nats := startNATS(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	o := options{nats: nats.URL, store: store, rules: fmt.Sprintf(oneRule, 1)}
	a, b := deploy(t, db, o), deploy(t, db, o)
	a.start(t)
	a.capturing(t)
	b.start(t)

	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { // waited for below
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				db.Exec(t, fmt.Sprintf("INSERT INTO ledger.t (n) VALUES (%d), (%d), (%d)", 3*n, 3*n+1, 3*n+2))
			}
		}
	})
	published := 0
	for i := range 12 {
		from := []*deployment{a, b}[random.IntN(2)]
		write(t, filepath.Join(from.dir, "draft.yaml"), fmt.Sprintf(oneRule, 2+i))
		if _, stderr, code := from.cdcd(t, "rules", "push", filepath.Join(from.dir, "draft.yaml"), "--base", fmt.Sprint(1+published), "--why", "test"); code == 0 {
			published++
		} else {
			t.Logf("not published: %s", stderr) // it may have been, and only the answer was lost
			if stdout, _, code := from.cdcd(t, "rules", "list", "-o", "json"); code == 0 {
				var list struct{ Result struct{ Revision int } }
				if json.Unmarshal([]byte(stdout), &list) == nil && list.Result.Revision > 0 {
					published = list.Result.Revision - 1
				}
			}
		}
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		if victim := []*deployment{a, b}[random.IntN(2)]; i%2 == 0 {
			victim.alive(t)
			victim.kill()
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			victim.start(t)
		}
	}
	time.Sleep(3 * time.Second)
	close(stop)
	writing.Wait()
	time.Sleep(2 * time.Second)
	want, revisions := judged(t, bus.Config{URL: nats.URL})
	same(t, want, a.bucket, a, b)
	t.Logf("%d records by revisions %v", len(want), revisions)
	if len(revisions) < 4 || revisions[0] > 0 || len(want) == 0 {
		t.Errorf("frames name the revisions %v, want at least four, and none without", revisions)
	}
	a.stop(t)
	b.stop(t)
	a.start(t) // its log may not have the other's last object yet; a start sees to that
	a.capturing(t)
	a.stop(t)
	a.verify(t)
}

// Two cdcd with different rule files share one stream, so they share the rules: what was captured before the second came is
// judged by the first's, what came after by the second's, by both.
func TestOfTwoCdcdWithOtherRuleFilesBothJudgeTheSame(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, n INT NOT NULL)")
	nats := startNATS(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	o := options{nats: nats.URL, store: store, rotate: "{every: 1h, rows: 1000}", rules: fmt.Sprintf(oneRule, 1)}
	a := deploy(t, db, o)
	o.rules = fmt.Sprintf(oneRule, 2)
	b := deploy(t, db, o)
	a.start(t)
	a.capturing(t)
	db.Exec(t, "INSERT INTO ledger.t VALUES (1, 1), (2, 2)")
	time.Sleep(2 * time.Second) // a holds the matches in its draft
	b.start(t)
	deadline := time.Now().Add(60 * time.Second)
	for stdout := ""; !strings.Contains(stdout, `"revision": 2`); {
		stdout, _, _ = a.cdcd(t, "status", "-o", "json")
		if time.Now().After(deadline) {
			t.Fatalf("revision 2 is not in force:\n%s\n%s", stdout, b.tail())
		}
	}
	db.Exec(t, "INSERT INTO ledger.t VALUES (3, 3), (4, 4)")
	time.Sleep(2 * time.Second)
	a.kill()
	b.kill()
	write(t, filepath.Join(a.dir, "cdcd.yaml"), strings.Replace(read(t, filepath.Join(a.dir, "cdcd.yaml")), "every: 1h", "every: 100ms", 1))
	a.start(t)
	a.capturing(t)
	want, revisions := judged(t, bus.Config{URL: nats.URL})
	same(t, want, a.bucket, a)
	if len(want) != 3 || revisions[1] == 0 || revisions[2] == 0 {
		t.Errorf("got %q by revisions %v, want rows 1, 2 and 4 by two", want, revisions)
	}
	a.stop(t)
	a.verify(t)
}

// A stream of a version before revisions: its frames name none, and are judged by what the rule files said when this version
// was first run, for good.
func TestAStreamFromBeforeRevisionsIsJudgedByTheFilesOfTheUpgrade(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, n INT NOT NULL)")
	nats := startNATS(t)
	d := deploy(t, db, options{nats: nats.URL, rules: fmt.Sprintf(oneRule, 3)})
	captureWithoutRevisions(t, db, nats, func() { db.Exec(t, "INSERT INTO ledger.t VALUES (1, 1), (2, 2), (3, 3), (4, 4)") })

	d.start(t)
	d.capturing(t)
	if _, stderr, code := d.cdcd(t, "rules", "mode", "divides", "off", "--why", "so that what is judged again would be missing"); code != 0 {
		t.Fatal(stderr)
	}
	d.kill()
	db.Exec(t, "INSERT INTO ledger.t VALUES (5, 6)") // by the new revision: nothing
	d.start(t)
	d.capturing(t)
	if _, stderr, code := d.cdcd(t, "rules", "mode", "divides", "active", "--why", "again"); code != 0 {
		t.Fatal(stderr)
	}
	deadline := time.Now().Add(30 * time.Second)
	for stdout := ""; !strings.Contains(stdout, `"revision": 3`); stdout, _, _ = d.cdcd(t, "status", "-o", "json") {
		if time.Now().After(deadline) {
			t.Fatal(d.tail())
		}
	}
	db.Exec(t, "INSERT INTO ledger.t VALUES (6, 9)")
	for deadline = time.Now().Add(30 * time.Second); len(lines(t, d.bucket)) < 2 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	all, err := delivered(d.bucket)
	if err != nil || strings.Count(string(all), "\n") != 2 || !strings.Contains(string(all), `"key":{"id":3}`) || !strings.Contains(string(all), `"key":{"id":6}`) {
		t.Fatalf("got %s (%v), want rows 3 and 6\n%s", all, err, d.tail())
	}
	d.stop(t)
	d.verify(t)
	want, revisions := judged(t, bus.Config{URL: nats.URL})
	same(t, want, d.bucket, d)
	if revisions[0] == 0 || revisions[3] == 0 {
		t.Errorf("frames name the revisions %v, want none and 3 among them", revisions)
	}
}

// captureWithoutRevisions captures as versions before revisions did, until what happens is in the stream.
func captureWithoutRevisions(t *testing.T, db *testenv.Server, nats *natsServer, happens func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := bus.Open(ctx, bus.Config{Source: "ledger", URL: nats.URL, Writer: "old"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	publisher, err := stream.Publisher(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	began, rows := make(chan struct{}), 0
	source, err := mysql.New(mysql.Config{Name: "ledger", Addr: db.Addr, User: testenv.User, Password: testenv.Password, Writer: "old",
		Tables: []string{"ledger.*"}, Epoch: 1<<63 | 1<<32, MaxFrame: stream.MaxFrame(), Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends before the capture does
		<-began
		happens()
	}()
	err = source.Run(ctx, cdc.Checkpoint{}, func(ctx context.Context, b *cdc.Batch) error {
		if err := publisher.Handle(ctx, b); err != nil {
			return err
		}
		if rows == 0 && b.Len() == 0 {
			select {
			case <-began:
			default:
				close(began)
			}
		}
		if rows += b.Len(); rows >= 4 {
			return errCaptured
		}
		return nil
	})
	if !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	if err := publisher.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

var errCaptured = errors.New("all is captured")
