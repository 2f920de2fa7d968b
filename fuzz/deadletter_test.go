package fuzz

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// FuzzDeadLetter reads any text as a dead letter. What is accepted holds one event that can be judged, and comes back
// when it is written again.
func FuzzDeadLetter(f *testing.F) {
	table := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindInt64, Type: "int", Key: 1}, {Name: "status", Kind: cdc.KindEnum, Type: "enum('new')", Members: []string{"new"}}}}
	for _, op := range []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete} {
		var w cdc.Builder
		w.Reset(cdc.Header{Source: "shop", Epoch: 1<<32 | 5, FirstPartNo: 7})
		e := cdc.EventInfo{No: 7, Tx: w.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: time.Unix(1, 0)}), Table: w.AddTable(table), Op: op}
		row := func() uint32 {
			w.BeginRow(2)
			w.SetInt(0, 42)
			w.SetText(1, cdc.KindEnum, "new")
			return w.EndRow()
		}
		if op != cdc.OpInsert {
			e.Before = row()
		}
		if op != cdc.OpDelete {
			e.After = row()
		}
		w.AddEvent(e)
		b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			f.Fatal(err)
		}
		d := cdc.Decision{Event: b.Event(0), RuleSet: "sha256:1", Errors: []cdc.RuleError{{Rule: cdc.RuleMatch{Name: "paid"}, Err: errors.New("no")}}}
		line := deadletter.Append("acme")(nil, &d)
		l, err := deadletter.Parse(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line, l.Batch.Frame())
	}
	f.Add([]byte(`{"feed":"acme","seq":18446744073709551615,"errors":null,"frame":""}`), []byte{})
	f.Add([]byte(`{"feed":1,"frame":"AAAA"}`), []byte("CDCF"))
	f.Fuzz(func(t *testing.T, line, frame []byte) {
		checkLetter(t, line)
		// What is changed in a line's base64 hardly ever has the right checksum.
		checkLetter(t, []byte(`{"feed":"acme","seq":1,"frame":"`+base64.StdEncoding.EncodeToString(fixFrame(frame))+`"}`))
	})
}

func checkLetter(t *testing.T, line []byte) {
	l, err := deadletter.Parse(line)
	if err != nil {
		return
	}
	if l.Batch.Len() != 1 || l.Batch.Seq != l.Seq {
		t.Fatalf("%d events, frame %d of %d", l.Batch.Len(), l.Batch.Seq, l.Seq)
	}
	d := cdc.Decision{Event: l.Batch.Event(0), RuleSet: l.RuleSet}
	for i := range l.Errors {
		e := &l.Errors[i]
		policy := slices.IndexFunc(policies, func(p cdc.OnError) bool { return p.String() == e.OnError })
		if policy < 0 { // as in letters that do not say
			policy, e.OnError = 0, policies[0].String()
		}
		d.Errors = append(d.Errors, cdc.RuleError{Rule: cdc.RuleMatch{Name: e.Rule, Version: e.Version}, OnError: policies[policy], Err: &failure{e.Error, e.Code}})
	}
	for _, rule := range l.DeliveredBy {
		d.Matches = append(d.Matches, cdc.RuleMatch{Name: rule, To: []string{l.Feed}})
	}
	again := deadletter.Append(l.Feed)(nil, &d)
	if !json.Valid(again) {
		t.Fatalf("not JSON: %s", again)
	}
	m, err := deadletter.Parse(again)
	if err != nil {
		t.Fatalf("what was written can't be read: %v\n%s", err, again)
	}
	got, want := string(cdc.AppendEvent(nil, m.Batch.Event(0))), string(cdc.AppendEvent(nil, l.Batch.Event(0)))
	if got != want {
		t.Fatalf("event:\ngot  %s\nwant %s", got, want)
	}
	l.Batch, m.Batch = nil, nil
	if len(l.Errors) == 0 {
		l.Errors, m.Errors = nil, nil
	}
	if len(l.DeliveredBy) == 0 { // not known in letters of before, nobody in others
		l.DeliveredBy, m.DeliveredBy = nil, nil
	}
	if !reflect.DeepEqual(l, m) {
		t.Fatalf("got  %+v\nwant %+v", m, l)
	}
}

var policies = []cdc.OnError{cdc.DeadLetter, cdc.Skip, cdc.Halt}

// failure is an error with any text and any code.
type failure struct{ text, code string }

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return &cdc.Error{Code: f.code} }
