package envelope

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Record is what a record says of itself.
type Record struct {
	ID     string
	Op     string
	Table  string   // schema.table
	Key    []string // values of the primary key as text, in its order; nil when the record does not tell them
	Time   time.Time
	Feed   string
	Source string   // name of the source
	PartNo uint64   // 0 when it is not told
	Rules  []string // names of those that it matched

	CloudEvent bool // the record is one, with attributes of its own
}

// record is all that Read looks at.
type record struct {
	ID    string          `json:"id"` // cdcd
	Op    string          `json:"op"`
	Table string          `json:"table"`
	Key   json.RawMessage `json:"key"`
	Time  time.Time       `json:"commit_time"`
	Feed  string          `json:"feed"`
	Rules named           `json:"rules"`

	Source json.RawMessage `json:"source"` // an object, in CloudEvents a text

	SpecVersion  string    `json:"specversion"` // CloudEvents
	Subject      string    `json:"subject"`
	At           time.Time `json:"time"`
	PartitionKey string    `json:"partitionkey"`
	Sequence     string    `json:"sequence"`
	EventOp      string    `json:"cdcdop"`
	Data         struct {
		Rules named `json:"rules"`
	} `json:"data"`

	Payload json.RawMessage `json:"payload"` // Debezium, with its schema
	Ext     struct {
		ID     string          `json:"id"`
		Op     string          `json:"op"`
		Key    json.RawMessage `json:"key"`
		Feed   string          `json:"feed"`
		PartNo uint64          `json:"part_no"`
		Rules  named           `json:"rules"`
	} `json:"cdcd"`
}

// named is rules, of which only the names are read.
type named []struct {
	Name string `json:"name"`
}

func (n named) names() (all []string) {
	for _, one := range n {
		all = append(all, one.Name)
	}
	return all
}

// origin is the source of a record of cdcd's or Debezium's.
type origin struct {
	Name   string `json:"name"`
	PartNo uint64 `json:"part_no"`
	DB     string `json:"db"`
	Table  string `json:"table"`
	Micro  int64  `json:"ts_us"`
	Milli  int64  `json:"ts_ms"`
}

// Read reads a record: the bytes between two newlines, or a row of CSV. What cannot be read is zero.
func Read(text []byte) Record {
	var r record
	if json.Unmarshal(text, &r) != nil {
		return readRow(text)
	}
	if len(r.Payload) > 2 && r.Table == "" && r.SpecVersion == "" && json.Unmarshal(r.Payload, &r) != nil {
		return Record{}
	}
	if r.SpecVersion != "" {
		return r.cloudEvent()
	}
	var from origin
	_ = json.Unmarshal(r.Source, &from) // what it does not say is not told
	if r.Table == "" && from.Table != "" {
		return Record{ID: r.Ext.ID, Op: cmp.Or(r.Ext.Op, r.Op), Table: from.DB + "." + from.Table, Key: values(r.Ext.Key),
			Time: time.UnixMicro(cmp.Or(from.Micro, from.Milli*1000)).UTC(), Feed: r.Ext.Feed, Source: from.Name, PartNo: r.Ext.PartNo, Rules: r.Ext.Rules.names()}
	}
	return Record{ID: r.ID, Op: r.Op, Table: r.Table, Key: values(r.Key), Time: r.Time.UTC(), Feed: r.Feed, Source: from.Name, PartNo: from.PartNo,
		Rules: r.Rules.names()}
}

func (r *record) cloudEvent() Record {
	out := Record{ID: r.ID, Op: r.EventOp, Table: r.Subject, Key: values([]byte(r.PartitionKey)), Time: r.At.UTC(), Rules: r.Data.Rules.names(), CloudEvent: true}
	var source string // cdcd/<source>/<feed>
	_ = json.Unmarshal(r.Source, &source)
	if name, ok := strings.CutPrefix(source, "cdcd/"); ok {
		out.Source, out.Feed, _ = strings.Cut(name, "/")
	}
	out.PartNo, _ = strconv.ParseUint(r.Sequence, 10, 64)
	return out
}

// readRow reads a row of CSV: id, op, change, commit_time, table, feed, rules, tags, key, and what is of the table.
func readRow(text []byte) Record {
	row, err := csv.NewReader(bytes.NewReader(text)).Read()
	if err != nil || len(row) < 9 {
		return Record{}
	}
	at, err := time.Parse(time.RFC3339Nano, row[3])
	if err != nil {
		return Record{}
	}
	r := Record{ID: row[0], Op: row[1], Time: at.UTC(), Table: row[4], Feed: row[5], Key: values([]byte(row[8]))}
	var rules named
	_ = json.Unmarshal([]byte(row[6]), &rules) // what it does not say is not told
	r.Rules = rules.names()
	return r
}

// values returns the values of a JSON object as text, in their order.
func values(object []byte) (out []string) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		var value json.RawMessage
		if _, err := d.Token(); err != nil {
			return nil
		}
		if err := d.Decode(&value); err != nil {
			return nil
		}
		var text string
		if json.Unmarshal(value, &text) != nil || string(value) == "null" {
			text = string(value)
		}
		out = append(out, text)
	}
	return out
}
