package api

import "time"

// Event is a change, with what rules make of it.
type Event struct {
	ID         string    `json:"id" doc:"The same everywhere and for ever."`
	No         uint64    `json:"no" doc:"Number among all captured changes."`
	Seq        uint64    `json:"seq" doc:"Of its frame in the stream."`
	Table      string    `json:"table"`
	Op         string    `json:"op" enum:"insert,update,delete,snapshot"`
	CommitTime time.Time `json:"commit_time"`
	Position   string    `json:"position" doc:"In the source's log."`
	Line       string    `json:"line" doc:"The change as JSON: what cdcd tail prints. Its numbers have all their digits."`
	Revision   uint64    `json:"revision" doc:"Of the rules that judge it; 0 when not known."`
	Matched    []string  `json:"matched" doc:"Rules that match, before their plugins are asked."`
	Failed     []string  `json:"failed" doc:"Rules that cannot judge it."`
	Incomplete bool      `json:"incomplete,omitempty" doc:"It was too large for the stream, and is without its largest values."`
}

// EventList is some changes, the newest first.
type EventList struct {
	Events  []Event `json:"events"`
	Before  uint64  `json:"before" doc:"Ask for what is before this number to get older ones; 0 when there are none in the stream."`
	Scanned uint64  `json:"scanned" doc:"Changes that were looked at for these."`
}

// EventDetail is a change, and what every rule says of it.
type EventDetail struct {
	Event
	GTID     string       `json:"gtid,omitempty"`
	File     string       `json:"file"`
	Pos      uint64       `json:"pos"`
	Row      uint32       `json:"row" doc:"Number within its transaction."`
	TxRows   uint32       `json:"tx_rows" doc:"Captured changes in its transaction; 0 when not known."`
	Captured time.Time    `json:"captured" doc:"When it came into the stream."`
	Columns  []Column     `json:"columns" doc:"Of the table as it was then: they say what the values in the line are."`
	Judged   []JudgedRule `json:"judged" doc:"What each rule says, those that match first."`
	Others   int          `json:"others" doc:"Rules that are for other tables or operations."`
}

// JudgedRule is what one rule says of a change.
type JudgedRule struct {
	Rule    string   `json:"rule"`
	Version string   `json:"version"`
	Mode    string   `json:"mode"`
	Outcome string   `json:"outcome" enum:"match,no_match,error,undecided" doc:"undecided: the condition lets it through, and its plugin or its look-ups were not asked."`
	Change  string   `json:"change,omitempty" doc:"entered, stayed or left."`
	To      []string `json:"to,omitempty"`
	Summary string   `json:"summary" doc:"One sentence, whose subject is the rule."`
}
