package mysql

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file decides what is read from tables beside the log, and puts it into frames. See snapshot_merge.go for why that
// is exact, and snapshot_read.go for the reading itself.

// snapshotState is the text of [cdc.Checkpoint.Snapshot]: all that is known of snapshots, as of the end of a frame.
type snapshotState struct {
	Covered []string       `json:"covered,omitempty"` // the selection whose tables were read, or are in Jobs to be read
	Jobs    []*snapshotJob `json:"jobs,omitempty"`    // oldest first
}

// snapshotJob reads one table, or with Tables one after the other by name.
type snapshotJob struct {
	ID      string    `json:"id"`
	Tables  []string  `json:"tables,omitempty"` // an initial snapshot: the selection
	Not     []string  `json:"not,omitempty"`    // without what this selection has
	Where   string    `json:"where,omitempty"`
	Paused  bool      `json:"paused,omitempty"`
	Error   string    `json:"error,omitempty"` // why it paused by itself
	Started time.Time `json:"started"`
	Rows    uint64    `json:"rows,omitempty"`   // in the stream
	Done    int       `json:"done,omitempty"`   // tables
	Hidden  []string  `json:"hidden,omitempty"` // patterns of tables of which the account may not read all

	// Where it is: the table that is being read, or with Over the one that was read last.
	Schema  string   `json:"schema,omitempty"`
	Name    string   `json:"name,omitempty"`
	Over    bool     `json:"over,omitempty"`
	Columns []string `json:"columns,omitempty"` // names of the key's columns
	Key     []string `json:"key,omitempty"`     // of the last row in the stream, see keyText; none: not begun
}

// snapshots belongs to capture's goroutine, but for the reader's two channels.
type snapshots struct {
	source *Source
	cfg    *Config
	state  snapshotState
	text   string            // state as the checkpoint has it
	stale  bool              // text is not current
	urgent bool              // the state shall be in the stream at once
	acks   []acknowledgement // of what has changed it
	xa     decisions         // of MariaDB, since the last request

	reader *snapshotReader // nil until there is something to read
	asked  int             // requests that it has not answered, at most maxAsked

	job    *snapshotJob // whose table it is
	table  *snapshotTable
	flight []*chunk // being read, or waiting for their watermark; oldest first
	found  int      // tables that the job has left, this one included
	left   uint64   // rows that the server believes them to have

	// After a chunk that was in vain.
	tries     int       // how often in a row that was
	holdOff   mark      // capture shall get here first
	notBefore time.Time // and it shall be this late

	began     time.Time // when this process began to read for the job
	holding   time.Time // since when changes wait for it, if they do
	beganRows uint64
	said      time.Time // when progress was logged last
}

// chunk is a part of a table on its way into the stream.
type chunk struct {
	job    *snapshotJob
	table  *snapshotTable
	window *window
	request
	answer
	read   bool               // the answer is there
	cancel context.CancelFunc // of the request
}

// newSnapshots goes on with what the checkpoint says.
func newSnapshots(s *Source, cfg *Config, text string) (*snapshots, error) {
	n := &snapshots{source: s, cfg: cfg, text: text}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &n.state); err != nil {
			return nil, cdc.Errorf("CDCD-1330", "the checkpoint's snapshots: %w", err).
				WithFix("start the version of cdcd that has written the stream")
		}
	}
	if selection := selectionOf(cfg); cfg.Snapshot && !slices.Equal(n.state.Covered, selection) {
		n.add(&snapshotJob{Tables: selection, Not: n.state.Covered})
		n.state.Covered = selection
	}
	n.publish()
	return n, nil
}

// selectionOf returns the selection of tables as one list: first what it has, then with ! what it has not.
func selectionOf(cfg *Config) []string {
	all := slices.Clone(cfg.Tables)
	for _, glob := range cfg.ExcludeTables {
		all = append(all, "!"+glob)
	}
	return all
}

// parseSelection is the inverse of selectionOf.
func parseSelection(all []string) (*selection, error) {
	var has, not []string
	for _, glob := range all {
		if rest, ok := strings.CutPrefix(glob, "!"); ok {
			not = append(not, rest)
		} else {
			has = append(has, glob)
		}
	}
	return newSelection(has, not)
}

func (n *snapshots) add(job *snapshotJob) {
	var id [4]byte
	rand.Read(id[:])
	job.ID, job.Started = hex.EncodeToString(id[:]), n.cfg.Now().UTC().Truncate(time.Second)
	n.state.Jobs = append(n.state.Jobs, job)
	n.stale, n.urgent = true, true
	n.cfg.Logger.Info("a snapshot was asked for", "event", "snapshot.added", "id", job.ID, "table", job.what(), "where", job.Where)
}

// what names what a job reads.
func (j *snapshotJob) what() string {
	if len(j.Tables) > 0 {
		return strings.Join(j.Tables, ", ")
	}
	return j.Schema + "." + j.Name
}

// String returns the state for the checkpoint.
func (n *snapshots) String() string {
	if n == nil {
		return ""
	}
	if n.stale {
		if n.job != nil && len(n.flight) > 0 {
			n.flight[0].place(n.job)
		}
		text, _ := json.Marshal(&n.state) // strings and numbers
		n.text, n.stale = string(text), false
		if len(n.state.Jobs) == 0 && n.state.Covered == nil {
			n.text = ""
		}
	}
	return n.text
}

// size returns about how many bytes of a frame the state takes.
func (n *snapshots) size() int {
	if n == nil {
		return 0
	}
	return len(n.text)
}

// stop lets go of the reader, and tells those who wait that what they asked for may not be in the stream.
func (n *snapshots) stop() {
	if n.reader != nil {
		n.reader.stop()
	}
	for _, ack := range n.acks {
		ack.done <- commandResult{err: cdc.Errorf("CDCD-1332", "capture was interrupted").WithFix("look whether it was done: cdcd snapshot list")}
	}
}

// note takes what goes into the stream.
func (n *snapshots) note(b *cdc.Batch) {
	if n == nil {
		return
	}
	if len(n.flight) == 0 {
		return
	}
	for i := range b.Len() {
		e := b.Event(i)
		if e.Op() == cdc.OpSnapshot {
			continue
		}
		for _, ch := range n.flight {
			ch.window.note(e)
		}
	}
}

// ddl spoils what is being read: a statement has changed tables, nobody knows which rows.
func (n *snapshots) ddl() {
	if n == nil {
		return
	}
	for _, ch := range n.flight {
		ch.window.spoilt = true
	}
}

// renamed sees to tables that an initial snapshot would have come to, and that got a name which it has passed: they are
// read by a snapshot of their own.
func (n *snapshots) renamed(pairs [][2]string) {
	if n == nil {
		return
	}
	passed := func(j *snapshotJob, schema, name string) bool {
		at := cmp.Or(strings.Compare(schema, j.Schema), strings.Compare(name, j.Name))
		return j.Name != "" && n.source.selected.match(schema, name) && (at < 0 || at == 0 && j.Over)
	}
	for _, pair := range pairs {
		oldSchema, oldName, _ := strings.Cut(pair[0], "\x00")
		schema, name, _ := strings.Cut(pair[1], "\x00")
		initial := func(j *snapshotJob) bool {
			return len(j.Tables) > 0 && passed(j, schema, name) && !passed(j, oldSchema, oldName)
		}
		known := func(j *snapshotJob) bool { return len(j.Tables) == 0 && j.Schema == schema && j.Name == name }
		if slices.ContainsFunc(n.state.Jobs, initial) && !slices.ContainsFunc(n.state.Jobs, known) {
			n.add(&snapshotJob{Schema: schema, Name: name})
		}
	}
}

// snapshot does what can be done now for the snapshots. It is called between two transactions.
func (c *capture) snapshot() error {
	n := c.snapshots
	if n == nil || c.tx.open || c.no < c.deliverFrom || c.again || !n.urgent && len(n.state.Jobs) == 0 && len(n.source.commands) == 0 {
		return nil
	}
	for moved := true; moved; {
		moved = n.command()
		moved = n.receive() || moved
		moved = n.request(c) || moved
		if len(n.flight) > 0 && n.flight[0].read && !c.place().before(n.flight[0].high) {
			if err := c.merge(n.flight[0]); err != nil {
				return err
			}
			moved = true
		}
	}
	n.report()
	return c.confirm()
}

// confirm sees to it that the stream has what must not wait, and tells those who have asked for it.
func (c *capture) confirm() error {
	n := c.snapshots
	if !n.urgent {
		return nil
	}
	n.urgent = false
	send := c.heartbeat
	if c.open {
		send = c.flush
	}
	if err := send(); err != nil {
		return err
	}
	for _, ack := range n.acks {
		ack.done <- ack.result
	}
	n.acks = nil
	return nil
}

// command takes what a person has asked for.
func (n *snapshots) command() bool {
	select {
	case cmd := <-n.source.commands:
		n.obey(cmd)
		return true
	default:
		return false
	}
}

func (n *snapshots) obey(cmd snapshotCommand) {
	if cmd.ctx.Err() != nil {
		return // nobody waits for it any more
	}
	id, err := cmd.do(n)
	n.stale, n.urgent = true, true
	n.acks = append(n.acks, acknowledgement{cmd.done, commandResult{id, err}})
	n.publish()
}

// wanted reports whether the job that is being read is still to be read.
func (n *snapshots) wanted() bool { return !n.job.Paused && slices.Contains(n.state.Jobs, n.job) }

// request has the reader read on: the next chunk while the one before waits for its watermark.
func (n *snapshots) request(c *capture) bool {
	if n.job != nil && !n.wanted() {
		n.drop()
		n.job, n.table = nil, nil
	}
	if n.job == nil {
		i := slices.IndexFunc(n.state.Jobs, func(j *snapshotJob) bool { return !j.Paused })
		if i < 0 {
			if n.reader != nil && n.asked == 0 { // it may be long until it is needed again
				n.reader.stop()
				n.reader = nil
			}
			return false
		}
		n.job, n.table = n.state.Jobs[i], nil
		n.began, n.beganRows, n.said = n.cfg.Now(), n.job.Rows, n.cfg.Now()
	}
	if n.asked == maxAsked || len(n.flight) == maxFlight || c.place().before(n.holdOff) || n.cfg.Now().Before(n.notBefore) {
		return false
	}
	if n.table == nil {
		if len(n.flight) > 0 {
			return false // it is being looked for
		}
		n.send(c, &chunk{job: n.job, window: &window{}, request: request{cursor: *n.job}})
		return true
	}
	q := request{cursor: *n.job, table: n.table, after: n.job.Key, shrink: n.tries}
	if len(n.flight) > 0 {
		before := n.flight[len(n.flight)-1]
		if n.table.key == nil || before.read && before.end {
			return false
		}
		q.after, q.on = before.last, !before.read
	}
	w := &window{schema: n.table.schema, name: n.table.name, key: n.table.keyNames(), limit: n.cfg.SnapshotBytes}
	n.send(c, &chunk{job: n.job, table: n.table, window: w, request: q})
	return true
}

// While one chunk goes into the stream, the next one waits to and the reader is at a third. It always has a request in
// store, so that the server does not wait either.
const (
	maxAsked  = 2
	maxFlight = 3
)

// send opens the window of a chunk, and hands it to the reader.
func (n *snapshots) send(c *capture, ch *chunk) {
	if n.reader == nil {
		n.reader = startReader(c.ctx, n.cfg, c.flavor, c.identity, n.source)
	}
	n.flight = append(n.flight, ch)
	ch.taken, ch.takenSet, ch.heard, ch.room = c.place(), c.executed.String(), c.pace.heard, c.room()-roomToGrow
	ch.ctx, ch.cancel = context.WithCancel(n.reader.ctx) // drop and shift cancel it
	ch.xa = n.decisions(c)
	n.asked++
	n.reader.requests <- asked{ch, ch.request} // it has room for all
}

// roomToGrow is left for what a checkpoint may gain between the reading of a row and its frame.
const roomToGrow = 16 << 10

// receive takes what the reader has read.
func (n *snapshots) receive() bool {
	if n.reader == nil {
		return false
	}
	select {
	case done := <-n.reader.answers:
		n.asked--
		if slices.Contains(n.flight, done.chunk) {
			done.chunk.answer, done.chunk.read = done.answer, true
			n.take(done.chunk)
		}
		return true
	default:
		return false
	}
}

// take looks at an answer.
func (n *snapshots) take(ch *chunk) {
	switch {
	case errors.Is(ch.err, errNoMore): // the chunk before is the table's last one
		n.flight = slices.DeleteFunc(n.flight, func(other *chunk) bool { return other == ch })
		ch.cancel()
	case errors.Is(ch.err, errTableGone):
		n.drop()
		n.cfg.Logger.Warn("a table is gone and will not be read", "event", "snapshot.gone", "id", ch.job.ID, "table", ch.cursor.Schema+"."+ch.cursor.Name)
		n.tableOver()
	case errors.Is(ch.err, errOtherShape):
		n.retry(ch, "it has been altered")
	case errors.As(ch.err, new(*errInDoubt)):
		n.retry(ch, ch.err.Error())
	case errors.Is(ch.err, errOddKey):
		n.drop()
		n.cfg.Logger.Warn("a table has to be read in one go, from the beginning: a value of its key has bytes that its character set does not allow",
			"event", "snapshot.odd_key", "id", ch.job.ID, "table", ch.table.String())
		whole := *n.table
		whole.key, whole.index = nil, ""
		n.table, n.job.Key, n.job.Columns, n.stale = &whole, nil, nil, true
	case ch.err != nil:
		n.drop()
		n.fail(ch.err)
	case ch.table == nil && ch.found == nil: // nothing is left to be read
		n.drop()
		n.hide(ch.hidden)
		n.jobOver()
	case ch.table == nil:
		n.drop()
		n.open(ch)
	}
}

// open begins to read a table, or goes on with it.
func (n *snapshots) open(ch *chunk) {
	n.table, n.found, n.left = ch.found, ch.tables, ch.rows
	n.hide(ch.hidden)
	j, columns := n.job, n.table.keyNames()
	if j.Schema != n.table.schema || j.Name != n.table.name || j.Over {
		j.Schema, j.Name, j.Over, j.Key = n.table.schema, n.table.name, false, nil
	}
	if j.Key != nil && !slices.Equal(j.Columns, columns) {
		n.cfg.Logger.Warn("the primary key of a table was changed while it was read; reading it from the beginning", "event", "snapshot.restarted",
			"id", j.ID, "table", n.table.String())
		j.Key = nil
	}
	j.Columns = columns
	n.stale = true
	n.publish()
}

// hide tells of tables that the account may not read, and that the server therefore does not name.
func (n *snapshots) hide(hidden []string) {
	if len(hidden) > 0 && !slices.Equal(n.job.Hidden, hidden) {
		n.job.Hidden, n.stale, n.urgent = hidden, true, true
		n.cfg.Logger.Warn("tables that the account has no right to read are left out of a snapshot", "event", "snapshot.hidden", "id", n.job.ID,
			"of", strings.Join(hidden, ", "), "fix", "GRANT SELECT, then cdcd snapshot TABLE")
	}
}

// fail pauses a job that cannot go on: capture does, and a person must look at it.
func (n *snapshots) fail(err error) {
	n.cfg.Logger.Error("a snapshot cannot go on and is paused", "event", "snapshot.failed", "id", n.job.ID, "err", err)
	n.job.Paused, n.job.Error = true, shorten(err).Error()
	n.stale, n.urgent = true, true
	n.publish()
}

func (n *snapshots) tableOver() {
	n.job.Over, n.job.Key, n.job.Columns = true, nil, nil
	n.job.Done++
	n.table, n.stale = nil, true
	if len(n.job.Tables) == 0 {
		n.jobOver()
	}
}

func (n *snapshots) jobOver() {
	n.cfg.Logger.Info("a snapshot is complete", "event", "snapshot.complete", "id", n.job.ID, "table", n.job.what(), "rows", n.job.Rows, "tables", n.job.Done)
	n.state.Jobs = slices.DeleteFunc(n.state.Jobs, func(j *snapshotJob) bool { return j == n.job })
	n.job, n.table = nil, nil
	n.stale, n.urgent = true, true
	n.publish()
}

// drop forgets all chunks. What is still being read is not read to its end.
func (n *snapshots) drop() {
	for _, ch := range n.flight {
		ch.cancel()
	}
	n.flight = nil
}

// shift takes the chunk off that has come to its end.
func (n *snapshots) shift() {
	n.flight[0].cancel()
	n.flight = n.flight[1:]
}

// retry reads again from the last row that is in the stream, after a pause that grows.
func (n *snapshots) retry(ch *chunk, why string) {
	n.drop()
	n.table = nil // it may have another shape now
	if n.tries++; n.tries > maxSnapshotTries {
		n.tries = 0
		err := cdc.Errorf("CDCD-1333", "%s was read %d times in vain, the last time because %s", ch.table, maxSnapshotTries, why).
			WithFix("cdcd snapshot resume %s when the table is changed less", n.job.ID)
		if errors.As(ch.err, new(*errInDoubt)) {
			err = cdc.Errorf("CDCD-1339", "%s cannot be read: %s", ch.table, why).
				WithFix("XA COMMIT them, then cdcd snapshot resume %s", n.job.ID)
		}
		n.fail(err)
		return
	}
	pause := min(time.Millisecond<<min(n.tries, 20), 5*time.Second)
	n.holdOff, n.notBefore = ch.high, n.cfg.Now().Add(pause)
	time.AfterFunc(pause, n.source.poke)
	n.cfg.Logger.Debug("reading a part of a table again", "event", "snapshot.again", "id", n.job.ID, "table", ch.table.String(), "why", why)
}

const maxSnapshotTries = 40

// place is how far the stream has the log. MariaDB begins with the head of the file, wherever it is asked to go on.
func (c *capture) place() mark {
	done, at := mark{c.done.File, c.done.Pos}, mark{c.file, max(c.pos, c.pace.head)}
	if at.before(done) {
		return done
	}
	return at
}

// merge emits what is left of a chunk whose watermark has been passed.
func (c *capture) merge(ch *chunk) error {
	n := c.snapshots
	if c.open { // so that the window knows all changes
		if err := c.flush(); err != nil {
			return err
		}
	}
	switch {
	case ch.window.spoilt:
		n.retry(ch, "its definition or too many of its rows were changed meanwhile")
		return nil
	case ch.table.key == nil && ch.window.changed:
		n.retry(ch, "it has no primary key and was changed meanwhile")
		return nil
	}
	p := &part{c: c, ch: ch, tx: cdc.Tx{Server: c.identity, File: "snapshot/" + ch.job.ID, Pos: c.no, CommitTime: ch.at}}
	if ch.parts != nil {
		return c.mergeWhole(ch, p)
	}
	c.noticeBadText(ch.table.layout.Table(), ch.bad.n, ch.bad.column, p.tx)
	for i := range ch.batch.Len() {
		switch ch.window.judge(ch.table.key, ch.batch.Event(i).After()) {
		case emitted:
			if err := p.emit(ch.batch, i); err != nil {
				return err
			}
		case superseded:
			ch.emitted = i + 1
		case again:
			p.end()
			n.stale = true
			_ = n.String() // where the job has got
			if ch.emitted > 0 {
				n.tries = 0
			}
			n.retry(ch, "the log has only some columns of a row that was changed meanwhile (binlog_row_image)")
			return nil
		}
	}
	p.end()
	n.tries = 0
	n.stale = true
	ch.emitted = ch.batch.Len()
	ch.place(n.job)
	n.job.Key = ch.last
	n.shift()
	if ch.end {
		n.drop()
		n.tableOver()
	}
	n.publish()
	return nil
}

// part puts rows of a chunk into frames. To readers they are a transaction of the place "snapshot/JOB", which begins with
// the number of its first row: that number does not come again, so the rows' identities are unique.
type part struct {
	c    *capture
	ch   *chunk
	tx   cdc.Tx
	rows uint32
}

func (p *part) emit(b *cdc.Batch, i int) error {
	c, read := p.c, b.Event(i)
	if c.full {
		if err := c.flush(); err != nil {
			return err
		}
	}
	for {
		c.openFrame()
		if c.tx.inTx < 0 {
			c.tx.inTx = c.frame.AddTx(p.tx)
		}
		info := cdc.EventInfo{No: c.no, Tx: c.tx.inTx, Row: p.rows, Table: c.frame.AddTable(read.Table()), Op: cdc.OpSnapshot,
			Incomplete: read.Incomplete(), After: c.frame.CopyRow(read.After())}
		if c.frame.Len() == 0 || c.frame.Size() <= c.room() { // the reader has seen to it that a row has room
			c.frame.AddEvent(info)
			break
		}
		c.frame.DropRows(info.After) // it begins the next frame
		if err := c.flush(); err != nil {
			return err
		}
	}
	if read.Incomplete() {
		c.notices.Oversize++
		c.cfg.Logger.Warn("a row is larger than a frame can hold: its largest values are left out", "event", "capture.oversize", "code", "CDCD-1309",
			"table", read.Table().String(), "snapshot", p.ch.job.ID, "no", c.no)
	}
	c.no++
	c.partNo++
	p.rows++
	p.ch.emitted = i + 1
	p.ch.job.Rows++
	c.snapshots.stale = true
	c.full = c.frame.Size() >= c.cfg.FrameBytes || c.frame.Len() >= c.cfg.FrameRows
	return nil
}

func (p *part) end() {
	c := p.c
	if c.open && c.tx.inTx >= 0 {
		c.frame.UpdateTx(c.tx.inTx, func(tx *cdc.Tx) { tx.Ends = true })
	}
	c.tx.inTx = -1
}

// place writes into the job which row of the chunk is the last one in the stream.
func (ch *chunk) place(j *snapshotJob) {
	if ch.emitted == 0 || ch.batch == nil || ch.table.key == nil {
		return
	}
	row := ch.batch.Event(ch.emitted - 1).After()
	key := make([]string, len(ch.table.key))
	for i, at := range ch.table.key {
		key[i], _ = keyText(&row.Table().Columns[at], row.Value(at)) // the reader has tried
	}
	j.Key = key
}

// SnapshotJob is what a source tells of a snapshot.
type SnapshotJob struct {
	ID       string    `json:"id"`
	Initial  bool      `json:"initial,omitempty"`
	Table    string    `json:"table"` // the one that is being read
	Where    string    `json:"where,omitempty"`
	State    string    `json:"state"` // reading, waiting, paused or failed
	Error    string    `json:"error,omitempty"`
	Started  time.Time `json:"started"`
	Rows     uint64    `json:"rows"`               // read into the stream
	Tables   int       `json:"tables,omitempty"`   // read whole
	Left     int       `json:"left,omitempty"`     // tables that are not
	Expected uint64    `json:"expected,omitempty"` // rows in all, as the server believes
	Rate     float64   `json:"rate,omitempty"`     // rows a second
	ETA      string    `json:"eta,omitempty"`      // how long it may still take
	Hidden   []string  `json:"hidden,omitempty"`   // patterns of tables of which the account may not read all: these are left out
	Holds    string    `json:"holds,omitempty"`    // for how long changes have been waiting for the table, which has no key
}

// Snapshots returns the snapshots that are under way, waiting or paused, oldest first.
func (s *Source) Snapshots() []SnapshotJob {
	if jobs := s.jobs.Load(); jobs != nil {
		return *jobs
	}
	return nil
}

// publish makes the state known to others.
func (n *snapshots) publish() {
	jobs := make([]SnapshotJob, 0, len(n.state.Jobs))
	for _, j := range n.state.Jobs {
		out := SnapshotJob{ID: j.ID, Initial: len(j.Tables) > 0, Where: j.Where, Started: j.Started, Rows: j.Rows, Tables: j.Done, State: "waiting", Error: j.Error, Hidden: j.Hidden}
		if j.Name != "" && !j.Over {
			out.Table = j.Schema + "." + j.Name
		}
		switch {
		case j.Error != "":
			out.State = "failed"
		case j.Paused:
			out.State = "paused"
		case j == n.job:
			out.State = "reading"
			n.estimate(&out)
		}
		jobs = append(jobs, out)
	}
	n.source.jobs.Store(&jobs)
}

// estimate says how long a snapshot will take, if it goes on like this and the server's statistics are right.
func (n *snapshots) estimate(out *SnapshotJob) {
	if n.table == nil {
		return
	}
	out.Left = n.found
	if !n.holding.IsZero() {
		out.Holds = n.cfg.Now().Sub(n.holding).Round(time.Second).String()
	}
	out.Expected = max(n.left, n.job.Rows)
	spent := n.cfg.Now().Sub(n.began).Seconds()
	if read := n.job.Rows - n.beganRows; read > 0 && spent > 0 {
		out.Rate = float64(read) / spent
		rest := time.Duration(float64(out.Expected-n.job.Rows) / out.Rate * float64(time.Second))
		out.ETA = rest.Round(time.Second).String()
	}
}

// report logs progress from time to time.
func (n *snapshots) report() {
	if n.job == nil || n.cfg.Now().Sub(n.said) < 10*time.Second {
		return
	}
	n.said = n.cfg.Now()
	n.publish()
	for _, j := range n.source.Snapshots() {
		if j.ID == n.job.ID {
			n.cfg.Logger.Info("snapshot", "event", "snapshot.progress", "id", j.ID, "table", j.Table, "rows", j.Rows, "expected", j.Expected,
				"rate", int(j.Rate), "eta", j.ETA, "tables", j.Tables, "left", j.Left)
		}
	}
}

// SnapshotAction is what can be done to a snapshot.
type SnapshotAction string

// The actions.
const (
	SnapshotPause  SnapshotAction = "pause"
	SnapshotResume SnapshotAction = "resume"
	SnapshotCancel SnapshotAction = "cancel"
)

type snapshotCommand struct {
	ctx  context.Context
	do   func(*snapshots) (id string, err error)
	done chan commandResult // has room for the result
}

type acknowledgement struct {
	done   chan commandResult
	result commandResult
}

type commandResult struct {
	id  string
	err error
}

// maxWhere bounds a condition: it stands in every checkpoint until its snapshot is complete.
const maxWhere = 8 << 10

// StartSnapshot has a table read beside the log that Run follows, as far as where says, an SQL condition; "" is all of
// it. It returns when the frame that says so was handed over, with the snapshot's id. Errors are [*cdc.Error].
func (s *Source) StartSnapshot(ctx context.Context, schema, table, where string) (id string, err error) {
	if s.files != nil {
		return "", cdc.Errorf("CDCD-1331", "a source of binlog files has no tables to read").WithFix("use source.mysql")
	}
	if len(where) > maxWhere {
		return "", cdc.Errorf("CDCD-1331", "the condition has %d bytes, and at most %d can be kept", len(where), maxWhere).
			WithFix("put the keys into a table of their own and ask for id IN (SELECT …)")
	}
	if schema, table, err = s.trySnapshot(ctx, schema, table, where); err != nil {
		return "", err
	}
	return s.command(ctx, func(n *snapshots) (string, error) {
		n.add(&snapshotJob{Schema: schema, Name: table, Where: where})
		return n.state.Jobs[len(n.state.Jobs)-1].ID, nil
	})
}

// AlterSnapshot pauses, resumes or cancels a snapshot. What is in the stream stays there. Errors are [*cdc.Error].
func (s *Source) AlterSnapshot(ctx context.Context, id string, action SnapshotAction) error {
	_, err := s.command(ctx, func(n *snapshots) (string, error) {
		i := slices.IndexFunc(n.state.Jobs, func(j *snapshotJob) bool { return j.ID == id })
		if i < 0 {
			return "", cdc.Errorf("CDCD-1331", "there is no snapshot %s", id).WithFix("cdcd snapshot list")
		}
		j := n.state.Jobs[i]
		switch action {
		case SnapshotPause:
			j.Paused = true
		case SnapshotResume:
			j.Paused, j.Error = false, ""
		case SnapshotCancel:
			n.state.Jobs = slices.Delete(n.state.Jobs, i, i+1)
		default:
			return "", cdc.Errorf("CDCD-1331", "a snapshot cannot be told to %q", action).WithFix("pause, resume or cancel")
		}
		n.cfg.Logger.Info("a snapshot was told", "event", "snapshot."+string(action), "id", id)
		return id, nil
	})
	return err
}

// command has capture do something between two transactions.
func (s *Source) command(ctx context.Context, do func(*snapshots) (string, error)) (string, error) {
	cmd := snapshotCommand{ctx: ctx, do: do, done: make(chan commandResult, 1)}
	lost := func() error {
		return cdc.Errorf("CDCD-1332", "capture does not answer: %w", ctx.Err()).WithFix("cdcd status says what it is waiting for")
	}
	select {
	case s.commands <- cmd:
		s.poke()
	case <-ctx.Done():
		return "", lost()
	}
	select {
	case r := <-cmd.done:
		return r.id, r.err
	case <-ctx.Done():
		return "", lost()
	}
}
