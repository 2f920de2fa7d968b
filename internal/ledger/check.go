package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// Want says what Check is to expect. The zero value means everything: all changes of all tables.
type Want struct {
	// Matches says which committed changes must have been delivered; all others must not. When it is nil, all must,
	// and then part_no must be dense and the delivered changes alone must make up the tables' final content.
	Matches func(Change) bool
}

// Change is a committed change as Want.Matches sees it. Images hold decoded JSON, numbers as json.Number; they are
// nil where there is none.
type Change struct {
	Op            string // insert, update or delete
	Table         string // without the schema
	Before, After map[string]any
}

// Lines returns the lines of delivered objects, uncompressed and joined in the chain's order.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadBytes('\n')
			if err == io.EOF && len(line) == 0 {
				return
			}
			if err == io.EOF {
				err = errors.New("the last line does not end in a newline")
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// Check holds delivered lines (envelope cdcd), one sequence a partition, against the ledger and against what the tables
// hold now. It returns an error that lists what is wrong, nil if nothing is. The workload must not be running.
//
// It demands: every committed change that matches, exactly once, and nothing else; every image equal to what was
// written; a key's changes in the order in which they were committed; within a partition, no change before one whose
// transaction had been confirmed before its own began, a transaction's changes together and in order of its statements,
// and source.no, source.part_no and the position rising.
func (w *Workload) Check(ctx context.Context, want Want, partitions ...iter.Seq2[[]byte, error]) error {
	content, err := w.tables(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	committed := w.committed
	w.mu.Unlock()
	return check(w.config.Schema, committed, content, want, partitions...)
}

func check(schema string, committed []*transaction, content map[string]string, want Want, partitions ...iter.Seq2[[]byte, error]) error {
	c := newChecker(schema, committed, want)
	c.whole = want.Matches == nil && len(partitions) == 1
	c.checkLedger(content)
	for _, lines := range partitions {
		c.partition(lines)
	}
	c.finish(content)
	return c.err()
}

// tables reads the images of all rows of all tables, by table and key.
func (w *Workload) tables(ctx context.Context) (map[string]string, error) {
	conn, err := client.ConnectWithContext(ctx, w.config.Addr, w.config.User, w.config.Password, w.config.Schema, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ledger: connect: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Execute("SET time_zone = '+00:00'"); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	content := map[string]string{}
	for _, t := range tables {
		result, err := conn.Execute("SELECT " + t.names() + " FROM " + t.name)
		if err != nil {
			return nil, fmt.Errorf("ledger: read %s: %w", t.name, err)
		}
		rows, err := t.rows(result)
		if err != nil {
			return nil, fmt.Errorf("ledger: read %s: %w", t.name, err)
		}
		for _, r := range rows {
			content[t.name+t.keyJSON(r)] = t.image(r)
		}
	}
	return content, nil
}

// line is a delivered record, as far as the checker looks at it.
type line struct {
	ID         string
	Op         string
	Table      string
	Key        json.RawMessage
	Before     json.RawMessage
	After      json.RawMessage
	CommitTime time.Time `json:"commit_time"`
	Source     struct {
		GTID   string
		File   string
		Pos    uint64
		Row    uint64
		No     uint64
		PartNo uint64 `json:"part_no"`
	}
}

// name is what identifies a change: deletes bear the number of the change before them.
type name struct {
	no      uint64
	deleted bool
}

type checker struct {
	schema    string
	want      Want
	whole     bool // all changes are expected, in one partition
	committed []*transaction
	changes   map[name]*change

	seen    map[name]int      // number of the line that delivered the change
	ids     map[string]int    // number of the line that bears the id
	ranks   map[string]uint64 // by key: the last delivered change's rank
	content map[string]string // what the delivered changes make up, by key
	lines   int

	problems []error
	found    int            // problems, with those that are not in the list
	kinds    map[string]int // how many were found of each kind
}

func newChecker(schema string, committed []*transaction, want Want) *checker {
	c := &checker{
		schema: schema, want: want, committed: committed, changes: map[name]*change{},
		seen: map[name]int{}, ids: map[string]int{}, ranks: map[string]uint64{}, content: map[string]string{},
		kinds: map[string]int{},
	}
	for _, tx := range committed {
		for _, ch := range tx.changes {
			c.changes[ch.name()] = ch
		}
	}
	return c
}

func (c *change) name() name { return name{c.no, c.op == "delete"} }

func (c *change) String() string {
	return fmt.Sprintf("%s of %s, change %d of transaction %d", c.op, c.key, c.no, c.tx.no)
}

// wrong notes a problem. Of each kind, which is its format, only the first few are kept: one lost transaction may
// make a thousand lines look wrong, and must not hide what else is.
func (c *checker) wrong(format string, args ...any) {
	if c.kinds[format]++; c.kinds[format] <= 4 {
		c.problems = append(c.problems, fmt.Errorf(format, args...))
	}
	c.found++
}

func (c *checker) err() error {
	if c.found == 0 {
		return nil
	}
	if more := c.found - len(c.problems); more > 0 {
		c.problems = append(c.problems, fmt.Errorf("and %d more of these kinds", more))
	}
	return fmt.Errorf("ledger: %d committed changes, %d delivered lines:\n%w", len(c.changes), c.lines, errors.Join(c.problems...))
}

// checkLedger makes sure of the ledger itself: its last changes are what the tables hold.
func (c *checker) checkLedger(content map[string]string) {
	type last struct {
		rank  uint64
		image string // "null" when the key is gone
	}
	model := map[string]last{}
	put := func(key string, rank uint64, image string) {
		if rank >= model[key].rank {
			model[key] = last{rank, image}
		}
	}
	for _, ch := range c.changes {
		if ch.oldKey != ch.key {
			put(ch.oldKey, ch.oldRank, "null")
		}
		put(ch.key, ch.rank, ch.after)
	}
	for key, l := range model {
		if l.image == "null" {
			delete(model, key)
		}
	}
	for key, image := range content {
		if model[key].image != image {
			c.wrong("the ledger does not explain a row of %s:\n  in the table  %s\n  in the ledger %s", key, image, model[key].image)
		}
	}
	for key, l := range model {
		if _, ok := content[key]; !ok {
			c.wrong("the ledger has a row that is not in the table: %s: %s", key, l.image)
		}
	}
}

// partition checks the lines of one partition.
func (c *checker) partition(lines iter.Seq2[[]byte, error]) {
	var (
		previous    *line
		current     *transaction // whose changes are being delivered
		began       uint64       // latest begin of a transaction delivered so far
		statement   int
		transaction = map[*transaction]bool{} // delivered here
	)
	for raw, err := range lines {
		c.lines++
		at := fmt.Sprintf("line %d", c.lines)
		if err != nil {
			c.wrong("%s: %w", at, err)
			return
		}
		l, ch := c.line(at, raw)
		if l == nil {
			continue
		}
		if previous != nil {
			c.numbers(at, previous, l)
		}
		if ch == nil {
			previous = l
			continue
		}
		if ch.tx != current {
			if transaction[ch.tx] {
				c.wrong("%s: %v: another transaction came between", at, ch)
			}
			if ch.tx.ended < began {
				c.wrong("%s: %v: a transaction that began after its commit was delivered before it", at, ch)
			}
			if previous != nil && l.Source.GTID == previous.Source.GTID && l.Source.GTID != "" {
				c.wrong("%s: %v: gtid %s is that of the transaction before", at, ch, l.Source.GTID)
			}
			if c.whole && l.Source.Row != 0 {
				c.wrong("%s: %v: source.row is %d in a new transaction", at, ch, l.Source.Row)
			}
			current, statement, began = ch.tx, 0, max(began, ch.tx.began)
			transaction[ch.tx] = true
		} else {
			c.sameTransaction(at, previous, l)
			if c.whole && l.Source.Row != previous.Source.Row+1 {
				c.wrong("%s: %v: source.row %d after %d: not dense", at, ch, l.Source.Row, previous.Source.Row)
			}
			if ch.statement < statement {
				c.wrong("%s: %v: delivered after a later statement of its transaction", at, ch)
			}
		}
		statement, previous = ch.statement, l
	}
}

// line checks a line by itself and against the ledger. It returns nil for what is not a line, and nil for a change
// that is not in the ledger.
func (c *checker) line(at string, raw []byte) (*line, *change) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		c.wrong("%s: %w: %.200s", at, err, raw)
		return nil, nil
	}
	if other, ok := c.ids[l.ID]; ok {
		c.wrong("%s: id %q is that of line %d", at, l.ID, other)
	} else if l.ID == "" {
		c.wrong("%s: no id", at)
	}
	c.ids[l.ID] = c.lines

	n, err := l.name()
	if err != nil {
		c.wrong("%s: %w: %.200s", at, err, raw)
		return &l, nil
	}
	ch := c.changes[n]
	if ch == nil {
		c.wrong("%s: no such change was ever committed: %.400s", at, raw)
		return &l, nil
	}
	if other, ok := c.seen[n]; ok {
		c.wrong("%s: %v: delivered twice, first as line %d", at, ch, other)
		return &l, nil
	}
	c.seen[n] = c.lines
	c.equal(at, ch, &l)
	if !c.matches(ch) {
		c.wrong("%s: %v: delivered, but does not match", at, ch)
	}
	for _, key := range ch.ranksByKey() {
		if c.ranks[key.key] >= key.rank {
			c.wrong("%s: %v: delivered after a later change of %s", at, ch, key.key)
		}
		c.ranks[key.key] = max(c.ranks[key.key], key.rank)
	}
	c.replay(at, ch, &l)
	return &l, ch
}

type keyRank struct {
	key  string
	rank uint64
}

func (c *change) ranksByKey() []keyRank {
	if c.key == c.oldKey {
		return []keyRank{{c.key, c.rank}}
	}
	return []keyRank{{c.oldKey, c.oldRank}, {c.key, c.rank}}
}

// name returns which change the line claims to be.
func (l *line) name() (name, error) {
	image := l.After
	if l.Op == "delete" {
		image = l.Before
	}
	var numbered struct {
		ChangeNo uint64 `json:"change_no"`
	}
	if err := json.Unmarshal(image, &numbered); err != nil {
		return name{}, fmt.Errorf("image: %w", err)
	}
	return name{numbered.ChangeNo, l.Op == "delete"}, nil
}

// equal compares the line's content with the change.
func (c *checker) equal(at string, ch *change, l *line) {
	compare := func(what, got, want string) {
		if got != want {
			c.wrong("%s: %v: "+what+":\n   got %s\n  want %s", at, ch, got, want)
		}
	}
	text := func(raw json.RawMessage) string {
		if raw == nil {
			return "(missing)"
		}
		s, err := canonical(raw)
		if err != nil {
			return err.Error()
		}
		return s
	}
	compare("op", l.Op, ch.op)
	compare("table", l.Table, c.schema+"."+ch.table.name)
	compare("key", text(l.Key), strings.TrimPrefix(ch.key, ch.table.name))
	compare("before", text(l.Before), ch.before)
	compare("after", text(l.After), ch.after)
	if l.CommitTime.IsZero() {
		c.wrong("%s: %v: no commit_time", at, ch)
	}
}

func (c *checker) matches(ch *change) bool {
	if c.want.Matches == nil {
		return true
	}
	image := func(s string) (m map[string]any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			panic("ledger: " + err.Error()) // our own images
		}
		return m
	}
	return c.want.Matches(Change{Op: ch.op, Table: ch.table.name, Before: image(ch.before), After: image(ch.after)})
}

// replay applies the line to the content that the lines make up, as a partner would.
func (c *checker) replay(at string, ch *change, l *line) {
	if c.want.Matches != nil {
		return
	}
	if l.Op != "insert" {
		before, _ := canonical(l.Before)
		if c.content[ch.oldKey] != before {
			c.wrong("%s: %v: its before image is not what the lines so far make of the row:\n   got %s\n  want %s",
				at, ch, before, c.content[ch.oldKey])
		}
		delete(c.content, ch.oldKey)
	} else if there, ok := c.content[ch.key]; ok {
		c.wrong("%s: %v: inserted, but the lines so far have the row: %s", at, ch, there)
	}
	if l.Op != "delete" {
		c.content[ch.key], _ = canonical(l.After)
	}
}

// numbers compares the numbering of two lines that follow each other in a partition.
func (c *checker) numbers(at string, previous, l *line) {
	if l.Source.No <= previous.Source.No {
		c.wrong("%s: source.no %d after %d", at, l.Source.No, previous.Source.No)
	}
	if l.Source.PartNo <= previous.Source.PartNo {
		c.wrong("%s: source.part_no %d after %d", at, l.Source.PartNo, previous.Source.PartNo)
	} else if c.want.Matches == nil && l.Source.PartNo != previous.Source.PartNo+1 {
		c.wrong("%s: source.part_no %d after %d: not dense", at, l.Source.PartNo, previous.Source.PartNo)
	}
	if !l.after(previous) {
		c.wrong("%s: position %s:%d row %d after %s:%d row %d", at, l.Source.File, l.Source.Pos, l.Source.Row,
			previous.Source.File, previous.Source.Pos, previous.Source.Row)
	}
}

// after reports whether the line's position is after the other's.
func (l *line) after(m *line) bool {
	a, b := l.Source, m.Source
	switch {
	case a.File != b.File: // numbered: binlog.999999 comes before binlog.1000000
		return len(a.File) > len(b.File) || len(a.File) == len(b.File) && a.File > b.File
	case a.Pos != b.Pos:
		return a.Pos > b.Pos
	}
	return a.Row > b.Row
}

func (c *checker) sameTransaction(at string, previous, l *line) {
	a, b := previous.Source, l.Source
	if a.GTID != b.GTID || a.File != b.File || a.Pos != b.Pos || !previous.CommitTime.Equal(l.CommitTime) {
		c.wrong("%s: same transaction as the line before, but another position or time: %s %s:%d %v after %s %s:%d %v", at,
			b.GTID, b.File, b.Pos, l.CommitTime, a.GTID, a.File, a.Pos, previous.CommitTime)
	}
}

// finish looks for what was not delivered.
func (c *checker) finish(content map[string]string) {
	for _, tx := range c.committed {
		for _, ch := range tx.changes {
			if _, ok := c.seen[ch.name()]; !ok && c.matches(ch) {
				c.wrong("%v: committed, but never delivered", ch)
			}
		}
	}
	if c.want.Matches != nil {
		return
	}
	for key, image := range content {
		if c.content[key] != image {
			c.wrong("the delivered changes of %s end in another row:\n   got %s\n  want %s", key, c.content[key], image)
		}
	}
	for key, image := range c.content {
		if _, ok := content[key]; !ok {
			c.wrong("the delivered changes leave a row that the table does not have: %s: %s", key, image)
		}
	}
}
