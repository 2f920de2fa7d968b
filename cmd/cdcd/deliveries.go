package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/envelope"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/audit/index"
	"github.com/cdcd-project/cdcd/sinks/trigger"
)

// deliveries finds what partners got: the audit log says which objects, and the stores have them. It needs no running cdcd, but
// only one that runs knows who is told of them.
type deliveries struct {
	log     *audit.Reader
	read    *recordReader
	running *pipeline // nil: none
}

// openDeliveries opens the log of a running cdcd. The caller closes it.
func (p *pipeline) openDeliveries() (*deliveries, error) {
	log, err := audit.Read(p.cfg.Audit.Dir, p.audit.PublicKey(), nil)
	if err != nil {
		return nil, err
	}
	return &deliveries{log: log, read: &recordReader{a: p.app, cfg: p.cfg, stores: map[string]audit.Store{}}, running: p}, nil
}

func (d *deliveries) close() { d.read.close() }

// What ends the feed's name in the chains of its dead letters, and of what was replayed.
const (
	deadLetterChain = ".dead-letters"
	replayChain     = ".replay"
)

const (
	bundleLeaves  = 256              // that are read at once
	searchTakes   = 5 * time.Second  // after which a search says how far it came
	commitsApart  = time.Minute      // at most, of changes that were not committed in their order
	noteLeaves    = 20_000           // behind an object that are searched for what became of it
	foundRecords  = 5                // of an object that a list shows
	rereadRecords = 30 * time.Second // that reading an object may take
)

// list returns the newest that are asked for.
func (d *deliveries) list(ctx context.Context, q console.DeliveryQuery) (api.DeliveryList, error) {
	list := api.DeliveryList{Deliveries: []api.Delivery{}}
	now, _ := d.log.Checkpoint()
	end := now.Size
	if q.Before > 0 {
		end = min(end, q.Before)
	}
	until := time.Now().Add(searchTakes)
	for looked := false; end > 0 && len(list.Deliveries) < q.Limit; looked = true {
		if looked && time.Now().After(until) {
			break
		}
		begin := (end - 1) / bundleLeaves * bundleLeaves
		bundle, err := d.objects(ctx, begin, end, q)
		if err != nil {
			return list, err
		}
		for _, one := range slices.Backward(bundle) {
			if len(list.Deliveries) == q.Limit || time.Now().After(until) {
				list.Before = end
				return list, nil
			}
			end = one.Leaf
			list.Searched++
			if q.Reads() {
				fault, err := d.search(ctx, &one, q)
				if err != nil {
					return list, err
				}
				if fault != "" {
					list.Faults = append(list.Faults, fmt.Sprintf("%s/%s: %s", one.Object.Store, one.Object.Key, fault))
				}
				if len(one.Found) == 0 {
					continue
				}
			}
			d.tell(&one)
			list.Deliveries = append(list.Deliveries, one)
		}
		if len(list.Deliveries) < q.Limit {
			end = begin
		}
	}
	list.Before = end
	return list, nil
}

// objects returns the deliveries among some entries of the log that may be asked for.
func (d *deliveries) objects(ctx context.Context, begin, end int64, q console.DeliveryQuery) (all []api.Delivery, err error) {
	err = d.log.Leaves(ctx, begin, func(at int64, leaf audit.Leaf, _ []byte) error {
		if at >= end {
			return errEnough
		}
		if o := leaf.Object; o != nil && wantsObject(o, q) {
			all = append(all, api.Delivery{Leaf: at, Feed: index.FeedOf(o.Chain), Logged: leaf.Time, Object: *o, Told: []api.Told{}})
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

// wantsObject reports whether an object may be asked for, as far as the log knows.
func wantsObject(o *cdc.Object, q console.DeliveryQuery) bool {
	return !strings.HasSuffix(index.FeedOf(o.Chain), deadLetterChain) && // that is nobody's but ours
		(len(q.Feeds) == 0 || slices.Contains(q.Feeds, index.FeedOf(o.Chain))) &&
		(q.Object == "" || strings.Contains(o.Store+"/"+o.Key, q.Object)) &&
		(q.From.IsZero() || !o.LastCommit.Before(q.From)) && (q.To.IsZero() || o.FirstCommit.Before(q.To)) &&
		(q.Event == nil || mayHave(o, q.Event))
}

// mayHave reports whether a change may be a record of an object. An object answers for a range of the stream's numbers. Replayed
// changes may have others, of files, but are in their order; redriven ones have others and are in the order that people chose.
func mayHave(o *cdc.Object, e *console.EventRef) bool {
	feed := index.FeedOf(o.Chain)
	switch {
	case e.PartNo == 0 || strings.HasSuffix(feed, "."+redrivenName):
		return true
	case strings.HasSuffix(feed, replayChain):
		return e.Commit.After(o.FirstCommit.Add(-commitsApart)) && e.Commit.Before(o.LastCommit.Add(commitsApart))
	}
	return o.FirstPartNo <= e.PartNo && e.PartNo <= o.LastPartNo
}

// eventRef says what is known of a change. One with an ID may have left the stream, from when on objects have it.
func eventRef(e cdc.Event, id string, err error) (*console.EventRef, error) {
	switch {
	case err == nil:
		return &console.EventRef{ID: e.ID(), PartNo: e.PartNo(), Commit: e.CommitTime()}, nil
	case id != "" && cdc.CodeOf(err) == codeNoEvent:
		return &console.EventRef{ID: id}, nil
	}
	return nil, err
}

// search reads an object for records that are asked for.
func (d *deliveries) search(ctx context.Context, one *api.Delivery, q console.DeliveryQuery) (fault string, err error) {
	lines, fault, err := d.lines(ctx, one.Object)
	if q.Event != nil && len(lines) > 0 && envelope.Read(lines[0]).ID == "" {
		fault = "its records do not say which changes they are"
	}
	for i, line := range lines {
		if len(one.Found) == foundRecords {
			break
		}
		if wantsRecord(line, q) {
			one.Found = append(one.Found, api.DeliveredRecord{Number: int64(i + 1), Line: string(line)})
		}
	}
	return fault, err
}

func wantsRecord(line []byte, q console.DeliveryQuery) bool {
	r := envelope.Read(line)
	return (q.Event == nil || r.ID == q.Event.ID) && (q.Rule == "" || slices.Contains(r.Rules, q.Rule)) && (q.Table == "" || r.Table == q.Table) && (len(q.Key) == 0 || slices.Equal(r.Key, q.Key)) &&
		(q.From.IsZero() || !r.Time.Before(q.From)) && (q.To.IsZero() || r.Time.Before(q.To))
}

// lines returns an object's records, or why there are none that can be shown.
func (d *deliveries) lines(ctx context.Context, o cdc.Object) (lines [][]byte, fault string, err error) {
	ctx, cancel := context.WithTimeout(ctx, rereadRecords)
	defer cancel()
	lines, err = d.read.lines(ctx, o)
	var gap *index.Gap
	if errors.As(err, &gap) {
		return nil, gap.Why, nil
	}
	return lines, "", err
}

// show returns one delivery with its records.
func (d *deliveries) show(ctx context.Context, leaf int64, pass, limit int) (api.DeliveryDetail, error) {
	detail := api.DeliveryDetail{Records: []api.DeliveredRecord{}}
	all, err := d.objects(ctx, leaf, leaf+1, console.DeliveryQuery{})
	if err != nil {
		return detail, err
	}
	if len(all) == 0 {
		return detail, cdc.Errorf(codeNothing, "entry %d of the audit log is no delivery", leaf).WithFix("`cdcd delivery list` shows what there is")
	}
	detail.Delivery = all[0]
	d.tell(&detail.Delivery)
	if err := d.became(ctx, &detail.Delivery); err != nil {
		return detail, err
	}
	lines, fault, err := d.lines(ctx, detail.Object)
	if err != nil {
		return detail, err
	}
	detail.Fault = fault
	rest := lines[min(pass, len(lines)):]
	for i, line := range rest[:min(limit, len(rest))] {
		detail.Records = append(detail.Records, api.DeliveredRecord{Number: int64(pass + i + 1), Line: string(bytes.ToValidUTF8(line, []byte("�")))})
	}
	detail.More = int64(len(rest) - len(detail.Records))
	return detail, nil
}

// tell says who has been told of a delivery, as the running cdcd knows.
func (d *deliveries) tell(one *api.Delivery) {
	if d.running == nil {
		return
	}
	l := d.running.triggers.lines[one.Object.Chain]
	if l == nil || l.store.String() != one.Object.Store {
		return
	}
	for _, t := range l.tellers {
		s := t.Stats()
		told := api.Told{By: s.By, Place: s.Place, State: "told"}
		switch {
		case s.Told >= one.Object.Ordinal:
		case s.Disabled != "":
			told.State, told.Error = "disabled", s.Disabled
		case s.Err != nil:
			told.State, told.Error = "failing", s.Err.Error()
		default:
			told.State = "waiting"
		}
		one.Told = append(one.Told, told)
	}
	if l.receipts != nil {
		if one.Fetch = "missing"; l.receipts.received() >= one.Object.Ordinal {
			one.Fetch = "received"
		}
	}
}

// became reads in the log what became of a delivery, which stands not far behind it.
func (d *deliveries) became(ctx context.Context, one *api.Delivery) error {
	err := d.log.Leaves(ctx, one.Leaf+1, func(at int64, leaf audit.Leaf, _ []byte) error {
		if at > one.Leaf+noteLeaves {
			return errEnough
		}
		n := leaf.Note
		if n == nil || n.Chain != one.Object.Chain || n.Store != one.Object.Store || n.Ordinal != one.Object.Ordinal {
			return nil
		}
		switch n.Kind {
		case audit.TypeReceipt:
			one.Fetch = "received"
		case audit.TypeTrigger:
			if n.Outcome != "delivered" {
				return nil
			}
			i := slices.IndexFunc(one.Told, func(t api.Told) bool { return t.By == n.By })
			if i < 0 {
				one.Told, i = append(one.Told, api.Told{By: n.By}), len(one.Told)
			}
			when := leaf.Time
			one.Told[i].State, one.Told[i].At, one.Told[i].Attempts = "told", &when, n.Attempts
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// resend tells of an object once more, with the event that was sent before, and logs it.
func (d *deliveries) resend(ctx context.Context, leaf int64, by, why string) (api.Resent, error) {
	sent := api.Resent{Leaf: leaf, Sent: []api.Attempt{}}
	all, err := d.objects(ctx, leaf, leaf+1, console.DeliveryQuery{})
	if err != nil {
		return sent, err
	}
	if len(all) == 0 {
		return sent, cdc.Errorf(codeNothing, "entry %d of the audit log is no delivery", leaf).WithFix("`cdcd delivery list` shows what there is")
	}
	o := all[0].Object
	sent.Feed, sent.Key = all[0].Feed, o.Key
	l := d.running.triggers.lines[o.Chain]
	if l == nil || l.store.String() != o.Store {
		return sent, usagef("nobody is told of the objects of feed %s in %s", sent.Feed, o.Store).WithFix("add 'trigger: {webhook: {url: …, secret_file: …}}' to the feed")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, prevKey, ok, err := newObjectFinder(l.store, l.folder, l.chain).find(ctx, o.Ordinal)
	if err != nil {
		return sent, err
	}
	if !ok {
		return sent, cdc.Errorf(codeNothing, "object %s is not in %s any more", o.Key, o.Store).WithFix("restore it from a copy; `cdcd audit verify --objects` tells of all")
	}
	for _, t := range l.tellers {
		began, s := time.Now(), t.Stats()
		if s.Told < o.Ordinal { // a note of it would say that those before it were told of
			sent.Sent = append(sent.Sent, api.Attempt{By: s.By, Place: s.Place, Error: "it has not been told of yet: its turn will come"})
			continue
		}
		err := t.Again(ctx, o, prevKey)
		one := api.Attempt{By: s.By, Place: s.Place, Taken: err == nil, Took: time.Since(began).Seconds()}
		if err != nil {
			one.Error = err.Error()
		}
		sent.Sent = append(sent.Sent, one)
		outcome := "resent"
		if err != nil {
			outcome = "resend_failed"
		}
		note := audit.Note{Kind: audit.TypeTrigger, ID: fmt.Sprintf("%s/%s/resent/%d", s.By, trigger.ID(o), began.UnixNano()), Feed: sent.Feed, By: s.By,
			Why: fmt.Sprintf("%s: %s", by, why), Chain: o.Chain, Store: o.Store, Ordinal: o.Ordinal, Outcome: outcome}
		if err := d.running.audit.Note(context.WithoutCancel(ctx), note); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Delivered implements console.Deliveries.
func (d *consoleDesk) Delivered(ctx context.Context, q console.DeliveryQuery) (api.DeliveryList, error) {
	return withDeliveries(d, func(ds *deliveries) (api.DeliveryList, error) { return ds.list(ctx, q) })
}

// DeliveredEvent implements console.Deliveries.
func (d *consoleDesk) DeliveredEvent(ctx context.Context, no uint64, id string, at time.Time, q console.DeliveryQuery) (api.DeliveryList, error) {
	return withDeliveries(d, func(ds *deliveries) (list api.DeliveryList, err error) {
		searching, cancel := context.WithTimeout(ctx, 2*readTakes)
		defer cancel()
		e, err := eventWish{No: no, ID: id, At: at}.find(searching, d.p.stream, func(searched) {})
		if q.Event, err = eventRef(e, id, err); err != nil {
			return list, err
		}
		if q.Event.PartNo == 0 {
			q.From = at
		}
		return ds.list(ctx, q)
	})
}

// Delivery implements console.Deliveries.
func (d *consoleDesk) Delivery(ctx context.Context, leaf int64, pass, limit int) (api.DeliveryDetail, error) {
	return withDeliveries(d, func(ds *deliveries) (api.DeliveryDetail, error) { return ds.show(ctx, leaf, pass, limit) })
}

// Resend implements console.Deliveries.
func (d *consoleDesk) Resend(ctx context.Context, leaf int64, by, why string) (api.Resent, error) {
	return withDeliveries(d, func(ds *deliveries) (api.Resent, error) { return ds.resend(ctx, leaf, by, why) })
}

// withDeliveries opens the log for a request: as few read at once as read the stream.
func withDeliveries[T any](d *consoleDesk, do func(*deliveries) (T, error)) (none T, err error) {
	out, err := d.look()
	if err != nil {
		return none, err
	}
	defer out()
	ds, err := d.p.openDeliveries()
	if err != nil {
		return none, err
	}
	defer ds.close()
	return do(ds)
}
