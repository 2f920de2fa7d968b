package pluginkit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// What a plugin can make of an event.
const (
	Keep    = "keep"
	Drop    = "drop"
	Failed  = "error" // it said that the event cannot be judged
	Trapped = "trap"  // it was stopped, or broke the rules of the interface
)

// Outcome is what a plugin made of an event, or has to. Edits are as they come out: of several of a column the last.
type Outcome struct {
	Verdict string                     `json:"verdict"`
	Set     map[string]json.RawMessage `json:"set,omitempty"`  // values of columns such as after.note, as they are delivered
	Drop    []string                   `json:"drop,omitempty"` // columns that are left out, sorted
	Tags    []string                   `json:"tags,omitempty"`
	Reason  string                     `json:"reason,omitempty"`
	Route   []string                   `json:"route,omitempty"` // feeds, sorted
	Error   string                     `json:"error,omitempty"` // the text of an error; the kind of a trap
}

// OutcomeOf returns what a verdict says about an event.
func OutcomeOf(e cdc.Event, v *cdc.Verdict) Outcome {
	var trap *wasm.Trap
	switch {
	case errors.As(v.Err, &trap) && trap.Kind == wasm.TrapRefused:
		return Outcome{Verdict: Failed, Error: cmp.Or(trap.Said, "it does not say why")}
	case errors.As(v.Err, &trap):
		return Outcome{Verdict: Trapped, Error: trap.Kind}
	case v.Err != nil:
		return Outcome{Verdict: Failed, Error: v.Err.Error()}
	case !v.Keep:
		return Outcome{Verdict: Drop}
	}
	o := Outcome{Verdict: Keep}
	if v.Edits == nil {
		return o
	}
	o.Tags, o.Reason, o.Route = v.Edits.Tags, v.Edits.Reason, v.Edits.To
	dropped := map[string]bool{}
	for _, edit := range v.Edits.Columns {
		name := "after." + edit.Column
		if edit.Before {
			name = "before." + edit.Column
		}
		delete(o.Set, name)
		delete(dropped, name)
		if edit.Drop {
			dropped[name] = true
			continue
		}
		if o.Set == nil {
			o.Set = map[string]json.RawMessage{}
		}
		t := e.Table()
		column := &cdc.Column{Kind: edit.Value.Kind()}
		if i := t.Column(edit.Column); i >= 0 {
			column = &t.Columns[i]
		}
		o.Set[name] = cdc.AppendJSON(nil, column, edit.Value)
	}
	o.Drop = slices.Sorted(maps.Keys(dropped))
	return o
}

// Equal reports whether both say the same.
func (o Outcome) Equal(p Outcome) bool { return len(o.diff(p)) == 0 && len(p.diff(o)) == 0 }

// meets says in what o is not what was expected. An error that is expected without a text may have any.
func (o Outcome) meets(want Outcome) []string {
	if want.Error == "" && want.Verdict == o.Verdict {
		want.Error = o.Error
	}
	return o.diff(want)
}

// diff lists in what o is not what is wanted.
func (o Outcome) diff(want Outcome) (lines []string) {
	differ := func(what, got, want string) {
		if got != want {
			lines = append(lines, fmt.Sprintf("%s %s, but should be %s", what, got, want))
		}
	}
	differ("the verdict is", o.Verdict, want.Verdict)
	if o.Verdict != want.Verdict {
		if o.Error != "" {
			lines[0] += ": " + o.Error
		}
		return lines
	}
	for _, name := range slices.Sorted(maps.Keys(both(o.Set, want.Set))) {
		got, wanted := o.Set[name], want.Set[name]
		switch {
		case got == nil:
			lines = append(lines, fmt.Sprintf("%s is not set, but should be %s", name, wanted))
		case wanted == nil:
			lines = append(lines, fmt.Sprintf("%s is set to %s, but should not be", name, got))
		case !sameJSON(got, wanted):
			lines = append(lines, fmt.Sprintf("%s is set to %s, but should be %s", name, got, wanted))
		}
	}
	differ("what is left out is", list(o.Drop), list(want.Drop))
	differ("the tags are", list(o.Tags), list(want.Tags))
	differ("the reason is", quoted(o.Reason), quoted(want.Reason))
	differ("the route is", list(o.Route), list(want.Route))
	differ("the error is", quoted(o.Error), quoted(want.Error))
	return lines
}

func both(a, b map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	maps.Copy(all, b)
	return all
}

func list(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func quoted(text string) string {
	if text == "" {
		return "none"
	}
	return "'" + text + "'"
}

// sameJSON compares two values, whatever the order of their members and the way they are written; numbers by their digits.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return decode(a, &x) == nil && decode(b, &y) == nil && bytes.Equal(jsonOf(x), jsonOf(y))
}

func decode(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(into)
}

// yaml writes an outcome as the value of `expect`, on one line.
func (o Outcome) yaml() string {
	var fields []string
	add := func(key, value string) { fields = append(fields, key+": "+value) }
	add("verdict", o.Verdict)
	if len(o.Set) > 0 {
		var set []string
		for _, name := range slices.Sorted(maps.Keys(o.Set)) {
			set = append(set, flowText(name)+": "+flow(o.Set[name]))
		}
		add("set", "{"+strings.Join(set, ", ")+"}")
	}
	addList := func(key string, texts []string) {
		if len(texts) > 0 {
			add(key, flow(jsonOf(texts)))
		}
	}
	addList("drop", o.Drop)
	addList("tags", o.Tags)
	if o.Reason != "" {
		add("reason", flowText(o.Reason))
	}
	addList("route", o.Route)
	if o.Error != "" {
		add("error", flowText(o.Error))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// String returns the outcome as tests write it.
func (o Outcome) String() string { return o.yaml() }
