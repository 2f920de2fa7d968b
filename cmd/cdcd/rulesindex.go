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
			looked += "every change is asked"
			if cost := measured(in); cost > 0 {
				looked += fmt.Sprintf(" (~%d ns)", cost.Nanoseconds())
			}
			looked += ": " + strings.Join(in.Every, ", ")
		}
		switch {
		case in.Rule.Filter != nil && in.Rule.When == "":
			looked = "every change is judged by plugin " + in.Rule.Filter.Plugin + " (a 'when' would spare it those that it drops anyway)"
		case looked == "":
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

// manyRules of a table that are asked about every change are worth a word: a few of them cost about a microsecond each, and mean it.
const manyRules = 10

// everywhere warns of the rules that every change of a table is asked for by CEL, once for each, where there are many for the table, or
// where all are to be said. What the index asks by itself costs next to nothing.
func (l *linted) everywhere(all bool) {
	var asked []rules.Indexing
	of := map[string]map[string]bool{} // rules by table
	for _, in := range l.set.Indexing(l.known) {
		if in.Steps == 0 || len(in.Every) == 0 {
			continue
		}
		asked = append(asked, in)
		table := in.Table.String()
		if of[table] == nil {
			of[table] = map[string]bool{}
		}
		of[table][in.Rule.Name] = true
	}
	warned := map[string]bool{}
	for _, in := range asked {
		if warned[in.Rule.Name] || !all && len(of[in.Table.String()]) < manyRules {
			continue
		}
		warned[in.Rule.Name] = true
		l.findings = append(l.findings, in.Finding(measured(in)))
	}
}

// measured returns how long the rule takes on a plain change, here and now; 0 if that cannot be said.
func measured(in rules.Indexing) time.Duration {
	set, err := rules.New([]*rules.Rule{in.Rule})
	if err != nil {
		return 0
	}
	e, err := rules.Sample(in.Table, in.Ops[0])
	if err != nil {
		return 0
	}
	if len(set.Decide(e).Errors) > 0 {
		return 0 // what would be measured is the making of the error
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
	return best / 10 * 10
}
