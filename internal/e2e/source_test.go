package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// The address of the source moves to its replica while everybody writes, and back, and cdcd is killed on the way.
func TestAFailoverOfTheSourceLosesNothing(t *testing.T) {
	t.Parallel()
	// Positions in the log must rise for the checker, so the logs of the servers are named in the order in which they are read.
	a := testenv.MariaDB(t, "--server-id=1", "--log-slave-updates=ON")
	b := testenv.MariaDB(t, "--server-id=2", "--log-slave-updates=ON", "--log-bin=binlog-of-b")
	b.Follow(t, a)
	address := testenv.NewProxy(t, a.Addr)
	n, _ := seed(t)
	w, d, stop := follow(t, a, ledger.Config{Seed: n, Pause: 2 * time.Millisecond, Addr: address.Addr}, options{source: address.Addr})
	time.Sleep(2 * time.Second)
	address.Refuse()
	b.CatchUp(t, a)
	b.Promote(t)
	a.Stop(t)
	d.kill()
	address.Switch(b.Addr)
	address.Restore(t)
	d.start(t)
	time.Sleep(2 * time.Second)
	address.Cut()
	time.Sleep(time.Second)
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
	if lines, err := delivered(d.bucket); err != nil || !strings.Contains(string(lines), `"file":"binlog-of-b.`) {
		t.Errorf("nothing was read from the replica (%v)", err)
	}
}

// The clock of the source is put forward and back by an hour, over midnight and by a day, a table is altered in between, and
// cdcd is killed after each step: numbers decide what comes next, and never a time; each record has the columns of its time.
func TestStepsOfTheClockAndAlteredTablesBreakNothing(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, n INT NOT NULL)")
		d := deploy(t, db, options{})
		d.start(t)
		d.capturing(t)
		midnight := time.Now().UTC().Truncate(24 * time.Hour)
		conn := db.Conn(t)
		var want []string
		for i, step := range []struct {
			clock   time.Duration // after the last midnight
			alter   string
			columns string // and the image of the row
		}{
			{12 * time.Hour, "", `{"id":%d,"n":1}`},
			{13 * time.Hour, "ADD COLUMN note VARCHAR(10) NOT NULL DEFAULT 'x'", `{"id":%d,"n":1,"note":"x"}`},
			{11 * time.Hour, "MODIFY COLUMN n BIGINT NOT NULL", `{"id":%d,"n":1,"note":"x"}`},
			{-time.Minute, "DROP COLUMN n", `{"id":%d,"note":"x"}`},
			{36 * time.Hour, "RENAME COLUMN note TO remark", `{"id":%d,"remark":"x"}`},
			{0, "ADD COLUMN n INT NOT NULL DEFAULT 1 AFTER id", `{"id":%d,"n":1,"remark":"x"}`},
		} {
			at := midnight.Add(step.clock)
			if step.alter != "" {
				db.Exec(t, "ALTER TABLE ledger.t "+step.alter)
			}
			n := ""
			if strings.Contains(step.columns, `"n"`) {
				n = ", n"
			}
			for id := i * 10; id < i*10+3; id++ {
				clock := fmt.Sprintf("SET timestamp = %d", at.Unix())
				if db.Flavor == "mysql" { // which notes when a transaction was committed, and not only when its statements began
					clock = fmt.Sprintf("SET original_commit_timestamp = %d", at.UnixMicro())
				}
				for _, statement := range []string{
					clock,
					fmt.Sprintf("INSERT INTO ledger.t (id%s) VALUES (%d%s)", n, id, strings.Replace(n, "n", "1", 1)),
				} {
					if _, err := conn.Execute(statement); err != nil {
						t.Fatal(statement, err)
					}
				}
				want = append(want, at.Format("2006-01-02T15:04 ")+fmt.Sprintf(step.columns, id))
			}
			d.has(t, fmt.Sprintf(`"key":{"id":%d}`, i*10+2))
			d.kill()
			d.start(t)
		}
		all, err := delivered(d.bucket)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(all)) {
			var record struct {
				CommitTime string `json:"commit_time"`
				After      json.RawMessage
			}
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.Join([]string{record.CommitTime[:16], string(record.After)}, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if days, err := filepath.Glob(filepath.Join(d.bucket, "p=00", "dt=*")); err != nil || len(days) != 2 {
			t.Errorf("objects of the days %q (%v), want today's and tomorrow's: their order is that of the chain", days, err)
		}
		d.capturing(t)
		d.stop(t)
		d.verify(t)
	})
}
