package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// sections are the parts of the index of pages, with what the names of their pages begin with. A page is in the first
// section that has it; the last one takes all that is left.
var sections = []struct {
	title    string
	prefixes []string
}{
	{"To begin with", []string{"first-rule", "all-that-match", "globs", "operations", "by-operation", "modes"}},
	{"The twelve commonest mistakes", []string{"the-twelve-mistakes"}},
	{"Changes", []string{"changed", "any-changed", "increased-by"}},
	{"Filters: conditions on rows", []string{"where"}},
	{"Plugins", []string{"filter"}},
	{"Look-ups", []string{"lookup"}},
	{"What is delivered", []string{"show"}},
	{"What may be missing", []string{"null", "coalesce", "absent", "type-json", "lint-json"}},
	{"Types", []string{"literals", "type-", "comprehensions", "ignore-case"}},
	{"Dates and times", []string{"dates", "time-"}},
	{"What is found in rules", []string{"lint-", "mistakes-", "unicode"}},
	{"When it fails, and how much it may cost", []string{"on-error", "limits"}},
	{"Tests and explanations", []string{"tests", "explain"}},
	{"More", []string{""}},
}

// TestThePagesAreIndexed keeps the list of pages in docs/language.md.
func TestThePagesAreIndexed(t *testing.T) {
	pages, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(pages) < 60 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	lines := make([]string, len(sections))
	for _, page := range pages {
		archive, err := txtar.ParseFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(page), ".txtar")
		first, _, _ := strings.Cut(strings.TrimSpace(string(archive.Comment)), "\n\n")
		if first == "" {
			t.Errorf("%s does not say what it is about", page)
		}
		for i, s := range sections {
			if begins(name, s.prefixes) {
				lines[i] += fmt.Sprintf("- [%s](../rules/%s): %s\n", strings.ReplaceAll(name, "-", " "), filepath.ToSlash(page), strings.Join(strings.Fields(first), " "))
				break
			}
		}
	}
	const file = "../docs/language.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "first paragraph of each page -->\n")
	if !ok {
		t.Fatal("the mark after which the pages are listed is gone")
	}
	var b strings.Builder
	b.WriteString(head + "first paragraph of each page -->\n")
	for i, s := range sections {
		if lines[i] != "" {
			fmt.Fprintf(&b, "\n### %s\n\n%s", s.title, lines[i])
		}
	}
	golden(t, file, b.String())
}

func begins(name string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
