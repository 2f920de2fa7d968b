package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"
)

// capture turns the events of a log into frames. It belongs to one goroutine and lives as long as one connection: after
// an error a new one starts at the last checkpoint.
type capture struct {
	cfg      *Config
	ctx      context.Context
	next     cdc.Handler
	tables   *tables
	selected *selection

	flavor    string
	identity  string // of the server that is read, for checkpoints
	fromFiles bool
	cut       cutTransaction // within which the checkpoint lies

	// where the log is
	file       string
	pos        uint64 // end of the last event
	executed   *gtids // everything before the current transaction; nil without GTIDs
	adoptGTIDs bool   // the next file says what executed is
	skip       *gtids // transactions that are not wanted, when the log begins before the checkpoint; mostly nil
	again      bool   // what the checkpoint has behind it is being read again, for XA transactions that were prepared in it
	sameServer bool   // the checkpoint's place in the log is one of this server
	checksum   bool   // events end with four bytes of checksum
	maps       map[uint64]*rowimage.Layout

	tx       transaction
	prepared []*prepared // XA transactions that wait for their outcome, oldest first

	// what has been numbered and what of it is in the stream already
	no          uint64 // No of the next captured row
	partNo      uint64 // its PartNo
	deliverFrom uint64 // rows before this No are in the stream already

	// the frame
	frame cdc.Builder
	open  bool
	full  bool
	began time.Time
	known *cdc.Tables

	inflater rowimage.Inflater

	told    map[string]bool // what has been said on this connection
	notices *Notices        // since Run began

	snapshots *snapshots // of a server

	done     cdc.Checkpoint // the end of the last transaction, without numbers
	sent     cdc.Checkpoint // of the last frame that the handler took
	lastSent time.Time
	pace     pace
}

// transaction is the one that is being read.
type transaction struct {
	open     bool // a GTID or BEGIN has been seen
	explicit bool // it ends with an event of its own: COMMIT, XID, XA PREPARE
	payload  bool // it comes compressed, to its end
	skipped  bool // it is in the stream already
	start    cdc.Checkpoint
	firstNo  uint64 // No of its first captured row

	tx     cdc.Tx
	commit func() // adds it to the executed set
	rows   uint32 // captured rows so far
	inTx   int    // its number in the frame, or -1
	whole  bool   // all its rows so far are in the present frame

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

// rowsEvent is a row event of a captured table.
type rowsEvent struct {
	rowimage.Event
	op         cdc.Op
	images     []byte // as they stand in the log
	compressed bool   // by MariaDB
}

// handlerError marks what the handler said: it is no error of the source.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return "hand over a frame: " + e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

// start begins at a checkpoint. begin is the place that the log has been told to begin at.
func (c *capture) start(from cdc.Checkpoint, begin place) error {
	waiting, err := pendingOf(from)
	if err != nil {
		return err
	}
	c.again, c.sameServer = waiting.Oldest != nil, from.Server == c.identity
	for _, xid := range waiting.Empty {
		c.prepared = append(c.prepared, &prepared{xid: xid})
	}
	c.file, c.pos = begin.File, begin.Pos
	if from.NextNo == 0 {
		from.NextNo = 1
	}
	if len(from.PartNos) == 0 {
		from.PartNos = []uint64{1}
	}
	c.sent = from
	c.deliverFrom = from.NextNo
	c.no = from.NextNo - uint64(from.TxRows)
	c.partNo = from.PartNos[0]
	c.done = cdc.Checkpoint{Flavor: c.flavor, Server: c.identity, GTIDSet: from.GTIDSet, File: from.File, Pos: from.Pos,
		Commit: from.Commit, Prepared: waiting.without().text()}
	c.maps = map[uint64]*rowimage.Layout{}
	c.lastSent = c.cfg.Now()
	c.cut.begin(from, c.executed == nil && c.flavor == FlavorMySQL && !c.fromFiles)
	c.cut.loosed = waiting.Loosed
	if c.known == nil {
		c.known = &cdc.Tables{}
	}
	return nil
}

// event takes one event of the log.
func (c *capture) event(ev *replication.BinlogEvent) error {
	h := ev.Header
	if e, ok := ev.Event.(payloadPart); ok {
		if !c.tx.open {
			return cdc.Errorf("CDCD-1307", "the compressed events that end at %s:%d are outside of any transaction", c.file, c.pos)
		}
		ev.Event = e.Event
		return c.inner(ev, c.pos, false)
	}
	start := c.advance(h)
	switch e := ev.Event.(type) {
	case *replication.FormatDescriptionEvent:
		c.checksum = e.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
		if err := c.sameFile(h); err != nil {
			return err
		}
		if c.tx.open && h.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
			return c.torn()
		}
		return nil
	case *replication.RotateEvent:
		if c.tx.open && string(e.NextLogName) != c.file {
			return c.torn()
		}
		if h.LogPos != 0 || string(e.NextLogName) != c.file { // else the server only repeats where it was told to begin
			c.rotate(string(e.NextLogName), e.Position)
		}
		return nil
	case *replication.GTIDEvent:
		return c.beginMySQL(h, e, start)
	case *replication.GtidTaggedLogEvent:
		return c.beginMySQL(h, &e.GTIDEvent, start)
	case *replication.MariadbGTIDEvent:
		return c.beginMariaDB(h, e, start)
	case *replication.TransactionPayloadEvent:
		c.tx.payload = true
		return nil // its parts follow
	case *replication.PreviousGTIDsEvent:
		if err := c.writtenBy(FlavorMySQL, start); err != nil {
			return err
		}
		c.pace.head = uint64(h.LogPos)
		if c.adoptGTIDs && c.executed == nil {
			said, err := c.previous(ev, e)
			c.executed = said
			return err
		}
		if c.fromFiles {
			return c.before(ev)
		}
		return nil
	case *replication.MariadbGTIDListEvent:
		if err := c.writtenBy(FlavorMariaDB, start); err != nil {
			return err
		}
		c.pace.head = uint64(h.LogPos)
		if c.fromFiles {
			return c.before(ev)
		}
		return nil
	}
	return c.inner(ev, start, c.checksum)
}

// advance keeps track of the place in the log and returns where the event began.
func (c *capture) advance(h *replication.EventHeader) (start uint64) {
	switch h.EventType {
	case replication.FORMAT_DESCRIPTION_EVENT, replication.PREVIOUS_GTIDS_EVENT, replication.ROTATE_EVENT,
		replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2:
		return c.pos
	}
	if h.Flags&replication.LOG_EVENT_ARTIFICIAL_F != 0 {
		return c.pos
	}
	if h.LogPos == 0 { // MariaDB 11.4 does not know it yet when it writes
		start = c.pos
		c.pos += uint64(h.EventSize)
		return start
	}
	// The header has 32 bits for what may be more in a file with a large transaction.
	end := c.pos&^(1<<32-1) | uint64(h.LogPos)
	if end+1<<31 < c.pos {
		end += 1 << 32
	}
	start = end - uint64(h.EventSize)
	if start == c.pos+4 {
		start = c.pos // the server has left out the checksum
	}
	c.pos = end
	return start
}

func (c *capture) rotate(file string, pos uint64) {
	if c.skip == nil && c.file == c.done.File && c.file != file {
		c.again = false // the checkpoint's file has ended
	}
	c.file, c.pos, c.pace.head = file, pos, 0
	if !c.tx.open && !c.again {
		c.done.File, c.done.Pos = file, pos
	}
}

// torn says that a file ends within a transaction: the server died while it wrote. Rows of it that are in the stream
// cannot be taken back.
func (c *capture) torn() error {
	return cdc.Errorf("CDCD-1307", "binlog file %s ends within the transaction that begins at %d", c.tx.tx.File, c.tx.tx.Pos)
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
	c.begin(cdc.Tx{Server: server, GTID: string(id), File: c.file, Pos: start, CommitTime: at}, func() {
		if c.executed != nil {
			c.executed.addMySQL(sid, tag, gno)
		}
	})
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
	c.begin(cdc.Tx{Server: id.identity(), GTID: id.String(), File: c.file, Pos: start, CommitTime: headerTime(h)}, func() {
		if c.executed != nil {
			c.executed.addMariaDB(id)
		}
	})
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

func (c *capture) begin(tx cdc.Tx, commit func()) {
	clear(c.maps)
	c.tx = transaction{open: true, tx: tx, commit: commit, inTx: -1, firstNo: c.no,
		held: c.tx.held[:0]}
	c.cut.seen = c.cut.seen || tx.GTID == c.cut.gtid
	c.tx.start = cdc.Checkpoint{Flavor: c.flavor, Server: c.identity, GTIDSet: c.done.GTIDSet, File: tx.File, Pos: tx.Pos, TxGTID: tx.GTID,
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
	c.tx.skipped = yes
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

// inner takes an event that may stand in a compressed transaction too.
func (c *capture) inner(ev *replication.BinlogEvent, start uint64, checksum bool) error {
	h := ev.Header
	switch e := ev.Event.(type) {
	case *replication.TableMapEvent:
		return c.tableMap(ev, e, checksum)
	case *replication.RowsEvent:
		return c.rows(h, e)
	case *replication.XIDEvent:
		return c.end()
	case *replication.QueryEvent:
		return c.query(h, e, start)
	}
	switch h.EventType {
	case replication.XA_PREPARE_LOG_EVENT:
		return c.prepare(ev.RawData)
	case replication.STOP_EVENT, replication.PREVIOUS_GTIDS_EVENT, replication.MARIADB_GTID_LIST_EVENT,
		replication.MARIADB_BINLOG_CHECKPOINT_EVENT, replication.HEARTBEAT_EVENT, replication.HEARTBEAT_LOG_EVENT_V2,
		replication.ROWS_QUERY_EVENT, replication.MARIADB_ANNOTATE_ROWS_EVENT, replication.IGNORABLE_EVENT,
		replication.TRANSACTION_CONTEXT_EVENT, replication.VIEW_CHANGE_EVENT,
		replication.INTVAR_EVENT, replication.RAND_EVENT, replication.USER_VAR_EVENT, // these belong to statements
		replication.BEGIN_LOAD_QUERY_EVENT, replication.APPEND_BLOCK_EVENT, replication.DELETE_FILE_EVENT:
		return nil
	case replication.INCIDENT_EVENT:
		return cdc.Errorf("CDCD-1306", "the server reports at %s:%d that changes may be missing from its binlog (incident event)", c.file, start)
	case replication.EXECUTE_LOAD_QUERY_EVENT:
		if c.tx.skipped {
			return nil
		}
		return c.loadData(ev.RawData, checksum, start)
	}
	if h.Flags&replication.LOG_EVENT_IGNORABLE_F != 0 {
		return nil
	}
	return cdc.Errorf("CDCD-1305", "the event at %s:%d has type %d, which is not known", c.file, start, byte(h.EventType))
}

// tableMap remembers the layout of the rows to come.
func (c *capture) tableMap(ev *replication.BinlogEvent, e *replication.TableMapEvent, checksum bool) error {
	if !c.selected.has(e.Schema, e.Table) {
		delete(c.maps, e.TableID)
		return nil
	}
	l, err := c.tables.layout(c.ctx, tableMapBody(ev.RawData, checksum))
	if err != nil {
		return err
	}
	if sequence(l.Table()) {
		delete(c.maps, e.TableID)
		if c.once("sequence", l.Table().String()) {
			c.cfg.Logger.Info("a sequence is not captured", "event", "capture.sequence", "sequence", l.Table().String())
		}
		return nil
	}
	c.maps[e.TableID] = l
	if !c.tx.skipped {
		c.lent(l.Table())
	}
	return nil
}

// rows takes a row event. Tables are announced anew by each statement, whose last row event says that it is the last.
func (c *capture) rows(h *replication.EventHeader, e *replication.RowsEvent) error {
	if e.Flags&replication.RowsEventStmtEndFlag != 0 {
		defer clear(c.maps)
	}
	l, ok := c.maps[e.TableID]
	if !ok || e.Table == nil {
		return nil // not captured, or the empty event that only ends a statement
	}
	if !c.tx.open {
		return cdc.Errorf("CDCD-1307", "rows of %s at %s:%d are outside of any transaction", l.Table(), c.file, c.pos)
	}
	if e.ColumnCount != uint64(l.Columns()) {
		return cdc.Errorf("CDCD-1307", "rows of %s at %s:%d have %d columns where the table has %d", l.Table(), c.file, c.pos,
			e.ColumnCount, l.Columns())
	}
	rows := rowsEvent{Event: rowimage.Event{Layout: l}, images: e.NdbData}
	switch h.EventType {
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1,
		replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		rows.compressed = true
	case replication.PARTIAL_UPDATE_ROWS_EVENT:
		rows.Partial = true
		rows.op, rows.Before, rows.After = cdc.OpUpdate, e.ColumnBitmap1, e.ColumnBitmap2
	}
	switch e.Type() {
	case replication.EnumRowsEventTypeInsert:
		rows.op, rows.After = cdc.OpInsert, e.ColumnBitmap1
	case replication.EnumRowsEventTypeUpdate:
		rows.op, rows.Before, rows.After = cdc.OpUpdate, e.ColumnBitmap1, e.ColumnBitmap2
	case replication.EnumRowsEventTypeDelete:
		rows.op, rows.Before = cdc.OpDelete, e.ColumnBitmap1
	case replication.EnumRowsEventTypeUnknown:
		if rows.Partial {
			break
		}
		return cdc.Errorf("CDCD-1305", "the row event of type %d at %s:%d is not known", byte(h.EventType), c.file, c.pos)
	}
	if !c.tx.skipped && (partial(rows.Before, l.Columns()) || partial(rows.After, l.Columns())) {
		c.partialImages(l.Table())
	}
	if c.tx.holding {
		return c.hold(rows)
	}
	return c.deliver(&rows)
}

// heldOverhead is about what a row event takes that is held, besides its images.
const heldOverhead = 256

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

// mayHold returns how many bytes of rows may wait. Nearly every transaction of MariaDB could have been rolled back and hardly
// any was, so they get a part of what XA transactions and savepoints do.
func (c *capture) mayHold() int {
	if c.tx.undoable && len(c.tx.points.list) == 0 {
		return c.cfg.HoldBytes / 4
	}
	return c.cfg.HoldBytes
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
	if c.tx.skipped && c.again {
		if c.sameServer && !(mark{c.file, c.pos}).before(mark{c.done.File, c.done.Pos}) {
			c.again = false // nothing more may come for a long time
		}
		return nil // the checkpoint is ahead of it
	}
	if c.tx.commit != nil && !c.tx.skipped {
		c.tx.commit()
	}
	c.done.GTIDSet = c.executed.String()
	c.done.File, c.done.Pos, c.done.Commit = c.file, c.pos, c.tx.tx.CommitTime
	c.done.Prepared = c.pendingText()
	if c.full {
		return c.flush()
	}
	return nil
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
			return cdc.Errorf("CDCD-1310", "the transaction at %s:%d was rolled back after more changes than can be held (%d bytes)",
				c.tx.tx.File, c.tx.tx.Pos, c.cfg.HoldBytes)
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
		return cdc.Errorf("CDCD-1310", "the transaction at %s:%d went back to savepoint %s after more changes than can be held (%d bytes)",
			c.tx.tx.File, c.tx.tx.Pos, name, c.cfg.HoldBytes)
	}
	clear(c.tx.held[p.held:])
	c.tx.held, c.tx.heldBytes = c.tx.held[:p.held], p.bytes
	return nil
}

// shorten cuts the dumps that go-mysql puts into its errors.
func shorten(err error) error {
	text := err.Error()
	if len(text) <= 300 {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:300], "") + "…")
}
