package api

import (
	"encoding/json"
	"time"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// Rule is a rule of the newest revision, with what the running cdcd has seen of it.
type Rule struct {
	Rule     string    `json:"rule"`
	Mode     string    `json:"mode" enum:"active,shadow,off,draft"`
	Version  string    `json:"version" doc:"Over all that decides."`
	Plugin   string    `json:"plugin,omitempty" doc:"Digest of its plugin."`
	Revision uint64    `json:"revision" doc:"That changed it last."`
	Since    time.Time `json:"since"`
	Who      string    `json:"who"`
	File     string    `json:"file" doc:"Rule file that it came with; empty if it came alone."`
	RuleSeen
	Text   string  `json:"text,omitempty" doc:"Its text, where one rule is asked for: an entry of a rule file's list, with the comments above it."`
	Fields *Fields `json:"fields,omitempty" doc:"The same, field by field, in a list without its tests; of the HTTP API alone."`
}

// RuleSeen is what a rule has made of changes.
type RuleSeen struct {
	Matches   uint64            `json:"matches" doc:"Since this cdcd was started."`
	Errors    uint64            `json:"errors"`
	LastError string            `json:"last_error,omitempty"`
	Broken    string            `json:"broken,omitempty" doc:"Why it does not fit its tables any more."`
	Samples   []json.RawMessage `json:"samples,omitempty" doc:"The last matches of a rule that only watches; of the command line alone."`
	Lines     []string          `json:"lines,omitempty" doc:"The same as text, whose numbers have all their digits; of the HTTP API alone."`
}

// RuleList is the rules of the newest revision.
type RuleList struct {
	Revision uint64 `json:"revision"`
	ID       string `json:"id"`
	Digest   string `json:"digest"`
	Running  bool   `json:"running" doc:"Whether matches and errors are known."`
	Rules    []Rule `json:"rules"`
}

// Fields is a rule as it is written, field by field, with the keys of rule files. What is not written is not there; what has mistakes
// is as it is written.
type Fields map[string]json.RawMessage

// Publication is a line of the history.
type Publication struct {
	Revision  uint64    `json:"revision"`
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Who       string    `json:"who"`
	Why       string    `json:"why"`
	Kind      string    `json:"kind" doc:"What was done: files, push, publish, mode, rollback, remove, adopt."`
	Base      uint64    `json:"base" doc:"The revision that the publisher knew."`
	Digest    string    `json:"digest"`
	Changed   []string  `json:"changed"`
	Removed   []string  `json:"removed"`
	Plugins   []string  `json:"plugins,omitempty" doc:"Digests of the plugins of changed rules, empty for a rule without one; none: no rule has one."`
	StandsFor *Stand    `json:"stands_for,omitempty"`
	Tried     *Tried    `json:"tried,omitempty" doc:"How it was tried before; none: it came from files, or only a mode was changed."`
}

// Stand is a revision that another stands for, as of a frame.
type Stand struct {
	Revision string `json:"revision"`
	From     uint64 `json:"from"`
}

// Tried says how a publication was tried: by a back-test, or why not.
type Tried struct {
	Backtest string    `json:"backtest,omitempty" doc:"Its name."`
	Ended    time.Time `json:"ended,omitzero"`
	From     time.Time `json:"from,omitzero" doc:"Commit time of the earliest change that was read."`
	To       time.Time `json:"to,omitzero"`
	Read     uint64    `json:"read,omitempty"`
	Matched  uint64    `json:"matched,omitempty"`
	Added    uint64    `json:"added,omitempty"`
	Lost     uint64    `json:"lost,omitempty"`
	Errors   uint64    `json:"errors,omitempty"`
	Untested string    `json:"untested,omitempty" doc:"Why there was no back-test."`
}

// RuleDiff is how a rule differs between two revisions.
type RuleDiff struct {
	Rule    string      `json:"rule"`
	What    string      `json:"what" enum:"added,removed,changed"`
	Decides bool        `json:"decides" doc:"Changes may be judged otherwise; else only the text is another."`
	Fields  []FieldDiff `json:"fields,omitempty"`

	From string `json:"from,omitempty" doc:"The text."`
	To   string `json:"to,omitempty"`
}

// FieldDiff is one key of a rule that has another value.
type FieldDiff struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// RulesDiff is how rules differ between two revisions.
type RulesDiff struct {
	From  string     `json:"from"`
	To    string     `json:"to"`
	Rules []RuleDiff `json:"rules"`
}

// RuleDraft is a text of a rule that its author has not published.
type RuleDraft struct {
	Author  string    `json:"author"`
	Name    string    `json:"name" doc:"Of the rule that it is of, or will be."`
	Text    string    `json:"text,omitempty" doc:"Left out of lists."`
	Base    uint64    `json:"base" doc:"Revision of the rules that it was begun from."`
	Version uint64    `json:"version" doc:"Send it when saving again, so that two tabs do not overwrite each other."`
	Saved   time.Time `json:"saved"`
	New     bool      `json:"new" doc:"There is no rule of this name yet."`
	Moved   *Moved    `json:"moved,omitempty" doc:"Somebody has published the rule since the draft was begun."`
}

// Moved is what somebody else has published meanwhile.
type Moved struct {
	Revision uint64    `json:"revision"`
	Who      string    `json:"who"`
	Why      string    `json:"why"`
	Time     time.Time `json:"time"`
	Diff     *RuleDiff `json:"diff,omitempty" doc:"From the revision that the draft was begun from to the one in force."`
}

// RuleDrafts is drafts, the one that was saved last first.
type RuleDrafts struct {
	Drafts []RuleDraft `json:"drafts"`
}

// RuleFinding is one thing that is wrong with a rule's text, or worth saying. Offsets count UTF-16 code units, as browsers do.
type RuleFinding struct {
	Code       string            `json:"code"`
	Severity   string            `json:"severity" enum:"error,warning"`
	Message    string            `json:"message"`
	Suggestion string            `json:"suggestion,omitempty"`
	Line       int               `json:"line" doc:"Of the text, from 1."`
	From       int               `json:"from" doc:"[from, to) of the text."`
	To         int               `json:"to"`
	Field      string            `json:"field,omitempty" doc:"Where it is: when, lookup.customer.by."`
	Condition  *Span             `json:"condition,omitempty" doc:"The same, within the condition that it is in."`
	Edits      []strictyaml.Edit `json:"edits,omitempty" doc:"Of the text, that do what the suggestion says; all of them at once."`
	Edit       *SpanEdit         `json:"edit,omitempty" doc:"The same as one edit of the condition."`
	Docs       string            `json:"docs"`
}

// Span is a part of a condition.
type Span struct {
	Key  string `json:"key" enum:"when,where,having"`
	From int    `json:"from"`
	To   int    `json:"to"`
}

// SpanEdit is an edit of a condition.
type SpanEdit struct {
	Span
	Text string `json:"text"`
}

// CheckedRule is a rule's text, and what there is to say of it.
type CheckedRule struct {
	Text     string        `json:"text" doc:"With what was set."`
	Name     string        `json:"name"`
	Readable bool          `json:"readable" doc:"It can be judged by: it has no mistake that keeps it from being read."`
	Fields   Fields        `json:"fields" doc:"For forms: what is written."`
	Key      string        `json:"key,omitempty" enum:"when,where" doc:"Which condition it has."`
	Version  string        `json:"version,omitempty"`
	Asks     string        `json:"asks,omitempty" doc:"Over all that decides what it matches: back-tests of the same are of use."`
	Tables   []string      `json:"tables" doc:"That it names, of those that are known."`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	Findings []RuleFinding `json:"findings"`
	Unknown  string        `json:"unknown,omitempty" doc:"Why it could not be checked against tables."`
}

// OK reports whether there is no error.
func (c CheckedRule) OK() bool { return c.Errors == 0 }

// Completion is what may be written at a place, and what it takes the place of.
type Completion struct {
	From  int          `json:"from" doc:"[from, to) in UTF-16 code units, of the condition or of the text."`
	To    int          `json:"to"`
	Items []rules.Item `json:"items"`
}

// JudgedEvent is a change with what a draft makes of it.
type JudgedEvent struct {
	Event
	rules.Verdict
	Was *rules.Verdict `json:"was,omitempty" doc:"What the rule of this name that is in force makes of it."`
}

// Evaluated is what a draft makes of changes, the newest first.
type Evaluated struct {
	Events   []JudgedEvent `json:"events"`
	Matched  int           `json:"matched"`
	Failed   int           `json:"failed"`
	Readable bool          `json:"readable" doc:"False: the draft has mistakes, and verdicts are left out."`
}

// EventVerdicts is what all rules that are for a change make of it.
type EventVerdicts struct {
	Event string                   `json:"event"`
	Rules map[string]rules.Verdict `json:"rules"`
}

// RuleTests is the outcome of a rule's tests.
type RuleTests struct {
	Tests  int        `json:"tests"`
	Passed int        `json:"passed"`
	Failed int        `json:"failed"`
	Each   []RuleTest `json:"each"`

	Coverage []rules.Part `json:"coverage" doc:"What the tests have shown of the condition, part by part; offsets are UTF-16 code units of it."`
}

// OK reports whether all have passed.
func (r RuleTests) OK() bool { return r.Failed == 0 }

// RuleTest is the outcome of one.
type RuleTest struct {
	Test    string       `json:"test"`
	Passed  bool         `json:"passed"`
	Failure *RuleFinding `json:"failure,omitempty"`
}

// Published is what came of a publication.
type Published struct {
	Revision uint64     `json:"revision" doc:"The newest one now."`
	ID       string     `json:"id"`
	Base     uint64     `json:"base"`
	From     uint64     `json:"in_force_from,omitempty" doc:"The first frame that is judged by it; none yet."`
	DryRun   bool       `json:"dry_run,omitempty"`
	Changed  []RuleDiff `json:"changed" doc:"None: nothing was published, the rules are so already."`
	Findings []Error    `json:"findings,omitempty" doc:"Warnings."`
	Checked  bool       `json:"checked" doc:"Against the tables."`
	Tried    *Tried     `json:"tried,omitempty"`
}

// Publish is what is to be published.
type Publish struct {
	Texts    []string `json:"texts,omitempty" maxItems:"100" doc:"Of rules."`
	Draft    string   `json:"draft,omitempty" doc:"Or the caller's draft of this name, which is thrown away once it is published."`
	Author   string   `json:"author,omitempty" doc:"Whose draft; default: the caller's."`
	Base     uint64   `json:"base,omitempty" doc:"Revision that the texts were made from; default: the draft's. Who sends the newest takes over what others have published meanwhile."`
	Mode     string   `json:"mode,omitempty" enum:"active,shadow,off,draft" doc:"That the rules get; default: as it is written."`
	Why      string   `json:"why" minLength:"1" maxLength:"2000" doc:"For those who read the history."`
	Backtest string   `json:"backtest,omitempty" doc:"That has tried it: of the same condition, on the same tables, not older than a day."`
	Untested string   `json:"untested,omitempty" maxLength:"500" doc:"Or why there is none. Rules that are to be shadow, off or draft need neither."`
	DryRun   bool     `json:"dry_run,omitempty" doc:"Check, and show what would change."`
}

// Backtest is a job that tries a draft on the changes that have already happened. It runs in the cdcd that runs, which remembers it
// until it ends.
type Backtest struct {
	ID      string    `json:"id"`
	Rules   []string  `json:"rules"`
	Who     string    `json:"who"`
	State   string    `json:"state" enum:"waiting,running,done,stopped,failed"`
	Asked   time.Time `json:"asked"`
	Begun   time.Time `json:"begun,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	From    time.Time `json:"from,omitzero" doc:"What was asked for."`
	To      time.Time `json:"to,omitzero"`
	Asks    []string  `json:"asks" doc:"Over the condition of each rule."`
	Schema  string    `json:"schema" doc:"Over the columns of the tables that they name."`
	Read    uint64    `json:"read" doc:"Changes so far."`
	Matched uint64    `json:"matched"`
	Errors  uint64    `json:"errors"`
	Seq     uint64    `json:"seq" doc:"Frame that it has come to, of last_seq."`
	LastSeq uint64    `json:"last_seq"`
	At      time.Time `json:"at,omitzero" doc:"Commit time that it has come to."`
	Error   *Error    `json:"error,omitempty"`

	Result *BacktestReport `json:"result,omitempty" doc:"Where one is asked for."`
}

// Backtests is jobs, the newest first.
type Backtests struct {
	Backtests []Backtest `json:"backtests"`
	Kept      string     `json:"kept" doc:"How long they are remembered."`
}

// BacktestReport is the outcome of a back-test, as cdcd rules backtest -o json prints it, with changes as text.
type BacktestReport struct {
	Read         uint64         `json:"read" doc:"Changes of the history, of whatever table."`
	First        time.Time      `json:"first,omitzero"`
	Last         time.Time      `json:"last,omitzero"`
	Matched      uint64         `json:"matched"`
	Errors       uint64         `json:"errors"`
	Rows         BacktestCount  `json:"rows" doc:"Distinct rows among those that matched."`
	DraftCost    BacktestCost   `json:"draft_cost"`
	ActiveCost   BacktestCost   `json:"active_cost"`
	Rules        []BacktestRule `json:"rules"`
	Days         []BacktestDay  `json:"days"`
	Feeds        []BacktestFeed `json:"feeds"`
	Seconds      float64        `json:"seconds"`
	Partial      bool           `json:"partial" doc:"It was stopped before the history's end."`
	Why          string         `json:"why,omitempty"`
	NotSimulated []string       `json:"not_simulated"`
	NotRecorded  uint64         `json:"not_recorded,omitempty"`
}

// BacktestCount is a number of distinct things, which may be an estimate.
type BacktestCount struct {
	N         uint64 `json:"n"`
	Estimated bool   `json:"estimated,omitempty"`
}

// BacktestCost is what judging took, of one core.
type BacktestCost struct {
	NsPerChange float64 `json:"ns_per_change"`
}

// BacktestRule is what became of one rule.
type BacktestRule struct {
	Name      string          `json:"name"`
	Version   string          `json:"version"`
	Against   string          `json:"against,omitempty" doc:"Version of the rule of this name that is in force."`
	Evaluated uint64          `json:"evaluated"`
	Matched   uint64          `json:"matched"`
	Errors    uint64          `json:"errors"`
	Rows      BacktestCount   `json:"rows"`
	Filter    *BacktestFilter `json:"filter,omitempty"`

	Same     uint64            `json:"same"`
	Changed  uint64            `json:"changed"`
	Added    uint64            `json:"added"`
	Lost     uint64            `json:"lost"`
	Days     []BacktestDay     `json:"days"`
	Examples []BacktestExample `json:"examples"`
}

// BacktestFilter is what the plugin of a rule made of what was let through to it.
type BacktestFilter struct {
	Plugin  string `json:"plugin"`
	Digest  string `json:"digest,omitempty"`
	Asked   uint64 `json:"asked"`
	Kept    uint64 `json:"kept"`
	Edited  uint64 `json:"edited"`
	Dropped uint64 `json:"dropped"`
	Failed  uint64 `json:"failed"`
}

// BacktestDay counts one day, by the commit time in UTC.
type BacktestDay struct {
	Day     string `json:"day" example:"2026-11-21"`
	Matched uint64 `json:"matched"`
	Added   uint64 `json:"added"`
	Lost    uint64 `json:"lost"`
	Errors  uint64 `json:"errors"`
}

// BacktestExample is one change of the history.
type BacktestExample struct {
	Kind   string `json:"kind" enum:"added,lost,changed,same,error"`
	ID     string `json:"id"`
	No     uint64 `json:"no"`
	Change string `json:"change,omitempty"`
	Was    string `json:"was,omitempty"`
	Error  string `json:"error,omitempty"`
	Line   string `json:"line" doc:"The change as JSON, as text."`
}

// BacktestFeed estimates what would be delivered to one feed.
type BacktestFeed struct {
	Feed   string         `json:"feed"`
	Draft  BacktestVolume `json:"draft"`
	Active BacktestVolume `json:"active"`
}

// BacktestVolume is an estimate of what a feed delivers.
type BacktestVolume struct {
	Records uint64 `json:"records" doc:"Exact."`
	Objects uint64 `json:"objects" doc:"About."`
	Bytes   uint64 `json:"bytes" doc:"About, as stored."`
}

// History is publications, the newest first.
type History struct {
	Publications []Publication `json:"publications"`
}

// Functions is the reference of what conditions can use. Its examples are about a change of Table.
type Functions struct {
	Version   int              `json:"version"`
	Functions []rules.Function `json:"functions"`
	Table     string           `json:"table"`
}

// RuleText is what is asked about a text: the text, and fields that are to be changed in it first.
type RuleText struct {
	Text string `json:"text" maxLength:"262144" doc:"Of one rule: an entry of a rule file's list, with the comments above it."`
	Set  Fields `json:"set,omitempty" doc:"Fields to change first, with comments kept: {\"when\": \"after.id > 1\", \"on\": [\"update\"]}; null removes one."`
}

// Reason is why something is changed.
type Reason struct {
	Why    string `json:"why" minLength:"1" maxLength:"2000" doc:"For those who read the history."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Check, and show what would change."`
}
