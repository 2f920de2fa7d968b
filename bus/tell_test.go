package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestTell(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	// Nobody keeps it: who is subscribed gets it.
	sub, err := s.nc.SubscribeSync("acme.objects")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tell(ctx, "acme.objects", "id1", []byte("{}"), map[string]string{"Content-Type": "application/cloudevents+json"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 1 {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Header.Get("Nats-Msg-Id")+" "+m.Header.Get("Content-Type")+" "+string(m.Data))
	}
	if got[0] != "id1 application/cloudevents+json {}" {
		t.Errorf("got %q", got)
	}

	// A stream keeps it, once.
	kept, err := s.js.CreateStream(ctx, jetstream.StreamConfig{Name: "ACME", Subjects: []string{"acme.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Tell(ctx, "acme.objects", "id2", []byte("{}"), nil); err != nil {
			t.Fatal(err)
		}
	}
	info, err := kept.Info(ctx)
	if err != nil || info.State.Msgs != 1 {
		t.Errorf("got %+v, %v", info, err)
	}
}
