package nats_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/sinks/nats"
	"github.com/cdcd-project/cdcd/sinks/sinktest"
)

// serve starts a NATS server with JetStream for the length of the test.
func serve(t *testing.T) (url string) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return srv.ClientURL()
}

func open(t *testing.T, url string) *nats.Store {
	t.Helper()
	s, err := nats.Open(nats.Config{URL: url, Source: "shop", Feed: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Store { return open(t, serve(t)+"/acme") })
}

var object = "" +
	`{"id":"0-1-17/3","feed":"acme","op":"update","table":"shop.orders","key":{"id":42},"commit_time":"2026-11-21T02:00:00.123456Z"}` + "\n" +
	`{"id":"0-1-18/1","feed":"acme","op":"delete","table":"shop.order items.x","key":{"id":43},"commit_time":"2026-11-21T02:00:01Z"}` + "\n" +
	`{"schema":{},"payload":{"op":"c","before":null,"after":{},"source":{"db":"shop","table":"orders","ts_ms":1795226400123,"ts_us":1795226400123456}}}` + "\n" +
	`{"specversion":"1.0","id":"0-1-19/0","type":"io.cdcd.change","source":"/cdcd/shop","subject":"shop.orders","data":{}}` + "\n"

const key = "p=00/dt=2026-11-21/00000000000000000001.jsonl"

func TestRecordsAreMessagesThatServicesSubscribeTo(t *testing.T) {
	url := serve(t)
	s := open(t, url+"/acme.changes")
	if created, err := s.Put(t.Context(), key, []byte(object), map[string]string{"cdcd-records": "4"}); err != nil || !created {
		t.Fatal(created, err)
	}
	var got bytes.Buffer
	for _, m := range messages(t, url, "ACME_CHANGES", "acme.changes.>") {
		fmt.Fprintf(&got, "%s\n", m.Subject())
		for _, h := range []string{"Nats-Msg-Id", "content-type", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time"} {
			fmt.Fprintf(&got, "  %s: %s\n", h, m.Headers()[h])
		}
		fmt.Fprintf(&got, "  %.20s\n", m.Data())
	}
	want := `acme.changes.shop.orders
  Nats-Msg-Id: [acme.changes/p=00/dt=2026-11-21/00000000000000000001.jsonl#1]
  content-type: [application/json]
  ce-specversion: [1.0]
  ce-id: [0-1-17/3]
  ce-source: [cdcd/shop]
  ce-type: [io.cdcd.change.update]
  ce-subject: [shop.orders]
  ce-time: [2026-11-21T02:00:00.123456Z]
  {"id":"0-1-17/3","fe
acme.changes.shop.order%20items%2Ex
  Nats-Msg-Id: [acme.changes/p=00/dt=2026-11-21/00000000000000000001.jsonl#2]
  content-type: [application/json]
  ce-specversion: [1.0]
  ce-id: [0-1-18/1]
  ce-source: [cdcd/shop]
  ce-type: [io.cdcd.change.delete]
  ce-subject: [shop.order%20items.x]
  ce-time: [2026-11-21T02:00:01Z]
  {"id":"0-1-18/1","fe
acme.changes.shop.orders
  Nats-Msg-Id: [acme.changes/p=00/dt=2026-11-21/00000000000000000001.jsonl#3]
  content-type: [application/json]
  ce-specversion: [1.0]
  ce-id: [p=00/dt=2026-11-21/00000000000000000001.jsonl#3]
  ce-source: [cdcd/shop]
  ce-type: [io.cdcd.change.c]
  ce-subject: [shop.orders]
  ce-time: [2026-11-21T02:00:00.123456Z]
  {"schema":{},"payloa
acme.changes.shop.orders
  Nats-Msg-Id: [acme.changes/p=00/dt=2026-11-21/00000000000000000001.jsonl#4]
  content-type: [application/cloudevents+json]
  ce-specversion: []
  ce-id: []
  ce-source: []
  ce-type: []
  ce-subject: []
  ce-time: []
  {"specversion":"1.0"
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if body, ok, err := s.Get(t.Context(), key); string(body) != object || !ok || err != nil {
		t.Errorf("get: %q, %v, %v", body, ok, err)
	}
}

// messages reads what is in a stream for subscribers of a subject.
func messages(t *testing.T, url, stream, subject string) (all []jetstream.Msg) {
	t.Helper()
	nc, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(10_000)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		all = append(all, m)
	}
	return all
}

func TestATrimLeavesWhereTheChainsGoOn(t *testing.T) {
	url := serve(t)
	s := open(t, url+"/acme")
	put := func(key, body string, meta map[string]string) {
		t.Helper()
		if created, err := s.Put(t.Context(), key, []byte(body), meta); err != nil || !created {
			t.Fatal(key, created, err)
		}
	}
	records := map[string]string{"cdcd-records": "4"}
	put("p=00/chain.json", "{}", nil)
	put("p=01/chain.json", "{}", nil)
	put("p=01/dt=2026-11-21/00000000000000000001.jsonl", object, records)
	put("p=00/dt=2026-11-21/00000000000000000001.jsonl", object, records)
	put("p=00/dt=2026-11-21/00000000000000000002.jsonl", object, records)
	middle := time.Now()
	time.Sleep(2 * time.Millisecond)
	put("p=00/dt=2026-11-21/00000000000000000003.jsonl", object, records)
	for _, tt := range []struct {
		before  time.Time
		keys    string
		records int
	}{
		{middle.Add(-time.Hour), "[p=00/chain.json p=00/dt=2026-11-21/00000000000000000001.jsonl p=00/dt=2026-11-21/00000000000000000002.jsonl " +
			"p=00/dt=2026-11-21/00000000000000000003.jsonl p=01/chain.json p=01/dt=2026-11-21/00000000000000000001.jsonl]", 16},
		{middle, "[p=00/chain.json p=00/dt=2026-11-21/00000000000000000003.jsonl p=01/chain.json p=01/dt=2026-11-21/00000000000000000001.jsonl]", 4},
		{time.Now().Add(time.Hour), "[p=00/chain.json p=00/dt=2026-11-21/00000000000000000003.jsonl p=01/chain.json p=01/dt=2026-11-21/00000000000000000001.jsonl]", 0},
	} {
		if err := s.Trim(t.Context(), tt.before); err != nil {
			t.Fatal(err)
		}
		var keys []string
		if err := s.List(t.Context(), "", "", func(key string, _ int64) bool { keys = append(keys, key); return true }); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(keys); got != tt.keys {
			t.Errorf("before %s: got %s, want %s", tt.before, got, tt.keys)
		}
		if got := len(messages(t, url, "ACME", "acme.>")); got != tt.records {
			t.Errorf("before %s: %d records are left, want %d", tt.before, got, tt.records)
		}
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	url := serve(t)
	nc, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OLD", Subjects: []string{"old.>", "_CDCD.old", "_CDCD.old.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ url, want string }{
		{"http://a/b", `CDCD-4301: "http://a/b" is not the address of a NATS server and a subject`},
		{"nats://a:4222", `CDCD-4301: "nats://a:4222" names no subject that records can have`},
		{"nats://a:4222/acme.>", `CDCD-4301: "nats://a:4222/acme.%3E" names no subject that records can have`},
		{"nats://a:4222/_CDCD", `CDCD-4301: "nats://a:4222/_CDCD" names no subject that records can have`},
		{"nats://u:secret@a:4222/acme", `CDCD-4301: "nats://u:xxxxx@a:4222/acme" has a user, '?' or '#'`},
		{url + "/old", "CDCD-4302: stream OLD at " + url + "/old does not allow atomic batches (allow_atomic)"},
		{url + "/other", "CDCD-4302: stream OTHER at " + url + "/other does not take the subject other.>"},
	} {
		s, err := nats.Open(nats.Config{URL: tt.url, Source: "shop", Feed: "acme"})
		if err == nil {
			defer s.Close()
			_, err = s.Put(t.Context(), key, []byte("x"), nil)
		}
		if fmt.Sprint(err) != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.url, err, tt.want)
		}
	}
	s := open(t, url+"/acme")
	if _, err := s.Put(t.Context(), key, bytes.Repeat([]byte("{}\n"), nats.MaxRecords+1), map[string]string{"cdcd-records": "1000"}); err == nil || err.Error()[:10] != "CDCD-4303:" {
		t.Errorf("an object of 1,000 records: %v", err)
	}
	if _, err := s.Put(t.Context(), key, append(bytes.Repeat([]byte("x"), 2<<20), '\n'), map[string]string{"cdcd-records": "1"}); err == nil || err.Error()[:10] != "CDCD-4303:" {
		t.Errorf("a record of 2 MiB: %v", err)
	}
}

func TestAServerThatIsNotThereYetIsWaitedForByTheCalls(t *testing.T) {
	s, err := nats.Open(nats.Config{URL: "nats://127.0.0.1:1/acme", Source: "shop", Feed: "acme", Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.Put(ctx, key, []byte("x"), nil); err == nil || ctx.Err() != nil {
		t.Errorf("put: %v after %v", err, ctx.Err())
	}
}
