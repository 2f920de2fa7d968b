package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// fixes says which findings `rules lint --fix` mends, and how.
type fixes struct {
	warnings bool // also what is no error: that changes what rules match
	dry      bool // write nothing
}

// fixed is one line that was mended, or would be.
type fixed struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Code   string `json:"code"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// maxRounds bounds how often files are mended: a mistake may hide the next one.
const maxRounds = 10

// mend applies the edits of findings to the files that they are about, again and again until there are none left, and
// returns what it did. lint reads and checks the files as they are now.
func (f fixes) mend(lint func() (*linted, error)) (done []fixed, l *linted, err error) {
	for range maxRounds {
		if l, err = lint(); err != nil {
			return done, nil, err
		}
		round, err := f.once(l.findings)
		if err != nil {
			return done, nil, err
		}
		if done = append(done, round...); len(round) == 0 || f.dry {
			return done, l, nil
		}
	}
	l, err = lint()
	return done, l, err
}

// once applies the edits of one round.
func (f fixes) once(findings rules.Findings) (done []fixed, err error) {
	byFile := map[string]rules.Findings{}
	var files []string
	for _, finding := range findings {
		if len(finding.Edits) == 0 || finding.Warning && !f.warnings {
			continue
		}
		if byFile[finding.File] == nil {
			files = append(files, finding.File)
		}
		byFile[finding.File] = append(byFile[finding.File], finding)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			return done, cdc.Errorf("CDCD-1020", "mend rules: %w", err)
		}
		mended, applied := strictyaml.Apply(src, byFile[name])
		if !readable(name, mended) {
			continue // an edit that breaks the file is none
		}
		if !f.dry {
			if err := rewrite(name, mended); err != nil {
				return done, cdc.Errorf("CDCD-1020", "mend rules: %w", err)
			}
		}
		done = append(done, changes(name, src, applied)...)
	}
	return done, nil
}

// readable reports whether a rule file is still YAML of the right shape.
func readable(name string, src []byte) bool {
	_, err := rules.Parse(name, src)
	var found rules.Findings
	if !errors.As(err, &found) {
		return err == nil
	}
	return !slices.ContainsFunc(found, func(f *rules.Finding) bool { return f.Code == "CDCD-2101" || f.Code == "CDCD-2102" })
}

// changes tells what the edits of each finding do to its lines.
func changes(name string, src []byte, applied rules.Findings) []fixed {
	var out []fixed
	for _, finding := range applied {
		alone, _ := strictyaml.Apply(src, rules.Findings{finding})
		line, before, after := differ(strings.Split(string(src), "\n"), strings.Split(string(alone), "\n"))
		out = append(out, fixed{File: name, Line: line, Code: finding.Code, Before: before, After: after})
	}
	return out
}

// differ returns the lines that differ, and the number of the first of them.
func differ(before, after []string) (line int, old, new string) {
	from := 0
	for from < min(len(before), len(after)) && before[from] == after[from] {
		from++
	}
	same := 0
	for same < min(len(before), len(after))-from && before[len(before)-1-same] == after[len(after)-1-same] {
		same++
	}
	return from + 1, strings.Join(before[from:len(before)-same], "\n"), strings.Join(after[from:len(after)-same], "\n")
}

// print shows a change as a diff does.
func (f fixed) print(a *app) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s\n", f.File, f.Line, f.Code)
	for line := range strings.Lines(f.Before) {
		b.WriteString(a.ui.out(red, "- "+strings.TrimRight(line, "\r\n")) + "\n")
	}
	for line := range strings.Lines(f.After) {
		b.WriteString(a.ui.out(green, "+ "+strings.TrimRight(line, "\r\n")) + "\n")
	}
	return b.String()
}
