package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// What is looked up for a change must not be older than the change. That is not a matter of course: a server sends a transaction
// to its replicas, and so to capture, when its log has it, and makes it visible to others only then, one after the other or
// whole groups at once. Look-ups for it can be here before that. And a replica has it later still.
//
//   - MySQL adds a transaction to gtid_executed after it has become visible. So a read view that is opened once gtid_executed has
//     the change has it, too, and with it all that gtid_executed had: that is the answer's stamp.
//   - A MariaDB that writes a log can say which place in it a read view is as of. gtid_binlog_pos has a transaction before any
//     replica gets it, so: read gtid_binlog_pos, then the log's end, then open read views until one is as of that end or
//     later. It has all that gtid_binlog_pos had, which is the stamp.
//   - A MariaDB that replicates adds what it has applied to gtid_slave_pos after that has become visible. A read view that is
//     opened once gtid_slave_pos has the change is as good, be there a log or not.
//
// That one GTID is there means that all changes before it are there as long as transactions commit in the order of the log. So
// a MySQL replica must keep that order, see [lookupConn.suitable]. MariaDB's replicas do, within each domain.
//
// MySQL without GTIDs can not be asked what is visible. Look-ups refuse it.
//
// The second half of an XA transaction on MariaDB is an exception, see snapshot_xa.go: its place in the log does not tell when
// it becomes visible. Nothing waits for disks or replicas any more then, so an answer for a change that is younger than
// [strangersTake] waits until none of the XA transactions is prepared any more that were when it was asked.

const codeNotYet = "CDCD-1345" // the server does not have the change, or not yet

// suitable refuses a server that cannot tell what is visible, or on which a change may be visible before one that it came after.
func (c *lookupConn) suitable() error {
	if c.sv.flavor == FlavorMariaDB {
		return nil
	}
	refuse := func(what, fix string) error {
		return cdc.Errorf("CDCD-1344", "%s cannot answer look-ups: %s", c.l.cfg.Server.Addr, what).WithFix("%s", fix)
	}
	if yes, err := c.sv.hasGTIDs(); err != nil {
		return err
	} else if !yes {
		return refuse("gtid_mode is not ON, so nobody can tell which changes a query sees", "set gtid_mode = ON and enforce_gtid_consistency = ON")
	}
	for _, names := range [][2]string{{"replica_parallel_workers", "replica_preserve_commit_order"}, {"slave_parallel_workers", "slave_preserve_commit_order"}} {
		rows, err := c.sv.query(fmt.Sprintf("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('%s', '%s')", names[0], names[1]))
		if err != nil {
			return err
		}
		if len(rows) < 2 {
			continue // a version that has the other names
		}
		values := map[string]string{}
		for _, row := range rows {
			values[row[0]] = row[1]
		}
		if workers, err := strconv.Atoi(values[names[0]]); err != nil || workers < 2 || values[names[1]] == "ON" || values[names[1]] == "1" {
			return nil
		}
		replicas, err := c.sv.query("SELECT 1 FROM performance_schema.replication_applier_status LIMIT 1")
		if err == nil && len(replicas) == 0 {
			return nil // it is nobody's replica
		}
		return refuse("it applies transactions in another order than its source commits them", "SET GLOBAL "+names[1]+" = ON, after STOP REPLICA SQL_THREAD")
	}
	return nil
}

// begin opens a read view that has the change, and returns GTIDs of which all are in it.
func (c *lookupConn) begin(ctx context.Context, q *cdc.Query) (at string, err error) {
	want := q.After.GTID
	if want == "" && q.After.Server != "" && q.After.Server != c.identity {
		if want, err = c.l.originSet(ctx); err != nil {
			return "", err
		}
	}
	if c.sv.flavor == FlavorMySQL {
		at, err = c.beginMySQL(ctx, q, want)
	} else {
		at, err = c.beginMariaDB(ctx, q, want)
	}
	if err != nil && ctx.Err() != nil {
		return "", c.notYet(q, want)
	}
	return at, err
}

func (c *lookupConn) beginMySQL(ctx context.Context, q *cdc.Query, want string) (at string, err error) {
	for {
		rows, err := c.sv.query("SELECT @@global.gtid_executed, GTID_SUBSET('" + quote(want) + "', @@global.gtid_executed)")
		if err != nil {
			return "", err
		}
		if len(rows) == 1 && rows[0][1] == "1" {
			at = oneLine(rows[0][0])
			break
		}
		left := 0.0
		if deadline, ok := ctx.Deadline(); ok {
			left = time.Until(deadline).Seconds()
		}
		if left <= 0 {
			return "", c.notYet(q, want)
		}
		// Not all at once: a statement must not be longer than max_execution_time.
		if _, err := c.sv.query(fmt.Sprintf("SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', %.3f)", quote(want), min(left, 1))); err != nil {
			return "", err
		}
	}
	_, err = c.sv.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
	return at, err
}

func (c *lookupConn) beginMariaDB(ctx context.Context, q *cdc.Query, want string) (string, error) {
	set, err := parseGTIDs(FlavorMariaDB, want)
	if err != nil {
		return "", fmt.Errorf("look-up of %s: after %q: %w", q.Table, want, err)
	}
	has := func(text string) bool {
		have, err := parseGTIDs(FlavorMariaDB, text)
		if err != nil {
			return false
		}
		for _, one := range set.mariadb {
			if !have.hasMariaDB(one) {
				return false
			}
		}
		return true
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		rows, err := c.sv.query("SELECT @@global.gtid_slave_pos, @@global.gtid_binlog_pos")
		if err != nil {
			return "", err
		}
		applied, logged := oneLine(rows[0][0]), oneLine(rows[0][1])
		switch {
		case has(logged) && (logged != "" || applied == ""):
			return logged, c.viewOfLog(ctx, q, want)
		case has(applied):
			_, err := c.sv.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
			return applied, err
		}
		if wait(ctx, pause) != nil {
			return "", c.notYet(q, want)
		}
	}
}

// viewOfLog opens a read view that has all that MariaDB's log has now.
func (c *lookupConn) viewOfLog(ctx context.Context, q *cdc.Query, want string) error {
	status, err := c.sv.logStatus(&c.l.cfg.Server)
	if err != nil {
		return err
	}
	end := mark{file: status[0]}
	if end.pos, err = strconv.ParseUint(status[1], 10, 64); err != nil {
		return err
	}
	if err := c.xaDone(ctx, q); err != nil {
		return err
	}
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if _, err := c.sv.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
			return err
		}
		at, err := c.sv.viewPlace()
		if err != nil {
			return err
		}
		if at.file == "" {
			return cdc.Errorf("CDCD-1344", "%s cannot answer look-ups: it does not say which place in its log a read view is as of", c.l.cfg.Server.Addr).
				WithFix("set log_bin on the server, or name another one in source.mysql.lookup.url")
		}
		if !at.before(end) {
			return nil
		}
		if _, err := c.sv.query("ROLLBACK"); err != nil {
			return err
		}
		if wait(ctx, pause) != nil {
			return c.notYet(q, want)
		}
	}
}

// viewPlace returns the place in the log that MariaDB's read view is as of; none if there is no log.
func (s *server) viewPlace() (at mark, err error) {
	rows, err := s.query("SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return at, err
	}
	for _, row := range rows {
		switch strings.ToLower(row[0]) {
		case "binlog_snapshot_file":
			at.file = row[1]
		case "binlog_snapshot_position":
			if at.pos, err = strconv.ParseUint(row[1], 10, 64); err != nil {
				return at, err
			}
		}
	}
	return at, nil
}

// xaDone waits for MariaDB's XA transactions that may be committed in the log and not yet visible.
func (c *lookupConn) xaDone(ctx context.Context, q *cdc.Query) error {
	prepared, err := c.sv.prepared()
	if err != nil || len(prepared) == 0 || q.After.CommitTime.IsZero() {
		return err
	}
	text, err := c.sv.value("SELECT UNIX_TIMESTAMP()")
	if err != nil {
		return err
	}
	now, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	left := strangersTake + time.Second - time.Unix(now, 0).Sub(q.After.CommitTime) // the log has whole seconds
	until := c.l.cfg.Server.Now().Add(left)
	for pause := time.Millisecond; len(prepared) > 0 && c.l.cfg.Server.Now().Before(until); pause = min(2*pause, 50*time.Millisecond) {
		if err := wait(ctx, pause); err != nil {
			return err
		}
		now, err := c.sv.prepared()
		if err != nil {
			return err
		}
		for xid := range prepared {
			if !now[xid] {
				delete(prepared, xid)
			}
		}
	}
	return nil
}

func (c *lookupConn) notYet(q *cdc.Query, want string) error {
	if len(want) > 200 {
		want = want[:200] + "…"
	}
	return cdc.Errorf(codeNotYet, "look-up of %s: %s has not executed %s within %s", q.Table, c.l.cfg.Server.Addr, want, c.l.cfg.Timeout).
		WithFix("check that it is the captured server or a replica of it, and that replication runs; raise source.mysql.lookup.timeout if it may lag for longer")
}

// originSet returns what the captured server has executed by now.
func (l *Lookups) originSet(ctx context.Context) (string, error) {
	if l.cfg.Source == nil {
		return "", nil // another address of the same server, or its successor, which had the row before it was promoted
	}
	l.origin.Lock()
	defer l.origin.Unlock()
	var err error
	for attempt := 0; ; attempt++ {
		if l.origin.sv == nil {
			if l.origin.sv, err = connect(context.WithoutCancel(ctx), l.cfg.Source); err != nil {
				return "", err
			}
		}
		variable := "gtid_executed"
		if l.origin.sv.flavor == FlavorMariaDB {
			variable = "gtid_binlog_pos"
		}
		set, err := l.origin.sv.value("SELECT @@global." + variable)
		if err == nil {
			return oneLine(set), nil
		}
		l.origin.sv.close()
		l.origin.sv = nil
		if attempt > 0 {
			return "", sourceError(l.cfg.Source, err)
		}
	}
}
