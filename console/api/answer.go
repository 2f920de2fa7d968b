package api

import (
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Answer is the object that every request is answered with, and that every verb prints with -o json.
type Answer[T any] struct {
	Kind   string  `json:"kind" doc:"What the result is: rules.check, status."`
	OK     bool    `json:"ok" doc:"False when the verdict is negative, and when there is an error instead of a result."`
	Result T       `json:"result"`
	Error  *Error  `json:"error" required:"false" doc:"Null unless the request was refused or failed."`
	Errors []Error `json:"errors,omitempty" doc:"All of them, when there are several."`
}

// Refusal is the answer that has an error and no result.
type Refusal struct {
	Kind   string  `json:"kind"`
	OK     bool    `json:"ok"`
	Result *bool   `json:"result" doc:"Always null."`
	Error  Error   `json:"error"`
	Errors []Error `json:"errors,omitempty" doc:"All of them, when there are several."`
}

// Error is an error as machines read it.
type Error struct {
	Code       string            `json:"code,omitempty" example:"CDCD-2340" doc:"Stable; cdcd errors CODE explains it. Absent when nobody has to act."`
	Message    string            `json:"message"`
	Severity   string            `json:"severity,omitempty" doc:"warning, or absent."`
	File       string            `json:"file,omitempty"`
	Line       int               `json:"line,omitempty"`
	Column     int               `json:"column,omitempty"`
	Path       string            `json:"path,omitempty" doc:"Of the value that is wrong: body.rules[0].when, source.mysql.url."`
	Suggestion string            `json:"suggestion,omitempty"`
	Edits      []strictyaml.Edit `json:"edits,omitempty" doc:"Of the text, that do what the suggestion says."`
	Fix        string            `json:"fix,omitempty" doc:"What mends it."`
	Docs       string            `json:"docs,omitempty"`
}
