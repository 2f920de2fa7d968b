package trigger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Config says who is told of what. All functions but Pause are required; they are called by one goroutine, that of Run.
type Config struct {
	Chain string // source/feed/partition
	By    string // what tells: webhook, nats
	Place string // who is told, in a form that may be shown
	Keep  string // names the place: a Teller that was disabled for another is not disabled for this one

	// Audited returns the ordinal of the last object of the chain that may be told of, Told that of the last one that was
	// noted as told.
	Audited func() uint64
	Told    func() uint64
	// Note makes it durable that an object was told of, idempotently.
	Note func(ctx context.Context, d Done) error
	// Find returns the object with that ordinal, or the first one behind it that is still in the store, and the key of the one
	// before it ("" when that is not known). ok is false when there is none.
	Find func(ctx context.Context, ordinal uint64) (o cdc.Object, prevKey string, ok bool, err error)
	// Event returns the body to send. It is called for each attempt.
	Event func(ctx context.Context, o cdc.Object, prevKey string) ([]byte, error)
	// Send sends it once. Errors may have the methods Gone() bool, which says that the place wants no more events ever, and
	// Wait() time.Duration, how long it asks to be left alone.
	Send func(ctx context.Context, id string, body []byte) error

	// Load and Save keep what must survive a restart beside the log. Save makes it durable.
	Load func() (Memory, error)
	Save func(Memory) error

	GiveUp time.Duration // default 72 h
	Logger *slog.Logger
	Now    func() time.Time                                    // default time.Now
	Pause  func(ctx context.Context, wait time.Duration) error // default: waits
}

// Done is what is noted of an object.
type Done struct {
	Object   cdc.Object
	ID       string // of the event
	Attempts int
}

// Memory is what a Teller remembers beside the log.
type Memory struct {
	Disabled     string    `json:"disabled,omitempty"` // why; "" when it is not
	DisabledAt   time.Time `json:"disabled_at,omitzero"`
	Keep         string    `json:"keep,omitempty"`         // the place that it is disabled for, or that fails
	FailingSince time.Time `json:"failing_since,omitzero"` // the first attempt that failed, with the object that is to be told of
	Ordinal      uint64    `json:"ordinal,omitempty"`      // of that object
}

// Stats is a Teller as operators see it.
type Stats struct {
	Chain, By, Place string
	Told, Audited    uint64
	Sent, Failed     uint64    // attempts of this process
	FailingSince     time.Time // zero while it works
	Err              error     // of the last attempt; nil when it was taken
	Disabled         string    // why; "" when it is not
	DisabledAt       time.Time
	Next             time.Time // when it is tried again; zero when nothing waits for that
}

// Teller tells one place of the objects of one chain. One goroutine calls Run; all other methods may be called by any.
type Teller struct {
	cfg  Config
	kick chan struct{}

	mu     sync.Mutex // guards what follows
	memory Memory
	enable bool
	stats  Stats
}

// New makes a Teller.
func New(cfg Config) *Teller {
	if cfg.GiveUp == 0 {
		cfg.GiveUp = 72 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Teller{cfg: cfg, kick: make(chan struct{}, 1), stats: Stats{Chain: cfg.Chain, By: cfg.By, Place: cfg.Place}}
	if cfg.Pause == nil {
		t.cfg.Pause = t.wait
	}
	return t
}

// Kick says that there may be something to tell of. It never waits.
func (t *Teller) Kick() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// Enable lets a disabled Teller go on, and one that pauses try at once.
func (t *Teller) Enable() {
	t.mu.Lock()
	t.enable = true
	t.mu.Unlock()
	t.Kick()
}

// Stats returns figures for operators.
func (t *Teller) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Told, s.Audited = t.cfg.Told(), t.cfg.Audited()
	s.Disabled, s.DisabledAt, s.FailingSince = t.memory.Disabled, t.memory.DisabledAt, t.memory.FailingSince
	return s
}

// Run tells, until ctx ends. It comes back with an error only then: everything else is tried again.
func (t *Teller) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		m, err := t.cfg.Load()
		if err == nil {
			t.mu.Lock()
			t.memory = m
			if m.Keep != t.cfg.Keep {
				t.memory = Memory{}
			}
			t.mu.Unlock()
			break
		}
		if err := t.failed(ctx, attempt, err); err != nil {
			return err
		}
	}
	for attempt := 0; ; {
		idle, err := t.step(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if err := t.failed(ctx, attempt, err); err != nil {
				return err
			}
			attempt++
			continue
		}
		attempt = 0
		if !idle {
			continue
		}
		select {
		case <-t.kick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// step tells of one object; idle says that there was nothing to do.
func (t *Teller) step(ctx context.Context) (idle bool, err error) {
	if err := t.obey(); err != nil {
		return false, err
	}
	if t.disabled() {
		return true, nil
	}
	told := t.cfg.Told()
	if told >= t.cfg.Audited() {
		return true, nil
	}
	o, prev, ok, err := t.cfg.Find(ctx, told+1)
	if err == nil && !ok {
		err = errors.New("it is not in its store, and none behind it")
	}
	if err != nil {
		return false, fmt.Errorf("object %d of %s: %w", told+1, t.cfg.Chain, err)
	}
	if o.Ordinal > told+1 { // objects may be removed from a store when they are old
		t.cfg.Logger.Warn("objects are not in their store any more; nobody is told of them", "event", "trigger.missing", "chain", t.cfg.Chain, "by", t.cfg.By,
			"from", told+1, "to", o.Ordinal-1)
	}
	if err := t.tell(ctx, o, prev); err != nil {
		return false, err
	}
	return false, nil
}

// tell sends until it is taken, or not to be sent any more, and notes that it was.
func (t *Teller) tell(ctx context.Context, o cdc.Object, prev string) error {
	id := ID(o)
	for attempts := 1; ; attempts++ {
		body, err := t.cfg.Event(ctx, o, prev)
		if err == nil {
			err = t.cfg.Send(ctx, id, body)
		}
		if err == nil {
			if err := t.note(ctx, Done{o, id, attempts}); err != nil {
				return err
			}
			return t.works()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if off, err := t.refused(o, err); off || err != nil {
			return err
		}
		if err := t.failed(ctx, attempts-1, err); err != nil {
			return err
		}
		if err := t.obey(); err != nil {
			return err
		}
	}
}

// Again sends the event of an object that was told of once more, once, and notes nothing. It does not wait for Run.
func (t *Teller) Again(ctx context.Context, o cdc.Object, prevKey string) error {
	body, err := t.cfg.Event(ctx, o, prevKey)
	if err != nil {
		return err
	}
	return t.cfg.Send(ctx, ID(o), body)
}

// note insists: what was sent is only told when the log has it, and sending it again would not help that.
func (t *Teller) note(ctx context.Context, d Done) error {
	for attempt := 0; ; attempt++ {
		err := t.cfg.Note(ctx, d)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := t.failed(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// refused notes that an attempt failed, and disables the Teller if that is to be the last one.
func (t *Teller) refused(o cdc.Object, err error) (off bool, saving error) {
	now := t.cfg.Now()
	t.mu.Lock()
	m := t.memory
	t.stats.Failed++
	t.mu.Unlock()
	first := m.Ordinal != o.Ordinal || m.FailingSince.IsZero()
	if first {
		m.FailingSince, m.Ordinal, m.Keep = now, o.Ordinal, t.cfg.Keep
	}
	var gone interface{ Gone() bool }
	switch {
	case errors.As(err, &gone) && gone.Gone():
		m.Disabled = err.Error()
	case now.Sub(m.FailingSince) >= t.cfg.GiveUp:
		m.Disabled = fmt.Sprintf("object %d was not taken for %s: %v", o.Ordinal, t.cfg.GiveUp, err)
	}
	if m.Disabled == "" && !first {
		return false, nil
	}
	if m.Disabled != "" {
		m.DisabledAt = now
		t.cfg.Logger.Error("nobody is told of objects any more until this is enabled again", "event", "trigger.disabled", "chain", t.cfg.Chain,
			"by", t.cfg.By, "place", t.cfg.Place, "ordinal", o.Ordinal, "why", m.Disabled)
	} else {
		t.cfg.Logger.Warn("somebody cannot be told of an object, trying again", "event", "trigger.failing", "chain", t.cfg.Chain,
			"by", t.cfg.By, "place", t.cfg.Place, "ordinal", o.Ordinal, "err", err)
	}
	return m.Disabled != "", t.remember(m)
}

// works notes that an attempt did not fail.
func (t *Teller) works() error {
	t.mu.Lock()
	m := t.memory
	t.stats.Sent++
	t.stats.Err, t.stats.Next = nil, time.Time{}
	t.mu.Unlock()
	if m.FailingSince.IsZero() {
		return nil
	}
	t.cfg.Logger.Info("somebody is told of objects again", "event", "trigger.works", "chain", t.cfg.Chain, "by", t.cfg.By, "place", t.cfg.Place,
		"after", t.cfg.Now().Sub(m.FailingSince))
	return t.remember(Memory{})
}

func (t *Teller) disabled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.memory.Disabled != ""
}

// obey does what Enable asks for.
func (t *Teller) obey() error {
	t.mu.Lock()
	enable, m := t.enable, t.memory
	t.enable = false
	t.mu.Unlock()
	if !enable || m == (Memory{}) {
		return nil
	}
	if err := t.remember(Memory{}); err != nil {
		t.mu.Lock()
		t.enable = true
		t.mu.Unlock()
		return err
	}
	return nil
}

func (t *Teller) remember(m Memory) error {
	if err := t.cfg.Save(m); err != nil {
		return fmt.Errorf("remember how %s of %s stands: %w", t.cfg.By, t.cfg.Chain, err)
	}
	t.mu.Lock()
	t.memory = m
	t.mu.Unlock()
	return nil
}

// The pauses between attempts: they double from the first to the longest, which is also what an answer may ask for.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	longestWait  = 24 * time.Hour
)

// failed waits after an error.
func (t *Teller) failed(ctx context.Context, attempt int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := backoff.Pause(attempt, firstPause, longestPause)
	var asks interface{ Wait() time.Duration }
	if errors.As(err, &asks) {
		wait = max(wait, min(asks.Wait(), longestWait))
	}
	t.mu.Lock()
	t.stats.Err, t.stats.Next = err, t.cfg.Now().Add(wait)
	t.mu.Unlock()
	return t.cfg.Pause(ctx, wait)
}

// wait ends early when Enable is called, but not for new objects.
func (t *Teller) wait(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-t.kick:
			t.mu.Lock()
			now := t.enable
			t.mu.Unlock()
			if now {
				return nil
			}
		}
	}
}
