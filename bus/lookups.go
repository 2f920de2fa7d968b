package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Lookups keeps what was looked up, in a stream of its own beside the source's, CDC_<source>_LOOKUPS: a frame that is judged
// again, after a crash or a year later, is judged by what was read the first time. Each answer is kept under the sequence of the
// frame, the feed, and a digest of the question. The first one that is kept holds, whoever else has asked. That an answer came too
// late is kept as one, if what was delivered says so.
//
// When it is full the oldest answers go, and [Lookups.Trim] lets go of those of frames that the source's stream has let go of.
// Its methods may be called by several goroutines at once.
type Lookups struct {
	s      *Stream
	name   string
	stream jetstream.Stream
	known  cdc.Tables
	part   int // the bytes of an answer that go into one message
}

// The codes of recorded look-ups; each has a page.
const (
	codeLookups       = "CDCD-3040" // the stream of answers cannot be used
	codeLookupsFull   = "CDCD-3041" // it does not take an answer
	codeLookupsBroken = "CDCD-3042" // an answer in it cannot be read
)

const (
	lookupsFormat = 1

	headerAnswer = "Cdcd-Answer" // digest of an answer's bytes
	headerParts  = "Cdcd-Parts"  // how many messages it is in
	headerFrame  = "Cdcd-Frame"  // sequence of the frame that it was read for

	// maxAnswer bounds the bytes of an answer that is read back.
	maxAnswer = cdc.MaxFrame + 1<<20
)

// ErrNoAnswer says that nothing is kept for a question.
var ErrNoAnswer = errors.New("no answer is kept")

// Lookups opens the store of answers, and creates it if it is not there.
func (s *Stream) Lookups(ctx context.Context) (*Lookups, error) {
	maxBytes := s.cfg.LookupBytes
	l := &Lookups{s: s, name: s.name + "_LOOKUPS", part: int(s.nc.MaxPayload()) - messageOverhead}
	want := jetstream.StreamConfig{
		Name: l.name, Description: "what cdcd has looked up for changes of " + s.cfg.Source, Subjects: []string{l.subject("*", "*", "*", "*")},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		Replicas: s.stream.CachedInfo().Config.Replicas, MaxBytes: maxBytes, MaxMsgs: -1, MaxMsgSize: -1,
		Duplicates: 100 * time.Millisecond,
		Metadata:   map[string]string{metaFormat: strconv.Itoa(lookupsFormat), metaSource: s.cfg.Source, metaID: rand.Text()},
	}
	fix := func(err error) error {
		return cdc.Errorf(codeLookups, "open the stream of look-ups %s: %w", l.name, err).
			WithFix("JetStream must have room for %d bytes, and this user must be allowed to use %s", maxBytes, l.name)
	}
	if err := s.openOrCreate(ctx, &l.stream, want); err != nil {
		return nil, fix(err)
	}
	have := l.stream.CachedInfo().Config
	if have.Metadata[metaFormat] != strconv.Itoa(lookupsFormat) || have.Metadata[metaSource] != s.cfg.Source || have.Storage != jetstream.FileStorage {
		return nil, cdc.Errorf(codeLookups, "stream %s does not hold look-ups of %s in format %d", l.name, s.cfg.Source, lookupsFormat).
			WithFix("delete it if nobody needs it (nats stream rm %s): answers are read anew then", l.name)
	}
	if have.MaxBytes != maxBytes {
		have.MaxBytes = maxBytes
		if err := s.ask(ctx, func(ctx context.Context) (err error) {
			l.stream, err = s.js.UpdateStream(ctx, have)
			return err
		}); err != nil {
			return nil, fix(err)
		}
	}
	return l, nil
}

// subject is where an answer lies: its last part is 0, or for the rest of a large one the digest of the answer and a number.
func (l *Lookups) subject(feed, frame, question, part string) string {
	return strings.Join([]string{"lookups", l.s.cfg.Source, feed, frame, question, part}, ".")
}

// Last returns the sequence of the newest frame that an answer of the feed was kept for; 0 if there is none.
func (l *Lookups) Last(ctx context.Context, feed string) (uint64, error) {
	msg, err := l.get(ctx, l.subject(feed, "*", "*", "0"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the look-ups of feed %s: %w", feed, err)
	}
	return strconv.ParseUint(msg.Header.Get(headerFrame), 10, 64)
}

// Answer returns what is kept for a question about a frame, or [ErrNoAnswer]. Feed "*" takes that of any feed.
func (l *Lookups) Answer(ctx context.Context, feed string, frame uint64, q *cdc.Query) (*cdc.Answer, error) {
	question, at := questionDigest(q), strconv.FormatUint(frame, 10)
	msg, err := l.get(ctx, l.subject(feed, at, question, "0"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNoAnswer
	}
	if err != nil {
		return nil, fmt.Errorf("read what was looked up for frame %d: %w", frame, err)
	}
	a, _, err := l.open(ctx, msg)
	if err == nil && len(a.Rows) != len(q.Keys) {
		err = l.broken(msg, fmt.Errorf("it is for %d keys, the question has %d", len(a.Rows), len(q.Keys)))
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// broken is the error of an answer that cannot be read.
func (l *Lookups) broken(first *jetstream.RawStreamMsg, err error) error {
	return cdc.Errorf(codeLookupsBroken, "message %d of %s is not an answer: %w", first.Sequence, l.name, err).
		WithFix("delete it, then it is read anew from the source: nats stream rmm %s %d", l.name, first.Sequence)
}

// open reads an answer whose first message is there, and what it is the answer to.
func (l *Lookups) open(ctx context.Context, first *jetstream.RawStreamMsg) (*cdc.Answer, *asked, error) {
	parts, err := strconv.Atoi(first.Header.Get(headerParts))
	if err != nil || parts < 1 || parts > maxAnswer>>10 {
		return nil, nil, l.broken(first, fmt.Errorf("it says that it has %q parts", first.Header.Get(headerParts)))
	}
	digest, body := first.Header.Get(headerAnswer), first.Data
	stem := strings.TrimSuffix(first.Subject, ".0")
	for i := 1; i < parts; i++ {
		msg, err := l.get(ctx, stem+"."+digest+"-"+strconv.Itoa(i))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil, ErrNoAnswer // the oldest go first
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read what was looked up: %w", err)
		}
		body = append(body, msg.Data...)
	}
	if answerDigest(body) != digest {
		return nil, nil, l.broken(first, errors.New("its bytes do not have the digest that it says"))
	}
	a, to, err := openAnswer(body, &l.known)
	if err != nil {
		return nil, nil, l.broken(first, err)
	}
	return a, to, nil
}

// Keep keeps an answer and returns what holds: the answer, or the one that was kept before. It returns when the answer
// is as safe as a frame that was acknowledged.
func (l *Lookups) Keep(ctx context.Context, feed string, frame uint64, q *cdc.Query, a *cdc.Answer) (*cdc.Answer, error) {
	if low, err := l.s.diskLow(); err != nil {
		return nil, err
	} else if low {
		return nil, cdc.Errorf(codeLookupsFull, "what was looked up cannot be kept: the disk of %s is nearly full", l.s.cfg.Dir).WithFix("free disk space")
	}
	body, err := packAnswer(q, a)
	if err != nil {
		return nil, fmt.Errorf("keep what was looked up: %w", err)
	}
	question, at, digest := questionDigest(q), strconv.FormatUint(frame, 10), answerDigest(body)
	parts := max(1, (len(body)+l.part-1)/l.part)
	part := func(i int) []byte { return body[i*l.part : min((i+1)*l.part, len(body))] }
	for i := parts - 1; i > 0; i-- { // the first one last: where it is, the others are
		msg := nats.NewMsg(l.subject(feed, at, question, digest+"-"+strconv.Itoa(i)))
		msg.Data = part(i)
		msg.Header.Set(headerFrame, at)
		if err := l.publish(ctx, msg); err != nil {
			return nil, err
		}
	}
	msg := nats.NewMsg(l.subject(feed, at, question, "0"))
	msg.Data = part(0)
	msg.Header.Set(headerFrame, at)
	msg.Header.Set(headerParts, strconv.Itoa(parts))
	msg.Header.Set(headerAnswer, digest)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
	err = l.publish(ctx, msg)
	if errors.Is(err, errKept) {
		kept, err := l.Answer(ctx, feed, frame, q)
		if errors.Is(err, ErrNoAnswer) {
			return nil, fmt.Errorf("what was looked up for frame %d is gone again: %s is too small", frame, l.name)
		}
		return kept, err
	}
	if err != nil {
		return nil, err
	}
	kept, _, err := openAnswer(body, &l.known) // as it will be read again
	return kept, err
}

// errKept says that there is an answer already.
var errKept = errors.New("an answer is kept already")

// publish publishes until it is known what has become of the message.
func (l *Lookups) publish(ctx context.Context, msg *nats.Msg) error {
	for n := 0; ; n++ {
		if err := backoff.Sleep(ctx, pauseAfter(n, maxWait)); err != nil {
			return fmt.Errorf("keep what was looked up in %s: no answer: %w", l.name, err)
		}
		try, cancel := context.WithTimeout(ctx, l.s.cfg.AckWait)
		reply, err := l.s.nc.RequestMsgWithContext(try, msg)
		cancel()
		var ack pubAck
		if err != nil || json.Unmarshal(reply.Data, &ack) != nil {
			continue // it may be stored: then the next attempt finds it
		}
		if ack.Error == nil {
			return nil
		}
		switch judge(ack.Error) {
		case lookAtTail:
			if ack.Error.ErrorCode == jsWrongLastSequence || ack.Error.ErrorCode == jsWrongLastConstant {
				return errKept
			}
		case serverBusy:
		case streamFull, cannotStore, frameTooBig:
			return cdc.Errorf(codeLookupsFull, "%s does not take what was looked up: %w", l.name, ack.Error).
				WithFix("`cdcd errors %s` says how to make room", codeLookupsFull)
		default:
			return fmt.Errorf("keep what was looked up in %s: %w", l.name, ack.Error)
		}
	}
}

func (l *Lookups) get(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	var msg *jetstream.RawStreamMsg
	err := l.s.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = l.stream.GetLastMsgForSubject(ctx, subject)
		return err
	})
	return msg, err
}

// trimAtOnce bounds how many messages one Trim looks at.
const trimAtOnce = 10_000

// Trim forgets answers of frames before sequence upTo, from the oldest on up to the first one that is still needed.
func (l *Lookups) Trim(ctx context.Context, upTo uint64) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("trim %s: %w", l.name, err)
	}
	first, seq := info.State.FirstSeq, info.State.FirstSeq
	for seq <= info.State.LastSeq && seq < first+trimAtOnce {
		msg, err := l.stream.GetMsg(ctx, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("trim %s: %w", l.name, err)
		}
		if err == nil {
			if frame, err := strconv.ParseUint(msg.Header.Get(headerFrame), 10, 64); err == nil && frame >= upTo {
				break
			}
		}
		seq++
	}
	if seq == first {
		return nil
	}
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(seq)); err != nil {
		return fmt.Errorf("trim %s: %w", l.name, err)
	}
	return nil
}

// questionDigest names a question: what is the same to the source has the same name.
func questionDigest(q *cdc.Query) string {
	h := sha256.New()
	text := func(parts ...string) {
		for _, p := range parts {
			fmt.Fprintf(h, "%d:%s", len(p), p)
		}
		h.Write([]byte{0})
	}
	text(q.Table, q.After.ID())
	text(q.Columns...)
	text(q.By...)
	for _, o := range q.Order {
		text(o.Column, strconv.FormatBool(o.Desc))
	}
	text(strconv.Itoa(q.Limit))
	for _, key := range q.Keys {
		for _, v := range key {
			text(keyText(v)...)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// keyText tells a value of a key from others.
func keyText(v cdc.Value) []string {
	num := v.Uint64()
	if v.Kind() == cdc.KindFloat64 {
		num = math.Float64bits(v.Float64())
	}
	return []string{v.Kind().String(), v.Text(), strconv.FormatUint(num, 16)}
}

func answerDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// answerHead is what a kept answer has beside its frame.
type answerHead struct {
	Format int     `json:"format"`
	At     string  `json:"at"`
	Rows   [][]int `json:"rows"`
	Late   []bool  `json:"late,omitempty"`
	Asked  *asked  `json:"asked,omitempty"` // nil in those that were kept by versions that did not say
}

// packAnswer returns the bytes of an answer to a question: compressed, the length of the head, the head, the frame.
func packAnswer(q *cdc.Query, a *cdc.Answer) ([]byte, error) {
	head, err := json.Marshal(answerHead{lookupsFormat, a.At, a.Rows, a.Late, askedOf(q)})
	if err != nil {
		return nil, err
	}
	plain := append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	if a.Batch != nil {
		plain = append(plain, a.Batch.Frame()...)
	}
	if len(plain) > maxAnswer {
		return nil, fmt.Errorf("it has %d bytes", len(plain))
	}
	return s2.Encode(nil, plain), nil
}

func openAnswer(body []byte, tables *cdc.Tables) (*cdc.Answer, *asked, error) {
	if n, err := s2.DecodedLen(body); err != nil || n > maxAnswer {
		return nil, nil, fmt.Errorf("%d bytes that are not compressed as they should: %w", len(body), err)
	}
	plain, err := s2.Decode(nil, body)
	if err != nil {
		return nil, nil, err
	}
	n, used := binary.Uvarint(plain)
	if used <= 0 || n > uint64(len(plain)-used) {
		return nil, nil, errors.New("its head is cut off")
	}
	var head answerHead
	if err := json.Unmarshal(plain[used:used+int(n)], &head); err != nil {
		return nil, nil, err
	}
	if head.Format != lookupsFormat {
		return nil, nil, fmt.Errorf("it is of format %d", head.Format)
	}
	a := &cdc.Answer{Rows: head.Rows, At: head.At, Late: head.Late}
	events := 0
	if frame := plain[used+int(n):]; len(frame) > 0 {
		if a.Batch, err = cdc.Open(frame, tables); err != nil {
			return nil, nil, err
		}
		events = a.Batch.Len()
	}
	for _, rows := range a.Rows {
		for _, row := range rows {
			if row < 0 || row >= events {
				return nil, nil, fmt.Errorf("it has %d rows, and names row %d", events, row)
			}
		}
	}
	if head.Late != nil && len(head.Late) != len(head.Rows) || head.Asked != nil && len(head.Asked.Keys) != len(head.Rows) {
		return nil, nil, errors.New("its parts are not of the same number of keys")
	}
	return a, head.Asked, nil
}
