package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// Live is asked for changes as they come.
type Live interface {
	// Follow hands on the stream's frames from the change after a number on, or with 0 from now on, until ctx ends. It skips what is too
	// far back. each must not wait: many are handed the same frames.
	Follow(ctx context.Context, after uint64, each func(*cdc.Batch)) error
	// Judged says what a change is, and what the rules of its revision make of it.
	Judged(ctx context.Context, e cdc.Event) (api.Event, error)
	// Shapes are the newest definitions of the tables that changes have been seen of.
	Shapes() []*cdc.Table
}

// What a stream may take, and what it says how often.
const (
	maxStreams   = 32                     // of all
	maxStreamsOf = 8                      // of one person, or one address
	pendingBytes = 8 << 20                // of frames that wait to be looked at, for each stream
	flushEvery   = 250 * time.Millisecond // changes that came are sent
	flushMost    = 12                     // of them: some 50 a second, more nobody reads
	budget       = 50 * time.Millisecond  // of looking at changes, between two flushes, if few do
	budgetOfAll  = 100 * time.Millisecond // for all who do: what they take, delivery does not have
	pingEvery    = 10 * time.Second
	tellEvery    = 2 * time.Second  // how everything is
	slowReader   = 20 * time.Second // that does not take what is sent is let go
	streamLasts  = time.Hour        // then who reads comes again, and shows anew who he is
)

var topics = []string{"overview", "live", "jobs"}

// subscription is what one stream wants.
type subscription struct {
	topics map[string]bool
	query  EventQuery
	filter *filter // nil: none
	after  uint64
}

// streams counts who follows, and knows what jobs there are to tell them of.
type streams struct {
	mu    sync.Mutex // guards all
	all   int
	of    map[string]int
	jobs  map[string]api.Job // the newest of each
	order []string           // their IDs, oldest first
	wake  map[chan struct{}]bool
}

// keptJobs is of how many jobs the last that was told is kept, for those who come later.
const keptJobs = 50

// Job tells everybody who follows how far a job is.
func (c *Console) Job(j api.Job) {
	s := &c.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.jobs[j.ID]; !known {
		if s.order = append(s.order, j.ID); len(s.order) > keptJobs {
			delete(s.jobs, s.order[0])
			s.order = s.order[1:]
		}
	}
	s.jobs[j.ID] = j
	for wake := range s.wake {
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
}

func (c *Console) live() {
	registry := c.api.OpenAPI().Components.Schemas
	message := func(name string, t reflect.Type) *huma.Schema {
		return &huma.Schema{Title: "message " + name, Ref: registry.Schema(t, true, "").Ref}
	}
	query := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	c.api.OpenAPI().AddOperation(&huma.Operation{OperationID: "stream", Method: http.MethodGet, Path: prefix + "/stream", Tags: []string{"stream"},
		Summary: "What happens, as it happens (server-sent events)", Extensions: map[string]any{"x-role": api.Viewer.String()},
		Description: "Messages have the event overview (the same as GET /overview, every two seconds), live (changes), job and ping; an id is the number of a change. " +
			"Who connects again with Last-Event-ID goes on from there, as far as that is possible; what is left out is counted.",
		Parameters: []*huma.Param{query("topics", "Of overview, live, jobs, separated by commas; by default overview."),
			query("tables", "Of live: schema.table, with * and ?, separated by commas."), query("ops", "Of live: insert, update, delete, snapshot."),
			query("when", "Of live: a condition as in a rule's when."),
			{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{OneOf: []*huma.Schema{
			message("overview", reflect.TypeFor[api.Overview]()), message("live", reflect.TypeFor[api.LiveEvents]()),
			message("job", reflect.TypeFor[api.Job]()), message("ping", reflect.TypeFor[api.Ping]())}}}}}}})
	c.mux.HandleFunc("GET "+prefix+"/stream", c.stream)
}

// stream answers with messages until who asks goes away.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	if who := CallerOf(r.Context()); who.Role < api.Viewer {
		refuse(w, http.StatusForbidden, "stream", cdc.Errorf(codeRole, "stream is for role viewer and above"))
		return
	}
	wake := make(chan struct{}, 1)
	whose := CallerOf(r.Context()).User // behind a proxy all have one address
	if whose == "" {
		whose = addressOf(r)
	}
	leave, err := c.streams.enter(whose, wake)
	if err != nil {
		refuse(w, http.StatusTooManyRequests, "stream", err)
		return
	}
	defer leave()
	want, err := c.subscription(r)
	if err != nil {
		refuse(w, statusOf(err), "stream", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies are to hand on what comes
	ctx, gone := context.WithCancel(r.Context())
	defer gone()
	out := &messages{w: w, response: http.NewResponseController(w), gone: gone}
	out.ping()
	var queue *pending
	if want.topics["live"] {
		queue = &pending{next: want.after + 1}
		followed := make(chan struct{})
		go func() { // ends with ctx; it is waited for
			defer close(followed)
			if err := c.cfg.Backend.Live.Follow(ctx, want.after, queue.put); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("the stream cannot be followed", "event", "console.follow", "err", err)
				gone() // who asks comes again
			}
		}()
		defer func() { gone(); <-followed }()
	}
	c.send(ctx, want, queue, out, wake)
}

// send sends what is wanted, each at its time.
func (c *Console) send(ctx context.Context, want *subscription, queue *pending, out *messages, wake <-chan struct{}) {
	flush, tell, ping := time.NewTicker(flushEvery), time.NewTicker(tellEvery), time.NewTicker(pingEvery)
	defer flush.Stop()
	defer tell.Stop()
	defer ping.Stop()
	enough := time.NewTimer(streamLasts)
	defer enough.Stop()
	told := map[string]string{}
	jobs := func() {
		if want.topics["jobs"] {
			c.streams.untold(told, func(j api.Job, text string) { out.text("job", "", text) })
		}
	}
	overview := func() {
		if want.topics["overview"] {
			out.send("overview", "", c.overviewNow(ctx))
		}
	}
	overview()
	jobs()
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-wake:
			jobs()
		case <-tell.C:
			overview()
		case <-ping.C:
			if !StillIn(ctx) {
				return
			}
			out.ping()
		case <-flush.C:
			if queue == nil {
				continue
			}
			if m, no := c.look(ctx, want, queue); m.Seen > 0 {
				out.send("live", strconv.FormatUint(no, 10), m)
			}
		}
	}
}

// look looks at what has come since the last time, for as long as it may.
func (c *Console) look(ctx context.Context, want *subscription, queue *pending) (m api.LiveEvents, no uint64) {
	m.Events = []api.Event{}
	began, takes := time.Now(), c.streams.budget()
	for ctx.Err() == nil {
		b := queue.take()
		if b == nil {
			break
		}
		for i := range b.Len() {
			e := b.Event(i)
			if e.No() < queue.next { // it was seen before the line broke
				continue
			}
			gone := e.No() - queue.next
			m.Seen, m.Dropped = m.Seen+gone+1, m.Dropped+gone
			if want.filter == nil && len(want.query.Tables)+len(want.query.Ops) == 0 {
				m.Matched += gone
			}
			queue.next = e.No() + 1
			if !want.query.Wants(e) {
				continue
			}
			if len(m.Events) >= flushMost && want.filter == nil || time.Since(began) > takes {
				m.Dropped++
				if want.filter == nil {
					m.Matched++
				}
				continue
			}
			if want.filter != nil {
				matched, err := want.filter.matches(e)
				if err != nil {
					m.Failed, m.Error = m.Failed+1, err.Error()
				}
				if !matched {
					continue
				}
			}
			if m.Matched++; len(m.Events) >= flushMost {
				m.Dropped++
				continue
			}
			one, err := c.cfg.Backend.Live.Judged(ctx, e)
			if err != nil || len(one.Line) > mostLine {
				m.Dropped++
				continue
			}
			m.Events = append(m.Events, one)
		}
	}
	return m, queue.next - 1
}

// mostLine is how long a change may be that is shown as it comes; a longer one can be asked for.
const mostLine = 256 << 10

// pending are frames that wait to be looked at. When they are too much the oldest are let go; their changes are counted by their numbers.
type pending struct {
	next  uint64 // number of the change that comes next; used by who takes alone, as is what follows
	begun bool   // one was taken

	mu      sync.Mutex // guards what follows
	batches []*cdc.Batch
	bytes   int
}

func (q *pending) put(b *cdc.Batch) {
	if b.Len() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = append(q.batches, b)
	q.bytes += len(b.Frame())
	for q.bytes > pendingBytes && len(q.batches) > 1 {
		q.bytes -= len(q.batches[0].Frame())
		q.batches[0] = nil
		q.batches = q.batches[1:]
	}
}

// take returns the oldest, nil if there is none. The first of all says where the numbers begin, unless they go on from somewhere. Where they are
// all smaller, what was seen before was of another stream.
func (q *pending) take() *cdc.Batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		return nil
	}
	b := q.batches[0]
	q.batches[0] = nil
	q.batches = q.batches[1:]
	q.bytes -= len(b.Frame())
	if !q.begun && (q.next <= 1 || b.Event(b.Len()-1).No() < q.next) {
		q.next = b.Event(0).No()
	}
	q.begun = true
	return b
}

// subscription reads what a stream is to hold.
func (c *Console) subscription(r *http.Request) (*subscription, error) {
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains([]string{"topics", "tables", "ops", "when"}, name) {
			return nil, cdc.Errorf(codeRequest, "the stream takes no parameter '%s'", name).WithFix("it takes topics, tables, ops and when")
		}
	}
	want := &subscription{topics: map[string]bool{}}
	for _, topic := range listed(query.Get("topics")) {
		if !slices.Contains(topics, topic) {
			return nil, cdc.Errorf(codeRequest, "the stream has no topic '%s'", topic).WithFix("choose of %s", strings.Join(topics, ", "))
		}
		want.topics[topic] = true
	}
	if len(want.topics) == 0 {
		want.topics["overview"] = true
	}
	tables, ops := listed(query.Get("tables")), listed(query.Get("ops"))
	if len(tables) > mostPatterns || len(ops) > mostPatterns { // they are tried on each change
		return nil, cdc.Errorf(codeRequest, "the stream takes %d patterns of tables at most", mostPatterns).WithFix("name fewer, with * and ?")
	}
	var err error
	if want.query, err = eventQuery(tables, ops); err != nil {
		return nil, err
	}
	if when := strings.TrimSpace(query.Get("when")); when != "" && want.topics["live"] {
		if c.cfg.Gate != nil {
			c.cfg.Gate.charge(r, filterCosts)
		}
		select { // to read one takes a core for a while, which delivery does not have: one at a time
		case c.reading <- struct{}{}:
			defer func() { <-c.reading }()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		if want.filter, err = newFilter(when, &want.query, c.cfg.Backend.Live.Shapes()); err != nil {
			return nil, err
		}
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if want.after, err = strconv.ParseUint(id, 10, 64); err != nil {
			return nil, cdc.Errorf(codeRequest, "Last-Event-ID '%.40s' is not the number of a change", id)
		}
	}
	return want, nil
}

func listed(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// filter is a condition that is tried on changes, as a rule's would be.
type filter struct{ set *rules.Set }

const (
	mostFilter   = 4 << 10 // bytes of a condition that stands in an address
	triedTables  = 12      // that it is tried on before it is said not to fit: those whose columns it names the most of
	filterCosts  = 20      // as many requests is one
	mostPatterns = 20      // as GET /events takes
)

// newFilter reads a condition. It is one rule for each operation: a condition may be about something that only some operations have. It is
// refused when it fits none of the tables that it may be asked about, whatever the operation.
func newFilter(when string, q *EventQuery, tables []*cdc.Table) (*filter, error) {
	if len(when) > mostFilter {
		return nil, cdc.Errorf(codeRequest, "the condition has %d bytes; a filter may have %d", len(when), mostFilter)
	}
	var all []*rules.Rule
	wanted := slices.DeleteFunc(slices.Clone(tables), func(t *cdc.Table) bool {
		return len(q.Tables) > 0 && !slices.ContainsFunc(q.Tables, func(g cdc.TableGlob) bool { return g.Match(t.Schema, t.Name) })
	})
	named := map[*cdc.Table]int{}
	for _, t := range wanted {
		for i := range t.Columns {
			if strings.Contains(when, t.Columns[i].Name) {
				named[t]++
			}
		}
	}
	slices.SortStableFunc(wanted, func(a, b *cdc.Table) int { return named[b] - named[a] })
	wanted = wanted[:min(len(wanted), triedTables)]
	fits := len(wanted) == 0 // nothing is known of them
	var findings error
	for _, op := range []cdc.Op{cdc.OpUpdate, cdc.OpInsert, cdc.OpDelete, cdc.OpSnapshot} {
		if len(q.Ops) > 0 && !slices.Contains(q.Ops, op) {
			continue
		}
		text, err := json.Marshal(map[string]any{"version": 1, "rules": []any{map[string]any{"name": "filter-" + op.String(), "tables": []string{"*.*"},
			"on": []string{op.String()}, "when": when, "to": []string{"filter"}}}}) // which is YAML
		if err != nil {
			return nil, err
		}
		rs, err := rules.Parse("filter", text)
		if err != nil {
			return nil, filterError(err)
		}
		all = append(all, rs...)
		alone, err := rules.New(rs)
		if err != nil {
			return nil, filterError(err)
		}
		for i := 0; i < len(wanted) && !fits; i++ {
			if _, err := alone.Check(wanted[i : i+1]); err == nil {
				fits = true
			} else if findings == nil {
				findings = err
			}
		}
	}
	if !fits {
		return nil, filterError(findings)
	}
	set, err := rules.New(all)
	if err != nil {
		return nil, filterError(err)
	}
	return &filter{set}, nil
}

// filterError says what is wrong with a condition that stands in no file.
func filterError(err error) error {
	one := api.ErrorsOf(err)[0]
	e := cdc.Errorf("CDCD-2101", "%s", one.Message)
	if one.Code != "" {
		e.Code = one.Code
	}
	if one.Suggestion != "" {
		return e.WithFix("%s", one.Suggestion)
	}
	return e
}

// matches tries the condition. A change that it does not fit is one that it cannot judge.
func (f *filter) matches(e cdc.Event) (bool, error) {
	d := f.set.Decide(e)
	if len(d.Errors) > 0 {
		return false, d.Errors[0].Err
	}
	return len(d.Matches) > 0, nil
}

// budget is how long one of those who follow may look at changes, between two flushes.
func (s *streams) budget() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(budget, budgetOfAll/time.Duration(max(1, s.all)))
}

// enter lets somebody follow: who has a name by it, else by the address. Who was let in leaves.
func (s *streams) enter(whose string, wake chan struct{}) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.of[whose] >= maxStreamsOf {
		return nil, cdc.Errorf(codeBusy, "%d follow what happens already, %d of them are yours", s.all, s.of[whose]).
			WithFix("close other windows of the console")
	}
	s.all++
	s.of[whose]++
	s.wake[wake] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[whose]--; s.of[whose] == 0 {
			delete(s.of, whose)
		}
		delete(s.wake, wake)
	}, nil
}

// untold hands on the jobs that are otherwise than they were told.
func (s *streams) untold(told map[string]string, tell func(j api.Job, text string)) {
	s.mu.Lock()
	jobs := make([]api.Job, 0, len(s.order))
	for _, id := range s.order {
		jobs = append(jobs, s.jobs[id])
	}
	s.mu.Unlock()
	now := map[string]string{}
	for _, j := range jobs {
		text, err := json.Marshal(j)
		if err != nil {
			continue // a test of its kind says so
		}
		if now[j.ID] = string(text); told[j.ID] != now[j.ID] {
			tell(j, now[j.ID])
		}
	}
	clear(told)
	maps.Copy(told, now)
}

// messages writes server-sent events.
type messages struct {
	w        http.ResponseWriter
	response *http.ResponseController
	gone     func()
}

func (m *messages) send(event, id string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		m.gone()
		return
	}
	m.text(event, id, string(text))
}

// text writes one message. JSON has no line breaks.
func (m *messages) text(event, id, data string) {
	if id != "" {
		id = "id: " + id + "\n"
	}
	_ = m.response.SetWriteDeadline(time.Now().Add(slowReader)) // this answer has no end, but a reader must read
	if _, err := fmt.Fprintf(m.w, "event: %s\n%sdata: %s\n\n", event, id, data); err != nil {
		m.gone()
		return
	}
	if err := m.response.Flush(); err != nil {
		m.gone()
	}
}

func (m *messages) ping() { m.send("ping", "", api.Ping{At: time.Now().UTC()}) }
