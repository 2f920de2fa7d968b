package sdk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/wasm"
)

// texts returns a batch of inserts with a text each, into a table with nothing else.
func texts(t *testing.T, kind cdc.Kind, all ...string) []cdc.Event {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop", Partitions: 1})
	tx := b.AddTx(cdc.Tx{CommitTime: time.UnixMicro(1795226400123456)})
	name := "text"
	if kind == cdc.KindJSON {
		name = "customer"
	}
	table := b.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: name, Kind: kind, Nullable: true}}})
	for i, text := range all {
		b.BeginRow(1)
		b.SetText(0, kind, text)
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpInsert, After: b.EndRow()})
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, batch.Len())
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

// start returns a plugin of an SDK with a filter of it.
func start(t *testing.T, language, name string, log func(wasm.Line)) (*wasm.Plugin, *wasm.Filter) {
	t.Helper()
	host, err := wasm.NewHost(wasm.Config{Dir: guest.Compiled(t), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	plugin, err := host.Load(t.Context(), guest.Module(t, language, name), wasm.Limits{Fuel: 1 << 30, BatchFuel: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	filter, err := plugin.Filter(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { filter.Close() })
	return plugin, filter
}

func TestAssemblyScriptFromTheInside(t *testing.T) {
	var log []string
	_, filter := start(t, "assemblyscript", "tests", func(l wasm.Line) { log = append(log, l.Text) })
	events := texts(t, cdc.KindString, repeated("text", 100)...) // the first ones run a test each, the others are dropped
	verdicts := make([]cdc.Verdict, len(events))
	if err := filter.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for i, v := range verdicts {
		switch {
		case v.Err != nil:
			t.Errorf("test %d: %v; the log: %q", i, v.Err, log)
		case v.Keep && v.Edits != nil && v.Edits.Reason != "" && v.Edits.Columns == nil:
			passed++
			t.Log(v.Edits.Reason)
		case v.Keep:
			t.Errorf("test %d: %+v", i, v.Edits)
		}
	}
	if passed == 0 {
		t.Error("there are no tests")
	}
}

func repeated(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestAPluginMaySeeJSONOnly(t *testing.T) {
	_, filter := start(t, "assemblyscript", "examples/json-view", nil)
	events := texts(t, cdc.KindJSON, `{"name": "Renée \"R\" 🦀", "tier": "vip", "orders": 1}`, `{"name": "Ana", "tier": "new", "orders": 9}`,
		`{"orders": 10, "address": {"name": "not this one", "lines": [1, "}"]}, "name": "Li"}`)
	want := []string{`Renée "R" 🦀 by insert of shop.orders`, "", "Li by insert of shop.orders"}
	verdicts := make([]cdc.Verdict, len(events))
	if err := filter.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		reason := ""
		if v.Edits != nil {
			reason = v.Edits.Reason
		}
		if v.Err != nil || v.Keep != (want[i] != "") || reason != want[i] {
			t.Errorf("change %d: got %+v %+v, want %q", i, v, v.Edits, want[i])
		}
	}
}

// Garbage of the plugin's own code is collected between changes: memory does not grow with the changes that were judged.
func TestMemoryDoesNotGrowWithWhatIsJudged(t *testing.T) {
	for _, row := range []struct {
		name         string
		bytes, batch int
	}{{"small changes", 4, 256}, {"large changes", 16 << 10, 14}, {"changes that are larger than batches are", 600 << 10, 1}} {
		t.Run(row.name, func(t *testing.T) {
			plugin, filter := start(t, "assemblyscript", "examples/json-view", nil)
			events := texts(t, cdc.KindJSON, repeated(`{"name": "`+strings.Repeat("x", row.bytes)+`", "tier": "new", "orders": 9}`, row.batch)...)
			verdicts := make([]cdc.Verdict, len(events))
			var before int64
			for i := range 50 {
				if err := filter.Judge(t.Context(), events, verdicts); err != nil {
					t.Fatal(err)
				}
				for _, v := range verdicts {
					if v.Err != nil {
						t.Fatal(v.Err)
					}
				}
				if i == 20 {
					before = plugin.Stats().Memory
				}
			}
			if after := plugin.Stats().Memory; after != before || before > 16<<20 {
				t.Errorf("%d bytes of memory have become %d", before, after)
			}
			t.Logf("%d bytes of memory", before)
		})
	}
}
