package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Handler is the door between all parts of cdcd: calling it hands over a batch.
//
// nil means "I have it, you may forget it"; an error means "offer me the same batch again". The call blocks while the
// receiver is busy: that is the whole of back pressure. Batches are immutable and may be kept after the call. A
// handler is called by one goroutine at a time per partition, in commit order, and must expect to see a batch again
// after an error or a restart.
type Handler func(ctx context.Context, b *Batch) error

// Op is what happened to the row.
type Op uint8

// The operations. Snapshot is a row read from the table, not from the log.
const (
	OpInsert Op = iota + 1
	OpUpdate
	OpDelete
	OpSnapshot
)

var opNames = [...]string{"", "insert", "update", "delete", "snapshot"}

// String returns the operation's name as it stands in rules and in delivered objects.
func (o Op) String() string {
	if int(o) < len(opNames) && o != 0 {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// ParseOp is the inverse of [Op.String].
func ParseOp(s string) (Op, bool) {
	for i, n := range opNames {
		if i > 0 && n == s {
			return Op(i), true
		}
	}
	return 0, false
}

// Position is the place of a change in the source's log. Its zero value means "nowhere yet".
type Position struct {
	Server     string    // server UUID (MySQL) or "domain-server" (MariaDB) that wrote the transaction
	GTID       string    // the transaction's GTID; empty when the server has none
	File       string    // binlog file
	Pos        uint64    // offset of the transaction's first event in File
	Row        uint32    // number of the change within the transaction, from 0, counting captured rows
	Rows       uint32    // captured rows in the transaction; 0 when not known
	CommitTime time.Time // when the transaction committed, UTC, in microseconds as far as the server tells
}

// ID returns the identity of the change: a pure function of the position, so the same after every restart, replay or
// redelivery. With GTIDs it does not depend on which server the log was read from.
func (p Position) ID() string { return string(p.AppendID(nil)) }

// AppendID appends [Position.ID] to dst.
func (p Position) AppendID(dst []byte) []byte {
	if p.GTID != "" {
		dst = append(dst, p.GTID...)
	} else {
		if p.Server != "" {
			dst = append(append(dst, p.Server...), ':')
		}
		dst = append(append(dst, p.File...), ':')
		dst = appendUint(dst, p.Pos)
	}
	dst = append(dst, '/')
	return appendUint(dst, uint64(p.Row))
}

// String returns the position for people: GTID, then file:pos, then row.
func (p Position) String() string {
	var parts []string
	if p.GTID != "" {
		parts = append(parts, p.GTID)
	}
	if p.File != "" {
		parts = append(parts, fmt.Sprintf("%s:%d", p.File, p.Pos))
	}
	return fmt.Sprintf("%s row %d", strings.Join(parts, " at "), p.Row)
}

// RuleMatch names a rule that matched an event.
type RuleMatch struct {
	Name    string   // the rule's name
	Version string   // "sha256:…" over the rule's canonical text
	Change  string   // Entered, Stayed or Left on rules with `where`, else ""
	To      []string // feeds the rule delivers to
	Edits   *Edits   // what the rule's plugin wants altered in what is delivered; nil: nothing
	Show    *Show    // what the rule lets see; nil: everything, as it is
	Lookups []Looked // what was looked up for it, in the order of the rule; immutable
}

// Show is what a rule lets see of a change and of what was looked up for it. It is made with the rule, immutable, and shared
// by all of the rule's matches.
type Show struct {
	Select []Path     // what is delivered; empty: everything
	Mask   []MaskPath // what is delivered masked
}

// Path names columns in a rule.
type Path struct {
	Of     string // "before", "after", "row" (both images), or the name of a look-up
	Column string // a column; "*": all of them
}

// MaskPath says how columns are masked. What the methods do is the business of who delivers.
type MaskPath struct {
	Path
	Method string // as it stands in the rule: hmac, last4
}

// Looked is what a rule's look-up found for a change. It is immutable.
type Looked struct {
	Name string // as the rule calls it
	Many bool   // it asks for rows; else for one
	Rows []Row  // in the order that the rule asks for; empty: there is none
	At   string // the GTIDs that had been executed where it was read; "" when not known
}

// Query asks a source for rows as they are now, or later than a change: by their columns, for many keys at once.
type Query struct {
	Table   string    // schema.table
	Columns []string  // that are wanted; empty: all
	By      []string  // the columns that the keys are of
	Keys    [][]Value // each of as many values as By; none of them null or absent
	Order   []Order   // of the rows of one key
	Limit   int       // of the rows of one key; at least 1
	After   Position  // the answer must not be older than this change
}

// Order sorts rows by a column.
type Order struct {
	Column string
	Desc   bool
}

// Answer is what a source says to a [Query]. Its rows are the images after of snapshot events in a frame of their own, so
// that an answer can be kept and read again as it was.
type Answer struct {
	Batch *Batch  // nil when no key has a row
	Rows  [][]int // by key: the events of Batch that are its rows
	At    string  // the GTIDs that had been executed where it was read

	// Of an answer that was kept and is given again:
	Ats  []string // by key, if they may have been read at different times; nil: At is of all
	Late []bool   // by key: there was no answer in time, and the change was judged without; nil: there was
}

// Verdict is what a plugin makes of a change that its rule has let through to it.
type Verdict struct {
	Keep  bool
	Edits *Edits // of a change that is kept; nil: deliver it as it is
	Err   error  // it could not be judged; Keep means nothing then
}

// Edits is what a plugin wants altered in what is delivered. It is immutable.
type Edits struct {
	Columns []ColumnEdit // in the order in which they were made: the last one of a column counts
	Tags    []string     // in the order in which they were given
	Reason  string       // why the change is delivered; "" when nothing was said
	To      []string     // the feeds of the rule that are to get it, sorted; nil: all of them
}

// ColumnEdit alters one column of a row image.
type ColumnEdit struct {
	Column string
	Before bool  // of the image before; else of the one after
	Drop   bool  // leave the column out
	Value  Value // else: what to deliver in its place
}

// What an event does to the rows that satisfy a rule's `where`.
const (
	Entered = "entered" // the row satisfies it, and did not before or was not there
	Stayed  = "stayed"  // it did, and does
	Left    = "left"    // it did, and does not any more or is not there
)

// OnError is what a rule wants done with an event that it can't judge.
type OnError uint8

// The policies. DeadLetter is the default.
const (
	DeadLetter OnError = iota // keep the event aside with all that is needed to retry it, and go on
	Skip                      // count it and go on
	Halt                      // stop the line
)

// String returns the policy's name as it stands in rules.
func (p OnError) String() string { return [...]string{"dead_letter", "skip", "halt"}[p%3] }

// RuleError says that a rule could not judge an event.
type RuleError struct {
	Rule    RuleMatch
	OnError OnError
	Err     error
}

// Decision is what the rules made of one event.
type Decision struct {
	Event   Event
	Matches []RuleMatch // rules that matched, in the order of the rule set; the slice is immutable
	Errors  []RuleError // rules that could not be evaluated
	RuleSet string      // digest of the whole rule set that judged; set by the engine
}

// MetaRecords is the metadata that objects with records have, and no others: how many they are.
const MetaRecords = "cdcd-records"

// Object is one object of a chain, as it was committed to a store: the unit of delivery, of audit and of triggers.
type Object struct {
	Chain       string    `json:"chain"`         // source/feed/partition, e.g. "shop/acme/00"
	Ordinal     uint64    `json:"ordinal"`       // dense from 1 within the chain
	Store       string    `json:"store"`         // where it is, e.g. "s3://bucket/prefix" or "file:///dir"
	Key         string    `json:"key"`           // key below Store
	Bytes       int64     `json:"bytes"`         // stored size
	SHA256      string    `json:"sha256"`        // hex, over the stored bytes
	Records     int       `json:"records"`       // number of records in it
	RecordsRoot string    `json:"records_root"`  // hex RFC 6962 tree hash over the records' exact bytes, without the newline
	FirstPartNo uint64    `json:"first_part_no"` // the object answers for [FirstPartNo, LastPartNo] of its partition
	LastPartNo  uint64    `json:"last_part_no"`
	LastSeq     uint64    `json:"last_seq"` // stream sequence of the frame that holds LastPartNo
	RuleSet     string    `json:"rule_set"` // digest of the rule set that judged
	Writer      string    `json:"writer"`   // the process that wrote it
	Prev        string    `json:"prev"`     // SHA256 of the chain's previous object; "" for the first
	FirstCommit time.Time `json:"first_commit"`
	LastCommit  time.Time `json:"last_commit"`
}

// Error is an error that a person has to act on: it has a stable code (`cdcd errors CODE` explains it), says what
// failed and how to mend it. It wraps the cause, if there is one.
type Error struct {
	Code string // CDCD-nnnn
	What string // what failed, naming the noun: `column "amont" of shop.orders`
	Fix  string // the statement, setting or command that mends it; "" when there is none to name
	Err  error  // the cause; may be nil
}

// Errorf makes an [Error] without a fix; %w wraps a cause.
func Errorf(code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, What: err.Error(), Err: errors.Unwrap(err)}
}

// CodeOf returns the code of the [Error] in err's chain, "" if there is none. Packages have predicates for the codes of
// theirs that others decide by.
func CodeOf(err error) string {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return ""
}

// WithFix returns a copy of e that says how to mend it.
func (e *Error) WithFix(format string, args ...any) *Error {
	c := *e
	c.Fix = fmt.Sprintf(format, args...)
	return &c
}

// Error returns "CDCD-nnnn: what".
func (e *Error) Error() string { return e.Code + ": " + e.What }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
