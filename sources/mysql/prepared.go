package mysql

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/replication"
)

// An XA transaction is two transactions of the log: one prepares it, a later one commits it or rolls it back. Its rows
// wait for that. What waits is not in the stream, so a checkpoint says which transactions were prepared: reading begins
// again at the oldest that holds rows, and what is in the stream already is read over on the way.

// prepared is an XA transaction that has been prepared and not yet been committed or rolled back.
type prepared struct {
	xid   string
	held  []rowsEvent // none: it changed no captured table
	bytes int
	start place
}

// place is where a transaction begins.
type place struct {
	GTIDSet string `json:"gtid_set,omitempty"` // executed before it
	File    string `json:"file,omitempty"`
	Pos     uint64 `json:"pos,omitempty"`
}

// pending is what a checkpoint says of prepared transactions.
type pending struct {
	Oldest *place   `json:"oldest,omitempty"` // of those that hold rows, or are not named in Empty
	Empty  []string `json:"empty,omitempty"`  // ids of those that changed no captured table, if they are not too many

	// Of the transaction that the checkpoint lies within, which is not prepared: see [capture.hold].
	Loosed int `json:"loosed,omitempty"`
}

// without returns what is said of prepared transactions alone.
func (p pending) without() pending {
	p.Loosed = 0
	return p
}

// text is what pendingOf reads.
func (p pending) text() string {
	if p.Oldest == nil && len(p.Empty) == 0 && p.Loosed == 0 {
		return ""
	}
	text, _ := json.Marshal(p) // strings and numbers
	return string(text)
}

// pendingOf reads what a checkpoint says.
func pendingOf(cp cdc.Checkpoint) (p pending, err error) {
	if cp.Prepared == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(cp.Prepared), &p); err != nil {
		return p, cdc.Errorf("CDCD-1307", "the checkpoint's prepared transactions: %w", err)
	}
	return p, nil
}

// readFrom returns where the log must be read from to go on from the checkpoint.
func readFrom(cp cdc.Checkpoint) (place, error) {
	p, err := pendingOf(cp)
	if err != nil || p.Oldest == nil {
		return place{cp.GTIDSet, cp.File, cp.Pos}, err
	}
	return *p.Oldest, nil
}

// maxNamed is how many bytes of ids a checkpoint may hold: every frame has it. Where there are more, the log is read again
// from where the rest were prepared.
const maxNamed = 32 << 10

// pendingText writes what the next checkpoint says of prepared transactions.
func (c *capture) pendingText() string {
	if len(c.prepared) == 0 {
		return ""
	}
	var p pending
	named := 0
	for _, one := range c.prepared {
		switch {
		case len(one.held) == 0 && named+len(one.xid) <= maxNamed:
			p.Empty = append(p.Empty, one.xid)
			named += len(one.xid)
		case p.Oldest == nil:
			p.Oldest = &one.start
		}
	}
	return p.text()
}

// prepare ends an XA transaction's first half.
func (c *capture) prepare(raw []byte) error {
	body := raw[replication.EventHeaderSize:]
	if len(body) < 13 {
		return cdc.Errorf("CDCD-1307", "the XA PREPARE at %s:%d is cut short", c.file, c.pos)
	}
	if body[0] != 0 { // XA COMMIT … ONE PHASE
		return c.end()
	}
	if c.tx.xid == "" {
		c.tx.xid = xidText(body)
	}
	known := len(c.tx.held) == 0 && c.findPrepared(c.tx.xid) >= 0 // read again, and the checkpoint has named it
	if !known {
		before := c.executed // the first half is not in the set yet,
		if c.reread != nil { // but in the checkpoint's, if it is read again
			before = c.reread
		}
		start := place{before.String(), c.tx.start.File, c.tx.start.Pos}
		c.prepared = append(c.prepared, &prepared{xid: c.tx.xid, held: c.tx.held, bytes: c.tx.heldBytes + preparedBytes(c.tx.xid, start.GTIDSet),
			start: start})
	}
	c.tx.held, c.tx.heldBytes = nil, 0
	total := 0
	for _, p := range c.prepared {
		total += p.bytes
	}
	if total > c.cfg.HoldBytes {
		return c.tooMuchHeld("prepared XA transactions have", "the oldest began at %s:%d", c.prepared[0].start.File, c.prepared[0].start.Pos)
	}
	return c.close()
}

// preparedBytes is what remembering one takes, without its rows.
func preparedBytes(xid, executed string) int { return 200 + len(xid) + len(executed) }

func (c *capture) tooMuchHeld(who, format string, args ...any) error {
	return cdc.Errorf("CDCD-1311", "%s changed more than %d bytes, which is what may be held until they commit; %s", who, c.cfg.HoldBytes,
		fmt.Sprintf(format, args...)).
		WithFix("set source.mysql.hold_bytes to %d MiB or more and start again: nothing is lost, the rows are read anew", max(1, c.cfg.HoldBytes>>20)*4)
}

func (c *capture) findPrepared(xid string) int {
	for i, p := range c.prepared {
		if p.xid == xid {
			return i
		}
	}
	return -1
}

// decide ends an XA transaction's second half: its rows belong to the transaction that decides.
func (c *capture) decide(xid string, commit bool) error {
	if commit && c.flavor == FlavorMariaDB {
		c.snapshots.decided(xid)
	}
	i := c.findPrepared(xid)
	if i < 0 {
		if commit && !c.tx.skipped {
			if err := c.unknownXA(xid); err != nil {
				return err
			}
		}
		return c.close()
	}
	if commit && !c.tx.skipped {
		c.tx.held = c.prepared[i].held
		if err := c.release(); err != nil {
			return err
		}
	}
	c.prepared = append(c.prepared[:i], c.prepared[i+1:]...)
	return c.close()
}

// unknownXA is called for a commit whose rows were written before the capture began. Nobody knows here which they are.
func (c *capture) unknownXA(xid string) error {
	if c.cfg.OnUnknownXA == PolicyWarn {
		c.notices.UnknownXA++
		c.cfg.Logger.Warn("an XA transaction committed that was prepared before the capture began: its rows are missing", "event", "capture.unknown_xa",
			"code", "CDCD-1317", "xid", xid, "gtid", c.tx.tx.GTID, "file", c.tx.tx.File, "pos", c.tx.tx.Pos)
		return nil
	}
	return cdc.Errorf("CDCD-1317", "the XA transaction %s, which commits at %s:%d, was prepared before the capture began: its rows are not known", xid,
		c.tx.tx.File, c.tx.tx.Pos).
		WithFix("set source.mysql.on_unknown_xa: warn to go on without its rows, then read the tables that it changed again: cdcd snapshot TABLE")
}

// xidText writes an XA transaction's id as the server does in XA END.
func xidText(body []byte) string {
	format := binary.LittleEndian.Uint32(body[1:])
	g, b := int(binary.LittleEndian.Uint32(body[5:])), int(binary.LittleEndian.Uint32(body[9:]))
	data := body[13:]
	if g < 0 || b < 0 || g+b > len(data) {
		return ""
	}
	return xidOf(data[:g], data[g:g+b], format)
}

func xidOf(global, branch []byte, format uint32) string {
	return fmt.Sprintf("X'%x',X'%x',%d", global, branch, format)
}
