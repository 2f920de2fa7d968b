package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
)

// What the stream's metadata says.
const (
	metaFormat = "cdcd.format" // of frames and claims in the stream
	metaSource = "cdcd.source"
	metaID     = "cdcd.id"
	metaStamps = "cdcd.rules_from" // sequence from which frames name a revision of rules; with format 2

	streamFormat  = "1"
	stampedFormat = "2" // programs that only know 1 would write frames that name no revision
)

// wanted is the stream as this program creates it.
func (s *Stream) wanted(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        s.name,
		Description: "changes captured from " + s.cfg.Source + " by cdcd",
		Subjects:    []string{s.subject("*")},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Discard:     jetstream.DiscardNew, // full means: the capture waits
		MaxBytes:    s.cfg.MaxBytes,
		MaxMsgs:     -1,
		MaxMsgSize:  cdc.MaxFrame + messageOverhead,
		// No message IDs are used: a duplicate cannot be stored. The window is the server's minimum.
		Duplicates:         100 * time.Millisecond,
		DenyDelete:         true,  // the trim purges from the front; nothing else may go
		AllowDirect:        false, // a follower may answer those, and late
		AllowAtomicPublish: true,  // for claims
		Metadata:           map[string]string{metaFormat: streamFormat, metaSource: s.cfg.Source, metaID: rand.Text()},
	}
}

func (s *Stream) subject(last string) string { return "cdc." + s.cfg.Source + "." + last }

// ensureStream creates the stream if it is not there, and else compares it with what is wanted.
func (s *Stream) ensureStream(ctx context.Context) error {
	replicas := s.cfg.Replicas
	if replicas == 0 {
		replicas = 1
		if s.server == nil && s.nc.ConnectedClusterName() != "" {
			replicas = 3
		}
	}
	if s.server == nil {
		if err := atLeast(s.nc.ConnectedServerVersion(), 2, 12); err != nil {
			return err
		}
	}
	if err := s.refuseOther(ctx); err != nil {
		return err
	}
	if err := s.openOrCreate(ctx, &s.stream, s.wanted(replicas)); err != nil {
		return cdc.Errorf(codeConnect, "open stream %s: %w", s.name, err).
			WithFix("JetStream must be enabled for this account, with room for %d bytes in %d copies", s.cfg.MaxBytes, replicas)
	}
	have := s.stream.CachedInfo().Config
	if err := s.refuseUnsafe(have, replicas); err != nil {
		return err
	}
	s.id = have.Metadata[metaID]
	if err := s.resize(ctx, have); err != nil {
		return err
	}
	s.find(have)
	return nil
}

// refuseOther refuses a data folder that another source has its stream in: room is set aside for one.
func (s *Stream) refuseOther(ctx context.Context) error {
	if s.server == nil {
		return nil // a cluster may have many
	}
	all := s.js.ListStreams(ctx)
	for info := range all.Info() {
		if other := info.Config.Metadata[metaSource]; other != "" && other != s.cfg.Source {
			return cdc.Errorf(codeForeign, "data folder %s is that of source %q, and the configuration's name is %q", s.cfg.Dir, other, s.cfg.Source).
				WithFix("set name back to %s, or give %s a data folder of its own with data", other, s.cfg.Source)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("list the streams in %s: %w", s.cfg.Dir, err)
	}
	return nil
}

// openOrCreate opens a stream into at, or creates it.
func (s *Stream) openOrCreate(ctx context.Context, at *jetstream.Stream, want jetstream.StreamConfig) error {
	return s.ask(ctx, func(ctx context.Context) (err error) {
		if *at, err = s.js.Stream(ctx, want.Name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		if *at, err = s.js.CreateStream(ctx, want); err == nil {
			return nil
		}
		// Somebody may have been faster. Then the server may just as well say that there is no room for two.
		faster, errOpen := s.js.Stream(ctx, want.Name)
		if errOpen != nil {
			return err
		}
		*at = faster
		return nil
	})
}

func atLeast(version string, major, minor int) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) == 3 {
		a, errA := strconv.Atoi(parts[0])
		b, errB := strconv.Atoi(parts[1])
		if errA != nil || errB != nil || a > major || a == major && b >= minor {
			return nil // a version that cannot be read is left to JetStream to judge
		}
	}
	return cdc.Errorf(codeConnect, "the NATS server is version %s, %d.%d or later is needed", version, major, minor).
		WithFix("upgrade the NATS servers to %d.%d or later; atomic batches are needed to keep two captures apart", major, minor)
}

// refuseUnsafe refuses settings with which changes could get lost, or other people's messages mistaken for ours.
func (s *Stream) refuseUnsafe(have jetstream.StreamConfig, replicas int) error {
	edit := func(what, flags string) error {
		return cdc.Errorf(codeSettings, "stream %s %s", s.name, what).WithFix("nats stream edit %s %s", s.name, flags)
	}
	anew := func(what string) error {
		return cdc.Errorf(codeSettings, "stream %s %s, which cannot be changed", s.name, what).
			WithFix("`cdcd errors %s` says how to move to a new stream", codeSettings)
	}
	switch {
	case have.Metadata[metaFormat] == "":
		return cdc.Errorf(codeForeign, "stream %s was not made by cdcd", s.name).
			WithFix("give the source another name, or remove the stream if nobody needs it: nats stream rm %s", s.name)
	case !slices.Contains([]string{streamFormat, stampedFormat}, have.Metadata[metaFormat]) || have.Metadata[metaSource] != s.cfg.Source:
		return cdc.Errorf(codeForeign, "stream %s holds source %q in format %s; this program writes source %q in format %s",
			s.name, have.Metadata[metaSource], have.Metadata[metaFormat], s.cfg.Source, stampedFormat).
			WithFix("use a cdcd that knows the format, or another source name")
	case !slices.Equal(have.Subjects, []string{s.subject("*")}) || len(have.Sources) > 0 || have.Mirror != nil || have.SubjectTransform != nil || have.RePublish != nil && have.RePublish.Destination == "":
		return edit(fmt.Sprintf("takes subjects %v and must take %s alone", have.Subjects, s.subject("*")), "--subjects '"+s.subject("*")+"'")
	case have.Storage != jetstream.FileStorage:
		return anew("is kept in memory")
	case have.Retention != jetstream.LimitsPolicy:
		return anew("has retention policy " + have.Retention.String())
	case have.Discard != jetstream.DiscardNew:
		return edit("forgets old frames when it is full, instead of refusing new ones", "--discard new")
	case have.MaxAge != 0:
		return edit(fmt.Sprintf("forgets frames after %s", have.MaxAge), "--max-age 0")
	case have.MaxMsgs > 0 || have.MaxMsgsPerSubject > 0:
		return edit("has a limit on the number of messages", "--max-msgs=-1 --max-msgs-per-subject=-1")
	case have.AllowDirect:
		return edit("lets followers answer reads, late", "--no-allow-direct")
	case !have.AllowAtomicPublish:
		return edit("does not allow atomic batches, which keep two captures apart", "--allow-batch")
	case have.NoAck:
		return edit("does not acknowledge", "--ack")
	case have.Sealed:
		return anew("is sealed")
	case have.PersistMode == jetstream.AsyncPersistMode:
		return anew("acknowledges before it writes")
	case have.Replicas < replicas:
		return edit(fmt.Sprintf("has %d copies where %d are wanted", have.Replicas, replicas), fmt.Sprintf("--replicas %d", replicas))
	}
	return nil
}

// resize follows the configured size. A stream is never made smaller than what it holds: the server would forget the
// rest.
func (s *Stream) resize(ctx context.Context, have jetstream.StreamConfig) error {
	if have.MaxBytes == s.cfg.MaxBytes {
		return nil
	}
	used := int64(s.stream.CachedInfo().State.Bytes)
	if s.cfg.MaxBytes < used+s.cfg.MaxBytes/10 {
		return cdc.Errorf(codeSettings, "stream %s holds %d bytes and cannot be made as small as %d", s.name, used, s.cfg.MaxBytes).
			WithFix("leave max_bytes at %d until the feeds have caught up", max(have.MaxBytes, 0))
	}
	want := have
	want.MaxBytes, want.Metadata = s.cfg.MaxBytes, maps.Clone(have.Metadata)
	updated, err := s.js.UpdateStream(ctx, want)
	if err != nil {
		return fmt.Errorf("change the size of stream %s from %d to %d bytes: %w", s.name, have.MaxBytes, s.cfg.MaxBytes, err)
	}
	s.stream = updated
	return nil
}

// find collects what cannot be refused because it is allowed, or because it cannot be seen from here.
func (s *Stream) find(have jetstream.StreamConfig) {
	switch {
	case s.server != nil && s.cfg.AllowUnsynced:
		s.findings = append(s.findings, cdc.Errorf(codeUnsynced, "the embedded server syncs every 2 minutes: a power cut can undo acknowledged frames").
			WithFix("remove allow_unsynced, unless the source keeps its binlog for long enough"))
	case s.server == nil && !s.cfg.AllowUnsynced:
		s.findings = append(s.findings, cdc.Errorf(codeUnsynced, "whether the NATS servers sync before they acknowledge cannot be seen by a client; their default is not to").
			WithFix("set `jetstream { sync_interval: always }` on every server, then say so with allow_unsynced: true to silence this"))
	}
	if !have.DenyDelete {
		s.findings = append(s.findings, cdc.Errorf(codeSettings, "stream %s allows single messages to be deleted; consumers would stop at the gap", s.name).
			WithFix("nats stream edit %s --deny-delete", s.name))
	}
}
