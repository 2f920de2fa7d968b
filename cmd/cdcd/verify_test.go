package main

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestARowIsComparedWithAllThatThePartnerHadSinceBeforeItWasRead(t *testing.T) {
	row := func(id string) string { return `"table":"s.t","key":{"id":` + id + `}` }
	insert := func(id, v string, no string) string {
		return `{"op":"insert",` + row(id) + `,"after":{"id":` + id + `,"v":` + v + `,"w":1},"source":{"no":` + no + `}}`
	}
	tests := []struct {
		name                  string
		before, source, later []string
		want                  verifiedTable
	}{
		{"same", []string{insert("1", "1", "1")}, []string{insert("1", "1", "0")}, nil, verifiedTable{Rows: 1, Delivered: 1, Same: 1}},
		{"late", []string{insert("1", "1", "1")}, []string{insert("1", "2", "0")},
			[]string{`{"op":"update",` + row("1") + `,"after":{"v":2},"source":{"no":2}}`, `{"op":"update",` + row("1") + `,"after":{"v":3},"source":{"no":3}}`},
			verifiedTable{Rows: 1, Delivered: 1, Same: 1}},
		{"lost update", []string{insert("1", "1", "1")}, []string{insert("1", "2", "0")}, []string{insert("2", "1", "2")},
			verifiedTable{Rows: 1, Delivered: 2, Different: 1, DifferentKeys: []string{"1"}}},
		{"lost delete", []string{insert("1", "1", "1")}, nil, nil, verifiedTable{Delivered: 1, Extra: 1, ExtraKeys: []string{"1"}}},
		{"late delete", []string{insert("1", "1", "1")}, nil, []string{`{"op":"delete",` + row("1") + `,"before":{"id":1},"source":{"no":2}}`}, verifiedTable{}},
		{"lost insert after a delete", []string{insert("1", "1", "1"), `{"op":"delete",` + row("1") + `,"source":{"no":2}}`}, []string{insert("1", "1", "0")}, nil,
			verifiedTable{Rows: 1, Missing: 1, MissingKeys: []string{"1"}}},
		{"before the feed", nil, []string{insert("1", "1", "0")}, nil, verifiedTable{Rows: 1, Before: 1}},
		{"not in the snapshot", []string{`{"op":"snapshot",` + row("2") + `,"after":{"id":2},"source":{"no":1}}`}, []string{insert("1", "1", "0"), insert("2", "9", "0")}, nil,
			verifiedTable{Rows: 2, Delivered: 1, Same: 1, Missing: 1, MissingKeys: []string{"1"}}},
		{"its key changed", []string{insert("1", "1", "1"), `{"op":"update",` + row("2") + `,"before":{"id":1},"after":{"id":2,"v":1},"source":{"no":2}}`},
			[]string{insert("2", "1", "0")}, nil, verifiedTable{Rows: 1, Delivered: 1, Same: 1}},
		{"its old key in another chain", []string{insert("1", "7", "3"), `{"op":"update",` + row("2") + `,"before":{"id":1},"after":{"id":2,"v":1},"source":{"no":2}}`},
			[]string{insert("1", "7", "0"), insert("2", "1", "0")}, nil, verifiedTable{Rows: 2, Delivered: 2, Same: 2}},
		{"left the filter", []string{insert("1", "1", "1"), `{"op":"update","change":"left",` + row("1") + `,"before":{"id":1},"source":{"no":2}}`}, nil, nil, verifiedTable{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			room := 100
			r := newReplica([]string{"id"}, &room)
			each := func(lines []string, do func(*verifyRecord) error) {
				for _, line := range lines {
					var rec verifyRecord
					if err := json.Unmarshal([]byte(line), &rec); err != nil {
						t.Fatal(err)
					}
					if err := do(&rec); err != nil {
						t.Fatal(err)
					}
				}
			}
			each(test.before, r.apply)
			each(test.source, r.compare)
			r.compared()
			each(test.later, r.apply)
			test.want.Table = "s.t"
			if got := r.verdict("s.t"); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestThereIsRoomForSoManyRows(t *testing.T) {
	room := 1
	r := newReplica([]string{"id"}, &room)
	one := func(id string) error {
		return r.apply(&verifyRecord{Op: "insert", Key: map[string]json.RawMessage{"id": json.RawMessage(id)}, After: map[string]json.RawMessage{"id": json.RawMessage(id)}})
	}
	if err := one("1"); err != nil {
		t.Error(err)
	}
	if err := one("1"); err != nil {
		t.Error(err)
	}
	if err := one("2"); err == nil {
		t.Error("there is room for another row")
	}
}

func TestPlacesInTheLogAreComparedByTheNumberOfTheFile(t *testing.T) {
	end := mysql.LogEnd{File: "binlog.1000000", Pos: 100}
	for _, test := range []struct {
		file string
		pos  uint64
		want bool
	}{{"binlog.999999", 500, false}, {"binlog.1000000", 99, false}, {"binlog.1000000", 100, true}, {"binlog.1000001", 4, true}} {
		if got := reached(test.file, test.pos, end); got != test.want {
			t.Errorf("%s:%d: %v", test.file, test.pos, got)
		}
	}
}
