package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// rule is one condition in the languages that are compared. cel is empty where it is that of cdcd.
type rule struct{ own, cel, expr string }

// workload is a number of rules on the table of orders.
type workload struct {
	n     int
	name  string
	rule  func(i int) rule
	nulls int  // percent of the events whose score is NULL
	churn bool // the set is exchanged all the time
}

func (w *workload) key() string { return fmt.Sprintf("%d %s", w.n, strings.Fields(w.name)[0]) }

func workloads() []*workload {
	var all []*workload
	for _, n := range []int{1, 10, 100, 1000, 10_000, 100_000} {
		all = append(all, &workload{n: n, name: "rare matches, all can be indexed", rule: rare})
	}
	for _, percent := range []int{80, 20} {
		for _, n := range []int{10, 100, 1000, 10_000} {
			all = append(all, &workload{n: n, name: fmt.Sprintf("%d %% can be indexed", percent), rule: func(i int) rule {
				if i*7%100 < percent {
					return rare(i)
				}
				return arithmetic(i)
			}})
		}
	}
	for _, m := range []int{1, 10, 1000} {
		n := 10_000
		all = append(all, &workload{n: n, name: fmt.Sprintf("%d of them match", m), rule: func(i int) rule {
			return plain(fmt.Sprintf("after.bucket%d == %d", m, i%(n/m)))
		}})
	}
	for _, n := range []int{100, 10_000} {
		all = append(all, &workload{n: n, name: "overlapping thresholds", rule: func(i int) rule {
			return plain(fmt.Sprintf("after.weight > %d", i*10_000/n))
		}}, &workload{n: n, name: "overlapping thresholds and a rare equality", rule: func(i int) rule {
			return plain(fmt.Sprintf("after.weight > %d && after.customer_id == %d", i*10_000/n, 20_000_000+i))
		}}, &workload{n: n, name: "NULL in 90 % of the events", nulls: 90, rule: func(i int) rule {
			r := plain(fmt.Sprintf("after.score != null && after.score > %d.5", 100+i))
			r.expr = strings.Replace(r.expr, "!= null", "!= nil", 1)
			return r
		}})
	}
	return append(all, &workload{n: 1000, name: "the set is exchanged every 10 ms", rule: rare, churn: true},
		&workload{n: 10_000, name: "the set is exchanged every 10 ms", rule: rare, churn: true})
}

// plain is a rule that reads the same in all languages.
func plain(when string) rule { return rule{own: when, expr: when} }

// rare is the i-th of many different rules, of which an event matches hardly one.
func rare(i int) rule {
	const paid = " && after.status == 'paid'"
	switch i % 5 {
	case 0:
		return plain(fmt.Sprintf("after.customer_id == %d", 20_000_000+i) + paid)
	case 1:
		return rule{own: fmt.Sprintf("after.sku.startsWith('XKU-%06d')", i) + paid, expr: fmt.Sprintf("after.sku startsWith 'XKU-%06d'", i) + paid}
	case 2:
		return plain(fmt.Sprintf("after.total >= %d.5", 1000+i) + paid)
	case 3:
		lo, hi := 2_000_000+i*50, 2_000_000+i*50+40
		return plain(fmt.Sprintf("after.weight >= %d && after.weight < %d", lo, hi) + paid)
	}
	return plain(fmt.Sprintf("after.email == 'user%d@example.org'", i) + paid)
}

// arithmetic is a rule that has to be evaluated on every event.
func arithmetic(i int) rule {
	return plain(fmt.Sprintf("after.weight * 7 + after.quantity == %d", 3_000_000+i))
}

var orders = func() *cdc.Table {
	t := &cdc.Table{Schema: "shop", Name: "orders"}
	for _, c := range []struct{ name, sqlType string }{
		{"id", "bigint"}, {"customer_id", "int"}, {"status", "enum('new','paid','shipped')"}, {"total", "decimal(12,2)"}, {"country", "varchar(2)"},
		{"email", "varchar(100)"}, {"score", "double"}, {"sku", "varchar(20)"}, {"created", "timestamp"}, {"quantity", "int"}, {"weight", "int"},
		{"bucket1", "int"}, {"bucket10", "int"}, {"bucket1000", "int"},
	} {
		column, ok := cdc.ParseType(c.sqlType)
		if !ok {
			panic(c.sqlType)
		}
		column.Name, column.Nullable = c.name, c.name == "score"
		if c.name == "id" {
			column.Key = 1
		}
		t.Columns = append(t.Columns, column)
	}
	return t
}()

// orderRow is a row as Go programs have it: what expr-lang evaluates fastest.
type orderRow struct {
	ID         int     `expr:"id"`
	CustomerID int     `expr:"customer_id"`
	Status     string  `expr:"status"`
	Total      float64 `expr:"total"`
	Country    string  `expr:"country"`
	Email      string  `expr:"email"`
	Score      any     `expr:"score"`
	SKU        string  `expr:"sku"`
	Created    time.Time
	Quantity   int `expr:"quantity"`
	Weight     int `expr:"weight"`
	Bucket1    int `expr:"bucket1"`
	Bucket10   int `expr:"bucket10"`
	Bucket1000 int `expr:"bucket1000"`
}

var orderRows = func() []orderRow {
	rows := make([]orderRow, 500)
	for i := range rows {
		rows[i] = orderRow{ID: i, CustomerID: 10_000_000 + i*7919%1_000_000, Status: "paid", Total: float64(i*31%900) + float64(i%4)/4,
			Country: []string{"US", "DE", "FR", "GB", "CA"}[i%5], Email: fmt.Sprintf("user%d@example.com", i), Score: float64(i % 100),
			SKU: fmt.Sprintf("SKU-%06d", i*104729%1_000_000), Created: time.Unix(1_700_000_000+int64(i), 0).UTC(), Quantity: i % 50, Weight: i * 7919 % 10_000,
			Bucket1: i * 7919 % 10_000, Bucket10: i * 7919 % 1000, Bucket1000: i % 10}
	}
	return rows
}()

// isNull says whether the score of row i is NULL, when it is in so many of 100 rows.
func isNull(i, percent int) bool { return i%100 < percent }

// orderEvents are the rows as events: what capture makes of them.
func orderEvents(nulls int) []cdc.Event {
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_700_000_000, 0)}), b.AddTable(orders)
	write := func(i int, status string) uint32 {
		r := &orderRows[i]
		b.BeginRow(len(orders.Columns))
		b.SetInt(0, int64(r.ID))
		b.SetInt(1, int64(r.CustomerID))
		b.SetText(2, cdc.KindEnum, status)
		b.SetText(3, cdc.KindDecimal, fmt.Sprintf("%.2f", r.Total))
		b.SetText(4, cdc.KindString, r.Country)
		b.SetText(5, cdc.KindString, r.Email)
		if isNull(i, nulls) {
			b.SetNull(6)
		} else {
			b.SetFloat(6, r.Score.(float64))
		}
		b.SetText(7, cdc.KindString, r.SKU)
		b.Set(8, cdc.TimestampValue(r.Created.UnixMicro()))
		for c, n := range []int{r.Quantity, r.Weight, r.Bucket1, r.Bucket10, r.Bucket1000} {
			b.SetInt(9+c, int64(n))
		}
		return b.EndRow()
	}
	for i := range orderRows {
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Row: uint32(i), Table: table, Op: cdc.OpUpdate, Before: write(i, "new"), After: write(i, "paid")})
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{uint64(len(orderRows))}}), nil)
	if err != nil {
		panic(err)
	}
	events := make([]cdc.Event, len(orderRows))
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

// parse makes rules of conditions.
func parse(texts []rule) ([]*rules.Rule, error) {
	var all []*rules.Rule
	for from := 0; from < len(texts); from += 1000 {
		var b strings.Builder
		b.WriteString("version: 1\nrules:\n")
		for i, t := range texts[from:min(from+1000, len(texts))] {
			fmt.Fprintf(&b, "  - name: r%d\n    tables: [shop.orders]\n    on: [update]\n    to: [acme]\n    when: %s\n", from+i, t.own)
		}
		rs, err := rules.Parse("rules.yaml", []byte(b.String()))
		if err != nil {
			return nil, err
		}
		all = append(all, rs...)
	}
	return all, nil
}

func newSet(texts []rule) (*rules.Set, error) {
	rs, err := parse(texts)
	if err != nil {
		return nil, err
	}
	return rules.New(rs)
}

// changedSet returns the set with another rule in the place of one.
func changedSet(set *rules.Set, rs []*rules.Rule, i int) *rules.Set {
	changed, err := parse([]rule{plain(fmt.Sprintf("after.customer_id == %d", 30_000_000+i))})
	if err != nil {
		panic(err)
	}
	rs = append([]*rules.Rule(nil), rs...)
	changed[0].Name = "changed"
	rs[i%len(rs)] = changed[0]
	next, err := rules.New(rs)
	if err != nil {
		panic(err)
	}
	return next.After(set)
}
