package api

import (
	"encoding/json"
	"time"
)

// Status is a running cdcd in figures: what /status answers, `cdcd status` shows and /metrics counts.
type Status struct {
	Source  string        `json:"source"`
	Writer  string        `json:"writer"`
	Ready   bool          `json:"ready"`
	Why     string        `json:"why,omitempty" doc:"Why not ready."`
	Capture CaptureStatus `json:"capture"`
	Stream  StreamStatus  `json:"stream"`
	Rules   RulesStatus   `json:"rules"`
	Feeds   []FeedStatus  `json:"feeds"`

	Snapshots []SnapshotJob `json:"snapshots,omitempty"`
	Lookups   *LookupStatus `json:"lookups,omitempty"`

	Quarantined []Quarantine `json:"quarantined_plugins,omitempty"`
}

// CaptureStatus is how far the source has been read into the stream.
type CaptureStatus struct {
	Rows      uint64 `json:"rows" doc:"Captured by this process."`
	Bytes     uint64 `json:"bytes" doc:"Of frames."`
	LastFrame string `json:"last_frame,omitempty"`
	Standby   bool   `json:"standby"`
	Held      string `json:"held,omitempty" doc:"What keeps the stream from taking frames: stream_full, disk_low, …"`
	Error     string `json:"error,omitempty"`
	SourceStatus
}

// SourceStatus is what is known of the server that is read.
type SourceStatus struct {
	Connected       bool     `json:"connected" doc:"The source is being read."`
	Since           string   `json:"since,omitempty" doc:"Since when it has been, or has not been."`
	Disconnects     uint64   `json:"disconnects" doc:"How often the connection was lost."`
	LagSeconds      float64  `json:"lag_seconds" doc:"From the commit of the newest change that was read; 0 when all is read, growing while nothing is heard."`
	BehindBytes     *int64   `json:"behind_bytes" doc:"Of the server's log; null when not known."`
	HeadroomSeconds *float64 `json:"binlog_headroom_seconds" doc:"Until the server may delete what is still needed; null: never by itself, or not known."`
	Keeps           string   `json:"binlog_retention" doc:"\"168h0m0s\", \"until deleted\" or \"unknown\"."`
	KeepsWhy        string   `json:"binlog_retention_why" doc:"The server's setting."`
	Flavor          string   `json:"flavor,omitempty"`
	Version         string   `json:"version,omitempty"`
	Server          string   `json:"server,omitempty" doc:"Identity."`
	ClockSeconds    float64  `json:"clock_offset_seconds" doc:"How far the server's clock is ahead of ours."`
	File            string   `json:"file,omitempty" doc:"How far the log is read."`
	Pos             uint64   `json:"pos,omitempty"`
	GTIDSet         string   `json:"gtid_set,omitempty" doc:"Of the last frame; shortened."`
	GTIDSetBytes    int      `json:"gtid_set_bytes" doc:"Its whole length."`
	LookedAt        string   `json:"looked_at,omitempty" doc:"When the end of the server's log was seen."`
	LookError       string   `json:"look_error,omitempty" doc:"Why it is not seen at present."`
	LastError       string   `json:"last_error,omitempty" doc:"Of the capture, which may be over."`
	LastErrorAt     string   `json:"last_error_at,omitempty"`
	Frames          uint64   `json:"frames" doc:"Captured by this process."`
	Heartbeats      uint64   `json:"heartbeats" doc:"Of these."`
}

// StreamStatus is what the stream holds.
type StreamStatus struct {
	First    uint64 `json:"first_seq"`
	Last     uint64 `json:"last_seq"`
	Frames   uint64 `json:"frames"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`

	Undelivered int64    `json:"undelivered_bytes" doc:"That a feed still needs, about."`
	Slowest     string   `json:"slowest_feed,omitempty" doc:"The feed that is farthest behind."`
	FullIn      *float64 `json:"full_in_seconds,omitempty" doc:"If that one delivers nothing; absent when the stream does not fill up."`
}

// FeedStatus is how far one partner has been delivered to.
type FeedStatus struct {
	Feed       string  `json:"feed"`
	To         string  `json:"to"`
	Events     uint64  `json:"events" doc:"Judged by this process."`
	Matched    uint64  `json:"matched" doc:"Of these."`
	Failed     uint64  `json:"failed" doc:"That a rule could not judge."`
	Mismatches uint64  `json:"index_mismatches,omitempty" doc:"Rules that the index judged differently than CEL."`
	Objects    uint64  `json:"objects" doc:"Committed by this process."`
	Records    uint64  `json:"records"`
	Bytes      uint64  `json:"bytes"`
	Waiting    int     `json:"waiting" doc:"Records that are not in the store yet."`
	AgeSeconds float64 `json:"age_seconds" doc:"How long the oldest of them has waited."`
	BehindFor  float64 `json:"behind_seconds" doc:"Since when the stream has had what the feed delivers next; 0 when it has nothing."`
	Behind     uint64  `json:"behind" doc:"Frames of the stream that are not judged yet."`
	Ordinal    uint64  `json:"ordinal" doc:"Of the chain's last object."`
	LastKey    string  `json:"last_key,omitempty"`
	Error      string  `json:"error,omitempty"`

	Triggers []TriggerStatus `json:"triggers,omitempty"`
	Receipts []ReceiptStatus `json:"receipts,omitempty"`
}

// RulesStatus is which rules judge, and what stands against them.
type RulesStatus struct {
	Revision uint64         `json:"revision"`
	ID       string         `json:"id"`
	Digest   string         `json:"digest"`
	Since    string         `json:"since,omitempty"`
	Who      string         `json:"who,omitempty"`
	Modes    map[string]int `json:"modes" doc:"How many rules of each."`
	Broken   []BrokenRule   `json:"broken,omitempty" doc:"Rules that do not fit their tables."`
	Refused  string         `json:"refused,omitempty" doc:"Why changed rule files are not in force."`
}

// BrokenRule is a rule that does not fit its tables.
type BrokenRule struct {
	Rule    string `json:"rule"`
	Finding string `json:"finding"`
}

// LookupStatus is what look-ups have done since the start.
type LookupStatus struct {
	Questions   uint64            `json:"questions" doc:"To the source."`
	Keys        uint64            `json:"keys"`
	Rows        uint64            `json:"rows"`
	Kept        uint64            `json:"kept" doc:"Answered with what was read before."`
	Errors      map[string]uint64 `json:"errors,omitempty"`
	WaitSeconds float64           `json:"wait_seconds" doc:"For connections, and for the server to have the change."`
	Seconds     float64           `json:"seconds" doc:"All in all."`
	P50         float64           `json:"p50_seconds"`
	P99         float64           `json:"p99_seconds"`
}

// TriggerStatus is one place that is told of one chain's objects.
type TriggerStatus struct {
	Chain        string `json:"chain"`
	By           string `json:"by" doc:"Webhook or nats."`
	Place        string `json:"place"`
	Told         uint64 `json:"told" doc:"Ordinal of the last object that was told of."`
	Behind       uint64 `json:"behind" doc:"Objects that were not."`
	Sent         uint64 `json:"sent" doc:"Events taken, since start."`
	Failed       uint64 `json:"failed" doc:"Attempts that were not."`
	FailingSince string `json:"failing_since,omitempty"`
	Next         string `json:"next_attempt,omitempty"`
	Disabled     string `json:"disabled,omitempty" doc:"Why."`
	DisabledAt   string `json:"disabled_at,omitempty"`
	Error        string `json:"error,omitempty"`
}

// ReceiptStatus is what is known of objects that a partner has not said to have.
type ReceiptStatus struct {
	Chain     string  `json:"chain"`
	Received  uint64  `json:"received" doc:"Ordinal of the last object with a receipt."`
	Unfetched uint64  `json:"unfetched" doc:"Objects without one."`
	Seconds   float64 `json:"unfetched_seconds" doc:"Since the commit of the last change in the oldest of them."`
	Alarm     bool    `json:"alarm"`
	Error     string  `json:"error,omitempty"`
}

// SnapshotJob is a snapshot that is under way, waiting or paused.
type SnapshotJob struct {
	ID       string    `json:"id"`
	Initial  bool      `json:"initial,omitempty"`
	Table    string    `json:"table" doc:"The one that is being read."`
	Where    string    `json:"where,omitempty"`
	State    string    `json:"state" doc:"Reading, waiting, paused or failed."`
	Error    string    `json:"error,omitempty"`
	Started  time.Time `json:"started"`
	Rows     uint64    `json:"rows" doc:"Read into the stream."`
	Tables   int       `json:"tables,omitempty" doc:"Read whole."`
	Left     int       `json:"left,omitempty" doc:"Tables that are not."`
	Expected uint64    `json:"expected,omitempty" doc:"Rows in all, as the server believes."`
	Rate     float64   `json:"rate,omitempty" doc:"Rows a second."`
	ETA      string    `json:"eta,omitempty" doc:"How long it may still take."`
	Hidden   []string  `json:"hidden,omitempty" doc:"Patterns of tables of which the account may not read all: these are left out."`
	Holds    string    `json:"holds,omitempty" doc:"For how long changes have been waiting for the table, which has no key."`
}

// Quarantine is a version of a plugin that is not asked any more for a rule in the line of a feed.
type Quarantine struct {
	Plugin   string          `json:"plugin"`
	Rule     string          `json:"rule"`
	Feed     string          `json:"feed"`
	Fallback string          `json:"fallback"`
	Why      string          `json:"why"`
	Since    time.Time       `json:"since"`
	Digest   string          `json:"digest"`
	Config   json.RawMessage `json:"config" doc:"Of the rule's filter: with another one the plugin is another, too."`
}

// OK reports whether it captures and delivers.
func (s Status) OK() bool { return s.Ready }
