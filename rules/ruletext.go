package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// RuleText is the text of one rule while somebody writes it: as it stands in a file, one entry of the list with the comments above
// it. It need not be right, nor complete. It is immutable, and may be used by many goroutines at once.
type RuleText struct {
	Text  string
	Rule  *Rule    // nil while something is wrong with it
	Found Findings // what is wrong with it, before any table is known

	doc   *strictyaml.Doc
	place strictyaml.Place

	judge sync.Once
	set   *Set // of the rule alone, judged whatever its mode
}

const draftFile = "rule"

// ReadRuleText reads the text of a rule.
func ReadRuleText(text string) *RuleText {
	d := &RuleText{Text: text}
	src := []byte(textHead + text)
	var any struct {
		Version int   `yaml:"version"`
		Rules   []any `yaml:"rules"`
	}
	d.doc, _ = strictyaml.Decode(draftFile, src, &any, strictyaml.Config{Codes: codes, MaxBytes: 16 << 20}) // parse says what is wrong
	d.place = d.doc.At("rules", 0)
	rs, err := Parse(draftFile, src)
	if err != nil && !errors.As(err, &d.Found) {
		d.Found = Findings{d.place.Error(codeSyntax, err.Error())}
	}
	switch n := len(any.Rules); {
	case n > 1:
		d.Found = append(d.Found, d.doc.At("rules", 1).Error(codeDuplicate, "a second rule begins here").Hint("write one rule at a time"))
	case n == 1 && len(rs) == 1 && len(d.Found) == 0:
		d.Rule = rs[0]
	case len(d.Found) == 0:
		d.Found = append(d.Found, d.place.Error(codeSyntax, "this is not a rule").Hint("begin it with: - name: paid-big-order"))
	}
	return d
}

// Fields returns the rule as it is written, as JSON with the keys of rule files: also while it has mistakes, as far as it is YAML.
func (d *RuleText) Fields() map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	for _, key := range d.place.Keys() {
		if text, err := d.place.At(key).JSON(); err == nil {
			fields[key] = text
		}
	}
	return fields
}

// Condition returns the text of a condition: of when, where or having; "" when there is none.
func (d *RuleText) Condition(key string) string { return d.place.At(key).Text() }

// ConditionAt returns the condition that a byte of the text is in, and which byte of the condition that is; "" when it is in none.
func (d *RuleText) ConditionAt(at int) (key string, offset int) {
	for _, key := range conditionKeys {
		if offset, ok := d.place.At(key).OffsetIn(at + len(textHead)); ok {
			return key, offset
		}
	}
	return "", 0
}

var conditionKeys = []string{"when", "where", "having"}

// Mark is where a finding stands, in bytes.
type Mark struct {
	From, To int // of the text
	Line     int // of the text, from 1
	Key      string
	KeyFrom  int // of the condition that it is in, if Key names one
	KeyTo    int
}

// Mark returns where a finding about the draft stands.
func (d *RuleText) Mark(f *Finding) Mark {
	from, to := d.doc.Span(f)
	clamp := func(at int) int { return min(max(at-len(textHead), 0), len(d.Text)) }
	m := Mark{From: clamp(from), To: clamp(to), Line: max(f.Line-TextLine+1, 1)}
	for _, key := range conditionKeys {
		if from, to, ok := d.place.At(key).Within(f); ok {
			m.Key, m.KeyFrom, m.KeyTo = key, from, to
		}
	}
	return m
}

// Edits returns the edits of a finding, of the draft's text.
func (d *RuleText) Edits(f *Finding) []strictyaml.Edit {
	var edits []strictyaml.Edit
	for _, e := range f.Edits {
		if e.From < len(textHead) {
			return nil
		}
		e.From, e.To = e.From-len(textHead), e.To-len(textHead)
		edits = append(edits, e)
	}
	return edits
}

// Mended returns the text with the edits of a finding made.
func (d *RuleText) Mended(f *Finding) string {
	src, _ := strictyaml.Apply([]byte(textHead+d.Text), Findings{f})
	return string(src[min(len(textHead), len(src)):])
}

// Check returns all that is wrong with the draft and what is worth saying, given the tables, as [Set.Check] does. Whatever its
// mode, what would keep it from being published is an error.
func (d *RuleText) Check(tables []*cdc.Table, looked ...*cdc.Table) Findings {
	if d.Rule == nil {
		return d.Found
	}
	r := d.Rule
	if r.Mode == Draft {
		on := *r
		on.Mode = Shadow
		r = &on
	}
	set, err := New([]*Rule{r})
	if err != nil {
		return Findings{d.place.Error(codeValue, err.Error())}
	}
	found, _ := set.Check(tables, looked...)
	return found
}

// Judging returns the set of the draft alone, which judges whatever the rule's mode is, and remembers what it has compiled; nil
// while the draft has mistakes.
func (d *RuleText) Judging() *Set {
	d.judge.Do(func() {
		if d.Rule == nil {
			return
		}
		if set, err := New([]*Rule{d.Rule}); err == nil {
			d.set = set.As(Shadow)
		}
	})
	return d.set
}

// Verdict is what a rule makes of an event, in short.
type Verdict struct {
	Outcome Outcome  `json:"outcome"`
	Change  string   `json:"change,omitempty"` // of rules with where that match: entered, stayed or left
	Error   *Problem `json:"error,omitempty"`
}

// Judge says what a rule of the set makes of an event. Of a rule whose plugin or look-ups have a say, that is what its condition
// makes of it, and undecided if it lets the event through.
func (s *Set) Judge(e cdc.Event, rule string) (Verdict, error) {
	i := slices.IndexFunc(s.rules, func(r *Rule) bool { return r.Name == rule })
	if i < 0 {
		return Verdict{}, s.noRule(rule)
	}
	return s.rules[i].verdict(s.Decide(e)), nil
}

// Verdicts says it of all rules that are judged, in the order of the set; those for other tables and operations are left out.
func (s *Set) Verdicts(e cdc.Event) map[string]Verdict {
	out := map[string]Verdict{}
	d := s.Decide(e)
	for _, r := range s.rules {
		if v := r.verdict(d); r.judged() && v.Outcome != OtherTable && v.Outcome != OtherOp {
			out[r.Name] = v
		}
	}
	return out
}

func (r *Rule) verdict(d cdc.Decision) Verdict {
	x := r.explain(d)
	v := Verdict{Outcome: x.Outcome, Change: x.Change, Error: x.Error}
	drops := slices.ContainsFunc(r.Lookups, func(l *Lookup) bool { return l.Missing != MissingNull })
	if v.Outcome == Matched && (r.Filter != nil || r.Having != "" || drops) {
		v.Outcome = Undecided
	}
	return v
}

// Asks is "sha256:…" over all that decides which changes the rule matches, and when it was put otherwise is another: mode,
// feeds, what is shown of a match and what becomes of errors do not count.
func (r *Rule) Asks() string {
	other := *r
	other.Name, other.Mode, other.To, other.Show, other.OnError = "", Active, nil, nil, 0
	return digest("asks\n" + other.canonical())
}

// fieldOrder is in which order keys that are added are put.
var fieldOrder = []string{"name", "description", "owner", "tables", "on", "when", "where", "filter", "lookup", "having", "mask", "select", "to", "mode",
	"on_error", "functions", "tests"}

// Set returns the text with a field changed, which is given as JSON as [RuleText.Fields] has it; null removes it. Comments and layout
// stay. What the field's value is worth is not asked: reading the text says so.
func (d *RuleText) Set(field string, value []byte) (string, error) {
	if !slices.Contains(fieldOrder, field) {
		e := cdc.Errorf(codeForm, "a rule has no field '%s'", clip(field))
		if near, ok := strictyaml.Nearest(field, fieldOrder); ok {
			return "", e.WithFix("did you mean '%s'?", near)
		}
		return "", e.WithFix("one of %s", strings.Join(fieldOrder, ", "))
	}
	var text string
	if slices.Contains(conditionKeys, field) && json.Unmarshal(value, &text) == nil {
		if text = strings.TrimSpace(text); text == strings.TrimSpace(d.Condition(field)) && text != "" {
			return d.Text, nil
		}
		if strings.Contains(text, "\n") || strings.HasSuffix(d.Condition(field), "\n") {
			text += "\n"
		}
		value, _ = json.Marshal(text)
		if strings.TrimSpace(text) == "" {
			value = []byte("null")
		}
	}
	src, err := d.place.At(field).Set(value, fieldOrder...)
	if err != nil {
		return "", cdc.Errorf(codeForm, "the field '%s' cannot be changed: %w", field, err).WithFix("change it in the text of the rule")
	}
	if !strings.HasPrefix(string(src), textHead) {
		return "", fmt.Errorf("set %s: the text begins otherwise", field)
	}
	return string(src[len(textHead):]), nil
}

// UnknownFeed is the finding that the rule names a feed that the configuration does not have.
func (d *RuleText) UnknownFeed(name string, feeds []string) *Finding {
	at := d.place.At("to")
	for i := range len(d.Rule.To) {
		if item := at.At(i); item.Text() == name {
			at = item
		}
	}
	f := at.Error(codeValue, fmt.Sprintf("there is no feed '%s'", clip(name)))
	if near, ok := strictyaml.Nearest(name, feeds); ok {
		f.Hint("did you mean '%s'?", near)
		if e, ok := at.EditAt(0, len(at.Text()), near); ok {
			f.Edits = []strictyaml.Edit{e}
		}
		return f
	}
	return f.Hint("there are %s", some(feeds, "and"))
}

// AsFile returns a rule file that has this rule alone.
func (d *RuleText) AsFile() string { return textHead + d.Text }
