package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// origin is where a session begins, and on what.
type origin struct {
	flavor     string
	identity   string
	from       cdc.Checkpoint
	begin      place  // where the log is read from; mostly what from says
	again      bool   // it lies before from, see prepared
	executed   *gtids // as of from
	byGTID     bool
	adoptGTIDs bool // the set of executed transactions is not known before the next file says it
	zeroLogPos bool // MariaDB leaves out positions within transactions
}

// locateTakes bounds how long a server that takes connections and does not answer is waited for. It may have to open
// many binlog files to answer.
const locateTakes = 2 * time.Minute

// locate connects, makes sure that the server is the right one and still has the log from the checkpoint on, and
// finds the place. It is asked at every connect, since what answers at an address may change at any time.
func (s *Source) locate(ctx context.Context, cfg *Config, from cdc.Checkpoint) (*origin, error) {
	ctx, cancel := context.WithTimeout(ctx, locateTakes)
	defer cancel()
	sv, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer sv.close()
	o := &origin{flavor: sv.flavor, from: from}
	if o.identity, err = sv.identity(); err != nil {
		return nil, sourceError(cfg, err)
	}
	o.zeroLogPos = sv.flavor == FlavorMariaDB && versionAtLeast(sv.version, 11, 4)
	gtidMode, err := sv.hasGTIDs()
	if err != nil {
		return nil, sourceError(cfg, err)
	}
	if from.Flavor == "" {
		if o.from, err = sv.present(cfg, gtidMode); err != nil {
			return nil, err
		}
		o.from.NextNo, o.from.PartNos = from.NextNo, from.PartNos
	} else if err := o.resume(sv, cfg, gtidMode); err != nil {
		return nil, sourceError(cfg, err)
	}
	if gtidMode && !o.adoptGTIDs {
		if o.executed, err = parseGTIDs(sv.flavor, o.from.GTIDSet); err != nil {
			return nil, unreadable(err)
		}
	}
	o.byGTID = o.from.GTIDSet != "" && gtidMode
	waiting, err := pendingOf(from)
	if err != nil {
		return nil, err
	}
	o.begin = place{o.from.GTIDSet, o.from.File, o.from.Pos}
	if waiting.Oldest != nil { // the server must have the log from there on
		o.begin, o.again = *waiting.Oldest, true
		older := *o
		older.from = from
		older.from.GTIDSet, older.from.File, older.from.Pos = o.begin.GTIDSet, o.begin.File, o.begin.Pos
		older.from.TxGTID, older.from.TxRows = "", 0
		if err := older.resume(sv, cfg, gtidMode); err != nil {
			return nil, sourceError(cfg, err)
		}
		o.begin.File, o.begin.Pos = older.from.File, older.from.Pos // none on another server
	}
	return o, nil
}

// dump asks for the log.
func (o *origin) dump(syncer *replication.BinlogSyncer) (*replication.BinlogStreamer, error) {
	if !o.byGTID {
		return syncer.StartSync(gomysql.Position{Name: o.begin.File, Pos: uint32(o.begin.Pos)})
	}
	if o.flavor == FlavorMariaDB {
		set, err := gomysql.ParseMariadbGTIDSet(o.begin.GTIDSet)
		if err != nil {
			return nil, err
		}
		return syncer.StartSyncGTID(set)
	}
	set, err := gomysql.ParseMysqlGTIDSet(o.begin.GTIDSet)
	if err != nil {
		return nil, err
	}
	return syncer.StartSyncGTID(set)
}

// same returns what makes sure that the connection which the log comes through leads to the server that was looked at:
// an address may stand for several, or change in between.
func (o *origin) same(cfg *Config) func(*client.Conn) error {
	return func(conn *client.Conn) error {
		identity, err := (&server{conn: conn, flavor: o.flavor}).identity()
		if err == nil && identity != o.identity {
			err = unreachable(cfg, fmt.Errorf("it leads to %s now, a moment ago it was %s", identity, o.identity))
		}
		return err
	}
}

// present returns the end that the server's log has now, as a checkpoint without numbers.
func (s *server) present(cfg *Config, gtidMode bool) (cdc.Checkpoint, error) {
	file, pos, set, err := s.end(cfg)
	if err != nil {
		return cdc.Checkpoint{}, sourceError(cfg, err)
	}
	n, err := strconv.ParseUint(pos, 10, 64)
	if err != nil {
		return cdc.Checkpoint{}, cdc.Errorf("CDCD-1307", "the server's binlog position %q: %w", pos, err)
	}
	if !gtidMode {
		set = ""
	}
	return cdc.Checkpoint{File: file, Pos: n, GTIDSet: set}, nil
}

// Present returns the end that the server's log has now, as a checkpoint without numbers: a new epoch can begin there.
// between says in words for people which changes lie between the checkpoint from and there, as far as the server knows.
func Present(ctx context.Context, cfg Config, from cdc.Checkpoint) (at cdc.Checkpoint, between string, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return at, "", err
	}
	sv, err := connect(ctx, &cfg)
	if err != nil {
		return at, "", err
	}
	defer sv.close()
	gtidMode, err := sv.hasGTIDs()
	if err != nil {
		return at, "", sourceError(&cfg, err)
	}
	if at, err = sv.present(&cfg, gtidMode); err != nil {
		return at, "", err
	}
	at.Flavor = sv.flavor
	if at.Server, err = sv.identity(); err != nil {
		return at, "", sourceError(&cfg, err)
	}
	if between, err = sv.between(from, at); err != nil {
		return at, "", sourceError(&cfg, err)
	}
	return at, between, nil
}

// between names what lies between two places: transactions where both have GTIDs of one flavor, else the places.
func (s *server) between(from, at cdc.Checkpoint) (string, error) {
	place := func(c cdc.Checkpoint) string {
		text := fmt.Sprintf("%s:%d of %s", c.File, c.Pos, c.Server)
		if c.GTIDSet != "" {
			text = fmt.Sprintf("%s (%s)", oneLine(c.GTIDSet), text)
		}
		return text
	}
	if from.Flavor == FlavorMySQL && at.Flavor == FlavorMySQL && from.GTIDSet != "" && at.GTIDSet != "" {
		rows, err := s.query("SELECT GTID_SUBTRACT('" + quote(at.GTIDSet) + "', '" + quote(from.GTIDSet) + "')")
		if err != nil {
			return "", err
		}
		lost := oneLine(rows[0][0])
		if lost == "" && from.TxRows == 0 {
			return "no transaction of " + at.Server, nil
		}
		if from.TxRows > 0 {
			lost = strings.TrimSuffix(fmt.Sprintf("the rows of %s after the first %d, %s", from.TxGTID, from.TxRows, lost), ", ")
		}
		return "the transactions " + lost, nil
	}
	if from.GTIDSet == at.GTIDSet && at.GTIDSet != "" && from.TxRows == 0 {
		return "no transaction of " + at.Server, nil
	}
	return fmt.Sprintf("everything after %s up to %s", place(from), place(at)), nil
}

func oneLine(set string) string { return strings.NewReplacer("\n", "", " ", "").Replace(set) }

func unreadable(err error) error {
	return cdc.Errorf("CDCD-1302", "the GTIDs of the stream's checkpoint cannot be read: %w", err).
		WithFix("this stream was not written by cdcd as it should; `cdcd resync` begins a new epoch")
}

// stranger says why the server's history is not the one that the stream was captured from.
func stranger(cfg *Config, format string, args ...any) error {
	return cdc.Errorf("CDCD-1302", "%s is not the server that the stream was captured from, nor a replica of it: %s", cfg.Addr, fmt.Sprintf(format, args...)).
		WithFix("point the source at the right server; `cdcd resync` begins a new epoch and leaves behind what differs")
}

// resume checks that the checkpoint belongs to the server's history, and that the server still has what comes after it.
func (o *origin) resume(sv *server, cfg *Config, gtidMode bool) error {
	cp := &o.from
	if cp.Flavor != sv.flavor {
		return stranger(cfg, "it is %s, the stream is from %s", sv.flavor, cp.Flavor)
	}
	same := cp.Server == o.identity
	byGTID := gtidMode && cp.GTIDSet != ""
	if !byGTID && !same {
		return stranger(cfg, "without GTIDs it must be the same server, which was %s; this is %s", cp.Server, o.identity)
	}
	var err error
	switch {
	case !byGTID:
	case sv.flavor == FlavorMariaDB:
		err = resumeMariaDB(sv, cfg, cp)
	default:
		err = resumeMySQL(sv, cfg, cp)
	}
	if err != nil {
		return err
	}
	if !same { // its files are others, with the same names
		cp.File, cp.Pos = "", 0
		return nil
	}
	if err := checkFile(sv, cfg, cp, byGTID); err != nil {
		return err
	}
	switch {
	case !gtidMode:
		cp.GTIDSet = "" // from here on it does not describe the log any more
	case cp.GTIDSet == "" && sv.flavor == FlavorMySQL:
		return o.firstGTIDs(sv)
	}
	return nil
}

// resumeMySQL compares the sets of executed and purged transactions.
func resumeMySQL(sv *server, cfg *Config, cp *cdc.Checkpoint) error {
	has := cp.GTIDSet
	if cp.TxGTID != "" {
		has += "," + cp.TxGTID
	}
	rows, err := sv.query("SELECT GTID_SUBTRACT('" + quote(has) + "', @@global.gtid_executed), GTID_SUBTRACT(@@global.gtid_purged, '" + quote(cp.GTIDSet) + "')")
	if err != nil {
		return err
	}
	if missing := oneLine(rows[0][0]); missing != "" {
		return stranger(cfg, "it has not executed %s", missing)
	}
	if gone := oneLine(rows[0][1]); gone != "" {
		return purged(cfg, fmt.Errorf("the transactions %s are gone", gone))
	}
	return nil
}

// resumeMariaDB asks for each GTID of the checkpoint whether the binlog has it. They are small numbers that two servers
// can share by accident; checkFile looks closer where it can.
func resumeMariaDB(sv *server, cfg *Config, cp *cdc.Checkpoint) error {
	text, err := sv.value("SELECT @@global.gtid_binlog_state")
	if err != nil {
		return err
	}
	state, err := parseGTIDList(text)
	if err != nil {
		return err
	}
	set, err := parseGTIDs(FlavorMariaDB, cp.GTIDSet)
	if err != nil {
		return unreadable(err)
	}
	wanted := set.list()
	if cp.TxGTID != "" {
		tx, err := parseMariaGTID(cp.TxGTID)
		if err != nil {
			return unreadable(err)
		}
		wanted = append(wanted, tx)
	}
	var missing []string
	for _, one := range wanted {
		if last, ok := state[[2]uint32{one.domain, one.server}]; !ok || last < one.sequence {
			missing = append(missing, one.String())
		}
	}
	if len(missing) > 0 {
		return stranger(cfg, "its binlog does not have %s", strings.Join(missing, ", "))
	}
	return nil
}

// checkFile looks at the very place of the checkpoint. A server whose binlog was reset, or that was restored from a
// backup, has the same identity and after a while the same GTIDs, but not at the same place.
func checkFile(sv *server, cfg *Config, cp *cdc.Checkpoint, byGTID bool) error {
	if cp.File == "" {
		return nil
	}
	files, err := sv.query("SHOW BINARY LOGS")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return logBinOff(cfg)
	}
	first, last := files[0][0], files[len(files)-1][0]
	at := slices.IndexFunc(files, func(row []string) bool { return row[0] == cp.File })
	if at < 0 {
		base := func(name string) string { return name[:strings.LastIndexByte(name, '.')+1] }
		switch {
		case fileNumber(cp.File) > fileNumber(last) && base(cp.File) == base(last):
			return stranger(cfg, "its binlog ends with %s, the stream has been read up to %s:%d; it was reset or restored", last, cp.File, cp.Pos)
		case !byGTID:
			return purged(cfg, fmt.Errorf("%s is gone, the first there is %s", cp.File, first))
		}
		return nil // the GTIDs decide
	}
	if size, err := strconv.ParseUint(files[at][1], 10, 64); err == nil && size < cp.Pos {
		return stranger(cfg, "its %s has %d bytes, the stream has been read up to %d; it was reset, restored, or has lost its end in a crash", cp.File, size, cp.Pos)
	}
	if cp.Pos <= 4 {
		return nil // the file was announced, and nothing read of it
	}
	if sv.flavor == FlavorMariaDB {
		return checkPlaceMariaDB(sv, cfg, cp)
	}
	return checkPlaceMySQL(sv, cfg, cp)
}

// checkPlaceMariaDB compares the GTIDs up to the place.
func checkPlaceMariaDB(sv *server, cfg *Config, cp *cdc.Checkpoint) error {
	there, err := sv.value(fmt.Sprintf("SELECT BINLOG_GTID_POS('%s', %d)", quote(cp.File), cp.Pos))
	if err != nil {
		return err
	}
	found, err := parseGTIDs(FlavorMariaDB, there)
	if err != nil {
		return err
	}
	set, err := parseGTIDs(FlavorMariaDB, cp.GTIDSet)
	if err != nil {
		return unreadable(err)
	}
	if found.String() != set.String() {
		return stranger(cfg, "up to %s:%d its binlog has %q, the stream has %q", cp.File, cp.Pos, found, set)
	}
	return nil
}

// checkPlaceMySQL looks at the event that follows: there must be none, or one that the stream does not have.
func checkPlaceMySQL(sv *server, cfg *Config, cp *cdc.Checkpoint) error {
	rows, err := sv.query(fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d LIMIT 1", quote(cp.File), cp.Pos))
	var my *gomysql.MyError
	if errors.As(err, &my) && my.Code == 1220 { // it cannot read an event there
		return stranger(cfg, "its %s has no event at %d: %s", cp.File, cp.Pos, my.Message)
	}
	if err != nil || len(rows) == 0 || len(rows[0]) < 6 {
		return err
	}
	_, rest, ok := strings.Cut(rows[0][5], "GTID_NEXT= '")
	next, _, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 || cp.GTIDSet == "" || next == "ANONYMOUS" {
		return nil
	}
	set, err := parseGTIDs(FlavorMySQL, cp.GTIDSet)
	if err != nil {
		return unreadable(err)
	}
	one, err := parseGTIDs(FlavorMySQL, next)
	if err != nil {
		return err
	}
	switch {
	case set.mysql.Contain(one.mysql):
		return stranger(cfg, "at %s:%d its binlog has %s, which the stream has already", cp.File, cp.Pos, next)
	case cp.TxGTID != "" && cp.TxGTID != one.String():
		return stranger(cfg, "at %s:%d its binlog has %s, the stream was captured within %s", cp.File, cp.Pos, next, cp.TxGTID)
	}
	return nil
}

// firstGTIDs finds the set of executed transactions for a checkpoint without one, on a server that has GTIDs now: known
// when the checkpoint is at the very beginning of its file, else to be taken from the beginning of the next file.
func (o *origin) firstGTIDs(sv *server) error {
	rows, err := sv.query(fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' LIMIT 2", quote(o.from.File)))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(row) < 6 || row[2] != "Previous_gtids" {
			continue
		}
		if end, err := strconv.ParseUint(row[4], 10, 64); err == nil && o.from.Pos <= end {
			o.from.GTIDSet = oneLine(row[5])
			return nil
		}
	}
	o.adoptGTIDs = true
	return nil
}

// parseGTIDList parses gtid_binlog_state: the last sequence number of each server in each domain.
func parseGTIDList(s string) (map[[2]uint32]uint64, error) {
	out := map[[2]uint32]uint64{}
	for _, part := range splitList(s) {
		g, err := parseMariaGTID(part)
		if err != nil {
			return nil, err
		}
		out[[2]uint32{g.domain, g.server}] = g.sequence
	}
	return out, nil
}

// cutTransaction is the transaction that the checkpoint lies within: its first rows are in the stream already, and are
// passed over by number. That is only right when they come as they came before.
type cutTransaction struct {
	gtid string // "" at a transaction's end, and without GTIDs
	seen bool   // it has begun

	loosed int // see [capture.hold]

	file    string    // without GTIDs: where reading goes on,
	written time.Time // and when the last transaction before was committed, which must be in that file
}

func (t *cutTransaction) begin(from cdc.Checkpoint, byFile bool) {
	*t = cutTransaction{}
	if from.TxRows > 0 {
		t.gtid = from.TxGTID
	}
	t.seen = t.gtid == ""
	if byFile && from.Pos > 4 {
		t.file, t.written = from.File, from.Commit
	}
}

// inCut makes sure that a row which is passed over is one that the stream has. On another server transactions may have
// been committed in another order.
func (c *capture) inCut() error {
	if c.cut.seen {
		return nil
	}
	return cdc.Errorf("CDCD-1325", "the stream has %d row(s) of %s, and this server has %s before it, which the stream does not have",
		c.deliverFrom-c.no, c.cut.gtid, c.tx.tx.GTID).
		WithFix("point the source at the server that %s was captured from until the stream has all of it; `cdcd resync` begins a new epoch behind it", c.cut.gtid)
}

// cutEnds makes sure that the transaction has at least the rows that the stream has of it.
func (c *capture) cutEnds() error {
	if c.cut.gtid == "" || c.cut.gtid != c.tx.tx.GTID {
		return nil
	}
	gtid := c.cut.gtid
	c.cut.gtid = ""
	if c.no >= c.deliverFrom {
		return nil
	}
	return cdc.Errorf("CDCD-1325", "the stream has %d row(s) of %s more than this server", c.deliverFrom-c.no, gtid).
		WithFix("point the source at the server that %s was captured from until the stream has all of it; `cdcd resync` begins a new epoch behind it", gtid)
}

// sameFile finds out without GTIDs that the binlog was reset: the file's name is the same, but it was begun after what
// the stream has read in it.
func (c *capture) sameFile(h *replication.EventHeader) error {
	file, written := c.cut.file, c.cut.written
	c.cut.file = "" // the first is the file where reading goes on
	if file == "" || file != c.file || written.IsZero() || !headerTime(h).After(written) {
		return nil
	}
	return stranger(c.cfg, "its %s was begun at %s, after the stream has read in it up to %s; the binlog was reset",
		file, headerTime(h).Format(time.RFC3339), written.Format(time.RFC3339))
}
