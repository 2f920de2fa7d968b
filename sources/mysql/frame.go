package mysql

import (
	"errors"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// This file puts rows into frames, and hands frames over with the checkpoint that they stand for.

// handlerError marks what the handler said: it is no error of the source.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return "hand over a frame: " + e.err.Error() }

func (e *handlerError) Unwrap() error { return e.err }

// deliver numbers the rows and puts those that are not in the stream yet into frames.
func (c *capture) deliver(rows *rowsEvent) (err error) {
	if c.tx.skipped {
		return nil
	}
	images := rows.images
	if rows.compressed {
		if images, err = c.inflater.Inflate(images); err != nil {
			return c.rowsError(rows, err)
		}
	}
	bad, _ := rows.Layout.BadText()
	for first := true; len(images) > 0 || first && rows.Empty(); first = false {
		if c.no >= c.deliverFrom {
			images, err = c.row(rows, images)
		} else if err = c.inCut(); err != nil {
			return err
		} else if images, err = rows.Skip(images); err == nil { // in the stream already
			c.no++
			c.tx.rows++
			c.tx.whole = false
		} else {
			err = c.rowsError(rows, err)
		}
		if err != nil {
			return err
		}
	}
	c.badText(rows.Layout, bad)
	return nil
}

func (c *capture) rowsError(rows *rowsEvent, err error) error {
	if errors.Is(err, rowimage.ErrNoDocument) {
		return cdc.Errorf("CDCD-1313", "an update of %s in the transaction at %s:%d: %w", rows.Layout.Table(), c.tx.tx.File, c.tx.tx.Pos, err).
			WithFix("SET GLOBAL binlog_row_image = 'FULL', or binlog_row_value_options = ''")
	}
	return cdc.Errorf("CDCD-1307", "rows of %s in the transaction at %s:%d: %w", rows.Layout.Table(), c.tx.tx.File, c.tx.tx.Pos, err)
}

// row adds the event to the frame whose images come first, and returns the images that follow.
func (c *capture) row(rows *rowsEvent, images []byte) (rest []byte, err error) {
	if c.full {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	for {
		c.begun()
		info := cdc.EventInfo{No: c.no, Tx: c.tx.inTx, Row: c.tx.rows, Table: c.frame.AddTable(rows.Layout.Table()), Op: rows.op}
		if info.Before, info.After, rest, err = rows.Append(&c.frame, images); err != nil {
			return nil, c.rowsError(rows, err)
		}
		size := c.frame.Size()
		if size <= c.room() {
			c.frame.AddEvent(info)
			break
		}
		if c.frame.Len() == 0 {
			if info, err = c.shrink(info, rows.Layout.Table()); err != nil {
				return nil, err
			}
			c.frame.AddEvent(info)
			break
		}
		if info.Before == 0 {
			info.Before = info.After
		}
		c.frame.DropRows(info.Before) // it begins the next frame
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	c.no++
	c.partNo++
	c.tx.rows++
	c.full = c.frame.Size() >= c.cfg.FrameBytes || c.frame.Len() >= c.cfg.FrameRows
	return rest, nil
}

// begun sees to a frame that the transaction is in.
func (c *capture) begun() {
	c.openFrame()
	if c.tx.inTx < 0 {
		c.tx.inTx = c.frame.AddTx(c.tx.tx)
		c.tx.whole = c.tx.rows == 0
	}
}

func (c *capture) openFrame() {
	if !c.open {
		now := c.cfg.Now()
		c.frame.Reset(cdc.Header{Source: c.cfg.Name, Writer: c.cfg.Writer, Epoch: c.cfg.Epoch, Partitions: 1,
			FirstPartNo: c.partNo, Created: now})
		c.open, c.began = true, now
		c.tx.inTx = -1
	}
}

// flush hands the frame over.
func (c *capture) flush() error {
	cp := c.checkpoint()
	batch, err := cdc.Open(c.frame.Seal(cp), c.known)
	c.open, c.full, c.tx.inTx, c.tx.whole = false, false, -1, false
	if err != nil {
		return cdc.Errorf("CDCD-1309", "frame: %w", err)
	}
	if err := c.next(c.ctx, batch); err != nil {
		return &handlerError{err}
	}
	c.snapshots.note(batch)
	c.sent, c.lastSent = cp, c.cfg.Now()
	lag := c.lag(c.lastSent)
	if n := batch.Len(); n > 0 {
		lag = max(0, c.lastSent.Sub(batch.Event(n-1).CommitTime()))
	}
	c.report(lag)
	return nil
}

// checkpoint says how far the log is in the stream when everything so far is.
func (c *capture) checkpoint() cdc.Checkpoint {
	cp, firstNo := c.done, c.no
	if c.tx.open && c.tx.rows > 0 {
		cp, firstNo = c.tx.start, c.tx.firstNo
		if c.tx.loosed > 0 {
			p, _ := pendingOf(cp) // it was written here
			p.Loosed = c.tx.loosed
			cp.Prepared = p.text()
		}
	}
	if c.executed != nil { // the open transaction is not in it yet; the text is made here, since with many servers in the set it is long
		cp.GTIDSet = c.executed.String()
		c.done.GTIDSet = cp.GTIDSet
	}
	cp.NextNo = max(c.no, c.deliverFrom)
	cp.TxRows = uint32(cp.NextNo - min(firstNo, cp.NextNo))
	switch {
	case cp.TxRows == 0:
		cp.TxGTID = ""
	case cp.TxGTID == "":
		cp.TxGTID = c.sent.TxGTID // nothing but what is in the stream already has been read again
	}
	cp.PartNos = []uint64{c.partNo}
	cp.Snapshot = c.snapshots.String()
	return cp
}

// tick sends what is due. It returns how long nothing else will be.
func (c *capture) tick() (time.Duration, error) {
	now := c.cfg.Now()
	if c.open && !c.tx.open {
		if wait := c.cfg.Linger - now.Sub(c.began); wait > 0 {
			return wait, nil
		}
		return c.cfg.Heartbeat, c.flush()
	}
	wait := c.cfg.Heartbeat - now.Sub(c.lastSent)
	if wait > 0 || c.open {
		return max(wait, time.Millisecond), nil
	}
	return c.cfg.Heartbeat, c.heartbeat()
}

// heartbeat sends a frame without events, for the progress that it carries.
func (c *capture) heartbeat() error {
	c.frame.Reset(cdc.Header{Source: c.cfg.Name, Writer: c.cfg.Writer, Epoch: c.cfg.Epoch, Partitions: 1,
		FirstPartNo: c.partNo, Created: c.cfg.Now(), Heartbeat: true})
	return c.flush()
}
