package backtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Report is the outcome of a back-test. It is data: for people, for machines and for a console.
type Report struct {
	Read    uint64    `json:"read"`           // changes of the history, of whatever table
	First   time.Time `json:"first,omitzero"` // commit time of the earliest of them
	Last    time.Time `json:"last,omitzero"`  // and of the latest
	Matched uint64    `json:"matched"`        // changes that one rule of the draft or more matched
	Errors  uint64    `json:"errors"`         // changes that one rule of the draft or more could not judge
	Rows    Count     `json:"rows"`           // distinct rows among those that matched
	Draft   Cost      `json:"draft_cost"`     // of all rules of the draft together
	Active  Cost      `json:"active_cost"`    // of the same rules as they are in force
	Rules   []Rule    `json:"rules"`          // in the order of the draft
	Days    []Day     `json:"days"`           // of all rules together, in order
	Feeds   []Feed    `json:"feeds"`          // what the rules of the draft would deliver, by feed
	Seconds float64   `json:"seconds"`        // that it took
	Partial bool      `json:"partial"`        // it was stopped before the history's end
	Why     string    `json:"why,omitempty"`  // it was stopped

	NotSimulated []string `json:"not_simulated"`

	// NotRecorded counts changes with look-ups of which it is not known what was found; they are judged as if it were there.
	NotRecorded uint64 `json:"not_recorded,omitempty"`
}

// Rule is what became of one rule of the draft.
type Rule struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Against   string `json:"against,omitempty"` // version of the rule of this name that is in force; "" when there is none
	Evaluated uint64 `json:"evaluated"`         // changes of its tables and operations
	Matched   uint64 `json:"matched"`
	Errors    uint64 `json:"errors"`
	Rows      Count  `json:"rows"` // distinct rows among the matched

	Filter *Filter `json:"filter,omitempty"` // what its plugin did, if it has one

	// Against the rule that is in force. A match by both that says another change (entered, stayed, left), or whose plugin alters
	// otherwise what is delivered, is Changed.
	Same    uint64 `json:"same"`
	Changed uint64 `json:"changed"`
	Added   uint64 `json:"added"`
	Lost    uint64 `json:"lost"`

	Days     []Day     `json:"days"`
	Examples []Example `json:"examples"` // of each kind, spread over the history, in its order
}

// Filter is what the plugin of a rule made of the changes that the condition let through to it.
type Filter struct {
	Plugin  string `json:"plugin"`
	Digest  string `json:"digest,omitempty"`
	Asked   uint64 `json:"asked"`
	Kept    uint64 `json:"kept"`
	Edited  uint64 `json:"edited"` // of those that it kept
	Dropped uint64 `json:"dropped"`
	Failed  uint64 `json:"failed"`
}

func (f *Filter) add(o *Filter) {
	f.Asked, f.Kept, f.Edited = f.Asked+o.Asked, f.Kept+o.Kept, f.Edited+o.Edited
	f.Dropped, f.Failed = f.Dropped+o.Dropped, f.Failed+o.Failed
}

// Day counts one day, by the commit time in UTC.
type Day struct {
	Day     string `json:"day"` // 2026-11-21
	Matched uint64 `json:"matched"`
	Added   uint64 `json:"added"`
	Lost    uint64 `json:"lost"`
	Errors  uint64 `json:"errors"`
}

// The kinds of examples.
const (
	Added   = "added"   // only the draft matches
	Lost    = "lost"    // only the rule in force matches
	Changed = "changed" // both, with another change or otherwise altered
	Same    = "same"    // both
	Failed  = "error"   // the draft could not judge
)

// Example is one change of the history.
type Example struct {
	Kind   string          `json:"kind"`
	ID     string          `json:"id"`
	No     uint64          `json:"no"`
	Change string          `json:"change,omitempty"` // entered, stayed or left by the draft
	Was    string          `json:"was,omitempty"`    // and by the rule in force
	Error  string          `json:"error,omitempty"`
	Event  json.RawMessage `json:"event"` // as it is in the stream
}

// Cost is what judging took, of one core.
type Cost struct {
	NsPerChange float64 `json:"ns_per_change"`
}

// Count is a number of distinct things. From some number on it is an estimate; its error is about one in 1/√k of it, with
// k the number that is still counted exactly.
type Count struct {
	N         uint64 `json:"n"`
	Estimated bool   `json:"estimated,omitempty"`
}

// Feed estimates what the draft, and the same rules as they are in force, would deliver to one feed.
type Feed struct {
	Feed   string `json:"feed"`
	Draft  Volume `json:"draft"`
	Active Volume `json:"active"`
}

// Volume is an estimate of what a feed delivers.
type Volume struct {
	Records uint64 `json:"records"` // exact
	Objects uint64 `json:"objects"` // about: one for each span of rotate.every with a record, more where rows or bytes come first
	Bytes   uint64 `json:"bytes"`   // about: stored, from a sample of the records
}

// NotLookedUp is what a back-test leaves out besides when there is nobody to answer look-ups.
const NotLookedUp = "look-ups: nothing was looked up, so a rule matches also where its look-ups would drop the change or fail; what they find counts for no volume"

// ErrNotRecorded says that it is not known what was looked up.
var ErrNotRecorded = errors.New("what was looked up is not recorded")

// notRecorded is what a back-test leaves out when it is not known for some changes.
func notRecorded(changes uint64) string {
	return fmt.Sprintf("look-ups: of %d changes it is not recorded what was looked up, so a rule matches them also where its look-ups would drop them or fail", changes)
}

// NotSimulated is what a back-test leaves out.
var NotSimulated = []string{
	"other rules: a change that matches several rules of a feed is one record; here the rules of the draft stand alone",
	"dead letters and halts: a change that a rule cannot judge is counted as an error, nothing is set aside and nothing stops",
	"plugins: each worker asks an instance of its own, so their log, their metrics and when they would go into quarantine are others; verdicts are the same",
	"modes: every rule of the draft is judged as if it were active, in shadow or off as it may be",
	"waiting: retries, restarts and slow stores make other objects than the estimate; the records stay the same",
	"what was before: changes that the history does not hold any more, and rows that were captured without their largest values",
}
