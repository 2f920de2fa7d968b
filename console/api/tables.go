package api

// Table is a table of the source.
type Table struct {
	Table    string   `json:"table"`
	Captured bool     `json:"captured"`
	Key      []string `json:"key"`
	Columns  int      `json:"columns"`
	Rows     uint64   `json:"rows_estimate"`
	Problems int      `json:"problems" doc:"Columns that cannot be captured."`
	Fields   []Column `json:"fields,omitempty"`
}

// Column is a column of a table.
type Column struct {
	Name      string   `json:"name"`
	Type      string   `json:"type" doc:"As SQL."`
	Kind      string   `json:"kind" doc:"Of its values in frames and rules."`
	Delivered string   `json:"delivered" doc:"As JSON."`
	Nullable  bool     `json:"nullable"`
	Key       int      `json:"key,omitempty" doc:"Place in the primary key, from 1."`
	Charset   string   `json:"charset,omitempty"`
	Collation string   `json:"collation,omitempty"`
	Members   []string `json:"members,omitempty"`
	Problem   string   `json:"problem,omitempty" doc:"Why it cannot be captured."`
	Comment   string   `json:"comment,omitempty" doc:"Of the column in the database."`
	Samples   []string `json:"samples,omitempty" doc:"Values of recent changes, as JSON."`
}

// TableList is all tables that are known.
type TableList struct {
	Tables []Table `json:"tables"`
	From   string  `json:"from" enum:"server,stream" doc:"Where they are known from: the server itself, or, when it cannot be asked, changes in the stream."`
	Error  *Error  `json:"error,omitempty" doc:"Why the server was not asked."`
}

// TableDetail is a table with what happened to it.
type TableDetail struct {
	Table
	From    string       `json:"from" enum:"server,stream"`
	Changed string       `json:"changed,omitempty" doc:"When changes began to show the columns that it has, if it had others before."`
	Broken  []BrokenRule `json:"broken" doc:"Rules that do not fit it any more."`
	Rules   []string     `json:"rules" doc:"Rules that name it."`
}
