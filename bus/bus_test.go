package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "writer", Kind: cdc.KindString}}}

// frames makes the frames that a capture would: change number n is in the stream once, whoever captures it.
type frames struct {
	writer string
	next   uint64 // PartNo of the next change
	epoch  uint64
}

func (f *frames) frame(t testing.TB, rows, pad int) *cdc.Batch {
	t.Helper()
	b, err := f.make(rows, pad)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// make makes a frame of that many rows, each pad bytes longer than it needs to be; a heartbeat if there are none.
func (f *frames) make(rows, pad int) (*cdc.Batch, error) {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Writer: f.writer, Epoch: f.epoch, FirstPartNo: f.next, Heartbeat: rows == 0})
	tx := w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", f.next), CommitTime: time.Unix(1, 0), Ends: true})
	table := w.AddTable(orders)
	for range rows {
		w.BeginRow(2)
		w.SetInt(0, int64(f.next))
		noise := make([]byte, pad) // text that cannot be compressed much, so that frames fill a stream as their size says
		for i := range noise {
			noise[i] = ' ' + byte(rand.IntN(95))
		}
		w.SetText(1, cdc.KindString, f.writer+string(noise))
		w.AddEvent(cdc.EventInfo{No: f.next, Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
		f.next++
	}
	return cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", NextNo: f.next, PartNos: []uint64{f.next}}), nil)
}

func open(t testing.TB, cfg Config) *Stream {
	t.Helper()
	if cfg.Source == "" {
		cfg.Source = "shop"
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// begin resumes where the stream ends, as a capture does.
func begin(t testing.TB, s *Stream) (*Publisher, *frames) {
	t.Helper()
	c, _, last, err := s.Last(t.Context())
	if err != nil {
		t.Fatalf("last: %v", err)
	}
	p, err := s.Publisher(t.Context(), last)
	if err != nil {
		t.Fatalf("publisher: %v", err)
	}
	f := &frames{writer: s.cfg.Writer, next: 1}
	if len(c.PartNos) > 0 {
		f.next = c.PartNos[0]
	}
	return p, f
}

func publish(t testing.TB, p *Publisher, batches ...*cdc.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, b := range batches {
		if err := p.Handle(ctx, b); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
}

func flush(t testing.TB, p *Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// changes consumes until change number upTo and returns all changes' ids in the order of their arrival.
func changes(t testing.TB, s *Stream, from, upTo uint64) []int64 {
	t.Helper()
	var ids []int64
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("too slow"))
	defer cancel()
	err := s.Consume(ctx, from, func(_ context.Context, b *cdc.Batch) error {
		for i := range b.Len() {
			ids = append(ids, idOf(b.Event(i)))
		}
		if b.Len() > 0 && b.Event(b.Len()-1).PartNo() >= upTo {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("consume: got %d changes, then %v", len(ids), err)
	}
	return ids
}

func idOf(e cdc.Event) int64 {
	v, _ := e.After().Get("id")
	return v.Int64()
}

func count(from, to int64) []int64 {
	var out []int64
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

func code(err error) string {
	var e *cdc.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprintf("no code: %v", err)
}
