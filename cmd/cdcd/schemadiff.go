package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
)

// tableDiff is what became of a table since its last change in the stream.
type tableDiff struct {
	Table       string       `json:"table"`
	State       string       `json:"state"`                 // same, different, gone, or unseen: no change of it is in the frames looked at
	Seq         uint64       `json:"seq,omitempty"`         // of the newest frame with a change of it
	Commit      string       `json:"commit_time,omitempty"` // of that change
	Differences []difference `json:"differences,omitempty"`
}

// difference is one thing that the binlog said otherwise.
type difference struct {
	Column string `json:"column"`
	What   string `json:"what"`   // column, type, nullable, key, collation or order
	Binlog string `json:"binlog"` // "" where there was none
	Now    string `json:"now"`    // "" where there is none
}

func (a *app) schemaDiff(cmd *cobra.Command, args []string, frames uint64) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	described, err := a.describeTables(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	now := map[string]*cdc.Table{}
	var names []string
	for _, d := range described {
		if d.Captured {
			now[d.String()] = d.Delivered
			names = append(names, d.String())
		}
	}
	wanted := names
	if len(args) == 1 && now[args[0]] != nil {
		wanted = args
	}
	seen, err := a.loggedTables(cmd.Context(), cfg, wanted, frames)
	if err != nil {
		return err
	}
	for name := range seen.Tables {
		if now[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(args) == 1 {
		name, err := findTable(args[0], names)
		if err != nil {
			return err
		}
		names = []string{name}
	}
	diffs, same := []tableDiff{}, true
	for _, name := range names {
		d := diffTable(name, seen.Tables, now[name])
		diffs = append(diffs, d)
		same = same && d.State != "different" && d.State != "gone"
	}
	return a.ui.verdict(kind(cmd), same, diffs, func(w io.Writer) { a.printDiffs(w, diffs, seen.Frames) })
}

func diffTable(name string, seen map[string]loggedTable, now *cdc.Table) tableDiff {
	d := tableDiff{Table: name, State: "unseen"}
	was, ok := seen[name]
	if !ok {
		return d
	}
	d.Seq, d.Commit = was.Seq, was.Commit.UTC().Format(time.RFC3339)
	if now == nil {
		d.State = "gone"
		return d
	}
	d.State, d.Differences = "same", diffColumns(was.Table, now)
	if len(d.Differences) > 0 {
		d.State = "different"
	}
	return d
}

// diffColumns compares the columns by name.
func diffColumns(was, now *cdc.Table) []difference {
	var out []difference
	var orderWas, orderNow []string
	for i := range was.Columns {
		a := &was.Columns[i]
		j := now.Column(a.Name)
		if j < 0 {
			out = append(out, difference{a.Name, "column", typeText(a), ""})
			continue
		}
		orderWas = append(orderWas, a.Name)
		b := &now.Columns[j]
		differ := func(what, x, y string) {
			if x != y {
				out = append(out, difference{a.Name, what, x, y})
			}
		}
		if sameType(a, b) {
			differ("nullable", nullText(a), nullText(b))
		} else {
			differ("type", cmp.Or(typeText(a), "?"), typeText(b))
		}
		differ("key", keyText(a), keyText(b))
		if a.Collation != 0 && b.Collation != 0 {
			differ("collation", fmt.Sprintf("id %d", a.Collation), fmt.Sprintf("id %d", b.Collation))
		}
	}
	for i := range now.Columns {
		b := &now.Columns[i]
		if was.Column(b.Name) < 0 {
			out = append(out, difference{b.Name, "column", "", typeText(b)})
		} else {
			orderNow = append(orderNow, b.Name)
		}
	}
	if !slices.Equal(orderWas, orderNow) {
		out = append(out, difference{"", "order", strings.Join(orderWas, ", "), strings.Join(orderNow, ", ")})
	}
	return out
}

func typeText(c *cdc.Column) string { return strings.ToLower(c.Type) }

func nullText(c *cdc.Column) string {
	if c.Nullable {
		return "null"
	}
	return "not null"
}

func keyText(c *cdc.Column) string {
	if c.Key == 0 {
		return "no"
	}
	return fmt.Sprintf("place %d", c.Key)
}

// sameType compares types by what both sides know: the binlog does not have display widths, ZEROFILL and the like.
func sameType(a, b *cdc.Column) bool {
	if a.Kind != b.Kind || a.Unsigned != b.Unsigned || a.Fsp != b.Fsp || a.Precision != b.Precision || a.Scale != b.Scale ||
		a.Float32 != b.Float32 || !slices.Equal(a.Members, b.Members) {
		return false
	}
	switch a.Kind {
	case cdc.KindEnum, cdc.KindSet, cdc.KindDecimal, cdc.KindBit, cdc.KindJSON, cdc.KindVector, cdc.KindFloat64:
		return true
	case cdc.KindGeometry:
		x, y := bareType(a.Type), bareType(b.Type)
		return x == y || x == "geometry" || strings.HasPrefix(x, "geom") && strings.HasPrefix(y, "geom")
	case cdc.KindString, cdc.KindBytes:
		return comments.ReplaceAllString(typeText(a), "") == comments.ReplaceAllString(typeText(b), "")
	}
	return bareType(a.Type) == bareType(b.Type)
}

var comments = regexp.MustCompile(` */\*.*?\*/`)

// bareType is the type's first word: bigint of "bigint(20) unsigned".
func bareType(s string) string {
	s = strings.ToLower(s)
	if i := strings.IndexAny(s, " (/"); i >= 0 {
		s = s[:i]
	}
	return s
}

func (a *app) printDiffs(w io.Writer, diffs []tableDiff, frames uint64) {
	count := map[string]int{}
	for _, d := range diffs {
		count[d.State]++
		switch d.State {
		case "same":
			fmt.Fprintf(w, "%s %s  as in the binlog of %s\n", a.ui.out(green, "✓"), d.Table, d.Commit)
		case "unseen":
			fmt.Fprintf(w, "  %s  no change of it in the newest %s\n", d.Table, plural(int(frames), "frame"))
		case "gone":
			fmt.Fprintf(w, "%s %s  is gone, or not captured any more; its last change is of %s\n", a.ui.out(red, "✗"), d.Table, d.Commit)
		default:
			fmt.Fprintf(w, "%s %s  differs from the binlog of %s (frame %d)\n", a.ui.out(red, "✗"), d.Table, d.Commit, d.Seq)
			for _, x := range d.Differences {
				fmt.Fprintf(w, "    %s\n", a.diffLine(x))
			}
		}
	}
	fmt.Fprintf(w, "Summary: %d the same · %d different · %d gone · %d not seen\n", count["same"], count["different"], count["gone"], count["unseen"])
}

func (a *app) diffLine(d difference) string {
	switch {
	case d.What == "order":
		return fmt.Sprintf("order of columns: %s, now %s", d.Binlog, d.Now)
	case d.What == "column" && d.Now == "":
		return a.ui.out(red, fmt.Sprintf("- %s %s", d.Column, d.Binlog))
	case d.What == "column":
		return a.ui.out(green, fmt.Sprintf("+ %s %s", d.Column, d.Now))
	}
	return fmt.Sprintf("~ %s: %s %s, now %s", d.Column, d.What, d.Binlog, d.Now)
}
