package bus

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
)

// Drafts is the store of what people write and have not published: a stream of its own, DRAFTS_<source>, with one message for each
// rule of each author, the newest. Its methods may be called by several goroutines at once.
type Drafts struct {
	s      *Stream
	name   string
	stream jetstream.Stream
}

// Draft is a text that an author has not published.
type Draft struct {
	Format int       `json:"format"` // 1
	Author string    `json:"author"`
	Name   string    `json:"name"` // of the draft: that of the rule it is of, or will be
	Text   string    `json:"text"`
	Base   uint64    `json:"base"` // the revision of the rules that it was begun from; 0: before there were any
	Saved  time.Time `json:"saved"`

	Version uint64 `json:"-"` // given by the store: grows with each time it is saved
}

const (
	draftsBytes    = 64 << 20
	draftsFormat   = 1
	maxDraftText   = 256 << 10
	maxDraftName   = 128
	maxDraftAuthor = 256
	maxDraftsOfOne = 200
)

const (
	codeDraftStore = "CDCD-2350" // the store of drafts cannot be used as it is
	codeDraftMoved = "CDCD-2351" // a draft was saved elsewhere meanwhile
	codeDraftSize  = "CDCD-2352" // a draft, or its name, is too large, or there are too many
	codeNoDraft    = "CDCD-2353" // there is no such draft
)

// Drafts opens the store of drafts, and creates it if it is not there.
func (s *Stream) Drafts(ctx context.Context) (*Drafts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drafts != nil {
		return s.drafts, nil
	}
	d := &Drafts{s: s, name: "DRAFTS_" + s.cfg.Source}
	want := jetstream.StreamConfig{
		Name: d.name, Description: "drafts of rules of " + s.cfg.Source + " by cdcd", Subjects: []string{"drafts." + s.cfg.Source + ".*.*"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, Replicas: s.stream.CachedInfo().Config.Replicas,
		MaxBytes: draftsBytes, MaxMsgs: -1, MaxMsgSize: -1, MaxMsgsPerSubject: 1, Duplicates: 100 * time.Millisecond,
		Metadata: map[string]string{metaFormat: strconv.Itoa(draftsFormat), metaSource: s.cfg.Source},
	}
	if err := s.openOrCreate(ctx, &d.stream, want); err != nil {
		return nil, cdc.Errorf(codeDraftStore, "open the store of drafts %s: %w", d.name, err).
			WithFix("JetStream must have room for %d bytes, and this user must be allowed to use %s", draftsBytes, d.name)
	}
	have := d.stream.CachedInfo().Config
	switch {
	case have.Metadata[metaFormat] != strconv.Itoa(draftsFormat) || have.Metadata[metaSource] != s.cfg.Source:
		return nil, cdc.Errorf(codeDraftStore, "stream %s is not the store of drafts of %s in format %d", d.name, s.cfg.Source, draftsFormat).
			WithFix("use a cdcd that knows the format, or another source name")
	case have.Storage != jetstream.FileStorage || have.Discard != jetstream.DiscardNew || have.MaxAge != 0 || have.MaxMsgs > 0 || have.AllowDirect || have.DenyPurge:
		return nil, cdc.Errorf(codeDraftStore, "the store of drafts %s could lose drafts, or show old ones", d.name).
			WithFix("nats stream edit %s --discard new --max-age 0 --max-msgs=-1 --no-allow-direct; storage must be file, and purging allowed", d.name)
	}
	s.drafts = d
	return d, nil
}

// subject is that of a draft. Names are what people make them, so they are written as hex.
func (d *Drafts) subject(author, name string) string {
	return "drafts." + d.s.cfg.Source + "." + hex.EncodeToString([]byte(author)) + "." + hex.EncodeToString([]byte(name))
}

// Get returns an author's draft of a name; CDCD-2353 says that there is none.
func (d *Drafts) Get(ctx context.Context, author, name string) (Draft, error) {
	none := cdc.Errorf(codeNoDraft, "%s has no draft '%s'", author, name).WithFix("`cdcd rules drafts` lists those that there are")
	if sizeOf(author, name, "") != nil {
		return Draft{}, none
	}
	var msg *jetstream.RawStreamMsg
	err := d.s.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = d.stream.GetLastMsgForSubject(ctx, d.subject(author, name))
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Draft{}, none
	case err != nil:
		return Draft{}, fmt.Errorf("read the store of drafts %s: %w", d.name, err)
	}
	return d.open(msg)
}

// open reads a message of the store.
func (d *Drafts) open(msg *jetstream.RawStreamMsg) (Draft, error) {
	var draft Draft
	if err := json.Unmarshal(msg.Data, &draft); err != nil || draft.Format != draftsFormat {
		return Draft{}, cdc.Errorf(codeDraftStore, "message %d of the store of drafts %s is no draft in format %d", msg.Sequence, d.name, draftsFormat).
			WithFix("use a cdcd that knows the format")
	}
	draft.Version = msg.Sequence
	return draft, nil
}

// List returns the drafts of an author, or of all with "", the one that was saved last first.
func (d *Drafts) List(ctx context.Context, author string) ([]Draft, error) {
	filter := "drafts." + d.s.cfg.Source + ".*.*"
	if author != "" {
		filter = "drafts." + d.s.cfg.Source + "." + hex.EncodeToString([]byte(author)) + ".*"
	}
	var found []Draft
	for from := uint64(1); ; {
		var msg *jetstream.RawStreamMsg
		err := d.s.ask(ctx, func(ctx context.Context) (err error) {
			msg, err = d.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the store of drafts %s: %w", d.name, err)
		}
		draft, err := d.open(msg)
		if err != nil {
			return nil, err
		}
		found = append(found, draft)
		from = msg.Sequence + 1
	}
	slices.SortFunc(found, func(a, b Draft) int { return cmp.Compare(b.Version, a.Version) })
	return found, nil
}

// Save keeps a draft. Its Version must be the one that the store has, 0 if there is none: CDCD-2351 says that it was saved elsewhere
// meanwhile. What is returned has the version that it has now.
func (d *Drafts) Save(ctx context.Context, draft Draft) (Draft, error) {
	if err := sizeOf(draft.Author, draft.Name, draft.Text); err != nil {
		return Draft{}, err
	}
	if draft.Version == 0 {
		if all, err := d.List(ctx, draft.Author); err != nil {
			return Draft{}, err
		} else if len(all) >= maxDraftsOfOne {
			return Draft{}, cdc.Errorf(codeDraftSize, "%s has %d drafts already", draft.Author, len(all)).WithFix("publish some of them, or throw them away")
		}
	}
	if low, err := d.s.diskLow(); err != nil {
		return Draft{}, err
	} else if low {
		return Draft{}, cdc.Errorf(codeRulesFull, "drafts cannot be saved: the disk of %s is nearly full", d.s.cfg.Dir).WithFix("free disk space")
	}
	draft.Format, draft.Saved = draftsFormat, d.s.cfg.Now().UTC()
	text, err := json.Marshal(draft)
	if err != nil {
		return Draft{}, fmt.Errorf("save a draft: %w", err)
	}
	ack, err := d.s.js.PublishMsg(ctx, &nats.Msg{Subject: d.subject(draft.Author, draft.Name), Data: text}, jetstream.WithExpectLastSequencePerSubject(draft.Version))
	switch {
	case err == nil:
		draft.Version = ack.Sequence
		return draft, nil
	case wrongLast(err):
		return d.moved(ctx, draft)
	}
	return Draft{}, fmt.Errorf("save a draft in %s: %w", d.name, err)
}

// moved is what comes of a draft that the store has another version of: it may be this one, when nobody told us.
func (d *Drafts) moved(ctx context.Context, draft Draft) (Draft, error) {
	have, err := d.Get(ctx, draft.Author, draft.Name)
	switch {
	case cdc.CodeOf(err) == codeNoDraft:
		return Draft{}, cdc.Errorf(codeDraftMoved, "the draft '%s' was thrown away or published meanwhile", draft.Name).
			WithFix("save it as a new one if it is still wanted")
	case err != nil:
		return Draft{}, err
	case have.Text == draft.Text && have.Base == draft.Base:
		return have, nil
	}
	return Draft{}, cdc.Errorf(codeDraftMoved, "the draft '%s' was saved elsewhere at %s", draft.Name, have.Saved.Format(time.RFC3339)).
		WithFix("take over what was saved, or save again on top of it")
}

// Delete throws a draft away, if it is still the one of that version; 0 stands for any. That there is none is no error.
func (d *Drafts) Delete(ctx context.Context, author, name string, version uint64) error {
	have, err := d.Get(ctx, author, name)
	switch {
	case cdc.CodeOf(err) == codeNoDraft:
		return nil
	case err != nil:
		return err
	case version != 0 && have.Version != version:
		return cdc.Errorf(codeDraftMoved, "the draft '%s' was saved elsewhere at %s", name, have.Saved.Format(time.RFC3339)).
			WithFix("look at what was saved before throwing it away")
	}
	err = d.s.ask(ctx, func(ctx context.Context) error { // one that is saved right now stays
		return d.stream.Purge(ctx, jetstream.WithPurgeSubject(d.subject(author, name)), jetstream.WithPurgeSequence(have.Version+1))
	})
	if err != nil {
		return fmt.Errorf("throw a draft in %s away: %w", d.name, err)
	}
	return nil
}

// sizeOf refuses what is too large.
func sizeOf(author, name, text string) error {
	switch {
	case author == "" || len(author) > maxDraftAuthor:
		return cdc.Errorf(codeDraftSize, "an author has a name of 1 to %d bytes, this has %d", maxDraftAuthor, len(author)).WithFix("sign in under a shorter name")
	case name == "" || len(name) > maxDraftName:
		return cdc.Errorf(codeDraftSize, "a draft has a name of 1 to %d bytes, this has %d", maxDraftName, len(name)).WithFix("give it a shorter name")
	case len(text) > maxDraftText:
		return cdc.Errorf(codeDraftSize, "a draft of %d bytes is larger than the %d that are kept", len(text), maxDraftText).
			WithFix("keep the rule in a file, and publish it with cdcd rules push")
	}
	return nil
}
