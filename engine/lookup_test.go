package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// parts is a table that is looked into: of each owner there are as many parts as the number of the owner modulo 4 says, and the
// quantity of a part is its number within its owner.
var parts = &cdc.Table{Schema: "shop", Name: "parts", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "owner", Kind: cdc.KindInt64, Type: "bigint"},
	{Name: "qty", Kind: cdc.KindInt64, Type: "int", Nullable: true},
}}

func partsOf(owner int64) (rows [][3]int64) {
	for n := range owner % 4 {
		rows = append(rows, [3]int64{10*owner + n, owner, n})
	}
	return rows
}

// shelf answers from parts. It notes what it is asked.
type shelf struct {
	mu    sync.Mutex
	lines []string
	world error // what it answers
	slow  bool  // it answers when nobody waits any more
	most  int   // rows of one answer; 0: no matter how many
	wrong func(*cdc.Answer)
}

func (s *shelf) with(c *engine.Config) { c.Lookup = s }

func (s *shelf) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s %s", q.Table, strings.Join(q.By, "+"))
	for _, key := range q.Keys {
		line += fmt.Sprint(" ", key[0].Int64())
	}
	s.lines = append(s.lines, fmt.Sprintf("%s, %v after %s", line, q.Limit, q.After.GTID))
	if s.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.world != nil {
		return nil, s.world
	}
	return s.answer(q)
}

func (s *shelf) answer(q *cdc.Query) (*cdc.Answer, error) {
	t := *parts
	columns := []int{0, 1, 2}
	if q.Columns != nil {
		t.Columns, columns = nil, nil
		for _, name := range q.Columns {
			columns = append(columns, parts.Column(name))
			t.Columns = append(t.Columns, parts.Columns[parts.Column(name)])
		}
	}
	a := &cdc.Answer{At: "0-1-99"}
	var w cdc.Builder
	w.Reset(cdc.Header{FirstPartNo: 1})
	tx, table, n := w.AddTx(cdc.Tx{Ends: true}), w.AddTable(&t), 0
	for _, key := range q.Keys {
		var rows [][3]int64
		for _, row := range partsOf(key[0].Int64()) {
			if len(key) == 1 || row[2] == key[1].Int64() {
				rows = append(rows, row)
			}
		}
		slices.SortStableFunc(rows, func(a, b [3]int64) int {
			for _, o := range q.Order {
				c := parts.Column(o.Column)
				if d := cmp.Compare(a[c], b[c]); d != 0 {
					return map[bool]int{true: -d, false: d}[o.Desc]
				}
			}
			return 0
		})
		var events []int
		for _, row := range rows[:min(len(rows), q.Limit)] {
			w.BeginRow(len(columns))
			for i, c := range columns {
				w.SetInt(i, row[c])
			}
			w.AddEvent(cdc.EventInfo{No: uint64(n + 1), Op: cdc.OpSnapshot, Tx: tx, Table: table, After: w.EndRow()})
			events = append(events, n)
			n++
		}
		a.Rows = append(a.Rows, events)
	}
	if s.most > 0 && n > s.most {
		return nil, cdc.Errorf("CDCD-1349", "%d rows are too many", n)
	}
	if n > 0 {
		b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			return nil, err
		}
		a.Batch = b
	}
	if s.wrong != nil {
		s.wrong(a)
	}
	return a, nil
}

func (s *shelf) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	return lines
}

// lookedText is name=rows, of which each has its columns; behind @ is when it was read.
func lookedText(l cdc.Looked) string {
	out := l.Name + "="
	if l.Many {
		out = l.Name + "=[]"
	}
	for _, row := range l.Rows {
		for i := range row.Len() {
			out += fmt.Sprint(map[bool]string{true: "/", false: "_"}[i == 0], row.Value(i).Int64())
		}
	}
	if l.At != "" {
		out += "@"
	}
	return out
}

func looking(name, to, spec, more string) string {
	return fmt.Sprintf("  - {name: %s, tables: [shop.orders], on: [insert], lookup: {%s}, to: [%s]%s}", name, spec, to, more)
}

func TestLooksUpForWhatMatches(t *testing.T) {
	one := "part: {table: shop.parts, by: {owner: after.total}, order: [-qty]%s}"
	many := "parts: {table: shop.parts, by: {owner: after.total}, rows: many, columns: [id]%s}"
	with := func(spec, more string) string { return fmt.Sprintf(spec, more) }
	for _, tt := range []struct {
		name   string
		rules  []string
		totals []int64
		asked  []string
		want   []string // what goes to the letters, to acme and to bolt
		err    string
	}{
		{"one row, the first in the order", []string{looking("r", "acme", with(one, ""), "")}, []int64{1, 2, 7},
			[]string{"shop.parts owner 1 2 7, 1 after 0-1-3"}, []string{"letters", "acme 1:r part=/10_1_0@ 2:r part=/21_2_1@ 3:r part=/72_7_2@", "bolt"}, ""},
		{"many rows, with the columns that are wanted", []string{looking("r", "acme", with(many, ""), "")}, []int64{3, 4},
			[]string{"shop.parts owner 3 4, 100 after 0-1-2"}, []string{"letters", "acme 1:r parts=[]/30/31/32@ 2:r parts=[]@", "bolt"}, ""},
		{"a key is asked for once", []string{looking("r", "acme", with(many, ""), "")}, []int64{3, 1, 3, 3},
			[]string{"shop.parts owner 3 1, 100 after 0-1-4"}, []string{"letters", "acme 1:r parts=[]/30/31/32@ 2:r parts=[]/10@ 3:r parts=[]/30/31/32@ 4:r parts=[]/30/31/32@", "bolt"}, ""},
		{"NULL finds nothing, and nobody is asked", []string{looking("r", "acme", with(one, ""), "")}, []int64{-1},
			nil, []string{"letters", "acme 1:r part=", "bolt"}, ""},
		{"what does not match is not asked for", []string{looking("r", "acme", with(one, ""), ", when: after.total > 5")}, []int64{1, 7, 2},
			[]string{"shop.parts owner 7, 1 after 0-1-3"}, []string{"letters", "acme 2:r part=/72_7_2@", "bolt"}, ""},
		{"missing: drop", []string{looking("r", "acme", with(one, ", missing: drop"), "")}, []int64{4, 1, -1},
			[]string{"shop.parts owner 4 1, 1 after 0-1-3"}, []string{"letters", "acme 2:r part=/10_1_0@", "bolt"}, ""},
		{"missing: error", []string{looking("r", "acme", with(one, ", missing: error"), "")}, []int64{4, 1, -1},
			[]string{"shop.parts owner 4 1, 1 after 0-1-3"}, []string{"letters 1:!r 3:!r", "acme 2:r part=/10_1_0@", "bolt"}, ""},
		{"missing: error, and the rule halts", []string{looking("r", "acme", with(one, ", missing: error"), ", on_error: halt")}, []int64{4},
			[]string{"shop.parts owner 4, 1 after 0-1-1"}, nil, "CDCD-5001: rule r could not judge event 0-1-1/0 of shop.orders and says on_error: halt: CDCD-2241"},
		{"where: rows that do not satisfy it do not count", []string{looking("r", "acme", with(one, ", where: row.qty < 1, missing: drop"), "")}, []int64{3, 4, 1},
			[]string{"shop.parts owner 3 4 1, 100 after 0-1-3"}, []string{"letters", "acme 1:r part=/30_3_0@ 3:r part=/10_1_0@", "bolt"}, ""},
		{"where with a column that is not delivered, and one of the change", []string{looking("r", "acme", with(many, ", where: row.qty > after.total - 3"), "")}, []int64{3, 2},
			[]string{"shop.parts owner 3 2, 100 after 0-1-2"}, []string{"letters", "acme 1:r parts=[]/31/32@ 2:r parts=[]/20/21@", "bolt"}, ""},
		{"having: a condition on all that was found", []string{looking("r", "acme", with(one, "")+", "+with(many, ""), ", having: part != null && part.qty >= 1 && size(parts) < 3")}, []int64{1, 2, 3, 4},
			[]string{"shop.parts owner 1 2 3 4, 1 after 0-1-4", "shop.parts owner 1 2 3 4, 100 after 0-1-4"}, []string{"letters", "acme 2:r part=/21_2_1@ parts=[]/20/21@", "bolt"}, ""},
		{"having fails", []string{looking("r", "acme", with(one, ""), ", having: part.qty >= 1")}, []int64{4, 2},
			[]string{"shop.parts owner 4 2, 1 after 0-1-2"}, []string{"letters 1:!r", "acme 2:r part=/21_2_1@", "bolt"}, ""},
		{"two rules with one question", []string{looking("r", "acme", with(one, ""), ""), looking("s", "bolt", with(one, ", missing: drop"), ""), looking("t", "acme", with(one, ""), ", when: after.total == 1")}, []int64{1, 4},
			[]string{"shop.parts owner 1 4, 1 after 0-1-2"}, []string{"letters", "acme 1:r part=/10_1_0@,s part=/10_1_0@,t part=/10_1_0@ 2:r part=@", "bolt 1:r part=/10_1_0@,s part=/10_1_0@,t part=/10_1_0@"}, ""},
		{"other rules keep what one drops", []string{rule("a", "true", "acme", ""), looking("r", "acme", with(one, ", missing: drop"), ""), rule("z", "true", "bolt", "")}, []int64{4, 1},
			[]string{"shop.parts owner 4 1, 1 after 0-1-2"}, []string{"letters", "acme 1:a,z 2:a,r part=/10_1_0@,z", "bolt 1:a,z 2:a,r part=/10_1_0@,z"}, ""},
		{"a calculated key", []string{looking("r", "acme", "part: {table: shop.parts, by: {owner: after.total + 1, qty: '0'}}", "")}, []int64{0, 6},
			[]string{"shop.parts owner+qty 1 7, 1 after 0-1-2"}, []string{"letters", "acme 1:r part=/10_1_0@ 2:r part=/70_7_0@", "bolt"}, ""},
		{"a key that fails", []string{looking("r", "acme", "part: {table: shop.parts, by: {owner: after.total / (after.total - 1)}}", "")}, []int64{1, 2},
			[]string{"shop.parts owner 2, 1 after 0-1-2"}, []string{"letters 1:!r", "acme 2:r part=/20_2_0@", "bolt"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, s := &journal{}, &shelf{}
			err := newEngine(t, j, parse(t, tt.rules...), s.with).Handle(t.Context(), newBatch(t, 1, tt.totals...))
			if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasPrefix(got, tt.err) {
				t.Errorf("error: got %v, want %s", err, tt.err)
			}
			if got := s.take(); !reflect.DeepEqual(got, tt.asked) {
				t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.asked, "\n"))
			}
			got := j.take()
			if len(got) > 0 {
				got = got[:3]
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestASourceThatDoesNotAnswer(t *testing.T) {
	spec := "part: {table: shop.parts, by: {owner: after.total}, order: [-qty], timeout: 20ms%s}"
	with := func(more string) string { return fmt.Sprintf(spec, more) }
	down := cdc.Errorf("CDCD-1340", "the replica is down")
	for _, tt := range []struct {
		name  string
		rule  string
		shelf *shelf
		want  []string
		err   string
	}{
		{"it is down: the batch is offered again", looking("r", "acme", with(", missing: drop, on_timeout: null"), ", on_error: skip"), &shelf{world: down}, nil,
			"rule r: look-up part in shop.parts: CDCD-1340: the replica is down"},
		{"it is down, and the rule only watches", looking("r", "acme", with(""), ", mode: shadow"), &shelf{world: down}, []string{"letters", "acme", "bolt"}, ""},
		{"slow, and the rule waits", looking("r", "acme", with(""), ""), &shelf{slow: true}, nil, "CDCD-2240: look-up part of rule r was not answered by shop.parts within 20ms"},
		{"slow, and the rule does without", looking("r", "acme", with(", on_timeout: null"), ""), &shelf{slow: true}, []string{"letters", "acme 1:r part= 2:r part=", "bolt"}, ""},
		{"slow, and without it does not match", looking("r", "acme", with(", on_timeout: null, missing: drop"), ""), &shelf{slow: true}, []string{"letters", "acme", "bolt"}, ""},
		{"slow, and the rule cannot judge", looking("r", "acme", with(", on_timeout: error"), ""), &shelf{slow: true}, []string{"letters 1:!r 2:!r", "acme", "bolt"}, ""},
		{"slow, and the rule only watches", looking("r", "acme", with(""), ", mode: shadow"), &shelf{slow: true}, []string{"letters", "acme", "bolt"}, ""},
		{"more than it holds at once", looking("r", "acme", with(""), ""), &shelf{most: 1}, []string{"letters", "acme 1:r part=/10_1_0@ 2:r part=/21_2_1@", "bolt"}, ""},
		{"more of one key than it holds", looking("r", "acme", "parts: {table: shop.parts, by: {owner: after.total}, rows: many}", ""), &shelf{most: 1},
			[]string{"letters 2:!r", "acme 1:r parts=[]/10_1_0@", "bolt"}, ""},
		{"an answer about other keys", looking("r", "acme", with(""), ""), &shelf{wrong: func(a *cdc.Answer) { a.Rows = a.Rows[:1] }}, nil, "rule r: look-up part in shop.parts: 2 keys were looked up"},
		{"an answer with rows that it has not", looking("r", "acme", with(""), ""), &shelf{wrong: func(a *cdc.Answer) { a.Rows[1] = []int{7} }}, nil, "rule r: look-up part in shop.parts: the answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, s := &journal{}, tt.shelf
			e := newEngine(t, j, parse(t, tt.rule), s.with)
			err := e.Handle(t.Context(), newBatch(t, 1, 1, 2))
			if got := fmt.Sprint(err); tt.err == "" && err != nil || !strings.HasPrefix(got, tt.err) {
				t.Errorf("error: got %v, want %s", err, tt.err)
			}
			got := j.take()
			if len(got) > 0 {
				got = got[:3]
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if tt.err == "" || tt.shelf.wrong != nil {
				return
			}
			first := s.take()
			s.world, s.slow = nil, false
			if err := e.Handle(t.Context(), newBatch(t, 1, 1, 2)); err != nil {
				t.Errorf("offered again: %v", err)
			}
			if again := s.take(); !reflect.DeepEqual(again, first) {
				t.Errorf("offered again, it asks %q, not %q as before", again, first)
			}
		})
	}
}

// recorder keeps what was late, as [engine.Lookups] describes it.
type recorder struct {
	shelf
	late map[string]bool
	fail error
}

func (r *recorder) with(c *engine.Config) { c.Lookup = r }

func (r *recorder) Late(_ context.Context, q *cdc.Query) error {
	for _, key := range q.Keys {
		r.late[fmt.Sprint(key[0].Int64(), " after ", q.After.GTID)] = true
	}
	return r.fail
}

func (r *recorder) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	a, err := r.shelf.LookUp(ctx, q)
	if err == nil {
		a.At, a.Ats, a.Late = "", make([]string, len(q.Keys)), make([]bool, len(q.Keys))
		for i, key := range q.Keys {
			a.Ats[i], a.Late[i] = fmt.Sprint("0-1-", i), r.late[fmt.Sprint(key[0].Int64(), " after ", q.After.GTID)]
		}
	}
	return a, err
}

// What was delivered because a look-up was late is decided the same when it is judged again, whatever the source says by then.
func TestWhatWasLateStaysLate(t *testing.T) {
	const spec = "part: {table: shop.parts, by: {owner: after.total}, order: [-qty], timeout: 20ms%s}"
	of := func(name, more, mode string) string {
		return looking(name, "acme", fmt.Sprintf(spec, more), ", on_error: skip"+mode)
	}
	for _, tt := range []struct {
		name, rules string
		fail        error
		kept        int // keys
		first, then string
	}{
		{"without what was looked up", of("r", ", on_timeout: null", ""), nil, 2, "acme 1:r part= 2:r part=", "acme 1:r part= 2:r part="},
		{"as an error", of("r", ", on_timeout: error", ""), nil, 2, "acme", "acme"},
		{"not while a rule waits", of("r", ", on_timeout: null", "") + "\n" + of("s", "", ""), nil, 0, "CDCD-2240", "acme 1:r part=/10_1_0@,s part=/10_1_0@ 2:r part=/21_2_1@,s part=/21_2_1@"},
		{"not for a rule that only watches", of("r", ", on_timeout: null", ", mode: shadow"), nil, 0, "acme", "acme"},
		{"not before it is kept", of("r", ", on_timeout: null", ""), errors.New("the bus is down"), 2, "the bus is down", "acme 1:r part= 2:r part="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, r := &journal{}, &recorder{shelf: shelf{slow: true}, late: map[string]bool{}, fail: tt.fail}
			e := newEngine(t, j, parse(t, tt.rules), r.with)
			outcome := func() string {
				if err := e.Handle(t.Context(), newBatch(t, 1, 1, 2)); err != nil {
					return err.Error()
				}
				return j.take()[1]
			}
			if got := outcome(); !strings.Contains(got, tt.first) || tt.first == "acme" && got != "acme" {
				t.Errorf("at first: %s, want %s", got, tt.first)
			}
			if len(r.late) != tt.kept {
				t.Errorf("kept as late: %v, want %d", r.late, tt.kept)
			}
			j.take()
			r.slow, r.fail = false, nil
			if got := outcome(); !strings.HasPrefix(got, tt.then) {
				t.Errorf("then: %s, want %s", got, tt.then)
			}
		})
	}
}

func TestAStopIsNotATimeout(t *testing.T) {
	j, s := &journal{}, &shelf{slow: true}
	e := newEngine(t, j, parse(t, looking("r", "acme", "part: {table: shop.parts, by: {owner: after.total}, order: [qty], on_timeout: null}", "")), s.with)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Handle(ctx, newBatch(t, 1, 1)); !errors.Is(err, context.Canceled) || len(j.take()) > 0 {
		t.Errorf("got %v", err)
	}
}

func TestManyKeysAreAskedForInParts(t *testing.T) {
	totals := make([]int64, 2*engine.MaxKeys+1)
	for i := range totals {
		totals[i] = int64(i)
	}
	j, s := &journal{}, &shelf{}
	e := newEngine(t, j, parse(t, looking("r", "acme", "part: {table: shop.parts, by: {owner: after.total}, order: [qty]}", "")), s.with)
	if err := e.Handle(t.Context(), newBatch(t, 1, totals...)); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, line := range s.take() {
		keys, _, _ := strings.Cut(line, ",")
		sizes = append(sizes, len(strings.Fields(keys))-2)
	}
	if !slices.Equal(sizes, []int{engine.MaxKeys, engine.MaxKeys, 1}) {
		t.Errorf("keys of each question: %v", sizes)
	}
}

func TestRulesThatLookUpNeedSomebodyToAsk(t *testing.T) {
	e := newEngine(t, &journal{}, parse(t, looking("r", "acme", "part: {table: shop.parts, by: {owner: after.total}}", "")), nil)
	if err := e.Handle(t.Context(), newBatch(t, 1, 1)); err == nil || !strings.Contains(err.Error(), "rule r looks up shop.parts, and there is nobody to ask") {
		t.Errorf("got %v", err)
	}
}

// Whatever is asked together, what comes out is what each rule makes of each change with questions of its own.
func TestLookUpsAreTakenAsIfOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, what) }
		var lines []string
		for i := range rapid.IntRange(1, 5).Draw(rt, "rules") {
			var specs []string
			for n := range rapid.IntRange(0, 2).Draw(rt, "lookups") {
				specs = append(specs, fmt.Sprintf("l%d: {table: shop.parts, by: {owner: %s}%s%s%s%s}", n, pick("by", "after.total", "after.total % 3", "after.total / (after.total - 3)"),
					pick("rows", "", ", rows: many", ", rows: many, limit: 1"), pick("order", "", ", order: [-qty]"),
					pick("where", "", ", where: row.qty > 0, columns: [id]", ", where: row.id % 2 == after.total % 2"), pick("missing", "", ", missing: drop", ", missing: error")))
			}
			having := ""
			if len(specs) > 0 {
				having = pick("having", "", ", having: after.total != 6", ", having: l0 != null")
			}
			if len(specs) == 0 {
				lines = append(lines, rule(fmt.Sprint("r", i), pick("when", "after.total > 5", "true"), "acme, bolt", ""))
			} else {
				lines = append(lines, looking(fmt.Sprint("r", i), "acme, bolt", strings.Join(specs, ", "), having))
			}
		}
		set, batch := parse(t, lines...), newBatch(t, 1, rapid.SliceOfN(rapid.Int64Range(-1, 12), 1, 60).Draw(rt, "totals")...)
		var want, got []string
		for i := range batch.Len() {
			if d := oneByOne(rt, set, batch.Event(i)); len(d.Matches)+len(d.Errors) > 0 {
				want = append(want, fullText(d))
			}
		}
		e := newEngine(t, &journal{}, set, func(c *engine.Config) {
			c.Lookup = &shelf{most: rapid.IntRange(4, 20).Draw(rt, "most")}
			c.Observe = func(_ *cdc.Batch, ds []cdc.Decision) {
				for _, d := range ds {
					got = append(got, fullText(d))
				}
			}
		})
		if err := e.Handle(t.Context(), batch); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Errorf("rules\n%s\ngot\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func fullText(d cdc.Decision) string {
	out := text(&d)
	for _, e := range d.Errors {
		out += fmt.Sprintf(" !%s %s %v", e.Rule.Name, e.OnError, e.Err)
	}
	return out
}

// oneByOne looks up for one change, each key with a question of its own.
func oneByOne(t *rapid.T, set *rules.Set, e cdc.Event) cdc.Decision {
	d := set.Decide(e)
	out := cdc.Decision{Event: e, Errors: slices.Clone(d.Errors)}
	for _, m := range d.Matches {
		r := set.Rules()[slices.IndexFunc(set.Rules(), func(r *rules.Rule) bool { return r.Name == m.Name })]
		if len(r.Lookups) == 0 {
			out.Matches = append(out.Matches, m)
			continue
		}
		looker, rows, failed := rules.NewLooker(r), make([]rules.Rows, len(r.Lookups)), error(nil)
		for n, l := range r.Lookups {
			key, err := looker.Key(e, n)
			if err != nil {
				failed = cmp.Or(failed, err)
				continue
			}
			if key == nil {
				continue
			}
			q := l.Query()
			q.Keys = [][]cdc.Value{key}
			a, err := (&shelf{}).answer(&q)
			if err != nil {
				t.Fatal(err)
			}
			rows[n].At = a.At
			for _, i := range a.Rows[0] {
				rows[n].Rows = append(rows[n].Rows, a.Batch.Event(i).After())
			}
		}
		kept := false
		if failed == nil {
			m, kept, failed = looker.Take(e, m, rows)
		}
		switch {
		case failed != nil:
			m.Lookups = nil
			out.Errors = append(out.Errors, cdc.RuleError{Rule: m, OnError: r.OnError, Err: failed})
		case kept:
			out.Matches = append(out.Matches, m)
		}
	}
	return out
}
