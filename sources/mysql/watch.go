package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Progress is what [Config.Observe] learns: how far the capture is.
type Progress struct {
	// Lag is the time from the commit of the newest change that was read until now; 0 when all was read. It grows when
	// not even the server's heartbeats come.
	Lag        time.Duration
	File       string // how far the log was read
	Pos        uint64
	Checkpoint cdc.Checkpoint // of the last frame that the handler took: the log is needed from there on
	Notices    Notices
}

// pace is how the capture keeps up with what the server writes.
type pace struct {
	newest   time.Time // when the newest event that was read was written
	heard    time.Time // when anything came last, be it a heartbeat
	drained  bool      // nothing was left to read
	reported time.Time
	head     uint64 // end of what every file begins with, which is no place to go on from
}

// reportEvery bounds how long Progress is silent while no frames are made.
const reportEvery = time.Second

// took notes what came from the server, nothing included.
func (c *capture) took(batch []*replication.BinlogEvent) {
	if len(batch) == 0 {
		c.pace.drained = true
		return
	}
	c.pace.heard = c.cfg.Now()
	last := batch[len(batch)-1].Header.EventType
	c.pace.drained = last == replication.HEARTBEAT_EVENT || last == replication.HEARTBEAT_LOG_EVENT_V2 // sent at the log's end only
	for _, ev := range slices.Backward(batch) {
		if ev.Header.Timestamp > 0 && ev.Header.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
			c.pace.newest = headerTime(ev.Header)
			return
		}
	}
}

// lag says how far behind the capture is when no row tells.
func (c *capture) lag(now time.Time) time.Duration {
	silent := now.Sub(c.pace.heard)
	switch {
	case !c.pace.heard.IsZero() && silent > c.cfg.Heartbeat && !c.fromFiles:
		return silent
	case c.pace.drained || c.pace.newest.IsZero():
		return 0
	}
	return max(0, now.Sub(c.pace.newest))
}

// report tells Observe how far the capture is.
func (c *capture) report(lag time.Duration) {
	c.pace.reported = c.cfg.Now()
	c.cfg.Observe(Progress{Lag: lag, File: c.file, Pos: max(c.pos, c.pace.head), Checkpoint: c.sent, Notices: *c.notices})
}

// reportDue reports between frames, too.
func (c *capture) reportDue() {
	if now := c.cfg.Now(); now.Sub(c.pace.reported) >= reportEvery {
		c.report(c.lag(now))
	}
}

// Watch looks at a server's log beside the capture: where it ends, and how long the server keeps it. It keeps one
// connection, for one goroutine.
type Watch struct {
	cfg     Config
	server  *server
	life    context.Context // of the server's connection
	hangUp  context.CancelFunc
	rotated map[string]time.Time // when a file was ended, by its name
	written []written
}

// written is how much log there was at a time, counted from the first look on.
type written struct {
	at    time.Time
	end   Place
	bytes float64
}

// Place is a place in a server's binlog.
type Place struct {
	File string
	Pos  uint64
}

// Sight is what a [Watch] saw.
type Sight struct {
	At      time.Time     // when, by this machine's clock
	Flavor  string        //
	Version string        // as the server says it
	Server  string        // identity: its UUID, or for MariaDB "domain-server"
	Clock   time.Duration // how far the server's clock is ahead of this machine's
	End     Place         // of the log
	Behind  int64         // bytes of log between what was read and End; -1 when the server's log does not tell
	Keeps   Keeps

	// Purge is when the server may delete the oldest file that is still needed, at the earliest, by this machine's clock.
	// It is the zero time when it does not do so by itself, or when that is not known; Keeps tells.
	Purge time.Time
}

// Keeps is for how long a server keeps binlog files.
type Keeps struct {
	For   time.Duration // after a file was ended; 0: they do not expire
	Bytes uint64        // above this size of all files together the oldest are deleted; 0: there is no such bound
	Known bool          // false for a managed service whose own setting the account cannot read
	Why   string        // which setting says so
}

// NewWatch returns a watch that does not connect yet.
func NewWatch(cfg Config) (*Watch, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Watch{cfg: cfg, rotated: map[string]time.Time{}}, nil
}

// Close closes the connection, if there is one.
func (w *Watch) Close() {
	if w.server != nil {
		w.server.close()
		w.server = nil
		w.hangUp()
	}
}

// Look asks the server. What was read, and the checkpoint from which on the log is needed, may be zero. It takes no
// longer than ctx has, and a connection that was lost in the meantime is made again. Errors are [*cdc.Error].
func (w *Watch) Look(ctx context.Context, read Place, need cdc.Checkpoint) (Sight, error) {
	used := w.server != nil
	sight, err := w.look(ctx, read, need)
	if err != nil && used && ctx.Err() == nil {
		w.Close()
		sight, err = w.look(ctx, read, need)
	}
	if err != nil {
		w.Close()
		return Sight{}, sourceError(&w.cfg, err)
	}
	return sight, nil
}

func (w *Watch) look(ctx context.Context, read Place, need cdc.Checkpoint) (Sight, error) {
	if w.server == nil {
		w.life, w.hangUp = context.WithCancel(context.Background())
	}
	defer context.AfterFunc(ctx, w.hangUp)()
	if w.server == nil {
		var err error
		if w.server, err = connect(w.life, &w.cfg); err != nil {
			return Sight{}, err
		}
	}
	s := Sight{Flavor: w.server.flavor, Version: w.server.version, Behind: -1}
	asked := w.cfg.Now()
	clock, err := w.server.value("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
	if err != nil {
		return s, err
	}
	s.At = w.cfg.Now()
	s.Clock = clockAhead(clock, asked, s.At)
	if s.Server, err = w.server.identity(); err != nil {
		return s, err
	}
	files, err := w.server.binlogs()
	if err != nil {
		return s, err
	}
	if len(files) == 0 {
		return s, logBinOff(&w.cfg)
	}
	last := files[len(files)-1]
	s.End = Place{last.name, last.size}
	if n, ok := distance(files, read); ok {
		s.Behind = n
	}
	if s.Keeps, err = w.server.keeps(); err != nil {
		return s, err
	}
	if need.Server == s.Server {
		s.Purge, err = w.purge(ctx, &s, files, need)
	}
	w.note(s.At, s.End, files)
	return s, err
}

// purge finds out when the server may delete the file that is needed. A file expires by the time at which it was ended;
// the one that is being written is never deleted.
func (w *Watch) purge(ctx context.Context, s *Sight, files []binlog, need cdc.Checkpoint) (time.Time, error) {
	at := slices.IndexFunc(files, func(f binlog) bool { return f.name == need.File })
	if at < 0 {
		return s.At, nil // it has been deleted
	}
	var first time.Time
	if s.Keeps.For > 0 {
		ended := s.At
		if at+1 < len(files) {
			var err error
			if ended, err = w.ended(ctx, s.Server, files[at+1].name); err != nil {
				return first, err
			}
			ended = ended.Add(-s.Clock)
		}
		first = ended.Add(s.Keeps.For)
	}
	if s.Keeps.Bytes > 0 {
		var kept uint64
		for _, f := range files[at:] {
			kept += f.size
		}
		full := s.At
		if kept < s.Keeps.Bytes {
			rate := w.rate()
			if rate <= 0 {
				return first, nil
			}
			seconds := min(float64(s.Keeps.Bytes-kept)/rate, math.MaxInt32)
			full = full.Add(time.Duration(seconds * float64(time.Second)))
		}
		if first.IsZero() || full.Before(first) {
			first = full
		}
	}
	return first, nil
}

// ended returns when the file before next was ended: when the first event of next was written, by the server's clock.
// Nothing but the log itself tells that, so the beginning of next is read as a replica does, once.
func (w *Watch) ended(ctx context.Context, server, next string) (time.Time, error) {
	key := server + " " + next
	if at, ok := w.rotated[key]; ok {
		return at, nil
	}
	var at time.Time
	err := readLog(ctx, &w.cfg, w.server.flavor, Place{next, 4}, func(ev *replication.BinlogEvent, _ Place) bool {
		if ev.Header.EventType == replication.FORMAT_DESCRIPTION_EVENT && ev.Header.Timestamp > 0 {
			at = headerTime(ev.Header)
		}
		return at.IsZero()
	})
	if err != nil {
		return at, err
	}
	if len(w.rotated) > 1000 {
		clear(w.rotated)
	}
	w.rotated[key] = at
	return at, nil
}

// note keeps the ends of the log of the last minutes.
func (w *Watch) note(at time.Time, end Place, files []binlog) {
	var bytes float64
	if n := len(w.written); n > 0 {
		before := w.written[n-1]
		if more, ok := distance(files, before.end); ok {
			bytes = before.bytes + float64(more)
		} else {
			w.written = nil // another server, or a new log
		}
	}
	w.written = append(w.written, written{at, end, bytes})
	for len(w.written) > 2 && at.Sub(w.written[0].at) > 5*time.Minute {
		w.written = w.written[1:]
	}
}

// rate returns the bytes of log that are written in a second, of late.
func (w *Watch) rate() float64 {
	if len(w.written) < 2 {
		return 0
	}
	a, b := w.written[0], w.written[len(w.written)-1]
	if took := b.at.Sub(a.at).Seconds(); took > 0 {
		return (b.bytes - a.bytes) / took
	}
	return 0
}

// clockAhead compares the server's clock with the middle of the time in which it was asked.
func clockAhead(server string, asked, answered time.Time) time.Duration {
	seconds, err := strconv.ParseFloat(server, 64)
	if err != nil {
		return 0
	}
	return time.UnixMicro(int64(seconds * 1e6)).Sub(asked.Add(answered.Sub(asked) / 2))
}

// binlog is one file of the server's log.
type binlog struct {
	name string
	size uint64 // where its events end
}

func (s *server) binlogs() ([]binlog, error) {
	rows, err := s.query("SHOW BINARY LOGS")
	if err != nil {
		var my *gomysql.MyError
		if errors.As(err, &my) && my.Code == gomysql.ER_NO_BINARY_LOGGING {
			return nil, nil
		}
		return nil, err
	}
	files := make([]binlog, len(rows))
	for i, row := range rows {
		size, err := strconv.ParseUint(row[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("SHOW BINARY LOGS: %w", err)
		}
		if len(row) > 2 && row[2] == "Yes" { // MySQL counts the header of an encrypted file, which positions do not
			size -= min(size, 512)
		}
		files[i] = binlog{row[0], size}
	}
	return files, nil
}

// distance returns the bytes from a place to the end of the log. It fails when the place is not in the log.
func distance(files []binlog, from Place) (int64, bool) {
	at := slices.IndexFunc(files, func(f binlog) bool { return f.name == from.File })
	if at < 0 {
		return 0, false
	}
	n := -int64(from.Pos)
	for _, f := range files[at:] {
		n += int64(f.size)
	}
	return max(n, 0), true
}

// keeps asks for how long the server keeps its files.
func (s *server) keeps() (Keeps, error) {
	rows, err := s.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_expire_logs_seconds', 'expire_logs_days',
		'binlog_expire_logs_auto_purge', 'max_binlog_total_size', 'binlog_space_limit', 'basedir')`)
	if err != nil {
		return Keeps{}, err
	}
	variables := map[string]string{}
	for _, row := range rows {
		variables[strings.ToLower(row[0])] = row[1]
	}
	if strings.HasPrefix(variables["basedir"], "/rdsdbbin") {
		return s.keepsManaged()
	}
	return retentionOf(variables), nil
}

// retentionOf reads a server's settings. Settings that only delay deletion while replicas are connected
// (slave_connections_needed_for_purge) promise nothing to one that is not, so they are left out.
func retentionOf(variables map[string]string) Keeps {
	k := Keeps{Known: true, Why: "no setting deletes binlog files"}
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(variables[name], 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	if n := number("binlog_expire_logs_seconds"); n > 0 {
		k.For, k.Why = time.Duration(n*float64(time.Second)), "binlog_expire_logs_seconds"
	} else if n := number("expire_logs_days"); n > 0 {
		k.For, k.Why = time.Duration(n*24*float64(time.Hour)), "expire_logs_days"
	}
	if strings.EqualFold(variables["binlog_expire_logs_auto_purge"], "OFF") {
		k.For, k.Why = 0, "binlog_expire_logs_auto_purge is OFF"
	}
	for _, name := range []string{"max_binlog_total_size", "binlog_space_limit"} {
		if n := number(name); n > 0 {
			k.Bytes = uint64(n)
			if k.For > 0 {
				k.Why += " and " + name
			} else {
				k.Why = name
			}
		}
	}
	return k
}

// keepsManaged asks Amazon RDS and Aurora, which delete files by a setting of their own.
func (s *server) keepsManaged() (Keeps, error) {
	const name = "'binlog retention hours' of Amazon RDS"
	rows, err := s.query("SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'")
	var my *gomysql.MyError
	switch {
	case errors.As(err, &my):
		return Keeps{Why: name + " cannot be read: " + my.Message}, nil
	case err != nil:
		return Keeps{}, err
	}
	k := Keeps{Known: true, Why: name, For: time.Second} // not set: as soon as possible
	if len(rows) > 0 {
		if hours, err := strconv.ParseFloat(rows[0][0], 64); err == nil && hours > 0 {
			k.For = time.Duration(hours * float64(time.Hour))
		}
	}
	return k, nil
}

// readLog reads the server's log from a place on as a replica does, until next has enough, the log's end is waited at
// for longer than ctx has, or something fails. Rows are not decoded. next gets each event with the place of its
// end, and the parts of a compressed transaction whether it has enough or not.
func readLog(ctx context.Context, cfg *Config, flavor string, from Place, next func(*replication.BinlogEvent, Place) bool) error {
	host, port := cfg.hostPort()
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 1<<31 | rand.Uint32(), // beside the capture, whose connection the server would end otherwise
		Flavor:   flavor, Host: host, Port: port, User: cfg.User, Password: cfg.Password,
		TLSConfig: cfg.TLS, Dialer: cfg.dialer(ctx), Charset: "utf8mb4",
		HeartbeatPeriod: time.Second, ReadTimeout: 10 * time.Second, DisableRetrySync: true, DiscardGTIDSet: true,
		EventCacheCount: 16, RawModeEnabled: true, VerifyChecksum: true, FillZeroLogPos: flavor == FlavorMariaDB,
		Logger: slog.New(slog.DiscardHandler), // it logs what it also returns
	})
	defer syncer.Close() // ends and awaits its goroutine
	streamer, err := syncer.StartSync(gomysql.Position{Name: from.File, Pos: uint32(from.Pos)})
	if err != nil {
		return err
	}
	at, enough := from, false
	none := (&selection{}).clone()
	reader := newLogReader(flavor, none, func(ev *replication.BinlogEvent, _ int) error {
		switch e := ev.Event.(type) {
		case *replication.RotateEvent:
			at = Place{string(e.NextLogName), e.Position}
		case payloadPart: // the place is that of the whole
		default:
			if ev.Header.LogPos > 0 && ev.Header.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
				at.Pos = uint64(ev.Header.LogPos)
			}
		}
		enough = !next(ev, at)
		return ctx.Err()
	})
	for !enough {
		ev, err := streamer.GetEvent(ctx)
		if err != nil {
			return err
		}
		if err := reader.HandleEvent(ev); err != nil {
			return err
		}
	}
	return nil
}
