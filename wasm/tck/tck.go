package tck

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// Report is what the suite has found.
type Report struct {
	Plugin string `json:"plugin"` // name and version
	Digest string `json:"digest"`
	Cases  []Case `json:"cases"`
}

// Case is one of the suite's.
type Case struct {
	Name     string   `json:"name"`
	Changes  int      `json:"changes"`
	Problems []string `json:"problems,omitempty"` // none: the plugin is right
}

// OK reports whether the plugin is right.
func (r *Report) OK() bool { return len(r.Failed()) == 0 }

// Failed returns the cases in which the plugin is wrong.
func (r *Report) Failed() []Case {
	var failed []Case
	for _, c := range r.Cases {
		if len(c.Problems) > 0 {
			failed = append(failed, c)
		}
	}
	return failed
}

// Run runs a plugin, the one that PLUGIN.md describes. The error is about a module that is no plugin at all.
func Run(ctx context.Context, module []byte) (Report, error) {
	return RunWith(ctx, module, wasm.Config{})
}

// RunWith is [Run] on a host of its own that is configured like this.
func RunWith(ctx context.Context, module []byte, config wasm.Config) (Report, error) {
	s := suite{ctx: ctx}
	config.Log = s.line
	host, err := wasm.NewHost(config)
	if err != nil {
		return Report{}, err
	}
	defer host.Close()
	// Failures are what the suite is after; lines may be many.
	limits := wasm.Limits{LogLines: 1 << 20, Failures: -1, Wall: 5 * time.Minute}
	if s.plugin, err = host.Load(ctx, module, limits); err != nil {
		return Report{}, err
	}
	m := s.plugin.Manifest()
	r := Report{Plugin: m.Name + " " + m.Version, Digest: s.plugin.Digest()}
	if problem := checkManifest(m); problem != "" {
		r.Cases = append(r.Cases, Case{Name: "the manifest", Problems: []string{problem}})
		return r, nil
	}
	for _, g := range cases() {
		c := Case{Name: g.name, Changes: len(g.steps)}
		s.run(&c, &g, "in one batch", func(events []cdc.Event) [][]cdc.Event { return [][]cdc.Event{events} })
		s.run(&c, &g, "one by one", func(events []cdc.Event) (parts [][]cdc.Event) {
			for i := range events {
				parts = append(parts, events[i:i+1])
			}
			return parts
		})
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.Cases = append(r.Cases, c)
	}
	return r, nil
}

// checkManifest says in what a manifest is not the one that the suite needs.
func checkManifest(m *wasm.Manifest) string {
	columns := []string{"do"}
	var edits []string
	for _, k := range kinds() {
		columns, edits = append(columns, "v_"+k.String()), append(edits, "e_"+k.String())
	}
	var got []string
	for _, c := range m.Columns {
		got = append(got, c.Name)
	}
	switch {
	case !slices.Equal(got, append(columns, "v_optional")):
		return "its columns are not those of PLUGIN.md: " + strings.Join(got, ", ")
	case !slices.Equal(m.Edits, edits):
		return "its edits are not those of PLUGIN.md: " + strings.Join(m.Edits, ", ")
	case !slices.Equal(m.Metrics, []string{"seen", "sum"}) || m.Images != "both" || m.Config == nil:
		return "its metrics, images and config are not those of PLUGIN.md"
	}
	return ""
}

// suite runs cases on one plugin.
type suite struct {
	ctx    context.Context
	plugin *wasm.Plugin

	mu    sync.Mutex
	lines []wasm.Line
}

func (s *suite) line(l wasm.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, wasm.Line{Level: l.Level, Text: l.Text})
}

// run judges the changes of a group, in parts, by an instance of their own.
func (s *suite) run(c *Case, g *group, how string, cut func([]cdc.Event) [][]cdc.Event) {
	wrong := func(format string, args ...any) {
		if len(c.Problems) < 20 {
			c.Problems = append(c.Problems, how+": "+fmt.Sprintf(format, args...))
		}
	}
	s.lines = nil
	counted := s.plugin.Stats().Metrics
	filter, err := s.plugin.Filter(s.ctx, []byte(g.config))
	switch {
	case err != nil && (g.begins == "" || !strings.Contains(err.Error(), g.begins)):
		wrong("it does not begin: %s", err)
		return
	case err != nil:
		return
	}
	defer filter.Close()
	if g.begins != "" {
		wrong("it begins, but should say '%s'", g.begins)
		return
	}
	changes := make([]change, len(g.steps))
	for i := range g.steps {
		changes[i] = g.steps[i].change
	}
	events, err := batch(changes)
	if err != nil {
		wrong("%s", err)
		return
	}
	n := 0
	for _, part := range cut(events) {
		verdicts := make([]cdc.Verdict, len(part))
		if err := filter.Judge(s.ctx, part, verdicts); err != nil {
			wrong("%s", err)
			return
		}
		for i := range verdicts {
			if problem := g.steps[n].want.compare(part[i], &verdicts[i]); problem != "" {
				wrong("change %d (%s): %s", n+1, clip(strings.ReplaceAll(g.steps[n].do, "\n", "; ")), problem)
			}
			n++
		}
	}
	s.mu.Lock()
	lines := s.lines
	s.mu.Unlock()
	if slices.ContainsFunc(g.steps, func(s step) bool { return s.want.trap != nil }) { // runtimes may say why they give up
		lines = slices.DeleteFunc(slices.Clone(lines), func(l wasm.Line) bool { return !slices.Contains(g.logs, l) })
	}
	if g.logs != nil && !reflect.DeepEqual(lines, g.logs) {
		wrong("the log has %+v, but should have %+v", lines, g.logs)
	}
	if g.metrics != nil {
		for name, now := range s.plugin.Stats().Metrics {
			if got := now - counted[name]; got != g.metrics[name] {
				wrong("the metric %s is %d, but should be %d", name, got, g.metrics[name])
			}
		}
	}
}

// compare says in what a verdict is not what it should be.
func (w *want) compare(e cdc.Event, v *cdc.Verdict) string {
	var trap *wasm.Trap
	isTrap := errors.As(v.Err, &trap)
	switch {
	case w.trap != nil:
		if !isTrap || !slices.Contains(w.trap, trap.Kind) {
			return fmt.Sprintf("got %s, but it should be a trap: %s", describe(v), strings.Join(w.trap, " or "))
		}
		return ""
	case w.refused:
		if !isTrap || trap.Kind != wasm.TrapRefused {
			return fmt.Sprintf("got %s, but it should say that it cannot judge", describe(v))
		}
		if !strings.HasSuffix(trap.Error(), w.text) {
			return fmt.Sprintf("it says '%s', but should say '%s'", clip(trap.Error()), clip(w.text))
		}
		return ""
	case w.check != nil && v.Err == nil:
		return w.check(e, v)
	}
	wanted := cdc.Verdict{Keep: w.keep, Edits: w.edits}
	if v.Err != nil || v.Keep != wanted.Keep || v.Keep && !reflect.DeepEqual(v.Edits, wanted.Edits) {
		return fmt.Sprintf("got %s, but it should be %s", describe(v), describe(&wanted))
	}
	return ""
}

// describe shows a verdict.
func describe(v *cdc.Verdict) string {
	var trap *wasm.Trap
	switch {
	case errors.As(v.Err, &trap):
		return clip(fmt.Sprintf("a trap (%s): %s", trap.Kind, trap))
	case v.Err != nil:
		return clip("an error: " + v.Err.Error())
	case !v.Keep:
		return "drop"
	case v.Edits == nil:
		return "keep"
	}
	var parts []string
	for _, c := range v.Edits.Columns {
		image := "after."
		if c.Before {
			image = "before."
		}
		if c.Drop {
			parts = append(parts, "without "+image+c.Column)
			continue
		}
		parts = append(parts, fmt.Sprintf("%s%s = %s %s", image, c.Column, c.Value.Kind(), clip(fmt.Sprintf("%q", c.Value.String()))))
	}
	for _, t := range v.Edits.Tags {
		parts = append(parts, "tag "+t)
	}
	if v.Edits.Reason != "" {
		parts = append(parts, "reason "+v.Edits.Reason)
	}
	if v.Edits.To != nil {
		parts = append(parts, "to "+strings.Join(v.Edits.To, ", "))
	}
	return clip("keep, with " + strings.Join(parts, "; "))
}
