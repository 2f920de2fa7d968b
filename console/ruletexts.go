package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// ruleTexts are the operations on texts that nobody has published. They change nothing.
func (c *Console) ruleTexts() {
	texts := &textCache{kept: map[string]*rules.RuleText{}}
	type check struct{ Body api.RuleText }
	add(c, operation{kind: "rules.check", method: http.MethodPost, path: "/rules/check", role: api.Viewer, most: 2 << 20,
		summary: "Check a rule's text as it is being written", text: "Answers in some milliseconds, so it can be asked at each keystroke. With set, fields are changed first: the answer has the text then."},
		func(ctx context.Context, in *check) (api.CheckedRule, error) {
			d, err := texts.read(in.Body)
			if err != nil {
				return api.CheckedRule{}, err
			}
			return c.checked(ctx, d), nil
		})
	type form struct {
		Body struct {
			api.RuleText
			DropTests []string `json:"drop_tests,omitempty" doc:"Names of tests to take out."`
		}
	}
	add(c, operation{kind: "rules.form", method: http.MethodPost, path: "/rules/form", role: api.Viewer, most: 2 << 20,
		summary: "Change fields of a rule's text, with comments and layout kept"},
		func(ctx context.Context, in *form) (api.CheckedRule, error) {
			d, err := texts.read(in.Body.RuleText)
			if err == nil && len(in.Body.DropTests) > 0 {
				d, err = dropTests(d, in.Body.DropTests)
			}
			if err != nil {
				return api.CheckedRule{}, err
			}
			return c.checked(ctx, d), nil
		})
	type complete struct {
		Body struct {
			api.RuleText
			Key string `json:"key,omitempty" enum:"when,where,having" doc:"The condition that is completed; without it, the text is."`
			At  int    `json:"at" minimum:"0" doc:"Where the cursor is, in UTF-16 code units of the condition, or of the text."`
		}
	}
	add(c, operation{kind: "rules.complete", method: http.MethodPost, path: "/rules/complete", role: api.Viewer, most: 2 << 20, summary: "What may be written at a place of a rule's text"},
		func(ctx context.Context, in *complete) (api.Completion, error) {
			d, err := texts.read(in.Body.RuleText)
			if err != nil {
				return api.Completion{}, err
			}
			known, _ := c.cfg.Backend.Trials.Known(ctx) // what is known will do
			text, found := d.Text, rules.Completion{}
			if in.Body.Key != "" {
				text = d.Condition(in.Body.Key)
				found = d.CompleteCondition(in.Body.Key, bytesOf(text, in.Body.At), known)
			} else {
				found = d.Complete(bytesOf(text, in.Body.At), known)
			}
			if found.Items == nil {
				found.Items = []rules.Item{}
			}
			return api.Completion{From: unitsOf(text, found.From), To: unitsOf(text, found.To), Items: found.Items[:min(len(found.Items), 200)]}, nil
		})
	c.ruleTrials(texts)
}

// ruleTrials are the operations that try a text on changes.
func (c *Console) ruleTrials(texts *textCache) {
	type evaluate struct {
		Body struct {
			api.RuleText
			Events []string `json:"events,omitempty" maxItems:"200" doc:"Changes, as no:1001; default: the newest of the tables that the rule names."`
			Limit  int      `json:"limit,omitempty" default:"20" minimum:"1" maximum:"200"`
		}
	}
	add(c, operation{kind: "rules.evaluate", method: http.MethodPost, path: "/rules/evaluate", role: api.Viewer, most: 2 << 20,
		summary: "What a rule's text makes of recent changes", text: "Whatever the rule's mode and operations. A plugin is not asked: what it has a say in is undecided."},
		func(ctx context.Context, in *evaluate) (api.Evaluated, error) {
			d, err := texts.read(in.Body.RuleText)
			if err != nil {
				return api.Evaluated{}, err
			}
			return c.evaluated(ctx, texts, d, in.Body.Events, in.Body.Limit)
		})
	type explain struct {
		Body struct {
			Text  string     `json:"text,omitempty" maxLength:"262144" doc:"Of one rule, if it is not a published one."`
			Set   api.Fields `json:"set,omitempty" doc:"Fields of it to change first."`
			Rule  string     `json:"rule,omitempty" doc:"That is published, instead of a text." maxLength:"128"`
			Event string     `json:"event,omitempty" doc:"no:1001, or an ID." maxLength:"400"`
			At    time.Time  `json:"at,omitzero" doc:"When it was committed, or a time before, which makes finding an ID fast."`
			Line  string     `json:"line,omitempty" doc:"Or the change itself: a delivered record, a line of cdcd tail, or what a test has." maxLength:"1048576"`
		}
	}
	add(c, operation{kind: "rules.explain", method: http.MethodPost, path: "/rules/explain", role: api.Viewer, most: 4 << 20,
		summary: "Why a rule matches a change, or why not", text: "Offsets are UTF-16 code units of the condition."},
		func(ctx context.Context, in *explain) (rules.Explanation, error) {
			body := api.RuleText{Text: in.Body.Text, Set: in.Body.Set}
			if in.Body.Rule != "" {
				list, err := c.cfg.Backend.Rules.Rules(ctx, in.Body.Rule, 0)
				if err != nil {
					return rules.Explanation{}, err
				}
				body.Text = list.Rules[0].Text
			}
			d, err := texts.read(body)
			if err == nil && d.Rule == nil {
				err = d.Found
			}
			if err != nil {
				return rules.Explanation{}, err
			}
			e, err := c.change(ctx, in.Body.Event, in.Body.At, in.Body.Line, d)
			if err != nil {
				return rules.Explanation{}, err
			}
			set, err := rules.New([]*rules.Rule{d.Rule})
			if err == nil {
				set, err = c.cfg.Backend.Trials.Ready(ctx, set)
			}
			if err != nil {
				return rules.Explanation{}, err
			}
			x, err := set.Explain(e, d.Rule.Name)
			for i := range x.Conditions {
				inUnits(x.Conditions[i].Text, &x.Conditions[i].Step)
			}
			return x, err
		})
	type test struct{ Body api.RuleText }
	add(c, operation{kind: "rules.test", method: http.MethodPost, path: "/rules/test", role: api.Viewer, most: 2 << 20, summary: "Run the tests that stand in a rule's text"},
		func(ctx context.Context, in *test) (api.RuleTests, error) {
			d, err := texts.read(in.Body)
			if err != nil {
				return api.RuleTests{}, err
			}
			return c.tested(ctx, d)
		})
	type record struct {
		Body struct {
			api.RuleText
			Event string    `json:"event,omitempty" doc:"no:1001, or an ID." maxLength:"400"`
			At    time.Time `json:"at,omitzero"`
			Line  string    `json:"line,omitempty" maxLength:"1048576"`
			Name  string    `json:"name,omitempty" doc:"Of the test; default: that of the change." maxLength:"200"`
		}
	}
	add(c, operation{kind: "rules.record", method: http.MethodPost, path: "/rules/record", role: api.Viewer, most: 4 << 20,
		summary: "Make a test of a change, and add it to a rule's text", text: "It expects what the rule decides now."},
		func(ctx context.Context, in *record) (api.CheckedRule, error) {
			d, err := texts.read(in.Body.RuleText)
			if err != nil {
				return api.CheckedRule{}, err
			}
			e, err := c.change(ctx, in.Body.Event, in.Body.At, in.Body.Line, d)
			if err != nil {
				return api.CheckedRule{}, err
			}
			text, err := d.WithTest(e, in.Body.Name)
			if err != nil {
				return api.CheckedRule{}, err
			}
			return c.checked(ctx, rules.ReadRuleText(text)), nil
		})
	type fresh struct {
		Body struct {
			Event string    `json:"event,omitempty" doc:"no:1001, or an ID." maxLength:"400"`
			At    time.Time `json:"at,omitzero"`
			Line  string    `json:"line,omitempty" maxLength:"1048576"`
		}
	}
	add(c, operation{kind: "rules.new", method: http.MethodPost, path: "/rules/new", role: api.Viewer, most: 2 << 20,
		summary: "A rule's text that matches a change and those that are like it", text: "It is a draft, and the change is its first test."},
		func(ctx context.Context, in *fresh) (api.CheckedRule, error) {
			e, err := c.change(ctx, in.Body.Event, in.Body.At, in.Body.Line, rules.ReadRuleText(""))
			if err != nil {
				return api.CheckedRule{}, err
			}
			names, err := c.ruleNames(ctx)
			if err != nil {
				return api.CheckedRule{}, err
			}
			text, err := rules.RuleFrom(e, names)
			if err != nil {
				return api.CheckedRule{}, err
			}
			return c.checked(ctx, rules.ReadRuleText(text)), nil
		})
}

// ruleNames returns the names that are taken: by rules, and by the caller's drafts.
func (c *Console) ruleNames(ctx context.Context) ([]string, error) {
	list, err := c.cfg.Backend.Rules.Rules(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	drafts, err := c.cfg.Backend.Drafts.Drafts(ctx, c.author(ctx))
	var names []string
	for _, r := range list.Rules {
		names = append(names, r.Rule)
	}
	for _, d := range drafts {
		names = append(names, d.Name)
	}
	return names, err
}

// textCache remembers texts that were asked about lately: what they compile to is of use for the next question, too.
type textCache struct {
	mu   sync.Mutex // guards all
	kept map[string]*rules.RuleText
	last []string
}

const keptTexts = 64

// read reads a text, with the fields changed.
func (t *textCache) read(body api.RuleText) (*rules.RuleText, error) {
	d := t.of(body.Text)
	if len(body.Set) == 0 {
		return d, nil
	}
	for _, field := range fieldsIn(body.Set) {
		text, err := d.Set(field, body.Set[field])
		if err != nil {
			return nil, err
		}
		if text != d.Text {
			d = rules.ReadRuleText(text)
		}
	}
	return t.of(d.Text), nil
}

func fieldsIn(set api.Fields) []string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (t *textCache) of(text string) *rules.RuleText {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.kept[text]; ok {
		return d
	}
	d := rules.ReadRuleText(text)
	t.kept[text], t.last = d, append(t.last, text)
	if len(t.last) > keptTexts {
		delete(t.kept, t.last[0])
		t.last = t.last[1:]
	}
	return d
}

// checked says what there is to say of a text.
func (c *Console) checked(ctx context.Context, d *rules.RuleText) api.CheckedRule {
	known, err := c.cfg.Backend.Trials.Known(ctx)
	out := api.CheckedRule{Text: d.Text, Readable: d.Rule != nil, Fields: d.Fields(), Tables: []string{}, Findings: []api.RuleFinding{}}
	_ = json.Unmarshal(out.Fields["name"], &out.Name) // what is no name is none
	for _, key := range []string{"when", "where"} {
		if _, there := out.Fields[key]; there {
			out.Key = key
		}
	}
	if d.Rule != nil {
		out.Version, out.Asks = d.Rule.Version, d.Rule.Asks()
	}
	for _, t := range d.About(known.Tables) {
		out.Tables = append(out.Tables, t.String())
	}
	found := d.Found
	if len(known.Tables) > 0 {
		found = d.Check(known.Tables, known.Looked...)
	} else if err != nil {
		out.Unknown = err.Error()
	}
	if feed := unknownFeed(d, known.Feeds); feed != nil {
		found = append(found, feed)
	}
	for _, f := range found {
		out.Findings = append(out.Findings, findingOf(d, f))
		if f.Warning {
			out.Warnings++
		} else {
			out.Errors++
		}
	}
	return out
}

// unknownFeed says that a rule names a feed that there is not.
func unknownFeed(d *rules.RuleText, feeds []string) *rules.Finding {
	if d.Rule == nil || feeds == nil {
		return nil
	}
	for _, to := range d.Rule.To {
		if !slices.Contains(feeds, to) {
			return d.UnknownFeed(to, feeds)
		}
	}
	return nil
}

// findingOf writes a finding as the page reads it.
func findingOf(d *rules.RuleText, f *rules.Finding) api.RuleFinding {
	m := d.Mark(f)
	out := api.RuleFinding{Code: f.Code, Severity: "error", Message: f.Msg, Suggestion: f.Suggestion, Line: m.Line, From: unitsOf(d.Text, m.From), To: unitsOf(d.Text, m.To),
		Field: strings.TrimPrefix(strings.TrimPrefix(f.Path, "rules[0]"), "."), Docs: "cdcd errors " + f.Code}
	if f.Warning {
		out.Severity = "warning"
	}
	condition := ""
	if m.Key != "" {
		condition = d.Condition(m.Key)
		out.Condition = &api.Span{Key: m.Key, From: unitsOf(condition, m.KeyFrom), To: unitsOf(condition, m.KeyTo)}
	}
	for _, e := range d.Edits(f) {
		out.Edits = append(out.Edits, strictyaml.Edit{From: unitsOf(d.Text, e.From), To: unitsOf(d.Text, e.To), Text: e.Text})
	}
	if m.Key == "" || len(out.Edits) == 0 {
		return out
	}
	mended := rules.ReadRuleText(d.Mended(f)).Condition(m.Key)
	if from, to, text := differ(condition, mended); mended != "" && mended != condition {
		out.Edit = &api.SpanEdit{Span: api.Span{Key: m.Key, From: unitsOf(condition, from), To: unitsOf(condition, to)}, Text: text}
	}
	return out
}

// differ returns which bytes of a text are to be replaced by what to make another of it.
func differ(a, b string) (from, to int, text string) {
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	for from > 0 && (from < len(a) && !utf8.RuneStart(a[from]) || from < len(b) && !utf8.RuneStart(b[from])) {
		from--
	}
	tail := 0
	for tail < min(len(a), len(b))-from && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	for tail > 0 && !utf8.RuneStart(a[len(a)-tail]) {
		tail--
	}
	return from, len(a) - tail, b[from : len(b)-tail]
}

// unitsOf turns an offset in bytes into one in UTF-16 code units.
func unitsOf(text string, at int) int {
	n := 0
	for _, r := range text[:min(max(at, 0), len(text))] {
		if n++; r >= 0x10000 {
			n++
		}
	}
	return n
}

// bytesOf turns an offset in UTF-16 code units into one in bytes. One within a character is before it.
func bytesOf(text string, units int) int {
	n := 0
	for at, r := range text {
		width := 1
		if r >= 0x10000 {
			width = 2
		}
		if n+width > units {
			return at
		}
		n += width
	}
	return len(text)
}

// inUnits turns the offsets of a step and of its parts.
func inUnits(text string, s *rules.Step) {
	s.From, s.To = unitsOf(text, s.From), unitsOf(text, s.To)
	for i := range s.Steps {
		inUnits(text, &s.Steps[i])
	}
}

// change returns the change that somebody names, or has sent.
func (c *Console) change(ctx context.Context, ref string, at time.Time, line string, d *rules.RuleText) (cdc.Event, error) {
	if line != "" {
		known, err := c.cfg.Backend.Trials.Known(ctx)
		if len(known.Tables) == 0 && err != nil {
			return cdc.Event{}, err
		}
		tables := known.Tables
		if about := d.About(tables); len(about) == 1 && !strings.Contains(line, `"table"`) {
			tables = about // what a test has need not name it
		}
		return rules.ParseEvent([]byte(line), tables)
	}
	if text, numbered := strings.CutPrefix(ref, "no:"); numbered {
		no, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return cdc.Event{}, cdc.Errorf(codeRequest, "'%s' is not the number of a change", ref).WithFix("write it like no:1001")
		}
		return c.cfg.Backend.Trials.Find(ctx, no, "", time.Time{})
	}
	if ref == "" {
		return cdc.Event{}, cdc.Errorf(codeRequest, "the request names no change").WithFix("send event: no:1001, or an ID, or the change itself as line")
	}
	return c.cfg.Backend.Trials.Find(ctx, 0, ref, at)
}

// inForce returns the published rule of a draft's name, if it can be judged by.
func (c *Console) inForce(ctx context.Context, texts *textCache, d *rules.RuleText) *rules.RuleText {
	if d.Rule == nil {
		return nil
	}
	list, err := c.cfg.Backend.Rules.Rules(ctx, d.Rule.Name, 0)
	if err != nil || len(list.Rules) == 0 { // it is new, or the store does not answer: verdicts of the draft will do
		return nil
	}
	was := texts.of(list.Rules[0].Text)
	if was.Judging() == nil || was.Rule.Name != d.Rule.Name {
		return nil
	}
	return was
}

// evaluated judges changes.
func (c *Console) evaluated(ctx context.Context, texts *textCache, d *rules.RuleText, refs []string, most int) (api.Evaluated, error) {
	out := api.Evaluated{Events: []api.JudgedEvent{}, Readable: d.Rule != nil}
	var events []cdc.Event
	for _, ref := range refs {
		e, err := c.change(ctx, ref, time.Time{}, "", d)
		if err != nil {
			return out, err
		}
		events = append(events, e)
	}
	if len(refs) == 0 {
		known, err := c.cfg.Backend.Trials.Known(ctx)
		if len(known.Tables) == 0 && err != nil {
			return out, err
		}
		if tables := d.About(known.Tables); len(tables) > 0 {
			if events, err = c.cfg.Backend.Trials.Changes(ctx, tables, most); err != nil {
				return out, err
			}
		}
	}
	set, before := d.Judging(), c.inForce(ctx, texts, d)
	for _, e := range events {
		one := api.JudgedEvent{Event: api.Event{ID: e.ID(), No: e.No(), Seq: e.Batch().Seq, Table: e.Table().String(), Op: e.Op().String(), CommitTime: e.CommitTime(),
			Position: e.Position().String(), Line: string(cdc.AppendEvent(nil, e)), Revision: e.Batch().Rules.No, Matched: []string{}, Failed: []string{}, Incomplete: e.Incomplete()}}
		if set != nil {
			v, err := set.Judge(e, d.Rule.Name)
			if err != nil {
				return out, err
			}
			one.Verdict = v
			if before != nil {
				was, err := before.Judging().Judge(e, d.Rule.Name)
				if err != nil {
					return out, err
				}
				one.Was = &was
			}
			switch v.Outcome {
			case rules.Matched, rules.Undecided:
				out.Matched++
			case rules.Failing:
				out.Failed++
			}
		}
		out.Events = append(out.Events, one)
	}
	return out, nil
}

// tested runs the tests of a text.
func (c *Console) tested(ctx context.Context, d *rules.RuleText) (api.RuleTests, error) {
	out := api.RuleTests{Each: []api.RuleTest{}, Coverage: []rules.Part{}}
	if d.Rule == nil {
		return out, d.Found
	}
	known, err := c.cfg.Backend.Trials.Known(ctx)
	if len(known.Tables) == 0 && err != nil {
		return out, err
	}
	set, err := rules.New([]*rules.Rule{d.Rule})
	if err == nil {
		set, err = c.cfg.Backend.Trials.Ready(ctx, set)
	}
	if err != nil {
		return out, err
	}
	for _, r := range set.Test(known.Tables, known.Looked...) {
		one := api.RuleTest{Test: r.Name, Passed: r.Passed}
		out.Tests++
		if r.Passed {
			out.Passed++
		} else {
			f := findingOf(d, r.Failure)
			one.Failure = &f
			out.Failed++
		}
		out.Each = append(out.Each, one)
	}
	all, _ := set.Coverage(known.Tables)
	for _, one := range all {
		for _, p := range one.Parts {
			text := d.Rule.When + d.Rule.Where // it has one of them
			p.From, p.To = unitsOf(text, p.From), unitsOf(text, p.To)
			out.Coverage = append(out.Coverage, p)
		}
	}
	return out, nil
}

// dropTests takes tests out of a text.
func dropTests(d *rules.RuleText, names []string) (*rules.RuleText, error) {
	var all, kept []json.RawMessage
	if err := json.Unmarshal(d.Fields()["tests"], &all); err != nil {
		return nil, cdc.Errorf(codeNothing, "the rule has no tests")
	}
	for _, text := range all {
		var test struct{ Name string }
		if json.Unmarshal(text, &test) != nil || !slices.Contains(names, test.Name) {
			kept = append(kept, text)
		}
	}
	value := []byte("null")
	if len(kept) > 0 {
		value, _ = json.Marshal(kept) // they were JSON
	}
	text, err := d.Set("tests", value)
	if err != nil {
		return nil, err
	}
	return rules.ReadRuleText(text), nil
}
