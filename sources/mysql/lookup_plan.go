package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// LookupPlan is how a look-up would be done.
type LookupPlan struct {
	Table  *cdc.Table // the columns that are wanted, as an answer has them
	Index  string     // that finds the rows; "" if there is none
	Unique bool       // a key has one row at most
	Scans  bool       // the server would read the whole table
	Advice string     // the index that is missing, as a statement
}

// Plan finds out how a question would be answered, without keys: it fails as [Lookups.LookUp] does when there is no such table
// or column, or no right to read it.
func (l *Lookups) Plan(ctx context.Context, q *cdc.Query) (plan LookupPlan, err error) {
	within, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	var c *lookupConn
	select {
	case c = <-l.places:
	case <-within.Done():
		return plan, l.late(ctx, q, "no connection to %s became free", l.cfg.Server.Addr)
	}
	defer func() { l.places <- c }()
	if c == nil {
		if c, err = l.connect(within); err != nil {
			return plan, err
		}
	}
	l.forget(q)
	t, err := l.table(c, q)
	if err == nil {
		plan, err = c.plan(t, q)
	}
	if err != nil {
		if !c.settled() {
			c.sv.close()
			c = nil
		}
		return plan, l.translate(q, err)
	}
	return plan, nil
}

func (c *lookupConn) plan(t *lookupTable, q *cdc.Query) (LookupPlan, error) {
	plan := LookupPlan{Table: t.layout.Table(), Index: t.index, Unique: t.unique}
	key := lookupKey{}
	for i := range t.by {
		key.params = append(key.params, t.by[i].example())
	}
	statement, params := t.statement([]lookupKey{key, key}[:min(2, t.atOnce())], max(1, q.Limit))
	args := make([]any, len(params))
	for i, p := range params {
		args[i] = p
	}
	result, err := c.sv.execute("EXPLAIN "+statement, args...)
	if err != nil {
		return plan, err
	}
	defer result.Close()
	for i := range result.RowNumber() {
		table, _ := result.GetStringByName(i, "table")
		kind, _ := result.GetStringByName(i, "type")
		if table == "t" && (strings.EqualFold(kind, "ALL") || strings.EqualFold(kind, "index")) {
			plan.Scans = true
		}
	}
	if t.index == "" || plan.Scans {
		plan.Scans = true
		var names []string
		for _, by := range t.by {
			names = append(names, by.Name)
		}
		for _, o := range t.order {
			name := o.Column
			if o.Desc {
				name += " DESC"
			}
			names = append(names, name)
		}
		plan.Advice = fmt.Sprintf("ALTER TABLE %s ADD INDEX (%s)", t, strings.Join(names, ", "))
	}
	return plan, nil
}

// example returns a value that a key may have.
func (c *lookupColumn) example() string {
	switch c.Kind {
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTimestamp:
		return "2026-01-01"
	case cdc.KindTime:
		return "00:00:01"
	case cdc.KindString:
		switch c.Type {
		case "uuid":
			return "00000000-0000-4000-8000-000000000000"
		case "inet4":
			return "192.0.2.1"
		case "inet6":
			return "2001:db8::1"
		}
	}
	return "1"
}

// Warning is what to tell of a plan that reads whole tables; nil if it does not.
func (p *LookupPlan) Warning(q *cdc.Query) *cdc.Error {
	if !p.Scans {
		return nil
	}
	return cdc.Errorf("CDCD-1347", "look-up of %s by %s: no index begins with these columns, so the server reads the whole table for each key", q.Table, strings.Join(q.By, ", ")).
		WithFix("%s", p.Advice)
}
