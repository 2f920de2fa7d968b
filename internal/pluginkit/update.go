package pluginkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

func flow(text []byte) string { return strictyaml.Flow(text) }

func flowText(s string) string { return flow(cdc.AppendString(nil, s)) }

// Update returns the text of a test file in which tests expect what outcomes has for them, by their names. All else stays
// as it is.
func Update(file string, src []byte, tests []Test, outcomes map[string]Outcome) ([]byte, error) {
	var out []byte
	var err error
	if filepath.Ext(file) == ".json" {
		out, err = updateJSON(src, outcomes)
	} else {
		out, err = updateYAML(src, tests, outcomes)
	}
	if err != nil {
		return nil, cdc.Errorf(codeTests, "%s cannot be updated: %w", file, err).WithFix("write the tests in block form, each key on a line of its own")
	}
	return out, nil
}

func updateYAML(src []byte, tests []Test, outcomes map[string]Outcome) ([]byte, error) {
	lines := bytes.SplitAfter(src, []byte("\n"))
	for _, t := range slices.Backward(tests) { // what is behind does not move
		o, ok := outcomes[t.Name]
		if !ok {
			continue
		}
		at := t.place.Pos()
		if at.Line > len(lines) || len(lines[at.Line-1]) < at.Col || lines[at.Line-1][at.Col-1] == '{' {
			return nil, fmt.Errorf("test '%s' is written in braces", t.Name)
		}
		first, keys := at.Line-1, at.Col-1 // keys: how far the test's keys are indented
		end := until(lines, first, keys-1)
		expect := append(bytes.Repeat([]byte(" "), keys), "expect: "+o.yaml()+"\n"...)
		key := slices.IndexFunc(lines[first:end], func(line []byte) bool { return len(line) > keys && bytes.HasPrefix(line[keys:], []byte("expect:")) })
		if key >= 0 {
			key += first
			copy(expect, lines[key][:keys]) // the first key has the dash before it
			lines = slices.Replace(lines, key, until(lines, key, keys), expect)
			continue
		}
		if last := lines[end-1]; !bytes.HasSuffix(last, []byte("\n")) {
			lines[end-1] = append(bytes.Clone(last), '\n')
		}
		lines = slices.Insert(lines, end, expect)
	}
	return bytes.Join(lines, nil), nil
}

// until returns where the lines end that follow the first one and are indented deeper than by depth.
func until(lines [][]byte, first, deeper int) int {
	end := first + 1
	for n := end; n < len(lines); n++ {
		switch line := lines[n]; {
		case len(bytes.TrimSpace(line)) == 0:
			continue
		case depth(line) <= deeper:
			return end
		}
		end = n + 1
	}
	return end
}

func depth(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

func updateJSON(src []byte, outcomes map[string]Outcome) ([]byte, error) {
	type test struct {
		Name    string          `json:"name"`
		Config  json.RawMessage `json:"config,omitempty"`
		MaxFuel json.RawMessage `json:"max_fuel,omitempty"`
		Event   json.RawMessage `json:"event"`
		Expect  any             `json:"expect,omitempty"`
	}
	var f struct {
		Tables  json.RawMessage `json:"tables,omitempty"`
		Config  json.RawMessage `json:"config,omitempty"`
		MaxFuel json.RawMessage `json:"max_fuel,omitempty"`
		Tests   []test          `json:"tests"`
	}
	if err := decode(src, &f); err != nil {
		return nil, err
	}
	for i := range f.Tests {
		if o, ok := outcomes[f.Tests[i].Name]; ok {
			f.Tests[i].Expect = o
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(f)
	return out.Bytes(), err
}
