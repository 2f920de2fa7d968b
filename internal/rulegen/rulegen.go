package rulegen

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Gen makes choices: by the data that it was given, and when these are used up by numbers that follow from them.
type Gen struct {
	data []byte
	rand *rand.Rand
}

// New returns a generator of what data say.
func New(data []byte) *Gen {
	h := fnv.New64a()
	h.Write(data)
	return &Gen{data: data, rand: rand.New(rand.NewPCG(h.Sum64(), uint64(len(data))))}
}

// n returns a number below limit.
func (g *Gen) n(limit int) int {
	if limit <= 256 && len(g.data) > 0 {
		b := g.data[0]
		g.data = g.data[1:]
		return int(b) % limit
	}
	return g.rand.IntN(limit)
}

// once reports true one time of n.
func (g *Gen) once(n int) bool { return g.n(n) == 0 }

func pick[T any](g *Gen, from []T) T { return from[g.n(len(from))] }

// Case is a table, rules about it, and changes of it.
type Case struct {
	Table  *cdc.Table
	Rules  []Rule
	Events []cdc.Event
}

// Rule is one rule, as text.
type Rule struct {
	Name  string
	On    []string
	When  string
	OnRow bool // When stands in `where`
}

// Case returns a case of that many rules and changes.
func (g *Gen) Case(rules, events int) Case {
	c := Case{Table: g.table()}
	for i := range rules {
		c.Rules = append(c.Rules, g.rule(c.Table, fmt.Sprintf("r%d", i)))
	}
	c.Events = g.events(c.Table, events)
	return c
}

// Source returns the rules as a file.
func (c Case) Source() string { return Source(c.Rules...) }

// Source returns rules as a file.
func Source(rules ...Rule) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for _, r := range rules {
		key := "when"
		if r.OnRow {
			key = "where"
		}
		fmt.Fprintf(&b, "  - {name: %s, tables: [shop.t], on: [%s], to: [x], %s: %s}\n", r.Name, strings.Join(r.On, ", "), key, Quote(r.When))
	}
	return b.String()
}

// Quote writes a text as a YAML string in double quotes.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r >= 0x7f:
			fmt.Fprintf(&b, "\\U%08x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// table returns a table of some columns. A few kinds are there twice, to be compared with each other.
func (g *Gen) table() *cdc.Table {
	t := &cdc.Table{Schema: "shop", Name: "t"}
	for i := range 3 + g.n(8) {
		s := pick(g, sorts)
		c := s.column
		c.Name = fmt.Sprintf("%s%d", s.name, i)
		c.Nullable = c.Kind == cdc.KindJSON || !g.once(3)
		t.Columns = append(t.Columns, c)
	}
	return t
}

// events returns changes of a table.
func (g *Gen) events(t *cdc.Table, n int) []cdc.Event {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	table := w.AddTable(t)
	for i := range n {
		e := cdc.EventInfo{No: uint64(i), Table: table, Op: pick(g, []cdc.Op{cdc.OpUpdate, cdc.OpUpdate, cdc.OpUpdate, cdc.OpInsert, cdc.OpDelete, cdc.OpSnapshot})}
		e.Tx = w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", i+1), CommitTime: time.UnixMicro(pick(g, micros) + 1).UTC()})
		row := g.row(t)
		if e.Op == cdc.OpUpdate || e.Op == cdc.OpDelete {
			e.Before = put(&w, row)
		}
		if e.Op == cdc.OpUpdate {
			row = slices.Clone(row)
			for i := range row {
				if g.once(2) {
					row[i] = g.value(&t.Columns[i])
				}
			}
		}
		if e.Op != cdc.OpDelete {
			e.After = put(&w, row)
		}
		w.AddEvent(e)
	}
	return open(&w)
}

// open returns the events that were built.
func open(w *cdc.Builder) []cdc.Event {
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	var out []cdc.Event
	for i := range b.Len() {
		out = append(out, b.Event(i))
	}
	return out
}

func put(w *cdc.Builder, row []cdc.Value) uint32 {
	w.BeginRow(len(row))
	for i, v := range row {
		switch {
		case v.IsAbsent():
		case v.IsNull():
			w.SetNull(i)
		default:
			w.Set(i, v)
		}
	}
	return w.EndRow()
}

func (g *Gen) row(t *cdc.Table) []cdc.Value {
	row := make([]cdc.Value, len(t.Columns))
	for i := range row {
		row[i] = g.value(&t.Columns[i])
	}
	return row
}

// value returns one of a column's values: of the edges of its kind, NULL, none, and rarely one that it cannot have.
func (g *Gen) value(c *cdc.Column) cdc.Value {
	switch x := g.n(24); {
	case x == 0 && c.Nullable, x == 1 && c.Nullable, x == 2 && c.Nullable, x == 2 && g.once(8):
		return cdc.NullValue()
	case x == 3:
		return cdc.Value{}
	case x == 4 && g.once(8):
		if other := pick(g, sorts); other.column.Kind != c.Kind {
			return pick(g, other.values)
		}
	}
	for _, s := range sorts {
		if s.column.Type == c.Type {
			return pick(g, s.values)
		}
	}
	return cdc.Value{}
}

// Shrink returns a smaller rule for which fails still reports true: conditions are replaced by their parts, which stand
// in parentheses, as long as that helps.
func Shrink(r Rule, fails func(Rule) bool) Rule {
	for again := true; again; {
		again = false
		for _, span := range spans(r.When) {
			for _, part := range append(parts(r.When[span[0]:span[1]]), "true", "false") {
				smaller := r
				smaller.When = r.When[:span[0]] + part + r.When[span[1]:]
				if len(smaller.When) < len(r.When) && fails(smaller) {
					r, again = smaller, true
					break
				}
			}
			if again {
				break
			}
		}
	}
	return r
}

// spans returns where the parts of a condition stand that are in parentheses, the outermost first, and the whole.
func spans(s string) [][2]int {
	out := [][2]int{{0, len(s)}}
	var open []int
	for i := range len(s) {
		switch s[i] {
		case '(':
			open = append(open, i)
		case ')':
			if len(open) > 0 {
				out = append(out, [2]int{open[len(open)-1], i + 1})
				open = open[:len(open)-1]
			}
		}
	}
	slices.SortFunc(out, func(a, b [2]int) int { return (b[1] - b[0]) - (a[1] - a[0]) })
	return out
}

// parts returns what the operators of a condition combine.
func parts(s string) []string {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "!"), "("), ")")
	var out []string
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '(' || s[i] == '[':
			depth++
		case s[i] == ')' || s[i] == ']':
			depth--
		case depth == 0 && (strings.HasPrefix(s[i:], " && ") || strings.HasPrefix(s[i:], " || ")):
			out = append(out, s[from:i])
			from = i + 4
		case depth == 0 && (strings.HasPrefix(s[i:], " ? ") || strings.HasPrefix(s[i:], " : ")):
			out = append(out, s[from:i])
			from = i + 3
		}
	}
	return append(out, s[from:])
}

// Edges returns a case for each sort of column: every comparison of the column with every literal, on every value.
func Edges() []Case {
	var cases []Case
	for _, s := range sorts {
		c := s.column
		c.Name, c.Nullable = "c", true
		t := &cdc.Table{Schema: "shop", Name: "t", Columns: []cdc.Column{c}}
		out := Case{Table: t}
		add := func(format string, args ...any) {
			out.Rules = append(out.Rules, Rule{Name: fmt.Sprintf("r%d", len(out.Rules)), On: []string{"insert", "update"}, When: fmt.Sprintf(format, args...)})
		}
		add("after.c == null")
		add("after.c != null")
		add("has(after.c)")
		add("changed('c')")
		for _, sign := range []string{"==", "!=", "<", "<=", ">", ">="} {
			add("op == 'update' && before.c %s after.c", sign)
			for _, k := range s.literals {
				add("after.c %s %s", sign, k)
				add("%s %s after.c", k, sign)
				add("!(after.c %s %s)", sign, k)
			}
		}
		for i, k := range s.literals {
			next := s.literals[(i+1)%len(s.literals)]
			add("after.c in [%s, %s]", k, next)
			add("!(after.c in [%s, null])", k)
			add("after.c >= %s && after.c < %s", k, next)
			for _, f := range []string{"startsWith", "endsWith", "contains"} {
				add("after.c.%s(%s)", f, k)
				add("!after.c.%s(%s)", f, k)
			}
			for _, f := range []string{"equals", "startsWith", "endsWith", "contains"} {
				add("after.c.%sIgnoreCase(%s)", f, k)
				add("!after.c.%sIgnoreCase(%s)", f, k)
			}
			for _, f := range []string{"lowerAscii", "upperAscii", "trim"} {
				add("after.c.%s() == %s", f, k)
				add("after.c.%s() != %s", f, k)
				add("after.c.%s() <= %s", f, k)
				add("after.c.%s().contains(%s)", f, k)
			}
		}
		values := append([]cdc.Value{{}, cdc.NullValue(), cdc.TextValue(cdc.KindJSON, "1")}, s.values...)
		if c.Kind == cdc.KindJSON {
			values[2] = cdc.Int64Value(1) // of a kind that the column does not have
		}
		var w cdc.Builder
		w.Reset(cdc.Header{Source: "shop"})
		table, tx := w.AddTable(t), w.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_800_000_000, 0)})
		for i, v := range values {
			w.AddEvent(cdc.EventInfo{Table: table, Tx: tx, Op: cdc.OpInsert, After: put(&w, []cdc.Value{v})})
			w.AddEvent(cdc.EventInfo{Table: table, Tx: tx, Op: cdc.OpUpdate, Before: put(&w, []cdc.Value{values[(i+1)%len(values)]}), After: put(&w, []cdc.Value{v})})
			w.AddEvent(cdc.EventInfo{Table: table, Tx: tx, Op: cdc.OpUpdate, Before: put(&w, []cdc.Value{v}), After: put(&w, []cdc.Value{v})})
		}
		out.Events = open(&w)
		cases = append(cases, out)
	}
	return cases
}
