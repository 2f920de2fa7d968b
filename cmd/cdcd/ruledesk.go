package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// storePatience is how long the rule store may take to answer, or a publication to become durable.
const storePatience = 30 * time.Second

// ruleAsk is what people ask of the rule store: what POST /rules takes.
type ruleAsk struct {
	Verb string `json:"verb"` // push, publish, mode, rollback, adopt, state, judged, history, list, drafts, draft, save_draft, drop_draft, backtests

	Who    string     `json:"who,omitempty"`
	Why    string     `json:"why,omitempty"`
	DryRun bool       `json:"dry_run,omitempty"`
	Base   *uint64    `json:"base,omitempty"`  // push: the revision that the files were made from; default: that of the files pushed last
	Files  []ruleText `json:"files,omitempty"` // push
	All    bool       `json:"all,omitempty"`   // push: Files are all that there are
	Dir    string     `json:"dir,omitempty"`   // push: the folder that their names are relative to

	PulledAt uint64 `json:"pulled_at,omitempty"` // push: the revision that Dir was pulled at; 0: never

	byItself bool // push: no person asks, so also when the tables are not known, and without waiting for the first frame

	Rule     string `json:"rule,omitempty"`     // mode, rollback, list
	Mode     string `json:"mode,omitempty"`     // mode
	Revision uint64 `json:"revision,omitempty"` // rollback, state; state: 0 is the newest
	Adopted  string `json:"adopted,omitempty"`  // adopt: the revision that the rules in force are to stand for
	From     uint64 `json:"from,omitempty"`     // adopt: the first sequence for which they do

	Change *console.RuleChange `json:"change,omitempty"` // publish: what
	Draft  *api.RuleDraft      `json:"draft,omitempty"`  // drafts, draft, save_draft, drop_draft: whose, and which

	Named string `json:"named,omitempty"` // judged: the revision that a frame names
	Seq   uint64 `json:"seq,omitempty"`   // judged: the frame's sequence
}

// needs says which role may ask.
func (ask *ruleAsk) needs() api.Role {
	switch ask.Verb {
	case "state", "judged", "history", "list", "drafts", "draft", "backtests":
		return api.Viewer
	case "save_draft", "drop_draft":
		return api.Analyst
	case "adopt":
		return api.Operator
	}
	if ask.DryRun {
		return api.Analyst
	}
	return api.Publisher
}

// ruleDesk answers them, in the cdcd that runs or in the one that asks.
type ruleDesk struct {
	book      *ruleBook
	plugins   *plugins
	publisher publisher
	running   *pipeline // nil: none

	drafts func(context.Context) (*bus.Drafts, error)
}

func newRuleDesk(a *app, cfg *config, book *ruleBook, plugins *plugins) *ruleDesk {
	d := &ruleDesk{book: book, plugins: plugins}
	d.publisher = publisher{book: book, plugins: plugins, feeds: feedNames(cfg), fits: func(set *rules.Set, changed map[string]bool) error {
		if err := oneTable(cfg, set); err != nil {
			return err
		}
		return keyedRules(cfg, set, func(r *rules.Rule) bool { return changed[r.Name] })
	}, looked: func(ctx context.Context, set *rules.Set, captured []*cdc.Table) ([]*cdc.Table, error) {
		return a.lookedUp(ctx, cfg, set, captured)
	}, tables: func(ctx context.Context) ([]*cdc.Table, error) {
		tables, err := tablesOf(ctx, a, cfg)
		if len(tables) == 0 && d.running != nil && ctx.Err() == nil {
			if tables = d.running.rules.knownTables(); len(tables) > 0 {
				err = nil
			}
		}
		return tables, err
	}}
	return d
}

// answer does what is asked.
func (d *ruleDesk) answer(ctx context.Context, ask ruleAsk) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	p := d.publisher
	p.dryRun = ask.DryRun
	if d.running != nil {
		p.stream, p.waits = d.running.stream, !ask.byItself
	}
	pub := bus.Publication{Kind: ask.Verb, Who: ask.Who, Why: ask.Why}
	switch ask.Verb {
	case "push":
		return d.push(ctx, p, pub, ask)
	case "mode":
		return p.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) {
			return changeMode(newest, ask.Rule, ask.Mode, d.plugins.pin)
		})
	case "rollback":
		old, err := d.state(ctx, ask.Revision)
		if err != nil {
			return nil, err
		}
		pub.Base = ask.Revision
		return p.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) { return rollBack(newest, old, ask.Rule) })
	case "adopt":
		if _, err := cdc.ParseRevision(ask.Adopted); err != nil && ask.Adopted != bus.NoRevision {
			return nil, usagef("%s", err).WithFix("copy it from the message that says so: 17.9f8a0b1c2d3e4f50")
		}
		pub.StandsFor = &bus.Stand{Revision: ask.Adopted, From: ask.From}
		return p.publish(ctx, pub, func(*bus.RuleState) (ruleChange, error) { return ruleChange{}, nil })
	case "state":
		return d.state(ctx, ask.Revision)
	case "judged":
		return d.judged(ctx, ask.Named, ask.Seq)
	case "history":
		return d.history(ctx, ask.Rule)
	case "list":
		return d.list(ctx, ask.Rule)
	case "publish":
		if ask.Change == nil {
			return nil, usagef("nothing is to be published")
		}
		return d.change(ctx, ask.Who, *ask.Change)
	case "drafts", "draft", "save_draft", "drop_draft":
		return d.answerDrafts(ctx, ask)
	case "backtests":
		if d.running == nil {
			return api.Backtests{Backtests: []api.Backtest{}, Kept: keptJobs}, nil
		}
		return d.running.jobs.list(), nil
	}
	return nil, usagef("'%s' is nothing that is asked of rules", ask.Verb)
}

// push publishes rule files. What was changed since their base by others stays, unless the files change it too.
func (d *ruleDesk) push(ctx context.Context, p publisher, pub bus.Publication, ask ruleAsk) (any, error) {
	files, _, err := pushedFiles(ask.Dir, ask.Files, ask.All, d.plugins.pinner())
	if err != nil {
		return nil, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	switch pub.Base = newest.Files.Revision.No; {
	case ask.Base != nil:
		pub.Base = *ask.Base
	case ask.PulledAt > pub.Base && ask.PulledAt <= newest.Revision.No:
		pub.Base = ask.PulledAt
	}
	base, err := d.state(ctx, pub.Base)
	if pub.Base == 0 {
		base, err = &bus.RuleState{}, nil
	}
	if err != nil {
		return nil, err
	}
	p.strict = !ask.byItself
	if ask.All {
		pub.Kind, pub.Files = "files", filesDigest(files)
	}
	return p.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) { return files.merge(base, newest) })
}

// changeMode puts a rule into another mode, with the text otherwise as it is.
func changeMode(newest *bus.RuleState, name, mode string, pin pinner) (ruleChange, error) {
	wanted, ok := rules.ParseMode(mode)
	if !ok {
		return ruleChange{}, badChoice("MODE", mode, "active", "shadow", "off", "draft")
	}
	stored, err := ruleOf(newest, name)
	if err != nil || stored.Mode == mode {
		return ruleChange{}, err
	}
	if stored.Text, err = rules.WithMode(stored.Text, wanted); err != nil {
		return ruleChange{}, err
	}
	r, err := storedRule(stored)
	if err == nil && stored.Plugin == "" {
		r, err = pin(r) // a draft may have been published without it
	}
	if err != nil {
		return ruleChange{}, err
	}
	return ruleChange{changed: []bus.StoredRule{toStore(r, stored.File, stored.Text)}}, nil
}

// rollBack makes the rules, or one of them, what they were.
func rollBack(newest, old *bus.RuleState, name string) (ruleChange, error) {
	if name != "" {
		was, existed := old.Rules[name]
		now, exists := newest.Rules[name]
		switch {
		case existed && exists && textKey(was) == textKey(now):
			return ruleChange{}, nil
		case existed:
			return ruleChange{changed: []bus.StoredRule{was}}, nil
		case exists:
			return ruleChange{removed: []string{name}}, nil
		}
		_, err := ruleOf(old, name)
		return ruleChange{}, err
	}
	p := &pushed{rules: old.Rules, layout: old.Layout, scope: func(string) bool { return true }}
	return p.merge(newest, newest)
}

func ruleOf(st *bus.RuleState, name string) (bus.StoredRule, error) {
	if r, ok := st.Rules[name]; ok {
		return r, nil
	}
	var names []string
	for known := range st.Rules {
		names = append(names, known)
	}
	slices.Sort(names)
	e := cdc.Errorf("CDCD-2315", "revision %d has no rule '%s'", st.Revision.No, name)
	if near, ok := strictyaml.Nearest(name, names); ok {
		return bus.StoredRule{}, e.WithFix("did you mean '%s'?", near)
	}
	return bus.StoredRule{}, e.WithFix("`cdcd rules list` shows what there is")
}

// state returns what held at a revision; 0 stands for the newest.
func (d *ruleDesk) state(ctx context.Context, no uint64) (*bus.RuleState, error) {
	newest, err := d.book.store.Newest(ctx)
	if err != nil || no == 0 {
		return newest, err
	}
	if no > newest.Revision.No {
		return nil, cdc.Errorf("CDCD-2315", "there is no revision %d of the rules", no).WithFix("the newest is %d; `cdcd rules history` shows all", newest.Revision.No)
	}
	return d.book.store.At(ctx, no)
}

// storeLag is how long a frame may be known before the revision that it names is.
const storeLag = 5 * time.Second

// judged returns what the frame of a sequence is judged by, that names a revision or none.
func (d *ruleDesk) judged(ctx context.Context, named string, seq uint64) (*bus.RuleState, error) {
	revision, err := cdc.ParseRevision(named)
	if err != nil {
		return nil, err
	}
	newest, err := d.book.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	if newest.Revision.No == 0 && named == "" {
		return nil, cdc.Errorf("CDCD-2315", "no rules have been published, so nothing has judged the event yet").
			WithFix("explain it by rule files: --files FILES")
	}
	ctx, cancel := context.WithTimeout(ctx, storeLag)
	defer cancel()
	return d.book.store.Resolve(ctx, revision, seq)
}

// history returns the publications, newest first; with a name those that changed this rule.
func (d *ruleDesk) history(ctx context.Context, name string) ([]api.Publication, error) {
	list := []api.Publication{}
	err := d.book.store.History(ctx, 1, func(p bus.Publication) error {
		info := api.Publication{Revision: p.Revision.No, ID: p.Revision.ID, Time: p.Time, Who: p.Who, Why: p.Why, Kind: p.Kind, Base: p.Base, Digest: p.Digest,
			Changed: []string{}, Removed: append([]string{}, p.Removed...), Tried: triedOf(p)}
		if p.StandsFor != nil {
			info.StandsFor = &api.Stand{Revision: p.StandsFor.Revision, From: p.StandsFor.From}
		}
		for i, r := range p.Changed {
			info.Changed = append(info.Changed, r.Name)
			if r.Plugin != "" && info.Plugins == nil {
				info.Plugins = make([]string, len(p.Changed))
			}
			if r.Plugin != "" {
				info.Plugins[i] = r.Plugin
			}
		}
		if name == "" || slices.Contains(info.Changed, name) || slices.Contains(info.Removed, name) {
			list = append(list, info)
		}
		return nil
	})
	slices.Reverse(list)
	return list, err
}

func (d *ruleDesk) list(ctx context.Context, name string) (*api.RuleList, error) {
	st, err := d.book.store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	if name != "" {
		if _, err := ruleOf(st, name); err != nil {
			return nil, err
		}
	}
	l := &api.RuleList{Revision: st.Revision.No, ID: st.Revision.ID, Digest: st.Digest, Running: d.running != nil, Rules: []api.Rule{}}
	for _, r := range st.Rules {
		if name != "" && r.Name != name {
			continue
		}
		info := api.Rule{Rule: r.Name, Mode: r.Mode, Version: r.Version, Plugin: r.Plugin, Revision: r.Revision.No, Since: r.Time, Who: r.Who, File: r.File}
		if d.running != nil {
			info.RuleSeen = d.running.rules.of(r.Name, name != "")
		}
		if name != "" {
			info.Text = r.Text
		}
		l.Rules = append(l.Rules, info)
	}
	slices.SortFunc(l.Rules, func(a, b api.Rule) int { return strings.Compare(a.Rule, b.Rule) })
	return l, nil
}

// deskAnswer is the body of POST /rules: a result, or findings, or a refusal.
type deskAnswer struct {
	Result   json.RawMessage `json:"result,omitempty"`
	Findings rules.Findings  `json:"findings,omitempty"`
	Refused  *refusal        `json:"refused,omitempty"`
}

// askRules answers POST /rules.
func (p *pipeline) askRules(w http.ResponseWriter, r *http.Request) {
	var ask ruleAsk
	if !readWish(w, r, 3*maxDraft, &ask) || !may(w, r, ask.needs()) {
		return
	}
	ask.Who = by(r, ask.Who)
	if ask.Draft != nil && (ask.Verb == "save_draft" || ask.Verb == "drop_draft") {
		ask.Draft.Author = by(r, ask.Draft.Author) // others' are read, and not written
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * storePatience))
	result, err := p.desk.answer(r.Context(), ask)
	var a deskAnswer
	if err == nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil && !errors.As(err, &a.Findings) {
		no := refusalOf(err)
		a.Refused = &no
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the client has gone away
}

// askDesk asks the running cdcd, or looks into the store itself when there is none.
func (a *app) askDesk(ctx context.Context, cfg *config, ask ruleAsk, result any) error {
	text, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	resp, err := callRunning(ctx, cfg, http.MethodPost, "/rules", bytes.NewReader(text), 2*storePatience)
	if cdc.CodeOf(err) == codeNotRunning {
		return a.openDesk(ctx, cfg, err, func(d *ruleDesk) error {
			answer, err := d.answer(ctx, ask)
			if err != nil {
				return err
			}
			text, err := json.Marshal(answer) // so that what is printed does not depend on who answers
			if err != nil {
				return err
			}
			return json.Unmarshal(text, result)
		})
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer deskAnswer
	switch err := json.Unmarshal(body, &answer); {
	case resp.StatusCode != http.StatusOK || err != nil:
		return fmt.Errorf("%s/rules: %s: %s", cfg.Console.Listen, resp.Status, clipped(body))
	case len(answer.Findings) > 0:
		return answer.Findings
	case answer.Refused != nil:
		return answer.Refused.err()
	}
	return json.Unmarshal(answer.Result, result)
}

func clipped(text []byte) string {
	return strconv.QuoteToGraphic(string(bytes.TrimSpace(text[:min(len(text), 300)])))
}

// openDesk opens the store here.
func (a *app) openDesk(ctx context.Context, cfg *config, unanswered error, do func(*ruleDesk) error) error {
	stream, err := a.unattended(ctx, cfg, unanswered)
	if err != nil {
		return err
	}
	defer stream.Close()
	store, err := stream.Rules(ctx)
	if err != nil {
		return err
	}
	plugins := newPlugins(cfg, a.log)
	defer plugins.Close()
	d := newRuleDesk(a, cfg, newRuleBook(store), plugins)
	d.drafts = stream.Drafts
	return do(d)
}

// configDir is the folder that rule files have their names from.
func (c *config) dir() string { return filepath.Dir(c.file) }
