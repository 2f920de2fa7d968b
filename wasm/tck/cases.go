package tck

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// step is a change and what has to become of it.
type step struct {
	change
	want want
}

// want is what has to become of a change.
type want struct {
	keep    bool
	edits   *cdc.Edits // of what is kept; nil: none
	refused bool       // the plugin says that it cannot be judged
	text    string     // for this reason
	trap    []string   // it must be a trap of one of these kinds
	check   func(e cdc.Event, v *cdc.Verdict) string
}

// group is a case: changes that are judged by one instance, in their order.
type group struct {
	name    string
	config  string // "": none
	begins  string // what is to be said when it must not begin; "" when it must
	steps   []step
	logs    []wasm.Line      // levels and texts; nil: it is not looked at
	metrics map[string]int64 // nil: they are not looked at
}

var (
	broken   = []string{wasm.TrapAnswer}
	giveUp   = []string{wasm.TrapUnreachable, wasm.TrapExit, wasm.TrapFailed, wasm.TrapBounds, wasm.TrapOther}
	tooMuch  = []string{wasm.TrapFuel}
	tooDeep  = append([]string{wasm.TrapDepth, wasm.TrapMemory, wasm.TrapFuel}, giveUp...)
	tooLarge = append([]string{wasm.TrapMemory, wasm.TrapFuel}, giveUp...)
)

// do makes an insert that does something.
func do(lines ...string) change {
	return change{op: cdc.OpInsert, do: strings.Join(lines, "\n"), after: sets[0]}
}

func kept(edits cdc.Edits) want {
	if reflect.DeepEqual(edits, cdc.Edits{}) {
		return want{keep: true}
	}
	return want{keep: true, edits: &edits}
}

func reason(text string) want { return kept(cdc.Edits{Reason: text}) }

func set(k cdc.Kind, v cdc.Value) cdc.ColumnEdit {
	return cdc.ColumnEdit{Column: "e_" + k.String(), Value: v}
}

// cases are all of the suite.
func cases() []group {
	all := []group{
		{name: "decisions", steps: []step{
			{do("tag a"), want{}},
			{do("keep"), want{keep: true}},
			{do("drop"), want{}},
			{do("keep", "drop"), want{}},
			{do("drop", "keep"), want{keep: true}},
			{do("keep", "tag a", "drop"), want{}},
			{do("error it is full moon"), want{refused: true, text: "it is full moon"}},
			{do("error"), want{refused: true}},
			{do("error Grüße " + strings.Repeat("x", 1000)), want{refused: true, text: "Grüße " + strings.Repeat("x", 1000)}},
			{do("error no", "keep"), want{keep: true}},
			{do("keep", "error no"), want{refused: true, text: "no"}},
			{do("keep", "tag a", "error no"), want{refused: true, text: "no"}},
			{do("fly away", "keep"), want{refused: true, text: "no such command: fly"}},
		}},
		{name: "operations", steps: []step{
			{change{op: cdc.OpInsert, do: "keep\ntext a", after: sets[0]}, kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("a")}})},
			{change{op: cdc.OpUpdate, do: "keep\ntext a", before: sets[1], after: sets[0]}, kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("a")}})},
			{change{op: cdc.OpDelete, do: "keep\ntext a", before: sets[0]}, kept(cdc.Edits{Columns: []cdc.ColumnEdit{before(text("a"))}})},
			{change{op: cdc.OpSnapshot, do: "keep\ntext a", after: sets[0]}, kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("a")}})},
		}},
		{name: "images", steps: []step{
			{change{op: cdc.OpUpdate, do: "keep\nbefore\ntext a\nafter\ntext b\nbefore\nnull bit", before: sets[0], after: sets[0]},
				kept(cdc.Edits{Columns: []cdc.ColumnEdit{before(text("a")), text("b"), before(set(cdc.KindBit, cdc.NullValue()))}})},
			{do("keep", "before", "text a"), want{trap: broken}},
			{change{op: cdc.OpDelete, do: "keep\nafter\ntext a", before: sets[0]}, want{trap: broken}},
		}},
		{name: "text, tags, reasons and routes", steps: []step{
			{do("keep", "text"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("")}})},
			{do("keep", "text  two blanks "), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text(" two blanks ")}})},
			{do("text 世界 🎉", "text b", "keep"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("b")}})}, // the last one counts
			{do("text b", "text 世界 🎉", "keep"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("世界 🎉")}})},
			{do("keep", "fill 7"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("xxxxxxx")}})},
			{do("keep", "fill 0"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("")}})},
			{do("keep", "fill 100000"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text(strings.Repeat("x", 100_000))}})},
			{do("keep", "tag a", "tag Grüße", "tag "+strings.Repeat("t", 256)), kept(cdc.Edits{Tags: []string{"a", "Grüße", strings.Repeat("t", 256)}})},
			{do("keep", "tags 16"), kept(cdc.Edits{Tags: numbered("t", 16)})},
			{do("keep", "tags 17"), want{trap: broken}},
			{do("keep", "tag "+strings.Repeat("t", 257)), want{trap: broken}},
			{do("keep", "reason first", "reason 世界"), reason("世界")},
			{do("keep", "route fraud"), kept(cdc.Edits{To: []string{"fraud"}})},
			{do("keep", "route z", "route a"), kept(cdc.Edits{To: []string{"a", "z"}})},
			{do("keep", "text a", "tag b", "reason c", "route d", "without int64", "null bool"), kept(cdc.Edits{
				Columns: []cdc.ColumnEdit{text("a"), {Column: "e_int64", Drop: true}, set(cdc.KindBool, cdc.NullValue())},
				Tags:    []string{"b"}, Reason: "c", To: []string{"d"}})},
		}},
		{name: "what is told of a change", steps: []step{
			{do("keep", "describe"), reason("insert tck cases 1001 1795226400123456")},
			{change{op: cdc.OpUpdate, plain: true, do: "keep\ndescribe", before: sets[0], after: sets[0]}, reason("update tck plain 1002 1795226400123456")},
			{change{op: cdc.OpDelete, do: "keep\ndescribe", before: sets[0]}, reason("delete tck cases 1003 1795226400123456")},
			{change{op: cdc.OpSnapshot, do: "keep\ndescribe", after: sets[0]}, reason("snapshot tck cases 1004 1795226400123456")},
		}},
		{name: "kinds", steps: []step{
			{change{op: cdc.OpInsert, do: "keep\nkinds", after: sets[1], optional: "x"}, reason(kindNames(nil, "string"))},
			{change{op: cdc.OpUpdate, do: "keep\nkinds", before: sets[0], after: nulls()}, reason(strings.Repeat("null,", 17) + "null")},
			{change{op: cdc.OpDelete, do: "keep\nkinds", before: values{cdc.KindBit: cdc.BitValue(1)}, optional: "x"},
				reason(kindNames([]cdc.Kind{cdc.KindBit}, "string"))},
			{change{op: cdc.OpInsert, plain: true, do: "keep\nkinds", after: sets[0]}, reason(kindNames(nil, "absent"))},
		}},
		{name: "what has changed", steps: []step{
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: sets[0], after: sets[0]}, reason("-")},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: nulls(), after: nulls()}, reason("-")},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: sets[0], after: sets[1]}, reason(allKinds())},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: sets[0], after: nulls()}, reason(allKinds())},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: nulls(), after: sets[1]}, reason(allKinds())},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: sets[0], after: with(sets[0], cdc.KindDecimal, cdc.TextValue(cdc.KindDecimal, "-12.51"))}, reason("decimal")},
			{change{op: cdc.OpUpdate, do: "keep\nchanged", before: sets[0], after: with(sets[0], cdc.KindString, cdc.TextValue(cdc.KindString, "Grüße, 世界 🎊"))},
				reason("string")},
		}},
		{name: "JSON", steps: []step{
			{change{op: cdc.OpInsert, do: "keep\njson", after: sets[0], optional: "x"}, want{check: isJSON}},
			{change{op: cdc.OpUpdate, do: "keep\njson", before: sets[1], after: nulls()}, want{check: isJSON}},
			{change{op: cdc.OpDelete, plain: true, do: "keep\njson", before: sets[2]}, want{check: isJSON}},
			{change{op: cdc.OpInsert, do: "keep\njson", after: with(sets[0], cdc.KindString, cdc.TextValue(cdc.KindString, strings.Repeat("\x01", 100_000)))},
				want{check: isJSON}},
		}},
		{name: "a configuration is none", steps: []step{{do("keep", "config"), reason("{}")}}},
		{name: "the configuration is given as it is", config: `{"a": [1, 2.50, "ü"]}`, steps: []step{{do("keep", "config"), want{check: isConfig(`{"a":[1,2.50,"ü"]}`)}}}},
		{name: "a configuration is refused", config: `{"refuse": "not on a Friday, grüße"}`, begins: "not on a Friday, grüße"},
		{name: "a plugin traps while it begins", config: `{"trap": true}`, begins: "does not begin"},
		{name: "log lines", steps: []step{
			{do("keep", "log 0 a", "log 1 grüße", "log 2 two  blanks", "log 3 d"), want{keep: true}},
			{do("logs 3"), want{}},
			{do("log 1 " + strings.Repeat("x", 2000)), want{}},
		}, logs: []wasm.Line{{Level: 0, Text: "a"}, {Level: 1, Text: "grüße"}, {Level: 2, Text: "two  blanks"}, {Level: 3, Text: "d"},
			{Level: 1, Text: "line 0"}, {Level: 1, Text: "line 1"}, {Level: 1, Text: "line 2"}, {Level: 1, Text: strings.Repeat("x", 1024)}}},
		{name: "metrics", steps: []step{
			{do("metric 0 5", "metric 1 9223372036854775807", "metric 1 -9223372036854775807"), want{}},
			{do("keep", "metric 0 -2"), want{keep: true}},
		}, metrics: map[string]int64{"seen": 3, "sum": 0}},
		{name: "a metric that there is not", steps: []step{{do("metric 2 1"), want{trap: broken}}}},
		{name: "what happens before a trap is counted once", steps: []step{
			{do("log 1 a", "metric 0 1"), want{}},
			{do("log 1 b", "metric 0 1", "trap"), want{trap: giveUp}},
			{do("log 1 c", "metric 0 1"), want{}},
		}, logs: []wasm.Line{{Level: 1, Text: "a"}, {Level: 1, Text: "b"}, {Level: 1, Text: "c"}}, metrics: map[string]int64{"seen": 3, "sum": 0}},
		{name: "the pristine state comes back", steps: []step{
			{do("keep", "count"), reason("1")},
			{do("trap"), want{trap: giveUp}},
			{do("keep", "count"), reason("1")},
		}},
		{name: "memory grows", steps: []step{
			{do("keep", "text a"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("a")}})},
			{do("keep", "text a", "grow 8", "text b"), kept(cdc.Edits{Columns: []cdc.ColumnEdit{text("b")}})},
			{do("keep", "grow 1", "describe"), want{keep: true, check: hasReason}},
			{do("keep", "trap"), want{trap: giveUp}},
			{do("keep", "grow 8", "kinds"), reason(kindNames(nil, "null"))},
		}},
		{name: "computing", steps: []step{
			{do("keep", "spin 0"), reason("0")},
			{do("keep", "spin 1"), reason("1442695040888963407")},
			{do("keep", "spin 2000"), reason(fmt.Sprint(spin(2000)))},
		}},
		{name: "an assertion fails", steps: around("trap", giveUp)},
		{name: "a loop does not end", steps: around("loop", tooMuch)},
		{name: "calls do not end", steps: around("recurse", tooDeep)},
		{name: "memory is hoarded", steps: around("hoard", tooLarge)},
	}
	for i, v := range append(slices.Clone(sets), nulls(), values{}) {
		for _, command := range [...]string{"echo", "rebuild"} {
			g := group{name: fmt.Sprintf("%s %d", command, i)}
			other := sets[(i+1)%len(sets)]
			for _, c := range []change{
				{op: cdc.OpInsert, after: v}, {op: cdc.OpUpdate, before: other, after: v}, {op: cdc.OpUpdate, before: v, after: other}, {op: cdc.OpDelete, before: v},
			} {
				c.do = "keep\n" + command
				g.steps = append(g.steps, step{c, echoed(&c)})
			}
			all = append(all, g)
		}
	}
	var columns group
	columns.name = "columns are set to null and left out"
	for _, k := range kinds() {
		columns.steps = append(columns.steps, step{do("keep", "null "+k.String()), kept(cdc.Edits{Columns: []cdc.ColumnEdit{set(k, cdc.NullValue())}})},
			step{do("keep", "without "+k.String()), kept(cdc.Edits{Columns: []cdc.ColumnEdit{{Column: "e_" + k.String(), Drop: true}}})})
	}
	full := group{name: "a full batch"}
	for i := range 300 { // two of them
		c := []change{do("drop"), do("keep", "tag a"), do("keep", "echo"), do("error no"), do("keep")}[i%5]
		w := []want{{}, kept(cdc.Edits{Tags: []string{"a"}}), echoed(&c), {refused: true, text: "no"}, {keep: true}}[i%5]
		full.steps = append(full.steps, step{c, w})
	}
	large := group{name: "a change that is larger than batches are"}
	huge := change{op: cdc.OpUpdate, do: "keep\necho", before: sets[0],
		after: with(sets[0], cdc.KindBytes, cdc.TextValue(cdc.KindBytes, strings.Repeat("\x00\x01\x02", 200_000)))}
	for _, c := range []change{do("keep", "tag a"), huge, do("keep", "tag a")} {
		w := kept(cdc.Edits{Tags: []string{"a"}})
		if c.op == cdc.OpUpdate {
			w = echoed(&c)
		}
		large.steps = append(large.steps, step{c, w})
	}
	return append(all, columns, full, large)
}

// around has a command done between two changes that have nothing to do with it.
func around(command string, trap []string) []step {
	fine := step{do("keep", "reason fine"), reason("fine")}
	return []step{fine, {do("keep", "reason lost", command), want{trap: trap}}, fine}
}

// echoed is what echo and rebuild do.
func echoed(c *change) want {
	var edits cdc.Edits
	hasBefore, hasAfter := c.images()
	for _, image := range [...]struct {
		has, before bool
		values      values
	}{{hasBefore, true, c.before}, {hasAfter, false, c.after}} {
		for _, k := range kinds() {
			if v, ok := image.values[k]; ok && image.has {
				e := set(k, v)
				e.Before = image.before
				edits.Columns = append(edits.Columns, e)
			}
		}
	}
	return kept(edits)
}

func text(s string) cdc.ColumnEdit { return set(cdc.KindString, cdc.TextValue(cdc.KindString, s)) }

func before(e cdc.ColumnEdit) cdc.ColumnEdit {
	e.Before = true
	return e
}

func with(v values, k cdc.Kind, value cdc.Value) values {
	other := values{}
	for k, value := range v {
		other[k] = value
	}
	other[k] = value
	return other
}

func numbered(prefix string, n int) []string {
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprint(prefix, i))
	}
	return texts
}

func spin(n int) uint64 {
	x := uint64(0)
	for range n {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// kindNames is what the command kinds says when only some columns are there; nil: all.
func kindNames(some []cdc.Kind, optional string) string {
	var names []string
	for _, k := range kinds() {
		if some == nil || slices.Contains(some, k) {
			names = append(names, k.String())
		} else {
			names = append(names, "absent")
		}
	}
	return strings.Join(append(names, optional), ",")
}

func allKinds() string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.String())
	}
	return strings.Join(names, ",")
}

func hasReason(_ cdc.Event, v *cdc.Verdict) string {
	if v.Edits == nil || v.Edits.Reason == "" {
		return "there is no reason"
	}
	return ""
}

// isConfig says whether the reason is a configuration, however it is written.
func isConfig(config string) func(cdc.Event, *cdc.Verdict) string {
	return func(_ cdc.Event, v *cdc.Verdict) string {
		if !v.Keep || v.Edits == nil || !sameJSON(v.Edits.Reason, config) {
			return fmt.Sprintf("the configuration is %s; got %s", config, describe(v))
		}
		return ""
	}
}

// isJSON says whether e_json is the change.
func isJSON(e cdc.Event, v *cdc.Verdict) string {
	if !v.Keep || v.Edits == nil || len(v.Edits.Columns) != 1 || v.Edits.Columns[0].Column != "e_json" {
		return fmt.Sprintf("e_json should be set, and nothing else; got %s", describe(v))
	}
	got := v.Edits.Columns[0].Value.Text()
	image := func(r cdc.Row) string {
		if !r.Exists() {
			return "null"
		}
		var parts []string
		for i := range r.Table().Columns {
			c := &r.Table().Columns[i]
			if value := r.Value(i); !value.IsAbsent() && (c.Name == "do" || strings.HasPrefix(c.Name, "v_")) {
				parts = append(parts, string(cdc.AppendJSON(append(cdc.AppendString(nil, c.Name), ':'), c, value)))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	wanted := fmt.Sprintf(`{"no":%d,"op":"%s","table":"%s","commit_time":"2026-11-21T02:00:00.123456Z","before":%s,"after":%s}`,
		e.No(), e.Op(), e.Table(), image(e.Before()), image(e.After()))
	if !sameJSON(got, wanted) {
		return fmt.Sprintf("the JSON is %s, but should be %s", clip(got), clip(wanted))
	}
	return ""
}

// sameJSON compares two texts, whatever the order of their members.
func sameJSON(a, b string) bool {
	var x, y any
	for text, into := range map[string]*any{a: &x, b: &y} {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if dec.Decode(into) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

func clip(s string) string {
	if len(s) > 500 {
		return s[:400] + " … " + s[len(s)-90:]
	}
	return s
}
