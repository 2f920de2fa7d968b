package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// How far a request for changes reads back.
const (
	mostFrames  = 4000
	mostChanges = 500_000
	readTakes   = 10 * time.Second
)

// pageSize bounds an answer with changes. Who asks goes on with the next one.
type pageSize struct {
	held int // bytes of frames that are kept while the stream is read
	told int // bytes of the changes themselves
}

var largestPage = pageSize{64 << 20, 16 << 20}

// Recent implements console.Events: it reads the stream from its end, or from a number, backwards.
func (d *consoleDesk) Recent(ctx context.Context, q console.EventQuery) (api.EventList, error) {
	ctx, cancel := context.WithTimeout(ctx, readTakes)
	defer cancel()
	list := api.EventList{Events: []api.Event{}}
	var known []cdc.Event
	if q.Before == 0 && len(q.Tables) > 0 {
		var err error
		if known, err = d.live.Latest(ctx, q); err != nil {
			return list, err
		}
	}
	if len(known) >= q.Limit && q.Limit <= recentKept {
		if err := d.tell(ctx, &list, known[:q.Limit]); err != nil {
			return list, err
		}
		list.Before = known[q.Limit-1].No()
		return list, d.tell(ctx, &list, missingOps(list, known))
	}
	out, err := d.look()
	if err != nil {
		return list, err
	}
	defer out()
	info, err := d.p.stream.Info(ctx)
	if err != nil {
		return list, err
	}
	first, last := max(info.First, 1), info.Last
	if q.Before > 0 {
		b, err := d.p.stream.FrameOf(ctx, q.Before-1)
		if err != nil {
			return list, err
		}
		if b == nil { // it is older than all there are, or there never was one
			if end, err := d.p.last(ctx); err != nil || q.Before <= end.NextNo {
				return list, err
			}
		} else {
			last = b.Seq
		}
	}
	var oldest uint64
	frames, told := uint64(0), 0
	for end, step := last, uint64(8); end >= first && end > 0 && len(list.Events) < q.Limit && told < d.page.told && frames < mostFrames && list.Scanned < mostChanges; step = min(2*step, 256) {
		begin := max(first, end-min(step, end)+1)
		var found []cdc.Event // of this part, the oldest first
		held, cut := 0, false
		err := d.p.stream.Read(ctx, begin, end, func(_ context.Context, b *cdc.Batch) error {
			had := len(found)
			for i := range b.Len() {
				e := b.Event(i)
				if q.Before > 0 && e.No() >= q.Before {
					continue
				}
				if oldest == 0 || e.No() < oldest {
					oldest = e.No()
				}
				list.Scanned++
				if q.Wants(e) {
					found = append(found, e)
				}
			}
			if len(found) > had {
				held += len(b.Frame())
			}
			for len(found) > q.Limit-len(list.Events) || held > d.page.held && found[0].Batch() != b { // the newest are wanted
				oldest := found[0].Batch()
				found[0], found = cdc.Event{}, found[1:]
				if cut = true; found[0].Batch() != oldest {
					held -= len(oldest.Frame())
				}
			}
			return nil
		})
		if err != nil {
			return list, err
		}
		for _, e := range slices.Backward(found) {
			if told >= d.page.told {
				cut = true
				break
			}
			one, err := d.event(ctx, e)
			if err != nil {
				return list, err
			}
			list.Events = append(list.Events, one)
			oldest, told = e.No(), told+len(one.Line)
		}
		if cut { // there are more in this part
			break
		}
		frames += end + 1 - begin
		if end = begin - 1; end < first && len(list.Events) < q.Limit {
			oldest = 0 // that was all
		}
	}
	list.Before = oldest
	return list, d.tell(ctx, &list, missingOps(list, known))
}

// tell adds changes to a list.
func (d *consoleDesk) tell(ctx context.Context, list *api.EventList, some []cdc.Event) error {
	for _, e := range some {
		one, err := d.event(ctx, e)
		if err != nil {
			return err
		}
		list.Events = append(list.Events, one)
	}
	return nil
}

// missingOps returns the newest change of each operation that is known and not in a list.
func missingOps(list api.EventList, known []cdc.Event) (some []cdc.Event) {
	have := map[string]bool{}
	for _, e := range list.Events {
		have[e.Op] = true
	}
	for _, e := range known {
		if op := e.Op().String(); !have[op] {
			have[op] = true
			some = append(some, e)
		}
	}
	return some
}

// event says what a change is, and what the rules of its revision make of it.
func (d *consoleDesk) event(ctx context.Context, e cdc.Event) (api.Event, error) {
	b := e.Batch()
	one := api.Event{ID: e.ID(), No: e.No(), Seq: b.Seq, Table: e.Table().String(), Op: e.Op().String(), CommitTime: e.CommitTime(),
		Position: e.Position().String(), Line: string(cdc.AppendEvent(nil, e)), Revision: b.Rules.No, Matched: []string{}, Failed: []string{}, Incomplete: e.Incomplete()}
	set, err := d.p.desk.book.Set(ctx, b)
	if err != nil {
		if ctx.Err() != nil {
			return one, ctx.Err()
		}
		return one, nil // what judges it cannot be had; that is told where the feeds are
	}
	judged := set.Decide(e)
	for _, m := range judged.Matches {
		one.Matched = append(one.Matched, m.Name)
	}
	for _, f := range judged.Errors {
		one.Failed = append(one.Failed, f.Rule.Name)
	}
	return one, nil
}

// Event implements console.Events.
func (d *consoleDesk) Event(ctx context.Context, no uint64, id string, at time.Time) (api.EventDetail, error) {
	out, err := d.look()
	if err != nil {
		return api.EventDetail{}, err
	}
	defer out()
	ctx, cancel := context.WithTimeout(ctx, 2*readTakes)
	defer cancel()
	e, err := eventWish{No: no, ID: id, At: at}.find(ctx, d.p.stream, func(searched) {})
	if err != nil {
		return api.EventDetail{}, err
	}
	detail := api.EventDetail{Columns: []api.Column{}, Judged: []api.JudgedRule{}}
	if detail.Event, err = d.event(ctx, e); err != nil {
		return detail, err
	}
	at2, pos := e.Batch().Header().Created, e.Position()
	detail.GTID, detail.File, detail.Pos, detail.Row, detail.TxRows, detail.Captured = pos.GTID, pos.File, pos.Pos, pos.Row, pos.Rows, at2
	for i := range e.Table().Columns {
		detail.Columns = append(detail.Columns, columnOf(&e.Table().Columns[i]))
	}
	set, err := d.p.desk.book.Set(ctx, e.Batch())
	if err != nil {
		return detail, err
	}
	for _, x := range set.Asking(d.p.plugins.asks(ctx)).ExplainAll(e) {
		if x.Outcome == rules.OtherTable || x.Outcome == rules.OtherOp {
			detail.Others++
			continue
		}
		detail.Judged = append(detail.Judged, api.JudgedRule{Rule: x.Rule, Version: x.Version, Mode: x.Mode, Outcome: string(x.Outcome), Change: x.Change, To: x.To, Summary: x.Summary})
	}
	order := []string{string(rules.Matched), string(rules.Failing), string(rules.Undecided), string(rules.NotMatched)}
	slices.SortStableFunc(detail.Judged, func(a, b api.JudgedRule) int {
		if c := slices.Index(order, a.Outcome) - slices.Index(order, b.Outcome); c != 0 {
			return c
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	return detail, nil
}

// columnOf says what a column is, as far as changes tell.
func columnOf(c *cdc.Column) api.Column {
	return api.Column{Name: c.Name, Type: c.Type, Kind: c.Kind.String(), Delivered: delivered(c), Nullable: c.Nullable, Key: int(c.Key), Members: c.Members}
}
