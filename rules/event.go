package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// eventSpec is an event that was written down, with values in the form in which they are delivered.
type eventSpec struct {
	op            cdc.Op
	before, after map[string]any
	captured      bool   // a column that is not given was not in the row image; else it is NULL if it may be
	source        string // these and the rest are made up when there is no tx
	tx            cdc.Tx //
	row           uint32 //
	no, partNo    uint64 //
}

// fixtureTime is when the transactions of events without a time committed.
var fixtureTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newEvent builds an event. fail makes the finding about a value.
func newEvent(t *cdc.Table, s eventSpec, fail func(image, column, msg, hint string) *Finding) (cdc.Event, *Finding) {
	if s.tx == (cdc.Tx{}) {
		s.source, s.tx, s.no, s.partNo = "test", cdc.Tx{GTID: "0-1-1", CommitTime: fixtureTime, Rows: 1, Ends: true}, 1, 1
	}
	var b cdc.Builder
	b.Reset(cdc.Header{Source: s.source, FirstPartNo: s.partNo})
	info := cdc.EventInfo{No: s.no, Op: s.op, Tx: b.AddTx(s.tx), Row: s.row, Table: b.AddTable(t)}
	for _, img := range [...]struct {
		name   string
		values map[string]any
		at     *uint32
	}{{beforeVar, s.before, &info.Before}, {afterVar, s.after, &info.After}} {
		if img.values == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(img.values)) {
			if t.Column(name) >= 0 {
				continue
			}
			hint := ""
			if near, ok := nearest(name, columnNames(t)); ok {
				hint = fmt.Sprintf("did you mean '%s'?", near)
			}
			return cdc.Event{}, fail(img.name, name, fmt.Sprintf("%s has no column '%s'", t.Name, clip(name)), hint)
		}
		b.BeginRow(len(t.Columns))
		for i := range t.Columns {
			c := &t.Columns[i]
			x, given := img.values[c.Name]
			switch {
			case !given && c.Nullable && !s.captured:
				b.SetNull(i)
				continue
			case !given:
				continue // absent: reading it fails, and the test says so
			}
			v, hint := fixtureValue(c, x)
			if hint != "" {
				shown, _ := json.Marshal(x)
				return cdc.Event{}, fail(img.name, c.Name, fmt.Sprintf("%s is not a value of %s (%s)", clip(string(shown)), c.Name, sqlType(c)), hint)
			}
			b.Set(i, v)
		}
		*img.at = b.EndRow()
	}
	b.AddEvent(info)
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{s.partNo + 1}}), nil)
	if err != nil {
		return cdc.Event{}, fail(afterVar, "", err.Error(), "")
	}
	return batch.Event(0), nil
}

// recordJSON is a delivered record, or the event of a test.
type recordJSON struct {
	ID         string         `json:"id"`
	Op         string         `json:"op"`
	Table      string         `json:"table"`
	Before     map[string]any `json:"before"`
	After      map[string]any `json:"after"`
	CommitTime time.Time      `json:"commit_time"`
	Source     *struct {
		Name   string `json:"name"`
		GTID   string `json:"gtid"`
		File   string `json:"file"`
		Pos    uint64 `json:"pos"`
		Row    uint32 `json:"row"`
		No     uint64 `json:"no"`
		PartNo uint64 `json:"part_no"`
	} `json:"source"`

	// What rules and feeds add to a record says nothing about the event.
	Feed   json.RawMessage `json:"feed"`
	Rules  json.RawMessage `json:"rules"`
	Tags   json.RawMessage `json:"tags"`
	Change json.RawMessage `json:"change"`
	Key    json.RawMessage `json:"key"`
}

var recordKeys = []string{"id", "op", "table", "before", "after", "commit_time", "source", "feed", "rules", "tags", "change", "key"}

// ParseEvent reads an event from JSON: a delivered record or a line of `cdcd tail`, which is the event with its identity
// again, or the event of a test, which needs no more than op, before and after. tables say what the columns are; an event
// that names no table is of the only one. In a record a column that is missing was not in the row image; in the event
// of a test it is NULL if it may be. CDCD-2134 says what cannot be read.
func ParseEvent(text []byte, tables []*cdc.Table) (cdc.Event, error) {
	wrong := func(format string, args ...any) *cdc.Error {
		return cdc.Errorf(codeEvent, "the event cannot be read: "+format, args...)
	}
	var r recordJSON
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		msg := strings.TrimPrefix(err.Error(), "json: ")
		var key string
		if _, scanned := fmt.Sscanf(msg, "unknown field %q", &key); scanned == nil {
			e := wrong("unknown member '%s'", clip(key))
			if near, ok := strictyaml.Nearest(key, recordKeys); ok {
				return cdc.Event{}, e.WithFix("did you mean '%s'?", near)
			}
			return cdc.Event{}, e.WithFix("write a delivered record, or the event of a test: {\"op\": \"update\", \"before\": {…}, \"after\": {…}}")
		}
		return cdc.Event{}, wrong("%s", msg).WithFix("write a delivered record, or the event of a test: {\"op\": \"update\", \"before\": {…}, \"after\": {…}}")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return cdc.Event{}, wrong("there is more than one").WithFix("give one JSON object")
	}
	op, ok := cdc.ParseOp(r.Op)
	if !ok {
		return cdc.Event{}, wrong("'%s' is not an operation", clip(r.Op)).WithFix("op is one of %s", strings.Join(opNames, ", "))
	}
	t, err := tableOf(r.Table, tables)
	if err != nil {
		return cdc.Event{}, wrong("%s", err.What).WithFix("%s", err.Fix)
	}
	for i, given := range [...]bool{r.Before != nil, r.After != nil} {
		switch e := wrong("%s needs '%s'", article(op), images[i]); {
		case given && !hasImage(op, i):
			return cdc.Event{}, wrong("%s has no '%s'", article(op), images[i])
		case given || !hasImage(op, i):
		case r.Change != nil: // it is not for the partner to see
			return cdc.Event{}, e.WithFix("the record is one of a filter; take the event from the stream: --event %s", clip(r.ID))
		default:
			return cdc.Event{}, e
		}
	}
	spec := eventSpec{op: op, before: r.Before, after: r.After, captured: r.Source != nil}
	if s := r.Source; s != nil {
		server, _ := strings.CutSuffix(r.ID, fmt.Sprintf(":%s:%d/%d", s.File, s.Pos, s.Row)) // of servers without GTIDs
		if s.GTID != "" {
			server = ""
		}
		spec.source, spec.row, spec.no, spec.partNo = s.Name, s.Row, s.No, s.PartNo
		spec.tx = cdc.Tx{Server: server, GTID: s.GTID, File: s.File, Pos: s.Pos, CommitTime: r.CommitTime}
	} else if !r.CommitTime.IsZero() {
		spec.source, spec.no, spec.partNo = "test", 1, 1
		spec.tx = cdc.Tx{GTID: "0-1-1", CommitTime: r.CommitTime, Rows: 1, Ends: true}
	}
	e, fail := newEvent(t, spec, func(image, column, msg, hint string) *Finding {
		return &Finding{Msg: fmt.Sprintf("%s.%s: %s", image, column, msg), Suggestion: hint}
	})
	if fail != nil {
		return cdc.Event{}, wrong("%s", fail.Msg).WithFix("%s", fail.Suggestion)
	}
	return e, nil
}

// tableOf returns the table of a name, or the only one there is.
func tableOf(name string, tables []*cdc.Table) (*cdc.Table, *cdc.Error) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.String()
		if names[i] == name {
			return t, nil
		}
	}
	switch near, ok := nearest(name, names); {
	case name == "" && len(tables) == 1:
		return tables[0], nil
	case name == "":
		return nil, cdc.Errorf(codeEvent, "it does not say of which table").WithFix("write \"table\": \"shop.orders\"")
	case ok:
		return nil, cdc.Errorf(codeEvent, "no known table is called '%s'", clip(name)).WithFix("did you mean '%s'?", near)
	}
	return nil, cdc.Errorf(codeEvent, "no known table is called '%s'", clip(name))
}
