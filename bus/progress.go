package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

const progressBytes = 64 << 20

// Progress returns the hint kept under key, nil if there is none. It may be older than what was set last: progress
// only saves work, it never decides what has been done.
func (s *Stream) Progress(ctx context.Context, key string) ([]byte, error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return nil, err
	}
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read progress %s: %w", key, err)
	}
	return e.Value(), nil
}

// SetProgress keeps a hint under key: letters, digits and any of -_=./ .
func (s *Stream) SetProgress(ctx context.Context, key string, value []byte) error {
	if low, err := s.diskLow(); err != nil {
		return err
	} else if low {
		return fmt.Errorf("keep progress %s: the disk of %s is nearly full", key, s.cfg.Dir)
	}
	kv, err := s.bucket(ctx)
	if err != nil {
		return err
	}
	if _, err := kv.Put(ctx, key, value); err != nil {
		return fmt.Errorf("keep progress %s: %w", key, err)
	}
	return nil
}

func (s *Stream) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress != nil {
		return s.progress, nil
	}
	name := s.name + "_progress"
	kv, err := s.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = s.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: name, Description: "how far the feeds of " + s.cfg.Source + " are: hints only", History: 1,
			MaxBytes: progressBytes, Storage: jetstream.FileStorage, Replicas: s.stream.CachedInfo().Config.Replicas,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	s.progress = kv
	return kv, nil
}
