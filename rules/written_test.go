package rules

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// A file of its own layout has tables and an event, and what is wrong with them is found at their places.
func TestEventsInOtherFilesAreFoundFaultWithAtTheirPlaces(t *testing.T) {
	const tables = "tables: {a.b: {columns: {id: int not null, total: \"decimal(8,2)\"}, key: [id]}}\n"
	for _, row := range []struct{ event, want string }{
		{"event: {op: insert, after: {id: 1, total: '1.5'}}", ""},
		{"event: {op: insert, table: a.c, after: {id: 1}}", "f.yaml:2:28: error CDCD-2119: no known table is called 'a.c'"},
		{"event: {op: insert, after: {totl: '1.5'}}", "f.yaml:2:29: error CDCD-2119: b has no column 'totl'"},
		{"event: {op: insert, after: {total: '1.555'}}", "f.yaml:2:36: error CDCD-2119: \"1.555\" is not a value of total"},
		{"event: {op: insert}", "f.yaml:2:8: error CDCD-2119: the event of an insert needs 'after'"},
	} {
		var y struct {
			Tables SchemaSection `yaml:"tables"`
			Event  struct {
				Op    string         `yaml:"op"`
				Table string         `yaml:"table"`
				After map[string]any `yaml:"after"`
			} `yaml:"event"`
		}
		doc, err := strictyaml.Decode("f.yaml", []byte(tables+row.event), &y, strictyaml.Config{})
		if err != nil {
			t.Fatal(err)
		}
		known, err := y.Tables.Tables(doc.At("tables"))
		if err != nil {
			t.Fatal(err)
		}
		w := Written{Op: y.Event.Op, Table: y.Event.Table, After: y.Event.After}
		e, err := w.Event(doc.At("event"), known)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.event, err)
		case row.want == "":
			if v, _ := e.After().Get("total"); v.Text() != "1.50" {
				t.Errorf("the total is %s", v)
			}
		case err == nil || !strings.HasPrefix(err.Error(), row.want):
			t.Errorf("%s: got\n%v\nwant\n%s", row.event, err, row.want)
		}
	}
}
