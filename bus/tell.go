package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Tell publishes a message that is none of the stream's, with an id. When a stream of JetStream listens to the subject, nil means
// that it has the message; that stream drops a message whose id it has had within its duplicate window. When none does,
// nil means that the server has it: whoever is subscribed then gets it, and nobody later.
func (s *Stream) Tell(ctx context.Context, subject, id string, body []byte, headers map[string]string) error {
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(nats.MsgIdHdr, id)
	for name, value := range headers {
		m.Header.Set(name, value)
	}
	switch _, err := s.js.StreamNameBySubject(ctx, subject); {
	case errors.Is(err, jetstream.ErrStreamNotFound): // to be asked: whoever else is subscribed would not answer
		return s.tellNow(ctx, m)
	case err != nil:
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	if _, err := s.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// tellNow publishes to whoever is subscribed.
func (s *Stream) tellNow(ctx context.Context, m *nats.Msg) error {
	err := s.nc.PublishMsg(m)
	if err == nil {
		err = s.nc.FlushWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	return nil
}
