package api

import (
	"errors"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// ErrorsOf lists the errors that err consists of; there is at least one.
func ErrorsOf(err error) []Error {
	var file strictyaml.Errors
	if errors.As(err, &file) && len(file) > 0 {
		var out []Error
		for _, e := range file {
			out = append(out, ErrorOf(e))
		}
		return out
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
		var out []Error
		for _, e := range joined.Unwrap() {
			out = append(out, ErrorsOf(e)...)
		}
		return out
	}
	return []Error{ErrorOf(err)}
}

// ErrorOf writes one error.
func ErrorOf(err error) Error {
	var located *strictyaml.Error
	var e *cdc.Error
	switch {
	case errors.As(err, &located):
		i := Error{Code: located.Code, Message: located.Msg, File: located.File, Line: located.Line, Column: located.Col,
			Path: located.Path, Suggestion: located.Suggestion, Edits: located.Edits, Docs: "cdcd errors " + located.Code}
		if located.Warning {
			i.Severity = "warning"
		}
		return i
	case errors.As(err, &e):
		// What was wrapped around the error says where it came from: keep it, but say the code only once.
		message := strings.Replace(err.Error(), e.Code+": ", "", 1)
		return Error{Code: e.Code, Message: message, Fix: e.Fix, Docs: "cdcd errors " + e.Code}
	}
	return Error{Message: err.Error()}
}
