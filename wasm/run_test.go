package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

const edited = `after.note="edited"`

// repeat returns n changes that are kept or edited in turn, but for those at these places.
func repeat(n int, at map[int]act) (all []act, want []string) {
	for i := range n {
		a, w := act{1, 0}, "keep"
		if i%3 == 0 {
			a, w = act{2, 0}, edited
		}
		if other, ok := at[i]; ok {
			a, w = other, ""
		}
		all, want = append(all, a), append(want, w)
	}
	return all, want
}

func TestOnlyTheChangeToBlameFails(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{Failures: -1, Fuel: 1_000_000})
	for _, row := range []struct {
		name string
		at   map[int]act
		want map[int]string
	}{
		{"the first", map[int]act{0: {4, 0}}, map[int]string{0: "unreachable"}},
		{"one in the middle", map[int]act{100: {6, 0}}, map[int]string{100: "bounds"}},
		{"the last of the first part", map[int]act{255: {4, 0}}, map[int]string{255: "unreachable"}},
		{"the first of the second part", map[int]act{256: {4, 0}}, map[int]string{256: "unreachable"}},
		{"the last", map[int]act{599: {5, 0}}, map[int]string{599: "fuel"}},
		{"several", map[int]act{1: {4, 0}, 2: {5, 0}, 3: {13, 0}, 400: {35, 0}}, map[int]string{1: "unreachable", 2: "fuel", 3: "exit", 400: "failed"}},
		{"one that makes all of the answer unreadable", map[int]act{77: {11, 0}}, map[int]string{77: "answer"}},
		{"one that says that all is done", map[int]act{200: {34, 0}}, map[int]string{200: "answer"}},
		{"one that lies about the log", map[int]act{129: {20, 0}}, map[int]string{129: "answer"}},
		{"a state that is spoiled is not to blame on anybody", map[int]act{50: {12, 0}}, map[int]string{50: "keep"}},
		{"a state that is spoiled by the last of a batch", map[int]act{255: {12, 0}}, map[int]string{255: "keep"}},
		{"both", map[int]act{50: {12, 0}, 51: {4, 0}, 300: {12, 0}}, map[int]string{50: "keep", 51: "unreachable", 300: "keep"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			all, want := repeat(600, row.at)
			for at, w := range row.want {
				want[at] = w
			}
			f := filter(t, p, "")
			got := judge(t, f, all...)
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("change %d: got %s, want %s", i, got[i], want[i])
				}
			}
		})
	}
}

// Whatever batches changes come in, and in whatever state the plugin is: they are judged the same.
func TestBatchesDoNotMatter(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{Failures: -1, Fuel: 500_000, BatchFuel: 1_500_000})
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []int64{0, 1, 2, 3, 4, 5, 6, 9, 11, 12, 14, 15, 18, 19, 20, 23, 25, 25, 25, 34, 35}
	all := make([]act, 700)
	for i := range all {
		all[i] = act{int64(random.IntN(4)), 0}
		if random.IntN(6) == 0 {
			all[i] = act{kinds[random.IntN(len(kinds))], int64(30_000 + random.IntN(60_000))}
		}
	}
	events := acts(t, all...)
	judged := func(sizes func() int) []string {
		f := filter(t, p, "")
		verdicts := make([]cdc.Verdict, len(events))
		for at := 0; at < len(events); {
			n := min(sizes(), len(events)-at)
			if err := f.Judge(t.Context(), events[at:at+n], verdicts[at:at+n]); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		var out []string
		for _, v := range verdicts {
			out = append(out, verdict(v))
		}
		return out
	}
	alone := judged(func() int { return 1 })
	if n := len(slices.DeleteFunc(slices.Clone(alone), func(s string) bool { return s != "fuel" })); n == 0 || n > 100 {
		t.Errorf("%d changes are out of fuel: the test is of no use", n)
	}
	for name, sizes := range map[string]func() int{
		"all at once": func() int { return len(events) },
		"by 7":        func() int { return 7 },
		"by 256":      func() int { return 256 },
		"at random":   func() int { return 1 + random.IntN(300) },
	} {
		for i, got := range judged(sizes) {
			if got != alone[i] {
				t.Errorf("%s: change %d (%v): got %s, alone %s", name, i, all[i], got, alone[i])
			}
		}
	}
}

func TestATrapSaysWhatHappened(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{Depth: 2000})
	f := filter(t, p, "")
	events := acts(t, act{1, 0}, act{7, 0}, act{3, 0}, act{33, 0})
	verdicts := make([]cdc.Verdict, 4)
	if err := f.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	var trap *Trap
	if !errors.As(verdicts[1].Err, &trap) || trap.Kind != TrapDepth || trap.Plugin != "guest 1.0.0" || trap.Digest != p.Digest() || trap.Fuel < 1000 ||
		len(trap.Stack) < 2 || !strings.HasPrefix(trap.Stack[0], "deep(i32)") || trap.Stack[len(trap.Stack)-1] != "... maybe followed by omitted frames" {
		t.Errorf("got %#v", trap)
	}
	for i, want := range map[int]string{
		1: "CDCD-2510: plugin guest 1.0.0: its calls nested too deep",
		2: "CDCD-2512: plugin guest 1.0.0: it cannot judge the change: not today",
		3: `CDCD-2511: plugin guest 1.0.0: an edit of its is not allowed: it alters column "id", which is of the key of table shop.orders`,
	} {
		if got := verdicts[i].Err.Error(); got != want {
			t.Errorf("change %d: got %s, want %s", i, got, want)
		}
	}
}

func TestAPluginThatKeepsFailingIsQuarantined(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{Failures: 3, Window: 10})
	for _, row := range []struct {
		name string
		acts string // a letter each: f fails, k is kept, r is refused by the plugin
		want bool
	}{
		{"as many as it may", "fff", false},
		{"one more", "ffff", true},
		{"far between", "fkkkkfkkkkfkkkkfkkkkf", false},
		{"close together", "kkkkkkkfkkkfkkfkkkkfk", false},
		{"within the last ten", "kkkkkkkfkkkfkkfkf", true},
		{"what it says that it cannot judge is not a failure", "rrrrrrrrrr", false},
	} {
		for _, together := range []bool{false, true} {
			f := filter(t, p, "")
			var all []act
			for _, c := range row.acts {
				all = append(all, act{map[rune]int64{'f': 4, 'k': 1, 'r': 3}[c], 0})
			}
			events, verdicts := acts(t, all...), make([]cdc.Verdict, len(all))
			var err error
			for at := 0; at < len(events) && err == nil; {
				n := 1
				if together {
					n = len(events)
				}
				err = f.Judge(t.Context(), events[at:at+n], verdicts[at:at+n])
				at += n
			}
			if (cdc.CodeOf(err) == "CDCD-2540") != row.want {
				t.Errorf("%s: got %v", row.name, err)
			}
			if again := f.Judge(t.Context(), events[:1], verdicts[:1]); row.want && cdc.CodeOf(again) != "CDCD-2540" {
				t.Errorf("%s: afterwards: %v", row.name, again)
			}
		}
	}
}

// While a store cannot be reached the same batch is judged again and again: that says nothing new about the plugin.
func TestAFailureCountsOnceHoweverOftenItsChangeIsOffered(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{Failures: 3, Window: 10})
	f := filter(t, p, "")
	events := acts(t, act{4, 0}, act{1, 0}, act{4, 0}, act{4, 0}, act{4, 0})
	for range 10 {
		verdicts := make([]cdc.Verdict, 4)
		if err := f.Judge(t.Context(), events[:4], verdicts); err != nil {
			t.Fatal(err)
		}
		if verdicts[0].Err == nil || verdicts[1].Err != nil {
			t.Fatalf("got %v", verdicts)
		}
	}
	if err := f.Judge(t.Context(), events[4:], make([]cdc.Verdict, 1)); cdc.CodeOf(err) != "CDCD-2540" {
		t.Errorf("at the fourth change: %v", err)
	}
}

// Each failure may cost the time that the plugin takes to begin: of a batch that is full of them no more than it takes to know.
func TestAPluginThatIsQuarantinedIsNotAskedAboutTheRest(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{Failures: 3, Window: 10})
	f := filter(t, p, "")
	if err := f.Judge(t.Context(), acts(t, slices.Repeat([]act{{4, 0}}, 1000)...), make([]cdc.Verdict, 1000)); cdc.CodeOf(err) != "CDCD-2540" {
		t.Errorf("got %v", err)
	}
	if s := p.Stats(); s.Retried > 4 || s.Traps[TrapUnreachable] != 4 {
		t.Errorf("after four failures: %+v", s)
	}
}

// A plugin that has to be started anew again and again, and takes long for it, is in the way of others though it judges in the end.
func TestAPluginThatIsStartedAnewTooOftenIsQuarantined(t *testing.T) {
	for _, row := range []struct {
		name string
		l    Limits
		want int // batches until it is; 0: it is not
	}{
		{"close together", Limits{}, 10},
		{"far between", Limits{Window: 10}, 0},
		{"that is how it is tested", Limits{Failures: -1}, 0},
	} {
		one := filter(t, load(t, newHost(t, Config{}), slow(t), Limits{}), "")
		row.l.Start = one.plugin.Stats().BeginFuel // and not a unit more
		p := load(t, newHost(t, Config{}), slow(t), row.l)
		f := filter(t, p, "")
		events := acts(t, make([]act, 100)...)
		got := 0
		for i, e := range events {
			var err error
			for range 3 { // it is offered again, since a store cannot be reached
				if err = f.Judge(t.Context(), []cdc.Event{e}, make([]cdc.Verdict, 1)); err != nil {
					break
				}
			}
			if err != nil {
				if !contains(err, "CDCD-2540", "to start it anew after failures has taken more than") {
					t.Errorf("%s: %v", row.name, err)
				}
				got = i
				break
			}
		}
		if got != row.want {
			t.Errorf("%s: it is quarantined at batch %d, want %d", row.name, got, row.want)
		}
	}
}

// What is not the plugin's fault leaves it as it was, and the batch is judged when it is offered again.
func TestTheWorldIsToBlame(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{Fuel: 1e12, BatchFuel: 1e12})
	f := filter(t, p, "")
	judgeWith := func(ctx context.Context, all ...act) ([]cdc.Verdict, error) {
		verdicts := make([]cdc.Verdict, len(all))
		return verdicts, f.Judge(ctx, acts(t, all...), verdicts)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := judgeWith(ctx, act{2, 0}, act{5, 0}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context ends: %v", err)
	}
	now := time.Now()
	h.now = func() time.Time { now = now.Add(time.Second); return now }
	if _, err := judgeWith(t.Context(), act{2, 0}, act{5, 0}); cdc.CodeOf(err) != "CDCD-2541" {
		t.Errorf("the time of a batch is over: %v", err)
	}
	h.now = time.Now
	if got, err := judgeWith(t.Context(), act{2, 0}, act{1, 0}); err != nil || verdict(got[0]) != edited || verdict(got[1]) != "keep" {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

// However large the frames are that changes come in, a plugin that is fast enough gets through them.
func TestTheTimeOfACallDoesNotDependOnTheFrame(t *testing.T) {
	h := newHost(t, Config{})
	f := filter(t, load(t, h, cguest(t), Limits{Fuel: 400_000}), "")
	now := time.Now()
	h.now = func() time.Time { now = now.Add(time.Second); return now }
	all := make([]act, 20*maxEvents)
	for i := range all {
		all[i] = act{1, 0}
	}
	began := now
	if err := f.Judge(t.Context(), acts(t, all...), make([]cdc.Verdict, len(all))); err != nil {
		t.Errorf("after %s, of which a call may take 10s: %v", now.Sub(began), err)
	}
	if now.Sub(began) < time.Minute {
		t.Errorf("it took %s: the test is of no use", now.Sub(began))
	}
}

func TestPluginsShareABudgetOfMemory(t *testing.T) {
	h := newHost(t, Config{Memory: 6 << 20})
	p := load(t, h, cguest(t), Limits{})
	var filters []*Filter
	for {
		f, err := p.Filter(t.Context(), nil)
		if err != nil {
			if cdc.CodeOf(err) != "CDCD-2542" {
				t.Fatal(err)
			}
			break
		}
		filters = append(filters, f)
	}
	if len(filters) < 3 || len(filters) > 5 || h.Memory() > 6<<20 || p.Stats().Instances != int64(len(filters)) {
		t.Errorf("%d instances have %d bytes: %+v", len(filters), h.Memory(), p.Stats())
	}
	verdicts := make([]cdc.Verdict, 1)
	if err := filters[0].Judge(t.Context(), acts(t, act{30, 0}), verdicts); err != nil || !verdicts[0].Keep {
		t.Errorf("a plugin that is told that there is no more memory goes on: %v, %v", verdicts, err)
	}
	if err := filters[0].Judge(t.Context(), acts(t, act{26, 0}), verdicts); cdc.CodeOf(err) != "CDCD-2542" {
		t.Errorf("one that fails for want of it: %v", err)
	}
	for _, f := range filters {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if h.Memory() != 0 || p.Stats().Memory != 0 {
		t.Errorf("%d bytes are left", h.Memory())
	}
	filters[0] = filter(t, p, "")
	if got := judge(t, filters[0], act{2, 0})[0]; got != edited {
		t.Errorf("when there is memory again: %s", got)
	}
}

func TestHowAPluginDoesNotBegin(t *testing.T) {
	var lines []string
	h := newHost(t, Config{Log: func(l Line) { lines = append(lines, l.Text) }})
	p := load(t, h, cguest(t), Limits{Start: 1_000_000})
	for _, row := range []struct{ do, code, want string }{
		{"@t", "CDCD-2506", "plugin guest 1.0.0 does not begin: CDCD-2510: plugin guest 1.0.0: it gave up"},
		{"@l", "CDCD-2506", "it used more than 1000000 units of fuel"},
		{"@n", "CDCD-2504", `the configuration of plugin guest 1.0.0: no\n`},
		{"@m", "CDCD-2504", "it does not say why"},
		{"@o", "", ""},
	} {
		f, err := p.Filter(t.Context(), json.RawMessage(fmt.Sprintf(`{"do": %q}`, row.do)))
		if cdc.CodeOf(err) != row.code || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v", row.do, err)
		}
		if err == nil {
			f.Close()
		}
	}
	if want := []string{"it begins"}; !reflect.DeepEqual(lines, want) {
		t.Errorf("lines are %q", lines)
	}
	if _, err := p.Filter(t.Context(), json.RawMessage(`{"do": 1}`)); cdc.CodeOf(err) != "CDCD-2504" {
		t.Errorf("a configuration that the schema forbids: %v", err)
	}
	if h.Memory() != 0 {
		t.Errorf("%d bytes are left", h.Memory())
	}
}

// What belongs to a change that is judged twice counts once.
func TestLinesAndMetricsCountOnce(t *testing.T) {
	var lines []string
	now := time.Unix(1000, 0)
	h := newHost(t, Config{Log: func(l Line) { lines = append(lines, fmt.Sprintf("%s %s%s: %s", l.Plugin, l.For, l.Level, l.Text)) }})
	h.now = func() time.Time { return now }
	p := load(t, h, cguest(t), Limits{LogLines: 10})
	f := filter(t, p, "")
	const line = `guest 1.0.0 warn: line\x1b[2J\nof a plugin`
	for _, row := range []struct {
		name   string
		acts   []act
		lines  []string
		metric int64
	}{
		{"as it comes", []act{{8, 0}, {9, 5}}, []string{line}, 5},
		{"one fails behind", []act{{8, 0}, {9, 5}, {4, 0}, {9, 7}, {8, 0}}, []string{line, line}, 12},
		{"an answer that cannot be read", []act{{9, 5}, {8, 0}, {11, 0}, {9, 1}}, []string{line}, 6},
		{"a state that was spoiled", []act{{12, 0}, {9, 1}, {8, 0}}, []string{line}, 1},
		{"written to a file", []act{{28, 0}}, []string{"guest 1.0.0 info: to stdout", "guest 1.0.0 info: and more"}, 0},
		{"too many", []act{{27, 100}}, slices.Repeat([]string{"guest 1.0.0 info: flood"}, 10), 0},
	} {
		lines = nil
		now = now.Add(time.Second)
		before := p.Stats().Metrics["counted"]
		judge(t, f, row.acts...)
		if !reflect.DeepEqual(lines, row.lines) {
			t.Errorf("%s: lines are %q, want %q", row.name, lines, row.lines)
		}
		if got := p.Stats().Metrics["counted"] - before; got != row.metric {
			t.Errorf("%s: the metric rose by %d, want %d", row.name, got, row.metric)
		}
	}
	if lost := p.Stats().LinesLost; lost != 90 {
		t.Errorf("%d lines are lost, want 90", lost)
	}
	lines, now = nil, now.Add(time.Second)
	acme, err := p.Filter(For(t.Context(), "acme "), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer acme.Close()
	judge(t, acme, act{4, 0}, act{8, 0})
	if want := []string{strings.Replace(line, "warn", "acme warn", 1)}; !reflect.DeepEqual(lines, want) {
		t.Errorf("lines of a filter that is for something are %q, want %q", lines, want)
	}
}

// Clock and random numbers are functions of the change.
func TestWhatAPluginSeesOfTheWorld(t *testing.T) {
	var lines []string
	h := newHost(t, Config{Log: func(l Line) { lines = append(lines, l.Text) }})
	p := load(t, h, cguest(t), Limits{LogLines: 1000})
	f := filter(t, p, "")
	all := []act{{22, 0}, {23, 0}, {23, 0}, {22, 0}, {24, 0}}
	judge(t, f, all...)
	at := func(n int) string { return fmt.Sprint(clock.Add(time.Duration(n) * time.Second).UnixNano()) }
	if len(lines) != 7 || lines[0] != at(0) || lines[1] != at(0) || lines[2] == lines[3] || lines[4] != at(3) {
		t.Fatalf("got %q", lines)
	}
	const want = `{"no":1004,"op":"insert","table":"shop.orders","commit_time":"2026-11-21T10:00:04.000000Z","before":null,` +
		`"after":{"act":24,"arg":0,"note":"a note"}}`
	if lines[6] != want {
		t.Errorf("as JSON:\n got %s\nwant %s", lines[6], want)
	}
	before := lines
	for range 3 {
		lines = nil
		f := filter(t, p, "")
		verdicts := make([]cdc.Verdict, 1)
		for _, e := range acts(t, all...) {
			if err := f.Judge(t.Context(), []cdc.Event{e}, verdicts); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(lines, before) {
			t.Errorf("another time: %q, want %q", lines, before)
		}
	}
}

// Events are given as many at once as fit, and a large one alone.
func TestLargeChanges(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{Failures: -1})
	f := filter(t, p, "")
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	tx, table := w.AddTx(cdc.Tx{CommitTime: clock}), w.AddTable(orders)
	sizes := []int{10, 100_000, 100_000, 100_000, 300_000, 10, 500_000, 70_000}
	for n, size := range sizes {
		w.BeginRow(5)
		w.SetInt(0, int64(n))
		w.SetInt(1, 2)
		w.SetText(3, cdc.KindString, strings.Repeat("x", size))
		w.AddEvent(cdc.EventInfo{No: uint64(n), Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []cdc.Event
	for i := range b.Len() {
		events = append(events, b.Event(i))
	}
	verdicts := make([]cdc.Verdict, len(events))
	if err := f.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		want := edited
		if sizes[i] > 400<<10 { // the guest's arena
			want = "memory"
		}
		if got := verdict(v); got != want {
			t.Errorf("change of %d bytes: got %s, want %s", sizes[i], got, want)
		}
	}
}

func TestATableThatThePluginCannotJudgeConcernsOnlyItsChanges(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{})
	f := filter(t, p, "")
	other := &cdc.Table{Schema: "shop", Name: "other", Columns: []cdc.Column{{Name: "act", Kind: cdc.KindInt64}}}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	tx := w.AddTx(cdc.Tx{CommitTime: clock})
	for n := range 6 {
		table, columns := orders, 5
		if n%2 == 1 {
			table, columns = other, 1
		}
		number := w.AddTable(table)
		w.BeginRow(columns)
		if n%2 == 0 {
			w.SetInt(1, 2)
		}
		w.AddEvent(cdc.EventInfo{No: uint64(n), Tx: tx, Table: number, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []cdc.Event
	for i := range b.Len() {
		events = append(events, b.Event(i))
	}
	verdicts := make([]cdc.Verdict, len(events))
	if err := f.Judge(t.Context(), events, verdicts); err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if got, want := verdict(v), []string{edited, "CDCD-2507"}[i%2]; got != want {
			t.Errorf("change %d: got %s, want %s", i, got, want)
		}
	}
}

func TestStats(t *testing.T) {
	p := load(t, newHost(t, Config{}), cguest(t), Limits{})
	f := filter(t, p, "")
	judge(t, f, act{0, 0}, act{1, 0}, act{2, 0}, act{3, 0}, act{4, 0}, act{9, 4}, act{33, 0})
	s := p.Stats()
	want := Stats{Batches: 1, Events: 7, Kept: 3, Dropped: 1, Edited: 1, Errors: 3, Retried: 1, Instances: 1,
		Traps: map[string]int64{TrapUnreachable: 1, TrapRefused: 1, TrapAnswer: 1}, Metrics: map[string]int64{"counted": 4}}
	if s.Fuel <= 0 || s.FuelP50 <= 0 || s.FuelP99 < s.FuelP50 || s.TimeP99 <= 0 || s.Time <= 0 || s.Memory < 1<<20 || s.Load <= 0 || s.BeginFuel <= 0 || s.Restored < 1 {
		t.Errorf("got %+v", s)
	}
	s.Fuel, s.FuelP50, s.FuelP99, s.Time, s.TimeP50, s.TimeP99, s.Memory, s.Load, s.Begin, s.BeginFuel, s.Restored = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if f.Fuel() <= 0 {
		t.Error("the last Judge has used no fuel")
	}
}

func TestHistogramClassesAreNarrow(t *testing.T) {
	for _, v := range []uint64{0, 1, 7, 8, 9, 100, 1000, 12345, 1 << 20, 1<<40 + 12345, 1 << 62} {
		var h histogram
		h.add(v, 3)
		if got := h.quantile(0.99); got < float64(v)*0.93-1 || got > float64(v)*1.07+1 {
			t.Errorf("%d is %v", v, got)
		}
	}
}

// aged makes a file as old as that.
func aged(name string, age time.Duration) error {
	then := time.Now().Add(-age)
	return os.Chtimes(name, then, then)
}

// What a running host has is compiled again when all of its folder has gone.
func TestTheFolderOfWhatIsCompiledGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	h := newHost(t, Config{Dir: dir})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := judge(t, filter(t, load(t, h, cguest(t), Limits{}), ""), act{2, 0})[0]; got != edited {
		t.Error(got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
}

// The engine would compile what it does not find, in this process and without limits.
func TestWhatIsLoadedIsTheCopyThatWasVerified(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	c, err := openCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.module(t.Context(), smallest, Compile)
	if err != nil {
		t.Fatal(err)
	}
	entries := func() (names []string) {
		all, _ := os.ReadDir(dir)
		for _, e := range all {
			if e.IsDir() && filepath.Join(dir, e.Name()) != before {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if len(entries()) != 1 {
		t.Fatalf("there are %v", entries())
	}
	if err := os.RemoveAll(filepath.Join(dir, entries()[0])); err != nil { // whatever becomes of the cache now
		t.Fatal(err)
	}
	var found int
	_ = filepath.WalkDir(before, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != sealFile {
			found++
		}
		return nil
	})
	if found != 1 {
		t.Errorf("the copy has %d files of code", found)
	}
	if err := os.RemoveAll(before); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, Config{Dir: dir})
	load(t, h, cguest(t), Limits{})
	if len(entries()) != 1 {
		t.Errorf("what is left beside the code: %v", entries())
	}
}

func TestWhatIsCompiledIsKeptAndNobodyElses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	compiles := 0
	compiler := func(ctx context.Context, module []byte, dir string) error {
		compiles++
		return Compile(ctx, module, dir)
	}
	try := func() error {
		h := newHost(t, Config{Dir: dir, Compile: compiler})
		p, err := h.Load(t.Context(), cguest(t), Limits{})
		if err != nil {
			return err
		}
		if got := judge(t, filter(t, p, ""), act{2, 0})[0]; got != edited {
			return errors.New(got)
		}
		return h.Close()
	}
	files := func() (all []string) {
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && filepath.Dir(path) != dir && e.Name() != sealFile {
				all = append(all, path)
			}
			return nil
		})
		return all
	}
	for _, row := range []struct {
		name    string
		tamper  func() error
		compile bool
	}{
		{"the first time", func() error { return nil }, true},
		{"the second time", func() error { return nil }, false},
		{"a byte of the code is another", func() error {
			b, err := os.ReadFile(files()[0])
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(files()[0], b, 0o600)
		}, true},
		{"a file is added", func() error { return os.WriteFile(filepath.Join(filepath.Dir(files()[0]), "more"), nil, 0o600) }, true},
		{"a file is a link", func() error {
			to := files()[0] + ".moved"
			return errors.Join(os.Rename(files()[0], to), os.Rename(to, filepath.Join(dir, "moved")), os.Symlink(filepath.Join(dir, "moved"), strings.TrimSuffix(to, ".moved")))
		}, true},
		{"the seal is gone", func() error { return os.Remove(filepath.Join(filepath.Dir(filepath.Dir(files()[0])), sealFile)) }, true},
		{"the key is another", func() error { return os.WriteFile(filepath.Join(dir, keyFile), make([]byte, 32), 0o600) }, true},
		{"others may read the key", func() error { return os.Chmod(filepath.Join(dir, keyFile), 0o644) }, true},
		{"others may read the folder", func() error { return os.Chmod(dir, 0o755) }, false},
		{"a compiler was killed some time ago", func() error {
			left := filepath.Join(dir, "new-1")
			return errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Join(left, "half"), []byte("code"), 0o600), aged(left, 2*time.Hour))
		}, false},
		{"it was not used for long", func() error { return aged(filepath.Dir(filepath.Dir(files()[0])), 15*24*time.Hour) }, true},
		{"it was not compiled lately, but is used", func() error { return aged(filepath.Dir(filepath.Dir(files()[0])), 13*24*time.Hour) }, false},
		{"it was used just now", func() error {
			info, err := os.Stat(filepath.Dir(filepath.Dir(files()[0])))
			if err == nil && time.Since(info.ModTime()) > time.Hour {
				err = errors.New("which nobody has noted")
			}
			return err
		}, false},
	} {
		if err := row.tamper(); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		before := compiles
		if err := try(); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if (compiles > before) != row.compile {
			t.Errorf("%s: compiled %d times", row.name, compiles-before)
		}
		if len(files()) != 1 {
			t.Errorf("%s: files are %q", row.name, files())
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: the folder is %v, %v", row.name, info.Mode(), err)
		}
	}
}

func TestACompilerThatFails(t *testing.T) {
	for name, compile := range map[string]Compiler{
		"an error": func(context.Context, []byte, string) error { return errors.New("killed") },
		"nothing":  func(context.Context, []byte, string) error { return nil },
	} {
		dir := t.TempDir()
		h := newHost(t, Config{Dir: dir, Compile: compile})
		if _, err := h.Load(t.Context(), cguest(t), Limits{}); cdc.CodeOf(err) != "CDCD-2505" {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
			t.Errorf("%s: left in the folder: %q", name, left)
		}
	}
}

// A hundred blocks deep, a hundred variables: a compiler takes a third of a second for it; ten times both, and it does not end.
func TestWhatWouldTakeLongIsNotCompiledInThisProcess(t *testing.T) {
	deep := func(n int) []byte {
		code := []byte{1, byte(n)&0x7f | 0x80, byte(n >> 7), 0x7f}
		code = append(code, slices.Repeat([]byte{0x03, 0x40}, n)...)
		code = append(code, slices.Repeat([]byte{0x0b}, n)...)
		return minimal().with(func(p *parts) { p.codes[2] = append(code, 0x0b) }).plugin(t)
	}
	h := newHost(t, Config{})
	if _, err := h.Load(t.Context(), deep(50), Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := h.Load(t.Context(), deep(1000), Limits{}); cdc.CodeOf(err) != "CDCD-2505" {
		t.Errorf("got %v", err)
	}
}

func TestAPluginIsUnloadedWithItsLastFilter(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{})
	f := filter(t, p, "")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := judge(t, f, act{2, 0})[0]; got != edited {
		t.Errorf("a filter of it: %s", got)
	}
	if _, err := p.Filter(t.Context(), nil); err == nil {
		t.Error("it has begun again")
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if err := f.Judge(t.Context(), acts(t, act{1, 0}), make([]cdc.Verdict, 1)); err == nil {
		t.Error("a closed filter has judged")
	}
}

// Filters of one plugin are used by as many goroutines, while others look at it and take it away.
func TestFiltersOfOnePluginDoNotMeet(t *testing.T) {
	h := newHost(t, Config{Log: func(Line) {}})
	p := load(t, h, cguest(t), Limits{Failures: -1})
	all, want := repeat(100, map[int]act{7: {4, 0}, 8: {9, 2}, 50: {12, 0}, 70: {8, 0}, 71: {23, 0}, 90: {20, 0}})
	want[7], want[8], want[50], want[70], want[71], want[90] = "unreachable", "keep", "keep", "keep", "keep", "answer"
	events := acts(t, all...)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			f, err := p.Filter(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			verdicts := make([]cdc.Verdict, len(events))
			for range 5 {
				if err := f.Judge(t.Context(), events, verdicts); err != nil {
					t.Error(err)
				}
				for i, v := range verdicts {
					if got := verdict(v); got != want[i] {
						t.Errorf("change %d: got %s, want %s", i, got, want[i])
					}
				}
				_ = p.Stats()
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s := p.Stats(); s.Events != 4*5*100 || s.Metrics["counted"] != 4*5*2 || s.Instances != 0 || s.Memory != 0 {
		t.Errorf("got %+v", s)
	}
}
