package form_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/form"
)

// What Debezium's documentation shows of the table customers: the members of an event and of its source, and the schema of a row.
func TestADebeziumEventHasTheFieldsThatAreDocumented(t *testing.T) {
	customers := &cdc.Table{Schema: "inventory", Name: "customers", Columns: []cdc.Column{column("id", "int", false, 1),
		column("first_name", "varchar(255)", false, 0), column("last_name", "varchar(255)", false, 0), column("email", "varchar(255)", false, 0)}}
	anne := func(first string) []cdc.Value {
		return []cdc.Value{cdc.Int64Value(1004), cdc.TextValue(cdc.KindString, first), cdc.TextValue(cdc.KindString, "Kretchmar"), cdc.TextValue(cdc.KindString, "annek@noanswer.org")}
	}
	ds := events(t, change{customers, cdc.OpInsert, nil, anne("Anne"), nil}, change{customers, cdc.OpUpdate, anne("Anne"), anne("Anne Marie"), nil},
		change{customers, cdc.OpDelete, anne("Anne Marie"), nil, nil})
	f := newForm(t, form.Options{Envelope: form.Debezium, Debezium: form.DebeziumOptions{Schemas: true}})
	const row = `{"id":1004,"first_name":"%","last_name":"Kretchmar","email":"annek@noanswer.org"}`
	want := []struct{ op, before, after string }{{"c", "", "Anne"}, {"u", "Anne", "Anne Marie"}, {"d", "Anne Marie", ""}}
	n := 0
	for record := range f.Records(lines(f, ds)) {
		var e struct {
			Schema struct {
				Name   string
				Fields []struct {
					Field, Name string
					Fields      []struct {
						Field, Type string
						Optional    bool
					}
				}
			}
			Payload map[string]json.RawMessage
		}
		if err := json.Unmarshal(record, &e); err != nil {
			t.Fatal(err)
		}
		p := e.Payload
		if got := slices.Sorted(maps.Keys(p)); !slices.Equal(got, []string{"after", "before", "cdcd", "op", "source", "transaction", "ts_ms", "ts_ns", "ts_us"}) {
			t.Errorf("members %q", got)
		}
		image := func(first string) string {
			if first == "" {
				return "null"
			}
			return strings.Replace(row, "%", first, 1)
		}
		if string(p["op"]) != `"`+want[n].op+`"` || string(p["before"]) != image(want[n].before) || string(p["after"]) != image(want[n].after) {
			t.Errorf("record %d: op %s, before %s, after %s", n, p["op"], p["before"], p["after"])
		}
		var source map[string]any
		if err := json.Unmarshal(p["source"], &source); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(source)); !slices.Equal(got, []string{"connector", "db", "file", "gtid", "name", "pos", "query", "row", "sequence", "server_id",
			"snapshot", "table", "thread", "ts_ms", "ts_ns", "ts_us", "version"}) {
			t.Errorf("source %q", got)
		}
		if e.Schema.Name != "shop.inventory.customers.Envelope" || e.Schema.Fields[0].Name != "shop.inventory.customers.Value" ||
			e.Schema.Fields[2].Name != "io.debezium.connector.mariadb.Source" {
			t.Errorf("schema %+v", e.Schema)
		}
		if id, name := e.Schema.Fields[1].Fields[0], e.Schema.Fields[1].Fields[1]; id.Type != "int32" || id.Optional || name.Type != "string" || name.Field != "first_name" {
			t.Errorf("fields %+v, %+v", id, name)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d records", n)
	}
}

// BenchmarkForms makes an object of 256 records in each form, from decisions to bytes before compression.
func BenchmarkForms(b *testing.B) {
	var changes []change
	for range 256 {
		changes = append(changes, change{everything, cdc.OpUpdate, ordinary(), ordinary(), nil})
	}
	ds := events(b, changes...)
	for _, o := range []form.Options{{}, {Envelope: form.Debezium}, {Envelope: form.CloudEvents}, {Format: form.CSV}, {Format: form.Parquet}} {
		f := newForm(b, o)
		b.Run(f.Name(), func(b *testing.B) {
			var out []byte
			var d cdc.Delivery
			for b.Loop() {
				out = out[:0]
				for i := range ds {
					cdc.Deliver(&d, "acme", &ds[i])
					out = append(f.Append(out, &d), '\n')
				}
				if _, err := f.Seal(f.Kind(ds[0].Event), out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/row")
		})
	}
}
