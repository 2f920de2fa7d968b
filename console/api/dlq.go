package api

import (
	"encoding/json"
	"time"
)

// DLQGroup is dead letters of one cause.
type DLQGroup struct {
	ID string `json:"id" example:"g8715c5f2"`
	DLQCause
	Open    int            `json:"open" doc:"That nothing has become of yet."`
	Settled map[string]int `json:"settled" doc:"How many were redriven, no_match or discarded."`
	Edited  int            `json:"edited" doc:"Letters with corrections."`
	First   time.Time      `json:"first" doc:"When the first of the changes was committed."`
	Last    time.Time      `json:"last"`
	Example string         `json:"example" doc:"The ID of an open letter, or of any."`
	Error   string         `json:"error" doc:"Of that one."`
	Fix     string         `json:"fix,omitempty" doc:"What to do about such an error."`
}

// DLQCause is what letters have in common that will likely be mended together.
type DLQCause struct {
	Feed  string `json:"feed"`
	Rule  string `json:"rule"`
	Table string `json:"table"`
	Code  string `json:"code" doc:"Of the error; empty if it has none."`
}

// DLQList is groups of dead letters, those of which most are open first.
type DLQList struct {
	Open   int        `json:"open"`
	Groups []DLQGroup `json:"groups"`
}

// DeadLetter is a change that a rule could not judge. The command line has the change as event, the API as line.
type DeadLetter struct {
	ID          string          `json:"id" doc:"feed/number." example:"acme/39006"`
	Group       string          `json:"group"`
	Feed        string          `json:"feed"`
	Frame       uint64          `json:"frame" doc:"Number of its frame in the stream."`
	RuleSet     string          `json:"rule_set"`
	State       string          `json:"state" enum:"open,redriven,no_match,discarded"`
	Job         string          `json:"job,omitempty" doc:"That has settled it."`
	By          string          `json:"by,omitempty" doc:"Of the job."`
	Why         string          `json:"why,omitempty" doc:"Of the job."`
	SHA256      string          `json:"sha256"`
	Errors      []DLQError      `json:"errors"`
	DeliveredBy []string        `json:"delivered_by" doc:"Rules that had it delivered in its place."`
	Incomplete  bool            `json:"incomplete,omitempty" doc:"Values were too large to be captured."`
	Event       json.RawMessage `json:"event,omitempty" doc:"Of the command line alone."`
	Line        string          `json:"line,omitempty" doc:"The change, as JSON."`
	Edited      string          `json:"edited,omitempty" doc:"The change with the last of its corrections, as JSON: what is judged."`
	Edits       []DLQEdit       `json:"edits,omitempty"`
}

// DLQError says why a rule could not judge the change.
type DLQError struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Code    string `json:"code,omitempty"`
	OnError string `json:"on_error"`
	Error   string `json:"error"`
	Fix     string `json:"fix,omitempty" doc:"What to do about such an error."`
}

// DLQEdit is a correction of a dead letter. The original stays as it is.
type DLQEdit struct {
	Letter string          `json:"letter"`
	No     int             `json:"edit" doc:"1 is the first; the last one holds."`
	At     time.Time       `json:"at"`
	By     string          `json:"by"`
	Why    string          `json:"why,omitempty"`
	Set    json.RawMessage `json:"set,omitempty" doc:"Of the command line alone."`
	Text   string          `json:"text,omitempty" doc:"What is set, as JSON: {\"before\":{column: value},\"after\":{…}}."`
}

// DeadLetters is some of them, in the order in which they came.
type DeadLetters struct {
	Letters []DeadLetter `json:"letters"`
	Of      int          `json:"of" doc:"Letters that were asked for."`
	More    int          `json:"more" doc:"Letters behind the last of these."`
}

// DLQOutcome is what becomes, or became, of a letter.
type DLQOutcome struct {
	ID      string   `json:"id"`
	Event   string   `json:"event"`
	Table   string   `json:"table"`
	Outcome string   `json:"outcome" enum:"matches,no_match,fails,no_rule,delivered,unknown,settled,discarded" doc:"matches: its record is for delivery. no_match: it does not matter any more. fails: still. no_rule: the rules that could not judge it are gone. delivered: by other rules, in its place. unknown: an older cdcd did not note whether it was. settled: by an earlier job."`
	Rules   []string `json:"rules,omitempty" doc:"That match."`
	Why     string   `json:"why,omitempty"`
	Edits   int      `json:"edits,omitempty" doc:"Corrections that it has."`
}

// DLQResult is what came of a wish.
type DLQResult struct {
	Do      string           `json:"do" enum:"retest,redrive,discard"`
	DryRun  bool             `json:"dry_run"`
	RuleSet string           `json:"rule_set,omitempty"`
	Counts  map[string]int64 `json:"counts" doc:"Letters by outcome."`
	Jobs    []string         `json:"jobs" doc:"feed/number."`
	Into    []string         `json:"into" doc:"Where records were delivered to."`
	Letters []DLQOutcome     `json:"letters"`
	More    int              `json:"more,omitempty" doc:"Letters that are not in the list."`
}

// DLQProgress is how far it is.
type DLQProgress struct {
	Letters   int64 `json:"letters" doc:"Looked at."`
	Delivered int64 `json:"delivered"`
}

// DLQWish is what is to be done with dead letters.
type DLQWish struct {
	Feeds []string `json:"feeds,omitempty" maxItems:"50" doc:"Only of these."`
	What  []string `json:"what,omitempty" maxItems:"1000" doc:"IDs of letters and groups; for a retest and a dry run none are all that are open."`
	Texts []string `json:"texts,omitempty" maxItems:"100" doc:"Retest: of rules, to judge by instead of those in force."`
	Edit  string   `json:"edit,omitempty" maxLength:"1048576" doc:"Correction of the one letter, as JSON: {\"before\":{column: value},\"after\":{…}}."`
	Yes   bool     `json:"yes,omitempty" doc:"Do it; else only say what would be done."`
	Why   string   `json:"why,omitempty" maxLength:"500" doc:"For the audit log; required with yes. No personal data."`
	By    string   `json:"by,omitempty" maxLength:"200" doc:"Who, where nobody is asked who he is."`
}

// DLQJob is a wish that is being fulfilled. What takes longer than a moment goes on while its job is asked for, and messages "job" of the stream tell how far it is.
type DLQJob struct {
	ID       string      `json:"id"`
	Do       string      `json:"do" enum:"retest,redrive,discard"`
	DryRun   bool        `json:"dry_run"`
	Who      string      `json:"who"`
	Why      string      `json:"why,omitempty"`
	State    string      `json:"state" enum:"running,done,stopped,failed"`
	Begun    time.Time   `json:"begun"`
	Ended    time.Time   `json:"ended,omitzero"`
	Progress DLQProgress `json:"progress"`
	Error    *Error      `json:"error,omitempty"`
	Result   *DLQResult  `json:"result,omitempty" doc:"When it has ended; what was done until then when it has failed."`
}
