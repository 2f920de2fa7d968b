package mysql

import (
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"
)

// This file follows transactions from their first event to their outcome.

// transaction is the one that is being read.
type transaction struct {
	open     bool // a GTID or BEGIN has been seen
	explicit bool // it ends with an event of its own: COMMIT, XID, XA PREPARE
	payload  bool // it comes compressed, to its end
	skipped  bool // it is in the stream already
	start    cdc.Checkpoint
	firstNo  uint64 // No of its first captured row

	tx     cdc.Tx
	commit func(*gtids) // adds it to a set; nil without GTIDs
	rows   uint32       // captured rows so far
	inTx   int          // its number in the frame, or -1
	whole  bool         // all its rows so far are in the present frame

	// Rows that wait because the transaction may still undo them.
	holding   bool
	held      []rowsEvent
	heldBytes int
	events    int  // row events that were held, for good or not
	loosed    int  // how many they were when some left held early, because they were too many
	undoable  bool // a ROLLBACK at its end undoes all its rows
	points    savepoints
	xid       string
	xa        bool
}

func (c *capture) beginMySQL(h *replication.EventHeader, e *replication.GTIDEvent, start uint64) error {
	if err := c.writtenBy(FlavorMySQL, start); err != nil {
		return err
	}
	if err := c.checkEnded(); err != nil {
		return err
	}
	if h.EventType == replication.ANONYMOUS_GTID_EVENT {
		c.beginAnonymous(start, committed(e.ImmediateCommitTimestamp, h))
		return nil
	}
	// With a GTID the time is part of what the transaction is, on whichever replica it is read.
	at := committed(e.OriginalCommitTimestamp, h)
	sid, err := uuid.FromBytes(e.SID)
	if err != nil {
		return cdc.Errorf("CDCD-1307", "the GTID at %s:%d: %w", c.file, start, err)
	}
	var text [96]byte
	id := append(text[:0], sid.String()...)
	server := string(id)
	if tag := e.Tag.String(); tag != "" {
		id = append(append(id, ':'), tag...)
	}
	id = fmt.Appendf(id, ":%d", e.GNO)
	tag, gno := e.Tag, e.GNO
	c.begin(cdc.Tx{Server: server, GTID: string(id), File: c.file, Pos: start, CommitTime: at}, func(set *gtids) { set.addMySQL(sid, tag, gno) })
	c.skipped(c.skip != nil && c.skip.hasMySQL(sid, tag, gno))
	return nil
}

// MariaDB's flags of GTID events that go-mysql does not name.
const mariadbPreparedXA = 64

// writtenBy refuses GTIDs of the other flavor, which would make a checkpoint that nobody can read.
func (c *capture) writtenBy(flavor string, start uint64) error {
	if c.flavor == flavor {
		return nil
	}
	return cdc.Errorf("CDCD-1307", "the event at %s:%d has a GTID as %s writes it, in a log of %s", c.file, start, flavor, c.flavor)
}

func (c *capture) beginMariaDB(h *replication.EventHeader, e *replication.MariadbGTIDEvent, start uint64) error {
	if err := c.writtenBy(FlavorMariaDB, start); err != nil {
		return err
	}
	if err := c.checkEnded(); err != nil {
		return err
	}
	id := mariaGTID{e.GTID.DomainID, e.GTID.ServerID, e.GTID.SequenceNumber}
	c.begin(cdc.Tx{Server: id.identity(), GTID: id.String(), File: c.file, Pos: start, CommitTime: headerTime(h)}, func(set *gtids) { set.addMariaDB(id) })
	c.tx.explicit = !e.IsStandalone()
	c.skipped(c.skip != nil && c.skip.hasMariaDB(id))
	if e.Flags&mariadbPreparedXA != 0 {
		c.tx.holding, c.tx.xa = true, true
	}
	if c.tx.explicit && e.Flags&replication.BINLOG_MARIADB_FL_TRANSACTIONAL != 0 && !c.tx.xa {
		// One that made or dropped temporary tables is in the log even if it was rolled back. Only its end tells.
		c.tx.holding, c.tx.undoable = true, true
	}
	return nil
}

func (c *capture) checkEnded() error {
	if c.tx.open && (c.tx.explicit || c.tx.payload) {
		return cdc.Errorf("CDCD-1307", "a transaction begins at %s:%d before the one of %d has ended", c.file, c.pos, c.tx.tx.Pos)
	}
	return nil
}

func (c *capture) begin(tx cdc.Tx, commit func(*gtids)) {
	clear(c.maps)
	c.tx = transaction{open: true, tx: tx, commit: commit, inTx: -1, firstNo: c.no,
		held: c.tx.held[:0], skipped: c.torns[tornAt{c.identity, mark{tx.File, tx.Pos}}]}
	c.cut.seen = c.cut.seen || tx.GTID == c.cut.gtid
	c.tx.start = cdc.Checkpoint{Flavor: c.flavor, Server: c.identity, File: tx.File, Pos: tx.Pos, TxGTID: tx.GTID,
		Commit: c.done.Commit, Prepared: c.done.Prepared}
}

// beginAnonymous begins a transaction of a server without GTIDs. Those that the checkpoint has behind it are known by
// their place.
func (c *capture) beginAnonymous(start uint64, at time.Time) {
	c.executed = nil // the set does not describe the log any more
	c.done.GTIDSet = ""
	c.begin(cdc.Tx{Server: c.identity, File: c.file, Pos: start, CommitTime: at}, nil)
	c.skipped(c.again && (c.file != c.done.File || start < c.done.Pos))
}

// skipped says whether the transaction that begins is in the stream already.
func (c *capture) skipped(yes bool) {
	c.tx.skipped = c.tx.skipped || yes
	if !yes {
		c.again = false
	}
}

// committed returns the time of a commit, which servers before 8.0.1 do not tell: then it is when the event was written.
func committed(micros uint64, h *replication.EventHeader) time.Time {
	if micros == 0 {
		return headerTime(h)
	}
	return time.UnixMicro(int64(micros)).UTC()
}

func headerTime(h *replication.EventHeader) time.Time { return time.Unix(int64(h.Timestamp), 0).UTC() }

// query follows what is in the log as text: the ends of transactions, savepoints, XA, and DDL.
func (c *capture) query(h *replication.EventHeader, e *replication.QueryEvent, start uint64) error {
	st := sessionOf(e.StatusVars).read(e.Query)
	if !c.tx.open { // a server without GTIDs at all
		c.beginAnonymous(start, headerTime(h))
	}
	switch st.kind {
	case stmtBegin:
		c.tx.explicit = true
		return nil
	case stmtCommit:
		return c.end()
	case stmtRollback:
		if c.tx.undoable {
			clear(c.tx.held)
			c.tx.held, c.tx.heldBytes = c.tx.held[:0], 0
		}
		if c.tx.loosed > 0 {
			return c.undone("was rolled back")
		}
		if c.tx.rows > 0 || len(c.tx.held) > 0 {
			return cdc.Errorf("CDCD-1310", "the transaction at %s:%d was rolled back after it had changed captured tables, some of which cannot be rolled back",
				c.tx.tx.File, c.tx.tx.Pos)
		}
		return c.close()
	case stmtSavepoint:
		c.tx.holding = true
		c.tx.points.set(st.arg, len(c.tx.held), c.tx.heldBytes)
		return nil
	case stmtRollbackTo:
		return c.rollbackTo(st.arg)
	case stmtXAStart:
		c.tx.explicit, c.tx.holding, c.tx.xa, c.tx.xid = true, true, true, st.arg
		return nil
	case stmtXAEnd:
		c.tx.xid = st.arg
		return nil
	case stmtXACommit, stmtXARollback:
		return c.decide(st.arg, st.kind == stmtXACommit)
	case stmtDML:
		if !c.tx.skipped {
			if err := c.asStatement(st, string(e.Schema), e.SlaveProxyID, start); err != nil {
				return err
			}
		}
	case stmtDDL:
		c.tables.forget()
		c.snapshots.ddl()
		if c.tx.skipped {
			break
		}
		c.cfg.Logger.Debug("a statement that may define tables anew", "event", "capture.ddl", "statement", st.verb,
			"gtid", c.tx.tx.GTID, "file", c.tx.tx.File, "pos", c.tx.tx.Pos)
		c.snapshots.renamed(st.renames(string(e.Schema)))
		if err := c.outlived(st, string(e.Schema), start); err != nil {
			return err
		}
		if err := c.gone(st, string(e.Schema), start); err != nil {
			return err
		}
		if st.fills() {
			if err := c.asStatement(st, string(e.Schema), e.SlaveProxyID, start); err != nil {
				return err
			}
		}
	}
	if c.tx.explicit {
		return nil // CREATE TABLE … SELECT stands within a transaction
	}
	return c.end()
}

func (c *capture) rollbackTo(name string) error {
	p, ok := c.tx.points.back(name)
	switch {
	case !ok && len(c.tx.held) == 0 && c.tx.rows == 0:
		return nil
	case !ok:
		return cdc.Errorf("CDCD-1310", "the transaction at %s:%d went back to savepoint %s, which is not known", c.tx.tx.File, c.tx.tx.Pos, name)
	case p.released:
		return c.undone("went back to savepoint " + name)
	}
	clear(c.tx.held[p.held:])
	c.tx.held, c.tx.heldBytes = c.tx.held[:p.held], p.bytes
	return nil
}

// undone says that rows were undone which could not be held until then. As long as none of the transaction's rows is in the stream,
// more room mends it.
func (c *capture) undone(how string) error {
	what := fmt.Sprintf("the transaction at %s:%d %s after more changes than can be held (source.mysql.hold_bytes is %d)", c.tx.tx.File, c.tx.tx.Pos, how, c.cfg.HoldBytes)
	if n := c.sentRows(); n > 0 {
		return cdc.Errorf("CDCD-1310", "%s, and %d of its rows are in the stream", what, n).
			WithFix("these rows may not have happened: begin a new epoch (cdcd resync), with a larger source.mysql.hold_bytes, so that it does not come again")
	}
	return cdc.Errorf("CDCD-1310", "%s; none of its rows is in the stream", what).
		WithFix("set source.mysql.hold_bytes to %d MiB or more and start again: nothing is lost, the rows are read anew", max(1, c.cfg.HoldBytes>>20)*4)
}

// hold keeps rows until it is clear that they are not undone, in the log's form.
//
// Where they get too many, they go into frames all the same: to undo them is then an error, and must be one again when
// the transaction is read anew with more room. So checkpoints say when that was.
func (c *capture) hold(rows rowsEvent) error {
	c.tx.held = append(c.tx.held, rows)
	c.tx.heldBytes += len(rows.images) + heldOverhead
	c.tx.events++
	if c.tx.heldBytes <= c.mayHold() && (c.tx.events != c.cut.loosed || c.tx.firstNo >= c.deliverFrom) {
		return nil
	}
	if c.tx.xa {
		return c.tooMuchHeld("an XA transaction has", "it began at %s:%d", c.tx.tx.File, c.tx.tx.Pos)
	}
	c.tx.points.release()
	c.tx.loosed = c.tx.events
	return c.release()
}

// release delivers what was held.
func (c *capture) release() error {
	for i := range c.tx.held {
		if err := c.deliver(&c.tx.held[i]); err != nil {
			return err
		}
		c.tx.held[i] = rowsEvent{}
	}
	c.tx.held, c.tx.heldBytes = c.tx.held[:0], 0
	return nil
}

// end ends the transaction with its commit.
func (c *capture) end() error {
	if !c.tx.open {
		return nil
	}
	if err := c.release(); err != nil {
		return err
	}
	return c.close()
}

// close is the end of every transaction that the log has to its end, whatever came of it.
func (c *capture) close() error {
	if err := c.cutEnds(); err != nil {
		return err
	}
	if c.tx.inTx >= 0 && c.open {
		c.frame.UpdateTx(c.tx.inTx, func(tx *cdc.Tx) {
			tx.Ends = true
			if c.tx.whole {
				tx.Rows = c.tx.rows
			}
		})
	}
	c.tx.open, c.tx.holding = false, false
	if c.tx.commit != nil && c.reread != nil {
		c.tx.commit(c.reread)
	}
	if c.tx.skipped && c.again {
		if c.sameServer && !(mark{c.file, c.pos}).before(mark{c.done.File, c.done.Pos}) {
			c.again = false // nothing more may come for a long time
		}
		return nil // the checkpoint is ahead of it
	}
	if c.tx.commit != nil && c.executed != nil && !c.tx.skipped {
		c.tx.commit(c.executed)
	}
	c.done.File, c.done.Pos, c.done.Commit = c.file, c.pos, c.tx.tx.CommitTime
	c.done.Prepared = c.pendingText()
	if c.full {
		return c.flush()
	}
	return nil
}
