package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// answerOf makes an answer with one row of text for each key that has one.
func answerOf(t *testing.T, at string, texts ...string) *cdc.Answer {
	t.Helper()
	a := &cdc.Answer{Rows: make([][]int, len(texts)), At: at}
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	table := b.AddTable(&cdc.Table{Schema: "shop", Name: "customers", Columns: []cdc.Column{{Name: "name", Type: "text", Kind: cdc.KindString}}})
	tx := b.AddTx(cdc.Tx{})
	for i, text := range texts {
		if text == "" {
			continue
		}
		b.BeginRow(1)
		b.SetText(0, cdc.KindString, text)
		a.Rows[i] = []int{b.Len()}
		b.AddEvent(cdc.EventInfo{Tx: tx, Table: table, Op: cdc.OpSnapshot, After: b.EndRow()})
	}
	if b.Len() > 0 {
		var err error
		if a.Batch, err = cdc.Open(b.Seal(cdc.Checkpoint{}), nil); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func saidBy(a *cdc.Answer) string {
	var texts []string
	for _, rows := range a.Rows {
		text := "-"
		for _, row := range rows {
			text = a.Batch.Event(row).After().Value(0).Text()
		}
		texts = append(texts, text)
	}
	return a.At + ": " + strings.Join(texts, " ")
}

func question(keys ...int64) *cdc.Query {
	q := &cdc.Query{Table: "shop.customers", By: []string{"id"}, Limit: 1, After: cdc.Position{GTID: "0-1-7"}}
	for _, k := range keys {
		q.Keys = append(q.Keys, []cdc.Value{cdc.Int64Value(k)})
	}
	return q
}

func openLookups(t *testing.T, url string) *Lookups {
	t.Helper()
	s, err := Open(t.Context(), Config{Source: "shop", URL: url, AllowUnsynced: true, LookupBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	l, err := s.Lookups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheFirstAnswerHolds(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	if _, err := l.Answer(t.Context(), "acme", 5, question(1, 2)); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("before anything is kept: %v", err)
	}
	for _, said := range []string{"first", "second"} {
		a, err := l.Keep(t.Context(), "acme", 5, question(1, 2), answerOf(t, "0-1-9", said, ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := saidBy(a), "0-1-9: first -"; got != want {
			t.Errorf("kept %s: %s holds, want %s", said, got, want)
		}
	}
	for _, feed := range []string{"acme", "*"} {
		a, err := l.Answer(t.Context(), feed, 5, question(1, 2))
		if err != nil || saidBy(a) != "0-1-9: first -" {
			t.Errorf("feed %s: %v, %v", feed, a, err)
		}
	}
	other := question(1, 2)
	other.After.GTID = "0-1-8"
	for what, ask := range map[string]func() (*cdc.Answer, error){
		"another feed":   func() (*cdc.Answer, error) { return l.Answer(t.Context(), "globex", 5, question(1, 2)) },
		"another frame":  func() (*cdc.Answer, error) { return l.Answer(t.Context(), "acme", 6, question(1, 2)) },
		"other keys":     func() (*cdc.Answer, error) { return l.Answer(t.Context(), "acme", 5, question(2, 1)) },
		"another change": func() (*cdc.Answer, error) { return l.Answer(t.Context(), "acme", 5, other) },
	} {
		if _, err := ask(); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if last, err := l.Last(t.Context(), "acme"); last != 5 || err != nil {
		t.Errorf("the newest frame is %d, %v", last, err)
	}
}

// An answer that is larger than a message goes into several.
func TestALargeAnswerIsKeptInParts(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	l.part = 100
	var names []string
	var keys []int64
	for i := range 50 {
		names, keys = append(names, fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)}))), append(keys, int64(i))
	}
	want := answerOf(t, "x", names...)
	if _, err := l.Keep(t.Context(), "acme", 1, question(keys...), want); err != nil {
		t.Fatal(err)
	}
	if info, err := l.stream.Info(t.Context()); err != nil || info.State.Msgs < 10 {
		t.Errorf("%+v, %v", info, err)
	}
	got, err := l.Answer(t.Context(), "acme", 1, question(keys...))
	if err != nil {
		t.Fatal(err)
	}
	if saidBy(got) != saidBy(want) {
		t.Error("it is another one")
	}
}

func TestTrimForgetsAnswersOfFramesThatAreGone(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	for frame := uint64(1); frame <= 5; frame++ {
		if _, err := l.Keep(t.Context(), "acme", frame, question(1), answerOf(t, "x", "ada")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Trim(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for frame := uint64(1); frame <= 5; frame++ {
		_, err := l.Answer(t.Context(), "acme", frame, question(1))
		if gone := errors.Is(err, ErrNoAnswer); gone != (frame < 4) || err != nil && !gone {
			t.Errorf("frame %d: %v", frame, err)
		}
	}
}

// A batch that is offered again, by this process or another, gets the answers of the first time.
func TestAskedAsksTheSourceOnceForAFrame(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	asked := 0
	source := func(context.Context, *cdc.Query) (*cdc.Answer, error) {
		asked++
		return answerOf(t, fmt.Sprint("reading ", asked), "ada"), nil
	}
	feed := func() *Asked { return &Asked{Feed: "acme", Source: source} }
	first, second := feed(), feed()
	for i, step := range []struct {
		by    *Asked
		frame uint64
		key   int64
		want  string
	}{
		{first, 1, 1, "reading 1: ada"}, {first, 1, 2, "reading 2: ada"}, {first, 1, 1, "reading 1: ada"}, {first, 2, 1, "reading 3: ada"},
		{second, 1, 1, "reading 1: ada"}, {second, 1, 2, "reading 2: ada"}, {second, 2, 1, "reading 3: ada"}, {second, 3, 1, "reading 4: ada"},
		{first, 3, 1, "reading 4: ada"}, // which has asked, and found that the other was faster
		{first, 0, 1, "reading 6: ada"}, // in no stream
	} {
		step.by.Begin(step.frame)
		a, err := step.by.LookUp(t.Context(), l, question(step.key))
		if err != nil {
			t.Fatal(err)
		}
		if got := saidBy(a); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	failing := feed()
	failing.Source = func(context.Context, *cdc.Query) (*cdc.Answer, error) { return nil, context.DeadlineExceeded }
	failing.Begin(9)
	if _, err := failing.LookUp(t.Context(), l, question(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want what the source says", err)
	}
}

func TestABrokenAnswerIsNotUsed(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	q := question(1)
	if _, err := l.Keep(t.Context(), "acme", 1, q, answerOf(t, "x", "ada")); err != nil {
		t.Fatal(err)
	}
	msg, err := l.get(t.Context(), l.subject("acme", "1", questionDigest(q), "0"))
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte(nil), msg.Data...)
	body[len(body)-1] ^= 1
	bad := *msg
	bad.Data = body
	if _, err := l.open(t.Context(), &bad, 1); cdc.CodeOf(err) != codeLookupsBroken {
		t.Errorf("a flipped bit: %v", err)
	}
	if _, err := l.open(t.Context(), msg, 2); cdc.CodeOf(err) != codeLookupsBroken {
		t.Errorf("another number of keys: %v", err)
	}
	if a, err := l.open(t.Context(), msg, 1); err != nil || saidBy(a) != "x: ada" {
		t.Errorf("as it is: %v, %v", a, err)
	}
}
