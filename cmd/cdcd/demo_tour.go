package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
	"github.com/cdcd-project/cdcd/sinks/file"
)

// demoCount is what is on disk, as the partner finds it.
type demoCount struct {
	objects     int
	records     int
	byRule      map[string]int
	doubles     int // records whose id another one has too
	unreadable  int // objects
	deadLetters int
}

// count reads all objects and dead letters.
func (d *demo) count() (demoCount, error) {
	c := demoCount{byRule: map[string]int{}}
	seen := map[string]bool{}
	var err error
	c.objects, c.unreadable, err = readLines(filepath.Join(d.folder, "objects"), func(line []byte) error {
		var record struct {
			ID    string
			Rules []struct{ Name string }
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return err
		}
		c.records++
		for _, r := range record.Rules {
			c.byRule[r.Name]++
		}
		if seen[record.ID] {
			c.doubles++
		}
		seen[record.ID] = true
		return nil
	})
	if err != nil {
		return c, err
	}
	_, bad, err := readLines(filepath.Join(d.folder, "dead-letters"), func(line []byte) error {
		_, err := deadletter.Parse(line)
		c.deadLetters++
		return err
	})
	c.unreadable += bad
	return c, err
}

// readLines reads the lines of all objects below a folder, and returns the numbers of objects and of those among them
// that are not what they should be.
func readLines(folder string, line func([]byte) error) (objects, unreadable int, err error) {
	zr, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return 0, 0, err
	}
	defer zr.Close()
	err = filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil // nothing is delivered yet
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != folder:
			return fs.SkipDir // the store's own
		case entry.IsDir() && name == filepath.Join(folder, redrivenName):
			return fs.SkipDir // a chain of its own, which no change of the recording makes
		case entry.IsDir() || !strings.Contains(entry.Name(), ".jsonl"):
			return nil
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
		objects++
		if strings.HasSuffix(name, ".zst") {
			if body, err = zr.DecodeAll(body, nil); err != nil {
				unreadable++
				return nil
			}
		}
		for l := range bytes.Lines(body) {
			if line(l) != nil {
				unreadable++
				return nil
			}
		}
		return nil
	})
	return objects, unreadable, err
}

// demoVerdict is what demo --once prints.
type demoVerdict struct {
	Folder  string        `json:"folder,omitempty"` // where everything was kept
	Source  string        `json:"source"`           // live or recorded
	Objects int           `json:"objects"`
	First   float64       `json:"first_object_seconds"` // from the start of the demo
	Checks  []demoCheck   `json:"checks"`
	Audit   *audit.Report `json:"audit"`
}

// demoCheck compares what was captured and delivered with what the shop counted itself.
type demoCheck struct {
	What string `json:"what"`
	Got  int    `json:"got"`
	Want int    `json:"want"`
}

func (v demoVerdict) ok() bool {
	for _, c := range v.Checks {
		if c.Got != c.Want {
			return false
		}
	}
	return v.Audit.Bad == nil
}

// verify counts what is there when everything has been delivered. It looks at nothing that the pipeline has in memory:
// the stream, the objects, the dead letters and the audit log are read again from disk.
func (d *demo) verify(ctx context.Context) (demoVerdict, error) {
	v := demoVerdict{Folder: d.data, Source: d.source, First: d.firstObject.Seconds()}
	stream, err := openBus(ctx, d.app, d.cfg, writerName(), nil)
	if err != nil {
		return v, err
	}
	last, _, _, err := stream.Last(ctx)
	stream.Close()
	if err != nil {
		return v, err
	}
	c, err := d.count()
	if err != nil {
		return v, err
	}
	want := d.expected
	v.Objects = c.objects
	v.Checks = []demoCheck{
		{"row changes captured", int(last.NextNo) - 1, want.Changes},
		{"records for paid-big-order", c.byRule["paid-big-order"], want.PaidBigOrders},
		{"records for new-vip", c.byRule["new-vip"], want.NewVIPs},
		{"records for running-low", c.byRule["running-low"], want.RunningLow},
		{"records delivered twice", c.doubles, 0},
		{"objects that are damaged", c.unreadable, 0},
		{"dead letters", c.deadLetters, want.Unjudged},
	}
	report, err := d.verifyAudit(ctx)
	v.Audit = &report
	return v, err
}

// verifyAudit checks the audit log and the objects that it tells of.
func (d *demo) verifyAudit(ctx context.Context) (audit.Report, error) {
	key, err := os.ReadFile(d.cfg.Audit.KeyFile + ".pub")
	if err != nil {
		return audit.Report{}, fmt.Errorf("public key of the audit log: %w", err)
	}
	pin, err := os.ReadFile(d.cfg.Audit.KeyFile + ".checkpoint")
	if err != nil {
		return audit.Report{}, fmt.Errorf("last checkpoint of the audit log: %w", err)
	}
	return audit.Verify(ctx, audit.VerifyConfig{
		Dir: d.cfg.Audit.Dir, Key: string(key), Pins: []audit.Pin{{Name: d.cfg.Audit.KeyFile + ".checkpoint", Checkpoint: pin}},
		Objects: func(store string) (audit.Store, error) { return file.Open(file.Config{URL: store}) },
	})
}

func (d *demo) printVerdict(w io.Writer, v demoVerdict) {
	mark := func(ok bool) string {
		if ok {
			return d.ui.out(green, "✓")
		}
		return d.ui.out(red, "✗")
	}
	fmt.Fprintln(w, d.ui.out(bold, "Verified"), "against what the shop itself counted")
	for _, c := range v.Checks {
		fmt.Fprintf(w, "  %s %-28s %7d", mark(c.Got == c.Want), c.What, c.Got)
		if c.Got == c.Want {
			fmt.Fprintln(w, "  as it must be")
		} else {
			fmt.Fprintf(w, "  but it must be %d\n", c.Want)
		}
	}
	r := v.Audit
	if r.Bad != nil {
		fmt.Fprintf(w, "  %s audit log: %s: %s\n", mark(false), r.Bad.Item, r.Bad.Why)
	} else {
		fmt.Fprintf(w, "  %s %-28s %7d  of %d have the checksum that the audit log says\n", mark(true), "objects, dead letters' too", r.Objects.Read, r.Delivered())
		fmt.Fprintf(w, "  %s %-28s %7d  signed, each a continuation of the one before\n", mark(true), "checkpoints", r.Checkpoints)
	}
	if v.ok() {
		fmt.Fprintf(w, "%s everything that happened in the shop was judged, and what matters was delivered exactly once\n", d.ui.out(green, "OK"))
	} else {
		fmt.Fprintf(w, "%s something is missing or doubled\n", d.ui.out(red, "FAILED"))
	}
}

// has reports whether this program has a verb, as not every version does.
func (d *demo) has(path ...string) bool {
	cmd, rest, err := d.root.Find(path)
	return err == nil && len(rest) == 0 && cmd != d.root
}

// printTour tells where everything is and what to try. It only names verbs that there are.
func (d *demo) printTour(w io.Writer) {
	at := func(name string) string { return filepath.Join(d.folder, name) }
	source := "read from a binlog that was recorded on a MariaDB server"
	if d.server != nil {
		source = "on a private " + map[string]string{dbserver.MariaDB: "MariaDB", dbserver.MySQL: "MySQL"}[d.server.Program.Flavor] + " server"
	}
	head := func(s string) { fmt.Fprintf(w, "\n%s\n", d.ui.out(bold, s)) }
	var rows [][]string
	table := func() {
		for _, r := range rows {
			r[0] = "  " + r[0]
		}
		d.ui.table(w, []string{"", ""}, rows)
		rows = nil
	}
	fmt.Fprintf(w, "%s A shop, %s. The partner acme gets what three rules choose.\n", d.ui.out(bold, "cdcd demo."), source)
	fmt.Fprintf(w, "First object after %.1f s.\n", d.firstObject.Seconds())

	head("Where things are")
	rows = [][]string{
		{"http://" + d.cfg.Console.Listen + "/", "the console: how everything is, changes as they come, rules; begin here"},
		{at("objects/"), "what acme gets: objects that are written once, in a chain"},
		{at("rules/"), "the rules, with their tests; a changed file is taken up at once"},
		{at("dead-letters/"), "changes that a rule could not judge; running-low.yaml explains why there are some"},
		{at("audit/"), "the log that proves what was delivered"},
		{d.configFile(), "the configuration, which every verb takes"},
		{"http://" + d.cfg.Console.Listen + "/status", "lag and counts; /metrics for Prometheus, /healthz, /readyz"},
	}
	table()

	head("Look")
	fmt.Fprintf(w, "  zstdcat %s | head -1 | jq    # jq 1.6 rounds long numbers; the object has all digits\n", at("objects/p=00/dt=*/*.zst"))
	fmt.Fprintf(w, "  cat %s | jq '{errors, after: .event.after}'\n", at("dead-letters/acme/p=00/dt=*/*.jsonl"))
	fmt.Fprintf(w, "  cdcd status -c %s\n", d.configFile())
	fmt.Fprintf(w, "  cdcd tail -c %s\n", d.configFile())

	head("Verify")
	if !d.once {
		fmt.Fprintf(w, "  cdcd demo --once, which ends when all is delivered, and counts it\n")
	}
	if d.has("audit", "verify") {
		fmt.Fprintf(w, "  cdcd audit verify -c %s --objects\n", d.configFile())
	}
	if d.has("rules", "test") {
		fmt.Fprintf(w, "  cdcd rules test -c %s --schema %s\n", d.configFile(), at("schema.yaml"))
	}

	head("Try next")
	if d.has("audit", "verify") {
		fmt.Fprintf(w, "  change a byte of an object and verify again\n")
	}
	fmt.Fprintf(w, "  mend %s while this runs: its description says how\n", at("rules/running-low.yaml"))
	switch {
	case d.data == "":
		fmt.Fprintf(w, "  cdcd demo --data shop-demo, which keeps everything, can be killed at any moment, and then goes on\n")
	case !d.once:
		fmt.Fprintf(w, "  kill -9 %d and start this demo again: it goes on, and nothing is missing or doubled\n", os.Getpid())
	}
	fmt.Fprintf(w, "  cdcd init writes a configuration for your own tables\n\n")
}
