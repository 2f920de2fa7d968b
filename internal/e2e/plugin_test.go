package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/wasm"
)

const filteredRule = `version: 1
rules:
  - name: judged
    tables: [ledger.t]
    on: [insert, update]
    when: after.id > 0
    filter: {plugin: guest}
    to: [acme]
`

// guestPlugin returns a plugin that does with a change what a column of it says: 0 drop, 1 keep, 2 keep with another note, 4 break down.
func guestPlugin(t *testing.T, version, column string) []byte {
	t.Helper()
	module, err := os.ReadFile("../../wasm/testdata/guest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	module, err = wasm.AppendManifest(module, fmt.Appendf(nil, `{"abi": "cdc1", "name": "guest", "version": %q,
		"columns": [%q, {"name": "arg", "optional": true}, "note"], "edits": ["note"]}`, version, column))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// install puts a version of the plugin into the folder of a deployment, at once.
func (d *deployment) install(t *testing.T, module []byte) {
	t.Helper()
	name := filepath.Join(d.dir, "plugins", "guest.wasm")
	write(t, name+".new", string(module))
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// filteredLines reads the stream and the rule store, and returns what is to be delivered, as "id note", when a change is judged by the version of
// the plugin that the revision which its frame names has: by the column that this version looks at. versions counts the records of each.
func filteredLines(t *testing.T, cfg bus.Config, columns map[string]string) (want, poisoned []string, versions map[string]int) {
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
	versions = map[string]int{}
	err = stream.Read(ctx, info.First, info.Last, func(ctx context.Context, b *cdc.Batch) error {
		if b.Len() == 0 {
			return nil
		}
		st, err := store.Resolve(ctx, b.Rules, b.Seq)
		if err != nil {
			return err
		}
		digest := st.Rules["judged"].Plugin
		column, known := columns[digest]
		if !known {
			return fmt.Errorf("revision %s has a plugin that was never installed: %q", b.Rules, digest)
		}
		for i := range b.Len() {
			e := b.Event(i)
			row := e.After()
			value := func(name string) cdc.Value { return row.Value(e.Table().Column(name)) }
			id, note := value("id").Int64(), value("note").Text()
			switch value(column).Int64() {
			case 1:
				want = append(want, fmt.Sprintf("%d %s", id, note))
			case 2:
				want = append(want, fmt.Sprintf("%d edited", id))
			case 4:
				poisoned = append(poisoned, fmt.Sprint(id))
				continue
			default:
				continue
			}
			versions[column]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want, poisoned, versions
}

// notes returns what is in the bucket in the form of filteredLines.
func notes(t *testing.T, bucket string) (got []string) {
	t.Helper()
	all, err := delivered(bucket)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(all) {
		var record struct {
			After struct {
				ID   int64
				Note string
			}
		}
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s", record.After.ID, record.After.Note))
	}
	return got
}

// The plugin of a rule is replaced by another version, and back, while changes come and everything is killed: each change is judged by the
// version that holds for its frame, wherever and however often that happens, and what it broke down on is kept aside once.
func TestAPluginIsReplacedWhileChangesComeAndNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id BIGINT PRIMARY KEY, one BIGINT NOT NULL, two BIGINT NOT NULL, note VARCHAR(20) NOT NULL)")
	_, random := seed(t)
	nats := startNATS(t)
	d := deploy(t, db, options{nats: nats.URL, rules: filteredRule})
	one, two := guestPlugin(t, "1.0.0", "one"), guestPlugin(t, "2.0.0", "two")
	columns := map[string]string{wasm.Digest(one): "one", wasm.Digest(two): "two"}
	d.install(t, one)
	d.start(t)
	d.capturing(t)

	stop := make(chan struct{})
	last := 0 // id of the last row, which both versions keep or break down on; to be read when writing has ended
	var writing sync.WaitGroup
	writing.Go(func() { // waited for below
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				poison := 1
				if n%1000 == 0 { // slower than leaves are written
					poison = 4
				}
				db.Exec(t, fmt.Sprintf("INSERT INTO ledger.t VALUES (%d, 1, 2, 'a'), (%d, 0, 1, 'b'), (%d, 2, 0, 'c'), (%d, %d, %d, 'd')", 4*n, 4*n+1, 4*n+2, 4*n+3, poison, poison))
				last = 4*n + 3
			}
		}
	})
	for i := range 4 {
		time.Sleep(time.Duration(500+random.IntN(2500)) * time.Millisecond)
		d.install(t, [][]byte{two, one}[i%2])
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		if i%2 == 0 {
			d.alive(t)
			d.kill()
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			d.start(t)
		}
	}
	time.Sleep(5 * time.Second)
	close(stop)
	writing.Wait()
	var want, poisoned, got []string
	var versions map[string]int
	for began := time.Now(); time.Since(began) < 60*time.Second; time.Sleep(200 * time.Millisecond) {
		want, poisoned, versions = filteredLines(t, bus.Config{URL: nats.URL}, columns)
		captured := slices.Contains(want, fmt.Sprintf("%d d", last)) || slices.Contains(poisoned, fmt.Sprint(last))
		if got = notes(t, d.bucket); captured && len(got) >= len(want) {
			break
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("record %d: %d are delivered, of %d; from there on %.3q instead of %.3q\n%s", i, len(got), len(want), got[min(i, len(got)):], want[min(i, len(want)):], d.tail())
			}
		}
	}
	t.Logf("%d records by versions %v, %d changes that the plugin broke down on", len(want), versions, len(poisoned))
	if versions["one"] == 0 || versions["two"] == 0 || len(poisoned) == 0 {
		t.Errorf("judged by versions %v, %d broke down: the test has shown nothing", versions, len(poisoned))
	}

	listed, _, _ := d.cdcd(t, "plugin", "list", "-o", "json")
	if !strings.Contains(listed, `"state": "running"`) {
		t.Errorf("plugin list: %s", listed)
	}
	d.stop(t)
	d.verify(t)
	verdict, _, _ := d.cdcd(t, "audit", "verify", "-o", "json")
	var audit struct{ Result struct{ Traps int } }
	if err := json.Unmarshal([]byte(verdict), &audit); err != nil || audit.Result.Traps != len(poisoned) {
		t.Errorf("the audit log has %d changes that the plugin broke down on, want %d: %s", audit.Result.Traps, len(poisoned), verdict)
	}
	letters, err := delivered(filepath.Join(d.dir, "cdcd-data", "dead-letters", "acme"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(letters, []byte("\n")); n != len(poisoned) {
		t.Errorf("%d dead letters, want %d", n, len(poisoned))
	}
}
