package api

import "time"

// Level says how somebody should feel about something.
type Level string

// The levels.
const (
	LevelOK    Level = "ok"
	LevelIdle  Level = "idle"    // nothing to do, or not asked for
	LevelWait  Level = "waiting" // it goes on by itself
	LevelWarn  Level = "warning"
	LevelError Level = "error"
)

// Overview is how everything is, for people.
type Overview struct {
	Source   string    `json:"source"`
	At       time.Time `json:"at" doc:"When this was so."`
	Started  time.Time `json:"started" doc:"When the program was started that tells."`
	Level    Level     `json:"level" enum:"ok,idle,waiting,warning,error" doc:"The worst of all stages and problems."`
	Verdict  string    `json:"verdict" doc:"One sentence."`
	Stages   []Stage   `json:"stages" doc:"In the order of the road: source, stream, rules, delivery, partner."`
	Problems []Problem `json:"problems" doc:"What somebody has to do something about, the worst first."`
	Rates    Rates     `json:"rates"`
}

// Stage is one part of the road.
type Stage struct {
	ID         string      `json:"id" enum:"source,stream,rules,delivery,partner"`
	Name       string      `json:"name"`
	Level      Level       `json:"level" enum:"ok,idle,waiting,warning,error"`
	Text       string      `json:"text" doc:"How it is, in some words."`
	LagSeconds *float64    `json:"lag_seconds" doc:"How far it is behind what stands before it; null when not known."`
	Behind     *uint64     `json:"behind" doc:"Frames of the stream, or for partners objects, that are not dealt with yet; null when not known."`
	Rate       float64     `json:"rate" doc:"What goes through now, a second: changes, and for delivery records."`
	Error      *Error      `json:"error,omitempty" doc:"What went wrong last."`
	ErrorAt    string      `json:"error_at,omitempty"`
	Parts      []StagePart `json:"parts" doc:"Of a stage with feeds, each of them."`
}

// StagePart is one feed's part of a stage.
type StagePart struct {
	Feed       string   `json:"feed"`
	Level      Level    `json:"level" enum:"ok,idle,waiting,warning,error"`
	Text       string   `json:"text"`
	LagSeconds *float64 `json:"lag_seconds"`
	Behind     *uint64  `json:"behind"`
	Error      *Error   `json:"error,omitempty"`
}

// Problem is something that somebody has to do something about.
type Problem struct {
	Level   Level  `json:"level" enum:"warning,error"`
	Stage   string `json:"stage" enum:"source,stream,rules,delivery,partner"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	Href    string `json:"href" doc:"Where the console shows more."`
}

// Rates are what went through in each second of the last ten minutes, the oldest first.
type Rates struct {
	Until    time.Time `json:"until" doc:"The end of the last second."`
	Captured []float64 `json:"captured" doc:"Changes into the stream."`
	Matched  []float64 `json:"matched" doc:"Changes that a rule let through, all feeds together."`
	Failed   []float64 `json:"failed" doc:"Changes that a rule could not judge, all feeds together."`
	Records  []float64 `json:"records" doc:"Records that are in the stores of partners, all feeds together."`
}
