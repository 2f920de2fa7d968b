package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Trim removes what was stored before a time: all records, and the markers of all objects but the last one of each chain, in
// which a chain finds where it goes on.
func (s *Store) Trim(ctx context.Context, before time.Time) error {
	stream, err := s.open(ctx, "trim")
	if err != nil {
		return err
	}
	first, err := s.firstSince(ctx, stream, before)
	if err != nil || first <= 1 {
		return err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.subject+".>"), jetstream.WithPurgeSequence(first)); err != nil {
		return fmt.Errorf("trim %s: %w", s, err)
	}
	for p := 0; ; p++ {
		objects := fmt.Sprintf("%s.%s.p=%02d.*.*", markers, s.subject, p) // chain.json and begin.json have a token less
		last, err := stream.GetLastMsgForSubject(ctx, objects)
		if err != nil {
			break // no such partition, or one without objects
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(objects), jetstream.WithPurgeSequence(min(first, last.Sequence))); err != nil {
			return fmt.Errorf("trim %s: %w", s, err)
		}
	}
	return nil
}

// firstSince returns the first message that is not older than a time, or the one that will come next.
func (s *Store) firstSince(ctx context.Context, stream jetstream.Stream, since time.Time) (uint64, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", s, err)
	}
	if info.State.Msgs == 0 || info.State.LastTime.Before(since) {
		return info.State.LastSeq + 1, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, HeadersOnly: true})
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", s, err)
	}
	m, err := consumer.Next(jetstream.FetchMaxWait(s.cfg.Timeout))
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", s, err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", s, err)
	}
	return meta.Sequence.Stream, nil
}

func pause(ctx context.Context, attempt int) error {
	return backoff.Sleep(ctx, backoff.Pause(attempt, 2*time.Millisecond, time.Second))
}
