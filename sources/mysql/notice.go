package mysql

import (
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// What a capture does about something that it can go on after. The values are those of the configuration file.
const (
	PolicyWarn       = "warn"
	PolicyHalt       = "halt"
	PolicyDeadLetter = "dead_letter"
)

// Notices counts what a capture goes on after but people should hear of. Each is in the log too: what concerns a table
// once a connection, what stands alone each time. The numbers begin with Run.
type Notices struct {
	RowsGone      uint64 // statements that removed rows of captured tables without delete events (TRUNCATE, DROP)
	PartialImages uint64 // row events whose images left out columns
	Oversize      uint64 // changes that were captured without their largest values
	BadText       uint64 // values with bytes that their character set does not allow, which became U+FFFD
	Statements    uint64 // changes of tables that are not captured, written as statements
	UnknownXA     uint64 // committed XA transactions whose rows were written before the capture began
}

// once reports whether something of that kind is to be logged: the first time on this connection.
func (c *capture) once(kind, subject string) bool {
	key := kind + "\x00" + subject
	if c.told[key] || len(c.told) > 10_000 {
		return false
	}
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[key] = true
	return true
}

// partial reports that an image leaves out columns. A bitmap has a bit for each that it holds.
func partial(bitmap []byte, columns int) bool {
	if bitmap == nil {
		return false
	}
	for ; columns >= 8; columns -= 8 {
		if bitmap[0] != 0xff {
			return true
		}
		bitmap = bitmap[1:]
	}
	return columns > 0 && bitmap[0]&(1<<columns-1) != 1<<columns-1
}

func (c *capture) partialImages(table *cdc.Table) {
	c.notices.PartialImages++
	if name := table.String(); c.once("image", name) {
		c.cfg.Logger.Warn("row images leave out columns: rules and partners do not see them", "event", "capture.partial_image", "code", "CDCD-1203",
			"table", name, "gtid", c.tx.tx.GTID, "file", c.tx.tx.File, "pos", c.tx.tx.Pos, "fix", "SET GLOBAL binlog_row_image = 'FULL', and no session with another")
	}
}

// badText says what came of text with bytes that its character set does not allow; before is what the layout had counted.
func (c *capture) badText(l *rowimage.Layout, before uint64) {
	n, column := l.BadText()
	c.noticeBadText(l.Table(), n-before, column, c.tx.tx)
}

// noticeBadText reports n such values, in tx and the last of them in column.
func (c *capture) noticeBadText(table *cdc.Table, n uint64, column string, tx cdc.Tx) {
	if n == 0 {
		return
	}
	c.notices.BadText += n
	if name := table.String() + "." + column; c.once("text", name) {
		c.cfg.Logger.Warn("text has bytes that its character set does not allow; they became U+FFFD", "event", "capture.bad_text", "code", "CDCD-1319",
			"column", name, "gtid", tx.GTID, "file", tx.File, "pos", tx.Pos)
	}
}
