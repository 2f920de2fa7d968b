package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "total", Kind: cdc.KindInt64, Type: "int", Nullable: true},
}}

// newBatch has one insert per total; a negative one is NULL. Events have the IDs of their PartNo.
func newBatch(t testing.TB, first uint64, totals ...int64) *cdc.Batch {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: first, Heartbeat: len(totals) == 0})
	for i, total := range totals {
		no := first + uint64(i)
		e := cdc.EventInfo{No: no, Tx: w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", no), CommitTime: time.Unix(int64(no), 0)}), Table: w.AddTable(orders), Op: cdc.OpInsert}
		w.BeginRow(2)
		w.SetInt(0, int64(no))
		w.SetInt(1, total)
		if total < 0 {
			w.SetNull(1)
		}
		e.After = w.EndRow()
		w.AddEvent(e)
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, lines ...string) *rules.Set {
	t.Helper()
	rs, err := rules.Parse("rules.yaml", []byte("version: 1\nrules:\n"+strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.New(rs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func rule(name, when, to, more string) string {
	return fmt.Sprintf("  - {name: %s, tables: [shop.orders], when: \"%s\", to: [%s]%s}", name, when, to, more)
}

// journal is what sinks were called with, in order. A sink may be told to fail.
type journal struct {
	mu    sync.Mutex
	lines []string
	fail  map[string]int // how often each sink still fails
}

var errFull = errors.New("the store is full")

type sink struct {
	name string
	j    *journal
}

func (s sink) Write(_ context.Context, b *cdc.Batch, ds []cdc.Decision) error {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	line := s.name
	for i := range ds {
		line += " " + text(&ds[i])
	}
	if s.j.fail[s.name] > 0 {
		s.j.fail[s.name]--
		s.j.lines = append(s.j.lines, line+" failed")
		return errFull
	}
	s.j.lines = append(s.j.lines, line)
	return nil
}

// text is "number:rules that matched!rules that failed"; behind a rule whose plugin routes are its feeds, behind one that looks
// something up what it has found.
func text(d *cdc.Decision) string {
	var matched, failed string
	for _, m := range d.Matches {
		matched += "," + m.Name
		if m.Edits != nil && m.Edits.To != nil {
			matched += "→" + strings.Join(m.To, "+")
		}
		for _, l := range m.Lookups {
			matched += " " + lookedText(l)
		}
	}
	for _, e := range d.Errors {
		failed += "!" + e.Rule.Name
	}
	return fmt.Sprintf("%d:%s%s", d.Event.PartNo(), strings.TrimPrefix(matched, ","), failed)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

func newEngine(t testing.TB, j *journal, set *rules.Set, more func(*engine.Config)) *engine.Engine {
	t.Helper()
	cfg := engine.Config{Rules: set, VerifyEvery: 1, Mismatch: func(m rules.Mismatch) { t.Error(m) },
		Sinks: map[string]engine.Sink{"acme": sink{"acme", j}, "bolt": sink{"bolt", j}}, DeadLetter: sink{"letters", j},
		Observe: func(b *cdc.Batch, ds []cdc.Decision) {
			line := fmt.Sprintf("observe %d", b.Len())
			for i := range ds {
				line += " " + text(&ds[i])
			}
			j.mu.Lock()
			j.lines = append(j.lines, line)
			j.mu.Unlock()
		}}
	if more != nil {
		more(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEachEventReachesEachOfItsFeedsOnceAndInOrder(t *testing.T) {
	big, even := "after.total >= 100", "after.total % 2 == 0"
	for _, tt := range []struct {
		name   string
		rules  []string
		totals []int64
		want   []string
		err    string
	}{
		{"two feeds", []string{rule("big", big, "acme", ""), rule("even", even, "bolt", "")}, []int64{100, 3, 4, 101},
			[]string{"letters", "acme 1:big,even 4:big", "bolt 1:big,even 3:even", "observe 4 1:big,even 3:even 4:big"}, ""},
		{"one rule for two feeds", []string{rule("big", big, "bolt, acme", "")}, []int64{100},
			[]string{"letters", "acme 1:big", "bolt 1:big", "observe 1 1:big"}, ""},
		{"two rules for one feed are one delivery", []string{rule("big", big, "acme", ""), rule("even", even, "acme", "")}, []int64{100},
			[]string{"letters", "acme 1:big,even", "bolt", "observe 1 1:big,even"}, ""},
		{"nothing matches, and all are told", []string{rule("big", big, "acme", "")}, []int64{1, 2},
			[]string{"letters", "acme", "bolt", "observe 2"}, ""},
		{"a heartbeat", []string{rule("big", big, "acme", "")}, nil, []string{"letters", "acme", "bolt", "observe 0"}, ""},
		{"feeds of others are not judged", []string{rule("theirs", "after.total > 0", "zeta", "")}, []int64{-1, 5},
			[]string{"letters", "acme", "bolt", "observe 2"}, ""},
		{"shadow rules are seen and deliver nothing", []string{rule("big", big, "acme", ", mode: shadow")}, []int64{100},
			[]string{"letters", "acme", "bolt", "observe 1 1:big"}, ""},
		{"dead letter, and the line moves on", []string{rule("big", big, "acme", "")}, []int64{100, -1, 101},
			[]string{"letters 2:!big", "acme 1:big 3:big", "bolt", "observe 3 1:big 2:!big 3:big"}, ""},
		{"the error of one rule does not hide the match of another", []string{rule("big", big, "acme", ""), rule("any", "true", "acme", ""), rule("even", even, "bolt", "")}, []int64{-1, 1},
			[]string{"letters 1:any!big!even", "acme 1:any!big!even 2:any", "bolt", "observe 2 1:any!big!even 2:any"}, ""},
		{"skip", []string{rule("big", big, "acme", ", on_error: skip")}, []int64{-1, 100},
			[]string{"letters", "acme 2:big", "bolt", "observe 2 1:!big 2:big"}, ""},
		{"skip and dead letter on one event", []string{rule("big", big, "acme", ", on_error: skip"), rule("even", even, "bolt", "")}, []int64{-1},
			[]string{"letters 1:!big!even", "acme", "bolt", "observe 1 1:!big!even"}, ""},
		{"halt: nobody sees the batch", []string{rule("even", even, "bolt", ""), rule("big", big, "acme", ", on_error: halt")}, []int64{100, -1, 101}, nil,
			"CDCD-5001: rule big could not judge event 0-1-2/0 of shop.orders and says on_error: halt"},
		{"a shadow rule halts nothing", []string{rule("big", big, "acme", ", on_error: halt, mode: shadow")}, []int64{-1},
			[]string{"letters", "acme", "bolt", "observe 1 1:!big"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{}
			err := newEngine(t, j, parse(t, tt.rules...), nil).Handle(t.Context(), newBatch(t, 1, tt.totals...))
			if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasPrefix(got, tt.err) {
				t.Errorf("error: got %v, want %s", err, tt.err)
			}
			if got := j.take(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			var e *cdc.Error
			if err != nil && (!errors.As(err, &e) || e.Fix == "") {
				t.Errorf("%v does not say how to mend it", err)
			}
		})
	}
}

func TestWithoutAPlaceForDeadLettersTheLineStops(t *testing.T) {
	set := parse(t, rule("skipped", "after.total > 1", "acme", ", on_error: skip"), rule("big", "after.total > 1", "acme", ""))
	j := &journal{}
	e := newEngine(t, j, set, func(c *engine.Config) { c.DeadLetter = nil })
	err := e.Handle(t.Context(), newBatch(t, 1, 5, -1))
	var coded *cdc.Error
	if !errors.As(err, &coded) || coded.Code != "CDCD-5002" || coded.Fix == "" || !strings.HasPrefix(coded.What, "rule big could not judge event 0-1-2/0") {
		t.Errorf("got %v", err)
	}
	if got := j.take(); got != nil {
		t.Errorf("sinks were called: %q", got)
	}
	if err := e.Handle(t.Context(), newBatch(t, 1, 5)); err != nil {
		t.Errorf("without dead letters none is needed: %v", err)
	}
}

func TestAfterAnErrorTheSameBatchIsOfferedAgain(t *testing.T) {
	set := parse(t, rule("all", "after.total > 0", "acme", ""), rule("too", "after.total > 1", "bolt", ""))
	for _, tt := range []struct {
		failing string
		want    []string
		err     string
	}{
		{"letters", []string{"letters 2:!all!too failed", "letters 2:!all!too", "acme 1:all,too", "bolt 1:all,too", "observe 2 1:all,too 2:!all!too"},
			"dead letters: the store is full"},
		{"acme", []string{"letters 2:!all!too", "acme 1:all,too failed", "letters 2:!all!too", "acme 1:all,too", "bolt 1:all,too", "observe 2 1:all,too 2:!all!too"},
			"feed acme: the store is full"},
		{"bolt", []string{"letters 2:!all!too", "acme 1:all,too", "bolt 1:all,too failed", "letters 2:!all!too", "acme 1:all,too", "bolt 1:all,too", "observe 2 1:all,too 2:!all!too"},
			"feed bolt: the store is full"},
	} {
		t.Run(tt.failing, func(t *testing.T) {
			j := &journal{fail: map[string]int{tt.failing: 1}}
			e := newEngine(t, j, set, nil)
			b := newBatch(t, 1, 5, -1)
			if err := e.Handle(t.Context(), b); !errors.Is(err, errFull) || err.Error() != tt.err {
				t.Errorf("got %v, want %s", err, tt.err)
			}
			if err := e.Handle(t.Context(), b); err != nil {
				t.Error(err)
			}
			if got := j.take(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestADecisionNamesTheWholeRuleSet(t *testing.T) {
	set := parse(t, rule("all", "true", "acme", ""), rule("theirs", "true", "zeta", ""))
	var got []string
	e := newEngine(t, &journal{}, set, func(c *engine.Config) {
		c.Observe = func(_ *cdc.Batch, ds []cdc.Decision) { got = append(got, ds[0].RuleSet) }
	})
	if err := e.Handle(t.Context(), newBatch(t, 1, 5)); err != nil {
		t.Fatal(err)
	}
	if want := []string{set.Digest()}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnEngineNeedsRules(t *testing.T) {
	if _, err := engine.New(engine.Config{}); err == nil {
		t.Error("no error")
	}
}

// A batch is judged by one rule set from its first event to its last, whenever rules are swapped.
func TestRulesAreSwappedBetweenBatches(t *testing.T) {
	sets := []*rules.Set{parse(t, rule("odd", "after.total % 2 == 1", "acme", "")), parse(t, rule("even", "after.total % 2 == 0", "acme", ""))}
	j := &journal{}
	e := newEngine(t, j, sets[0], func(c *engine.Config) { c.Observe = nil; c.DeadLetter = nil })
	b := newBatch(t, 1, 1, 2, 3, 4, 5, 6)
	handle := func() string {
		if err := e.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return j.take()[0]
	}
	odd, even := "acme 1:odd 3:odd 5:odd", "acme 2:even 4:even 6:even"
	if got := handle(); got != odd {
		t.Errorf("got %q, want %q", got, odd)
	}
	e.Swap(sets[1])
	if got := handle(); got != even {
		t.Errorf("got %q, want %q", got, even)
	}

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // waited for below
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				e.Swap(sets[i%2])
			}
		}
	}()
	seen := map[string]int{}
	for deadline := time.Now().Add(20 * time.Second); (seen[odd] < 100 || seen[even] < 100) && time.Now().Before(deadline); {
		got := handle()
		if seen[got]++; got != odd && got != even {
			t.Errorf("judged by both: %q", got)
			break
		}
	}
	close(stop)
	<-stopped
	if seen[odd] == 0 || seen[even] == 0 {
		t.Errorf("got %v", seen)
	}
}

// A batch is judged by the revision that it names, whatever came before it; and offered again, by the same.
func TestABatchIsJudgedByTheRevisionThatItNames(t *testing.T) {
	sets := map[uint64]*rules.Set{
		1: parse(t, rule("odd", "after.total % 2 == 1", "acme", "")),
		2: parse(t, rule("even", "after.total % 2 == 0", "acme", "")),
		3: parse(t, rule("even", "after.total % 2 == 0", "acme", "")),
	}
	var asked []uint64
	fail := true
	j := &journal{}
	e := newEngine(t, j, nil, func(c *engine.Config) {
		c.Observe, c.DeadLetter = nil, nil
		c.Sinks = map[string]engine.Sink{"acme": sink{"acme", j}}
		c.Sets = func(_ context.Context, b *cdc.Batch) (*rules.Set, error) {
			asked = append(asked, b.Rules.No)
			if fail {
				return nil, errFull
			}
			return sets[b.Rules.No], nil
		}
	})
	batch := func(no uint64) *cdc.Batch {
		b := newBatch(t, 1, 1, 2, 3)
		b.Rules = cdc.Revision{No: no, ID: fmt.Sprintf("%016x", no)}
		return b
	}
	if err := e.Handle(t.Context(), batch(1)); !errors.Is(err, errFull) || len(j.take()) != 0 {
		t.Fatalf("rules that cannot be had: got %v", err)
	}
	fail = false
	for _, no := range []uint64{1, 1, 2, 3, 2, 1} {
		if err := e.Handle(t.Context(), batch(no)); err != nil {
			t.Fatal(err)
		}
		want := "acme 2:even"
		if no == 1 {
			want = "acme 1:odd 3:odd"
		}
		if got := j.take(); len(got) != 1 || got[0] != want {
			t.Errorf("revision %d: got %q, want %q", no, got, want)
		}
	}
	if want := []uint64{1, 1, 2, 3, 2, 1}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for revisions %v, want %v", asked, want)
	}
}

// The rules of a batch that a rule has halted may be mended: they are asked for again, and for the batch before they stay.
func TestAfterAHaltTheRulesOfTheBatchAreAskedForAgain(t *testing.T) {
	halting := parse(t, rule("big", "after.total > 100", "acme", ", on_error: halt"))
	mended := parse(t, rule("big", "after.total != null && after.total > 100", "acme", ", on_error: halt"))
	adopted := false
	j := &journal{}
	e := newEngine(t, j, nil, func(c *engine.Config) {
		c.Observe, c.DeadLetter = nil, nil
		c.Sinks = map[string]engine.Sink{"acme": sink{"acme", j}}
		c.Sets = func(_ context.Context, b *cdc.Batch) (*rules.Set, error) {
			if adopted && b.Seq >= 7 {
				return mended, nil
			}
			return halting, nil
		}
	})
	batch := func(seq uint64, totals ...int64) *cdc.Batch {
		b := newBatch(t, seq, totals...)
		b.Seq, b.Rules = seq, cdc.Revision{No: 5, ID: "0123456789abcdef"}
		return b
	}
	if err := e.Handle(t.Context(), batch(6, 101)); err != nil {
		t.Fatal(err)
	}
	err := e.Handle(t.Context(), batch(7, -1, 102))
	var coded *cdc.Error
	if !errors.As(err, &coded) || coded.Code != "CDCD-5001" || !strings.Contains(coded.Fix, "cdcd rules adopt 5.0123456789abcdef --from 7 ") {
		t.Fatalf("got %v", err)
	}
	adopted = true
	if err := e.Handle(t.Context(), batch(7, -1, 102)); err != nil {
		t.Fatal(err)
	}
	if got, want := j.take(), []string{"acme 6:big", "acme 8:big"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A sink may keep the batch and what decisions point to, but not the slice: it is used again.
func TestWhatASinkKeepsStaysAsItWas(t *testing.T) {
	keep := &keeper{}
	set := parse(t, rule("big", "after.total >= 100", "acme", ""), rule("any", "true", "acme", ""))
	e := newEngine(t, &journal{}, set, func(c *engine.Config) { c.Sinks = map[string]engine.Sink{"acme": keep} })
	var want []string
	for first := uint64(1); first < 30; first += 3 {
		if err := e.Handle(t.Context(), newBatch(t, first, 100, 1, 200)); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%d:big,any", first), fmt.Sprintf("%d:any", first+1), fmt.Sprintf("%d:big,any", first+2))
	}
	var got []string
	for i := range keep.ds {
		got = append(got, text(&keep.ds[i]))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

type keeper struct{ ds []cdc.Decision }

func (k *keeper) Write(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	k.ds = append(k.ds, ds...)
	return nil
}

type flushing struct {
	sink
	flushed *[]string
}

func (f flushing) Flush(context.Context) error {
	*f.flushed = append(*f.flushed, f.name)
	return nil
}

// What a sink only holds is judged again after a crash: it must not lag behind a dead letter that is kept for good.
func TestSinksCommitWhatTheyHoldAfterADeadLetter(t *testing.T) {
	j := &journal{}
	var flushed []string
	eng := newEngine(t, j, parse(t, rule("big", "after.total > 10", "acme", "")), func(c *engine.Config) {
		c.Sinks = map[string]engine.Sink{"acme": flushing{sink{"acme", j}, &flushed}}
	})
	for _, b := range []*cdc.Batch{newBatch(t, 1, 20, 5), newBatch(t, 3, 30, -1), newBatch(t, 5, 40)} {
		if err := eng.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"acme"}; !reflect.DeepEqual(flushed, want) {
		t.Errorf("flushed %v, want %v: after the second batch only", flushed, want)
	}
}

func TestAnIncompleteEventIsNotDeliveredButPutAside(t *testing.T) {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	table := w.AddTable(orders)
	for no := range uint64(3) {
		w.BeginRow(2)
		w.SetInt(0, int64(no))
		e := cdc.EventInfo{No: no + 1, Tx: w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", no+1)}), Table: table, Op: cdc.OpInsert, Incomplete: no == 1}
		if no != 1 {
			w.SetInt(1, 200)
		}
		e.After = w.EndRow()
		w.AddEvent(e)
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	set := parse(t, "  - {name: all, tables: [shop.*], to: [acme]}", rule("key", "after.id >= 0", "acme", ""), rule("leave", "after.total > 0", "bolt", ", on_error: skip"),
		rule("else", "op == 'delete'", "bolt", ", on: [delete]"))
	e := newEngine(t, j, set, nil)
	if err := e.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want := []string{"letters 2:!all!key!leave", "acme 1:all,key,leave 3:all,key,leave", "bolt 1:all,key,leave 3:all,key,leave",
		"observe 3 1:all,key,leave 2:!all!key!leave 3:all,key,leave"}
	if got := j.take(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var coded *cdc.Error
	if d := set.Decide(b.Event(1)); !errors.As(d.Errors[0].Err, &coded) || coded.Code != "CDCD-2205" {
		t.Errorf("error %v", d.Errors[0].Err)
	}
	set = parse(t, rule("stop", "after.id >= 0", "acme", ", on_error: halt"))
	if err := newEngine(t, j, set, nil).Handle(t.Context(), b); !errors.As(err, &coded) || coded.Code != "CDCD-5001" {
		t.Errorf("with on_error: halt: %v", err)
	}
}

// The line may stand at a halted batch for long: what is compiled stays, however often the batch is offered.
func TestABatchThatIsHaltedIsOfferedAgainAndNothingIsCompiled(t *testing.T) {
	texts := []string{rule("big", "after.total > 100", "acme", ", on_error: halt")}
	for i := range 200 {
		texts = append(texts, rule(fmt.Sprint("r", i), fmt.Sprintf("after.total == %d", 1000+i), "acme", ""))
	}
	set := parse(t, texts...)
	e := newEngine(t, &journal{}, nil, func(c *engine.Config) {
		c.Observe, c.DeadLetter = nil, nil
		c.Sinks = map[string]engine.Sink{"acme": sink{"acme", &journal{}}}
		c.Sets = func(context.Context, *cdc.Batch) (*rules.Set, error) { return set, nil }
	})
	b := newBatch(t, 7, -1)
	b.Rules = cdc.Revision{No: 5, ID: "0123456789abcdef"}
	var err error
	allocs := testing.AllocsPerRun(3, func() { err = e.Handle(t.Context(), b) }) // it calls once before it counts
	if cdc.CodeOf(err) != "CDCD-5001" || allocs > 1000 {
		t.Errorf("%v allocations for %d rules, %v", allocs, len(texts), err)
	}
}
