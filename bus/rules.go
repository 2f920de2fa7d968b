package bus

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Rules is the store of a source's rules: a stream of its own, RULES_<source>, with one message per publication. What
// holds at a revision is the fold of all publications up to it, so each that ever held can be read again. The store
// knows texts, not what they mean. Its methods may be called by several goroutines at once.
type Rules struct {
	s      *Stream
	name   string
	stream jetstream.Stream

	mu     sync.Mutex
	states map[uint64]*RuleState // guarded by mu: those that were asked for lately
	recent []uint64              // guarded by mu: their numbers, the one asked for last at the end
}

// Publication is one change of the rules.
type Publication struct {
	Revision cdc.Revision `json:"-"` // given by the store

	Format int       `json:"format"` // 1
	ID     string    `json:"id"`     // drawn for each attempt to publish
	Prev   string    `json:"prev"`   // ID of the revision before, "" for the first
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	Why    string    `json:"why,omitempty"`
	Kind   string    `json:"kind"`            // files, push, mode, rollback, adopt: what the publisher did
	Base   uint64    `json:"base,omitempty"`  // number of the revision that the publisher knew
	Digest string    `json:"digest"`          // of the whole set that holds from now on
	Files  string    `json:"files,omitempty"` // kind files: digest of the files that were pushed

	Changed []StoredRule      `json:"changed,omitempty"` // rules that are new or other than before
	Removed []string          `json:"removed,omitempty"` // names of rules that are gone
	Layout  map[string]Layout `json:"layout,omitempty"`  // of the files that are to be written otherwise than before

	// StandsFor is whose frames are judged by this revision although they name another: a person's decision, when that
	// was lost, or halts the line.
	StandsFor *Stand `json:"stands_for,omitempty"`

	Tried json.RawMessage `json:"tried,omitempty"` // how it was tried before, JSON; the store does not know what it means
}

// Stand is a revision that another stands for, as of a sequence of the stream.
type Stand struct {
	Revision string `json:"revision"` // as [cdc.Revision.String] writes it, or NoRevision
	From     uint64 `json:"from"`

	by uint64
}

// NoRevision is how a [Stand] names the frames that name no revision.
const NoRevision = "0"

// StoredRule is a rule as text, with what is asked of it often.
type StoredRule struct {
	Name    string `json:"name"`
	File    string `json:"file,omitempty"` // the rule file that it came with; "" if it came alone
	Text    string `json:"text"`           // of a YAML list's one entry, with the comments above it
	Version string `json:"version"`        // digest over all that decides
	Mode    string `json:"mode"`
	Plugin  string `json:"plugin,omitempty"` // digest of the plugin that it named when it was published; part of Version

	Revision cdc.Revision `json:"-"` // that published it
	Time     time.Time    `json:"-"`
	Who      string       `json:"-"`
}

// Layout is what a rule file has beside the texts of its rules.
type Layout struct {
	Head  string   `json:"head"`            // what comes before the first rule
	Rules []string `json:"rules,omitempty"` // names in the order of the file; none: the file is gone
}

// RuleState is what the store holds at a revision. It must not be changed.
type RuleState struct {
	Revision cdc.Revision
	Time     time.Time // when it was published
	Who      string
	Digest   string
	Rules    map[string]StoredRule
	Layout   map[string]Layout
	Files    Publication // the newest of kind files, without its contents; zero if there is none

	stands []Stand // in the order in which they were published
}

const (
	rulesBytes = 256 << 20 // what the store may hold: some 250,000 edits of a rule
	keptStates = 8

	headerEncoding = "Cdcd-Encoding"
	encodingS2     = "s2"
)

// ErrRulesMoved is what [Rules.Publish] returns when the newest revision is another one than the publisher believed.
var ErrRulesMoved = errors.New("the rules have been changed by somebody else")

// Rules opens the rule store, and creates it if it is not there.
func (s *Stream) Rules(ctx context.Context) (*Rules, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules != nil {
		return s.rules, nil
	}
	r := &Rules{s: s, name: "RULES_" + s.cfg.Source, states: map[uint64]*RuleState{}}
	want := jetstream.StreamConfig{
		Name: r.name, Description: "rules of " + s.cfg.Source + " by cdcd", Subjects: []string{r.subject()},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		Replicas: s.stream.CachedInfo().Config.Replicas, MaxBytes: rulesBytes, MaxMsgs: -1, MaxMsgSize: -1,
		Duplicates: 100 * time.Millisecond, DenyDelete: true, DenyPurge: true,
		Metadata: map[string]string{metaFormat: strconv.Itoa(rulesFormat), metaSource: s.cfg.Source, metaID: rand.Text()},
	}
	if err := s.openOrCreate(ctx, &r.stream, want); err != nil {
		return nil, cdc.Errorf(codeRuleStore, "open the rule store %s: %w", r.name, err).
			WithFix("JetStream must have room for %d bytes, and this user must be allowed to use %s", rulesBytes, r.name)
	}
	if err := r.refuseUnsafe(); err != nil {
		return nil, err
	}
	s.rules = r
	return r, nil
}

// Name tells this store from all others: one that is begun anew has another.
func (r *Rules) Name() string { return r.name + "/" + r.stream.CachedInfo().Config.Metadata[metaID] }

func (r *Rules) subject() string { return "rules." + r.s.cfg.Source }

// refuseUnsafe refuses a stream that could forget a revision, or that holds something else.
func (r *Rules) refuseUnsafe() error {
	have := r.stream.CachedInfo().Config
	wrong, edit := "", ""
	switch {
	case have.Metadata[metaFormat] != strconv.Itoa(rulesFormat) || have.Metadata[metaSource] != r.s.cfg.Source || len(have.Subjects) != 1 || have.Subjects[0] != r.subject():
		return cdc.Errorf(codeRuleStore, "stream %s is not the rule store of %s in format %d", r.name, r.s.cfg.Source, rulesFormat).
			WithFix("use a cdcd that knows the format, or another source name")
	case have.Storage != jetstream.FileStorage || have.Retention != jetstream.LimitsPolicy:
		wrong, edit = "is not kept on disk for good", "--storage file"
	case have.Discard != jetstream.DiscardNew:
		wrong, edit = "forgets old revisions when it is full", "--discard new"
	case have.MaxAge != 0 || have.MaxMsgs > 0 || have.MaxMsgsPerSubject > 0:
		wrong, edit = "forgets old revisions", "--max-age 0 --max-msgs=-1 --max-msgs-per-subject=-1"
	case have.AllowDirect:
		wrong, edit = "lets followers answer reads, late", "--no-allow-direct"
	case have.Replicas < r.s.stream.CachedInfo().Config.Replicas:
		wrong, edit = fmt.Sprintf("has %d copies where the changes have %d", have.Replicas, r.s.stream.CachedInfo().Config.Replicas),
			fmt.Sprintf("--replicas %d", r.s.stream.CachedInfo().Config.Replicas)
	default:
		return nil
	}
	return cdc.Errorf(codeRuleStore, "the rule store %s %s", r.name, wrong).WithFix("nats stream edit %s %s", r.name, edit)
}

// last returns the number of the newest revision, 0 if there is none, from the store's leader.
func (r *Rules) last(ctx context.Context) (uint64, error) {
	var info *jetstream.StreamInfo
	err := r.s.ask(ctx, func(ctx context.Context) (err error) {
		info, err = r.stream.Info(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the rule store %s: %w", r.name, err)
	}
	return info.State.LastSeq, nil
}

// Newest returns what holds now. Its revision is zero when nothing was ever published.
func (r *Rules) Newest(ctx context.Context) (*RuleState, error) {
	last, err := r.last(ctx)
	if err != nil {
		return nil, err
	}
	return r.At(ctx, last)
}

// At returns what held at the revision of that number; at 0 there were no rules.
func (r *Rules) At(ctx context.Context, no uint64) (*RuleState, error) {
	r.mu.Lock()
	var from *RuleState
	for n, st := range r.states {
		if n <= no && (from == nil || n > from.Revision.No) {
			from = st
		}
	}
	r.mu.Unlock()
	if from == nil {
		from = &RuleState{}
	}
	if from.Revision.No == no {
		r.keep(from)
		return from, nil
	}
	st := &RuleState{Revision: from.Revision, Digest: from.Digest, Files: from.Files, stands: slices.Clone(from.stands), Rules: maps.Clone(from.Rules), Layout: maps.Clone(from.Layout)}
	if st.Rules == nil {
		st.Rules, st.Layout = map[string]StoredRule{}, map[string]Layout{}
	}
	if err := r.read(ctx, from.Revision.No+1, no, func(p Publication) error {
		if err := st.apply(p); err != nil {
			return r.damaged(p.Revision.No, err)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	r.keep(st)
	return st, nil
}

// keep remembers a state, and forgets the one that nobody has asked for for longest.
func (r *Rules) keep(st *RuleState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	no := st.Revision.No
	for i, n := range r.recent {
		if n == no {
			r.recent = append(r.recent[:i], r.recent[i+1:]...)
			break
		}
	}
	r.states[no], r.recent = st, append(r.recent, no)
	if len(r.recent) > keptStates {
		delete(r.states, r.recent[0])
		r.recent = r.recent[1:]
	}
}

// Resolve returns what the frame of a sequence is judged by, that names a revision: what held at it, unless a person has said
// that another revision stands for it from an earlier sequence on. For frames that name none that is the first: in a
// stream of a version before revisions, what was in the files when it was first run with this one. When the store does not
// have the revision yet, it is waited for until ctx ends. A store that has another one of that number was lost and begun
// anew; then a person must say what holds.
func (r *Rules) Resolve(ctx context.Context, want cdc.Revision, seq uint64) (*RuleState, error) {
	no := max(want.No, 1)
	for n := 0; ; n++ {
		newest, err := r.Newest(ctx)
		if err == nil {
			if by := newest.standsFor(want, seq); by > 0 {
				return r.At(ctx, by)
			}
		}
		if err == nil && newest.Revision.No >= no {
			var st *RuleState
			switch st, err = r.At(ctx, no); {
			case err == nil && (st.Revision == want || want == cdc.Revision{}):
				return st, nil
			case err == nil:
				return nil, cdc.Errorf(codeRevision, "the rule store %s has lost revision %s: its revision %d is %s", r.name, want, no, st.Revision).
					WithFix("`cdcd errors %s` says how to go on", codeRevision)
			}
		}
		var coded *cdc.Error
		if errors.As(err, &coded) {
			return nil, err
		}
		if late := backoff.Sleep(ctx, pauseAfter(n+1, maxWait)); late != nil {
			if err != nil {
				return nil, err
			}
			return nil, cdc.Errorf(codeRevision, "the rule store %s ends at revision %d, and a frame names revision %s", r.name, newest.Revision.No, cmp.Or(want.String(), "1")).
				WithFix("`cdcd errors %s` says how to go on", codeRevision)
		}
	}
}

// standsFor returns the number of the revision that stands for another, 0 if none does.
func (st *RuleState) standsFor(want cdc.Revision, seq uint64) (by uint64) {
	for _, s := range st.stands {
		if s.Revision == cmp.Or(want.String(), NoRevision) && s.From <= seq {
			by = s.by
		}
	}
	return by
}

// History hands publications on, oldest first, from the revision numbered from (at least 1) up to the newest.
func (r *Rules) History(ctx context.Context, from uint64, each func(Publication) error) error {
	last, err := r.last(ctx)
	if err != nil {
		return err
	}
	return r.read(ctx, max(from, 1), last, each)
}

// read hands on the publications numbered from to to. It asks for them one by one: for some more of them than a person
// makes in years that takes a second, and each answer comes from the leader.
func (r *Rules) read(ctx context.Context, from, to uint64, each func(Publication) error) error {
	for no := from; no <= to; no++ {
		msg, err := r.get(ctx, no)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return r.damaged(no, errors.New("it is missing"))
		}
		if err != nil {
			return fmt.Errorf("read revision %d of the rule store %s: %w", no, r.name, err)
		}
		p, err := OpenPublication(msg.Sequence, msg.Data, msg.Header.Get(headerEncoding) == encodingS2)
		if err != nil {
			return r.damaged(no, err)
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rules) get(ctx context.Context, no uint64) (*jetstream.RawStreamMsg, error) {
	var msg *jetstream.RawStreamMsg
	err := r.s.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = r.stream.GetMsg(ctx, no)
		return err
	})
	return msg, err
}

func (r *Rules) damaged(no uint64, why error) error {
	return cdc.Errorf(codeRuleStore, "revision %d of the rule store %s cannot be read: %w", no, r.name, why).
		WithFix("restore the store's stream from a copy; `cdcd errors %s` says how", codeRuleStore)
}

// Publish makes the publication the revision after base. It returns [ErrRulesMoved] when base is not the newest any more:
// the publisher then looks at what has changed, and decides anew. When it returns another error, the publication may
// be in the store or not.
func (r *Rules) Publish(ctx context.Context, base cdc.Revision, p Publication) (cdc.Revision, error) {
	if low, err := r.s.diskLow(); err != nil {
		return cdc.Revision{}, err
	} else if low {
		return cdc.Revision{}, cdc.Errorf(codeRulesFull, "rules cannot be published: the disk of %s is nearly full", r.s.cfg.Dir).WithFix("free disk space")
	}
	p.Format, p.ID, p.Prev, p.Time = rulesFormat, rand.Text(), base.ID, r.s.cfg.Now().UTC()
	text, body, err := p.pack()
	if err != nil {
		return cdc.Revision{}, fmt.Errorf("publish rules: %w", err)
	}
	msg := &nats.Msg{Subject: r.subject(), Data: body, Header: nats.Header{headerExpectedLast: {strconv.FormatUint(base.No, 10)}}}
	packed := len(body) < len(text)
	if packed {
		msg.Header.Set(headerEncoding, encodingS2)
	}
	if limit := int(r.s.nc.MaxPayload()) - messageOverhead; len(text) > maxRulesText || len(msg.Data) > limit {
		return cdc.Revision{}, cdc.Errorf(codeRulesFull, "a publication of %d bytes, %d compressed, is larger than the %d that the server takes", len(text), len(msg.Data), limit).
			WithFix("push fewer rule files at a time: cdcd rules push FILE, or raise max_payload of the NATS servers")
	}
	made := cdc.Revision{No: base.No + 1, ID: revisionID(text)}
	if _, err := OpenPublication(made.No, body, packed); err != nil { // the store would hold it for good
		return cdc.Revision{}, fmt.Errorf("publish rules: what is to be published could not be read: %w", err)
	}
	for n := 0; ; n++ {
		if err := backoff.Sleep(ctx, pauseAfter(n, maxWait)); err != nil {
			return cdc.Revision{}, fmt.Errorf("publish rules to %s: no answer: %w", r.name, err)
		}
		if n > 0 { // it may be stored though nobody told us
			last, err := r.last(ctx)
			if err == nil && last > base.No {
				return made, r.compare(ctx, made)
			}
		}
		try, cancel := context.WithTimeout(ctx, r.s.cfg.AckWait)
		m, err := r.s.nc.RequestMsgWithContext(try, msg)
		cancel()
		var ack pubAck
		if err != nil || json.Unmarshal(m.Data, &ack) != nil {
			continue
		}
		switch {
		case ack.Error == nil && ack.Seq == made.No:
			return made, nil
		case ack.Error == nil:
			return cdc.Revision{}, fmt.Errorf("publish rules to %s: stored as %d instead of %d", r.name, ack.Seq, made.No)
		}
		switch judge(ack.Error) {
		case lookAtTail:
			if last, err := r.last(ctx); err == nil && last > base.No {
				return made, r.compare(ctx, made)
			} else if err == nil && last < base.No {
				return cdc.Revision{}, cdc.Errorf(codeRevision, "the rule store %s ends at revision %d and does not have %s", r.name, last, base).
					WithFix("`cdcd errors %s` says how to go on", codeRevision)
			}
		case serverBusy:
		case streamFull, cannotStore, frameTooBig:
			return cdc.Revision{}, cdc.Errorf(codeRulesFull, "the rule store %s does not take the publication: %w", r.name, ack.Error).
				WithFix("`cdcd errors %s` says how to make room", codeRulesFull)
		default:
			return cdc.Revision{}, fmt.Errorf("publish rules to %s: %w", r.name, ack.Error)
		}
	}
}

// compare returns nil when the store's revision of that number is ours.
func (r *Rules) compare(ctx context.Context, ours cdc.Revision) error {
	return r.read(ctx, ours.No, ours.No, func(p Publication) error {
		if p.Revision != ours {
			return ErrRulesMoved
		}
		return nil
	})
}

// Watch calls each with the newest state, and again whenever there is a newer one, until ctx ends or each fails: it then
// returns that error. Of several that come at once only the newest is handed on. What cannot be read is asked for again.
func (r *Rules) Watch(ctx context.Context, each func(*RuleState) error) error {
	hint := make(chan *nats.Msg, 1) // publications on their way, which may be refused yet
	if sub, err := r.s.nc.ChanSubscribe(r.subject(), hint); err == nil {
		defer sub.Unsubscribe()
	}
	const rest = 2 * time.Second
	known, told := cdc.Revision{}, false
	for wait := time.Duration(0); ; {
		if err := r.pause(ctx, wait, hint); err != nil {
			return err
		}
		st, err := r.Newest(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.s.cfg.Logger.Debug("bus: the rule store cannot be read", "store", r.name, "error", err)
			wait = rest
		case told && st.Revision == known:
			wait = min(max(2*wait, 5*time.Millisecond), rest)
		default:
			if err := each(st); err != nil {
				return err
			}
			known, told, wait = st.Revision, true, 5*time.Millisecond
		}
	}
}

// pause waits that long, or until a publication is under way.
func (r *Rules) pause(ctx context.Context, wait time.Duration, hint <-chan *nats.Msg) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-hint:
		return backoff.Sleep(ctx, time.Millisecond)
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
