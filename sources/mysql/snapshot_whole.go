package mysql

import (
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// A table without a key is read in one go, in one read view, and capture takes no changes in the meantime: there is nothing
// by which a row and its change could be told to be the same, so its rows have to be in the stream before the first change
// behind the view. See snapshot_merge.go: the table was not changed from the opening of the window up to high, so V has it
// as it is at high, which is where its rows go.
//
// The log waits on the server, not in memory. [Config.SnapshotHold] bounds for how long.

// view opens the read view for a table without a key. Its rows come later, see whole.
func (r *snapshotReader) view(q *request) (a answer, err error) {
	if err := r.begin(q); err != nil {
		return a, err
	}
	a.at, a.parts, a.why, a.bad = r.cfg.Now(), make(chan *cdc.Batch), new(error), &badText{}
	// From now on the name means the same table.
	if _, err := r.sv.query("SELECT 1 FROM " + q.table.from() + " LIMIT 0"); err != nil {
		return a, err
	}
	a.high, err = r.logEnd(q)
	return a, err
}

// whole reads a table without a key in one go, part after part as they are taken. The first says that the
// table was there and as described.
func (r *snapshotReader) whole(q *asked, a answer) {
	defer close(a.parts)
	r.arm(q.ctx)
	defer r.disarm()
	r.answers <- answered{q.chunk, a}
	r.poke()
	t := q.table
	where := ""
	if q.cursor.Where != "" {
		where = " WHERE (\n" + q.cursor.Where + "\n)"
	}
	pass := func() error {
		batch, err := cdc.Open(r.frame.Seal(cdc.Checkpoint{}), &r.known)
		if err != nil {
			return cdc.Errorf("CDCD-1309", "rows of %s: %w", t, err)
		}
		select {
		case a.parts <- batch:
			r.reset(t)
			return nil
		case <-q.ctx.Done():
			return q.ctx.Err()
		}
	}
	r.reset(t)
	before, _ := t.layout.BadText()
	defer func() { a.bad.count(t.layout, before) }() // before the parts are closed
	err := r.sv.rows(q.ctx, t.layout, "SELECT "+t.layout.SelectList()+" FROM "+t.from()+where, func(row []byte) error {
		fits, err := r.add(&q.request, row)
		if err == nil && !fits {
			if err = pass(); err == nil {
				_, err = r.add(&q.request, row)
			}
		}
		if err != nil || r.frame.Size() < r.cfg.SnapshotBytes && r.frame.Len() < r.cfg.SnapshotRows {
			return err
		}
		return pass()
	})
	if err == nil {
		err = r.unaltered(t)
	}
	if err == nil && r.frame.Len() > 0 {
		err = pass()
	}
	if err == nil {
		_, err = r.sv.query("COMMIT")
	}
	if err != nil {
		r.disconnect()
		*a.why = readError(r.cfg, &q.request, err)
	}
}

// mergeWhole emits a table without a key, which is read in one go: what the log says next waits until then.
func (c *capture) mergeWhole(ch *chunk, p *part) (err error) {
	n := c.snapshots
	n.holding = n.cfg.Now()
	n.cfg.Logger.Info("changes wait while a table without a key is read", "event", "snapshot.holding", "id", n.job.ID, "table", ch.table.String(),
		"at_most", n.cfg.SnapshotHold.String())
	defer func() { n.holding = time.Time{}; n.publish() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case batch, more := <-ch.parts:
			if !more {
				p.end()
				return c.wholeOver(ch, p)
			}
			for i := range batch.Len() {
				if err := p.emit(batch, i); err != nil {
					return err
				}
			}
		case cmd := <-n.source.commands:
			n.obey(cmd)
		case <-timer.C:
			wait, err := c.tick()
			if err != nil {
				return err
			}
			c.reportDue()
			n.publish()
			timer.Reset(min(wait, reportEvery))
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		n.report()
		if held := n.cfg.Now().Sub(n.holding); n.wanted() && held >= n.cfg.SnapshotHold {
			n.fail(cdc.Errorf("CDCD-1338", "%s has no key, and after %s its rows were not all read; changes may not wait for longer", ch.table, n.cfg.SnapshotHold).
				WithFix("give it a primary key, or set source.mysql.snapshot_hold to more; then cdcd snapshot resume %s, or cancel it", n.job.ID))
		}
		if !n.wanted() { // the connection to the server is lost with it, and it begins again when it is resumed
			p.end()
			n.drop()
			return nil
		}
		if err := c.confirm(); err != nil {
			return err
		}
	}
}

// wholeOver looks at why there are no more parts.
func (c *capture) wholeOver(ch *chunk, p *part) error {
	n := c.snapshots
	n.shift()
	c.noticeBadText(ch.table.layout.Table(), ch.bad.n, ch.bad.column, p.tx)
	switch err := ch.failed(); {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case err != nil && permanent(err):
		n.fail(err)
	case err != nil:
		n.retry(ch, err.Error())
	default:
		n.tries = 0
		n.tableOver()
	}
	return nil
}
