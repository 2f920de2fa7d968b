package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// ui speaks to people and to scripts: results on stdout, everything else on stderr.
type ui struct {
	stdout, stderr io.Writer
	format         string // table, json, jsonl or yaml
	wide           bool   // a table that says more, where a command has that
	colorOut       bool
	colorErr       bool
}

func newUI(stdout, stderr io.Writer, format string) *ui {
	return &ui{stdout: stdout, stderr: stderr, format: format}
}

// answer is the JSON object that every verb prints with -o json.
type answer = api.Answer[any]

// errorInfo is an error as machines read it.
type errorInfo = api.Error

// result prints what a verb found: v for machines, human for people. v must marshal to JSON.
func (u *ui) result(kind string, v any, human func(w io.Writer)) error {
	return u.print(answer{Kind: kind, OK: true, Result: v}, human)
}

// verdict is [ui.result] for verbs that judge: when ok is false it returns errNegative, and so the program exits with 1.
func (u *ui) verdict(kind string, ok bool, v any, human func(w io.Writer)) error {
	if err := u.print(answer{Kind: kind, OK: ok, Result: v}, human); err != nil {
		return err
	}
	if !ok {
		return errNegative
	}
	return nil
}

func (u *ui) print(e answer, human func(w io.Writer)) error {
	switch u.format {
	case "json":
		enc := json.NewEncoder(u.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(e)
	case "jsonl":
		if items := reflect.ValueOf(e.Result); e.OK && items.Kind() == reflect.Slice {
			for i := range items.Len() {
				if err := u.jsonLine(items.Index(i).Interface()); err != nil {
					return err
				}
			}
			return nil
		}
		if e.OK {
			return u.jsonLine(e.Result)
		}
		return u.jsonLine(e)
	case "yaml":
		return writeYAML(u.stdout, e)
	}
	if human != nil {
		human(u.stdout)
	}
	return nil
}

func (u *ui) jsonLine(v any) error {
	enc := json.NewEncoder(u.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeYAML writes what v is in JSON as YAML: the same names in the same order.
func writeYAML(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var doc yaml.Node // JSON is YAML
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	blockStyle(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		var plain yaml.Node
		if err := plain.Encode(n.Value); err == nil { // quotes what some readers would take for a boolean or a number
			n.Style = plain.Style
		}
	case n.Kind != yaml.ScalarNode:
		n.Style = 0
	}
	if (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// living shows progress on stderr: on a terminal a line that lives, else one every ten seconds.
type living struct {
	ui    *ui
	shown time.Time // last
}

// show shows text, if it is time to. What is printed besides must come after end; prefix stands before lines that stay.
func (l *living) show(prefix, text string) {
	now := time.Now()
	terminal, since := isTerminal(l.ui.stderr), now.Sub(l.shown)
	if since < 200*time.Millisecond || !terminal && since < 10*time.Second {
		return
	}
	first := l.shown.IsZero()
	l.shown = now
	switch {
	case terminal:
		fmt.Fprintf(l.ui.stderr, "\r\x1b[K%s", text)
	case !first:
		l.ui.note("%s%s", prefix, strings.TrimSpace(text))
	}
}

// end takes the living line away, so that other lines can be printed.
func (l *living) end() {
	if isTerminal(l.ui.stderr) && !l.shown.IsZero() {
		fmt.Fprint(l.ui.stderr, "\r\x1b[K")
	}
}

// note prints a line on stderr: progress, hints, warnings.
func (u *ui) note(format string, args ...any) { fmt.Fprintf(u.stderr, format+"\n", args...) }

// fail prints an error. It is the only place that does. kind is that of the verb that failed.
func (u *ui) fail(kind string, err error) {
	if errors.Is(err, errNegative) {
		return // the verdict has been printed
	}
	all := api.ErrorsOf(err)
	if u.format != "table" {
		e := answer{Kind: kind, Error: &all[0]}
		if len(all) > 1 {
			e.Errors = all
		}
		_ = u.print(e, nil) // nobody is left to tell
		return
	}
	var file strictyaml.Errors
	var located *strictyaml.Error
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(u.stderr, "interrupted")
		return
	case errors.As(err, &file):
		for _, e := range file {
			fmt.Fprintln(u.stderr, u.paintLocated(e))
		}
	case errors.As(err, &located):
		fmt.Fprintln(u.stderr, u.paintLocated(located))
	default:
		for _, e := range all {
			code := "error"
			if e.Code != "" {
				code += " " + e.Code
			}
			fmt.Fprintf(u.stderr, "%s: %s\n", paint(u.colorErr, red, code), indent(e.Message, "    "))
			if e.Fix != "" {
				fmt.Fprintf(u.stderr, "    → %s\n", indent(e.Fix, "      "))
			}
		}
	}
	var codes []string
	for _, e := range all {
		if e.Code != "" && e.Severity == "" && !slices.Contains(codes, e.Code) {
			codes = append(codes, e.Code)
		}
	}
	if file != nil && len(all) > 1 {
		fmt.Fprintln(u.stderr, plural(len(all), "finding"))
	}
	for _, code := range codes {
		fmt.Fprintf(u.stderr, "    more: cdcd errors %s\n", code)
	}
}

// table prints rows below headers in columns; a column is as wide as its widest cell.
func (u *ui) table(w io.Writer, headers []string, rows [][]string) {
	width := make([]int, len(headers))
	for _, row := range append([][]string{headers}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string, style string) {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(w, paint(u.colorOut && style != "", style, strings.TrimRight(b.String(), " ")))
	}
	if len(headers) > 0 && strings.Join(headers, "") != "" {
		line(headers, bold)
	}
	for _, row := range rows {
		line(row, "")
	}
}

// Terminal styles. Meaning never depends on colour alone.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func paint(on bool, style, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// out paints text for stdout.
func (u *ui) out(style, s string) string { return paint(u.colorOut, style, s) }

// paintLocated colours the word error and the caret.
func (u *ui) paintLocated(e *strictyaml.Error) string {
	text := e.Error()
	if !u.colorErr {
		return text
	}
	style, word := red, "error "+e.Code
	if e.Warning {
		style, word = yellow, "warning "+e.Code
	}
	text = strings.Replace(text, word, paint(true, style, word), 1)
	if i := strings.LastIndex(text, "\n"); i >= 0 {
		head, tail := text[:i], text[i:]
		carets := strings.Trim(tail, "\n |")
		end := len(carets) - len(strings.TrimLeft(carets, "^"))
		return head + strings.Replace(tail, carets[:end], paint(true, style, carets[:end]), 1)
	}
	return text
}

func indent(s, by string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by)
}

// setColor decides whether to colour: the flag, then NO_COLOR and TERM, then whether it is a terminal.
func (u *ui) setColor(flag string, env []string) error {
	switch flag {
	case "always":
		u.colorOut, u.colorErr = true, true
	case "never":
	case "auto":
		if getenv(env, "NO_COLOR") == "" && getenv(env, "TERM") != "dumb" {
			u.colorOut, u.colorErr = isTerminal(u.stdout), isTerminal(u.stderr)
		}
	default:
		return badChoice("--color", flag, "auto", "always", "never")
	}
	return nil
}

// isTerminal reports whether w is a terminal: a character device that is not the null device.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(st, null)
}

func getenv(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
