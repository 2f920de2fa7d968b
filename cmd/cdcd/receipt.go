package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/partner"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// receiptBook is what a partner has signed about the objects of one chain.
type receiptBook struct {
	p      *pipeline
	line   *triggerLine
	finder *objectFinder

	finding sync.Mutex // guards finder's finding

	mu     sync.Mutex // guards what follows
	oldest cdc.Object // without a receipt; its ordinal is 0 when there is none
	alarm  bool
	err    error // why that is not known
}

func (b *receiptBook) received() uint64 {
	return b.p.audit.Noted(audit.TypeReceipt, "partner", b.line.chain, b.line.store.String())
}

// find is finder.find for several goroutines.
func (b *receiptBook) find(ctx context.Context, ordinal uint64) (cdc.Object, bool, error) {
	b.finding.Lock()
	defer b.finding.Unlock()
	o, _, ok, err := b.finder.find(ctx, ordinal)
	return o, ok && o.Ordinal == ordinal, err
}

// watch looks again and again for objects that stay without a receipt, and says once when that is so and when it ends.
func (b *receiptBook) watch(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		b.look(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *receiptBook) look(ctx context.Context, now time.Time) {
	received := b.received()
	b.mu.Lock()
	oldest := b.oldest
	b.mu.Unlock()
	var err error
	switch {
	case received >= b.p.audited(b.line.store)(b.line.chain):
		oldest = cdc.Object{}
	case oldest.Ordinal != received+1:
		b.finding.Lock()
		oldest, _, _, err = b.finder.find(ctx, received+1) // or the first that is still there
		b.finding.Unlock()
	}
	after := time.Duration(b.line.feed.cfg.Trigger.Receipts.UnfetchedAfter)
	b.mu.Lock()
	was := b.alarm
	if b.err = err; err == nil {
		b.oldest = oldest
		b.alarm = oldest.Ordinal > 0 && now.Sub(oldest.LastCommit) > after
	}
	is := b.alarm
	b.mu.Unlock()
	switch {
	case is && !was:
		b.p.log.Warn("objects stay without a receipt of their partner", "event", "receipt.missing", "feed", b.line.feed.name, "chain", b.line.chain,
			"ordinal", oldest.Ordinal, "key", oldest.Key, "for", now.Sub(oldest.LastCommit).Round(time.Second))
	case was && !is:
		b.p.log.Info("the partner has sent its receipts", "event", "receipt.complete", "feed", b.line.feed.name, "chain", b.line.chain, "ordinal", received)
	}
}

func (b *receiptBook) state(now time.Time) api.ReceiptStatus {
	s := api.ReceiptStatus{Chain: b.line.chain, Received: b.received()}
	if audited := b.p.audited(b.line.store)(b.line.chain); audited > s.Received {
		s.Unfetched = audited - s.Received
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.oldest.Ordinal > s.Received {
		s.Seconds = now.Sub(b.oldest.LastCommit).Seconds()
	}
	s.Alarm = b.alarm && s.Unfetched > 0
	if b.err != nil {
		s.Error = b.err.Error()
	}
	return s
}

// How many receipts are taken at once, and in a second, from everybody together.
const (
	receiptsAtOnce   = 8
	receiptsASecond  = 50
	receiptsInABurst = 200
)

// receiptServer takes receipts at POST /receipts/FEED. 204: it is in the audit log. 400, 401, 404, 409, 413: it never will be;
// 429, 503: it may be sent again.
func (ts *triggers) receiptServer() http.Handler {
	turn := make(chan struct{}, receiptsAtOnce)
	rate := &bucket{tokens: receiptsInABurst, most: receiptsInABurst, perSecond: receiptsASecond, last: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /receipts/{feed}", func(w http.ResponseWriter, r *http.Request) {
		if !rate.take(time.Now()) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many receipts", http.StatusTooManyRequests)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, partner.MaxReceipt))
		if err != nil {
			http.Error(w, "the body is too large, or did not come", http.StatusRequestEntityTooLarge)
			return
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many receipts at once", http.StatusServiceUnavailable)
			return
		}
		status, err := ts.receive(r.Context(), r.PathValue("feed"), r.Header, body)
		if err != nil {
			ts.p.log.Debug("receipt refused", "event", "receipt.refused", "feed", r.PathValue("feed"), "status", status, "err", err)
			http.Error(w, err.Error(), status)
			return
		}
		w.WriteHeader(status)
	})
	return mux
}

// receive takes one receipt. Its errors are shown to whoever sent it: until its signature is known they say nothing of ours.
func (ts *triggers) receive(ctx context.Context, feed string, header http.Header, body []byte) (status int, err error) {
	var line *triggerLine
	for _, l := range ts.order {
		if l.feed.name == feed && l.receipts != nil {
			line = l
			break
		}
	}
	if line == nil {
		return http.StatusNotFound, errors.New("no receipts are taken here")
	}
	keys, err := line.feed.cfg.Trigger.Receipts.Keys()
	if err != nil {
		ts.p.log.Error("receipts cannot be verified", "event", "receipt.keys", "feed", feed, "err", err)
		return http.StatusServiceUnavailable, errors.New("receipts cannot be verified at present")
	}
	r, err := partner.VerifyReceipt(header, body, time.Now(), keys...)
	if err != nil {
		return http.StatusUnauthorized, err
	}
	if line = ts.lines[r.Chain]; line == nil || line.feed.name != feed || line.receipts == nil {
		return http.StatusNotFound, fmt.Errorf("feed %s has no chain %s", feed, r.Chain)
	}
	store := line.store.String()
	if audited := ts.p.audited(line.store)(r.Chain); r.Ordinal > audited {
		return http.StatusConflict, fmt.Errorf("chain %s has %d objects, none with the ordinal %d", r.Chain, audited, r.Ordinal)
	}
	o, ok, err := line.receipts.find(ctx, r.Ordinal)
	if err != nil || !ok {
		ts.p.log.Warn("a receipt's object is not found", "event", "receipt.unknown", "feed", feed, "chain", r.Chain, "ordinal", r.Ordinal, "err", err)
		return http.StatusServiceUnavailable, errors.New("the object cannot be looked up at present")
	}
	if o.SHA256 != r.SHA256 || o.Key != r.Key {
		ts.p.log.Error("the partner says that it has another object than the one that was delivered", "event", "receipt.differs", "feed", feed, "chain", r.Chain,
			"ordinal", r.Ordinal, "key", o.Key, "sha256", o.SHA256, "theirs", r.SHA256)
		return http.StatusConflict, fmt.Errorf("object %d of %s is %s with sha256 %s", r.Ordinal, r.Chain, o.Key, o.SHA256)
	}
	at := r.Time
	n := audit.Note{Kind: audit.TypeReceipt, ID: fmt.Sprintf("%s/%d/%.12s", r.Chain, r.Ordinal, r.SHA256), Feed: feed, By: "partner", Chain: r.Chain, Store: store,
		Ordinal: r.Ordinal, SHA256: r.SHA256, Digest: digest(header.Get("webhook-signature")), At: &at, Outcome: "fetched"}
	if err := ts.p.audit.Note(ctx, n); err != nil {
		ts.p.log.Error("a receipt is not logged", "event", "receipt.not_logged", "feed", feed, "err", err)
		return http.StatusServiceUnavailable, errors.New("the receipt cannot be logged at present")
	}
	line.receipts.look(ctx, time.Now())
	return http.StatusNoContent, nil
}

// bucket lets so many through in a second, and more after a pause.
type bucket struct {
	mu        sync.Mutex
	tokens    float64
	most      float64
	perSecond float64
	last      time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.most, b.tokens+max(0, now.Sub(b.last).Seconds())*b.perSecond)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// listenForReceipts serves receipts, if any are wanted, until ctx ends.
func (ts *triggers) listenForReceipts(ctx context.Context) error {
	listen := ts.p.cfg.Receipts.Listen
	if listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return cdc.Errorf("CDCD-4403", "receipts.listen: %w", err).WithFix("stop what uses %s, or set receipts.listen to another address", listen)
	}
	ts.p.log.Info("receipts", "event", "receipt.listening", "address", "http://"+listener.Addr().String())
	return serve(ctx, listener, ts.receiptServer())
}
