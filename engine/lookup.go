package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// Lookups answers what rules look up.
type Lookups interface {
	// LookUp returns the rows of every key of q: q.Limit of them at most, in the order of q.Order and then of the table's primary
	// key, with the columns of q.Columns in that order, or all columns of the table. Rows has as many elements as q has keys; a key
	// without a row has an empty one. What is read is never older than the change at q.After: the source waits until it is not.
	//
	// The keys are distinct, at most [MaxKeys]; their values have the types of the columns of the change that they come from, or
	// those that the expression in the rule has: the source makes of them what it compares with its columns. q depends on nothing but
	// the batch and the rules, so when the batch is offered again, the same is asked, with the same q.After: who records
	// answers can know it by that, and gives the same answer again.
	//
	// Every error is of the world, and the batch is offered again, with three exceptions. A rule may say what is to become of its
	// changes when the time is up that it gives a look-up: that is the deadline of ctx. If the error is CDCD-1349, the answer is larger
	// than the source cares to hold: half of the keys are asked for then, and if it is one key, the rule could not judge its
	// changes. Rules that only watch fail on the change, whatever the error is.
	//
	// It is called by several goroutines at once, must not keep q or alter it, and leaves the answer alone once it is returned.
	//
	// Lookups that record answers may have a method Late(ctx, q) error, too. It is called when a question was not answered in time
	// and changes are about to be delivered, or not, for that reason: when the batch is offered again, the answer is to say so again,
	// see Late of [cdc.Answer]. An error means that the batch is offered again.
	LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error)
}

// MaxKeys bounds the keys of one question to [Lookups].
const MaxKeys = 500

// Bounds of what is found for one batch, in bytes of the frames that answers are in.
const (
	maxAnswer = 16 << 20  // of one answer: of half the keys it may be less
	maxFound  = 256 << 20 // of all of them together
)

// tooLarge is the code of an answer that the source does not care to hold.
const tooLarge = "CDCD-1349"

// Lookers look up what the rules of the set that is in use want looked up: [Engine] has some of its own, and who judges without
// one can do it as the engine does. They are for one goroutine.
type Lookers struct {
	source    Lookups
	known     map[string]*rules.Looker // by the rule's version
	inUse     []*looker
	names     map[string]*looker // of inUse, by the rule's name
	questions []*question        // that rules ask, each once

	// scratch of LookUp, reused
	wanted []wanted
	key    []byte
	room   matchRoom
}

// looker looks up for one rule.
type looker struct {
	*rules.Looker
	asks []*question // by look-up
	rows []rules.Rows
}

// question is what look-ups ask that are the same but for the key.
type question struct {
	query   cdc.Query // without keys
	timeout time.Duration
	known   map[string]int // keys of the batch, with their index
	keys    [][]cdc.Value
	found   []rules.Rows // by key
	errs    []error      // by key
	late    []lateKeys
}

// lateKeys are those from the one to the other of a question: nobody answered in time when they were asked for together.
type lateKeys struct {
	from, to int
	counts   bool // a decision is what it is because of that
}

// wanted is a match for which something is looked up.
type wanted struct {
	decision int
	rule     *looker
	keys     []int // index in the question, by look-up; -1: nothing is asked
	err      error // the keys could not be made
}

// NewLookers returns Lookers that ask a source. It may be nil if no rule looks anything up.
func NewLookers(source Lookups) *Lookers {
	return &Lookers{source: source, known: map[string]*rules.Looker{}}
}

// Use makes the look-ups those of the set's rules.
func (ls *Lookers) Use(set *rules.Set) error {
	ls.inUse, ls.names, ls.questions = nil, map[string]*looker{}, nil
	known := map[string]*rules.Looker{}
	questions := map[string]*question{}
	for _, r := range set.LookingUp() {
		if ls.source == nil {
			return fmt.Errorf("rule %s looks up %s, and there is nobody to ask", r.Name, r.Lookups[0].Table)
		}
		own := ls.known[r.Version]
		if own == nil {
			own = rules.NewLooker(r)
		}
		known[r.Version] = own
		l := &looker{Looker: own, rows: make([]rules.Rows, len(r.Lookups))}
		for _, spec := range r.Lookups {
			q := &question{query: spec.Query(), timeout: spec.Timeout, known: map[string]int{}}
			text := q.text()
			if questions[text] == nil {
				questions[text] = q
				ls.questions = append(ls.questions, q)
			}
			l.asks = append(l.asks, questions[text])
		}
		ls.inUse = append(ls.inUse, l)
		ls.names[r.Name] = l
	}
	ls.known = known
	return nil
}

// text is the same for questions that one query can answer.
func (q *question) text() string {
	return fmt.Sprintf("%q %q %q %v %d %s", q.query.Table, q.query.Columns, q.query.By, q.query.Order, q.query.Limit, q.timeout)
}

// LookUp takes what rules look up into the decisions, which are of one batch and in its order. Rows of all changes are asked for at
// once. Decisions may be left without matches and errors. After an error the decisions are as they were.
func (ls *Lookers) LookUp(ctx context.Context, ds []cdc.Decision) error {
	if len(ls.inUse) == 0 || len(ds) == 0 {
		return nil
	}
	defer ls.forget()
	ls.collect(ds)
	if len(ls.wanted) == 0 {
		return nil
	}
	b := ds[0].Event.Batch()
	if err := ls.ask(ctx, after(b)); err != nil {
		return err
	}
	if err := ls.world(); err != nil { // before anything is taken, so that an error leaves nothing half done
		return err
	}
	if err := ls.noteLate(ctx, b); err != nil {
		return err
	}
	ls.room.reset(len(ds))
	for i := range ls.wanted {
		w := &ls.wanted[i]
		ls.take(w, &ds[w.decision])
	}
	return nil
}

// collect notes what is looked up, and each key once.
func (ls *Lookers) collect(ds []cdc.Decision) {
	for i := range ds {
		for k := range ds[i].Matches {
			l := ls.names[ds[i].Matches[k].Name]
			if l == nil {
				continue
			}
			w := wanted{decision: i, rule: l, keys: make([]int, len(l.asks))}
			for n, q := range l.asks {
				key, err := l.Key(ds[i].Event, n)
				if err != nil {
					w.err = err
					break
				}
				w.keys[n] = ls.number(q, key)
			}
			ls.wanted = append(ls.wanted, w)
		}
	}
}

// number returns the index of a key in a question, -1 of none.
func (ls *Lookers) number(q *question, key []cdc.Value) int {
	if key == nil {
		return -1
	}
	b := ls.key[:0]
	for _, v := range key {
		b = append(b, byte(v.Kind()))
		b = binary.LittleEndian.AppendUint64(b, v.Uint64())
		b = binary.AppendUvarint(b, uint64(len(v.Text())))
		b = append(b, v.Text()...)
	}
	ls.key = b
	n, ok := q.known[string(b)]
	if !ok {
		n = len(q.keys)
		q.known[string(b)] = n
		q.keys = append(q.keys, key)
	}
	return n
}

// ask puts all questions to the source. What it says of a key is noted with the key.
func (ls *Lookers) ask(ctx context.Context, after cdc.Position) error {
	room := maxFound
	for _, q := range ls.questions {
		q.found, q.errs = make([]rules.Rows, len(q.keys)), make([]error, len(q.keys))
		for from := 0; from < len(q.keys); from += MaxKeys {
			if err := ls.askSome(ctx, q, after, from, min(from+MaxKeys, len(q.keys)), &room); err != nil {
				return err
			}
		}
	}
	return nil
}

// after is what the answers for a batch must not be older than.
func after(b *cdc.Batch) cdc.Position { return b.Event(b.Len() - 1).Position() }

// askSome asks for some of the keys, in parts if the answer to all of them is too large.
func (ls *Lookers) askSome(ctx context.Context, q *question, after cdc.Position, from, to int, room *int) error {
	query := q.query
	query.Keys, query.After = slices.Clip(q.keys[from:to]), after
	timed, cancel := context.WithTimeout(ctx, q.timeout)
	a, err := ls.source.LookUp(timed, &query)
	late := err != nil && errors.Is(timed.Err(), context.DeadlineExceeded)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	size := 0
	if err == nil && a.Batch != nil {
		size = len(a.Batch.Frame())
	}
	large := err != nil && cdc.CodeOf(err) == tooLarge || size > maxAnswer
	switch {
	case large && to-from > 1:
		middle := from + (to-from)/2
		return errors.Join(ls.askSome(ctx, q, after, from, middle, room), ls.askSome(ctx, q, after, middle, to, room))
	case large:
		err = cdc.Errorf("CDCD-2242", "one key of %s has more to look up than can be held", q.query.Table).
			WithFix("name the 'columns' that are wanted, or a smaller 'limit'")
	case size > *room:
		err = cdc.Errorf("CDCD-2242", "the changes of one frame have more to look up than can be held: %d MiB", maxFound>>20).
			WithFix("name the 'columns' that are wanted, or a smaller 'limit'")
	case late:
		err = lateError{err}
		q.late = append(q.late, lateKeys{from: from, to: to})
	case err == nil:
		err = q.take(a, from, to)
	}
	*room -= size
	for i := from; i < to && err != nil; i++ {
		q.errs[i], q.found[i] = err, rules.Rows{}
	}
	return nil
}

// take takes the rows of an answer.
func (q *question) take(a *cdc.Answer, from, to int) error {
	if len(a.Rows) != to-from || a.Ats != nil && len(a.Ats) != to-from || a.Late != nil && len(a.Late) != to-from {
		return fmt.Errorf("%d keys were looked up in %s, and the answer is about %d", to-from, q.query.Table, len(a.Rows))
	}
	for i, events := range a.Rows {
		events = events[:min(len(events), q.query.Limit)]
		rows := make([]cdc.Row, len(events))
		for k, n := range events {
			if a.Batch == nil || n < 0 || n >= a.Batch.Len() {
				return fmt.Errorf("the answer of %s names a row that it does not have", q.query.Table)
			}
			rows[k] = a.Batch.Event(n).After()
		}
		q.found[from+i] = rules.Rows{Rows: rows, At: a.At}
		if a.Ats != nil {
			q.found[from+i].At = a.Ats[i]
		}
		if a.Late != nil && a.Late[i] {
			q.found[from+i], q.errs[from+i] = rules.Rows{}, lateError{errLateThen}
		}
	}
	return nil
}

// errLateThen says that there was no answer when the changes were judged first, and so there is none now.
var errLateThen = errors.New("no answer came in time when this was asked first")

// lateError is of a look-up that was not answered in time.
type lateError struct{ error }

func (e lateError) Unwrap() error { return e.error }

// world returns the first error for which the batch has to be offered again.
func (ls *Lookers) world() error {
	for i := range ls.wanted {
		w := &ls.wanted[i]
		r := w.rule.Rule()
		if w.err != nil || r.Mode == rules.Shadow {
			continue
		}
		for n, q := range w.rule.asks {
			if err := w.errorOf(n); err != nil && !ofChange(err) && !(isLate(err) && r.Lookups[n].OnTimeout != rules.TimeoutWait) {
				if isLate(err) {
					return late(r, n, err)
				}
				return fmt.Errorf("rule %s: look-up %s in %s: %w", r.Name, r.Lookups[n].Name, q.query.Table, err)
			}
		}
	}
	return nil
}

// noteLate tells who records answers of those that came too late and that decisions are made without. What a rule that only watches
// makes of it is nothing that is delivered.
func (ls *Lookers) noteLate(ctx context.Context, b *cdc.Batch) error {
	recorder, ok := ls.source.(interface {
		Late(ctx context.Context, q *cdc.Query) error
	})
	if !ok {
		return nil
	}
	for i := range ls.wanted {
		w := &ls.wanted[i]
		if w.err != nil || w.rule.Rule().Mode == rules.Shadow {
			continue
		}
		for n, q := range w.rule.asks {
			for k := range q.late {
				if l := &q.late[k]; w.keys[n] >= l.from && w.keys[n] < l.to {
					l.counts = true
				}
			}
		}
	}
	for _, q := range ls.questions {
		for _, l := range q.late {
			if !l.counts {
				continue
			}
			query := q.query
			query.Keys, query.After = slices.Clip(q.keys[l.from:l.to]), after(b)
			if err := recorder.Late(ctx, &query); err != nil {
				return fmt.Errorf("record that a look-up in %s was not answered in time: %w", query.Table, err)
			}
		}
	}
	return nil
}

// errorOf returns what went wrong with the key of a look-up.
func (w *wanted) errorOf(n int) error {
	if w.keys[n] < 0 {
		return nil
	}
	return w.rule.asks[n].errs[w.keys[n]]
}

// ofChange reports whether an error is of the key, and would be the same with the next try.
func ofChange(err error) bool { return cdc.CodeOf(err) == "CDCD-2242" }

func isLate(err error) bool { return errors.As(err, new(lateError)) }

// late is the error of a look-up that was not answered in time.
func late(r *rules.Rule, n int, err error) error {
	l := r.Lookups[n]
	return cdc.Errorf("CDCD-2240", "look-up %s of rule %s was not answered by %s within %s: %w", l.Name, r.Name, l.Table, l.Timeout, err).
		WithFix("see why the source is slow or the replica behind; or give it more time (timeout), or say what is to become of the change (on_timeout)")
}

// take takes what was found into a decision.
func (ls *Lookers) take(w *wanted, d *cdc.Decision) {
	r := w.rule.Rule()
	i := slices.IndexFunc(d.Matches, func(m cdc.RuleMatch) bool { return m.Name == r.Name })
	m, kept, err := d.Matches[i], false, w.err
	for n := range w.rule.asks {
		if err != nil {
			break
		}
		if w.rule.rows[n] = (rules.Rows{}); w.keys[n] >= 0 {
			w.rule.rows[n] = w.rule.asks[n].found[w.keys[n]]
		}
		switch failed := w.errorOf(n); {
		case isLate(failed) && r.Lookups[n].OnTimeout == rules.TimeoutNull:
		case isLate(failed):
			err = late(r, n, failed)
		default:
			err = failed
		}
	}
	if err == nil {
		m, kept, err = w.rule.Take(d.Event, m, w.rule.rows)
	}
	clear(w.rule.rows)
	if err != nil {
		failed := cdc.RuleError{Rule: d.Matches[i], OnError: r.OnError, Err: err}
		if r.Mode == rules.Shadow {
			failed.OnError = cdc.Skip
		}
		d.Errors = append(slices.Clip(d.Errors), failed)
	}
	ls.room.settle(d, i, m, kept, w.decision)
}

// forget lets go of the changes and of what was found for them.
func (ls *Lookers) forget() {
	clear(ls.wanted)
	ls.wanted = ls.wanted[:0]
	for _, q := range ls.questions {
		clear(q.known)
		q.keys, q.found, q.errs, q.late = nil, nil, nil, nil
	}
}

// matchRoom is where decisions get matches of their own: the slices of a decision are shared with others until they are changed.
type matchRoom struct {
	owned []bool          // by decision: its matches are not shared any more
	room  []cdc.RuleMatch // for copies of matches; what is used up is never used again
}

// reset forgets which decisions have matches of their own.
func (r *matchRoom) reset(decisions int) {
	r.owned = append(r.owned[:0], make([]bool, decisions)...)
}

// settle replaces the i-th match of a decision, or removes it if it is not kept. number is that of the decision.
func (r *matchRoom) settle(d *cdc.Decision, i int, m cdc.RuleMatch, kept bool, number int) {
	switch last := len(d.Matches) - 1; {
	case !kept && last == 0:
		d.Matches = nil
		return
	case !kept && i == 0:
		d.Matches = d.Matches[1:]
		return
	case !kept && i == last:
		d.Matches = d.Matches[:last:last]
		return
	}
	if !r.owned[number] {
		d.Matches, r.owned[number] = r.copyOf(d.Matches), true
	}
	if kept {
		d.Matches[i] = m
	} else {
		d.Matches = slices.Delete(d.Matches, i, i+1)
	}
}

// copyOf returns a copy that nobody else has. It may be kept for ever: the room for it is made for some copies at once.
func (r *matchRoom) copyOf(ms []cdc.RuleMatch) []cdc.RuleMatch {
	const some = 64
	if cap(r.room)-len(r.room) < len(ms) {
		r.room = make([]cdc.RuleMatch, 0, max(some, len(ms)))
	}
	from := len(r.room)
	r.room = append(r.room, ms...)
	return r.room[from:len(r.room):len(r.room)]
}
