package nats

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cdcd-project/cdcd/internal/envelope"
)

// record makes the message of one line of an object.
func (s *Store) record(key string, line int, text []byte) *nats.Msg {
	c := envelope.Read(text)
	h := nats.Header{nats.MsgIdHdr: {fmt.Sprintf("%s/%s#%d", s.subject, key, line)}, "content-type": {"application/json"}}
	if c.ID == "" {
		c.ID = fmt.Sprintf("%s#%d", key, line)
	}
	if c.CloudEvent { // the attributes are in the record itself
		h["content-type"] = []string{"application/cloudevents+json"}
	} else {
		h["ce-specversion"], h["ce-id"], h["ce-source"] = []string{"1.0"}, []string{headerText(c.ID)}, []string{"cdcd/" + headerText(s.cfg.Source)}
		h["ce-type"] = []string{"io.cdcd.change"}
		if c.Op != "" {
			h["ce-type"] = []string{"io.cdcd.change." + headerText(c.Op)}
		}
		if c.Table != "" {
			h["ce-subject"] = []string{headerText(c.Table)}
		}
		if !c.Time.IsZero() {
			h["ce-time"] = []string{c.Time.UTC().Format(time.RFC3339Nano)}
		}
	}
	subject := s.subject + "._"
	if schema, table, ok := strings.Cut(c.Table, "."); ok {
		subject = s.subject + "." + token(schema) + "." + token(table)
	}
	return &nats.Msg{Subject: subject, Header: h, Data: text}
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
