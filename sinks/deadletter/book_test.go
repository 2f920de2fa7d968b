package deadletter_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// memory keeps what is put into it.
type memory struct {
	mu   sync.Mutex
	have map[string][]byte
}

func (m *memory) Put(_ context.Context, key string, body []byte, _ map[string]string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.have[key]; ok {
		return false, nil
	}
	if m.have == nil {
		m.have = map[string][]byte{}
	}
	m.have[key] = slices.Clone(body)
	return true, nil
}

func (m *memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.have[key]
	return body, ok, nil
}

func (m *memory) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	m.mu.Lock()
	keys := slices.Sorted(maps.Keys(m.have))
	m.mu.Unlock()
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) && key > after && !yield(key, 0) {
			break
		}
	}
	return nil
}

func (m *memory) String() string { return "memory" }

// newBook has the four letters of newBatch.
func newBook(t *testing.T) (*deadletter.Book, *memory, []*deadletter.Letter) {
	m, b, render := &memory{}, newBatch(t), deadletter.Append("acme")
	var lines []byte
	for i := range b.Len() {
		d := decision(b.Event(i))
		lines = append(render(lines, &d), '\n')
	}
	m.Put(t.Context(), "p=00/dt=2026-11-21/00000000000000000100.jsonl", lines, nil)
	book := deadletter.NewBook("acme", m)
	var letters []*deadletter.Letter
	if err := book.Letters(t.Context(), func(l *deadletter.Letter) error { letters = append(letters, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return book, m, letters
}

func TestLettersHaveNamesAndCauses(t *testing.T) {
	_, _, letters := newBook(t)
	var got []string
	for _, l := range letters {
		c := l.Cause()
		got = append(got, l.ID(), c.ID(), c.Rule, c.Table, c.Code, strings.Join(l.Failed(), " "))
	}
	want := []string{
		"acme/100", letters[2].Cause().ID(), "paid", "shop.every\"thing", "", "paid",
		"acme/101", letters[3].Cause().ID(), "paid", "shop.small", "", "paid",
		"acme/102", letters[0].Cause().ID(), "paid", "shop.every\"thing", "", "paid",
		"acme/103", letters[1].Cause().ID(), "paid", "shop.small", "", "paid",
	}
	if !reflect.DeepEqual(got, want) || letters[0].Cause().ID() == letters[1].Cause().ID() {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAnotherNumberIsAllThatARenumberedLetterHas(t *testing.T) {
	_, _, letters := newBook(t)
	for _, l := range letters {
		b, err := l.Renumber(7, 1<<32)
		if err != nil {
			t.Fatal(err)
		}
		got, want := read(b.Event(0)), read(l.Batch.Event(0))
		if got.PartNo != 7 || got.Header.Epoch != 1<<32 {
			t.Errorf("got number %d of epoch %x", got.PartNo, got.Header.Epoch)
		}
		got.Text, want.Text = "", "" // it has the number
		got.PartNo, got.Header.Epoch = want.PartNo, want.Header.Epoch
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestAnEditChangesWhatItNames(t *testing.T) {
	_, _, letters := newBook(t)
	b, err := letters[0].Edited(func(after bool, column int) (cdc.Value, bool) { return cdc.Int64Value(5), after && column == 1 })
	if err != nil {
		t.Fatal(err)
	}
	got, want := read(b.Event(0)), read(letters[0].Batch.Event(0))
	want.After[1], want.Incomplete = cdc.Int64Value(5), false
	got.Text, want.Text = "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if b, err := letters[0].Edited(func(after bool, column int) (cdc.Value, bool) { return cdc.Int64Value(5), column == 2 }); err != nil || !b.Event(0).Incomplete() {
		t.Errorf("not all values are there: %v", err)
	}
	if _, err := letters[0].Edited(func(bool, int) (cdc.Value, bool) { return cdc.Int64Value(5), true }); err == nil {
		t.Error("a number in a column of text was taken")
	}
}

func TestEditsAreKeptBesideOneAnother(t *testing.T) {
	book, _, _ := newBook(t)
	for _, set := range []string{`{"after":{"s":"a"}}`, `{"after":{"s":"b"}}`} {
		if _, err := book.AddEdit(t.Context(), 100, deadletter.Edit{Letter: "acme/100", By: "me", Set: []byte(set)}); err != nil {
			t.Fatal(err)
		}
	}
	edits, err := book.Edits(t.Context(), 100)
	if err != nil || len(edits) != 2 || edits[1].No != 2 || string(edits[1].Set) != `{"after":{"s":"b"}}` {
		t.Errorf("got %+v, %v", edits, err)
	}
	if n, err := book.Corrected(t.Context()); err != nil || !reflect.DeepEqual(n, map[uint64]int{100: 2}) {
		t.Errorf("got %v, %v", n, err)
	}
}

func TestRecordsOfJobsHaveTheirNumbersForGood(t *testing.T) {
	book, m, _ := newBook(t)
	settled := func(outcome string, nos ...uint64) (all []deadletter.Settled) {
		for _, no := range nos {
			all = append(all, deadletter.Settled{No: no, Outcome: outcome})
		}
		return all
	}
	var jobs []deadletter.Job
	for _, j := range []deadletter.Job{
		{Do: deadletter.Redrive, Settled: append(settled(deadletter.Redriven, 100, 102), settled(deadletter.NoMatch, 101)...)},
		{Do: deadletter.Discard, Settled: settled(deadletter.Discarded, 99)},
		{Do: deadletter.Redrive, Settled: settled(deadletter.Redriven, 103)},
	} {
		j, err := book.AddJob(t.Context(), jobs, j)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	var got [][3]uint64
	for _, j := range jobs {
		got = append(got, [3]uint64{j.No, j.First, uint64(j.Records)})
	}
	if want := [][3]uint64{{1, 1, 2}, {2, 0, 0}, {3, 3, 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if read, err := book.Jobs(t.Context()); err != nil || !reflect.DeepEqual(read, jobs) {
		t.Errorf("got  %+v, %v\nwant %+v", read, err, jobs)
	}
	if _, err := book.AddJob(t.Context(), jobs[:2], deadletter.Job{Do: deadletter.Discard}); !errors.Is(err, deadletter.ErrTaken) {
		t.Errorf("who did not know of the third job: got %v", err)
	}
	delete(m.have, "jobs/00000002.json")
	if _, err := book.Jobs(t.Context()); cdc.CodeOf(err) != "CDCD-4603" {
		t.Errorf("a job is missing: got %v", err)
	}
}
