package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// plugins are filters that tests hand to an engine, by the name of the plugin. They note what happens to them.
type plugins struct {
	judge map[string]func(total int64) cdc.Verdict // NULL is -1
	world map[string]error                         // what Judge returns instead
	open  map[string]error
	lines []string
}

type plugin struct {
	ps   *plugins
	rule string
	name string
}

func (ps *plugins) filter(_ context.Context, r *rules.Rule) (engine.Filter, error) {
	if err := ps.open[r.Filter.Plugin]; err != nil {
		ps.lines = append(ps.lines, "no "+r.Name)
		return nil, err
	}
	ps.lines = append(ps.lines, fmt.Sprintf("open %s %s", r.Name, r.Filter.Config))
	return &plugin{ps, r.Name, r.Filter.Plugin}, nil
}

func (p *plugin) Judge(_ context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	line := p.rule + ":"
	for i, e := range events {
		line += fmt.Sprint(" ", e.PartNo())
		if verdicts[i] != (cdc.Verdict{}) {
			line += " dirty"
		}
		total := int64(-1)
		if v := e.After().Value(1); !v.IsNull() {
			total = v.Int64()
		}
		verdicts[i] = p.ps.judge[p.name](total)
	}
	p.ps.lines = append(p.ps.lines, line)
	return p.ps.world[p.name]
}

func (p *plugin) Close() error {
	p.ps.lines = append(p.ps.lines, "close "+p.rule)
	return nil
}

func (ps *plugins) take() []string {
	lines := ps.lines
	ps.lines = nil
	return lines
}

func (ps *plugins) with(c *engine.Config) { c.Filter = ps.filter }

func filtered(name, when, plugin, to, more string) string {
	if when != "" {
		when = fmt.Sprintf(", when: \"%s\"", when)
	}
	return fmt.Sprintf("  - {name: %s, tables: [shop.orders]%s, filter: {plugin: %s}, to: [%s]%s}", name, when, plugin, to, more)
}

func keep(edits ...*cdc.Edits) cdc.Verdict {
	if len(edits) > 0 {
		return cdc.Verdict{Keep: true, Edits: edits[0]}
	}
	return cdc.Verdict{Keep: true}
}

// small are plugins with which most can be said: of totals below 10 "ten" drops, "bad" fails; "tag" tags, "bolt" routes.
func small() *plugins {
	return &plugins{judge: map[string]func(int64) cdc.Verdict{
		"all": func(int64) cdc.Verdict { return keep() },
		"ten": func(n int64) cdc.Verdict { return cdc.Verdict{Keep: n >= 10} },
		"bad": func(n int64) cdc.Verdict {
			return map[bool]cdc.Verdict{true: {Err: errors.New("trap"), Keep: true}, false: keep()}[n < 10]
		},
		"tag":  func(n int64) cdc.Verdict { return keep(&cdc.Edits{Tags: []string{fmt.Sprint("t", n)}}) },
		"bolt": func(n int64) cdc.Verdict { return keep(&cdc.Edits{To: []string{"bolt"}}) },
	}}
}

func TestAPluginJudgesWhatItsRuleLetsThrough(t *testing.T) {
	odd := "after.total % 2 == 1"
	for _, tt := range []struct {
		name   string
		rules  []string
		totals []int64
		asked  []string
		want   []string
		err    string
	}{
		{"what the condition lets through, once for the batch", []string{filtered("f", odd, "ten", "acme", "")}, []int64{1, 2, 11, 12, 13},
			[]string{"f: 1 3 5"}, []string{"letters", "acme 3:f 5:f", "bolt", "observe 5 3:f 5:f"}, ""},
		{"without a condition everything", []string{filtered("f", "", "ten", "acme", "")}, []int64{1, 10},
			[]string{"f: 1 2"}, []string{"letters", "acme 2:f", "bolt", "observe 2 2:f"}, ""},
		{"nothing is let through: it is not asked", []string{filtered("f", odd, "ten", "acme", "")}, []int64{2, 4},
			nil, []string{"letters", "acme", "bolt", "observe 2"}, ""},
		{"other rules match what it drops", []string{rule("a", "true", "acme", ""), filtered("f", "", "ten", "acme", ""), rule("z", odd, "acme", "")}, []int64{1, 2, 10},
			[]string{"f: 1 2 3"}, []string{"letters", "acme 1:a,z 2:a 3:a,f", "bolt", "observe 3 1:a,z 2:a 3:a,f"}, ""},
		{"two plugins, in the order of the rules", []string{filtered("f", "", "ten", "acme", ""), filtered("g", odd, "all", "bolt", "")}, []int64{1, 10, 11},
			[]string{"f: 1 2 3", "g: 1 3"}, []string{"letters", "acme 2:f 3:f,g", "bolt 1:g 3:f,g", "observe 3 1:g 2:f 3:f,g"}, ""},
		{"a shadow rule's plugin is asked, and delivers nothing", []string{filtered("f", "", "ten", "acme", ", mode: shadow")}, []int64{1, 10},
			[]string{"f: 1 2"}, []string{"letters", "acme", "bolt", "observe 2 2:f"}, ""},
		{"it cannot judge: a dead letter", []string{filtered("f", "", "bad", "acme", ""), rule("z", "true", "acme", "")}, []int64{1, 10},
			[]string{"f: 1 2"}, []string{"letters 1:z!f", "acme 1:z!f 2:f,z", "bolt", "observe 2 1:z!f 2:f,z"}, ""},
		{"it cannot judge: skipped", []string{filtered("f", "", "bad", "acme", ", on_error: skip")}, []int64{1, 10},
			[]string{"f: 1 2"}, []string{"letters", "acme 2:f", "bolt", "observe 2 1:!f 2:f"}, ""},
		{"it cannot judge: halt", []string{filtered("f", "", "bad", "acme", ", on_error: halt")}, []int64{10, 1},
			[]string{"f: 1 2"}, nil, "CDCD-5001: rule f could not judge event 0-1-2/0 of shop.orders and says on_error: halt: trap"},
		{"it cannot judge: a shadow rule halts nothing", []string{filtered("f", "", "bad", "acme", ", on_error: halt, mode: shadow")}, []int64{1},
			[]string{"f: 1"}, []string{"letters", "acme", "bolt", "observe 1 1:!f"}, ""},
		{"what the condition cannot judge does not reach it", []string{filtered("f", odd, "all", "acme", "")}, []int64{-1, 1},
			[]string{"f: 2"}, []string{"letters 1:!f", "acme 2:f", "bolt", "observe 2 1:!f 2:f"}, ""},
		{"a route narrows the feeds", []string{filtered("f", "", "bolt", "acme, bolt", ""), rule("z", odd, "acme", "")}, []int64{1, 2},
			[]string{"f: 1 2"}, []string{"letters", "acme 1:f→bolt,z", "bolt 1:f→bolt,z 2:f→bolt", "observe 2 1:f→bolt,z 2:f→bolt"}, ""},
		{"a route to a feed that the rule does not name", []string{filtered("f", "", "bolt", "acme", "")}, []int64{1},
			[]string{"f: 1"}, []string{"letters 1:!f", "acme", "bolt", "observe 1 1:!f"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, ps := &journal{}, small()
			e := newEngine(t, j, parse(t, tt.rules...), ps.with)
			if err := e.Handle(t.Context(), newBatch(t, 9)); err != nil { // a heartbeat needs nobody
				t.Fatal(err)
			}
			if got := ps.take(); got != nil {
				t.Errorf("plugins are asked for at a heartbeat: %q", got)
			}
			j.take()
			err := e.Handle(t.Context(), newBatch(t, 1, tt.totals...))
			if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasPrefix(got, tt.err) {
				t.Errorf("error: got %v, want %s", err, tt.err)
			}
			var asked []string
			for _, line := range ps.take() {
				if !strings.HasPrefix(line, "open ") {
					asked = append(asked, line)
				}
			}
			if !reflect.DeepEqual(asked, tt.asked) {
				t.Errorf("asked %q, want %q", asked, tt.asked)
			}
			if got := j.take(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestAPluginIsAskedForOnceAndClosedWhenItsRuleGoes(t *testing.T) {
	ps := small()
	j := &journal{}
	e := newEngine(t, j, parse(t, filtered("f", "", "all", "acme", ""), filtered("g", "", "ten", "acme", ""), filtered("off", "", "all", "acme", ", mode: off")), ps.with)
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"the first batch", nil, []string{"open f {}", "open g {}", "f: 1", "g: 1"}},
		{"the next", nil, []string{"f: 1", "g: 1"}},
		{"the same rules", func() { e.Swap(parse(t, filtered("f", "", "all", "acme", ""), filtered("g", "", "ten", "acme", ""))) }, []string{"f: 1", "g: 1"}},
		{"another order", func() { e.Swap(parse(t, filtered("g", "", "ten", "acme", ""), filtered("f", "", "all", "acme", ""))) }, []string{"g: 1", "f: 1"}},
		{"one changes", func() {
			e.Swap(parse(t, filtered("f", "", "all", "acme", ""), "  - {name: g, tables: [shop.orders], filter: {plugin: ten, config: {b: 1.50, a: [x]}}, to: [acme]}"))
		}, []string{"close g", `open g {"a":["x"],"b":1.50}`, "f: 1", "g: 1"}},
		{"one cannot be had", func() {
			ps.open = map[string]error{"tag": errors.New("no such plugin")}
			e.Swap(parse(t, filtered("new", "", "all", "acme", ""), filtered("h", "", "tag", "acme", "")))
		}, []string{"open new {}", "no h"}},
		{"the rules of before", func() {
			ps.open = nil
			e.Swap(parse(t, filtered("f", "", "all", "acme", "")))
		}, []string{"close new", "open f {}", "f: 1"}},
		{"the same that could not be had", func() { e.Swap(parse(t, filtered("new", "", "all", "acme", ""), filtered("h", "", "tag", "acme", ""))) },
			[]string{"close f", "open new {}", "open h {}", "new: 1", "h: 1"}},
		{"none has one", func() { e.Swap(parse(t, rule("a", "true", "acme", ""))) }, []string{"close h", "close new"}},
	} {
		if step.do != nil {
			step.do()
		}
		if err := e.Handle(t.Context(), newBatch(t, 1, 10)); (err != nil) != (ps.open != nil) || err != nil && err.Error() != "rule h: plugin tag: no such plugin" {
			t.Errorf("%s: %v", step.name, err)
		}
		got := ps.take()
		if step.name == "one cannot be had" { // the old ones go in any order
			got = without(got, "close f", "close g")
		} else if step.name == "none has one" && len(got) == 2 && got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		if !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
	e.Swap(parse(t, filtered("f", "", "all", "acme", "")))
	if err := e.Handle(t.Context(), newBatch(t, 1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := ps.take(), []string{"open f {}", "f: 1", "close f"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// without returns the lines that are left when each of some was there, else all.
func without(lines []string, some ...string) []string {
	var out []string
	for _, line := range lines {
		if i := slices.Index(some, line); i >= 0 {
			some = append(some[:i:i], some[i+1:]...)
		} else {
			out = append(out, line)
		}
	}
	if len(some) > 0 {
		return lines
	}
	return out
}

func TestAnEngineWithoutPluginsSaysThatARuleNeedsOne(t *testing.T) {
	e := newEngine(t, &journal{}, parse(t, filtered("f", "", "ten", "acme", "")), nil)
	err := e.Handle(t.Context(), newBatch(t, 1, 1))
	if want := "rule f has a filter, plugin ten, and there is nobody to ask for it"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWhenAPluginCannotBeAskedTheBatchIsOfferedAgain(t *testing.T) {
	ps := small()
	j := &journal{}
	ps.world = map[string]error{"tag": errFull}
	e := newEngine(t, j, parse(t, filtered("f", "", "ten", "acme", ""), filtered("g", "", "tag", "acme", "")), ps.with)
	b := newBatch(t, 1, 1, 10)
	if err := e.Handle(t.Context(), b); !errors.Is(err, errFull) || err.Error() != "rule g: plugin tag: the store is full" {
		t.Errorf("got %v", err)
	}
	if got := j.take(); got != nil {
		t.Errorf("sinks were called: %q", got)
	}
	ps.world = nil
	if err := e.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want := []string{"letters", "acme 1:g 2:f,g", "bolt", "observe 2 1:g 2:f,g"}
	if got := j.take(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestARuleThatOnlyWatchesStopsNothing(t *testing.T) {
	watch := filtered("w", "", "ten", "acme", ", mode: shadow, on_error: halt")
	want := []string{"letters", "acme 1:a!w 2:a!w", "bolt", "observe 2 1:a!w 2:a!w"}
	for name, ps := range map[string]*plugins{
		"its plugin cannot be asked":  {judge: small().judge, world: map[string]error{"ten": errFull}},
		"its plugin cannot be had":    {judge: small().judge, open: map[string]error{"ten": errFull}},
		"its plugin is in quarantine": {judge: small().judge, world: map[string]error{"ten": cdc.Errorf("CDCD-2540", "in quarantine")}},
	} {
		j := &journal{}
		e := newEngine(t, j, parse(t, rule("a", "true", "acme", ""), watch), ps.with)
		if err := e.Handle(t.Context(), newBatch(t, 1, 1, 10)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := j.take(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	j, ps := &journal{}, small()
	ps.world = map[string]error{"ten": ctx.Err()}
	if err := newEngine(t, j, parse(t, watch), ps.with).Handle(ctx, newBatch(t, 1, 1)); !errors.Is(err, context.Canceled) || j.take() != nil {
		t.Errorf("who is stopped does not go on: %v", err)
	}
}

// What keeps a plugin away may pass, such as that there is no memory. It is tried again after as many batches as it has been away.
func TestTheMissingPluginOfARuleThatOnlyWatchesIsTriedAgain(t *testing.T) {
	ps := small()
	ps.open = map[string]error{"ten": errFull}
	e := newEngine(t, &journal{}, parse(t, filtered("w", "", "ten", "acme", ", mode: shadow")), ps.with)
	tried := func(batches int) (at []int) {
		for i := range batches {
			if err := e.Handle(t.Context(), newBatch(t, uint64(i+1), 10)); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(ps.take(), "no w") {
				at = append(at, i)
			}
		}
		return at
	}
	if got, want := tried(300), []int{0, 8, 16, 32, 64, 128, 256}; !slices.Equal(got, want) {
		t.Errorf("it is tried at %d, want %d", got, want)
	}
	ps.open = nil
	tried(212)
	if err := e.Handle(t.Context(), newBatch(t, 1, 10)); err != nil || fmt.Sprint(ps.take()) != "[open w {} w: 1]" {
		t.Errorf("it is not taken up when it is there again: %v", err)
	}
	e.Swap(parse(t, rule("a", "true", "acme", "")))
	if err := e.Handle(t.Context(), newBatch(t, 1, 10)); err != nil || fmt.Sprint(ps.take()) != "[close w]" {
		t.Errorf("it is not closed: %v", err)
	}
}

func TestOfAPluginInQuarantineTheFallbackDecides(t *testing.T) {
	for fallback, want := range map[string][]string{
		"halt":        nil,
		"dead_letter": {"letters 1:!f 2:!f", "acme", "bolt", "observe 2 1:!f 2:!f"},
		"pass":        {"letters", "acme 1:f 2:f", "bolt", "observe 2 1:f 2:f"},
		"drop":        {"letters", "acme", "bolt", "observe 2"},
	} {
		t.Run(fallback, func(t *testing.T) {
			ps, j := small(), &journal{}
			ps.world = map[string]error{"ten": fmt.Errorf("fraud: %w", cdc.Errorf("CDCD-2540", "in quarantine"))}
			set := parse(t, fmt.Sprintf("  - {name: f, tables: [shop.orders], filter: {plugin: ten, fallback: %s}, to: [acme], on_error: skip}", fallback))
			err := newEngine(t, j, set, ps.with).Handle(t.Context(), newBatch(t, 1, 1, 10))
			var own *cdc.Error
			if fallback == "halt" && (!errors.As(err, &own) || own.Code != "CDCD-2540") || fallback != "halt" && err != nil {
				t.Errorf("error: %v", err)
			}
			if got := j.take(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// What was decided without the plugin is shared by many decisions, so an edit must not be seen in others; and sinks may keep it.
func TestEditsAreOfOneEventAlone(t *testing.T) {
	ps, kept := small(), [][]cdc.Decision{}
	e := newEngine(t, &journal{}, parse(t, rule("a", "true", "acme", ""), filtered("f", "", "tag", "acme", ""), filtered("g", "", "bolt", "acme, bolt", "")), func(c *engine.Config) {
		ps.with(c)
		c.Observe = func(_ *cdc.Batch, ds []cdc.Decision) { kept = append(kept, append([]cdc.Decision(nil), ds...)) }
	})
	for n := range int64(3) {
		if err := e.Handle(t.Context(), newBatch(t, 1, 10*n, 10*n+1)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ds := range kept {
		for _, d := range ds {
			got = append(got, fmt.Sprint(d.Matches[0].Edits, d.Matches[1].Edits.Tags, d.Matches[2].To))
		}
	}
	want := []string{"<nil> [t0] [bolt]", "<nil> [t1] [bolt]", "<nil> [t10] [bolt]", "<nil> [t11] [bolt]", "<nil> [t20] [bolt]", "<nil> [t21] [bolt]"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// delivered returns what the feed, and its dead letters, get of some changes that come in batches of so many.
func delivered(t testing.TB, set *rules.Set, ps *plugins, totals []int64, each int) map[string][]string {
	out := map[string][]string{}
	into := func(name string) engine.Sink {
		return sinkFunc(func(ds []cdc.Decision) {
			for i := range ds {
				out[name] = append(out[name], string(cdc.AppendRecord(nil, "acme", &ds[i])), fmt.Sprint(ds[i].Errors))
			}
		})
	}
	e, err := engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{"acme": into("acme")}, DeadLetter: into("letters"), Filter: ps.filter})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(totals); i += each {
		if err := e.Handle(t.Context(), newBatch(t, uint64(i+1), totals[i:min(i+each, len(totals))]...)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

type sinkFunc func([]cdc.Decision)

func (f sinkFunc) Write(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	f(ds)
	return nil
}

func TestTheCutIntoBatchesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		totals := rapid.SliceOfN(rapid.Int64Range(-1, 20), 1, 40).Draw(rt, "totals")
		each := rapid.IntRange(1, 40).Draw(rt, "each")
		var lines []string
		for i := range rapid.IntRange(1, 5).Draw(rt, "rules") {
			when := rapid.SampledFrom([]string{"", "after.total % 2 == 1", "after.total > 5", "true"}).Draw(rt, "when")
			plugin := rapid.SampledFrom([]string{"all", "ten", "bad", "tag", "bolt"}).Draw(rt, "plugin")
			to := rapid.SampledFrom([]string{"acme", "acme, bolt"}).Draw(rt, "to")
			lines = append(lines, filtered(fmt.Sprint("r", i), when, plugin, to, rapid.SampledFrom([]string{"", ", on_error: skip"}).Draw(rt, "more")))
		}
		set := parse(t, lines...)
		inOne, cut := delivered(t, set, small(), totals, len(totals)), delivered(t, set, small(), totals, each)
		if !reflect.DeepEqual(cut, inOne) {
			rt.Errorf("in batches of %d\n%s\nin one\n%s", each, cut, inOne)
		}
	})
}

func TestAPluginThatKeepsAllChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		totals := rapid.SliceOfN(rapid.Int64Range(-1, 20), 1, 40).Draw(rt, "totals")
		var with, without []string
		for i := range rapid.IntRange(1, 5).Draw(rt, "rules") {
			name, when := fmt.Sprint("r", i), rapid.SampledFrom([]string{"after.total % 2 == 1", "after.total > 5", "true"}).Draw(rt, "when")
			without = append(without, rule(name, when, "acme", ""))
			if rapid.Bool().Draw(rt, "filtered") {
				with = append(with, filtered(name, when, "all", "acme", ""))
			} else {
				with = append(with, rule(name, when, "acme", ""))
			}
		}
		got, want := decisions(t, parse(t, with...), totals), decisions(t, parse(t, without...), totals)
		if !reflect.DeepEqual(got, want) {
			rt.Errorf("with plugins\n%s\nwithout\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// However matches are copied and shared, what comes out is what each rule makes of each event by itself.
func TestVerdictsAreTakenAsIfOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var lines []string
		for i := range rapid.IntRange(1, 6).Draw(rt, "rules") {
			when := rapid.SampledFrom([]string{"after.total % 2 == 1", "after.total > 5", "true"}).Draw(rt, "when")
			if plugin := rapid.SampledFrom([]string{"", "all", "ten", "bad", "tag", "bolt"}).Draw(rt, "plugin"); plugin != "" {
				lines = append(lines, filtered(fmt.Sprint("r", i), when, plugin, "acme, bolt", ""))
			} else {
				lines = append(lines, rule(fmt.Sprint("r", i), when, "acme, bolt", ""))
			}
		}
		set, ps := parse(t, lines...), small()
		batch := newBatch(t, 1, rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 100).Draw(rt, "totals")...)
		show := func(d cdc.Decision) (out string) {
			for _, m := range d.Matches {
				out += fmt.Sprintf(" %s %v %+v", m.Name, m.To, m.Edits)
			}
			for _, e := range d.Errors {
				out += fmt.Sprintf(" !%s %v", e.Rule.Name, e.Err)
			}
			return fmt.Sprint(d.Event.PartNo(), out)
		}
		var want, got []string
		for i := range batch.Len() {
			d := set.Decide(batch.Event(i))
			alone := cdc.Decision{Event: d.Event}
			for _, m := range d.Matches {
				r := set.Rules()[slices.IndexFunc(set.Rules(), func(r *rules.Rule) bool { return r.Name == m.Name })]
				v := keep()
				if r.Filter != nil {
					v = ps.judge[r.Filter.Plugin](d.Event.After().Value(1).Int64())
				}
				m, kept, err := r.Take(m, v)
				if err != nil {
					alone.Errors = append(alone.Errors, cdc.RuleError{Rule: m, Err: err})
				} else if kept {
					alone.Matches = append(alone.Matches, m)
				}
			}
			if len(alone.Matches)+len(alone.Errors) > 0 {
				want = append(want, show(alone))
			}
		}
		e := newEngine(t, &journal{}, set, func(c *engine.Config) {
			ps.with(c)
			c.Observe = func(_ *cdc.Batch, ds []cdc.Decision) {
				for _, d := range ds {
					got = append(got, show(d))
				}
			}
		})
		if err := e.Handle(t.Context(), batch); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// decisions returns what all that are told are told, but for versions.
func decisions(t testing.TB, set *rules.Set, totals []int64) []string {
	j := &journal{}
	e := newEngine(t, j, set, small().with)
	if err := e.Handle(t.Context(), newBatch(t, 1, totals...)); err != nil {
		t.Fatal(err)
	}
	return j.take()
}

// BenchmarkHandle measures what the engine takes for a change that two rules match: both without a plugin, and one with a
// plugin that is Go and takes no time itself.
func BenchmarkHandle(b *testing.B) {
	edits := &cdc.Edits{Tags: []string{"t"}}
	for _, tt := range []struct {
		name, rule string
		verdict    cdc.Verdict
	}{
		{"plain", rule("b", "true", "acme", ""), cdc.Verdict{}},
		{"kept", filtered("b", "true", "p", "acme", ""), cdc.Verdict{Keep: true}},
		{"dropped", filtered("b", "true", "p", "acme", ""), cdc.Verdict{}},
		{"edited", filtered("b", "true", "p", "acme", ""), cdc.Verdict{Keep: true, Edits: edits}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			e, err := engine.New(engine.Config{Rules: parse(b, rule("a", "after.total >= 0", "acme", ""), tt.rule),
				Sinks:  map[string]engine.Sink{"acme": sinkFunc(func([]cdc.Decision) {})},
				Filter: func(context.Context, *rules.Rule) (engine.Filter, error) { return always(tt.verdict), nil }})
			if err != nil {
				b.Fatal(err)
			}
			batch := newBatch(b, 1, make([]int64, 1000)...)
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Handle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}

// always is a filter with one verdict.
type always cdc.Verdict

func (a always) Judge(_ context.Context, _ []cdc.Event, verdicts []cdc.Verdict) error {
	for i := range verdicts {
		verdicts[i] = cdc.Verdict(a)
	}
	return nil
}

// A plugin that cannot be had, or that is in quarantine, stops the line; a person can say that other rules hold for the batch.
func TestWhileAPluginCannotBeHadOtherRulesMayBeSaidToHold(t *testing.T) {
	for _, tt := range []struct {
		name string
		ps   plugins
		want string
	}{
		{"not there", plugins{open: map[string]error{"ten": cdc.Errorf("CDCD-2508", "it is not there").WithFix("copy it")}},
			"CDCD-2508: revision 7.x, frame 5: rule f: plugin ten: it is not there"},
		{"in quarantine", plugins{world: map[string]error{"ten": cdc.Errorf("CDCD-2540", "in quarantine")}},
			"CDCD-2540: revision 7.x, frame 5: rule f: plugin ten: in quarantine"},
	} {
		tt.ps.judge = small().judge
		j := &journal{}
		set := parse(t, filtered("f", "", "ten", "acme", ""))
		e := newEngine(t, j, nil, func(c *engine.Config) {
			c.Filter = tt.ps.filter
			c.Sets = func(context.Context, *cdc.Batch) (*rules.Set, error) { return set, nil }
		})
		b := newBatch(t, 1, 1, 10)
		b.Seq, b.Rules = 5, cdc.Revision{No: 7, ID: "x"}
		for range 2 {
			err := e.Handle(t.Context(), b)
			var own *cdc.Error
			if err == nil || err.Error() != tt.want || !errors.As(err, &own) || !strings.HasSuffix(own.Fix, "have the changes from here on judged by other rules: cdcd rules adopt 7.x --from 5 --why '…'") {
				t.Errorf("%s: %v, %+v", tt.name, err, own)
			}
		}
		if got := j.take(); got != nil {
			t.Errorf("%s: sinks were called: %q", tt.name, got)
		}
		set = parse(t, rule("other", "true", "acme", "")) // adopted
		if err := e.Handle(t.Context(), b); err != nil {
			t.Errorf("%s: by other rules: %v", tt.name, err)
		}
	}
}
