package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1}, {Name: "status", Kind: cdc.KindString, Type: "varchar(20)"}}}

// frame makes a frame of inserted orders.
func frame(first uint64, n int, text string) *cdc.Batch {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Epoch: 1, Partitions: 1, FirstPartNo: first})
	tx := w.AddTx(cdc.Tx{GTID: "0-1-1", File: "binlog.000001", Pos: 4, CommitTime: time.Unix(1_700_000_000, 0).UTC()})
	table := w.AddTable(orders)
	for i := range n {
		w.BeginRow(2)
		w.SetInt(0, int64(first)+int64(i))
		w.SetText(1, cdc.KindString, text)
		w.AddEvent(cdc.EventInfo{No: first + uint64(i), Tx: tx, Row: uint32(i), Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), &shared)
	if err != nil {
		panic(err)
	}
	b.Seq = first
	return b
}

var shared cdc.Tables

// fed is a Live whose frames a test sends.
type fed struct {
	frames chan *cdc.Batch
	after  chan uint64
}

func (f *fed) Follow(ctx context.Context, after uint64, each func(*cdc.Batch)) error {
	f.after <- after
	for {
		select {
		case b := <-f.frames:
			each(b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fed) Judged(_ context.Context, e cdc.Event) (api.Event, error) {
	return api.Event{No: e.No(), Line: string(cdc.AppendEvent(nil, e)), Matched: []string{}, Failed: []string{}}, nil
}

func (f *fed) Shapes() []*cdc.Table { return []*cdc.Table{orders} }

// listen opens a stream, and returns what hands out its messages.
func listen(t *testing.T, c *Console, query string, header http.Header) (resp *http.Response, next func(event string) (id, data string)) {
	t.Helper()
	server := httptest.NewServer(c)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); server.Close() })
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/stream?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err = http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	return resp, func(event string) (id, data string) {
		t.Helper()
		name := ""
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "event":
				name = value
			case "id":
				id = value
			case "data":
				data = value
			case "":
				if name == event {
					return id, data
				}
				name, id, data = "", "", ""
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return "", ""
	}
}

// gather adds up messages until as many changes were seen.
func gather(t *testing.T, next func(string) (string, string), seen uint64) (all api.LiveEvents, id string) {
	t.Helper()
	for all.Seen < seen {
		var data string
		id, data = next("live")
		var m api.LiveEvents
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		all.Events = append(all.Events, m.Events...)
		all.Seen, all.Matched, all.Failed, all.Dropped = all.Seen+m.Seen, all.Matched+m.Matched, all.Failed+m.Failed, all.Dropped+m.Dropped
	}
	return all, id
}

func TestTheStreamCountsWhatItDoesNotShow(t *testing.T) {
	f := &fed{frames: make(chan *cdc.Batch), after: make(chan uint64, 1)}
	c := New(Config{Backend: Backend{Health: &fixed{}, Live: f}})
	_, next := listen(t, c, "topics=live", nil)
	next("ping")
	f.frames <- frame(1, 5, "new")
	f.frames <- frame(6, 4995, "paid")
	all, id := gather(t, next, 5000)
	if all.Seen != 5000 || all.Matched != 5000 || uint64(len(all.Events))+all.Dropped != 5000 || all.Events[0].No != 1 || len(all.Events) < flushMost || id != "5000" {
		t.Errorf("seen %d, matched %d, shown %d, dropped %d, id %s", all.Seen, all.Matched, len(all.Events), all.Dropped, id)
	}
	// Frames that nobody could look at are counted by their numbers.
	f.frames <- frame(8001, 1, "new")
	all, id = gather(t, next, 3001)
	if all.Seen != 3001 || all.Matched != 3001 || all.Dropped != 3000 || len(all.Events) != 1 || id != "8001" {
		t.Errorf("after a gap: %+v, id %s", all, id)
	}
}

func TestTheStreamGoesOnWhereItWas(t *testing.T) {
	f := &fed{frames: make(chan *cdc.Batch), after: make(chan uint64, 1)}
	c := New(Config{Backend: Backend{Health: &fixed{}, Live: f}})
	_, next := listen(t, c, "topics=live", http.Header{"Last-Event-Id": {"102"}})
	if after := <-f.after; after != 102 {
		t.Errorf("asked for what is after %d", after)
	}
	f.frames <- frame(100, 6, "new") // 100 to 102 were seen
	all, id := gather(t, next, 3)
	if all.Seen != 3 || all.Dropped != 0 || len(all.Events) != 3 || all.Events[0].No != 103 || id != "105" {
		t.Errorf("got %+v, id %s", all, id)
	}
}

func TestTheStreamGoesOnWhereNumbersBeganAnew(t *testing.T) {
	f := &fed{frames: make(chan *cdc.Batch), after: make(chan uint64, 1)}
	c := New(Config{Backend: Backend{Health: &fixed{}, Live: f}})
	_, next := listen(t, c, "topics=live", http.Header{"Last-Event-Id": {"90000"}})
	f.frames <- frame(1, 6, "new")
	f.frames <- frame(7, 1, "new")
	if all, id := gather(t, next, 7); all.Seen != 7 || all.Dropped != 0 || id != "7" {
		t.Errorf("got %+v, id %s", all, id)
	}
}

func TestAConditionIsTriedOnTheTablesThatItNames(t *testing.T) {
	var tables []*cdc.Table
	for i := range 200 {
		tables = append(tables, &cdc.Table{Schema: "shop", Name: fmt.Sprint("t", i), Columns: []cdc.Column{{Name: fmt.Sprint("col", i), Kind: cdc.KindInt64, Type: "bigint"}}})
	}
	if _, err := newFilter("after.col150 > 1", &EventQuery{}, tables); err != nil {
		t.Error(err)
	}
	if _, err := newFilter("after.cl150 > 1", &EventQuery{}, tables); err == nil {
		t.Error("a column that no table has")
	}
}

func TestStreamsShareWhatTheyMayTake(t *testing.T) {
	s := &streams{of: map[string]int{}, wake: map[chan struct{}]bool{}}
	for i := range maxStreams {
		if _, err := s.enter(fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
		if all := s.budget() * time.Duration(i+1); all > budgetOfAll || s.budget() > budget || s.budget() <= 0 {
			t.Errorf("%d streams may look for %v in all", i+1, all)
		}
	}
}

func TestAStreamEndsWhenWhoReadsItMayNoMore(t *testing.T) {
	ho := newHouse(Header{})
	r := httptest.NewRequest(http.MethodGet, "/api/v1/status", nil)
	r.Header.Set("Authorization", "Bearer "+ho.tokens["viewer"])
	ho.gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if !StillIn(r.Context()) {
			t.Error("he was let in, and would not be")
		}
		ho.grants[0].Hash = HashToken("another")
		if StillIn(r.Context()) {
			t.Error("his token holds no more, and he would be let in")
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}

func TestTheStreamFiltersByConditionTableAndOperation(t *testing.T) {
	for _, tt := range []struct {
		query   string
		matched uint64
	}{
		{"when=" + url.QueryEscape("after.status == 'paid'"), 2},
		{"when=" + url.QueryEscape("after.id > 2 && op == 'insert'"), 3},
		{"when=" + url.QueryEscape("before.id > 2"), 0}, // inserts have none: it fits updates and deletes
		{"tables=shop.o*", 5},
		{"tables=shop.customers", 0},
		{"ops=update,delete", 0},
		{"ops=insert&tables=shop.orders&when=" + url.QueryEscape("after.status.startsWith('pa')"), 2},
	} {
		t.Run(tt.query, func(t *testing.T) {
			f := &fed{frames: make(chan *cdc.Batch), after: make(chan uint64, 1)}
			c := New(Config{Backend: Backend{Health: &fixed{}, Live: f}})
			resp, next := listen(t, c, "topics=live&"+tt.query, nil)
			if resp.StatusCode != 200 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			f.frames <- frame(1, 3, "new")
			f.frames <- frame(4, 2, "paid")
			all, _ := gather(t, next, 5)
			if all.Matched != tt.matched || uint64(len(all.Events)) != tt.matched || all.Dropped != 0 {
				t.Errorf("got %+v", all)
			}
		})
	}
}

func TestTheStreamSaysWhatIsWrongWithWhatIsAskedFor(t *testing.T) {
	f := &fed{frames: make(chan *cdc.Batch), after: make(chan uint64, 1)}
	c := New(Config{Backend: Backend{Health: &fixed{}, Live: f}})
	for _, tt := range []struct {
		query, header string
		status        int
		want          string
	}{
		{"topics=everything", "", 400, "the stream has no topic 'everything'"},
		{"topic=live", "", 400, "the stream takes no parameter 'topic'"},
		{"topics=live&tables=orders", "", 400, "'orders' is not schema.table"},
		{"topics=live&tables=" + strings.Repeat("a.b,", mostPatterns+1), "", 400, "patterns of tables at most"},
		{"topics=live&ops=upsert", "", 400, "there is no operation 'upsert'"},
		{"topics=live", "x", 400, "is not the number of a change"},
		{"topics=live&when=" + url.QueryEscape("after.status = 'paid'"), "", 422, "CDCD-21"},
		{"topics=live&when=" + url.QueryEscape("after.amont > 1"), "", 422, "amont"},
		{"topics=live&when=" + url.QueryEscape("after.status > 1"), "", 422, "CDCD-21"},
		{"topics=live&when=" + url.QueryEscape("true\n    to: [acme]"), "", 422, "CDCD-21"},
		{"topics=live&when=" + strings.Repeat("a", mostFilter+1), "", 400, "a filter may have"},
	} {
		t.Run(tt.query[:min(len(tt.query), 60)], func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/stream?"+tt.query, nil)
			if tt.header != "" {
				r.Header.Set("Last-Event-ID", tt.header)
			}
			c.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || !strings.HasPrefix(w.Body.String(), `{"kind":"stream","ok":false`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestFewMayFollow(t *testing.T) {
	c := New(Config{})
	var leave []func()
	for range maxStreamsOf {
		out, err := c.streams.enter("10.0.0.1", make(chan struct{}, 1))
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	if _, err := c.streams.enter("10.0.0.1", nil); cdc.CodeOf(err) != codeBusy {
		t.Errorf("one more of an address: %v", err)
	}
	for i := range maxStreams - maxStreamsOf {
		if _, err := c.streams.enter(fmt.Sprint("10.0.1.", i), make(chan struct{}, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.streams.enter("10.0.2.1", nil); cdc.CodeOf(err) != codeBusy {
		t.Errorf("one more of all: %v", err)
	}
	leave[0]()
	if _, err := c.streams.enter("10.0.0.1", make(chan struct{}, 1)); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	q := &pending{}
	big := strings.Repeat("x", 1<<20)
	for i := range uint64(100) {
		q.put(frame(i+1, 1, big))
	}
	if q.bytes > pendingBytes || len(q.batches) == 0 || len(q.batches) > 10 {
		t.Errorf("%d bytes in %d frames", q.bytes, len(q.batches))
	}
}

func TestJobsAreToldWhenTheyChange(t *testing.T) {
	c := New(Config{Backend: Backend{Health: &fixed{}}})
	c.Job(api.Job{ID: "b1", Kind: "backtest", State: "running", Done: 1})
	_, next := listen(t, c, "topics=jobs", nil)
	for i, want := range []string{`"id":"b1","kind":"backtest","title":"","state":"running","done":1`, `"state":"running","done":2`, `"state":"done","done":9`} {
		if _, data := next("job"); !strings.Contains(data, want) {
			t.Errorf("got %s, want %s", data, want)
		}
		c.Job(api.Job{ID: "b1", Kind: "backtest", State: []string{"running", "done", "done"}[i], Done: []uint64{2, 9, 9}[i]})
	}
}
