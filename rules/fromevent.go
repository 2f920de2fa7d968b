package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// RuleFrom returns the text of a rule that matches an event and changes that are like it: what the event changed, or what
// distinguishes its row. It is a draft, and the event is its first test. names are those that other rules have.
func RuleFrom(e cdc.Event, names []string) (string, error) {
	t := e.Table()
	name := ruleName(t, e.Op(), names)
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    tables: [%s]\n    on: [%s]\n", flowText(name), flowText(t.String()), e.Op())
	if when := likeEvent(e); when != "" {
		fmt.Fprintf(&b, "    when: |\n      %s\n", when)
	}
	b.WriteString("    mode: draft\n")
	text := b.String()
	d := ReadRuleText(text)
	if d.Rule == nil {
		return "", cdc.Errorf(codeRecord, "event %s cannot be made a rule: %w", e.ID(), d.Found)
	}
	return d.WithTest(e, "")
}

// WithTest returns the text with a test that is made of an event: it expects what the rule decides now. The name is that of the
// event if it is "".
func (d *RuleText) WithTest(e cdc.Event, name string) (string, error) {
	set := d.Judging()
	if set == nil {
		return "", cdc.Errorf(codeRecord, "the rule has mistakes, so nothing can be expected of it yet").WithFix("mend them first")
	}
	out, err := set.Record(e, d.Rule.Name, name, func(string) ([]byte, error) { return []byte(textHead + d.Text), nil })
	if err != nil {
		return "", err
	}
	return string(out.Text[len(textHead):]), nil
}

func ruleName(t *cdc.Table, op cdc.Op, names []string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name))
	base := strings.Trim(clean[:min(len(clean), 100)], "-")
	if base == "" {
		base = "rule"
	}
	base += "-" + op.String()
	for n, name := 1, base; ; {
		if !slices.Contains(names, name) {
			return name
		}
		n++
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

// likeEvent returns a condition that the event satisfies: of an update, that the columns changed that it changed; of what is few in
// kind, the value that it has.
func likeEvent(e cdc.Event) string {
	const most = 3
	row, image := e.After(), afterVar
	if e.Op() == cdc.OpDelete {
		row, image = e.Before(), beforeVar
	}
	t := e.Table()
	var parts []string
	for i := range t.Columns {
		c := &t.Columns[i]
		if len(parts) == most || c.Key > 0 || !row.Exists() || row.Kind(i) == cdc.KindAbsent {
			continue
		}
		moved := e.Op() == cdc.OpUpdate && e.Before().Kind(i) != cdc.KindAbsent && !e.Before().Equal(e.After(), i)
		if e.Op() == cdc.OpUpdate && !moved {
			continue
		}
		value := fewKinds(c, row, i)
		switch {
		case value != "" && moved:
			parts = append(parts, fmt.Sprintf("changed('%s') && %s%s == %s", escaped(c.Name), image, selector(c.Name), value))
		case value != "":
			parts = append(parts, fmt.Sprintf("%s%s == %s", image, selector(c.Name), value))
		case moved && c.Kind != cdc.KindTimestamp && c.Kind != cdc.KindDatetime: // those change with everything
			parts = append(parts, fmt.Sprintf("changed('%s')", escaped(c.Name)))
		}
	}
	return strings.Join(parts, " && ")
}

func escaped(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }

// fewKinds returns a value as the language writes it if the column has few of them.
func fewKinds(c *cdc.Column, row cdc.Row, i int) string {
	if row.Kind(i) == cdc.KindNull {
		return ""
	}
	switch {
	case c.Kind == cdc.KindEnum:
		if v := row.Value(i).Text(); v != "" {
			return "'" + escaped(v) + "'"
		}
	case isFlag(c) && c.Kind == cdc.KindInt64:
		return fmt.Sprint(row.Value(i).Int64())
	}
	return ""
}
