package pluginkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// TestsDir is the folder of a project's tests.
const TestsDir = "tests"

// A test file says what tables look like, what events there are, and what the plugin has to make of them. Files that
// end in .json are the same in JSON.
type testFileYAML struct {
	Tables  rules.SchemaSection `yaml:"tables"`
	Config  map[string]any      `yaml:"config"`
	MaxFuel int64               `yaml:"max_fuel"`
	Tests   []testYAML          `yaml:"tests,required"`
}

type testYAML struct {
	Name    string         `yaml:"name,required"`
	Config  map[string]any `yaml:"config"`
	MaxFuel int64          `yaml:"max_fuel"`
	Event   eventYAML      `yaml:"event,required"`
	Expect  expectYAML     `yaml:"expect"`
}

type eventYAML struct {
	Op         string         `yaml:"op,required"`
	Table      string         `yaml:"table"`
	Before     map[string]any `yaml:"before"`
	After      map[string]any `yaml:"after"`
	CommitTime string         `yaml:"commit_time"`
	Captured   bool           `yaml:"captured"`
}

type expectYAML struct {
	Verdict string         `yaml:"verdict,required"`
	Set     map[string]any `yaml:"set"`
	Drop    []string       `yaml:"drop"`
	Tags    []string       `yaml:"tags"`
	Reason  string         `yaml:"reason"`
	Route   []string       `yaml:"route"`
	Error   string         `yaml:"error"`
}

// Test is an event and what the plugin has to make of it.
type Test struct {
	File    string
	Name    string
	Config  json.RawMessage // canonical
	Event   cdc.Event
	Expect  *Outcome // nil: the test does not say
	MaxFuel int64    // 0: the test does not say

	place strictyaml.Place // of the test
}

// maxTestFile bounds a file: recorded events may be many.
const maxTestFile = 64 << 20

var testCodes = strictyaml.Config{Codes: strictyaml.Codes{Syntax: codeTests, Key: codeTests, Value: codeTests}, MaxBytes: maxTestFile}

// TestFiles returns the test files among names, folders of them included; without names those of the project.
func (p *Project) TestFiles(names []string) ([]string, error) {
	if len(names) == 0 {
		names = []string{filepath.Join(p.Dir, TestsDir)}
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && name == filepath.Join(p.Dir, TestsDir) {
			return nil, noTests(name)
		}
		if err != nil {
			return nil, cdc.Errorf(codeTests, "read tests: %w", err).WithFix("name files of tests, or none for those in %s", filepath.Join(p.Dir, TestsDir))
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, cdc.Errorf(codeTests, "read tests: %w", err)
		}
		n := len(files)
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
		if len(files) == n {
			return nil, noTests(name)
		}
	}
	return files, nil
}

func noTests(dir string) error {
	return cdc.Errorf(codeTests, "the folder %s has no tests", dir).WithFix("write %s, or record events: cdcd plugin record", filepath.Join(dir, "events.yaml"))
}

// ReadTests reads test files. tables are those that a file need not describe. What is wrong in the files is of type
// strictyaml.Errors.
func ReadTests(files []string, tables []*cdc.Table) ([]Test, error) {
	var all []Test
	var errs strictyaml.Errors
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, cdc.Errorf(codeTests, "read tests: %w", err)
		}
		tests, err := parseTests(file, src, tables)
		var found strictyaml.Errors
		if errors.As(err, &found) {
			errs = append(errs, found...)
		} else if err != nil {
			return nil, err
		}
		all = append(all, tests...)
	}
	return all, errs.Err()
}

func parseTests(file string, src []byte, known []*cdc.Table) ([]Test, error) {
	var y testFileYAML
	doc, err := strictyaml.Decode(file, src, &y, testCodes)
	if err != nil {
		return nil, err
	}
	found := findings{}
	tables, err := y.Tables.Tables(doc.At("tables"))
	found.join(err)
	for _, t := range known {
		if !slices.ContainsFunc(tables, func(own *cdc.Table) bool { return own.String() == t.String() }) {
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 && len(found.errs) == 0 {
		found.add(doc.At("tables").Error(codeTests, "the file does not say what the tables look like").
			Hint("add tables: {shop.orders: {columns: {id: bigint not null, …}, key: [id]}}, or run with --schema FILE"))
	}
	if err := found.errs.Err(); err != nil {
		return nil, err
	}
	y.checkFuel(doc.At("max_fuel"), y.MaxFuel, &found)
	var tests []Test
	names := map[string]bool{}
	for i := range y.Tests {
		t, at := &y.Tests[i], doc.At("tests", i)
		if names[t.Name] {
			found.add(at.At("name").Error(codeTests, fmt.Sprintf("two tests are called '%s'", t.Name)).Hint("give one of them another name"))
		}
		names[t.Name] = true
		y.checkFuel(at.At("max_fuel"), t.MaxFuel, &found)
		w := rules.Written{Op: t.Event.Op, Table: t.Event.Table, Before: t.Event.Before, After: t.Event.After, CommitTime: t.Event.CommitTime,
			Captured: t.Event.Captured}
		event, err := w.Event(at.At("event"), tables)
		found.join(err)
		test := Test{File: file, Name: t.Name, Event: event, MaxFuel: t.MaxFuel, place: at}
		if !at.At("max_fuel").Exists() {
			test.MaxFuel = y.MaxFuel
		}
		if config := y.Config; at.At("config").Exists() {
			test.Config = canonical(t.Config)
		} else {
			test.Config = canonical(config)
		}
		if at.At("expect").Exists() {
			test.Expect = t.Expect.outcome(at.At("expect"), &found)
		}
		tests = append(tests, test)
	}
	if len(y.Tests) == 0 {
		found.add(doc.At("tests").Error(codeTests, "the file has no test").Hint("add tests: [{name: …, event: {op: insert, after: {…}}, expect: {verdict: keep}}]"))
	}
	return tests, found.errs.Err()
}

func (y *testFileYAML) checkFuel(at strictyaml.Place, fuel int64, found *findings) {
	if at.Exists() && fuel <= 0 {
		found.add(at.Error(codeTests, "a budget of fuel is a number above 0"))
	}
}

// join adds findings of others, under the code of tests.
func (f *findings) join(err error) {
	var found strictyaml.Errors
	if errors.As(err, &found) {
		for _, e := range found {
			e.Code = codeTests
			f.add(e)
		}
	}
}

// canonical returns a configuration in one form: keys sorted, {} when there is none.
func canonical(config map[string]any) json.RawMessage {
	if config == nil {
		return json.RawMessage("{}")
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // it is of strings, numbers, lists and maps
	}
	return text
}

// verdicts that a test can expect.
var verdicts = []string{Keep, Drop, Failed, Trapped}

func (y *expectYAML) outcome(at strictyaml.Place, found *findings) *Outcome {
	if !slices.Contains(verdicts, y.Verdict) {
		e := found.add(at.At("verdict").Error(codeTests, fmt.Sprintf("'%s' is not a verdict", y.Verdict)))
		if near, ok := strictyaml.Nearest(y.Verdict, verdicts); ok {
			e.Hint("did you mean '%s'?", near)
		} else {
			e.Hint("one of %s", strings.Join(verdicts, ", "))
		}
		return nil
	}
	for _, key := range at.Keys() {
		allowed := key == "verdict" || key == "error" && (y.Verdict == Failed || y.Verdict == Trapped) || key != "error" && y.Verdict == Keep
		if !allowed {
			found.add(at.At(key).KeyError(codeTests, fmt.Sprintf("with the verdict %s there is no '%s'", y.Verdict, key)).Hint("remove it, or change 'verdict'"))
		}
	}
	o := &Outcome{Verdict: y.Verdict, Tags: y.Tags, Reason: y.Reason, Route: slices.Sorted(slices.Values(y.Route)), Drop: slices.Sorted(slices.Values(y.Drop)), Error: y.Error}
	for column, value := range y.Set {
		checkImage(at.At("set", column), column, found)
		if o.Set == nil {
			o.Set = map[string]json.RawMessage{}
		}
		o.Set[column] = jsonOf(value)
	}
	for i, column := range y.Drop {
		checkImage(at.At("drop", i), column, found)
	}
	return o
}

func checkImage(at strictyaml.Place, column string, found *findings) {
	if image, name, ok := strings.Cut(column, "."); !ok || name == "" || image != "before" && image != "after" {
		found.add(at.Error(codeTests, fmt.Sprintf("'%s' is not a column of an image", column)).Hint("write after.%s", strings.TrimPrefix(column, ".")))
	}
}

// jsonOf writes a value as it is delivered.
func jsonOf(x any) json.RawMessage {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		panic(err) // it is of strings, numbers, lists and maps
	}
	return bytes.TrimSpace(out.Bytes())
}
