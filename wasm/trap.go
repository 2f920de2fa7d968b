package wasm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/meter"
)

// The kinds of a [Trap].
const (
	TrapFuel        = "fuel"        // it computed more than it may
	TrapDepth       = "depth"       // its calls nested too deep
	TrapMemory      = "memory"      // it has no memory for the change
	TrapUnreachable = "unreachable" // it gave up: a panic, an abort, an assertion
	TrapBounds      = "bounds"      // it reached beyond its memory, or a table
	TrapArithmetic  = "arithmetic"  // it divided by zero, or a float does not fit into an integer
	TrapCall        = "call"        // it called a function through a table as what it is not
	TrapExit        = "exit"        // it called proc_exit
	TrapFailed      = "failed"      // cdc_batch, cdc_init or cdc_arena returned that it failed
	TrapAnswer      = "answer"      // what it answered is not what ABI.md allows
	TrapRefused     = "refused"     // it says that it cannot judge the change
	TrapOther       = "other"
)

// Trap says why a plugin did not judge a change. It is an error with a code: CDCD-2510 for what the plugin's code did, CDCD-2511 for an
// answer that breaks the rules, CDCD-2512 for a plugin that says that it cannot judge.
type Trap struct {
	Plugin string   // "name version"
	Digest string   // of the plugin
	Kind   string   // one of the kinds above
	Said   string   // why it cannot judge, of TrapRefused: in its own words, printable; "" if it does not say
	Stack  []string // functions of the plugin, the innermost first; empty where there is none
	Fuel   int64    // that was used on the change, or on the call that began the plugin
	Err    *cdc.Error
}

// Error implements error.
func (t *Trap) Error() string { return t.Err.Error() }

// Unwrap returns what it is, with its code.
func (t *Trap) Unwrap() error { return t.Err }

// stop ends a call from within: host functions panic with it.
type stop struct {
	kind string // of the trap; "" when it is the world's fault
	what string
	err  error // of the world
}

func (s *stop) Error() string {
	if s.err != nil {
		return s.err.Error()
	}
	return s.what
}

func (s *stop) Unwrap() error { return s.err }

// engineTraps are the texts that the engine has for what a module does wrong.
var engineTraps = []struct{ text, kind, what string }{
	{"unreachable", TrapUnreachable, "it gave up (an unreachable instruction: a panic, an abort or an assertion)"},
	{"out of bounds memory access", TrapBounds, "it reached beyond its memory"},
	{"invalid table access", TrapBounds, "it reached beyond a table"},
	{"indirect call type mismatch", TrapCall, "it called a function as what it is not"},
	{"integer divide by zero", TrapArithmetic, "it divided by zero"},
	{"integer overflow", TrapArithmetic, "an integer does not fit"},
	{"invalid conversion to integer", TrapArithmetic, "a float that is not a number was made an integer"},
	{"stack overflow", TrapDepth, "its calls nested too deep"},
}

// trapOf makes a trap of what a call ended with. The error is not nil if the world is to blame and not the plugin.
func (p *Plugin) trapOf(err error, fuel int64) (*Trap, error) {
	var s *stop
	text, stack, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n")
	t := &Trap{Kind: TrapOther, Fuel: fuel, Stack: frames(stack)}
	what := strings.TrimSuffix(text, " (recovered by wazero)")
	switch {
	case errors.As(err, &s) && s.kind == "":
		return nil, s.err
	case errors.As(err, &s):
		t.Kind, what = s.kind, s.what
	default:
		for _, e := range engineTraps {
			if strings.Contains(text, e.text) {
				t.Kind, what = e.kind, e.what
				break
			}
		}
	}
	code := "CDCD-2510"
	if t.Kind == TrapAnswer {
		code = "CDCD-2511"
	}
	return p.trap(t, code, "%s", what), nil
}

// trap fills in what all traps have.
func (p *Plugin) trap(t *Trap, code, format string, args ...any) *Trap {
	t.Plugin, t.Digest = p.label, p.digest
	t.Err = cdc.Errorf(code, "plugin %s: %s", p.label, fmt.Sprintf(format, args...))
	return t
}

// frames are the functions of a stack trace as the engine writes it.
func frames(trace string) []string {
	if trace == "" {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(trace, "\n") {
		if line == "" || strings.HasPrefix(line, "Go runtime stack trace:") {
			break
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, meter.HostModule) { // how it came to be stopped
			continue
		}
		if !strings.HasPrefix(line, "...") { // the name of the module, which it does not have, and the function's
			line = strings.TrimPrefix(line, ".")
		}
		out = append(out, printable(readable(line)))
	}
	return out
}
