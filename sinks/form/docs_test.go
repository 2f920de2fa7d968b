package form_test

import (
	"encoding/csv"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var memberName = regexp.MustCompile(`"([a-z_]+)":`)

// members are the names of a record's members, in their order.
func members(record string) (names []string) {
	for _, m := range memberName.FindAllStringSubmatch(strings.ReplaceAll(record, `\"`, ``), -1) {
		names = append(names, m[1])
	}
	return names
}

// within reports whether the names stand among others in that order.
func within(names, all []string) bool {
	for _, name := range names {
		i := slices.Index(all, name)
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// The examples in docs/objects.md have the members of records as they are, in their order; … stands for what is left out.
func TestTheExamplesInTheDocumentsAreOfRecordsAsTheyAre(t *testing.T) {
	page, err := os.ReadFile("../../docs/objects.md")
	if err != nil {
		t.Fatal(err)
	}
	var records [][]string
	for _, file := range []string{"cdcd.jsonl", "debezium.jsonl", "cloudevents.jsonl"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for record := range strings.Lines(string(text)) {
			records = append(records, members(record))
		}
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	checked := 0
	for _, example := range examples {
		if !strings.Contains(example[1], `"op":`) && !strings.Contains(example[1], `"specversion":`) {
			continue // it is no record
		}
		checked++
		text := regexp.MustCompile(`(?s)"(before|after)":\{[^{}]*\}`).ReplaceAllString(example[1], `"$1":{}`) // other tables than those of the goldens
		text = regexp.MustCompile(`"key":\{[^{}]*\}`).ReplaceAllString(text, `"key":{}`)
		names := members(text)
		if len(names) < 5 || !slices.ContainsFunc(records, func(all []string) bool { return within(names, all) }) {
			t.Errorf("no record has %q, which is in\n%s", names, example[1])
		}
	}
	if checked < 5 {
		t.Errorf("%d examples, want at least 5", checked)
	}
	golden, err := os.ReadFile("testdata/everything.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range regexp.MustCompile("(?s)```csv\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		rows, err := csv.NewReader(strings.NewReader(example[1])).ReadAll() // also checks that all rows have the columns of the first
		if err != nil {
			t.Fatal(err)
		}
		fixed := rows[0][:slices.IndexFunc(rows[0], func(s string) bool { return strings.HasPrefix(s, "before_") })]
		if !strings.HasPrefix(string(golden), strings.Join(fixed, ",")+",before_") {
			t.Errorf("the header is not that of a file: %q", fixed)
		}
	}
}
