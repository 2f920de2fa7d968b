package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// On a NATS server that several share, nothing keeps a resync from being done beside a running capture: that loses the
// stream to it, stands by, and goes on in the new epoch.
func TestAResyncFencesTheCaptureThatRuns(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY)")
	o := options{nats: startNATS(t).URL}
	a := deploy(t, db, o)
	a.start(t)
	a.capturing(t)
	db.Exec(t, "INSERT INTO ledger.t VALUES (1)")
	a.has(t, `"after":{"id":1}`)

	b := deploy(t, db, o) // with a data folder of its own
	if stdout, stderr, code := b.cdcd(t, "resync", "--yes", "--reason", "drill"); code != 0 {
		t.Fatalf("resync: exit code %d\n%s%s", code, stdout, stderr)
	}
	db.Exec(t, "INSERT INTO ledger.t VALUES (2)")
	a.has(t, `"after":{"id":2}`)
	lines, err := delivered(a.bucket)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(lines), "\n"); n != 2 || !strings.Contains(string(lines), `"no":2,"part_no":2}`) {
		t.Errorf("delivered:\n%s", lines)
	}
	log := read(t, a.log)
	for _, event := range []string{"capture.standby", "capture.takeover"} {
		if strings.Count(log, `"event":"`+event+`"`) != 1 {
			t.Errorf("%s is not in the log once:\n%s", event, a.tail())
		}
	}
	a.stop(t)
	a.verify(t)
	if note := read(t, b.dir+"/cdcd-data/resync.jsonl"); !regexp.MustCompile(`"reason":"drill".*"from":\{"epoch":"[0-9a-f]{8}00.*"to":\{"epoch":"[0-9a-f]{8}01.*"first_no":2,`).MatchString(note) {
		t.Errorf("resync.jsonl:\n%s", note)
	}
}

// has waits until what was delivered contains a text.
func (d *deployment) has(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		lines, err := delivered(d.bucket)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(lines), text) {
			return
		}
		d.alive(t)
		if time.Now().After(deadline) {
			t.Fatalf("%s is not delivered\n%s", text, d.tail())
		}
	}
}
