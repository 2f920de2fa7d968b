package mysql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// snapshotReader reads tables on a connection of its own, one request at a time. It only reads: in read-only
// transactions, and without locks.
type snapshotReader struct {
	cfg        *Config
	flavor     string
	identity   string // of the server that the log comes from
	selected   *selection
	treatments *treatments
	poke       func() // tells capture that there is an answer

	requests chan asked    // has room for all
	answers  chan answered // too
	end      context.CancelFunc
	ended    chan struct{}

	ctx     context.Context
	sv      *server     // nil: not connected
	release func() bool // forgets that the end of a request ends the connection
	known   cdc.Tables
	frame   cdc.Builder
	number  int    // of the table in it
	tx      int    // of its only transaction
	empty   int    // its size without rows
	rowSize int    // mean bytes of a row, so far
	before  answer // the one that was given last, without its rows
	xa      doubts

	listedFor string // id of the job that list is for
	list      []listedTable
	hidden    []string // what the account may not read of it
}

// asked and answered go to the reader and come back from it.
type asked struct {
	chunk *chunk
	request
}

type answered struct {
	chunk *chunk
	answer
}

// request asks for the rows of a table behind a key; without a table, for the table that is to be read next.
type request struct {
	ctx      context.Context // ends when nobody wants the rows any more
	cursor   snapshotJob
	table    *snapshotTable
	after    []string  // nil: from the beginning
	on       bool      // from where the request before has ended, instead
	taken    mark      // what capture has taken by now
	takenSet string    // the same as GTIDs
	heard    time.Time // when the last of it came, at the latest
	shrink   int       // how often to halve the chunk
	room     int       // how large a frame may become that holds one row and nothing else
	xa       decisions // of MariaDB
}

type answer struct {
	err error

	found  *snapshotTable // the table to be read; nil: none is left
	tables int            // that are left, with this one
	rows   uint64         // that they have, more or less
	hidden []string       // patterns of tables of which the account may not read all

	batch   *cdc.Batch // the rows, in the order of the key
	last    []string   // the key behind which the next chunk begins
	end     bool       // the table has no more rows
	high    mark       // the end of the log after the rows were there
	at      time.Time  // when they were read
	emitted int        // how many are in frames or not wanted there
	bad     *badText   // in the rows

	parts chan *cdc.Batch // of a table without a key; closed at its end
	why   *error          // what closed it, to be looked at afterwards
}

// badText counts values with bytes that their character set does not allow.
type badText struct {
	n      uint64
	column string // that had the last of them
}

// count counts what the layout has met since it had counted before.
func (b *badText) count(l *rowimage.Layout, before uint64) {
	if n, column := l.BadText(); n > before {
		b.n, b.column = n-before, column
	}
}

func (a *answer) failed() error { return *a.why }

var (
	errTableGone  = errors.New("the table does not exist any more")
	errOtherShape = errors.New("the table has been altered")
	errOddKey     = errors.New("a value of its key has bytes that its character set does not allow")
	errNoMore     = errors.New("the table has no more rows")
)

// snapshotTable is a table that is being read.
type snapshotTable struct {
	schema, name string
	layout       *rowimage.Layout // as rows go into frames
	key          []int            // columns of the primary key, or of a unique key that serves as well; nil: there is none
	index        string           // its name; "" if the server shall not be told to use it
	shape        string           // what the server says it is
}

func (t *snapshotTable) String() string { return t.schema + "." + t.name }

func (t *snapshotTable) keyNames() []string {
	var names []string
	for _, i := range t.key {
		names = append(names, t.layout.Table().Columns[i].Name)
	}
	return names
}

func (t *snapshotTable) from() string {
	from := rowimage.QuoteName(t.schema) + "." + rowimage.QuoteName(t.name)
	if t.index != "" {
		from += " FORCE INDEX (" + rowimage.QuoteName(t.index) + ")"
	}
	return from
}

type listedTable struct {
	schema, name string
	rows         uint64
}

func startReader(ctx context.Context, cfg *Config, flavor, identity string, s *Source) *snapshotReader {
	r := &snapshotReader{cfg: cfg, flavor: flavor, identity: identity, selected: s.selected.clone(), treatments: s.treated, poke: s.poke,
		requests: make(chan asked, maxAsked), answers: make(chan answered, maxAsked), ended: make(chan struct{})}
	r.ctx, r.end = context.WithCancel(ctx)
	go r.run() // stop awaits it
	return r
}

func (r *snapshotReader) stop() {
	r.end()
	<-r.ended
}

func (r *snapshotReader) run() {
	defer close(r.ended)
	defer r.disconnect()
	for {
		select {
		case q := <-r.requests:
			r.xa.take(q.xa)
			a := r.answer(&q.request)
			if r.ctx.Err() != nil {
				return // whatever went wrong, it was because of that
			}
			if a.parts == nil { // else it has been sent before the rows
				r.answers <- answered{q.chunk, a}
				r.poke()
				break
			}
			r.whole(&q, a)
		case <-r.ctx.Done():
			return
		}
	}
}

// answer does what is asked for, again and again while the server cannot be reached.
func (r *snapshotReader) answer(q *request) (a answer) {
	defer func() { r.disarm(); r.before = answer{err: a.err, last: a.last, end: a.end} }()
	if q.on {
		if r.before.err != nil || r.before.end {
			return answer{err: errNoMore}
		}
		q.after = r.before.last
	}
	for attempt := 0; ; attempt++ {
		a, err := r.try(q)
		if err == nil {
			return a
		}
		if q.ctx.Err() != nil {
			r.disconnect()
			return answer{err: q.ctx.Err()}
		}
		if errors.As(err, new(*errInDoubt)) { // capture shall take what the log has by now
			a.err = err
			if a.high, err = r.logEnd(q); err == nil {
				return a
			}
		}
		if err = readError(r.cfg, q, err); err == errTableGone || err == errOtherShape || err == errOddKey || permanent(err) {
			r.rollback()
			return answer{err: err}
		}
		r.disconnect()
		pause := backoff.Pause(attempt, firstPause, r.cfg.MaxBackoff)
		r.cfg.Logger.Warn("reading a table was interrupted", "event", "snapshot.interrupted", "id", q.cursor.ID, "err", err, "again_in", pause.String())
		if err := wait(q.ctx, pause); err != nil {
			return answer{err: err}
		}
	}
}

func (r *snapshotReader) try(q *request) (answer, error) {
	if err := r.connect(); err != nil {
		return answer{}, err
	}
	r.arm(q.ctx)
	switch {
	case q.table == nil:
		return r.plan(&q.cursor)
	case q.table.key == nil:
		return r.view(q)
	}
	return r.chunk(q)
}

// readError tells apart what the server says about a table.
func readError(cfg *Config, q *request, err error) error {
	var my *gomysql.MyError
	switch {
	case errors.Is(err, errTableGone), errors.Is(err, errOtherShape), errors.Is(err, errOddKey):
		return err
	case rowimage.Altered(err):
		return errOtherShape
	case cdc.CodeOf(err) == codeNoTable:
		return errTableGone
	case !errors.As(err, &my) || q.table == nil:
		return sourceError(cfg, err)
	}
	switch my.Code {
	case 1146, 1049: // no such table, no such database
		return errTableGone
	case 1054, 1412, 1176: // unknown column, definition has changed, no such index
		if q.cursor.Where == "" || my.Code == 1412 {
			return errOtherShape
		}
	case 1205, 1213, 1317, 3024, 1969, 1053, 1927, 3100: // timeouts, deadlocks, killed, shutdown
		return unreachable(cfg, err)
	}
	if cdc.CodeOf(err) != "" {
		return err
	}
	return cdc.Errorf("CDCD-1334", "%s cannot be read: %w", q.table, err).WithFix("give %s the right to SELECT from it, or mend the snapshot's --where", cfg.User)
}

// connect connects to the server that the log comes from.
func (r *snapshotReader) connect() error {
	if r.sv != nil {
		return nil
	}
	patient := *r.cfg
	patient.Patience = time.Hour // a table may have to be sorted, or to be searched for what a condition wants
	sv, err := connect(r.ctx, &patient)
	if err != nil {
		return err
	}
	identity, err := sv.identity()
	if err == nil && identity != r.identity {
		err = cdc.Errorf(codeUnreachable, "%s is %s for one connection and %s for another", r.cfg.Addr, r.identity, identity).
			WithFix("name one server, not several behind one address")
	}
	if err == nil {
		err = sv.exactRows()
	}
	if err == nil {
		_, err = sv.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	}
	if err == nil { // a slow stream is no reason to hang up
		_, err = sv.query("SET SESSION net_write_timeout = 3600, wait_timeout = 86400")
	}
	if err != nil {
		sv.close()
		return err
	}
	sv.sign()
	r.sv = sv
	return nil
}

// arm has the end of ctx end what is being waited for, and with it the connection.
func (r *snapshotReader) arm(ctx context.Context) {
	r.disarm()
	conn := r.sv.conn.Conn.Conn
	r.release = context.AfterFunc(ctx, func() { conn.Close() })
}

func (r *snapshotReader) disarm() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

func (r *snapshotReader) disconnect() {
	r.disarm()
	if r.sv != nil {
		r.sv.hangUp(r.cfg)
		r.sv = nil
	}
}

// rollback ends the transaction that a request has left open.
func (r *snapshotReader) rollback() {
	if r.sv != nil && r.sv.conn.IsInTransaction() {
		if _, err := r.sv.query("ROLLBACK"); err != nil {
			r.disconnect()
		}
	}
}

// plan finds the table to be read next, and how to read it.
func (r *snapshotReader) plan(j *snapshotJob) (a answer, err error) {
	if len(j.Tables) == 0 {
		rows, err := r.sv.query("SELECT COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND " +
			whereTable(j.Schema, j.Name))
		if err != nil {
			return a, err
		}
		if len(rows) == 0 {
			return a, errTableGone
		}
		a.tables = 1
		a.rows, _ = strconv.ParseUint(rows[0][0], 10, 64) // an estimate
		a.found, err = r.describe(j.Schema, j.Name)
		return a, err
	}
	if r.listedFor != j.ID {
		if err := r.listTables(j); err != nil {
			return a, err
		}
		r.listedFor = j.ID
	}
	a.hidden = r.hidden
	for {
		next := slices.IndexFunc(r.list, func(t listedTable) bool {
			at := strings.Compare(t.schema, j.Schema)
			return at > 0 || at == 0 && (t.name > j.Name || t.name == j.Name && !j.Over)
		})
		if next < 0 {
			return a, nil
		}
		r.list = r.list[next:]
		a.found, err = r.describe(r.list[0].schema, r.list[0].name)
		if err == errTableGone {
			r.list = r.list[1:]
			continue
		}
		a.tables, a.rows = len(r.list), j.Rows
		for _, t := range r.list {
			a.rows += t.rows
		}
		return a, err
	}
}

// listTables lists what the job has to read, by name.
func (r *snapshotReader) listTables(j *snapshotJob) error {
	wanted, err := parseSelection(j.Tables)
	if err != nil {
		return err
	}
	not := &selection{}
	if len(j.Not) > 0 {
		if not, err = parseSelection(j.Not); err != nil {
			return err
		}
	}
	databases, err := r.sv.query("SHOW DATABASES")
	if err != nil {
		return err
	}
	if r.hidden, err = r.sv.unreadable(wanted); err != nil {
		return err
	}
	r.list = nil
	for _, row := range databases {
		if !r.selected.mayHold(row[0]) {
			continue
		}
		tables, err := r.sv.query("SELECT TABLE_NAME, COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES" +
			" WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA = '" + quote(row[0]) + "'")
		if err != nil {
			return err
		}
		for _, t := range tables {
			if r.selected.match(row[0], t[0]) && wanted.match(row[0], t[0]) && !not.match(row[0], t[0]) {
				n, _ := strconv.ParseUint(t[1], 10, 64) // an estimate
				r.list = append(r.list, listedTable{row[0], t[0], n})
			}
		}
	}
	slices.SortFunc(r.list, func(a, b listedTable) int {
		if at := strings.Compare(a.schema, b.schema); at != 0 {
			return at
		}
		return strings.Compare(a.name, b.name)
	})
	return nil
}

// unreadable returns the patterns of a selection that may mean tables which the account has no right to read. Servers do not list such tables, but for
// a name that does not exist, too, they say whether it could be read.
func (s *server) unreadable(selected *selection) ([]string, error) {
	var hidden []string
	example := strings.NewReplacer("*", "cdcd", "?", "x")
	for _, g := range selected.include {
		_, err := s.query("SELECT 1 FROM " + rowimage.QuoteName(example.Replace(string(g.Schema))) + "." + rowimage.QuoteName(example.Replace(string(g.Table))) + " LIMIT 0")
		var my *gomysql.MyError
		switch {
		case errors.As(err, &my) && (my.Code == gomysql.ER_TABLEACCESS_DENIED_ERROR || my.Code == gomysql.ER_DBACCESS_DENIED_ERROR):
			hidden = append(hidden, string(g.Schema)+"."+string(g.Table))
		case err != nil && my == nil:
			return nil, err
		}
	}
	return hidden, nil
}

// describe reads how a table is laid out. Should it be altered in between, the chunk will find out.
func (r *snapshotReader) describe(schema, name string) (*snapshotTable, error) {
	t := &snapshotTable{schema: schema, name: name}
	var my *gomysql.MyError
	var err error
	if t.shape, err = r.shape(t); err != nil {
		if errors.As(err, &my) && my.Code == 1146 {
			return nil, errTableGone
		}
		return nil, err
	}
	if t.layout, err = r.sv.layoutOf(schema, name, r.treatments); err != nil {
		return nil, err
	}
	if err := r.findKey(t); err != nil {
		return nil, err
	}
	r.rowSize = 0
	return t, nil
}

var autoIncrement = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

// shape returns the server's own description of a table. It costs little and is as fresh as the rows of the same transaction.
func (r *snapshotReader) shape(t *snapshotTable) (string, error) {
	rows, err := r.sv.query("SHOW CREATE TABLE " + rowimage.QuoteName(t.schema) + "." + rowimage.QuoteName(t.name))
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", fmt.Errorf("SHOW CREATE TABLE says nothing about %s", t)
	}
	return autoIncrement.ReplaceAllString(rows[0][1], ""), nil
}

// findKey chooses the key to read by: the primary key, or else a unique one whose columns are never NULL.
func (r *snapshotReader) findKey(t *snapshotTable) error {
	result, err := r.sv.execute("SHOW INDEX FROM " + rowimage.QuoteName(t.schema) + "." + rowimage.QuoteName(t.name))
	if err != nil {
		return err
	}
	defer result.Close()
	type index struct {
		columns []int
		prefix  bool // of a column only
		unfit   bool
	}
	found, order := map[string]*index{}, []string(nil)
	for i := range result.RowNumber() {
		text := func(column string) string { return textOf(result, i, column) }
		name := text("Key_name")
		x := found[name]
		if x == nil {
			x = &index{}
			found[name], order = x, append(order, name)
		}
		at := t.layout.Table().Column(text("Column_name"))
		x.columns = append(x.columns, at)
		x.prefix = x.prefix || text("Sub_part") != ""
		x.unfit = x.unfit || at < 0 || text("Non_unique") != "0" || text("Null") == "YES" || text("Visible") == "NO" || text("Ignored") == "YES" ||
			text("Index_type") != "BTREE" // others have no order to read by
	}
	for _, name := range order {
		x := found[name]
		if x.unfit || name != "PRIMARY" && x.prefix || !r.keyable(t, x.columns) {
			continue
		}
		if t.key == nil || name == "PRIMARY" {
			t.key, t.index = x.columns, name
			if x.prefix {
				t.index = "" // it does not have the whole order
			}
		}
	}
	return nil
}

// keyable reports whether a key's columns can be told apart and remembered: what is masked must not get into a checkpoint.
func (r *snapshotReader) keyable(t *snapshotTable, columns []int) bool {
	for place, i := range columns {
		c := &t.layout.Table().Columns[i]
		if place == 0 && (c.Kind == cdc.KindSet || len(c.Members) > maxListed) {
			return false // see compareKey
		}
		switch c.Kind {
		case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
			return false
		case cdc.KindEnum, cdc.KindSet: // a member without a name looks like no member, and some are shown with question marks
			if slices.ContainsFunc(c.Members, func(m string) bool { return m == "" || strings.Contains(m, "?") }) {
				return false
			}
		}
		if !r.treatments.plain(t.schema, t.name, c.Name) {
			return false
		}
	}
	return true
}

// begin opens a read view that has all that capture has taken.
func (r *snapshotReader) begin(q *request) error {
	// Step 2 of snapshot_merge.go.
	begin := r.beginMariaDB
	if r.flavor == FlavorMySQL {
		begin = r.beginMySQL
	} else if err := r.decided(q.ctx); err != nil {
		return err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		if visible, err := begin(q); visible || err != nil {
			return err
		}
		if err := wait(q.ctx, pause); err != nil {
			return err
		}
	}
}

// logEnd returns the end of the log. It is asked for once the table is in use, see snapshot_merge.go.
func (r *snapshotReader) logEnd(q *request) (mark, error) {
	if err := r.connect(); err != nil { // the connection may have been given up with the rest of a result
		return mark{}, err
	}
	r.arm(q.ctx)
	status, err := r.sv.logStatus(r.cfg)
	if err != nil {
		return mark{}, err
	}
	n, err := strconv.ParseUint(status[1], 10, 64)
	return mark{status[0], n}, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle is how long MySQL without GTIDs is given to make visible what it has sent to its replicas, from when it came; there is nothing
// that it could be asked. Only a server that waits for semi-synchronous replicas needs longer.
const settle = 500 * time.Millisecond

// beginMySQL: a transaction is added to gtid_executed after it has become visible.
func (r *snapshotReader) beginMySQL(q *request) (visible bool, err error) {
	if q.takenSet != "" {
		yes, err := r.sv.value("SELECT GTID_SUBSET('" + quote(q.takenSet) + "', @@global.gtid_executed)")
		if err != nil || yes != "1" {
			return false, err
		}
	} else if err := wait(q.ctx, settle-r.cfg.Now().Sub(q.heard)); err != nil {
		return false, err
	}
	_, err = r.sv.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
	return err == nil, err
}

// beginMariaDB: the server says which place in the log the read view is as of, exactly.
func (r *snapshotReader) beginMariaDB(q *request) (visible bool, err error) {
	if _, err := r.sv.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return false, err
	}
	rows, err := r.sv.query("SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return false, err
	}
	at := mark{}
	for _, row := range rows {
		switch strings.ToLower(row[0]) {
		case "binlog_snapshot_file":
			at.file = row[1]
		case "binlog_snapshot_position":
			if at.pos, err = strconv.ParseUint(row[1], 10, 64); err != nil {
				return false, err
			}
		}
	}
	if at.file == "" {
		return false, cdc.Errorf("CDCD-1334", "%s does not say which place in its log a read view is as of", r.cfg.Addr)
	}
	if at.before(q.taken) {
		_, err := r.sv.query("ROLLBACK")
		return false, err
	}
	return true, nil
}

// chunk reads the rows behind a key.
func (r *snapshotReader) chunk(q *request) (a answer, err error) {
	t := q.table
	if err := r.begin(q); err != nil {
		return a, err
	}
	a.at = r.cfg.Now()
	limit := r.limit(q)
	condition, table := "TRUE", t.layout.Table()
	if q.after != nil {
		if condition, err = beyond(table, t.key, q.after, ">"); err != nil {
			return a, errOtherShape
		}
	}
	order := make([]string, len(t.key))
	for i, at := range t.key {
		order[i] = rowimage.QuoteName(table.Columns[at].Name)
	}
	by := " ORDER BY " + strings.Join(order, ", ")
	// A condition of the operator's may match few rows: look at no more rows than without it, and go on behind them.
	var bound []string
	if q.cursor.Where != "" {
		bound, err = r.bound(q, fmt.Sprintf("SELECT %s FROM %s WHERE %s%s LIMIT 1 OFFSET %d", t.layout.SelectList(), t.from(), condition, by, limit-1))
		if err != nil {
			return a, err
		}
		if bound != nil {
			upTo, err := beyond(table, t.key, bound, "<=")
			if err != nil {
				return a, err
			}
			condition = "(" + condition + ") AND (" + upTo + ")"
		}
		condition = "(" + condition + ") AND (\n" + q.cursor.Where + "\n)"
	}
	full, err := r.rows(&a, q, fmt.Sprintf("SELECT %s FROM %s WHERE %s%s LIMIT %d", t.layout.SelectList(), t.from(), condition, by, limit))
	if err != nil {
		return a, err
	}
	if a.high, err = r.logEnd(q); err != nil {
		return a, err
	}
	if !full { // else the connection was given up, and the log up to high tells of what altered the table until then
		if err := r.unaltered(t); err != nil {
			return a, err
		}
		if _, err := r.sv.query("COMMIT"); err != nil {
			return a, err
		}
	}
	switch n := a.batch.Len(); {
	case full || bound == nil && n == limit:
		a.last, err = keyOf(t, a.batch.Event(n-1).After())
	case bound != nil:
		a.last = bound
	default:
		a.end = true
	}
	return a, err
}

// limit returns how many rows to read at once: what fits into a chunk if they are like those before.
func (r *snapshotReader) limit(q *request) int {
	limit := min(1000, r.cfg.SnapshotRows)
	if r.rowSize > 0 {
		limit = min(max(1, r.cfg.SnapshotBytes/r.rowSize), r.cfg.SnapshotRows)
	}
	return max(1, limit>>min(q.shrink, 20))
}

var errEnough = errors.New("the chunk is full")

// reset begins a frame for rows of a table.
func (r *snapshotReader) reset(t *snapshotTable) {
	r.frame.Reset(cdc.Header{Source: r.cfg.Name})
	r.number, r.tx = r.frame.AddTable(t.layout.Table()), r.frame.AddTx(cdc.Tx{})
	r.empty = r.frame.Size()
}

// add adds a row to the frame. It reports false when there is no room left: the row must begin another one. What capture
// could not put into a frame of its own goes without its largest values, as changes do.
func (r *snapshotReader) add(q *request, row []byte) (fits bool, err error) {
	t, before := q.table, r.frame.Size()
	info := cdc.EventInfo{No: uint64(r.frame.Len()), Tx: r.tx, Row: uint32(r.frame.Len()), Table: r.number, Op: cdc.OpSnapshot}
	if info.After, err = t.layout.AppendResult(&r.frame, row); err != nil {
		return false, err
	}
	if r.frame.Len() > 0 && r.frame.Size() > cdc.MaxFrame-64<<10 {
		r.frame.DropRows(info.After)
		return false, nil
	}
	if size := r.frame.Size() - before; size > q.room-r.empty {
		ok := r.cfg.Oversize != PolicyHalt
		if ok {
			var places []uint32
			if places, ok = r.frame.Shrink(before+q.room-r.empty, t.keep(), info.After); ok {
				info.After, info.Incomplete = places[0], true
			}
		}
		if !ok {
			return false, cdc.Errorf("CDCD-1309", "a row of %s takes %d bytes; a frame can hold %d", t, size, r.cfg.MaxFrame)
		}
	}
	r.frame.AddEvent(info)
	return true, nil
}

// keep returns the columns that no row can do without.
func (t *snapshotTable) keep() []int {
	return append(slices.Clone(t.key), t.layout.Table().Key()...)
}

// rows runs a statement and fills the answer. full says that there was more than a chunk may hold; the rest was not read,
// and with it the connection was given up.
func (r *snapshotReader) rows(a *answer, q *request, statement string) (full bool, err error) {
	t := q.table
	r.reset(t)
	before, _ := t.layout.BadText()
	err = r.sv.rows(q.ctx, t.layout, statement, func(row []byte) error {
		if r.frame.Len() > 0 && r.frame.Size() >= 2*r.cfg.SnapshotBytes {
			return errEnough
		}
		fits, err := r.add(q, row)
		if err == nil && !fits {
			err = errEnough
		}
		return err
	})
	if full = errors.Is(err, errEnough); full {
		r.disconnect()
	} else if err != nil {
		r.disconnect() // there may be more of the result
		return false, err
	}
	a.bad = &badText{}
	a.bad.count(t.layout, before)
	if n := r.frame.Len(); n > 0 {
		r.rowSize = max(1, r.frame.Size()/n)
	}
	if a.batch, err = cdc.Open(r.frame.Seal(cdc.Checkpoint{}), &r.known); err != nil {
		return false, cdc.Errorf("CDCD-1309", "rows of %s: %w", t, err)
	}
	return full, oddKey(t, a.batch)
}

// oddKey looks for key values of which others may look the same in a frame: they cannot be told apart, nor read on behind.
func oddKey(t *snapshotTable, b *cdc.Batch) error {
	for _, at := range t.key {
		if t.layout.Table().Columns[at].Kind != cdc.KindString {
			continue
		}
		for i := range b.Len() {
			if strings.Contains(b.Event(i).After().Value(at).Text(), "\uFFFD") {
				return errOddKey
			}
		}
	}
	return nil
}

// bound returns the key of the only row that a statement gives; nil if it gives none.
func (r *snapshotReader) bound(q *request, statement string) ([]string, error) {
	var a answer
	if _, err := r.rows(&a, q, statement); err != nil || a.batch.Len() == 0 {
		return nil, err
	}
	return keyOf(q.table, a.batch.Event(0).After())
}

func keyOf(t *snapshotTable, row cdc.Row) ([]string, error) {
	key := make([]string, len(t.key))
	for i, at := range t.key {
		c := &row.Table().Columns[at]
		text, ok := keyText(c, row.Value(at))
		if ok {
			_, err := keyLiteral(text)
			ok = err == nil
		}
		if !ok {
			return nil, cdc.Errorf("CDCD-1335", "%s cannot be read on behind the value %s of its key's column %s", t, row.Value(at), c.Name)
		}
		key[i] = text
	}
	return key, nil
}

// unaltered makes sure that the rows of this transaction are of the layout that they were read by: the table
// cannot be altered before the transaction ends.
func (r *snapshotReader) unaltered(t *snapshotTable) error {
	shape, err := r.shape(t)
	if err == nil && shape != t.shape {
		err = errOtherShape
	}
	return err
}

// trySnapshot finds out whether a table can be read, as it will be read, and returns its name as the server writes it.
func (s *Source) trySnapshot(ctx context.Context, schema, table, where string) (string, string, error) {
	refuse := func(format string, args ...any) *cdc.Error {
		return cdc.Errorf("CDCD-1334", "%s.%s cannot be read: %w", schema, table, fmt.Errorf(format, args...))
	}
	if err := oneCondition(where); err != nil {
		return "", "", refuse("--where: %w", err).WithFix("write one SQL condition, such as created_at >= '2026-01-01'")
	}
	sv, err := connect(ctx, &s.cfg)
	if err != nil {
		return "", "", err
	}
	defer sv.close()
	if err := sv.exactRows(); err != nil {
		return "", "", sourceError(&s.cfg, err)
	}
	folded, err := sv.value("SELECT @@lower_case_table_names")
	if err != nil {
		return "", "", sourceError(&s.cfg, err)
	}
	if folded == "1" { // the log has the names as the server keeps them
		schema, table = strings.ToLower(schema), strings.ToLower(table)
	}
	if !s.selected.match(schema, table) {
		return "", "", cdc.Errorf("CDCD-1331", "%s.%s is not captured", schema, table).WithFix("add it to source.mysql.tables and restart cdcd run")
	}
	kind, err := sv.value("SELECT TABLE_TYPE FROM information_schema.TABLES WHERE " + whereTable(schema, table))
	if err != nil {
		return "", "", sourceError(&s.cfg, err)
	}
	switch kind {
	case "", "BASE TABLE", "SYSTEM VERSIONED":
	default:
		return "", "", refuse("it is a %s, and has no rows of its own", strings.ToLower(kind)).WithFix("name the tables that the rows are in")
	}
	if where == "" {
		where = "TRUE"
	}
	_, err = sv.query("SELECT 1 FROM " + rowimage.QuoteName(schema) + "." + rowimage.QuoteName(table) + " WHERE (\n" + where + "\n) LIMIT 0")
	var my *gomysql.MyError
	if errors.As(err, &my) {
		return "", "", refuse("%w", err).WithFix("give %s the right to SELECT from it, or mend --where", s.cfg.User)
	}
	if err != nil {
		return "", "", sourceError(&s.cfg, err)
	}
	return schema, table, nil
}
