package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/go-mysql-org/go-mysql/replication"
)

// How much of the log Deep reads, and for how long each time.
const (
	deepBytes = 64 << 20
	deepTakes = 10 * time.Second
	waitTakes = 5 * time.Second // for the log's end, when it is not reached
)

// Deep checks what [Preflight] cannot see in settings: it reads the newest part of the log as a capture does, looks for
// what was written there that cannot be captured, asks what the sessions of others have set, and whether the server still
// has what comes after the checkpoint, which may be zero, or without a flavor: then a capture is running and has got there. It changes nothing. It takes at most as long as ctx, and says
// what it did not come to. step is told what is being looked at.
func Deep(ctx context.Context, cfg Config, from cdc.Checkpoint, step func(what string)) ([]Finding, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.ServerID = 0 // a running capture must not be thrown off
	cfg.Logger, cfg.Observe, cfg.Following = nil, nil, nil
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	selected, err := newSelection(cfg.Tables, cfg.ExcludeTables)
	if err != nil {
		return nil, err
	}
	d := &deep{preflight: preflight{cfg: &cfg}, selected: selected, from: from}
	if d.server, err = connect(ctx, &cfg); err != nil {
		return nil, err
	}
	defer d.server.close()
	d.whoAmI()
	for _, one := range []struct {
		name, what string
		look       func(context.Context) error
	}{
		{"mysql.clock", "the server's clock", d.clock},
		{"mysql.sessions", "the settings of other sessions", d.sessions},
		{"mysql.columns", "the columns of the captured tables", d.columns},
		{"mysql.headroom", "how long binlogs are kept", d.headroom},
		{"mysql.replication", "what was written of late", d.recent},
		{"mysql.decode", "the capture of what was written of late", d.decode},
		{"mysql.checkpoint", "the capture from the checkpoint on", d.checkpoint},
	} {
		if ctx.Err() == nil {
			step(one.what)
			err = one.look(ctx)
		}
		var coded *cdc.Error
		switch {
		case ctx.Err() != nil:
			d.add(one.name, Warn, "%s was not looked at to the end: the time was over", "CDCD-1225", "cdcd check --deep --limit 5m", one.what)
		case err != nil && errors.As(sourceError(&cfg, err), &coded):
			d.add(one.name, Fail, "%s", coded.Code, coded.Fix, strings.TrimPrefix(coded.Error(), coded.Code+": "))
		}
		err = nil
	}
	return d.findings, nil
}

type deep struct {
	preflight
	selected *selection
	from     cdc.Checkpoint
	begin    Place // of the part of the log that was read
	end      Place // of the log
}

// clock compares the clocks: lag is the difference of both, and an object's date comes from the server's.
func (d *deep) clock(context.Context) error {
	asked := time.Now()
	text, err := d.server.value("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
	if err != nil {
		return err
	}
	ahead := clockAhead(text, asked, time.Now()).Round(time.Millisecond)
	if ahead.Abs() > 2*time.Second {
		d.add("mysql.clock", Warn, "the server's clock is %s ahead of this machine's", "CDCD-1221", "synchronize both clocks (NTP)", ahead)
		return nil
	}
	d.add("mysql.clock", OK, "the server's clock differs by %s", "", "", ahead.Abs())
	return nil
}

// sessions looks for connections whose own settings differ from the global ones that [Preflight] checks.
func (d *deep) sessions(context.Context) error {
	if d.server.flavor == FlavorMariaDB {
		d.add("mysql.sessions", OK, "MariaDB does not tell what its sessions have set; what they wrote is looked at below", "", "")
		return nil
	}
	rows, err := d.server.query(`SELECT COALESCE(t.PROCESSLIST_USER, ''), COALESCE(t.PROCESSLIST_HOST, ''), LOWER(v.VARIABLE_NAME), v.VARIABLE_VALUE, COUNT(*)
		FROM performance_schema.variables_by_thread v JOIN performance_schema.threads t ON t.THREAD_ID = v.THREAD_ID
		WHERE t.TYPE = 'FOREGROUND' AND (v.VARIABLE_NAME = 'binlog_format' AND v.VARIABLE_VALUE <> 'ROW'
			OR v.VARIABLE_NAME = 'binlog_row_image' AND v.VARIABLE_VALUE <> 'FULL'
			OR v.VARIABLE_NAME = 'binlog_row_value_options' AND v.VARIABLE_VALUE <> ''
			OR v.VARIABLE_NAME = 'sql_log_bin' AND v.VARIABLE_VALUE = 'OFF')
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`)
	if err != nil {
		d.add("mysql.sessions", Warn, "what other sessions have set cannot be read: %v", "CDCD-1103",
			"GRANT SELECT ON performance_schema.* TO "+d.grantee, err)
		return nil
	}
	for _, row := range rows {
		d.add("mysql.sessions", Warn, "%s session(s) of %s@%s have %s = %s", "CDCD-1220",
			"have these clients leave the setting alone, and connect again", row[4], row[0], row[1], row[2], quoteEmpty(row[3]))
	}
	if len(rows) == 0 {
		d.add("mysql.sessions", OK, "no session has binlog settings of its own", "", "")
	}
	return nil
}

// columns looks for types and character sets that the binlog does not have in a form that can be read.
func (d *deep) columns(context.Context) error {
	tables, err := d.server.schema(d.selected)
	if err != nil {
		return err
	}
	treated, err := newTreatments(d.cfg)
	if err != nil {
		return err
	}
	bad, n := 0, 0
	for _, t := range tables {
		found, _, err := d.server.schemaColumns(whereTable(t.Schema, t.Name))
		if err != nil {
			return err
		}
		of := treated.of(t.Schema, t.Name)
		for _, c := range found[t.Schema+"\x00"+t.Name] {
			n++
			if of(c.Name).Drop && rowimage.Skippable(&c) {
				continue
			}
			if err := rowimage.Supports(&c); err != nil {
				bad++
				d.add("mysql.columns", Fail, "column %s of %s cannot be captured: %v", "CDCD-1308",
					fmt.Sprintf("ALTER TABLE %s.%s MODIFY %s to a type and character set that can be captured, or do not capture the table",
						rowimage.QuoteName(t.Schema), rowimage.QuoteName(t.Name), rowimage.QuoteName(c.Name)), c.Name, t, err)
			}
		}
	}
	if bad == 0 {
		d.add("mysql.columns", OK, "%d column(s) of %d table(s) can be captured", "", "", n, len(tables))
	}
	return nil
}

// headroom compares what the checkpoint still needs with what the server keeps.
func (d *deep) headroom(ctx context.Context) error {
	w, err := NewWatch(*d.cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	s, err := w.Look(ctx, Place{d.from.File, d.from.Pos}, d.from)
	if err != nil {
		return err
	}
	d.end = s.End
	const name, fix = "mysql.headroom", "SET PERSIST binlog_expire_logs_seconds = 604800 (MariaDB: SET GLOBAL …)"
	left := s.Purge.Sub(s.At).Round(time.Second)
	switch {
	case !s.Keeps.Known:
		d.add(name, Warn, "how long the server keeps its binlog is not known: %s", "CDCD-1223",
			"GRANT SELECT ON mysql.rds_configuration TO the account; CALL mysql.rds_set_configuration('binlog retention hours', 168)", s.Keeps.Why)
	case s.Purge.IsZero() && s.Keeps.For > 0: // nothing has been captured yet, or from another server
		d.add(name, OK, "a binlog file is kept for %s (%s)", "", "", s.Keeps.For, s.Keeps.Why)
	case s.Purge.IsZero():
		d.add(name, OK, "what is needed is kept: %s", "", "", s.Keeps.Why)
	case left <= 0:
		d.add(name, Fail, "%s, from which the capture has to go on, is gone or may be deleted at any moment (%s)", "CDCD-1222", fix, d.from.File, s.Keeps.Why)
	case left < s.Keeps.For/4 || left < time.Hour:
		d.add(name, Warn, "%s, from which the capture has to go on, may be deleted in %s (%s)", "CDCD-1222", fix, d.from.File, left, s.Keeps.Why)
	default:
		d.add(name, OK, "%s, from which the capture has to go on, is kept for %s at least (%s)", "", "", d.from.File, left, s.Keeps.Why)
	}
	return nil
}

// recently is what was seen in the log.
type recently struct {
	events, transactions, statements int
	rows                             map[string]int // events with rows of captured tables, by table
	unnamed                          map[string]bool
	partial                          map[string]bool // updates with parts of JSON documents, and without all that was there before
	thin                             map[string]bool // images without all columns
	statement                        string          // the first change of a captured table as a statement
	unchecked                        bool            // events without checksums
	first, last                      time.Time
	maps                             map[uint64]string
	checksum                         bool  // events end with four bytes of checksum
	broken                           error // of the first TABLE_MAP that cannot be read
}

// recent reads the newest part of the log. That it can is proof that the account may; what is in it shows what settings
// do not: sessions may have other ones.
func (d *deep) recent(ctx context.Context) error {
	files, err := d.server.binlogs()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return logBinOff(d.cfg)
	}
	d.begin, d.end = recentPart(files, d.from)
	if d.begin == d.end {
		d.begin.Pos = 4
	}
	r := &recently{rows: map[string]int{}, unnamed: map[string]bool{}, partial: map[string]bool{}, thin: map[string]bool{}, maps: map[uint64]string{}}
	bytes := 0
	limited, cancel := context.WithTimeout(ctx, deepTakes)
	defer cancel()
	var reached Place
	err = readLog(limited, d.cfg, d.server.flavor, d.begin, func(ev *replication.BinlogEvent, at Place) bool {
		d.see(r, ev, at)
		reached = at
		if _, ok := ev.Event.(payloadPart); !ok {
			bytes += int(ev.Header.EventSize)
		}
		return bytes < deepBytes && !d.beyond(at)
	})
	if r.broken != nil {
		return r.broken
	}
	if err != nil && (r.events == 0 || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	d.add("mysql.replication", OK, "read as a replica: %d event(s), %d transaction(s), from %s:%d to %s:%d", "", "",
		r.events, r.transactions, d.begin.File, d.begin.Pos, reached.File, reached.Pos)
	d.judge(r)
	return nil
}

// recentPart chooses what to read: from the earliest file on from which it is not too much, or else the newest one, from
// the checkpoint if it is there.
func recentPart(files []binlog, from cdc.Checkpoint) (begin, end Place) {
	last := files[len(files)-1]
	begin, end = Place{last.name, 4}, Place{last.name, last.size}
	if last.size > deepBytes && from.File == last.name {
		begin.Pos = max(from.Pos, 4)
	}
	total := uint64(0)
	for _, f := range slices.Backward(files) {
		if total += f.size; total > deepBytes {
			break
		}
		begin = Place{f.name, 4}
	}
	return begin, end
}

func (d *deep) see(r *recently, ev *replication.BinlogEvent, at Place) {
	r.events++
	if ev.Header.Timestamp > 0 && ev.Header.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
		r.last = headerTime(ev.Header)
		if r.first.IsZero() {
			r.first = r.last
		}
	}
	switch e := ev.Event.(type) {
	case *replication.FormatDescriptionEvent:
		r.checksum = e.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
		r.unchecked = r.unchecked || !r.checksum
	case *replication.GTIDEvent, *replication.GtidTaggedLogEvent, *replication.MariadbGTIDEvent:
		r.transactions++
	case payloadPart:
		checksum := r.checksum
		r.checksum = false // that of the whole is all
		d.see(r, &replication.BinlogEvent{Header: ev.Header, RawData: ev.RawData, Event: e.Event}, at)
		r.checksum = checksum
	case *replication.QueryEvent:
		st := sessionOf(e.StatusVars).read(e.Query)
		if st.kind != stmtDML {
			break
		}
		for _, ref := range st.tables(string(e.Schema)) {
			if schema, table, _ := strings.Cut(ref, "\x00"); d.selected.match(schema, table) {
				r.statements++
				if r.statement == "" {
					r.statement = fmt.Sprintf("%s of %s.%s that ends at %s:%d", st.verb, schema, table, at.File, at.Pos)
				}
				break
			}
		}
	case *replication.TableMapEvent:
		delete(r.maps, e.TableID)
		if !d.selected.match(string(e.Schema), string(e.Table)) {
			break
		}
		name := string(e.Schema) + "." + string(e.Table)
		r.maps[e.TableID] = name
		m, err := rowimage.ParseTableMap(tableMapBody(ev.RawData, r.checksum), d.server.flavor)
		switch {
		case err != nil && r.broken == nil:
			r.broken = err
		case err == nil && !m.Named():
			r.unnamed[name] = true
		}
	case *replication.RowsEvent:
		name, ok := r.maps[e.TableID]
		if !ok || e.Table == nil {
			break
		}
		r.rows[name]++
		n := int(e.ColumnCount)
		if ev.Header.EventType == replication.PARTIAL_UPDATE_ROWS_EVENT && partial(e.ColumnBitmap1, n) {
			r.partial[name] = true
		}
		if partial(e.ColumnBitmap1, n) || partial(e.ColumnBitmap2, n) {
			r.thin[name] = true
		}
	}
}

// judge says what is wrong with what was seen. What is in the log has happened: it is a warning where it is over.
func (d *deep) judge(r *recently) {
	span := "in what was read"
	if !r.first.IsZero() {
		span = fmt.Sprintf("from %s to %s", r.first.Format(time.RFC3339), r.last.Format(time.RFC3339))
	}
	list := func(set map[string]bool) string {
		var names []string
		for name := range set {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) > 5 {
			names = append(names[:5], "…")
		}
		return strings.Join(names, ", ")
	}
	if r.statements > 0 {
		d.add("mysql.recent_format", Warn, "%s, %d change(s) of captured tables are in the binlog as statements, e.g. %s", "CDCD-1304",
			"SET GLOBAL binlog_format = 'ROW', and find the clients that set it otherwise for their sessions", span, r.statements, r.statement)
	} else {
		d.add("mysql.recent_format", OK, "%s, no change of a captured table is in the binlog as a statement; rows of %d captured table(s) are", "", "", span, len(r.rows))
	}
	if len(r.unnamed) > 0 {
		d.add("mysql.recent_metadata", Warn, "%s, the binlog does not name the columns of %s", "CDCD-1204", "SET GLOBAL binlog_row_metadata = 'FULL'", span, list(r.unnamed))
	} else if len(r.rows) > 0 {
		d.add("mysql.recent_metadata", OK, "the binlog names the columns of all captured tables in it", "", "")
	}
	if len(r.thin) > 0 {
		d.add("mysql.recent_image", Warn, "%s, rows of %s lack columns", "CDCD-1203",
			"SET GLOBAL binlog_row_image = 'FULL', and find the clients that set it otherwise for their sessions", span, list(r.thin))
	} else if len(r.rows) > 0 {
		d.add("mysql.recent_image", OK, "all rows of captured tables have all columns", "", "")
	}
	if len(r.partial) > 0 {
		d.add("mysql.recent_json", Warn, "%s, updates of %s hold only parts of JSON documents, and not all of the row before", "CDCD-1210", "SET GLOBAL binlog_row_image = 'FULL', or binlog_row_value_options = ''", span, list(r.partial))
	}
	if r.unchecked {
		d.add("mysql.checksum", Warn, "events have no checksums: damage on the disk or the way is not noticed", "CDCD-1224", "SET GLOBAL binlog_checksum = 'CRC32'")
	} else {
		d.add("mysql.checksum", OK, "every event has a checksum, and they are right", "", "")
	}
}

// decode captures the same part of the log as run would, and throws the frames away.
func (d *deep) decode(ctx context.Context) error {
	if d.begin.File == "" {
		return nil // it could not be read
	}
	identity, err := d.server.identity()
	if err != nil {
		return err
	}
	c := cdc.Checkpoint{Flavor: d.server.flavor, Server: identity, File: d.begin.File, Pos: d.begin.Pos}
	rows, bytes, err := d.tryCapture(ctx, c)
	var coded *cdc.Error
	if errors.As(err, &coded) {
		d.add("mysql.decode", Warn, "a capture of what was written of late would have stopped: %s", coded.Code, coded.Fix, coded.Error())
		return nil
	}
	if err == nil {
		d.add("mysql.decode", OK, "captured for trial: %d row(s), %d bytes of frames", "", "", rows, bytes)
	}
	return err
}

// checkpoint goes on from the checkpoint as run would.
func (d *deep) checkpoint(ctx context.Context) error {
	switch {
	case d.from.Flavor == "" && d.from.File != "":
		return nil // a running capture does it
	case d.from.Flavor == "":
		d.add("mysql.checkpoint", OK, "nothing has been captured yet: the capture will begin at the log's end", "", "")
		return nil
	}
	rows, _, err := d.tryCapture(ctx, d.from)
	if err != nil {
		return err
	}
	d.add("mysql.checkpoint", OK, "the capture can go on from %s:%d; after it come %d row(s) or more", "", "", d.from.File, d.from.Pos, rows)
	return nil
}

// tryCapture captures until the log's end, or for as long as it may take.
func (d *deep) tryCapture(ctx context.Context, from cdc.Checkpoint) (rows, bytes int, err error) {
	limited, cancel := context.WithTimeout(ctx, deepTakes)
	defer cancel()
	cfg := *d.cfg
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Heartbeat = 500 * time.Millisecond // so that the last frame says soon that it is the last
	began, arrived := time.Now(), time.Time{}
	cfg.Observe = func(p Progress) {
		if arrived.IsZero() && d.beyond(Place{p.File, p.Pos}) {
			arrived = time.Now()
		}
		sent := d.beyond(Place{p.Checkpoint.File, p.Checkpoint.Pos}) || !arrived.IsZero() && time.Since(arrived) > waitTakes/2
		if sent || time.Since(began) > waitTakes && p.Lag == 0 || bytes > deepBytes {
			cancel()
		}
	}
	var lost error
	cfg.Following = func(err error) {
		if lost = err; lost != nil {
			cancel()
		}
	}
	source, err := New(cfg)
	if err != nil {
		return 0, 0, err
	}
	err = source.Run(limited, from, func(_ context.Context, b *cdc.Batch) error {
		rows, bytes = rows+b.Len(), bytes+len(b.Frame())
		return nil
	})
	if lost != nil {
		return rows, bytes, lost
	}
	if limited.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return rows, bytes, err
}

// beyond reports whether a place is at or behind the end of the log that was found when the check began.
func (d *deep) beyond(at Place) bool {
	if at.File == d.end.File {
		return at.Pos >= d.end.Pos
	}
	return fileNumber(at.File) > fileNumber(d.end.File)
}
