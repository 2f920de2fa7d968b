package mysql

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// A read view is as of a place in MariaDB's log, but for XA transactions: their second half is written to the log first, in its
// order, and then done in the engine without any order to read views or to other transactions (but where the connection
// that has prepared commits, too). So the reader looks at XA RECOVER, which has an XA transaction from its first half on until the second is done,
// and waits for those that the log has committed already.
//
// Which these are capture tells from where it began. What was prepared before that, and forgotten, is not waited for long.

// decisions is what capture tells the reader of XA transactions, along with a request.
type decisions struct {
	anew      bool     // what was told before is incomplete
	committed []string // ids, since the request before
	prepared  []string // and neither committed nor rolled back, as of the request
}

// maxDecisions is how many commits are remembered from one request to the next.
const maxDecisions = 10_000

// decided is called for the commit of an XA transaction.
func (n *snapshots) decided(xid string) {
	if n == nil || n.reader == nil {
		return // which finds out for itself when it begins
	}
	if len(n.xa.committed) == maxDecisions {
		n.xa = decisions{anew: true}
	}
	if !n.xa.anew {
		n.xa.committed = append(n.xa.committed, xid)
	}
}

// decisions returns what the next request tells.
func (n *snapshots) decisions(c *capture) decisions {
	told := n.xa
	n.xa = decisions{}
	for _, p := range c.prepared {
		told.prepared = append(told.prepared, p.xid)
	}
	return told
}

// doubts are XA transactions that may be committed in the log and not yet visible. It is complete as of the last request.
type doubts struct {
	known bool // else every one that the server has as prepared is in doubt
	since time.Time
	ids   map[string]bool // and whether capture has seen the commit
	told  decisions
}

// strangersTake is how long those are in doubt that capture knows nothing of: either they were committed right before the place where it
// began, and then only little is left to be done for them, without waiting for disks or replicas; or they are not committed at all.
const strangersTake = 3 * time.Second

// take takes what came with a request.
func (d *doubts) take(told decisions) {
	d.told = told
	if told.anew {
		d.known = false
	}
	if !d.known {
		return
	}
	for _, xid := range told.committed {
		d.ids[xid] = true
	}
	d.settle()
}

// settle takes out those that were prepared again: the commit before is done.
func (d *doubts) settle() {
	for _, xid := range d.told.prepared {
		delete(d.ids, xid)
	}
}

// look takes what the server has as prepared now, and reports whether nothing is in doubt.
func (d *doubts) look(prepared map[string]bool, now time.Time) bool {
	if !d.known {
		d.known, d.since, d.ids = true, now, map[string]bool{}
		for xid := range prepared {
			d.ids[xid] = false
		}
		d.settle()
	}
	over := now.Sub(d.since) > strangersTake
	maps.DeleteFunc(d.ids, func(xid string, committed bool) bool { return !prepared[xid] || over && !committed })
	return len(d.ids) == 0
}

// errInDoubt says that XA transactions are not done though the log has committed them, as far as the reader can tell.
type errInDoubt struct{ ids []string }

func (e *errInDoubt) Error() string {
	return "the server still has as prepared what its log has committed: " + strings.Join(e.ids, "; ")
}

// doubtPatience bounds how long the reader waits before it lets capture read on: what was prepared behind the place of the request
// is none that it must wait for, but only capture can say so.
const doubtPatience = 250 * time.Millisecond

// decided waits until all XA transactions are visible that the log has committed up to the place of the request.
func (r *snapshotReader) decided(ctx context.Context) error {
	begun := r.cfg.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if r.xa.known && len(r.xa.ids) == 0 {
			return nil
		}
		prepared, err := r.sv.prepared()
		if err != nil || r.xa.look(prepared, r.cfg.Now()) {
			return err
		}
		if r.cfg.Now().Sub(begun) > doubtPatience {
			return &errInDoubt{slices.Sorted(maps.Keys(r.xa.ids))}
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// prepared returns the ids of the XA transactions that the server has as prepared.
func (s *server) prepared() (map[string]bool, error) {
	rows, err := s.query("XA RECOVER")
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, row := range rows {
		format, err := strconv.ParseUint(row[0], 10, 32)
		g, err2 := strconv.Atoi(row[1])
		b, err3 := strconv.Atoi(row[2])
		if err != nil || err2 != nil || err3 != nil || g < 0 || b < 0 || g+b > len(row[3]) {
			return nil, cdc.Errorf("CDCD-1334", "XA RECOVER says %q", row)
		}
		ids[xidOf([]byte(row[3][:g]), []byte(row[3][g:g+b]), uint32(format))] = true
	}
	return ids, nil
}
