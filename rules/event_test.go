package rules

import (
	"errors"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

const eventTables = `tables:
  shop.orders: {columns: {id: int not null, total: "decimal(10,2)", note: text, info: json}, key: [id]}
  shop.items: {columns: {id: int not null}}
`

func TestARecordIsTheEventAgain(t *testing.T) {
	tables := mustTables(t, eventTables)
	for _, line := range []string{
		`{"id":"0-1-17/3","op":"update","table":"shop.orders","key":{"id":1},"before":{"id":1,"total":"1.00","note":null,"info":{"a":[1,2.50]}},` +
			`"after":{"id":1,"total":"2.00"},"commit_time":"2026-11-21T02:00:00.123456Z",` +
			`"source":{"name":"shop","gtid":"0-1-17","file":"binlog.000001","pos":1234,"row":3,"no":1001,"part_no":7}}`,
		`{"id":"ab-cd:binlog.000001:4/0","op":"snapshot","table":"shop.items","key":null,"before":null,"after":{"id":1},` +
			`"commit_time":"2026-11-21T02:00:00.000000Z","source":{"name":"shop","gtid":null,"file":"binlog.000001","pos":4,"row":0,"no":1,"part_no":1}}`,
	} {
		e, err := ParseEvent([]byte(line), tables)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := string(cdc.AppendEvent(nil, e)); got != line {
			t.Errorf("got\n%s\nwant\n%s", got, line)
		}
	}
}

func TestEventsAreReadAndRefused(t *testing.T) {
	tables := mustTables(t, eventTables)
	for _, tt := range []struct{ name, text, want, fix string }{
		{"event of a test", `{"op":"insert","table":"shop.orders","after":{"id":1}}`, `{"id":1,"total":null,"note":null,"info":null}`, ""},
		{"record of a feed", `{"id":"0-1-17/0","feed":"acme","rules":[],"change":"left","op":"update","table":"shop.items","key":{},"before":{"id":1},"after":null,` +
			`"commit_time":"2026-11-21T02:00:00Z","source":{"name":"s","gtid":"0-1-17","file":"","pos":0,"row":0,"no":1,"part_no":1}}`, "an update needs 'after'", "the record is one of a filter; take the event from the stream: --event 0-1-17/0"},
		{"record that a plugin tagged and gave a reason for", `{"id":"0-1-17/0","feed":"acme","rules":[{"name":"r","version":"v","reason":"score 91"}],"tags":["risky"],"op":"insert","table":"shop.items","key":{},"before":null,"after":{"id":1},` +
			`"commit_time":"2026-11-21T02:00:00Z","source":{"name":"s","gtid":"0-1-17","file":"","pos":0,"row":0,"no":1,"part_no":1}}`, `{"id":1}`, ""},
		{"not JSON", `{"op"`, "unexpected EOF", `write a delivered record, or the event of a test: {"op": "update", "before": {…}, "after": {…}}`},
		{"two", `{"op":"insert","table":"shop.items","after":{"id":1}} {}`, "there is more than one", "give one JSON object"},
		{"unknown member", `{"op":"insert","affter":{}}`, "unknown member 'affter'", "did you mean 'after'?"},
		{"operation", `{"op":"upsert"}`, "'upsert' is not an operation", "op is one of insert, update, delete, snapshot"},
		{"no table", `{"op":"insert","after":{}}`, "it does not say of which table", `write "table": "shop.orders"`},
		{"table", `{"op":"insert","table":"shop.item","after":{}}`, "no known table is called 'shop.item'", "did you mean 'shop.items'?"},
		{"image", `{"op":"insert","table":"shop.items","before":{}}`, "an insert has no 'before'", ""},
		{"no image", `{"op":"update","table":"shop.items","after":{}}`, "an update needs 'before'", ""},
		{"column", `{"op":"insert","table":"shop.orders","after":{"totl":"1"}}`, "after.totl: orders has no column 'totl'", "did you mean 'total'?"},
		{"value", `{"op":"insert","table":"shop.orders","after":{"total":1}}`, "after.total: 1 is not a value of total (decimal(10,2))", `write the digits in quotes: "12.50"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := ParseEvent([]byte(tt.text), tables)
			var coded *cdc.Error
			if errors.As(err, &coded) {
				if want := "the event cannot be read: " + tt.want; coded.What != want || coded.Fix != tt.fix || coded.Code != codeEvent {
					t.Errorf("got %s, fix %s\nwant %s, fix %s", coded, coded.Fix, want, tt.fix)
				}
				return
			}
			if got := string(cdc.AppendRow(nil, e.After())); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
