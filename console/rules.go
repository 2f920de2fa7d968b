package console

import (
	"context"
	"net/http"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// Rules is asked for the rules that are published.
type Rules interface {
	// Rules returns those of the newest revision, or the one of a name with its text; at another revision, if it is not 0.
	Rules(ctx context.Context, name string, revision uint64) (api.RuleList, error)
	// Publications returns them, the newest first; with a name those that changed this rule.
	Publications(ctx context.Context, name string) ([]api.Publication, error)
	// Diff compares two revisions, of which 0 is the newest; with a name this rule alone.
	Diff(ctx context.Context, name string, from, to uint64) (api.RulesDiff, error)
	// Change publishes something. The error is CDCD-2356 when somebody else has published the same rules meanwhile.
	Change(ctx context.Context, by string, c RuleChange) (api.Published, error)
}

// RuleChange is what is to be published: texts or a draft, or for the rule of a name another mode, what it was at a revision, or that
// it goes.
type RuleChange struct {
	api.Publish
	Kind     string // publish, mode, rollback, remove
	Rule     string
	Revision uint64
}

// Trials is asked for what rules are checked against and tried on.
type Trials interface {
	// Known returns what a rule can be about. Tables are missing when they are not known; the error says why.
	Known(ctx context.Context) (rules.Known, error)
	// Ready returns a set whose plugins are pinned and can be asked, as far as that can be.
	Ready(ctx context.Context, set *rules.Set) (*rules.Set, error)
	// Changes returns the newest changes of tables, the newest first, and of each operation one at least, if one is known.
	Changes(ctx context.Context, tables []*cdc.Table, most int) ([]cdc.Event, error)
	// Find returns the change of a number or an ID.
	Find(ctx context.Context, no uint64, id string, at time.Time) (cdc.Event, error)
}

// Drafts is asked for what people have not published yet.
type Drafts interface {
	Drafts(ctx context.Context, author string) ([]api.RuleDraft, error) // "": of everybody
	Draft(ctx context.Context, author, name string) (api.RuleDraft, error)
	SaveDraft(ctx context.Context, d api.RuleDraft) (api.RuleDraft, error)
	DropDraft(ctx context.Context, author, name string, version uint64) error
}

// Backtests is asked to try drafts on the past.
type Backtests interface {
	Backtests(ctx context.Context) (api.Backtests, error)
	Backtest(ctx context.Context, id string) (api.Backtest, error)
	// StartBacktest begins one of a rule's texts, as soon as those before it have ended.
	StartBacktest(ctx context.Context, who string, texts []string, from, to time.Time, examples int) (api.Backtest, error)
	StopBacktest(ctx context.Context, id string) (api.Backtest, error)
}

// RuleNamed is the path of operations on one rule.
type RuleNamed struct {
	Name string `path:"name" doc:"Of the rule." example:"paid-big-order" maxLength:"128"`
}

func (c *Console) rules() {
	add(c, operation{kind: "rules.list", method: http.MethodGet, path: "/rules", role: api.Viewer, summary: "The rules that are published, with what they have matched"},
		func(ctx context.Context, _ *nothing) (api.RuleList, error) {
			return c.cfg.Backend.Rules.Rules(ctx, "", 0)
		})
	type one struct {
		RuleNamed
		Revision uint64 `query:"revision" doc:"As it was at a revision; default: as it is."`
	}
	add(c, operation{kind: "rules.show", method: http.MethodGet, path: "/rules/{name}", role: api.Viewer, summary: "A rule with its text and its fields"},
		func(ctx context.Context, in *one) (api.Rule, error) {
			list, err := c.cfg.Backend.Rules.Rules(ctx, in.Name, in.Revision)
			if err != nil {
				return api.Rule{}, err
			}
			r := list.Rules[0]
			fields := api.Fields(rules.ReadRuleText(r.Text).Fields())
			r.Fields = &fields
			return r, nil
		})
	add(c, operation{kind: "rules.history", method: http.MethodGet, path: "/rules/{name}/history", role: api.Viewer, summary: "Who changed a rule, when and why"},
		func(ctx context.Context, in *RuleNamed) (api.History, error) {
			list, err := c.cfg.Backend.Rules.Publications(ctx, in.Name)
			return api.History{Publications: list}, err
		})
	add(c, operation{kind: "rules.revisions", method: http.MethodGet, path: "/revisions", role: api.Viewer, summary: "Who changed rules, when and why"},
		func(ctx context.Context, _ *nothing) (api.History, error) {
			list, err := c.cfg.Backend.Rules.Publications(ctx, "")
			return api.History{Publications: list}, err
		})
	type diff struct {
		Name string `query:"name" doc:"Of one rule; default: all." maxLength:"128"`
		From uint64 `query:"from" doc:"Revision; 0: the newest."`
		To   uint64 `query:"to"`
	}
	add(c, operation{kind: "rules.diff", method: http.MethodGet, path: "/revisions/diff", role: api.Viewer, summary: "How rules differ between two revisions"},
		func(ctx context.Context, in *diff) (api.RulesDiff, error) {
			return c.cfg.Backend.Rules.Diff(ctx, in.Name, in.From, in.To)
		})
	add(c, operation{kind: "rules.functions", method: http.MethodGet, path: "/functions", role: api.Viewer, summary: "The functions that conditions can use, with examples"},
		func(context.Context, *nothing) (api.Functions, error) {
			return api.Functions{Version: rules.FunctionsVersion, Functions: rules.Functions(), Table: rules.ReferenceTable}, nil
		})
	c.ruleChanges()
	c.ruleTexts()
	c.drafts()
	c.backtests()
}

// ruleChanges are the operations that publish.
func (c *Console) ruleChanges() {
	change := func(ctx context.Context, change RuleChange) (api.Published, error) {
		return c.cfg.Backend.Rules.Change(ctx, c.author(ctx), change)
	}
	type publish struct{ Body api.Publish }
	add(c, operation{kind: "rules.publish", method: http.MethodPost, path: "/rules/publish", role: api.Publisher, most: 4 << 20,
		summary: "Publish rules", text: "An active rule needs a back-test of its condition, or a reason for doing without one (CDCD-2354). When somebody else has " +
			"published one of the rules since base, nothing is published (CDCD-2356, status 409): GET /drafts/{name} has the difference."},
		func(ctx context.Context, in *publish) (api.Published, error) {
			return change(ctx, RuleChange{Kind: "publish", Publish: in.Body})
		})
	type mode struct {
		RuleNamed
		Body struct {
			api.Reason
			Mode string `json:"mode" enum:"active,shadow,off,draft"`
		}
	}
	add(c, operation{kind: "rules.mode", method: http.MethodPost, path: "/rules/{name}/mode", role: api.Publisher, summary: "Put a rule into another mode"},
		func(ctx context.Context, in *mode) (api.Published, error) {
			return change(ctx, RuleChange{Kind: "mode", Rule: in.Name, Publish: api.Publish{Mode: in.Body.Mode, Why: in.Body.Why, DryRun: in.Body.DryRun}})
		})
	type rollback struct {
		RuleNamed
		Body struct {
			api.Reason
			Revision uint64 `json:"revision" minimum:"1" doc:"What the rule was then it becomes again; one that was not there then goes."`
		}
	}
	add(c, operation{kind: "rules.rollback", method: http.MethodPost, path: "/rules/{name}/rollback", role: api.Publisher, summary: "Publish a rule as it was"},
		func(ctx context.Context, in *rollback) (api.Published, error) {
			return change(ctx, RuleChange{Kind: "rollback", Rule: in.Name, Revision: in.Body.Revision, Publish: api.Publish{Why: in.Body.Why, DryRun: in.Body.DryRun}})
		})
	type remove struct {
		RuleNamed
		Body api.Reason
	}
	add(c, operation{kind: "rules.remove", method: http.MethodPost, path: "/rules/{name}/remove", role: api.Publisher, summary: "Take a rule away; its history stays"},
		func(ctx context.Context, in *remove) (api.Published, error) {
			return change(ctx, RuleChange{Kind: "remove", Rule: in.Name, Publish: api.Publish{Why: in.Body.Why, DryRun: in.Body.DryRun}})
		})
}

// author is under which name somebody writes.
func (c *Console) author(ctx context.Context) string {
	if user := CallerOf(ctx).User; user != "" {
		return user
	}
	return "console"
}

func (c *Console) drafts() {
	type list struct {
		All bool `query:"all" doc:"Those of everybody; default: the caller's."`
	}
	add(c, operation{kind: "drafts.list", method: http.MethodGet, path: "/drafts", role: api.Viewer, summary: "Drafts of rules"},
		func(ctx context.Context, in *list) (api.RuleDrafts, error) {
			author := c.author(ctx)
			if in.All {
				author = ""
			}
			drafts, err := c.cfg.Backend.Drafts.Drafts(ctx, author)
			return api.RuleDrafts{Drafts: drafts}, err
		})
	type one struct {
		Name   string `path:"name" maxLength:"128"`
		Author string `query:"author" doc:"Default: the caller." maxLength:"256"`
	}
	add(c, operation{kind: "drafts.show", method: http.MethodGet, path: "/drafts/{name}", role: api.Viewer, summary: "A draft, and what somebody else has published since it was begun"},
		func(ctx context.Context, in *one) (api.RuleDraft, error) {
			author := in.Author
			if author == "" {
				author = c.author(ctx)
			}
			return c.cfg.Backend.Drafts.Draft(ctx, author, in.Name)
		})
	type save struct {
		Name string `path:"name" maxLength:"128"`
		Body struct {
			Text    string `json:"text" maxLength:"262144"`
			Base    uint64 `json:"base,omitempty" doc:"Revision of the rules that it was begun from; 0: there were none."`
			Version uint64 `json:"version,omitempty" doc:"That was read; 0: there was none."`
		}
	}
	add(c, operation{kind: "drafts.save", method: http.MethodPut, path: "/drafts/{name}", role: api.Analyst,
		summary: "Keep a draft", text: "It need not be right. CDCD-2351 (status 409) says that it was saved elsewhere meanwhile."},
		func(ctx context.Context, in *save) (api.RuleDraft, error) {
			return c.cfg.Backend.Drafts.SaveDraft(ctx, api.RuleDraft{Author: c.author(ctx), Name: in.Name, Text: in.Body.Text, Base: in.Body.Base, Version: in.Body.Version})
		})
	type drop struct {
		Name    string `path:"name" maxLength:"128"`
		Version uint64 `query:"version" doc:"That was read; 0: whichever there is."`
	}
	add(c, operation{kind: "drafts.drop", method: http.MethodDelete, path: "/drafts/{name}", role: api.Analyst, summary: "Throw a draft away"},
		func(ctx context.Context, in *drop) (api.RuleDraft, error) {
			author := c.author(ctx)
			return api.RuleDraft{Author: author, Name: in.Name}, c.cfg.Backend.Drafts.DropDraft(ctx, author, in.Name, in.Version)
		})
}

func (c *Console) backtests() {
	add(c, operation{kind: "backtests.list", method: http.MethodGet, path: "/backtests", role: api.Viewer, summary: "Back-tests, the newest first, without their results"},
		func(ctx context.Context, _ *nothing) (api.Backtests, error) {
			return c.cfg.Backend.Backtests.Backtests(ctx)
		})
	type named struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(c, operation{kind: "backtests.show", method: http.MethodGet, path: "/backtests/{id}", role: api.Viewer, summary: "How far a back-test is, and at last its result"},
		func(ctx context.Context, in *named) (api.Backtest, error) {
			return c.cfg.Backend.Backtests.Backtest(ctx, in.ID)
		})
	type start struct {
		Body struct {
			Texts    []string  `json:"texts" minItems:"1" maxItems:"100" doc:"Of rules."`
			From     time.Time `json:"from,omitzero" doc:"Only changes that were committed since."`
			To       time.Time `json:"to,omitzero" doc:"Only changes that were committed before."`
			Examples int       `json:"examples,omitempty" default:"20" minimum:"0" maximum:"100" doc:"Of each kind and rule."`
		}
	}
	add(c, operation{kind: "backtests.start", method: http.MethodPost, path: "/backtests", role: api.Analyst, most: 4 << 20,
		summary: "Try rules on the changes that have already happened", text: "One runs at a time, the others wait. It goes on when who asked goes away, and is remembered until cdcd ends."},
		func(ctx context.Context, in *start) (api.Backtest, error) {
			return c.cfg.Backend.Backtests.StartBacktest(ctx, c.author(ctx), in.Body.Texts, in.Body.From, in.Body.To, in.Body.Examples)
		})
	add(c, operation{kind: "backtests.stop", method: http.MethodDelete, path: "/backtests/{id}", role: api.Analyst, summary: "Stop a back-test; what it has found so far stays"},
		func(ctx context.Context, in *named) (api.Backtest, error) {
			return c.cfg.Backend.Backtests.StopBacktest(ctx, in.ID)
		})
}
