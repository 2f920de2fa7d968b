package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/rules"
)

// printIndexing prints what a change must be like for each rule to be looked at, and what it costs where every change is.
func (l *linted) printIndexing(a *app, w io.Writer) {
	if l.set == nil || len(l.known) == 0 {
		return
	}
	var rows [][]string
	for _, in := range l.set.Indexing(l.known) {
		looked := strings.Join(in.Any, ", or ")
		if len(in.Every) > 0 {
			if looked != "" {
				looked += ", or "
			}
			looked += fmt.Sprintf("every change is asked%s: %s", measured(in), strings.Join(in.Every, ", "))
		}
		if looked == "" {
			looked = "never"
		}
		var ops []string
		for _, op := range in.Ops {
			ops = append(ops, op.String())
		}
		rows = append(rows, []string{in.Rule.Name, in.Table.String(), strings.Join(ops, ", "), fmt.Sprint(in.Cost), looked})
	}
	if len(rows) > 0 {
		a.ui.table(w, []string{"RULE", "TABLE", "ON", "COST", "LOOKED AT IF"}, rows)
		fmt.Fprintln(w)
	}
}

// measured says how long the rule takes on a plain change, here and now.
func measured(in rules.Indexing) string {
	set, err := rules.New([]*rules.Rule{in.Rule})
	if err != nil {
		return ""
	}
	e, err := rules.Sample(in.Table, in.Ops[0])
	if err != nil {
		return ""
	}
	if len(set.Decide(e).Errors) > 0 {
		return "" // what would be measured is the making of the error
	}
	best := time.Hour
	for range 20 { // the least of several, since other programs run beside
		const n = 50
		begin := time.Now()
		for range n {
			set.Decide(e)
		}
		best = min(best, time.Since(begin)/n)
	}
	return fmt.Sprintf(" (~%d ns)", best.Nanoseconds()/10*10)
}
