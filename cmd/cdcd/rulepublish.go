package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// Codes of publishing what was written by hand; each has a page.
const (
	codeUntried    = "CDCD-2354" // how it was tried is not said
	codeOvertaken  = "CDCD-2356" // somebody else has published meanwhile
	codeNoDraft    = "CDCD-2353"
	codeNoBacktest = "CDCD-2355"
	codeJobsFull   = "CDCD-2357"
)

// triedFor is how long a back-test is of use for a publication.
const triedFor = 24 * time.Hour

// triedOf returns how a publication was tried.
func triedOf(p bus.Publication) *api.Tried {
	var t api.Tried
	if len(p.Tried) == 0 || json.Unmarshal(p.Tried, &t) != nil {
		return nil
	}
	return &t
}

// triedText says it in a sentence, for the audit log and for tables.
func triedText(t *api.Tried) string {
	if t.Untested != "" {
		return "not back-tested: " + t.Untested
	}
	return fmt.Sprintf("back-test %s of %s changes from %s to %s: %s matched, %s added, %s lost, %s errors", t.Backtest, grouped(t.Read), stamp(t.From), stamp(t.To),
		grouped(t.Matched), grouped(t.Added), grouped(t.Lost), grouped(t.Errors))
}

// change publishes what somebody wrote, or a rule in another mode, as it was, or its end.
func (d *ruleDesk) change(ctx context.Context, who string, c console.RuleChange) (api.Published, error) {
	ask := ruleAsk{Verb: c.Kind, Who: who, Why: c.Why, DryRun: c.DryRun, Rule: c.Rule, Mode: c.Mode, Revision: c.Revision}
	p := d.publisher
	p.dryRun = ask.DryRun
	if d.running != nil {
		p.stream, p.waits = d.running.stream, true
	}
	pub := bus.Publication{Kind: c.Kind, Who: who, Why: c.Why, Base: c.Base}
	switch c.Kind {
	case "mode", "rollback":
		out, err := d.answer(ctx, ask)
		if err != nil {
			return api.Published{}, err
		}
		return publishedOf(out.(outcome), nil)
	case "remove":
		out, err := p.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) {
			_, err := ruleOf(newest, c.Rule)
			return ruleChange{removed: []string{c.Rule}}, err
		})
		if err != nil {
			return api.Published{}, err
		}
		return publishedOf(out, nil)
	case "publish":
		return d.publishTexts(ctx, p, pub, c)
	}
	return api.Published{}, usagef("'%s' is nothing that is done to rules", c.Kind)
}

// publishedOf writes an outcome; what is wrong is the error.
func publishedOf(out outcome, tried *api.Tried) (api.Published, error) {
	if err := out.Findings.Err(); err != nil {
		return api.Published{}, err
	}
	p := api.Published{Revision: out.Revision, ID: out.ID, Base: out.Base, From: out.From, DryRun: out.DryRun, Changed: out.Changed, Checked: out.Checked, Tried: tried}
	for _, f := range out.Findings {
		p.Findings = append(p.Findings, api.ErrorOf(f))
	}
	return p, nil
}

// publishTexts publishes the texts of rules, or a draft, which is thrown away then.
func (d *ruleDesk) publishTexts(ctx context.Context, p publisher, pub bus.Publication, c console.RuleChange) (api.Published, error) {
	var draft bus.Draft
	if c.Draft != "" {
		store, err := d.drafts(ctx)
		if err != nil {
			return api.Published{}, err
		}
		author := c.Author
		if author == "" {
			author = pub.Who
		}
		if draft, err = store.Get(ctx, author, c.Draft); err != nil {
			return api.Published{}, err
		}
		if c.Texts = append(c.Texts, draft.Text); pub.Base == 0 {
			pub.Base = draft.Base
		}
	}
	mine, err := d.written(c)
	if err != nil {
		return api.Published{}, err
	}
	base, err := d.baseOf(ctx, pub.Base)
	if err != nil {
		return api.Published{}, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return api.Published{}, err
	}
	if _, err := d.onTop(ctx, base, newest, mine); err != nil {
		return api.Published{}, err
	}
	tried, err := d.tried(ctx, newest, mine, c.Publish)
	if err != nil {
		return api.Published{}, err
	}
	if tried != nil {
		if pub.Tried, err = json.Marshal(tried); err != nil {
			return api.Published{}, err
		}
	}
	out, err := p.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) { return d.onTop(ctx, base, newest, mine) })
	if err != nil {
		return api.Published{}, err
	}
	done, err := publishedOf(out, tried)
	if err == nil && draft.Version > 0 && !c.DryRun {
		store, errDrop := d.drafts(ctx)
		if errDrop == nil {
			errDrop = store.Delete(ctx, draft.Author, draft.Name, draft.Version)
		}
		if errDrop != nil && cdc.CodeOf(errDrop) != "CDCD-2351" { // it is published all the same, and its author may throw it away
			d.publisher.plugins.log.Warn("a draft that is published is still there", "event", "rules.draft_left", "rule", draft.Name, "err", errDrop)
		}
	}
	return done, err
}

// writtenRule is a rule with the text that it was read from.
type writtenRule struct {
	*rules.Rule
	text string
}

// written reads the texts that are to be published.
func (d *ruleDesk) written(c console.RuleChange) ([]writtenRule, error) {
	var all []writtenRule
	var parsed []*rules.Rule
	var found rules.Findings
	if len(c.Texts) == 0 {
		return nil, usagef("nothing is to be published").WithFix("send texts of rules, or the name of a draft")
	}
	for _, text := range c.Texts {
		t := rules.ReadRuleText(text)
		if t.Rule != nil && c.Mode != "" {
			mode, ok := rules.ParseMode(c.Mode)
			if !ok {
				return nil, badChoice("mode", c.Mode, "active", "shadow", "off", "draft")
			}
			changed, err := rules.WithMode(t.Text, mode)
			if err != nil {
				return nil, err
			}
			t = rules.ReadRuleText(changed)
		}
		if t.Rule == nil {
			found = append(found, t.Found...)
			continue
		}
		// Under its name, findings are about this rule and no other.
		text = endingLine(t.Text)
		r, err := rules.ParseText(t.Rule.Name, text)
		if err == nil {
			r, err = d.plugins.pin(r)
		}
		if err != nil {
			return nil, err
		}
		all, parsed = append(all, writtenRule{r, text}), append(parsed, r)
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	_, err := rules.New(parsed)
	return all, err
}

// endingLine returns a text that ends with a line end: in a file, another rule may follow.
func endingLine(text string) string {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return text + "\n"
	}
	return text
}

// baseOf returns what held at a revision; at 0 there were no rules.
func (d *ruleDesk) baseOf(ctx context.Context, no uint64) (*bus.RuleState, error) {
	if no == 0 {
		return &bus.RuleState{}, nil
	}
	return d.state(ctx, no)
}

// onTop puts rules on what is in force, unless others have changed the same ones since their base.
func (d *ruleDesk) onTop(ctx context.Context, base, newest *bus.RuleState, mine []writtenRule) (ruleChange, error) {
	var c ruleChange
	for _, r := range mine {
		now, exists := newest.Rules[r.Name]
		was, existed := base.Rules[r.Name]
		stored := toStore(r.Rule, now.File, r.text)
		switch {
		case exists && textKey(now) == textKey(stored):
			continue // it is so already
		case exists != existed || exists && textKey(now) != textKey(was):
			return c, d.overtaken(ctx, base, newest, r.Name)
		}
		c.changed = append(c.changed, stored)
	}
	return c, nil
}

// overtaken says who has published a rule since its base.
func (d *ruleDesk) overtaken(ctx context.Context, base, newest *bus.RuleState, name string) error {
	moved, err := d.moved(ctx, base, newest, name)
	if err != nil {
		return err
	}
	why := ""
	if moved.Why != "" {
		why = fmt.Sprintf(" (%s)", moved.Why)
	}
	e := cdc.Errorf(codeOvertaken, "%s has %s rule '%s' in revision %d at %s%s, since it was begun from revision %d", moved.Who, moved.Diff.What, name,
		moved.Revision, stamp(moved.Time), why, base.Revision.No)
	return e.WithFix("look at what has changed (cdcd rules diff %d %d), and publish again with %d as the base", base.Revision.No, newest.Revision.No, newest.Revision.No)
}

// moved returns what others have made of a rule since a base; nil: nothing.
func (d *ruleDesk) moved(ctx context.Context, base, newest *bus.RuleState, name string) (*api.Moved, error) {
	a, b := &bus.RuleState{Rules: map[string]bus.StoredRule{}}, &bus.RuleState{Rules: map[string]bus.StoredRule{}}
	if r, ok := base.Rules[name]; ok {
		a.Rules[name] = r
	}
	if r, ok := newest.Rules[name]; ok {
		b.Rules[name] = r
	}
	diffs, err := diffStates(a, b)
	if err != nil || len(diffs) == 0 {
		return nil, err
	}
	m := &api.Moved{Diff: &diffs[0]}
	err = d.book.store.History(ctx, base.Revision.No+1, func(p bus.Publication) error {
		if slices.ContainsFunc(p.Changed, func(r bus.StoredRule) bool { return r.Name == name }) || slices.Contains(p.Removed, name) {
			m.Revision, m.Who, m.Why, m.Time = p.Revision.No, p.Who, p.Why, p.Time
		}
		return nil
	})
	return m, err
}

// tried says how rules were tried that will decide otherwise than those in force; nil: none will.
func (d *ruleDesk) tried(ctx context.Context, newest *bus.RuleState, mine []writtenRule, c api.Publish) (*api.Tried, error) {
	var asks []string
	var all []*rules.Rule
	for _, r := range mine {
		all = append(all, r.Rule)
		if r.Mode != rules.Active {
			continue
		}
		if now, exists := newest.Rules[r.Name]; exists && now.Mode == rules.Active.String() {
			if old, err := storedRule(now); err == nil && old.Asks() == r.Asks() {
				continue
			}
		}
		asks = append(asks, r.Asks())
	}
	switch {
	case c.Backtest != "":
		if d.running == nil {
			return nil, cdc.Errorf(codeNoBacktest, "there is no back-test '%s': no cdcd runs", c.Backtest).WithFix("start cdcd run, and the back-test again")
		}
		job, err := d.running.jobs.get(c.Backtest)
		if err != nil {
			return nil, err
		}
		return job.tried(asks, d.schemaOf(ctx, all), time.Now())
	case c.Untested != "":
		return &api.Tried{Untested: c.Untested}, nil
	case len(asks) == 0:
		return nil, nil
	}
	return nil, cdc.Errorf(codeUntried, "what would be published decides otherwise than what is in force, and it is not said how it was tried").
		WithFix("name a back-test of it, or say why there is none; or publish it in mode shadow first")
}

// schemaOf names the tables of rules by their columns.
func (d *ruleDesk) schemaOf(ctx context.Context, all []*rules.Rule) string {
	tables, err := d.publisher.tables(ctx)
	if err != nil {
		return ""
	}
	return schemaDigest(tables, all)
}

// answerDrafts reads and writes drafts.
func (d *ruleDesk) answerDrafts(ctx context.Context, ask ruleAsk) (any, error) {
	if ask.Draft == nil {
		return nil, usagef("no draft is named")
	}
	switch ask.Verb {
	case "drafts":
		return d.listDrafts(ctx, ask.Draft.Author)
	case "draft":
		return d.draft(ctx, ask.Draft.Author, ask.Draft.Name)
	case "save_draft":
		return d.saveDraft(ctx, *ask.Draft)
	}
	return ask.Draft, d.dropDraft(ctx, ask.Draft.Author, ask.Draft.Name, ask.Draft.Version)
}

func (d *ruleDesk) listDrafts(ctx context.Context, author string) ([]api.RuleDraft, error) {
	store, err := d.drafts(ctx)
	if err != nil {
		return nil, err
	}
	all, err := store.List(ctx, author)
	if err != nil {
		return nil, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	out := []api.RuleDraft{}
	for _, one := range all {
		draft := draftOf(one, newest)
		draft.Text = ""
		out = append(out, draft)
	}
	return out, nil
}

func (d *ruleDesk) draft(ctx context.Context, author, name string) (api.RuleDraft, error) {
	store, err := d.drafts(ctx)
	if err != nil {
		return api.RuleDraft{}, err
	}
	have, err := store.Get(ctx, author, name)
	if err != nil {
		return api.RuleDraft{}, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return api.RuleDraft{}, err
	}
	out := draftOf(have, newest)
	base, err := d.baseOf(ctx, min(have.Base, newest.Revision.No))
	if err == nil {
		rule := name
		if t := rules.ReadRuleText(have.Text); t.Rule != nil {
			rule = t.Rule.Name
		}
		out.Moved, err = d.moved(ctx, base, newest, rule)
	}
	return out, err
}

func (d *ruleDesk) saveDraft(ctx context.Context, draft api.RuleDraft) (api.RuleDraft, error) {
	store, err := d.drafts(ctx)
	if err != nil {
		return api.RuleDraft{}, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return api.RuleDraft{}, err
	}
	if draft.Base > newest.Revision.No {
		return api.RuleDraft{}, cdc.Errorf("CDCD-2315", "there is no revision %d of the rules", draft.Base).WithFix("the newest is %d", newest.Revision.No)
	}
	saved, err := store.Save(ctx, bus.Draft{Author: draft.Author, Name: draft.Name, Text: draft.Text, Base: draft.Base, Version: draft.Version})
	if err != nil {
		return api.RuleDraft{}, err
	}
	return draftOf(saved, newest), nil
}

func (d *ruleDesk) dropDraft(ctx context.Context, author, name string, version uint64) error {
	store, err := d.drafts(ctx)
	if err != nil {
		return err
	}
	return store.Delete(ctx, author, name, version)
}

func draftOf(d bus.Draft, newest *bus.RuleState) api.RuleDraft {
	_, exists := newest.Rules[d.Name]
	return api.RuleDraft{Author: d.Author, Name: d.Name, Text: d.Text, Base: d.Base, Version: d.Version, Saved: d.Saved, New: !exists}
}
