package main

import (
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cdcd-project/cdcd/console/api"
)

// state returns what is to be known of a feed's triggers and receipts.
func (ts *triggers) state(feed string, now time.Time) (told []api.TriggerStatus, receipts []api.ReceiptStatus) {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, l := range ts.order {
		if l.feed.name != feed || l.redriven && ts.p.audited(l.store)(l.chain) == 0 {
			continue
		}
		for _, t := range l.tellers {
			s := t.Stats()
			one := api.TriggerStatus{Chain: s.Chain, By: s.By, Place: s.Place, Told: s.Told, Sent: s.Sent, Failed: s.Failed, FailingSince: at(s.FailingSince),
				Next: at(s.Next), Disabled: s.Disabled, DisabledAt: at(s.DisabledAt)}
			if s.Audited > s.Told {
				one.Behind = s.Audited - s.Told
			}
			if s.Err != nil && s.Disabled == "" {
				one.Error = s.Err.Error()
			}
			told = append(told, one)
		}
		if l.receipts != nil {
			receipts = append(receipts, l.receipts.state(now))
		}
	}
	return told, receipts
}

// printTriggers says what of a feed's triggers and receipts is not as it should be, and that the others are.
func (a *app) printTriggers(w io.Writer, f api.FeedStatus) {
	for _, t := range f.Triggers {
		mark, what := a.ui.out(green, "✓"), "told of all objects"
		switch {
		case t.Disabled != "":
			mark, what = a.ui.out(red, "✗"), fmt.Sprintf("disabled since %s: %s; `cdcd trigger enable %s` goes on", t.DisabledAt, t.Disabled, f.Feed)
		case t.Error != "" && t.FailingSince != "":
			mark, what = a.ui.out(red, "✗"), fmt.Sprintf("failing since %s, %s behind: %s", t.FailingSince, plural(int(t.Behind), "object"), t.Error)
		case t.Error != "":
			mark, what = a.ui.out(red, "✗"), fmt.Sprintf("%s behind: %s", plural(int(t.Behind), "object"), t.Error)
		case t.Behind > 0:
			what = fmt.Sprintf("told of objects up to %d, %d to go", t.Told, t.Behind)
		}
		fmt.Fprintf(w, "trigger  %s %s %s: %s\n", mark, t.Chain, t.By, what)
	}
	for _, r := range f.Receipts {
		switch {
		case r.Error != "":
			fmt.Fprintf(w, "receipts %s %s: %s\n", a.ui.out(red, "✗"), r.Chain, r.Error)
		case r.Alarm:
			fmt.Fprintf(w, "receipts %s %s: %s not fetched, the oldest for %s\n", a.ui.out(red, "✗"), r.Chain, plural(int(r.Unfetched), "object"),
				(time.Duration(r.Seconds) * time.Second))
		default:
			fmt.Fprintf(w, "receipts %s %s: fetched up to %d, %d to go\n", a.ui.out(green, "✓"), r.Chain, r.Received, r.Unfetched)
		}
	}
}

var (
	triggerTold     = newFigure(prometheus.GaugeValue, "trigger_told_ordinal", "Ordinal of the last object that was told of.", "source", "feed", "chain", "by")
	triggerBehind   = newFigure(prometheus.GaugeValue, "trigger_behind_objects", "Objects that nobody was told of yet.", "source", "feed", "chain", "by")
	triggerSent     = newFigure(prometheus.CounterValue, "trigger_sent_total", "Events that were taken.", "source", "feed", "chain", "by")
	triggerFailed   = newFigure(prometheus.CounterValue, "trigger_failed_total", "Attempts to send an event that failed.", "source", "feed", "chain", "by")
	triggerFailing  = newFigure(prometheus.GaugeValue, "trigger_failing", "1 while an event is not taken, or the trigger is disabled.", "source", "feed", "chain", "by")
	triggerDisabled = newFigure(prometheus.GaugeValue, "trigger_disabled", "1 while the trigger is disabled.", "source", "feed", "chain", "by")
	receiptOrdinal  = newFigure(prometheus.GaugeValue, "receipt_ordinal", "Ordinal of the last object that the partner has a receipt for.", "source", "feed", "chain")
	receiptMissing  = newFigure(prometheus.GaugeValue, "receipt_missing_objects", "Objects without a receipt.", "source", "feed", "chain")
	receiptAge      = newFigure(prometheus.GaugeValue, "receipt_missing_seconds", "Since the commit of the last change in the oldest object without a receipt; 0 when there is none.", "source", "feed", "chain")
	receiptAlarm    = newFigure(prometheus.GaugeValue, "receipt_alarm", "1 while an object is without a receipt for longer than receipts.unfetched_after.", "source", "feed", "chain")
	triggerFigures  = []figure{triggerTold, triggerBehind, triggerSent, triggerFailed, triggerFailing, triggerDisabled, receiptOrdinal, receiptMissing, receiptAge, receiptAlarm}
)

func collectTriggers(f api.FeedStatus, send func(figure, float64, ...string)) {
	for _, t := range f.Triggers {
		one := func(fig figure, v float64) { send(fig, v, f.Feed, t.Chain, t.By) }
		one(triggerTold, float64(t.Told))
		one(triggerBehind, float64(t.Behind))
		one(triggerSent, float64(t.Sent))
		one(triggerFailed, float64(t.Failed))
		one(triggerFailing, bit(t.FailingSince != "" || t.Disabled != ""))
		one(triggerDisabled, bit(t.Disabled != ""))
	}
	for _, r := range f.Receipts {
		one := func(fig figure, v float64) { send(fig, v, f.Feed, r.Chain) }
		one(receiptOrdinal, float64(r.Received))
		one(receiptMissing, float64(r.Unfetched))
		one(receiptAge, r.Seconds)
		one(receiptAlarm, bit(r.Alarm))
	}
}
