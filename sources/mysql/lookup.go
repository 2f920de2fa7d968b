package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// LookupConfig says where look-ups read, and how much.
type LookupConfig struct {
	Server Config // as of a source: of its fields those count that say how to connect, DropColumns and MaskColumns

	// Source is the server that changes are captured from, when Server is a replica of it; nil: they are the same. It is only
	// asked how far it has come, for changes that say no GTID: rows that a snapshot has read.
	Source *Config

	Connections int           // bound of the questions under way at once; 4
	Timeout     time.Duration // bound of each, the waiting for the change included; 10 s
	MaxBytes    int           // bound of an answer; 4 MiB

	Observe func(LookupStats) // nil: nobody looks. It is called after each question, by several goroutines at once.
}

// LookupStats is what a question took.
type LookupStats struct {
	Table  string
	Keys   int
	Rows   int
	Waited time.Duration // for a connection, and for the server to have the change
	Took   time.Duration // all in all
	Err    error
}

// Lookups answers what rules look up in other tables of the source. It may be used by many goroutines at once.
//
// An answer holds what one read view has, and that is never older than the change that asks; see lookup_fresh.go. It is
// stamped with the GTIDs of which all are in it.
type Lookups struct {
	cfg     LookupConfig
	treated *treatments
	places  chan *lookupConn // idle connections, and nil for each that may still be made
	known   cdc.Tables
	closing sync.Once
	closed  chan struct{}
	mu      sync.Mutex
	tables  map[string]*lookupTable // guarded by mu: by what is asked of them
	origin  struct {                // a connection to LookupConfig.Source
		sync.Mutex
		sv *server
	}
}

// NewLookups returns what answers look-ups. It connects when it is asked first.
func NewLookups(cfg LookupConfig) (*Lookups, error) {
	if len(cfg.Server.Tables) == 0 {
		cfg.Server.Tables = []string{"*.*"} // what is looked up need not be captured
	}
	var err error
	if cfg.Server, err = cfg.Server.withDefaults(); err != nil {
		return nil, err
	}
	l := &Lookups{closed: make(chan struct{}), tables: map[string]*lookupTable{}}
	if l.treated, err = newTreatments(&cfg.Server); err != nil {
		return nil, err
	}
	if cfg.Source != nil {
		source, err := cfg.Source.withDefaults()
		if err != nil {
			return nil, err
		}
		cfg.Source = &source
	}
	if cfg.Connections <= 0 {
		cfg.Connections = 4
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 4 << 20
	}
	if cfg.Observe == nil {
		cfg.Observe = func(LookupStats) {}
	}
	cfg.Server.Patience = cfg.Timeout
	l.cfg, l.places = cfg, make(chan *lookupConn, cfg.Connections)
	for range cfg.Connections {
		l.places <- nil
	}
	return l, nil
}

// Close closes the connections once the questions under way have ended.
func (l *Lookups) Close() {
	l.closing.Do(func() {
		close(l.closed)
		for range l.cfg.Connections {
			if c := <-l.places; c != nil {
				c.sv.close()
			}
		}
		l.origin.Lock()
		defer l.origin.Unlock()
		if l.origin.sv != nil {
			l.origin.sv.close()
		}
	})
}

// LookUp answers a question: for each key its rows, in the order that it asks for and then by primary key. A key that no
// value of its columns can equal has none. The error wraps that of ctx when this has ended; it is CDCD-1349 when the
// answer is larger than [LookupConfig].MaxBytes.
func (l *Lookups) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	began := l.cfg.Server.Now()
	stats := LookupStats{Table: q.Table, Keys: len(q.Keys)}
	a, err := l.lookUp(ctx, q, &stats)
	if stats.Err = err; err == nil && a.Batch != nil {
		stats.Rows = a.Batch.Len()
	}
	stats.Took = l.cfg.Server.Now().Sub(began)
	l.cfg.Observe(stats)
	return a, err
}

func (l *Lookups) lookUp(ctx context.Context, q *cdc.Query, stats *LookupStats) (*cdc.Answer, error) {
	within, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	began := l.cfg.Server.Now()
	var c *lookupConn
	select {
	case c = <-l.places:
	case <-within.Done():
		return nil, l.late(ctx, q, "no connection to %s became free", l.cfg.Server.Addr)
	case <-l.closed:
		return nil, errors.New("look-ups: they have been closed")
	}
	stats.Waited = l.cfg.Server.Now().Sub(began)
	a, err := l.ask(within, &c, q, stats)
	l.places <- c
	if cdc.CodeOf(err) == codeNotYet && within.Err() != nil {
		if theirs, ok := ctx.Deadline(); ok && theirs.Before(began.Add(l.cfg.Timeout)) {
			<-ctx.Done() // it is due
		}
	}
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("look-up of %s: %w", q.Table, ctx.Err())
	case within.Err() != nil && cdc.CodeOf(err) != codeNotYet:
		return nil, l.late(ctx, q, "%s did not answer", l.cfg.Server.Addr)
	}
	return nil, err
}

// late is the error of a question that has had its time.
func (l *Lookups) late(ctx context.Context, q *cdc.Query, format string, args ...any) error {
	if ctx.Err() != nil {
		return fmt.Errorf("look-up of %s: %w", q.Table, ctx.Err())
	}
	return cdc.Errorf("CDCD-1346", "look-up of %s: %s within %s", q.Table, fmt.Sprintf(format, args...), l.cfg.Timeout).
		WithFix("`cdcd check` says whether the look-up has an index; raise source.mysql.lookup.timeout or connections if the server is slow")
}

// attempts bounds how often a question is asked anew, because the connection was stale or the table was altered.
const attempts = 4

// ask asks until there is an answer. The connection is nil afterwards if it is of no use any more.
func (l *Lookups) ask(ctx context.Context, at **lookupConn, q *cdc.Query, stats *LookupStats) (*cdc.Answer, error) {
	for n := 1; ; n++ {
		fresh := *at == nil
		if fresh {
			c, err := l.connect(ctx)
			if err != nil {
				return nil, err
			}
			*at = c
		}
		c := *at
		stop := context.AfterFunc(ctx, func() { _ = c.sv.conn.SetDeadline(time.Unix(1, 0)) })
		a, err := c.answer(ctx, q, stats)
		if !stop() || err != nil && !c.settled() {
			c.sv.hangUp(&l.cfg.Server)
			*at = nil
		}
		if err == nil {
			return a, nil
		}
		retry := errors.Is(err, errOtherShape)
		if retry {
			l.forget(q)
		}
		err = l.translate(q, err)
		if ctx.Err() != nil || n == attempts || !retry && (fresh || cdc.CodeOf(err) != codeUnreachable) {
			return nil, err
		}
	}
}

// translate says with a code what the server has said.
func (l *Lookups) translate(q *cdc.Query, err error) error {
	var my *gomysql.MyError
	switch {
	case errors.Is(err, errOtherShape):
		return cdc.Errorf("CDCD-1341", "%s was altered while it was read", q.Table).WithFix("read the table again")
	case cdc.CodeOf(err) != "" || !errors.As(err, &my):
		return sourceError(&l.cfg.Server, err)
	}
	switch my.Code {
	case 3024, 1969, 1317: // max_execution_time, max_statement_time, killed
		return cdc.Errorf("CDCD-1346", "look-up of %s: %s has ended the query: %w", q.Table, l.cfg.Server.Addr, err).
			WithFix("`cdcd check` says whether the look-up has an index; raise source.mysql.lookup.timeout if the server is slow")
	case 1142, 1143, 1044, 1227:
		return cdc.Errorf("CDCD-1343", "look-up of %s: %s may not read it: %w", q.Table, l.cfg.Server.User, err).
			WithFix("GRANT SELECT ON %s TO '%s'@'%%'", q.Table, quote(l.cfg.Server.User))
	case 1146, 1049:
		return cdc.Errorf(codeNoTable, "look-up of %s: %w", q.Table, err).WithFix("correct the name in the rule")
	}
	return sourceError(&l.cfg.Server, err)
}

// lookupConn is a connection for look-ups. It is used by one goroutine at a time.
type lookupConn struct {
	l        *Lookups
	sv       *server
	identity string
	frame    cdc.Builder
}

// connect connects to where look-ups read.
func (l *Lookups) connect(ctx context.Context) (*lookupConn, error) {
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	life, end := context.WithCancel(context.Background())
	stop := context.AfterFunc(dialing, end) // a connection outlives the question that it was made for
	sv, err := connect(life, &l.cfg.Server)
	if !stop() && err == nil {
		sv.close()
		err = ctx.Err()
	}
	if err != nil {
		end()
		return nil, err
	}
	sv.release = end
	c := &lookupConn{l: l, sv: sv}
	if c.identity, err = sv.identity(); err == nil {
		err = c.prepare()
	}
	if err != nil {
		sv.close()
		return nil, sourceError(&l.cfg.Server, err)
	}
	sv.sign()
	return c, nil
}

// prepare makes the session one that only reads, exactly, and not for long.
func (c *lookupConn) prepare() error {
	for _, s := range []string{"SET NAMES utf8mb4", "SET SESSION autocommit = 1", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"} {
		if _, err := c.sv.query(s); err != nil {
			return err
		}
	}
	if err := c.sv.exactRows(); err != nil {
		return err
	}
	if _, err := c.sv.query("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'"); err != nil { // they may be keys
		return err
	}
	limit := fmt.Sprintf("SET SESSION max_execution_time = %d", max(1, c.l.cfg.Timeout.Milliseconds()))
	if c.sv.flavor == FlavorMariaDB {
		limit = fmt.Sprintf("SET SESSION max_statement_time = %.3f", max(0.001, c.l.cfg.Timeout.Seconds()))
	}
	if _, err := c.sv.query(limit); err != nil {
		return err
	}
	return c.suitable()
}

// settled ends the transaction that an error has left open, and reports whether the connection is as before.
func (c *lookupConn) settled() bool {
	if c.sv.busy {
		return false
	}
	_, err := c.sv.query("ROLLBACK")
	return err == nil
}

// answer asks the server once.
func (c *lookupConn) answer(ctx context.Context, q *cdc.Query, stats *LookupStats) (*cdc.Answer, error) {
	t, err := c.l.table(c, q)
	if err != nil {
		return nil, err
	}
	a := &cdc.Answer{Rows: make([][]int, len(q.Keys))}
	keys := t.keys(q)
	began := c.l.cfg.Server.Now()
	if a.At, err = c.begin(ctx, q); err != nil {
		return nil, err
	}
	stats.Waited += c.l.cfg.Server.Now().Sub(began)
	c.frame.Reset(cdc.Header{Source: c.l.cfg.Server.Name})
	r := lookupRows{c: c, t: t, q: q, a: a, number: c.frame.AddTable(t.layout.Table()),
		tx: c.frame.AddTx(cdc.Tx{Server: c.identity, File: "lookup", CommitTime: c.l.cfg.Server.Now().UTC()})}
	for part := range slices.Chunk(keys, t.atOnce()) {
		if err := r.read(part); err != nil {
			return nil, err
		}
	}
	// From the first row on the table cannot be altered before the transaction ends: what it is now, it was.
	if len(keys) > 0 {
		shape, err := c.shape(t)
		if err == nil && shape != t.shape {
			err = errOtherShape
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := c.sv.query("COMMIT"); err != nil {
		return nil, err
	}
	if c.frame.Len() > 0 {
		if a.Batch, err = cdc.Open(c.frame.Seal(cdc.Checkpoint{}), &c.l.known); err != nil {
			return nil, fmt.Errorf("look-up of %s: %w", q.Table, err)
		}
	}
	return a, nil
}
