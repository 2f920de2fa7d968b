package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/person"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// letterJudge judges letters by the rules that could not judge them, as they are now.
type letterJudge struct {
	p       *pipeline
	plugins *plugins
	feed    *feed
	set     *rules.Set
	engines map[string]*judging // by the names of the rules
}

// judging is an engine over some rules, and what it made of the last event.
type judging struct {
	*engine.Engine
	last cdc.Decision
	some bool
}

// judged is a decision and what it comes to.
type judged struct {
	cdc.Decision
	outcome string
}

// Write implements [engine.Sink], for letters and for what is delivered: what there is to know comes by Observe.
func (j *judging) Write(context.Context, *cdc.Batch, []cdc.Decision) error { return nil }

func (j *letterJudge) Close() {
	for _, e := range j.engines {
		if e != nil {
			e.Close()
		}
	}
}

// engine returns what judges by the rules of these names; nil if there are none.
func (j *letterJudge) engine(names []string) (*judging, error) {
	key := strings.Join(names, "\x00")
	if e, ok := j.engines[key]; ok {
		return e, nil
	}
	var some []*rules.Rule
	for _, r := range j.set.Rules() {
		if slices.Contains(names, r.Name) && (len(r.To) == 0 || slices.Contains(r.To, j.feed.name)) {
			some = append(some, r)
		}
	}
	j.engines[key] = nil
	if len(some) == 0 {
		return nil, nil
	}
	set, err := rules.New(some)
	if err != nil {
		return nil, err
	}
	e := &judging{}
	e.Engine, err = engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{j.feed.name: e}, DeadLetter: e, Filter: j.plugins.engineFilter,
		Lookup: sourceLookups{j.p.lookups.of(j.feed.name)},
		Observe: func(_ *cdc.Batch, ds []cdc.Decision) {
			if len(ds) > 0 {
				e.last, e.some = ds[0], true
			}
		}})
	if err != nil {
		return nil, err
	}
	j.engines[key] = e
	return e, nil
}

// sourceLookups asks the source as it is now. Nothing is kept: the answers kept for the frame are of all its changes together.
type sourceLookups struct{ feed *feedLookups }

func (s sourceLookups) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	return s.feed.source(ctx, q)
}

// judge judges the one event of a batch.
func (j *letterJudge) judge(ctx context.Context, names []string, b *cdc.Batch) (d judged, why string, err error) {
	e, err := j.engine(names)
	if err != nil {
		return d, "", err
	}
	if e == nil {
		d.outcome = letterNoRule
		return d, "there is no rule " + strings.Join(names, ", ") + " for this feed any more: name it so again, or discard the letter", nil
	}
	e.last, e.some = cdc.Decision{}, false
	if err := e.Handle(ctx, b); cdc.CodeOf(err) == "CDCD-5001" { // on_error: halt
		d.outcome = letterFails
		return d, err.Error(), nil
	} else if err != nil {
		return d, "", err
	}
	d.Decision = e.last
	d.RuleSet = j.set.Digest()
	for _, failed := range d.Errors {
		if failed.OnError == cdc.DeadLetter {
			d.outcome = letterFails
			return d, fmt.Sprintf("rule %s: %s", failed.Rule.Name, failed.Err), nil
		}
	}
	d.outcome = letterNoMatch
	if slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, j.feed.name) }) {
		d.outcome = letterMatches
	}
	return d, "", nil
}

// codeSecretEdit: a correction of a column whose values are nowhere as they are.
const codeSecretEdit = "CDCD-4606"

// secretColumn says how a column is kept from being read: "" when it is not. A value that somebody types for it would lie beside the
// letter as it is, be delivered as it is, and outlive the person.
func secretColumn(cfg *config, t *cdc.Table, column string) string {
	if kind := person.Seals(cfg.persons(), t, column); kind != "" {
		return "sealed for each " + kind
	}
	for _, m := range cfg.methods() {
		for _, text := range m.columns {
			if g, err := cdc.ParseColumnGlob(text); err == nil && g.Match(t.Schema, t.Name, column) {
				return "masked with " + string(m.method)
			}
		}
	}
	return ""
}

// editLetter returns a letter's event with corrected values: {"before":{column: value},"after":{…}}, values as records have them.
func editLetter(cfg *config, l *deadletter.Letter, text []byte) (*cdc.Batch, error) {
	e := l.Batch.Event(0)
	t := e.Table()
	wrong := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-4602", "the correction of dead letter %s cannot be made: %w", l.ID(), fmt.Errorf(format, args...)).
			WithFix(`write the values that are to be others, as cdcd dlq show has them: {"after": {"column": value}}`)
	}
	set, err := objectOf(text, "before", "after")
	if err != nil {
		return nil, wrong("%w", err)
	}
	if len(set) == 0 {
		return nil, wrong("it corrects nothing")
	}
	images := map[string]map[string]json.RawMessage{}
	for image, text := range set {
		if images[image], err = objectOf(text); err != nil {
			return nil, wrong("'%s': %w", image, err)
		}
	}
	values := map[[2]int]cdc.Value{} // after, column
	for side, columns := range []map[string]json.RawMessage{images["before"], images["after"]} {
		image, row := "before", e.Before()
		if side == 1 {
			image, row = "after", e.After()
		}
		if len(columns) == 0 {
			continue
		}
		if !row.Exists() {
			return nil, wrong("the event has no '%s'", image)
		}
		for _, name := range slices.Sorted(maps.Keys(columns)) {
			secret := secretColumn(cfg, t, name)
			switch i := t.Column(name); {
			case i < 0:
				return nil, wrong("%s has no column '%s'", t, name)
			case t.Columns[i].Key != 0:
				return nil, wrong("column '%s' is part of the key: it would be another row", name)
			case secret != "":
				return nil, cdc.Errorf(codeSecretEdit, "the correction of dead letter %s names column '%s' of %s, which is %s: what is typed would be kept and delivered as it is", l.ID(), name, t, secret).
					WithFix("correct the row in the database, whose change is captured as it should be, and discard the letter; `cdcd errors %s` says more", codeSecretEdit)
			}
		}
		// It is read as the record of an insert, which needs nothing but these columns.
		record, err := json.Marshal(map[string]any{"id": "x/0", "op": "insert", "table": t.String(), "after": columns,
			"source": map[string]any{"file": "x"}, "commit_time": e.CommitTime()})
		if err != nil {
			return nil, wrong("%w", err)
		}
		read, err := rules.ParseEvent(record, []*cdc.Table{t})
		if err != nil {
			return nil, wrong("%w", err)
		}
		for name := range columns {
			i := t.Column(name)
			values[[2]int{side, i}] = read.After().Value(i)
		}
	}
	b, err := l.Edited(func(after bool, column int) (cdc.Value, bool) {
		side := 0
		if after {
			side = 1
		}
		v, ok := values[[2]int{side, column}]
		return v, ok
	})
	if err != nil {
		return nil, wrong("%w", err)
	}
	return b, nil
}

// objectOf reads a JSON object with each name once, and only these names if any are given.
func objectOf(text []byte, names ...string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not an object: {…}")
	}
	object := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		switch _, twice := object[name]; {
		case err != nil:
			return nil, errors.New("it is not JSON")
		case twice:
			return nil, fmt.Errorf("it has '%s' twice", name)
		case len(names) > 0 && !slices.Contains(names, name):
			return nil, fmt.Errorf("it has '%s', where %s may stand", name, strings.Join(names, " or "))
		}
		object[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something comes behind it")
	}
	return object, nil
}
