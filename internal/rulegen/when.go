package rulegen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// rule returns a rule. Most conditions are right for the table and the operations that the rule is for, but not all.
func (g *Gen) rule(t *cdc.Table, name string) Rule {
	r := Rule{Name: name, On: pick(g, [][]string{{"update"}, {"update"}, {"insert", "update"}, {"insert", "update", "snapshot"}, {"delete"},
		{"update", "delete"}, {"insert", "update", "delete", "snapshot"}, {"insert"}})}
	w := &writer{Gen: g, table: t}
	if g.once(8) {
		r.OnRow, w.images = true, []string{"row"}
		r.When = w.condition(1 + g.n(3))
		return r
	}
	if !slices.Contains(r.On, "insert") && !slices.Contains(r.On, "snapshot") || g.once(30) {
		w.images = append(w.images, "before")
	}
	if !slices.Contains(r.On, "delete") || g.once(30) {
		w.images = append(w.images, "after")
	}
	r.When = w.condition(1 + g.n(4))
	return r
}

// writer writes one condition.
type writer struct {
	*Gen
	table  *cdc.Table
	images []string // that may be read here
}

var everyOp = []string{"'insert'", "'update'", "'delete'", "'snapshot'"}

func (w *writer) condition(depth int) string {
	if depth <= 0 {
		return w.atom()
	}
	a := func() string { return w.condition(depth - 1 - w.n(2)) }
	switch w.n(14) {
	case 0, 1, 2, 3:
		return "(" + a() + " && " + a() + ")"
	case 4, 5, 6:
		return "(" + a() + " || " + a() + ")"
	case 7, 8:
		return "!(" + a() + ")"
	case 9:
		return "(" + a() + " ? " + a() + " : " + a() + ")"
	case 10:
		if w.onRow() {
			break
		}
		return "(" + w.fixed() + pick(w.Gen, []string{" && ", " || "}) + a() + ")"
	case 11:
		if !w.onRow() {
			return w.guarded(depth)
		}
	}
	return w.atom()
}

func (w *writer) onRow() bool { return len(w.images) == 1 && w.images[0] == "row" }

// fixed returns what does not depend on the row.
func (w *writer) fixed() string {
	switch w.n(8) {
	case 0:
		return pick(w.Gen, []string{"true", "false"})
	case 1:
		return "table == " + pick(w.Gen, []string{"'shop.t'", "'shop.other'"})
	case 2:
		return pick(w.Gen, []string{"before", "after"}) + pick(w.Gen, []string{" == null", " != null"})
	case 3:
		return fmt.Sprintf("op in [%s, %s]", pick(w.Gen, everyOp), pick(w.Gen, everyOp))
	case 4:
		return pick(w.Gen, []string{"1 / 0 == 1", "size(table) > 3", "table.startsWith('shop')", "[1, 2].exists(x, x == 2)", "before == after", "now > timestamp('2027-01-01T00:00:00Z')"})
	case 5:
		return fmt.Sprintf("has(%s.%s)", pick(w.Gen, []string{"before", "after"}), pick(w.Gen, w.table.Columns).Name)
	}
	return "op" + pick(w.Gen, []string{" == ", " != "}) + pick(w.Gen, everyOp)
}

// guarded returns a condition on both images, where it is asked first whether they are there.
func (w *writer) guarded(depth int) string {
	inner := &writer{Gen: w.Gen, table: w.table, images: []string{"before", "after"}}
	cond := inner.condition(depth - 1)
	return fmt.Sprintf(pick(w.Gen, []string{"(op == 'update' && %s)", "(op != 'update' || %s)", "(before != null && after != null && %s)", "(op == 'update' ? %s : false)"}), cond)
}

var signs = []string{"==", "==", "!=", "<", "<=", ">", ">="}

// atom returns a question about a column.
func (w *writer) atom() string {
	if len(w.images) == 0 || w.once(25) && !w.onRow() {
		return w.changed()
	}
	i := w.n(len(w.table.Columns))
	c := &w.table.Columns[i]
	s := sorts[slices.IndexFunc(sorts, func(s sort) bool { return s.column.Type == c.Type })]
	col := pick(w.Gen, w.images) + "." + c.Name
	lit := func() string { return pick(w.Gen, s.literals) }
	if c.Nullable && c.Kind != cdc.KindJSON && w.once(20) {
		return fmt.Sprintf("coalesce(%s, %s) %s %s", col, lit(), pick(w.Gen, signs), lit())
	}
	if isFlag := s.name == "flag" || s.name == "one"; isFlag && w.once(3) {
		return fmt.Sprintf(pick(w.Gen, []string{"%s", "!%s", "%s == true", "%s != true", "%s != false"}), col)
	}
	switch w.n(16) {
	case 0:
		if c.Nullable {
			return w.either(col, pick(w.Gen, []string{"==", "!="}), "null")
		}
	case 1:
		return "has(" + col + ")"
	case 2:
		if !w.onRow() {
			return w.changed()
		}
	case 3:
		if len(w.images) == 2 {
			return fmt.Sprintf("before.%s %s after.%s", c.Name, pick(w.Gen, []string{"==", "!=", "!=", "<", ">="}), c.Name)
		}
	case 4: // another column of the sort
		for _, other := range w.table.Columns {
			if other.Type == c.Type && other.Name != c.Name {
				return fmt.Sprintf("%s %s %s.%s", col, pick(w.Gen, signs), pick(w.Gen, w.images), other.Name)
			}
		}
	case 5, 6:
		if !slices.Contains([]cdc.Kind{cdc.KindSet, cdc.KindVector, cdc.KindJSON}, c.Kind) {
			items := []string{lit()}
			for range w.n(4) {
				items = append(items, lit())
			}
			if c.Nullable && w.once(4) {
				items = append(items, "null")
			}
			if w.once(20) {
				items = nil
			}
			return col + " in [" + strings.Join(items, ", ") + "]"
		}
	case 7, 8, 9:
		if special := w.special(c.Kind, col, lit); special != "" && !(w.onRow() && strings.Contains(special, "now")) {
			return special
		}
	}
	switch c.Kind {
	case cdc.KindSet:
		return lit() + " in " + col
	case cdc.KindVector:
		return fmt.Sprintf("%s.exists(x, x == %s)", col, lit())
	}
	return w.either(col, pick(w.Gen, signs), lit())
}

func (w *writer) changed() string {
	name := func() string { return pick(w.Gen, w.table.Columns).Name }
	switch w.n(8) {
	case 0:
		return fmt.Sprintf("anyChanged(['%s', '%s'])", name(), name())
	case 1:
		for _, c := range w.table.Columns {
			if slices.Contains([]string{"i", "u", "f", "d"}, strings.TrimRight(c.Name, "0123456789")) {
				return fmt.Sprintf("%s('%s', 1)", pick(w.Gen, []string{"increasedBy", "decreasedBy"}), c.Name)
			}
		}
	}
	return fmt.Sprintf("changed('%s')", pick(w.Gen, w.table.Columns).Name)
}

// either writes a comparison one way round or the other.
func (w *writer) either(a, sign, b string) string {
	if w.once(4) {
		if strings.HasPrefix(sign, "<") {
			sign = ">" + sign[1:]
		} else if strings.HasPrefix(sign, ">") {
			sign = "<" + sign[1:]
		}
		a, b = b, a
	}
	return a + " " + sign + " " + b
}

// special returns a question that only columns of a kind can be asked.
func (w *writer) special(k cdc.Kind, col string, lit func() string) string {
	one := func(forms ...string) string {
		return strings.NewReplacer("$c", col, "$k", lit(), "$j", lit()).Replace(pick(w.Gen, forms))
	}
	switch k {
	case cdc.KindInt64:
		return one("$c + 1 > $k", "$c / 0 == 1", "10 / $c > 2", "$c % 2 == 0", "-$c < $k", "$c >= $k && $c < $j", "$c > $k || $c <= $j", "$c == 2 * 3 - 1", "$c in [1, 2, 3].map(x, x * 5)", "$c < $k + 1")
	case cdc.KindUint64:
		return one("$c + 1u > 5u", "$c >= $k && $c < $j", "int($c) == 5", "$c % 2u == 1u")
	case cdc.KindFloat64:
		return one("$c * 2.0 > 1.0", "$c >= $k && $c < $j", "$c != $c", "int($c) == 1", "$c / 0.0 > 1.0")
	case cdc.KindDecimal:
		return one("$c * 2 > $k", "$c >= $k && $c < $j", "-$c < $k", "$c + $k == $j", "string($c) == '1.50'", "double($c) > 1.0")
	case cdc.KindString, cdc.KindEnum:
		return one("$c.startsWith($k)", "$c.endsWith($k)", "$c.contains($k)", "!$c.startsWith($k)", "$c.lowerAscii() == $k", "$c.upperAscii() == $k", "$c.trim() == $k",
			"$c.lowerAscii() in [$k, $j]", "$c.trim() != $k", "$c.trim().lowerAscii() == $k", "$c.lowerAscii().startsWith($k)", "$c.upperAscii() < $k", "$c.matches('^a')", "$c.matches('b+$')",
			"$c.matches('(?i)A')", "$c.matches('a.*b')", "$c.matches('.')", "!$c.matches('^ab')", "size($c) > 1", "$c + 'x' == 'ax'", "$c >= $k && $c < $j", "$k.contains($c)", "$c.equalsIgnoreCase($k)", "$c.containsIgnoreCase($k)", "$c.startsWithIgnoreCase($k)", "!$c.endsWithIgnoreCase($k)")
	case cdc.KindBytes, cdc.KindGeometry:
		return one("size($c) > 1", "$c >= $k && $c < $j", "string($c) == 'a'")
	case cdc.KindBit:
		return one("$c >= $k && $c < $j", "$c + 1u > 1u")
	case cdc.KindBool:
		return one("$c", "!$c", "$c && $c == $k")
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTime:
		return one("$c.startsWith('2026')", "$c >= $k && $c < $j", "$c.contains('-')", "$c.endsWith('00')", "size($c) == 10", "$c.startsWith('-')")
	case cdc.KindTimestamp:
		return one("$c > now - duration('1h')", "now - $c < duration('1h')", "$c >= $k && $c < $j", "$c.getFullYear() == 1970", "$c <= now")
	case cdc.KindSet:
		return one("$c.exists(t, t == $k)", "size($c) > 1", "$c == [$k]", "$c.all(t, t in [$k, $j])", "$c != ['x']")
	case cdc.KindJSON:
		return one("$c.a == $k", "has($c.a)", "has($c.a) && $c.a == $k", "$c.?a.orValue(0) == $k", "$c == $k", "$c.f", "!$c.f", "$c.a > 0", "$c[0] == $k", "type($c) == map", "$c.a.b[0] == 1", "$c in [$k, $j]", "$c > 1")
	case cdc.KindVector:
		return one("size($c) == 2", "$c[0] == $k", "$c.map(x, x * 2.0)[0] > $k")
	}
	return ""
}
