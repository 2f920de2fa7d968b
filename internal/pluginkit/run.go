package pluginkit

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/wasm"
)

// Engines says how modules are compiled.
type Engines struct {
	Dir     string        // where compiled modules are kept; "": nowhere
	Compile wasm.Compiler // nil: in this process
}

// engine is a way to run a module. All have to come to the same.
type engine int

const (
	metered     engine = iota // compiled, as in production
	interpreted               // metered, and interpreted
	original                  // compiled, without metering
	engines
)

func (e engine) String() string {
	return [...]string{"compiled", "interpreted", "compiled without metering"}[e]
}

func (e Engines) host(how engine, log func(wasm.Line)) (*wasm.Host, error) {
	return wasm.NewHost(wasm.Config{Dir: e.Dir, Compile: e.Compile, Log: log, Interpreter: how == interpreted, Unmetered: how == original})
}

// TestResult is what became of a test.
type TestResult struct {
	File    string   `json:"file"`
	Test    string   `json:"test"`
	Passed  bool     `json:"passed"`
	Outcome Outcome  `json:"outcome"`
	Fuel    int64    `json:"fuel"` // that the event took, judged alone
	MaxFuel int64    `json:"max_fuel,omitempty"`
	Log     []string `json:"log,omitempty"`
	Agreed  bool     `json:"agreed"` // all ways to run it come to the same

	Findings strictyaml.Errors `json:"-"`
}

// limits of tests: a plugin is not quarantined for failing where that is expected.
var testLimits = wasm.Limits{Failures: -1, LogLines: 1 << 20}

// RunTests has a module judge the events of tests: compiled, interpreted and without metering, all in one batch and one by one in
// the order that is the reverse. The error is about the module.
func RunTests(ctx context.Context, module []byte, tests []Test, e Engines) ([]TestResult, error) {
	r := &run{tests: tests, results: make([]TestResult, len(tests))}
	for i, t := range tests {
		r.results[i] = TestResult{File: t.File, Test: t.Name, MaxFuel: t.MaxFuel}
	}
	for how := metered; how < engines; how++ {
		if err := r.judge(ctx, module, how, e); err != nil {
			return nil, err
		}
	}
	for i := range r.results {
		r.compare(i)
	}
	return r.results, nil
}

type run struct {
	tests   []Test
	results []TestResult
}

// judge has an engine judge all tests, those with the same configuration in one instance.
func (r *run) judge(ctx context.Context, module []byte, how engine, e Engines) error {
	var mu sync.Mutex
	var lines []string
	host, err := e.host(how, func(l wasm.Line) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%s: %s", l.Level, l.Text))
	})
	if err != nil {
		return err
	}
	defer host.Close()
	plugin, err := host.Load(ctx, module, testLimits)
	if err != nil {
		return err
	}
	for _, group := range r.groups(how) {
		t := &r.tests[group[0]]
		filter, err := plugin.Filter(ctx, t.Config)
		if err != nil {
			if how == metered {
				for _, i := range group {
					r.refuse(i, err)
				}
			} else {
				r.fail(group[0], "%s, it does not begin: %s", how, plain(err))
			}
			continue
		}
		err = r.group(ctx, filter, group, how, func() []string {
			mu.Lock()
			defer mu.Unlock()
			taken := lines
			lines = nil
			return taken
		})
		filter.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// groups returns the numbers of tests that have the same configuration. What does not end by itself is not run without metering.
func (r *run) groups(how engine) [][]int {
	var groups [][]int
	for i := range r.tests {
		if how != metered && len(r.results[i].Findings) > 0 || how == original && r.results[i].Outcome.Verdict == Trapped {
			continue
		}
		same := func(g []int) bool { return string(r.tests[g[0]].Config) == string(r.tests[i].Config) }
		if g := slices.IndexFunc(groups, same); g >= 0 {
			groups[g] = append(groups[g], i)
		} else {
			groups = append(groups, []int{i})
		}
	}
	return groups
}

// group judges the tests of a group.
func (r *run) group(ctx context.Context, filter *wasm.Filter, group []int, how engine, log func() []string) error {
	events := make([]cdc.Event, len(group))
	for n, i := range group {
		events[n] = r.tests[i].Event
	}
	events, err := Together(events)
	if err != nil {
		return err
	}
	log() // of the start
	verdicts := make([]cdc.Verdict, len(events))
	for n, i := range slices.Backward(group) { // what came before must not matter
		if err := filter.Judge(ctx, events[n:n+1], verdicts[n:n+1]); err != nil {
			return err
		}
		got, fuel, result := OutcomeOf(events[n], &verdicts[n]), filter.Fuel(), &r.results[i]
		switch {
		case how == metered:
			result.Outcome, result.Fuel, result.Log = got, fuel, log()
		case !got.Equal(result.Outcome):
			r.fail(i, "%s, it comes to something else than %s: %s", how, metered, got.yaml())
		case how == interpreted && fuel != result.Fuel:
			r.fail(i, "%s, it takes %d units of fuel, and %s %d", how, fuel, metered, result.Fuel)
		}
	}
	if err := filter.Judge(ctx, events, verdicts); err != nil {
		return err
	}
	for n, i := range group {
		if got := OutcomeOf(events[n], &verdicts[n]); !got.Equal(r.results[i].Outcome) {
			r.fail(i, "in a batch with other events (%s), it comes to %s, and alone to %s: it depends on what it judged before", how, got.yaml(),
				r.results[i].Outcome.yaml())
		}
	}
	return nil
}

func (r *run) fail(i int, format string, args ...any) {
	t := &r.tests[i]
	f := t.place.At("name").Error(codeFailed, fmt.Sprintf("'%s': ", t.Name)+fmt.Sprintf(format, args...))
	r.results[i].Findings = append(r.results[i].Findings, f)
}

// refuse says that a test cannot be run with its configuration.
func (r *run) refuse(i int, err error) {
	t := &r.tests[i]
	at := t.place.At("name")
	if t.place.At("config").Exists() {
		at = t.place.At("config")
	}
	r.results[i].Findings = append(r.results[i].Findings, at.Error(codeFailed, fmt.Sprintf("'%s': %s", t.Name, plain(err))))
}

// compare says in what the outcome of a test is not the one that is expected.
func (r *run) compare(i int) {
	t, result := &r.tests[i], &r.results[i]
	defer func() { result.Passed = len(result.Findings) == 0 }()
	if len(result.Findings) > 0 {
		return
	}
	result.Agreed = true
	if t.Expect == nil {
		r.results[i].Findings = append(result.Findings, t.place.At("name").Error(codeFailed, fmt.Sprintf("'%s' expects nothing", t.Name)).
			Hint("add expect: %s, or have it added: cdcd plugin test --update", result.Outcome.yaml()))
		return
	}
	for _, line := range result.Outcome.meets(*t.Expect) {
		result.Findings = append(result.Findings, t.place.At("expect").Error(codeFailed, fmt.Sprintf("'%s': %s", t.Name, line)))
	}
	if t.MaxFuel > 0 && result.Fuel > t.MaxFuel {
		at := t.place.At("max_fuel")
		if !at.Exists() {
			at = t.place.At("name")
		}
		result.Findings = append(result.Findings, at.Error(codeFailed, fmt.Sprintf("'%s': it takes %d units of fuel; at most %d are allowed", t.Name, result.Fuel, t.MaxFuel)))
	}
}

// plain returns the text of an error without its code.
func plain(err error) string {
	if code := cdc.CodeOf(err); code != "" {
		if text, ok := cutCode(err.Error(), code); ok {
			return text
		}
	}
	return err.Error()
}

func cutCode(text, code string) (string, bool) {
	if len(text) > len(code)+2 && text[:len(code)] == code {
		return text[len(code)+2:], true
	}
	return text, false
}
