package deadletter

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
)

// Append returns the function that renders a decision with errors as one line without its newline, for a chain of
// the feed's dead letters. It may be called by one goroutine at a time. The event is as it was captured, whatever plugins
// want altered in what is delivered: it will be judged again.
func Append(feed string) func(dst []byte, d *cdc.Decision) []byte {
	var w cdc.Builder
	return func(dst []byte, d *cdc.Decision) []byte {
		dst = append(dst, `{"feed":`...)
		dst = cdc.AppendString(dst, feed)
		dst = fmt.Appendf(dst, `,"seq":%d,"rule_set":`, d.Event.Batch().Seq)
		dst = cdc.AppendString(dst, d.RuleSet)
		dst = append(dst, `,"errors":[`...)
		for i, e := range d.Errors {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"rule":`...)
			dst = cdc.AppendString(dst, e.Rule.Name)
			dst = append(dst, `,"version":`...)
			dst = cdc.AppendString(dst, e.Rule.Version)
			dst = append(dst, `,"code":`...)
			dst = cdc.AppendString(dst, cdc.CodeOf(e.Err))
			dst = append(dst, `,"on_error":`...)
			dst = cdc.AppendString(dst, e.OnError.String())
			dst = append(dst, `,"error":`...)
			dst = cdc.AppendString(dst, e.Err.Error())
			dst = append(dst, '}')
		}
		dst = append(dst, `],"delivered_by":[`...)
		n := 0
		for i := range d.Matches {
			if !slices.Contains(d.Matches[i].To, feed) {
				continue
			}
			if n++; n > 1 {
				dst = append(dst, ',')
			}
			dst = cdc.AppendString(dst, d.Matches[i].Name)
		}
		dst = append(dst, `],"event":`...)
		dst = cdc.AppendEvent(dst, d.Event)
		dst = append(dst, `,"frame":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, w.Single(d.Event))
		return append(dst, `"}`...)
	}
}

// Letter is a dead letter that was read back.
type Letter struct {
	Feed    string
	Seq     uint64 // stream sequence of the frame it was consumed with
	RuleSet string
	Errors  []Failure

	// DeliveredBy names the rules that matched the event and had it delivered to the feed in its place, beside those that
	// could not judge it. nil: the letter does not say.
	DeliveredBy []string

	Batch  *cdc.Batch // holds the one event
	SHA256 string     // of the line, of letters that a [Book] has; hex
}

// Failure says why a rule could not judge the event.
type Failure struct {
	Rule    string `json:"rule"`
	Version string `json:"version"`
	Code    string `json:"code,omitempty"` // of the error, if it has one
	OnError string `json:"on_error"`       // what the rule says of it; "" in letters that do not say
	Error   string `json:"error"`
}

// Parse reads a line that [Append] wrote. Whatever the line is, a letter that comes without an error can be judged: its
// frame holds one event whose values are what they should be.
func Parse(line []byte) (Letter, error) {
	var l struct {
		Feed    string    `json:"feed"`
		Seq     uint64    `json:"seq"`
		RuleSet string    `json:"rule_set"`
		Errors  []Failure `json:"errors"`
		By      []string  `json:"delivered_by"`
		Frame   []byte    `json:"frame"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return Letter{}, fmt.Errorf("dead letter: %w", err)
	}
	b, err := cdc.Open(l.Frame, nil)
	if err != nil {
		return Letter{}, fmt.Errorf("dead letter: %w", err)
	}
	if b.Len() != 1 {
		return Letter{}, fmt.Errorf("dead letter: its frame has %d events", b.Len())
	}
	if err := b.Verify(); err != nil {
		return Letter{}, fmt.Errorf("dead letter: %w", err)
	}
	b.Seq = l.Seq
	return Letter{Feed: l.Feed, Seq: l.Seq, RuleSet: l.RuleSet, Errors: l.Errors, DeliveredBy: l.By, Batch: b}, nil
}
