package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
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

// That there was no answer in time holds like an answer, for whoever asks next; but one that is there is not denied.
func TestAnAnswerThatCameTooLateIsKept(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	feed := func(said string) *Asked {
		return &Asked{Feed: "acme", Source: func(context.Context, *cdc.Query) (*cdc.Answer, error) { return answerOf(t, said, "ada", "bob"), nil }}
	}
	first, second := feed("first"), feed("second")
	first.Begin(1)
	if err := first.Late(t.Context(), l, question(1, 2)); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Asked{first, second} {
		f.Begin(1)
		a, err := f.LookUp(t.Context(), l, question(1, 2))
		if err != nil || !slices.Equal(a.Late, []bool{true, true}) || a.Batch != nil {
			t.Errorf("after it was late: %+v, %v", a, err)
		}
	}
	if err := second.Late(t.Context(), l, question(1, 2)); err != nil {
		t.Errorf("late twice: %v", err)
	}
	second.Begin(2)
	if _, err := second.LookUp(t.Context(), l, question(1, 2)); err != nil {
		t.Fatal(err)
	}
	first.Begin(2)
	if err := first.Late(t.Context(), l, question(1, 2)); err == nil {
		t.Error("an answer is kept, and another feed's engine may say that there was none")
	}
	first.Begin(0)
	if err := first.Late(t.Context(), l, question(1)); err != nil {
		t.Errorf("in no stream: %v", err)
	}
}

// Other rules than then find the answers for the keys that they ask for, whatever was asked together with them.
func TestWhatIsRecordedIsFoundByItsKeys(t *testing.T) {
	t.Parallel()
	l := openLookups(t, newServer(t).url())
	keep := func(feed string, q *cdc.Query, a *cdc.Answer) {
		t.Helper()
		if _, err := l.Keep(t.Context(), feed, 5, q, a); err != nil {
			t.Fatal(err)
		}
	}
	keep("acme", question(1, 2, 3), answerOf(t, "0-1-7", "ada", "", "cid"))
	keep("acme", question(4), answerOf(t, "0-1-8", "dan"))
	keep("globex", question(6), answerOf(t, "0-1-9", "fay"))
	late := question(7)
	keep("acme", late, &cdc.Answer{Rows: [][]int{nil}, Late: []bool{true}})
	named := question(9)
	named.Columns = []string{"name"}
	keep("acme", named, answerOf(t, "0-1-9", "ida"))
	full := question(10)
	full.Limit = 2
	keep("acme", full, answerOf(t, "0-1-9", "joe"))

	of := func(change func(q *cdc.Query), keys ...int64) *cdc.Query {
		q := question(keys...)
		change(q)
		return q
	}
	same := func(*cdc.Query) {}
	for _, tt := range []struct {
		name, feed string
		q          *cdc.Query
		want       string // as of each key's time; "": nothing is recorded
	}{
		{"the question itself", "acme", of(same, 1, 2, 3), "0-1-7 ada, 0-1-7 -, 0-1-7 cid"},
		{"some of its keys", "acme", of(same, 3, 2), "0-1-7 cid, 0-1-7 -"},
		{"keys of two questions", "acme", of(same, 4, 1), "0-1-8 dan, 0-1-7 ada"},
		{"a key that nobody asked for", "acme", of(same, 1, 5), ""},
		{"another feed's", "acme", of(same, 6), ""},
		{"any feed's", "*", of(same, 6, 1), "0-1-9 fay, 0-1-7 ada"},
		{"a late one", "acme", of(same, 7), " late"},
		{"a late one among others", "acme", of(same, 1, 7), "0-1-7 ada,  late"},
		{"a column of all", "acme", of(func(q *cdc.Query) { q.Columns = []string{"name"} }, 1), "0-1-7 ada"},
		{"a column that was not there", "acme", of(func(q *cdc.Query) { q.Columns = []string{"tier"} }, 1), ""},
		{"all of some columns", "acme", of(same, 9), ""},
		{"more rows than were asked for", "acme", of(func(q *cdc.Query) { q.Limit = 2 }, 1), ""},
		{"more rows than there were", "acme", of(func(q *cdc.Query) { q.Limit = 3 }, 10), "0-1-9 joe"},
		{"fewer rows", "acme", of(same, 10), "0-1-9 joe"},
		{"another order", "acme", of(func(q *cdc.Query) { q.Order = []cdc.Order{{Column: "name"}} }, 1), ""},
		{"another column of the key", "acme", of(func(q *cdc.Query) { q.By = []string{"no"} }, 1), ""},
	} {
		a, err := l.Recorded(t.Context(), tt.feed, 5, tt.q)
		got := ""
		if err == nil {
			var texts []string
			for i, rows := range a.Rows {
				at, text := a.At, "-"
				if a.Ats != nil {
					at = a.Ats[i]
				}
				for _, row := range rows {
					text = a.Batch.Event(row).After().Value(0).Text()
				}
				if a.Late != nil && a.Late[i] {
					text = "late"
				}
				texts = append(texts, at+" "+text)
			}
			got = strings.Join(texts, ", ")
		}
		if got != tt.want || err != nil && !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
	if _, err := l.Recorded(t.Context(), "acme", 6, question(1)); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("another frame: %v", err)
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
	if _, _, err := l.open(t.Context(), &bad); cdc.CodeOf(err) != codeLookupsBroken {
		t.Errorf("a flipped bit: %v", err)
	}
	if a, to, err := l.open(t.Context(), msg); err != nil || saidBy(a) != "x: ada" || len(to.Keys) != 1 {
		t.Errorf("as it is: %v, %v, %v", a, to, err)
	}
}
