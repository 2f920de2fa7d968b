package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
)

// Persons is the store of persons' keys: a stream of its own, PERSONS_<source>, with a message per person under a subject of its
// own. It is the only place where a key is, and the only one from which something is destroyed. The store knows texts, not what
// they mean. Its methods may be called by several goroutines at once.
//
// A person is erased in two steps: a tombstone is written, which names the message before it; then that message is overwritten and
// deleted. From the first step on nobody is given the key, and whoever sees the tombstone makes up for the second.
type Persons struct {
	s      *Stream
	name   string
	stream jetstream.Stream
}

const (
	personsBytes  = 1 << 30 // some millions of persons
	personsFormat = 1

	headerErased = "Cdcd-Erased" // of a tombstone: the sequence of the key's message; 0 if there was none
)

// Error codes of the store of persons' keys.
const (
	codePersons     = "CDCD-4212" // the store cannot be used as it is
	codePersonsFull = "CDCD-4213" // it does not take a key
)

// Persons opens the store of persons' keys, and creates it if it is not there.
func (s *Stream) Persons(ctx context.Context) (*Persons, error) {
	p := &Persons{s: s, name: "PERSONS_" + s.cfg.Source}
	replicas := s.stream.CachedInfo().Config.Replicas
	want := jetstream.StreamConfig{
		Name: p.name, Description: "keys of persons in " + s.cfg.Source + " by cdcd", Subjects: []string{p.subject("*")},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, Replicas: replicas,
		MaxBytes: personsBytes, MaxMsgs: -1, MaxMsgSize: -1, Duplicates: 100 * time.Millisecond, AllowAtomicPublish: true,
		Metadata: map[string]string{metaFormat: strconv.Itoa(personsFormat), metaSource: s.cfg.Source},
	}
	if err := s.openOrCreate(ctx, &p.stream, want); err != nil {
		return nil, cdc.Errorf(codePersons, "open the store of persons' keys %s: %w", p.name, err).
			WithFix("JetStream must have room for %d bytes, and this user must be allowed to use %s", personsBytes, p.name)
	}
	have := p.stream.CachedInfo().Config
	switch {
	case have.Metadata[metaFormat] != strconv.Itoa(personsFormat) || have.Metadata[metaSource] != s.cfg.Source:
		return nil, cdc.Errorf(codePersons, "stream %s is not the store of persons' keys of %s in format %d", p.name, s.cfg.Source, personsFormat).
			WithFix("use a cdcd that knows the format, or another source name")
	case have.Storage != jetstream.FileStorage || have.Discard != jetstream.DiscardNew || have.MaxAge != 0 || have.MaxMsgs > 0 ||
		have.MaxMsgsPerSubject > 0 || have.DenyDelete || have.AllowDirect || have.Replicas < replicas:
		return nil, cdc.Errorf(codePersons, "the store of persons' keys %s could lose keys, or could not destroy them", p.name).
			WithFix("nats stream edit %s --discard new --max-age 0 --max-msgs=-1 --max-msgs-per-subject=-1 --no-allow-direct --replicas %d; "+
				"storage must be file, and deleting messages allowed", p.name, replicas)
	}
	return p, nil
}

func (p *Persons) subject(id string) string { return "persons." + p.s.cfg.Source + "." + id }

// last returns the newest message of a person, nil if there is none, from the store's leader.
func (p *Persons) last(ctx context.Context, id string) (msg *jetstream.RawStreamMsg, err error) {
	err = p.s.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = p.stream.GetLastMsgForSubject(ctx, p.subject(id))
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store of persons' keys %s: %w", p.name, err)
	}
	return msg, nil
}

// Get returns a person's key; nil and false if there never was one.
func (p *Persons) Get(ctx context.Context, id string) (key []byte, erased bool, err error) {
	msg, err := p.last(ctx, id)
	if err != nil || msg == nil {
		return nil, false, err
	}
	if msg.Header.Get(headerErased) != "" {
		return nil, true, p.destroy(ctx, msg)
	}
	return msg.Data, false, nil
}

// Create keeps a key for each of these persons who never had one, and returns those which are kept then: nil of one who was erased.
//
// Most persons who are asked for here are new, so nobody is asked about first: their keys go into the stream in one atomic batch,
// which is synced to the disk together, and which is refused if there is anything about any of them.
func (p *Persons) Create(ctx context.Context, ids []string, keys [][]byte) (kept [][]byte, err error) {
	kept = make([][]byte, len(ids))
	todo := make([]int, len(ids))
	for i := range todo {
		todo[i] = i
	}
	for attempt := range 2 {
		if len(todo) > 1 {
			if todo, err = p.putTogether(ctx, ids, keys, kept, todo); err != nil {
				return nil, err
			}
		}
		if attempt == 0 && len(todo) > 1 {
			if todo, err = p.known(ctx, ids, kept, todo); err != nil {
				return nil, err
			}
		}
	}
	return kept, p.each(ctx, todo, func(ctx context.Context, i int) (err error) {
		kept[i], err = p.create(ctx, ids[i], keys[i])
		return err
	})
}

const (
	personsTogether = 500 // keys in a batch: JetStream takes no more than 1,000
	personsAtOnce   = 32  // questions under way
)

// each does something for some persons, several at once.
func (p *Persons) each(ctx context.Context, some []int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(personsAtOnce)
	for _, i := range some {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// known reads the keys of those persons who have one, and returns the others.
func (p *Persons) known(ctx context.Context, ids []string, kept [][]byte, some []int) (others []int, err error) {
	erased := make([]bool, len(ids))
	err = p.each(ctx, some, func(ctx context.Context, i int) (err error) {
		kept[i], erased[i], err = p.Get(ctx, ids[i])
		return err
	})
	for _, i := range some {
		if kept[i] == nil && !erased[i] {
			others = append(others, i)
		}
	}
	return others, err
}

// putTogether writes keys in batches, and returns those of batches that were refused, or of which it is not known.
func (p *Persons) putTogether(ctx context.Context, ids []string, keys, kept [][]byte, some []int) (others []int, err error) {
	for batch := range slices.Chunk(some, personsTogether) {
		if err := p.room(); err != nil {
			return nil, err
		}
		id := rand.Text()
		for n, i := range batch {
			msg := &nats.Msg{Subject: p.subject(ids[i]), Data: keys[i], Header: nats.Header{
				"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(n + 1)}, jetstream.ExpectedLastSubjSeqHeader: {"0"}}}
			if n < len(batch)-1 {
				if err := p.s.nc.PublishMsg(msg); err != nil {
					return nil, fmt.Errorf("keep persons' keys in %s: %w", p.name, err)
				}
				continue
			}
			msg.Header.Set("Nats-Batch-Commit", "1")
			try, cancel := context.WithTimeout(ctx, p.s.cfg.AckWait)
			reply, err := p.s.nc.RequestMsgWithContext(try, msg)
			cancel()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var ack pubAck
			if err != nil || json.Unmarshal(reply.Data, &ack) != nil || ack.Error != nil {
				others = append(others, batch...) // each of them will be told what is wrong, if anything is
				break
			}
			for _, i := range batch {
				kept[i] = keys[i]
			}
		}
	}
	return others, nil
}

// create keeps a key for a person, or returns the one that is kept already.
func (p *Persons) create(ctx context.Context, id string, key []byte) (kept []byte, err error) {
	_, err = p.put(ctx, &nats.Msg{Subject: p.subject(id), Data: key}, 0)
	if err == nil {
		return key, nil
	}
	if !wrongLast(err) {
		return nil, err
	}
	kept, erased, err := p.Get(ctx, id) // somebody was faster
	if err == nil && kept == nil && !erased {
		err = fmt.Errorf("the store of persons' keys %s has lost a key that it had just taken", p.name)
	}
	return kept, err
}

// Erase destroys a person's key, and reports whether there was one. What was erased stays so; doing it again is no error, and
// completes what was interrupted.
func (p *Persons) Erase(ctx context.Context, id string) (had bool, err error) {
	for {
		msg, err := p.last(ctx, id)
		if err != nil {
			return false, err
		}
		if msg != nil && msg.Header.Get(headerErased) != "" {
			return had, p.destroy(ctx, msg)
		}
		last := uint64(0)
		if msg != nil {
			had, last = true, msg.Sequence
		}
		stone := &nats.Msg{Subject: p.subject(id), Header: nats.Header{headerErased: {strconv.FormatUint(last, 10)}}}
		if _, err := p.put(ctx, stone, last); err != nil && !wrongLast(err) {
			return false, err
		}
	}
}

// Watch calls erased with each person who is erased from now on, by whatever process, until ctx ends. It calls unsure at its beginning,
// and whenever it may have missed somebody: nobody's key that was had before may be used then without asking for it again.
func (p *Persons) Watch(ctx context.Context, erased func(id string), unsure func()) error {
	told := make(chan *nats.Msg, 10_000) // the keys of new persons come as well
	sub, err := p.s.nc.ChanSubscribe(p.subject("*"), told)
	if err != nil {
		return fmt.Errorf("watch the store of persons' keys %s: %w", p.name, err)
	}
	defer sub.Unsubscribe()
	patient, cancel := context.WithTimeout(ctx, p.s.cfg.AckWait)
	defer cancel()
	if err := p.s.nc.FlushWithContext(patient); err != nil { // nil: the server knows that we listen
		return fmt.Errorf("watch the store of persons' keys %s: %w", p.name, err)
	}
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	unsure()
	type missed struct {
		dropped    int
		reconnects uint64
	}
	for was := (missed{reconnects: p.s.nc.Stats().Reconnects}); ; {
		select {
		case m := <-told:
			if m.Header.Get(headerErased) != "" {
				erased(strings.TrimPrefix(m.Subject, p.subject("")))
			}
		case <-look.C:
			dropped, err := sub.Dropped()
			if err != nil {
				return fmt.Errorf("watch the store of persons' keys %s: %w", p.name, err)
			}
			if is := (missed{dropped, p.s.nc.Stats().Reconnects}); is != was {
				was = is
				unsure()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// destroy overwrites and deletes the key that a tombstone names.
func (p *Persons) destroy(ctx context.Context, stone *jetstream.RawStreamMsg) error {
	seq, err := strconv.ParseUint(stone.Header.Get(headerErased), 10, 64)
	if err != nil || seq == 0 {
		return err
	}
	err = p.s.ask(ctx, func(ctx context.Context) error {
		if _, err := p.stream.GetMsg(ctx, seq); errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		return p.stream.SecureDeleteMsg(ctx, seq)
	})
	if err != nil {
		return fmt.Errorf("destroy a key in %s: %w", p.name, err)
	}
	return nil
}

// put writes a message of a person whose last one must be the one at last, 0: none.
func (p *Persons) put(ctx context.Context, msg *nats.Msg, last uint64) (uint64, error) {
	if err := p.room(); err != nil {
		return 0, err
	}
	ack, err := p.s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(last))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return ack.Sequence, nil
	case wrongLast(err):
		return 0, err
	case errors.As(err, &refused) && (refused.ErrorCode == jsStoreFailed || refused.ErrorCode == jsStorageResources):
		return 0, cdc.Errorf(codePersonsFull, "the store of persons' keys %s does not take a key: %w", p.name, err).
			WithFix("nats stream edit %s --max-bytes …: a person takes some 300 bytes", p.name)
	}
	return 0, fmt.Errorf("keep a person's key in %s: %w", p.name, err)
}

// room is an error when the disk is nearly full.
func (p *Persons) room() error {
	low, err := p.s.diskLow()
	if err == nil && low {
		err = fmt.Errorf("keep a person's key: the disk of %s is nearly full", p.s.cfg.Dir)
	}
	return err
}

func wrongLast(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == jsWrongLastSequence || refused.ErrorCode == jsWrongLastConstant)
}
