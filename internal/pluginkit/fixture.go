package pluginkit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Fixture writes events as a test file that expects nothing yet. It has what the plugin declares and nothing else: the columns
// that it reads, redacted, and of those that it edits and of the key only what they are.
func (p *Project) Fixture(events []cdc.Event, r *Redactor) ([]byte, error) {
	var b strings.Builder
	tables, err := p.narrow(events)
	if err != nil {
		return nil, err
	}
	b.WriteString("# Changes as cdcd plugin record has written them: what the plugin declares and nothing else, with texts redacted.\n")
	if len(r.Keep) > 0 {
		fmt.Fprintf(&b, "# As they were: %s.\n", strings.Join(r.Keep, ", "))
	}
	b.WriteString("tables:\n")
	for _, t := range tables {
		fmt.Fprintf(&b, "  %s:\n    columns:\n", flowText(t.String()))
		var key []string
		for _, i := range t.Key() {
			key = append(key, t.Columns[i].Name)
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			fmt.Fprintf(&b, "      %s: %s\n", flowText(c.Name), flowText(sqlType(c)))
		}
		if len(key) > 0 {
			fmt.Fprintf(&b, "    key: %s\n", flow(jsonOf(key)))
		}
	}
	b.WriteString("tests:\n")
	names := map[string]int{}
	for _, e := range events {
		name := fmt.Sprintf("no %d", e.No())
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, names[name])
		}
		fmt.Fprintf(&b, "  - name: %s\n    event:\n      op: %s\n      table: %s\n      commit_time: %s\n", name, e.Op(), flowText(e.Table().String()),
			flowText(e.CommitTime().UTC().Format("2006-01-02T15:04:05.999999Z07:00")))
		captured := false
		for _, image := range [...]struct {
			name string
			row  cdc.Row
		}{{"before", e.Before()}, {"after", e.After()}} {
			if !image.row.Exists() {
				continue
			}
			values, absent := p.row(image.row, r)
			captured = captured || absent
			fmt.Fprintf(&b, "      %s: %s\n", image.name, flow(values))
		}
		if captured {
			b.WriteString("      captured: true\n")
		}
	}
	return []byte(b.String()), nil
}

// narrow returns the tables of events with the columns that the plugin has to do with, as they are in the last event of each.
func (p *Project) narrow(events []cdc.Event) ([]*cdc.Table, error) {
	var tables []*cdc.Table
	for _, e := range slices.Backward(events) {
		t := e.Table()
		if slices.ContainsFunc(tables, func(seen *cdc.Table) bool { return seen.String() == t.String() }) {
			continue
		}
		narrow := &cdc.Table{Schema: t.Schema, Name: t.Name}
		for i := range t.Columns {
			c := &t.Columns[i]
			if c.Key != 0 || slices.Contains(p.Edits, c.Name) || p.declares(c.Name) {
				narrow.Columns = append(narrow.Columns, *c)
			}
		}
		for _, c := range p.Columns {
			if t.Column(c.Name) < 0 && !c.Optional {
				return nil, cdc.Errorf(codeRecord, "%s has no column '%s', which the plugin declares", t, c.Name).
					WithFix("mend `columns` or `tables` in %s, or declare it {name: %s, optional: true}", ProjectFile, c.Name)
			}
		}
		tables = append(tables, narrow)
	}
	slices.Reverse(tables)
	return tables, nil
}

func (p *Project) declares(column string) bool {
	return slices.ContainsFunc(p.Columns, func(c Column) bool { return c.Name == column })
}

// row writes the declared columns of an image; absent says that it does not have all of them.
func (p *Project) row(row cdc.Row, r *Redactor) (text []byte, absent bool) {
	text = append(text, '{')
	for i := range row.Table().Columns {
		c := &row.Table().Columns[i]
		if !p.declares(c.Name) {
			continue
		}
		v := row.Value(i)
		if v.IsAbsent() {
			absent = true
			continue
		}
		if !slices.Contains(r.Keep, c.Name) {
			v = r.Value(v)
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(cdc.AppendString(text, c.Name), ':')
		text = cdc.AppendJSON(text, c, v)
	}
	return append(text, '}'), absent
}

// sqlType writes the type of a column so that it is read again as one of the same kind.
func sqlType(c *cdc.Column) string {
	text := c.Type
	if again, ok := cdc.ParseType(text); !ok || again.Kind != c.Kind {
		text = map[cdc.Kind]string{
			cdc.KindBool: "tinyint(1)", cdc.KindInt64: "bigint", cdc.KindUint64: "bigint unsigned", cdc.KindFloat64: "double", cdc.KindString: "longtext",
			cdc.KindBytes: "longblob", cdc.KindDate: "date", cdc.KindJSON: "json", cdc.KindGeometry: "geometry", cdc.KindVector: "vector",
			cdc.KindTime: fmt.Sprintf("time(%d)", c.Fsp), cdc.KindDatetime: fmt.Sprintf("datetime(%d)", c.Fsp),
			cdc.KindTimestamp: fmt.Sprintf("timestamp(%d)", c.Fsp), cdc.KindDecimal: fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale),
			cdc.KindBit: fmt.Sprintf("bit(%d)", c.Precision), cdc.KindEnum: "enum" + members(c), cdc.KindSet: "set" + members(c),
		}[c.Kind]
		if c.Kind == cdc.KindFloat64 && c.Float32 {
			text = "float"
		}
	}
	if !c.Nullable {
		text += " not null"
	}
	return text
}

func members(c *cdc.Column) string {
	var quoted []string
	for _, m := range c.Members {
		quoted = append(quoted, "'"+strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(m)+"'")
	}
	return "(" + strings.Join(quoted, ",") + ")"
}

// CheckKept says which of the columns that are to stay as they are the plugin does not declare.
func (p *Project) CheckKept(columns []string) error {
	var names []string
	for _, c := range p.Columns {
		names = append(names, c.Name)
	}
	for _, c := range columns {
		if slices.Contains(names, c) {
			continue
		}
		err := cdc.Errorf("CDCD-1001", "the plugin does not declare a column '%s'", c)
		if near, ok := strictyaml.Nearest(c, names); ok {
			return err.WithFix("did you mean '%s'?", near)
		}
		return err.WithFix("it declares %s", strings.Join(names, ", "))
	}
	return nil
}
