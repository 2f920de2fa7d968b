package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

const guestManifest = `{"abi": "cdc1", "name": "guest", "version": "1.0.0", "columns": ["act", "arg", "note"], "edits": ["note", "extra", "id"],
	"metrics": ["counted"], "config": {"type": "object", "properties": {"do": {"type": "string"}}, "additionalProperties": false}}`

// cguest returns testdata/guest.wasm as a plugin.
func cguest(t testing.TB) []byte {
	t.Helper()
	module, err := os.ReadFile("testdata/guest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	module, err = AppendManifest(module, []byte(guestManifest))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Key: 1},
	{Name: "act", Kind: cdc.KindInt64},
	{Name: "arg", Kind: cdc.KindInt64},
	{Name: "note", Kind: cdc.KindString, Nullable: true},
	{Name: "extra", Kind: cdc.KindString, Nullable: true},
}}

var clock = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// act is a change that tells the guest what to do.
type act struct{ what, arg int64 }

// acts returns changes of a batch: inserts into shop.orders.
func acts(t testing.TB, all ...act) []cdc.Event {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	for n, a := range all {
		tx := w.AddTx(cdc.Tx{GTID: fmt.Sprint("0-1-", n), CommitTime: clock.Add(time.Duration(n) * time.Second)})
		table := w.AddTable(orders)
		w.BeginRow(5)
		w.SetInt(0, int64(n))
		w.SetInt(1, a.what)
		w.SetInt(2, a.arg)
		w.SetText(3, cdc.KindString, "a note")
		w.SetText(4, cdc.KindString, "extra")
		w.AddEvent(cdc.EventInfo{No: uint64(1000 + n), Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, b.Len())
	for i := range events {
		events[i] = b.Event(i)
	}
	return events
}

func newHost(t testing.TB, c Config) *Host {
	t.Helper()
	h, err := NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func load(t testing.TB, h *Host, module []byte, limits Limits) *Plugin {
	t.Helper()
	p, err := h.Load(t.Context(), module, limits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func filter(t testing.TB, p *Plugin, config string) *Filter {
	t.Helper()
	f, err := p.Filter(t.Context(), json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// verdict is a verdict in a line.
func verdict(v cdc.Verdict) string {
	var trap *Trap
	switch {
	case errors.As(v.Err, &trap):
		return trap.Kind
	case v.Err != nil:
		return cdc.CodeOf(v.Err)
	case !v.Keep:
		return "drop"
	case v.Edits == nil:
		return "keep"
	}
	var parts []string
	for _, e := range v.Edits.Columns {
		image := "after"
		if e.Before {
			image = "before"
		}
		if e.Drop {
			parts = append(parts, fmt.Sprintf("%s.%s dropped", image, e.Column))
		} else {
			parts = append(parts, fmt.Sprintf("%s.%s=%s", image, e.Column, e.Value))
		}
	}
	for _, tag := range v.Edits.Tags {
		parts = append(parts, "#"+tag)
	}
	if v.Edits.Reason != "" {
		parts = append(parts, "("+v.Edits.Reason+")")
	}
	for _, to := range v.Edits.To {
		parts = append(parts, "→"+to)
	}
	return strings.Join(parts, " ")
}

func judge(t testing.TB, f *Filter, all ...act) []string {
	t.Helper()
	events := acts(t, all...)
	verdicts := make([]cdc.Verdict, len(events))
	if err := f.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(verdicts))
	for i, v := range verdicts {
		out[i] = verdict(v)
	}
	return out
}

func TestWhatAPluginMakesOfAChange(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{Failures: -1, Fuel: 2_000_000, Depth: 100_000})
	f := filter(t, p, "")
	for _, row := range []struct {
		name string
		act  act
		want string
	}{
		{"drop", act{0, 0}, "drop"},
		{"keep", act{1, 0}, "keep"},
		{"an edit", act{2, 0}, `after.note="edited"`},
		{"it cannot judge", act{3, 0}, "refused"},
		{"unreachable", act{4, 0}, "unreachable"},
		{"a loop without end", act{5, 0}, "fuel"},
		{"beyond its memory", act{6, 0}, "bounds"},
		{"calls that nest too deep", act{7, 0}, "depth"},
		{"a line", act{8, 0}, "keep"},
		{"a metric", act{9, 3}, "keep"},
		{"the cursor beyond the number of events", act{10, 0}, "answer"},
		{"a verdict that there is not", act{11, 0}, "answer"},
		{"it spoils its state", act{12, 0}, "keep"},
		{"exit", act{13, 0}, "exit"},
		{"many edits", act{14, 0}, `after.note=null after.extra dropped #tag #other (because) →acme →zeta`},
		{"a value of another kind", act{15, 0}, "answer"},
		{"a column that is not declared", act{16, 0}, "answer"},
		{"an image that is not there", act{17, 0}, "answer"},
		{"edits that are not there", act{18, 0}, "answer"},
		{"an entry that is too short", act{19, 0}, "answer"},
		{"a log outside of its memory", act{20, 0}, "answer"},
		{"the cursor goes back", act{21, 0}, "answer"},
		{"it takes a while", act{25, 10_000}, "keep"},
		{"it takes too long", act{25, 10_000_000}, "fuel"},
		{"memory grows, and it fails", act{26, 0}, "unreachable"},
		{"a line of two gigabytes", act{29, 0}, "bounds"},
		{"all the memory that there is", act{30, 0}, "keep"},
		{"a tag that is not UTF-8", act{32, 0}, "answer"},
		{"an edit of the key", act{33, 0}, "answer"},
		{"it returns before it is done", act{34, 0}, "answer"},
		{"it returns that it failed", act{35, 0}, "failed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := judge(t, f, row.act)[0]; got != row.want {
				t.Errorf("alone: got %s, want %s", got, row.want)
			}
			got := judge(t, f, act{1, 0}, act{2, 0}, act{0, 0}, act{3, 0}, row.act, act{2, 0}, act{0, 0}, act{1, 0})
			want := []string{"keep", `after.note="edited"`, "drop", "refused", row.want, `after.note="edited"`, "drop", "keep"}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("among others:\n got %s\nwant %s", got, want)
			}
		})
	}
}
