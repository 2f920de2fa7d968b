package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file finds what was looked up for a frame when it is judged by other rules than then: they ask for some of the keys, for the
// keys of two questions in one, for fewer columns or rows.

// asked is the question that an answer is kept with, without the values of its keys.
type asked struct {
	Table   string      `json:"table"`
	By      []string    `json:"by"`
	Columns []string    `json:"columns,omitempty"` // none: all
	Order   []cdc.Order `json:"order,omitempty"`
	Limit   int         `json:"limit"`
	Keys    []string    `json:"keys"` // digests
}

func askedOf(q *cdc.Query) *asked {
	a := &asked{Table: q.Table, By: q.By, Columns: q.Columns, Order: q.Order, Limit: q.Limit, Keys: make([]string, len(q.Keys))}
	for i, key := range q.Keys {
		h := sha256.New()
		for _, v := range key {
			for _, part := range keyText(v) {
				fmt.Fprintf(h, "%d:%s", len(part), part)
			}
		}
		a.Keys[i] = hex.EncodeToString(h.Sum(nil)[:16])
	}
	return a
}

// has reports whether what a question wants of a row is in answers to the other one.
func (a *asked) has(q *asked) bool {
	if a.Table != q.Table || !slices.Equal(a.By, q.By) || !slices.Equal(a.Order, q.Order) {
		return false
	}
	if len(q.Columns) == 0 || len(a.Columns) == 0 {
		return len(a.Columns) == 0
	}
	return !slices.ContainsFunc(q.Columns, func(c string) bool { return !slices.Contains(a.Columns, c) })
}

// recordedKey is what is kept for one key of a question.
type recordedKey struct {
	from *cdc.Answer // nil: nothing
	same bool        // the answer has the columns that are asked for, and no others
	at   string
	rows []int
	late bool
}

// Recorded returns what is kept for a question about a frame: the answer to it or, key by key, what answers to other questions say.
// It is [ErrNoAnswer] when of one key it is not known. Feed "*" takes what any feed was told. An answer that would be too large for
// one frame is CDCD-1349: half of the keys may be asked for.
func (l *Lookups) Recorded(ctx context.Context, feed string, frame uint64, q *cdc.Query) (*cdc.Answer, error) {
	if a, err := l.Answer(ctx, feed, frame, q); !errors.Is(err, ErrNoAnswer) || len(q.Keys) == 0 {
		return a, err
	}
	wanted := askedOf(q)
	keys := make([]recordedKey, len(q.Keys))
	missing := len(keys)
	for seq := uint64(1); missing > 0; {
		msg, err := l.next(ctx, seq, l.subject(feed, strconv.FormatUint(frame, 10), "*", "0"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read what was looked up for frame %d: %w", frame, err)
		}
		seq = msg.Sequence + 1
		a, to, err := l.open(ctx, msg)
		if errors.Is(err, ErrNoAnswer) { // a part of it has gone
			continue
		}
		if err != nil {
			return nil, err
		}
		if to == nil || !to.has(wanted) {
			continue
		}
		of := map[string]int{}
		for n, key := range to.Keys {
			of[key] = n
		}
		for i, key := range wanted.Keys {
			n, ok := of[key]
			if !ok || keys[i].from != nil && !keys[i].late || q.Limit > to.Limit && len(a.Rows[n]) >= to.Limit {
				continue
			}
			late := a.Late != nil && a.Late[n]
			if late && keys[i].from != nil {
				continue
			}
			if !late {
				missing--
			}
			rows := a.Rows[n][:min(len(a.Rows[n]), q.Limit)]
			keys[i] = recordedKey{a, slices.Equal(to.Columns, q.Columns), a.At, rows, late}
		}
	}
	if slices.ContainsFunc(keys, func(k recordedKey) bool { return k.from == nil }) {
		return nil, ErrNoAnswer
	}
	return l.assemble(q, keys)
}

// next returns the first message at or behind a sequence that has a subject.
func (l *Lookups) next(ctx context.Context, seq uint64, subject string) (msg *jetstream.RawStreamMsg, err error) {
	err = l.s.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = l.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		return err
	})
	return msg, err
}

// assemble makes one answer of what is kept for each key.
func (l *Lookups) assemble(q *cdc.Query, keys []recordedKey) (*cdc.Answer, error) {
	out := &cdc.Answer{Rows: make([][]int, len(keys)), Ats: make([]string, len(keys)), Late: make([]bool, len(keys))}
	for i, k := range keys {
		out.Rows[i], out.Ats[i], out.Late[i] = k.rows, k.at, k.late
	}
	first := keys[0]
	if !slices.ContainsFunc(keys, func(k recordedKey) bool { return k.from != first.from || !k.same }) {
		out.Batch, out.At = first.from.Batch, first.at
		return out, nil
	}
	var w cdc.Builder
	w.Reset(cdc.Header{FirstPartNo: 1})
	tx := w.AddTx(cdc.Tx{Ends: true})
	shapes := map[*cdc.Table]*shape{}
	for i, k := range keys {
		out.Rows[i] = make([]int, len(k.rows))
		for n, row := range k.rows {
			r := k.from.Batch.Event(row).After()
			sh := shapes[r.Table()]
			if sh == nil {
				if sh = shapeOf(r.Table(), q.Columns); sh == nil {
					return nil, ErrNoAnswer // the table did not have the column then
				}
				shapes[r.Table()] = sh
			}
			if w.Size() > maxAnswer/2 {
				return nil, cdc.Errorf("CDCD-1349", "what is kept of %s for one frame is more than an answer holds", q.Table)
			}
			out.Rows[i][n] = w.Len()
			w.AddEvent(cdc.EventInfo{No: uint64(w.Len() + 1), Row: uint32(w.Len()), Tx: tx, Table: w.AddTable(sh.table),
				Op: cdc.OpSnapshot, After: w.CopyColumns(r, sh.columns)})
		}
	}
	if w.Len() == 0 {
		return out, nil
	}
	w.UpdateTx(tx, func(tx *cdc.Tx) { tx.Rows = uint32(w.Len()) })
	var err error
	out.Batch, err = cdc.Open(w.Seal(cdc.Checkpoint{PartNos: []uint64{uint64(w.Len() + 1)}}), &l.known)
	return out, err
}

// shape is which columns of a table are wanted.
type shape struct {
	table   *cdc.Table
	columns []int
}

// shapeOf returns the shape of a table with these columns only, nil if it does not have one of them.
func shapeOf(t *cdc.Table, columns []string) *shape {
	own := *t
	sh := &shape{table: &own}
	if len(columns) == 0 {
		for i := range t.Columns {
			sh.columns = append(sh.columns, i)
		}
		return sh
	}
	own.Columns = nil
	for _, name := range columns {
		i := t.Column(name)
		if i < 0 {
			return nil
		}
		sh.columns, own.Columns = append(sh.columns, i), append(own.Columns, t.Columns[i])
	}
	return sh
}
