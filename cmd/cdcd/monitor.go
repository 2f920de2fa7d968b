package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/pprof"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// state is a running cdcd in figures: what /status answers, `cdcd status` shows and, with what only machines ask for, /metrics counts.
type state struct {
	api.Status
	source sourceFigures
	rules  []ruleFigure
}

// state looks at the pipeline. It never blocks for long.
func (p *pipeline) state(ctx context.Context) state {
	now := time.Now()
	s := state{Status: api.Status{Source: p.cfg.Name, Writer: p.writer, Ready: true, Feeds: []api.FeedStatus{}}}
	s.Rules, s.rules = p.rules.rulesState()
	for _, q := range p.quarantined() {
		s.Quarantined = append(s.Quarantined, api.Quarantine(q))
	}
	fail := func(format string, args ...any) {
		if s.Ready {
			s.Ready, s.Why = false, fmt.Sprintf(format, args...)
		}
	}
	s.Capture = api.CaptureStatus{Rows: p.rows.Load(), Bytes: p.frameBytes.Load(), Standby: p.standby.Load()}
	s.Capture.SourceStatus, s.source = p.source.state(now, s.Capture.Standby)
	if seen := p.seen.Load(); seen > 0 {
		s.Capture.LastFrame = time.UnixMicro(seen).UTC().Format(time.RFC3339Nano)
	}
	if text := p.lastError.Load(); text != nil {
		s.Capture.Error = *text
		fail("capture: %s", *text)
	} else if !p.following.Load() && !s.Capture.Standby {
		fail("capture: the source has not been reached yet")
	}
	if held := p.held.Load(); held != nil {
		s.Capture.Held = *held
		fail("capture waits for the stream: %s", *held)
	}
	if server := p.server.Load(); server != nil {
		for _, job := range server.Snapshots() {
			s.Snapshots = append(s.Snapshots, api.SnapshotJob(job))
		}
	}
	s.Lookups = p.lookups.state()
	if err := p.stream.Healthy(); err != nil {
		fail("stream: %v", err)
	} else if info, err := p.stream.Info(ctx); err != nil {
		fail("stream: %v", err)
	} else {
		s.Stream = api.StreamStatus{First: info.First, Last: info.Last, Frames: info.Messages, Bytes: info.Bytes, MaxBytes: info.MaxBytes}
		p.filling.state(&s.Stream)
	}
	for _, f := range p.feeds {
		fs := f.state(now)
		if n := f.seq.Load(); n > 0 && s.Stream.Last > n {
			fs.Behind = s.Stream.Last - n
		}
		if fs.Error != "" {
			fail("feed %s: %s", f.name, fs.Error)
		}
		fs.Triggers, fs.Receipts = p.triggers.state(f.name, now) // of no weight for readiness: they hold up nothing
		s.Feeds = append(s.Feeds, fs)
	}
	return s
}

func (f *feed) state(now time.Time) api.FeedStatus {
	f.mu.Lock()
	c, err, past := f.chain, f.err, f.past
	f.mu.Unlock()
	s := api.FeedStatus{Feed: f.name, To: f.cfg.To, Events: f.events.Load(), Matched: f.matched.Load(), Failed: f.failed.Load(), Mismatches: f.mismatches.Load()}
	var cs chain.Stats
	if c != nil {
		cs = c.Stats()
	} else if err == nil {
		s.Error = "its store has not been reached yet"
	}
	s.Objects, s.Records, s.Bytes = past.Objects+cs.Objects, past.Records+cs.Records, past.Bytes+cs.Bytes
	s.BehindFor = time.Duration(f.behind.Load()).Seconds()
	s.Waiting, s.Ordinal, s.LastKey = cs.Waiting, cs.Head.Ordinal, cs.Head.Key
	if !cs.WaitingSince.IsZero() {
		s.AgeSeconds = now.Sub(cs.WaitingSince).Seconds()
	}
	if err == nil {
		err = cs.Err
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

// handler answers /healthz (the process lives), /readyz (it captures and delivers), /status, /metrics, and
// /debug/pprof/ (where time and memory go: go tool pprof http://…/debug/pprof/profile?seconds=10).
func (p *pipeline) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*figures)(p))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s := p.state(r.Context()); !s.Ready {
			why := "not ready" // what it says of the house is not for everybody
			if console.CallerOf(r.Context()).Role >= api.Viewer {
				why = s.Why
			}
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /tail", p.tail)
	mux.HandleFunc("GET /event", p.event)
	mux.HandleFunc("POST /events", p.events)
	mux.HandleFunc("GET /stream/tables", p.tablesInStream)
	mux.HandleFunc("POST /backtest", p.backtest)
	mux.HandleFunc("POST /dlq", p.askDLQ)
	mux.HandleFunc("POST /replay", p.replay)
	mux.HandleFunc("POST /rules", p.askRules)
	mux.HandleFunc("POST /plugins", p.askPlugins)
	mux.HandleFunc("POST /trigger", p.askTrigger)
	mux.HandleFunc("POST /person/{action}", p.askPerson)
	mux.HandleFunc("GET /snapshot", p.listSnapshots)
	mux.HandleFunc("POST /snapshot", p.startSnapshot)
	mux.HandleFunc("POST /snapshot/{id}/{action}", p.alterSnapshot)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // heap, allocs, goroutine, …
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.state(r.Context())) // the client has gone away
	})
	gate := p.newGate(mux)
	mux.Handle("/", p.newConsole(gate))
	return sameOrigin(http.NewCrossOriginProtection().Handler(gate.Wrap(ofSource(p.cfg.Name, mux))), p.cfg.Console)
}

// figures is the pipeline as a Prometheus collector: it reads what is counted anyway, when it is asked.
type figures pipeline

type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newFigure(kind prometheus.ValueType, name, help string, labels ...string) figure {
	return figure{prometheus.NewDesc("cdcd_"+name, help, labels, nil), kind}
}

var (
	captureRows    = newFigure(prometheus.CounterValue, "capture_rows_total", "Rows captured into the stream.", "source")
	captureBytes   = newFigure(prometheus.CounterValue, "capture_bytes_total", "Bytes of frames captured into the stream.", "source")
	captureFrames  = newFigure(prometheus.CounterValue, "capture_frames_total", "Frames captured into the stream.", "source")
	captureBeats   = newFigure(prometheus.CounterValue, "capture_heartbeats_total", "Frames without rows, which carry progress, captured into the stream.", "source")
	captureLast    = newFigure(prometheus.GaugeValue, "capture_last_frame_timestamp_seconds", "When the last frame was captured, as Unix time.", "source")
	captureLag     = newFigure(prometheus.GaugeValue, "capture_lag_seconds", "From the commit of the newest change read until now; 0 when all is read, growing while nothing is heard of the source.", "source")
	captureUp      = newFigure(prometheus.GaugeValue, "capture_connected", "1 while the source's log is being read.", "source")
	captureSince   = newFigure(prometheus.GaugeValue, "capture_connection_changed_timestamp_seconds", "Since when the source has been read, or has not been, as Unix time.", "source")
	captureLost    = newFigure(prometheus.CounterValue, "capture_disconnects_total", "How often the connection to the source was lost.", "source")
	captureErrors  = newFigure(prometheus.CounterValue, "capture_errors_total", "Errors of the capture by code; other when it has none.", "source", "code")
	captureBehind  = newFigure(prometheus.GaugeValue, "capture_behind_bytes", "Bytes of binlog that the server has written and that are not read yet; absent while not known.", "source")
	captureRoom    = newFigure(prometheus.GaugeValue, "capture_binlog_headroom_seconds", "How long until the server may delete binlog that is still needed; +Inf when it never does by itself, absent while not known.", "source")
	captureLook    = newFigure(prometheus.GaugeValue, "capture_look_timestamp_seconds", "When the end of the server's binlog and its retention were seen last, as Unix time.", "source")
	captureClock   = newFigure(prometheus.GaugeValue, "capture_clock_offset_seconds", "How far the server's clock is ahead of this machine's.", "source")
	captureGTIDs   = newFigure(prometheus.GaugeValue, "capture_gtid_set_bytes", "Length of the GTID set that each frame carries.", "source")
	captureServer  = newFigure(prometheus.GaugeValue, "capture_server_info", "1; the labels say which server is read.", "source", "flavor", "version", "server")
	captureNotices = newFigure(prometheus.CounterValue, "capture_notices_total", "What the capture went on after but people should hear of, by kind; the log has each.", "source", "kind")
	captureStandby = newFigure(prometheus.GaugeValue, "capture_standby", "1 while another process captures the source.", "source")
	captureError   = newFigure(prometheus.GaugeValue, "capture_error", "1 while capture is interrupted; its code is in the label, other when it has none.", "source", "code")
	streamFrames   = newFigure(prometheus.GaugeValue, "stream_frames", "Frames in the stream.", "source")
	streamBytes    = newFigure(prometheus.GaugeValue, "stream_bytes", "Bytes in the stream.", "source")
	streamMaxBytes = newFigure(prometheus.GaugeValue, "stream_max_bytes", "Bytes at which the stream is full and capture waits.", "source")
	streamUndone   = newFigure(prometheus.GaugeValue, "stream_undelivered_bytes", "About how many bytes of the stream the feed that is farthest behind has not delivered.", "source")
	streamFullIn   = newFigure(prometheus.GaugeValue, "stream_full_in_seconds", "How long until the stream is full, and capture waits, if the feed that is farthest behind delivers nothing; +Inf when it does not fill up.", "source")
	feedBehindFor  = newFigure(prometheus.GaugeValue, "feed_behind_seconds", "Since when the stream has had what the feed delivers next; 0 when it has nothing.", "source", "feed")
	feedEvents     = newFigure(prometheus.CounterValue, "feed_events_total", "Events judged for the feed.", "source", "feed")
	feedMatched    = newFigure(prometheus.CounterValue, "feed_matched_total", "Events that matched a rule of the feed.", "source", "feed")
	feedFailed     = newFigure(prometheus.CounterValue, "feed_failed_total", "Events that a rule of the feed could not judge.", "source", "feed")
	ruleMismatches = newFigure(prometheus.CounterValue, "rules_index_mismatches_total", "Rules that the index judged differently than CEL does by itself; anything but 0 is a mistake in cdcd.", "source", "feed")
	feedRecords    = newFigure(prometheus.CounterValue, "feed_records_total", "Records committed to the feed's store.", "source", "feed")
	feedBytes      = newFigure(prometheus.CounterValue, "feed_bytes_total", "Bytes committed to the feed's store.", "source", "feed")
	feedObjects    = newFigure(prometheus.CounterValue, "feed_objects_total", "Objects committed to the feed's store.", "source", "feed")
	feedWaiting    = newFigure(prometheus.GaugeValue, "feed_waiting_records", "Records that matched and are not committed yet.", "source", "feed")
	feedAge        = newFigure(prometheus.GaugeValue, "feed_object_age_seconds", "How long the oldest record that is not committed has waited.", "source", "feed")
	feedBehind     = newFigure(prometheus.GaugeValue, "feed_behind_frames", "Frames of the stream that are not judged yet.", "source", "feed")
	feedError      = newFigure(prometheus.GaugeValue, "feed_error", "1 while the feed does not deliver; its code is in the label, other when it has none.", "source", "feed", "code")
	rulesRevision  = newFigure(prometheus.GaugeValue, "rules_revision", "Revision of the rules that frames name now.", "source")
	rulesRefused   = newFigure(prometheus.GaugeValue, "rules_refused", "1 while changed rule files are not in force.", "source")
	rulesBroken    = newFigure(prometheus.GaugeValue, "rule_broken", "1 while the rule does not fit one of its tables.", "source", "rule")
	ruleMatches    = newFigure(prometheus.CounterValue, "rule_matches_total", "Events of the feed's line that the rule matched, whether it delivers or only watches.", "source", "feed", "rule")
	ruleErrors     = newFigure(prometheus.CounterValue, "rule_errors_total", "Events of the feed's line that the rule could not judge.", "source", "feed", "rule")
	snapshotRows   = newFigure(prometheus.GaugeValue, "snapshot_rows", "Rows that a snapshot has read into the stream.", "source", "id")
	snapshotOf     = newFigure(prometheus.GaugeValue, "snapshot_expected_rows", "Rows that it will read, as the server's statistics say.", "source", "id")
	snapshotFailed = newFigure(prometheus.GaugeValue, "snapshot_failed", "1 while a snapshot cannot go on.", "source", "id")
	lookupAsked    = newFigure(prometheus.CounterValue, "lookup_questions_total", "Look-ups asked of the source: of each batch one for each table and kind of question, with all keys.", "source")
	lookupKeys     = newFigure(prometheus.CounterValue, "lookup_keys_total", "Keys that were looked up at the source.", "source")
	lookupRows     = newFigure(prometheus.CounterValue, "lookup_rows_total", "Rows that look-ups found at the source.", "source")
	lookupKept     = newFigure(prometheus.CounterValue, "lookup_kept_total", "Look-ups answered with what was read for the frame before.", "source")
	lookupErrors   = newFigure(prometheus.CounterValue, "lookup_errors_total", "Look-ups that the source did not answer, by code; other when it has none.", "source", "code")
	lookupWait     = newFigure(prometheus.CounterValue, "lookup_wait_seconds_total", "Time that look-ups have waited for a connection and for the server to have the change.", "source")
	lookupSeconds  = newFigure(prometheus.CounterValue, "lookup_seconds_total", "Time that look-ups have taken, waiting included.", "source")
	lookupTimeOf   = newFigure(prometheus.GaugeValue, "lookup_question_seconds", "Time that one of the newest look-ups takes; the label says of which part of them it is not more.", "source", "quantile")
	pluginEvents   = newFigure(prometheus.CounterValue, "plugin_events_total", "Events that the plugin judged, in the lines of all feeds, by verdict: keep, edit, drop or error.", "source", "plugin", "version", "digest", "verdict")
	pluginTraps    = newFigure(prometheus.CounterValue, "plugin_traps_total", "Events that the plugin broke down on, by what happened.", "source", "plugin", "version", "digest", "kind")
	pluginFuel     = newFigure(prometheus.CounterValue, "plugin_fuel_total", "Fuel that the plugin has used.", "source", "plugin", "version", "digest")
	pluginFuelOf   = newFigure(prometheus.GaugeValue, "plugin_event_fuel", "Fuel that an event takes; the label says of which part of all events it is not more.", "source", "plugin", "version", "digest", "quantile")
	pluginSeconds  = newFigure(prometheus.CounterValue, "plugin_seconds_total", "Time that the plugin has taken.", "source", "plugin", "version", "digest")
	pluginTimeOf   = newFigure(prometheus.GaugeValue, "plugin_event_seconds", "Time that an event takes; the label says of which part of all events it is not more.", "source", "plugin", "version", "digest", "quantile")
	pluginMemory   = newFigure(prometheus.GaugeValue, "plugin_memory_bytes", "Memory of all instances of the plugin.", "source", "plugin", "version", "digest")
	pluginRuns     = newFigure(prometheus.GaugeValue, "plugin_instances", "Instances of the plugin: one for each rule in the line of a feed.", "source", "plugin", "version", "digest")
	pluginLost     = newFigure(prometheus.CounterValue, "plugin_log_lines_lost_total", "Lines of the plugin that are not in the log: too many in a second.", "source", "plugin", "version", "digest")
	pluginOwn      = newFigure(prometheus.CounterValue, "plugin_metric_total", "What the plugin counts itself, by the name that it has for it.", "source", "plugin", "version", "digest", "name")
	pluginDown     = newFigure(prometheus.GaugeValue, "plugin_quarantined", "1 while the plugin is not asked any more for the rule in the line of the feed: it failed too often.", "source", "plugin", "rule", "feed")
	buildInfo      = newFigure(prometheus.GaugeValue, "build_info", "1; the labels say which cdcd runs.", "source", "version", "goversion")
	allFigures     = []figure{captureRows, captureBytes, captureFrames, captureBeats, captureLast, captureLag, captureUp, captureSince, captureLost,
		captureErrors, captureBehind, captureRoom, captureLook, captureClock, captureGTIDs, captureServer, captureNotices, captureStandby, captureError,
		snapshotRows, snapshotOf, snapshotFailed, rulesRevision, rulesRefused, rulesBroken, ruleMatches, ruleErrors,
		pluginEvents, pluginTraps, pluginFuel, pluginFuelOf, pluginSeconds, pluginTimeOf, pluginMemory, pluginRuns, pluginLost, pluginOwn, pluginDown,
		lookupAsked, lookupKeys, lookupRows, lookupKept, lookupErrors, lookupWait, lookupSeconds, lookupTimeOf,
		buildInfo, streamFrames, streamBytes, streamMaxBytes, streamUndone, streamFullIn, feedBehindFor, feedEvents,
		feedMatched, feedFailed, ruleMismatches, feedRecords, feedBytes, feedObjects, feedWaiting, feedAge, feedBehind, feedError}
)

// Describe implements prometheus.Collector.
func (c *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range append(allFigures, triggerFigures...) {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *figures) Collect(ch chan<- prometheus.Metric) {
	s := (*pipeline)(c).state(context.Background())
	send := func(f figure, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, append([]string{s.Source}, labels...)...)
	}
	v := readVersion()
	send(buildInfo, 1, v.Version, v.Go)
	send(captureRows, float64(s.Capture.Rows))
	send(captureBytes, float64(s.Capture.Bytes))
	(*pipeline)(c).collectSource(s.Capture.SourceStatus, s.source, send)
	send(captureStandby, bit(s.Capture.Standby))
	if s.Capture.Error != "" {
		send(captureError, 1, codeIn(s.Capture.Error))
	}
	send(streamFrames, float64(s.Stream.Frames))
	send(streamBytes, float64(s.Stream.Bytes))
	send(streamMaxBytes, float64(s.Stream.MaxBytes))
	send(streamUndone, float64(s.Stream.Undelivered))
	fullIn := math.Inf(1)
	if s.Stream.FullIn != nil {
		fullIn = *s.Stream.FullIn
	}
	send(streamFullIn, fullIn)
	for _, j := range s.Snapshots {
		send(snapshotRows, float64(j.Rows), j.ID)
		send(snapshotOf, float64(j.Expected), j.ID)
		failed := 0.0
		if j.Error != "" {
			failed = 1
		}
		send(snapshotFailed, failed, j.ID)
	}
	if l := s.Lookups; l != nil {
		collectLookups(l, send)
	}
	send(rulesRevision, float64(s.Rules.Revision))
	send(rulesRefused, bit(s.Rules.Refused != ""))
	for _, b := range s.Rules.Broken {
		send(rulesBroken, 1, b.Rule)
	}
	for _, c := range s.rules {
		send(ruleMatches, float64(c.matches), c.feed, c.rule)
		send(ruleErrors, float64(c.errors), c.feed, c.rule)
	}
	(*pipeline)(c).collectPlugins(send)
	for _, f := range s.Feeds {
		send(feedEvents, float64(f.Events), f.Feed)
		send(feedMatched, float64(f.Matched), f.Feed)
		send(feedFailed, float64(f.Failed), f.Feed)
		send(ruleMismatches, float64(f.Mismatches), f.Feed)
		send(feedRecords, float64(f.Records), f.Feed)
		send(feedBytes, float64(f.Bytes), f.Feed)
		send(feedObjects, float64(f.Objects), f.Feed)
		send(feedWaiting, float64(f.Waiting), f.Feed)
		send(feedAge, f.AgeSeconds, f.Feed)
		send(feedBehind, float64(f.Behind), f.Feed)
		send(feedBehindFor, f.BehindFor, f.Feed)
		if f.Error != "" {
			send(feedError, 1, f.Feed, codeIn(f.Error))
		}
		collectTriggers(f, send)
	}
}

func (p *pipeline) collectPlugins(send func(figure, float64, ...string)) {
	for _, loaded := range p.plugins.ready() {
		m, st := loaded.plugin.Manifest(), loaded.plugin.Stats()
		one := func(f figure, v float64, more ...string) {
			send(f, v, append([]string{m.Name, m.Version, shortVersion(loaded.plugin.Digest())}, more...)...)
		}
		one(pluginEvents, float64(st.Kept-st.Edited), "keep")
		one(pluginEvents, float64(st.Edited), "edit")
		one(pluginEvents, float64(st.Dropped), "drop")
		one(pluginEvents, float64(st.Errors), "error")
		for kind, n := range st.Traps {
			one(pluginTraps, float64(n), kind)
		}
		one(pluginFuel, float64(st.Fuel))
		one(pluginFuelOf, st.FuelP50, "0.5")
		one(pluginFuelOf, st.FuelP99, "0.99")
		one(pluginSeconds, st.Time.Seconds())
		one(pluginTimeOf, st.TimeP50.Seconds(), "0.5")
		one(pluginTimeOf, st.TimeP99.Seconds(), "0.99")
		one(pluginMemory, float64(st.Memory))
		one(pluginRuns, float64(st.Instances))
		one(pluginLost, float64(st.LinesLost))
		for name, n := range st.Metrics {
			one(pluginOwn, float64(n), name)
		}
	}
	for _, q := range p.quarantined() {
		send(pluginDown, 1, q.Plugin, q.Rule, q.Feed)
	}
}

func (p *pipeline) collectSource(s api.SourceStatus, f sourceFigures, send func(figure, float64, ...string)) {
	send(captureFrames, float64(s.Frames))
	send(captureBeats, float64(s.Heartbeats))
	if seen := p.seen.Load(); seen > 0 {
		send(captureLast, float64(seen)/1e6)
	}
	send(captureLag, s.LagSeconds)
	send(captureUp, bit(s.Connected))
	send(captureSince, f.changed)
	send(captureLost, float64(s.Disconnects))
	n := f.notices
	for kind, count := range map[string]uint64{"rows_gone": n.RowsGone, "partial_image": n.PartialImages, "oversize": n.Oversize, "bad_text": n.BadText, "statement": n.Statements,
		"unknown_xa": n.UnknownXA} {
		send(captureNotices, float64(count), kind)
	}
	for _, e := range f.errors {
		send(captureErrors, float64(e.n), e.code)
	}
	send(captureGTIDs, float64(s.GTIDSetBytes))
	if s.LookedAt == "" {
		return
	}
	send(captureLook, f.looked)
	send(captureClock, s.ClockSeconds)
	send(captureServer, 1, s.Flavor, s.Version, s.Server)
	if s.BehindBytes != nil {
		send(captureBehind, float64(*s.BehindBytes))
	}
	switch {
	case s.HeadroomSeconds != nil:
		send(captureRoom, *s.HeadroomSeconds)
	case f.keptForEver:
		send(captureRoom, math.Inf(1))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var codeText = regexp.MustCompile(`CDCD-\d{4}`)

// codeIn returns the code of an error's text: whole texts as labels would make a new series of every one.
func codeIn(text string) string {
	if code := codeText.FindString(text); code != "" {
		return code
	}
	return "other"
}

// sameOrigin refuses requests that name another host than this one's: a web page that had its own name resolve to this
// address (DNS rebinding) could read what is answered here.
func sameOrigin(h http.Handler, c consoleConfig) http.Handler {
	own, _, _ := net.SplitHostPort(c.Listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.Trim(host, "[]")
		ip := net.ParseIP(host) // browsers hold 0.0.0.0 for another machine, and it is this one
		known := host == own || strings.EqualFold(host, "localhost") || ip != nil && !ip.IsUnspecified()
		if !known && !slices.ContainsFunc(c.Names, func(name string) bool { return strings.EqualFold(name, host) }) {
			http.Error(w, "this address is not answered under that name; console.names has those under which it is", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}
