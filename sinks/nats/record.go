package nats

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// record makes the message of one line of an object.
func (s *Store) record(key string, line int, text []byte) *nats.Msg {
	c := describe(text)
	h := nats.Header{nats.MsgIdHdr: {fmt.Sprintf("%s/%s#%d", s.subject, key, line)}, "content-type": {"application/json"}}
	if c.id == "" {
		c.id = fmt.Sprintf("%s#%d", key, line)
	}
	if c.structured { // the attributes are in the record itself
		h["content-type"] = []string{"application/cloudevents+json"}
	} else {
		h["ce-specversion"], h["ce-id"], h["ce-source"] = []string{"1.0"}, []string{headerText(c.id)}, []string{"cdcd/" + headerText(s.cfg.Source)}
		h["ce-type"] = []string{"io.cdcd.change"}
		if c.op != "" {
			h["ce-type"] = []string{"io.cdcd.change." + headerText(c.op)}
		}
		if c.table != "" {
			h["ce-subject"] = []string{headerText(c.table)}
		}
		if !c.time.IsZero() {
			h["ce-time"] = []string{c.time.UTC().Format(time.RFC3339Nano)}
		}
	}
	subject := s.subject + "._"
	if schema, table, ok := strings.Cut(c.table, "."); ok {
		subject = s.subject + "." + token(schema) + "." + token(table)
	}
	return &nats.Msg{Subject: subject, Header: h, Data: text}
}

// change is what the headers of a record say.
type change struct {
	id, table, op string
	time          time.Time
	structured    bool // a CloudEvent in JSON
}

// describe reads what it can of a record in any of the envelopes.
func describe(text []byte) change {
	var r struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Op          string          `json:"op"`
		Table       string          `json:"table"`
		CommitTime  time.Time       `json:"commit_time"`
		Subject     string          `json:"subject"`
		Payload     json.RawMessage `json:"payload"`
		Source      json.RawMessage `json:"source"`
	}
	if json.Unmarshal(text, &r) != nil && r.ID == "" {
		return change{}
	}
	if len(r.Payload) > 2 { // Debezium's with its schema
		return describe(r.Payload)
	}
	c := change{id: r.ID, table: r.Table, op: r.Op, time: r.CommitTime, structured: r.SpecVersion != ""}
	var from struct {
		DB    string `json:"db"`
		Table string `json:"table"`
		TsUs  int64  `json:"ts_us"`
	}
	if c.table == "" && json.Unmarshal(r.Source, &from) == nil && from.Table != "" {
		c.table, c.time = from.DB+"."+from.Table, time.UnixMicro(from.TsUs)
	}
	if c.structured && c.table == "" {
		c.table = r.Subject
	}
	return c
}

// headerText makes a text one that a header can have, as CloudEvents' bindings do.
func headerText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// token makes a text one token of a subject.
func token(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(".*>%/", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	return b.String()
}

// markerSubject returns the subject of a key's marker, a token for each step of its path.
func (s *Store) markerSubject(key string) string {
	steps := strings.Split(key, "/")
	for i := range steps {
		steps[i] = token(steps[i])
	}
	return markers + "." + s.subject + "." + strings.Join(steps, ".")
}

// keyOf is the inverse of markerSubject.
func (s *Store) keyOf(subject string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(subject, markers+"."+s.subject+".")
	if !ok {
		return "", false
	}
	steps := strings.Split(rest, ".")
	for i, step := range steps {
		var err error
		if steps[i], err = url.PathUnescape(step); err != nil {
			return "", false
		}
	}
	return strings.Join(steps, "/"), true
}
