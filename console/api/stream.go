package api

import "time"

// LiveEvents is a message "live" of the stream: changes as they come. Its id is the number of the last change that was looked at.
type LiveEvents struct {
	Events  []Event `json:"events" doc:"Those that are shown, the oldest first."`
	Seen    uint64  `json:"seen" doc:"Changes that came since the message before."`
	Matched uint64  `json:"matched" doc:"Of these, those that were asked for, whether they are shown or not."`
	Failed  uint64  `json:"failed" doc:"Of these, those that the filter could not judge."`
	Dropped uint64  `json:"dropped" doc:"Changes that are not shown though they were asked for, or that nobody had the time to look at."`
	Error   string  `json:"error,omitempty" doc:"Why the filter could not judge a change."`
}

// Job is a message "job" of the stream: how far something is that takes its time. What it has found is asked for at its address.
type Job struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind" doc:"backtest, redrive."`
	Title    string    `json:"title"`
	State    string    `json:"state" enum:"running,done,failed,cancelled"`
	Done     uint64    `json:"done"`
	Of       uint64    `json:"of" doc:"0 when not known."`
	Started  time.Time `json:"started"`
	Who      string    `json:"who,omitempty"`
	Error    *Error    `json:"error,omitempty"`
	Progress any       `json:"progress,omitempty" doc:"What is known so far, of a form that depends on the kind."`
}

// Ping is a message "ping" of the stream: nothing has happened, and the line is alive.
type Ping struct {
	At time.Time `json:"at"`
}
