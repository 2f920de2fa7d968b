package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// subscribed returns the records that a subscriber of the feed's subject gets, by partition.
func subscribed(url string, partitions int) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	c, err := js.OrderedConsumer(ctx, "ACME", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"acme.>"}})
	if err != nil {
		return nil, err
	}
	out := make([][]byte, partitions)
	for {
		batch, err := c.FetchNoWait(1000)
		if err != nil {
			return nil, err
		}
		pending := uint64(0)
		for m := range batch.Messages() {
			var p int
			if _, err := fmt.Sscanf(m.Headers().Get(nats.MsgIdHdr), "acme/p=%02d/", &p); err != nil || p >= partitions {
				return nil, fmt.Errorf("message %q: %w", m.Headers().Get(nats.MsgIdHdr), err)
			}
			out[p] = append(append(out[p], m.Data()...), '\n')
			meta, err := m.Metadata()
			if err != nil {
				return nil, err
			}
			pending = meta.NumPending
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil || pending == 0 {
			return out, err
		}
	}
}

// merge puts the records of a feed's chains, each of which must be in order, into the order of the changes.
func merge(parts [][]byte) ([]byte, error) {
	type record struct {
		no   uint64
		line []byte
	}
	var all []record
	for p, part := range parts {
		last := uint64(0)
		for line := range bytes.Lines(part) {
			var r struct {
				Source struct {
					PartNo uint64 `json:"part_no"`
				}
			}
			if err := json.Unmarshal(line, &r); err != nil || r.Source.PartNo <= last {
				return nil, fmt.Errorf("partition %d: change %d after %d (%v)", p, r.Source.PartNo, last, err)
			}
			last = r.Source.PartNo
			all = append(all, record{last, line})
		}
	}
	slices.SortFunc(all, func(a, b record) int { return cmp.Compare(a.no, b.no) })
	var out []byte
	for _, r := range all {
		out = append(out, r.line...)
	}
	return out, nil
}

// A feed whose records are messages, split over two chains; cdcd is killed and the partner's server restarted all the time.
func TestWhoSubscribesToAFeedGetsEachChangeOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, random := seed(t)
	partner := startNATS(t)
	const partitions = 2
	w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, options{
		feed: fmt.Sprintf("to: %s/acme\n    partitions: %d\n", partner.URL, partitions), rotate: "{every: 100ms, rows: 50}"})
	for range kills(t) / 2 {
		time.Sleep(time.Duration(300+random.IntN(900)) * time.Millisecond)
		d.alive(t)
		switch random.IntN(3) {
		case 0:
			partner.Stop()
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			partner.Start(t)
		default:
			d.kill()
			d.start(t)
		}
	}
	time.Sleep(time.Second)
	stop()
	check := func() error {
		parts, err := subscribed(partner.URL, partitions)
		if err != nil {
			return err
		}
		merged, err := merge(parts)
		if err != nil {
			return err
		}
		return w.Check(t.Context(), ledger.Want{}, ledger.Lines(bytes.NewReader(merged)))
	}
	deadline := time.Now().Add(90 * time.Second)
	err := check()
	for ; err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(500 * time.Millisecond)
	}
	if err != nil {
		text := err.Error()
		t.Fatalf("%s\n%s", text[:min(len(text), 3000)], d.tail())
	}
	d.stop(t)
	d.verify(t)
	if strings.Contains(read(t, d.log), "CDCD-43") {
		t.Errorf("the log has errors of the feed:\n%s", d.tail())
	}
}
