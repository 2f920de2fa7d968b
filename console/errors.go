package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

const (
	codeRequest = "CDCD-1050" // a request that cannot be understood
	codeRole    = "CDCD-1052" // who asks may not
	codeBusy    = "CDCD-1054" // as many ask as may
	codeNothing = "CDCD-1056" // there is no such thing
)

// failure is an answer that is an error. It is what huma writes for one.
type failure struct {
	api.Refusal
	status int
}

// Error implements error.
func (f *failure) Error() string { return f.Refusal.Error.Message }

// GetStatus says which status the answer has.
func (f *failure) GetStatus() int { return f.status }

// failed makes the answer of an error.
func failed(kind string, err error) *failure {
	all := api.ErrorsOf(err)
	f := &failure{status: statusOf(err), Refusal: api.Refusal{Kind: kind, Error: all[0]}}
	if len(all) > 1 {
		f.Errors = all
	}
	return f
}

// refuse writes such an answer where huma does not.
func refuse(w http.ResponseWriter, status int, kind string, err error) {
	f := failed(kind, err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(f) // the client has gone away
}

// statuses are those of codes that are not of their range.
var statuses = map[string]int{
	codeRequest: http.StatusBadRequest,
	codeRole:    http.StatusForbidden,
	codeWho:     http.StatusUnauthorized,
	codeCross:   http.StatusForbidden,
	codeBusy:    http.StatusTooManyRequests,
	codeNothing: http.StatusNotFound,
	"CDCD-1001": http.StatusBadRequest,
	"CDCD-2310": http.StatusConflict, // others have published
	"CDCD-2316": http.StatusConflict,
	"CDCD-2315": http.StatusNotFound, // no such revision, or rule
	"CDCD-2133": http.StatusNotFound,
	"CDCD-2351": http.StatusConflict, // drafts
	"CDCD-2353": http.StatusNotFound,
	"CDCD-2355": http.StatusNotFound,
	"CDCD-2356": http.StatusConflict,
	"CDCD-2357": http.StatusTooManyRequests,
	"CDCD-2340": http.StatusNotFound, // no such event
	"CDCD-4510": http.StatusNotFound, // the audit log
	"CDCD-4511": http.StatusNotFound,
	"CDCD-4512": http.StatusConflict,
	"CDCD-4513": http.StatusUnprocessableEntity,
	"CDCD-4601": http.StatusNotFound, // dead letters
	"CDCD-4602": http.StatusUnprocessableEntity,
	"CDCD-4604": http.StatusConflict,
	"CDCD-4605": http.StatusConflict,
}

// ranges are the statuses of all other codes.
var ranges = []struct {
	codes  string
	status int
}{
	{"CDCD-10", http.StatusUnprocessableEntity},
	{"CDCD-11", http.StatusServiceUnavailable}, // the source cannot be asked
	{"CDCD-12", http.StatusUnprocessableEntity},
	{"CDCD-2", http.StatusUnprocessableEntity}, // rules, and what they are tried on
	{"CDCD-3", http.StatusServiceUnavailable},
	{"CDCD-4", http.StatusServiceUnavailable},
}

// statusOf says which HTTP status an error is.
func statusOf(err error) int {
	code := cdc.CodeOf(err)
	if code == "" {
		code = api.ErrorsOf(err)[0].Code
	}
	if status, ok := statuses[code]; ok {
		return status
	}
	for _, r := range ranges {
		if strings.HasPrefix(code, r.codes) {
			return r.status
		}
	}
	return http.StatusInternalServerError
}

// ownErrors has huma write errors as we do. It knows one form for a whole program.
var ownErrors = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return malformed("", status, msg, errs) }
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return malformed(ctx.Operation().OperationID, status, msg, errs)
	}
})

// malformed says what is wrong with a request, which nobody has been asked yet.
func malformed(kind string, status int, msg string, errs []error) *failure {
	f := &failure{status: status, Refusal: api.Refusal{Kind: kind}}
	for _, err := range errs {
		one := api.Error{Code: codeRequest, Message: err.Error(), Docs: "cdcd errors " + codeRequest}
		var at *huma.ErrorDetail
		if errors.As(err, &at) {
			one.Message, one.Path = at.Message, at.Location
		}
		f.Errors = append(f.Errors, one)
	}
	if len(f.Errors) == 0 {
		f.Errors = []api.Error{{Code: codeRequest, Message: msg, Docs: "cdcd errors " + codeRequest}}
	}
	if f.Refusal.Error = f.Errors[0]; len(f.Errors) == 1 {
		f.Errors = nil
	}
	return f
}
