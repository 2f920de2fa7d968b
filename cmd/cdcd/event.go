package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// eventFlag describes what eventOf takes.
const eventFlag = "the event: no:NUMBER or its ID in the stream, or a file with its JSON (- is standard input)"

// eventLong is the same at length.
const eventLong = `

The event is one of the stream, by its number (no:1001) or its ID as delivered records, dead letters and cdcd tail show it, and the running cdcd
is asked for it. Numbers are found at once; for an ID the stream is searched from its end, or from --at on, the time of the commit. Or it is a
file with the JSON of a delivered record, or of the event of a test.`

// eventOf returns the event that ref names; the batch of one of the stream has its sequence and its revision of the rules,
// that of JSON has neither. tables says what tables look like, which only JSON needs.
func (a *app) eventOf(ctx context.Context, ref, at string, tables func() ([]*cdc.Table, error)) (cdc.Event, error) {
	if no, ok := strings.CutPrefix(ref, "no:"); ok {
		n, err := strconv.ParseUint(no, 10, 64)
		if err != nil {
			return cdc.Event{}, usagef("'%s' is not the number of an event", ref).WithFix("write it like no:1001")
		}
		return a.eventInStream(ctx, eventWish{No: n})
	}
	if isFile(ref) {
		return readEvent(ref, tables)
	}
	if !strings.Contains(ref, "/") {
		return cdc.Event{}, usagef("'%s' is neither a file nor an event", ref).WithFix("write no:1001, an ID such as 0-1-17/0, or the name of a file")
	}
	from, err := timeOf("--at", at, time.Now())
	if err != nil {
		return cdc.Event{}, err
	}
	return a.eventInStream(ctx, eventWish{ID: ref, At: from})
}

// isFile reports whether ref names a file, and no event of the stream.
func isFile(ref string) bool {
	_, err := os.Stat(ref)
	return !strings.HasPrefix(ref, "no:") && (ref == "-" || err == nil)
}

// readEvent reads an event from a file.
func readEvent(name string, tables func() ([]*cdc.Table, error)) (cdc.Event, error) {
	file := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return cdc.Event{}, cdc.Errorf("CDCD-2134", "the event cannot be read: %w", err)
		}
		defer f.Close()
		file = f
	}
	text, err := io.ReadAll(io.LimitReader(file, cdc.MaxFrame))
	if err != nil {
		return cdc.Event{}, cdc.Errorf("CDCD-2134", "the event cannot be read: %w", err)
	}
	ts, err := tables()
	if err != nil {
		return cdc.Event{}, err
	}
	return rules.ParseEvent(text, ts)
}

// eventWish names an event of the stream.
type eventWish struct {
	No uint64    // or, if there is an ID:
	ID string    //
	At time.Time // search from this time on; none: from the stream's end backwards
}

func (w eventWish) String() string {
	if w.ID != "" {
		return w.ID
	}
	return fmt.Sprintf("no %d", w.No)
}

// searched is how far a search is.
type searched struct {
	Frames uint64 `json:"frames"`
	Of     uint64 `json:"of"`
}

// foundLine is a line of the answer of GET /event.
type foundLine = slowLine[searched, foundEvent]

// foundEvent is an event of the stream, with what judges it.
type foundEvent struct {
	Frame []byte `json:"frame"` // that holds the event alone
	Seq   uint64 `json:"seq"`   // of the frame that it was in
	Rules string `json:"rules"` // the revision that this names, as cdc.Revision writes it
}

// eventInStream asks the running cdcd for an event, and reads the stream itself when there is none.
func (a *app) eventInStream(ctx context.Context, wish eventWish) (cdc.Event, error) {
	cfg, err := a.config()
	if err != nil {
		return cdc.Event{}, err
	}
	live := living{ui: a.ui}
	defer live.end()
	progress := func(s searched) {
		live.show("search: ", fmt.Sprintf("looked for %s in %s of %s frames", wish, grouped(s.Frames), grouped(s.Of)))
	}
	e, unanswered := eventOfRunning(ctx, cfg, wish, progress)
	if cdc.CodeOf(unanswered) != codeNotRunning {
		return e, interrupted(ctx, unanswered)
	}
	if !hasStream(cfg) {
		return e, noSuchEvent(wish)
	}
	stream, err := a.unattended(ctx, cfg, unanswered)
	if err != nil {
		return e, interrupted(ctx, err)
	}
	defer stream.Close()
	e, err = wish.find(ctx, stream, progress)
	return e, interrupted(ctx, err)
}

const codeNoEvent = "CDCD-2340"

func noSuchEvent(wish eventWish) error {
	return cdc.Errorf(codeNoEvent, "the stream has no event %s", wish).
		WithFix("it may be older than what the stream keeps, or of another source; give the delivered record as a file")
}

// find looks for the event in the stream.
func (w eventWish) find(ctx context.Context, stream *bus.Stream, progress func(searched)) (cdc.Event, error) {
	if w.ID == "" {
		b, err := stream.FrameOf(ctx, w.No)
		if err != nil {
			return cdc.Event{}, err
		}
		for i := 0; b != nil && i < b.Len(); i++ {
			if e := b.Event(i); e.No() == w.No {
				return e, nil
			}
		}
		return cdc.Event{}, noSuchEvent(w)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return cdc.Event{}, err
	}
	first, last := max(info.First, 1), info.Last
	s := searched{Of: last + 1 - min(first, last+1)}
	var found cdc.Event
	var id []byte
	look := func(_ context.Context, b *cdc.Batch) error {
		for i := range b.Len() {
			e := b.Event(i)
			if id = e.Position().AppendID(id[:0]); string(id) == w.ID {
				found = e
				return errFound
			}
		}
		s.Frames++
		progress(s)
		return nil
	}
	parts := backwards(first, last)
	if !w.At.IsZero() { // a change is in the stream after it was committed
		if first, err = stream.At(ctx, w.At); err != nil {
			return cdc.Event{}, err
		}
		s.Of = last + 1 - min(first, last+1)
		parts = [][2]uint64{{first, last}}
	}
	for _, part := range parts {
		ctx, stop := context.WithCancelCause(ctx)
		err := stream.Read(ctx, part[0], part[1], func(c context.Context, b *cdc.Batch) error {
			err := look(c, b)
			if err != nil {
				stop(err) // else the frame would be offered again
			}
			return err
		})
		stop(nil)
		switch {
		case context.Cause(ctx) == errFound:
			return found, nil
		case err != nil:
			return cdc.Event{}, err
		}
	}
	return cdc.Event{}, noSuchEvent(w)
}

var errFound = errors.New("found")

// backwards cuts [first, last] into parts of growing length, the last first.
func backwards(first, last uint64) (parts [][2]uint64) {
	for n := uint64(100); first <= last; n = min(2*n, 10_000) {
		from := max(first, last+1-min(n, last))
		parts = append(parts, [2]uint64{from, last})
		last = from - 1
	}
	return parts
}

// eventOfRunning asks the running cdcd.
func eventOfRunning(ctx context.Context, cfg *config, wish eventWish, progress func(searched)) (cdc.Event, error) {
	query := url.Values{}
	if wish.ID == "" {
		query.Set("no", fmt.Sprint(wish.No))
	} else {
		query.Set("id", wish.ID)
	}
	if !wish.At.IsZero() {
		query.Set("at", wish.At.UTC().Format(time.RFC3339Nano))
	}
	body, err := askRunning(ctx, cfg, "/event?"+query.Encode(), 0)
	if err != nil {
		return cdc.Event{}, err
	}
	defer body.Close()
	found, err := hearLines[searched, foundEvent](ctx, body, progress)
	if err != nil {
		return cdc.Event{}, err
	}
	e, err := found.open()
	if err != nil {
		return cdc.Event{}, fmt.Errorf("%s/event: %w", cfg.Console.Listen, err)
	}
	return e, nil
}

func (f *foundEvent) open() (cdc.Event, error) {
	b, err := cdc.Open(f.Frame, nil)
	if err == nil && b.Len() != 1 {
		err = fmt.Errorf("a frame of %d events", b.Len())
	}
	if err != nil {
		return cdc.Event{}, err
	}
	b.Seq = f.Seq
	b.Rules, err = cdc.ParseRevision(f.Rules)
	return b.Event(0), err
}

// event answers GET /event with one event, which is searched until it is found or who asked goes away.
func (p *pipeline) event(w http.ResponseWriter, r *http.Request) {
	var wish eventWish
	query := r.URL.Query()
	wish.ID = query.Get("id")
	var err error
	if wish.ID == "" {
		wish.No, err = strconv.ParseUint(query.Get("no"), 10, 64)
	}
	if at := query.Get("at"); at != "" && err == nil {
		wish.At, err = time.Parse(time.RFC3339Nano, at)
	}
	if err != nil {
		http.Error(w, "name an event: ?no=1001 or ?id=0-1-17/0, with &at=2026-11-21T10:00:00Z if its time is known", http.StatusBadRequest)
		return
	}
	if !enter(w, &p.searches, maxSearches, "enough searches are running already") {
		return
	}
	defer p.searches.Add(-1)
	say := sayLines[searched, foundEvent](w)
	said := time.Now()
	e, err := wish.find(r.Context(), p.stream, func(s searched) {
		if now := time.Now(); now.Sub(said) > 200*time.Millisecond {
			said = now
			say(foundLine{Progress: &s})
		}
	})
	if err != nil {
		no := refusalOf(err)
		say(foundLine{Error: &no})
		return
	}
	b := e.Batch()
	say(foundLine{Result: &foundEvent{new(cdc.Builder).Single(e), b.Seq, b.Rules.String()}})
}

// maxSearches bounds what people may take from delivery.
const maxSearches = 2
