package mysql

import (
	"context"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/go-mysql-org/go-mysql/replication"
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
	pos        uint64          // end of the last event
	executed   *gtids          // everything before the current transaction; nil without GTIDs
	adoptGTIDs bool            // the next file says what executed is
	skip       *gtids          // transactions that are not wanted, when the log begins before the checkpoint; mostly nil
	reread     *gtids          // then: those before it, and those that have come
	again      bool            // what the checkpoint has behind it is being read again, for XA transactions that were prepared in it
	sameServer bool            // the checkpoint's place in the log is one of this server
	torns      map[tornAt]bool // where transactions begin that have no end; the server's log is read over them
	checksum   bool            // events end with four bytes of checksum
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

	beganSet string         // what was executed when the session began
	done     cdc.Checkpoint // the end of the last transaction, without numbers
	sent     cdc.Checkpoint // of the last frame that the handler took
	lastSent time.Time
	pace     pace
}

// rowsEvent is a row event of a captured table.
type rowsEvent struct {
	rowimage.Event
	op         cdc.Op
	images     []byte // as they stand in the log
	compressed bool   // by MariaDB
}

// start begins at a checkpoint. begin is the place that the log has been told to begin at.
func (c *capture) start(from cdc.Checkpoint, begin place) error {
	waiting, err := pendingOf(from)
	if err != nil {
		return err
	}
	c.again, c.sameServer = waiting.Oldest != nil, from.Server == c.identity
	if waiting.Oldest != nil { // the next checkpoints are of this server
		waiting.Oldest.File, waiting.Oldest.Pos = begin.File, begin.Pos
	}
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
	c.sent, c.beganSet = from, from.GTIDSet
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
			if err := c.torn(); err != nil {
				return err
			}
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

// errTorn is a transaction whose end the server did not write before it died.
type errTorn struct{ at tornAt }

// tornAt is where one begins.
type tornAt struct {
	server string
	mark
}

func (e *errTorn) Error() string {
	return fmt.Sprintf("binlog file %s ends within the transaction that begins at %d, since the server died while it wrote", e.at.file, e.at.pos)
}

// torn is called where a file ends within a transaction: the server died while it wrote, and has rolled it back. If none of its
// rows is in the stream, the next session leaves it out.
func (c *capture) torn() error {
	at := tornAt{c.identity, mark{c.tx.tx.File, c.tx.tx.Pos}}
	switch {
	case c.tx.skipped:
		c.tx.open = false
		return nil
	case !c.published() && !c.fromFiles:
		return &errTorn{at}
	case !c.published():
		return cdc.Errorf("CDCD-1307", "%w", &errTorn{at})
	}
	return cdc.Errorf("CDCD-1307", "%w; %d of its rows are in the stream", &errTorn{at}, c.sentRows()).
		WithFix("begin a new epoch: cdcd resync")
}

// published reports whether rows of the present transaction are in the stream, and cannot be taken back.
func (c *capture) published() bool { return c.sentRows() > 0 }

func (c *capture) sentRows() uint64 {
	sent := max(c.sent.NextNo, c.deliverFrom)
	return sent - min(c.tx.firstNo, sent)
}

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

// mayHold returns how many bytes of rows may wait. Nearly every transaction of MariaDB could have been rolled back and hardly
// any was, so they get a part of what XA transactions and savepoints do.
func (c *capture) mayHold() int {
	if c.tx.undoable && len(c.tx.points.list) == 0 {
		return c.cfg.HoldBytes / 4
	}
	return c.cfg.HoldBytes
}
