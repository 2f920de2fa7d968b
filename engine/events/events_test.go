package events_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine/events"
	"github.com/cdcd-project/cdcd/rules"
)

type address struct{ City string }

type all struct {
	ID       int64  `cdc:"id,key"`
	Part     uint16 `cdc:"part,key"`
	Open     bool
	Score    float32
	Name     string
	Note     *string
	Raw      []byte
	At       time.Time
	Took     time.Duration
	Home     address
	Doc      json.RawMessage
	Total    string    `cdc:"total" sql:"decimal(12,2)"`
	Status   string    `cdc:"status" sql:"enum('new','paid')"`
	Tags     []string  `cdc:"tags" sql:"set('a','b')"`
	Day      time.Time `cdc:"day" sql:"date"`
	Placed   time.Time `cdc:"placed" sql:"datetime(3)"`
	Secret   string    `cdc:"-"`
	internal int
}

var at = time.Date(2026, 11, 21, 2, 3, 4, 123456000, time.FixedZone("", 3600))

func row() all {
	return all{ID: 1, Part: 2, Open: true, Score: 0.1, Name: "Ä", Raw: []byte{1, 2}, At: at, Took: 90 * time.Second, Home: address{"Ulm"}, Doc: json.RawMessage(`[1]`),
		Total: "12.50", Status: "paid", Tags: []string{"a", "b"}, Day: at, Placed: at, Secret: "x", internal: 1}
}

const rendered = `{"id":1,"part":2,"open":true,"score":0.1,"name":"Ä","note":null,"raw":"AQI=","at":"2026-11-21T01:03:04.123456Z","took":"00:01:30.000000","home":{"City":"Ulm"},` +
	`"doc":[1],"total":"12.50","status":"paid","tags":["a","b"],"day":"2026-11-21","placed":"2026-11-21T02:03:04.123"}`

func TestStructsAndMapsAreRows(t *testing.T) {
	table, err := events.TableOf("shop.all", &all{})
	if err != nil {
		t.Fatal(err)
	}
	w := events.NewWriter("shop")
	for _, err := range []error{w.Insert(table, row()), w.Update(table, row(), new(row())), w.Delete(table, row()), w.Snapshot(table, row()),
		w.Insert(table, map[string]any{"id": 1, "part": uint8(2), "open": true, "score": 0.1, "name": "Ä", "raw": []byte{1, 2}, "at": at, "took": 90 * time.Second,
			"home": map[string]any{"City": "Ulm"}, "doc": []int{1}, "total": json.Number("12.50"), "status": "paid", "tags": []string{"a", "b"}, "day": at, "placed": at})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Batch("tx-1", at)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"insert null " + rendered, "update " + rendered + " " + rendered, "delete " + rendered + " null", "snapshot null " + rendered, "insert null " + rendered} {
		e := b.Event(i)
		if got := e.Op().String() + " " + string(cdc.AppendRow(nil, e.Before())) + " " + string(cdc.AppendRow(nil, e.After())); got != want {
			t.Errorf("event %d: got\n%s\nwant\n%s", i, got, want)
		}
	}
	if e := b.Event(4); e.ID() != "tx-1/4" || e.No() != 5 || e.PartNo() != 5 || !e.CommitTime().Equal(at) {
		t.Errorf("event %s, no %d, part no %d, committed %v", e.ID(), e.No(), e.PartNo(), e.CommitTime())
	}
	if next, err := w.Batch("tx-2", at); err != nil || next.Len() != 0 {
		t.Errorf("a batch of nothing: %d events, %v", next.Len(), err)
	}
	if err := w.Insert(table, row()); err != nil {
		t.Fatal(err)
	}
	if next, err := w.Batch("tx-3", at); err != nil || next.Event(0).No() != 6 || next.Event(0).Table() != b.Event(0).Table() {
		t.Errorf("numbers do not go on, or tables are not the same: %v", err)
	}
}

func TestWhatCannotBeARow(t *testing.T) {
	table, err := events.TableOf("shop.t", struct {
		ID     int    `cdc:"id,key"`
		Total  string `sql:"decimal(10,2)"`
		Status string `sql:"enum('new','paid')"`
		N      *uint8
	}{})
	if err != nil {
		t.Fatal(err)
	}
	fits := map[string]any{"id": 1, "total": "1", "status": "new", "n": nil}
	for column, value := range map[string]any{"id": "1", "total": "1e5", "status": "old", "n": -1, "nothing": 1} {
		row := map[string]any{column: value}
		for k, v := range fits {
			if k != column {
				row[k] = v
			}
		}
		if err := events.NewWriter("x").Insert(table, row); err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("%s = %v was taken, or the error does not name it: %v", column, value, err)
		}
	}
	for _, row := range []any{nil, 1, struct{ ID int }{1}, map[string]any{}} {
		if err := events.NewWriter("x").Insert(table, row); err == nil {
			t.Errorf("%#v was taken", row)
		}
	}
}

func TestWhatCannotBeATable(t *testing.T) {
	for name, row := range map[string]any{
		"shop.number": 1, "shop.nothing": nil, "shop.empty": struct{}{}, "noschema": struct{ A int }{}, "shop.chan": struct{ A chan int }{},
		"shop.twice": struct {
			A, B int `cdc:"a"`
		}{}, "shop.option": struct {
			A int `cdc:"a,primary"`
		}{}, "shop.type": struct {
			A string `sql:"strnig"`
		}{},
	} {
		if _, err := events.TableOf(name, row); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestRulesCheckTables(t *testing.T) {
	table, err := events.TableOf("shop.all", all{})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rules.Parse("rules.yaml", []byte(`version: 1
rules:
  - name: r
    tables: [shop.all]
    on: [insert]
    to: [acme]
    when: after.open && after.total >= 12 && after.status == 'paid' && 'a' in after.tags && after.home.City == 'Ulm' && after.at < now + duration('1h') && after.score < 1 && after.day == '2026-11-21'
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.New(rs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Check([]*cdc.Table{table.Table()}); err != nil {
		t.Fatal(err)
	}
	w := events.NewWriter("shop")
	if err := w.Insert(table, row()); err != nil {
		t.Fatal(err)
	}
	b, err := w.Batch("1", at)
	if err != nil {
		t.Fatal(err)
	}
	if d := set.Decide(b.Event(0)); len(d.Matches) != 1 {
		t.Errorf("got %+v", d)
	}
}
