package api

import "encoding/json"

// Plugin is a version of a plugin that there is.
type Plugin struct {
	Plugin  string   `json:"plugin"`
	Version string   `json:"version"`
	Digest  string   `json:"digest"`
	State   string   `json:"state" enum:"running,ready,quarantined,unused,wrong"`
	Rules   []string `json:"rules" doc:"Of the newest revision that have this version."`
	Feeds   []string `json:"feeds" doc:"In whose lines it runs."`
	Wrong   string   `json:"wrong,omitempty" doc:"Why it cannot be used."`

	Quarantined []Quarantine `json:"quarantined,omitempty"`
	Shadow      bool         `json:"shadow,omitempty" doc:"Another version is tried beside it."`

	Limits *PluginLimits `json:"limits,omitempty" doc:"Of one that is loaded: what it may use."`
	Stats  *PluginStats  `json:"stats,omitempty" doc:"Since it was loaded; absent when it is not."`
}

// PluginLimits is what a plugin may use.
type PluginLimits struct {
	Memory    int64   `json:"memory_bytes" doc:"Of one instance."`
	Fuel      int64   `json:"fuel" doc:"For a change."`
	BatchFuel int64   `json:"batch_fuel" doc:"For a call."`
	StartFuel int64   `json:"start_fuel" doc:"For all that it does to begin."`
	Wall      float64 `json:"wall_seconds" doc:"For a call."`
	Failures  int     `json:"failures" doc:"More of the last window changes than these, and it is in quarantine; below zero: never."`
	Window    int     `json:"window"`
}

// PluginStats is what a plugin has done in all lines together.
type PluginStats struct {
	Events    int64            `json:"events"`
	Kept      int64            `json:"kept"`
	Dropped   int64            `json:"dropped"`
	Edited    int64            `json:"edited" doc:"Of those kept."`
	Errors    int64            `json:"errors"`
	Traps     map[string]int64 `json:"traps,omitempty" doc:"Errors by kind."`
	Fuel      int64            `json:"fuel"`
	FuelP50   int64            `json:"fuel_p50" doc:"Of a change."`
	FuelP99   int64            `json:"fuel_p99"`
	NsP50     int64            `json:"ns_p50"`
	NsP99     int64            `json:"ns_p99"`
	Seconds   float64          `json:"seconds"`
	Memory    int64            `json:"memory_bytes"`
	Instances int64            `json:"instances"`
	Load      float64          `json:"load_seconds"`
	LinesLost int64            `json:"log_lines_lost,omitempty"`
	Metrics   map[string]int64 `json:"metrics,omitempty" doc:"The plugin's own."`
}

// PluginList is every version that rules name, that is loaded, or that is in the folder of plugins.
type PluginList struct {
	Plugins []Plugin `json:"plugins"`
}

// PluginReleased is in which lines a plugin is asked again.
type PluginReleased struct {
	Released []Quarantine `json:"released"`
}

// PluginInspected is what there is to say about a module that nobody has run.
type PluginInspected struct {
	File        string          `json:"file,omitempty"`
	Accepted    bool            `json:"ok" doc:"Whether it is a plugin."`
	Refused     *Error          `json:"refused,omitempty" doc:"Why it is none."`
	Digest      string          `json:"digest"`
	Bytes       int             `json:"bytes"`
	Functions   int             `json:"functions,omitempty"`
	Code        int             `json:"code_bytes,omitempty"`
	Data        int             `json:"data_bytes,omitempty"`
	MemoryPages uint32          `json:"memory_pages" doc:"Of 64 KiB, at first."`
	MaxPages    uint32          `json:"max_memory_pages,omitempty" doc:"By its own word."`
	Imports     []string        `json:"imports" doc:"All that it can call."`
	Exports     []string        `json:"exports"`
	Restorable  bool            `json:"restorable" doc:"After a trap its memory is set back; else it is started anew."`
	Manifest    json.RawMessage `json:"manifest,omitempty" doc:"What it says of itself: name, version, tables, columns, what it edits, its configuration."`
}

// OK reports whether it is a plugin.
func (i PluginInspected) OK() bool { return i.Accepted }
