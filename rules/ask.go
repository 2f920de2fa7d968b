package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// Answer is what a plugin made of one event.
type Answer struct {
	Verdict cdc.Verdict
	Fuel    int64 // that it took; 0: nobody knows
}

// Ask puts one event to the plugin of a rule. An error is of the world; what is wrong with the event is the verdict's.
type Ask func(r *Rule, e cdc.Event) (Answer, error)

// Asking returns the same set, which asks the plugins of its rules where it looks at one event at a time: in Test, Coverage,
// Explain, ExplainAll and Record. Decide and what is like it leave the plugins to the caller all the same.
func (s *Set) Asking(ask Ask) *Set {
	asking := *s
	asking.ask = ask
	return &asking
}

// Take returns the match of the rule as its plugin's verdict leaves it, and whether it is one any more. The error says why the
// plugin could not judge the event. The match is not changed.
func (r *Rule) Take(m cdc.RuleMatch, v cdc.Verdict) (cdc.RuleMatch, bool, error) {
	if v.Err != nil || !v.Keep || v.Edits == nil {
		return m, v.Keep && v.Err == nil, v.Err
	}
	m.Edits = v.Edits
	if v.Edits.To == nil {
		return m, true, nil
	}
	for _, feed := range v.Edits.To {
		if len(r.To) > 0 && !slices.Contains(r.To, feed) {
			return m, false, cdc.Errorf(codeRoute, "plugin %s routes to feed %q, which the rule does not name", r.Filter.Plugin, feed).
				WithFix("add the feed to 'to' of rule %s, or mend the plugin", r.Name)
		}
	}
	m.To = slices.DeleteFunc(slices.Clone(m.To), func(feed string) bool { return !slices.Contains(v.Edits.To, feed) })
	return m, true, nil
}

// Judgement is what the plugin of a rule made of an event that the condition let through to it.
type Judgement struct {
	Plugin  string   `json:"plugin"`
	Digest  string   `json:"digest,omitempty"`
	Verdict string   `json:"verdict"`          // keep, drop, error or not_asked
	Why     string   `json:"why,omitempty"`    // it could not be asked
	Reason  string   `json:"reason,omitempty"` // that it gives
	Tags    []string `json:"tags,omitempty"`
	Edits   []Edit   `json:"edits,omitempty"` // of columns, those that count
	Fuel    int64    `json:"fuel,omitempty"`

	edits *cdc.Edits
}

// Edit is a column as a plugin wants it delivered.
type Edit struct {
	Image  string `json:"image"` // before or after
	Column string `json:"column"`
	Drop   bool   `json:"drop,omitempty"`
	Value  string `json:"value,omitempty"` // as it is delivered, JSON
}

// The verdicts of a Judgement.
const (
	keeps    = "keep"
	drops    = "drop"
	cannot   = "error"
	notAsked = "not_asked"
)

// askPlugin has the plugin judge an event that the rule's condition matches, and takes its verdict into the explanation.
func (x *Explanation) askPlugin(r *Rule, ask Ask, m cdc.RuleMatch, e cdc.Event) {
	j := &Judgement{Plugin: r.Filter.Plugin, Digest: r.Filter.Digest, Verdict: notAsked}
	x.Filter = j
	if ask == nil {
		x.Outcome, x.To = Undecided, nil
		return
	}
	a, err := ask(r, e)
	if err != nil {
		x.Outcome, x.To, x.Error, j.Why = Undecided, nil, problem(err), plainError(err)
		return
	}
	j.Fuel = a.Fuel
	m, kept, err := r.Take(m, a.Verdict)
	switch {
	case err != nil:
		j.Verdict, x.Outcome, x.Error, x.To = cannot, Failing, problem(err), nil
		return
	case !kept:
		j.Verdict, x.Outcome, x.To = drops, NotMatched, nil
		return
	}
	j.Verdict, x.To = keeps, m.To
	if j.edits = m.Edits; j.edits != nil {
		j.Reason, j.Tags, j.Edits = m.Edits.Reason, m.Edits.Tags, editsOf(m.Edits, e.Table())
	}
}

// editsOf returns the edits of columns that count, in the order of the table.
func editsOf(edits *cdc.Edits, t *cdc.Table) []Edit {
	var out []Edit
	for i := range t.Columns {
		c := &t.Columns[i]
		for _, image := range images {
			n := -1
			for k, edit := range edits.Columns {
				if edit.Column == c.Name && edit.Before == (image == beforeVar) && c.Key == 0 {
					n = k
				}
			}
			if n < 0 {
				continue
			}
			one := Edit{Image: image, Column: c.Name, Drop: edits.Columns[n].Drop}
			if !one.Drop {
				one.Value = string(cdc.AppendJSON(nil, c, edits.Columns[n].Value))
			}
			out = append(out, one)
		}
	}
	return out
}

// sentence says what the plugin did, after what the condition did.
func (j *Judgement) sentence(condition string, failure *Problem) string {
	_, because, _ := strings.Cut(condition, " because ")
	if because != "" {
		because = " because " + because
	}
	switch j.Verdict {
	case keeps:
		return fmt.Sprintf("matches%s, and plugin %s keeps it%s", because, j.Plugin, j.says())
	case drops:
		return fmt.Sprintf("does not match because plugin %s drops it%s", j.Plugin, asked(because))
	case cannot:
		return fmt.Sprintf("fails in plugin %s: %s%s", j.Plugin, failure.What, asked(because))
	}
	why := "nobody asked it"
	if j.Why != "" {
		why = "it could not be asked: " + j.Why
	}
	return fmt.Sprintf("matches if plugin %s keeps it, but %s%s", j.Plugin, why, letThrough(because))
}

// letThrough says why the condition is true.
func letThrough(because string) string {
	if because == "" {
		return ""
	}
	return "; its condition is true" + because
}

func (j *Judgement) says() string {
	if j.Reason == "" {
		return ""
	}
	return ": " + clip(j.Reason)
}

// asked says why a plugin was asked at all.
func asked(because string) string {
	if because == "" {
		return ""
	}
	return "; it was asked" + because
}

// lines describes the judgement below the conditions.
func (j *Judgement) lines() string {
	var b strings.Builder
	glyph := map[string]string{keeps: "✓", drops: "✗", cannot: "!", notAsked: "·"}[j.Verdict]
	said := map[string]string{keeps: "keeps it", drops: "drops it", cannot: "cannot judge it", notAsked: "was not asked"}[j.Verdict]
	if j.Why != "" {
		said = "could not be asked"
	}
	fmt.Fprintf(&b, "  filter\n    %s plugin %s %s", glyph, j.Plugin, said)
	if j.Fuel > 0 {
		fmt.Fprintf(&b, " (fuel %d)", j.Fuel)
	}
	b.WriteByte('\n')
	line := func(what, is string) { fmt.Fprintf(&b, "        %s: %s\n", what, is) }
	if j.Reason != "" {
		line("reason", clip(j.Reason))
	}
	if len(j.Tags) > 0 {
		line("tags", strings.Join(j.Tags, ", "))
	}
	if j.edits != nil && j.edits.To != nil {
		line("only to", feedList(j.edits.To))
	}
	for _, e := range j.Edits {
		if e.Drop {
			line(e.Image+selector(e.Column), "left out")
		} else {
			line(e.Image+selector(e.Column), "delivered as "+clip(e.Value))
		}
	}
	return b.String()
}

// expected writes what is delivered as a test expects it.
func (j *Judgement) expected() string {
	out := ""
	if j.Reason != "" {
		out += ", reason: " + flowText(j.Reason)
	}
	texts := func(list []string) string {
		var b []byte
		for i, text := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = cdc.AppendString(b, text)
		}
		return flow([]byte("[" + string(b) + "]"))
	}
	if len(j.Tags) > 0 {
		out += ", tags: " + texts(sorted(j.Tags))
	}
	var without []string
	for _, image := range images {
		var b []byte
		for _, e := range j.Edits {
			switch {
			case e.Image != image:
			case e.Drop:
				without = append(without, image+"."+e.Column)
			default:
				if len(b) > 0 {
					b = append(b, ',')
				}
				b = append(append(cdc.AppendString(b, e.Column), ':'), e.Value...)
			}
		}
		if len(b) > 0 {
			out += ", " + image + ": " + flow([]byte("{"+string(b)+"}"))
		}
	}
	if len(without) > 0 {
		out += ", without: " + texts(without)
	}
	return out
}
