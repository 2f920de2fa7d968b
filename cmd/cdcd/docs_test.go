package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every recipe in docs/recipes.md, and the rule of docs/analyst.md, is one that the linter has nothing to say about, whose tests pass, show it matching and not matching, and leave
// no part of its conditions untried. Its tables are those that stand beside it, or the demo's.
func TestEveryRecipeIsCleanAndTested(t *testing.T) {
	page, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := demoFiles.ReadFile("demo/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")[1:]
	if len(sections) < 20 {
		t.Fatalf("%d recipes, want 20 or more", len(sections))
	}
	tutorial, err := os.ReadFile("../../docs/analyst.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range strings.Split(string(tutorial), "\n## ")[1:] {
		if strings.Contains(section, "```yaml\n") {
			sections = append(sections, section)
		}
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	names := map[string]bool{}
	together := t.TempDir() // those of the demo, which somebody may take all of
	for i, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		t.Run(title, func(t *testing.T) {
			schema, rule := string(demo), ""
			for _, block := range blocks.FindAllStringSubmatch(section, -1) {
				switch {
				case strings.HasPrefix(block[1], "tables:\n"):
					schema = block[1]
				case strings.HasPrefix(block[1], "version: 1\nrules:\n") && rule == "":
					rule = block[1]
				default:
					t.Errorf("this is neither the rule nor its tables:\n%s", block[1])
				}
			}
			if rule == "" {
				t.Fatal("there is no rule")
			}
			for _, name := range recipeRules(t, rule) {
				if names[name] {
					t.Errorf("two recipes have a rule '%s'", name)
				}
				names[name] = true
			}

			dir := t.TempDir()
			for name, text := range map[string]string{
				"cdcd.yaml": recipesConfig, "schema.yaml": schema, "rule.yaml": rule,
				"plugins/fraud-score.wasm": string(guestPlugin(t, "fraud-score", "1.0.0", "class")),
			} {
				name = filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if schema == string(demo) {
				if err := os.WriteFile(filepath.Join(together, fmt.Sprint(i, ".yaml")), []byte(rule), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, verb := range [][]string{{"lint"}, {"test", "--coverage"}} {
				args := slices.Concat([]string{"rules"}, verb,
					[]string{filepath.Join(dir, "rule.yaml"), "--schema", filepath.Join(dir, "schema.yaml"), "-c", filepath.Join(dir, "cdcd.yaml")})
				var out, errOut bytes.Buffer
				code := run(t.Context(), args, nil, &out, &errOut)
				if said := out.String() + errOut.String(); code != 0 || strings.Contains(said, "CDCD-") {
					t.Errorf("cdcd rules %s: exit code %d\n%s", strings.Join(verb, " "), code, strings.ReplaceAll(said, dir+"/", ""))
				}
			}
		})
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"rules", "lint", together, "--schema", "demo/schema.yaml"}, nil, &out, &errOut); code != 0 {
		t.Errorf("all of the demo's together: exit code %d\n%s%s", code, &out, &errOut)
	}
}

// recipesConfig has the feed and the plugins that recipes name.
const recipesConfig = `version: 1
name: shop
source: {mysql: {url: "mysql://cdcd@127.0.0.1:1", tables: ["*.*"]}}
plugins: plugins
feeds: {acme: {to: "file://./acme"}}
console: {listen: "off"}
`

// recipeRules returns the names of a recipe's rules, and sees that the tests of each expect a match and none.
func recipeRules(t *testing.T, text string) (names []string) {
	t.Helper()
	type expectation struct {
		Match         *bool
		Change        string
		After, Before map[string]any
	}
	var file struct {
		Rules []struct {
			Name  string
			Tests []struct {
				Expect expectation
				Events []struct{ Expect expectation }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, rule := range file.Rules {
		outcomes := map[bool]bool{}
		note := func(e expectation) {
			if e.Match != nil {
				outcomes[*e.Match] = true
			}
			if e.Change != "" {
				outcomes[true] = true
			}
		}
		for _, test := range rule.Tests {
			note(test.Expect)
			for _, event := range test.Events {
				note(event.Expect)
			}
		}
		if len(outcomes) < 2 {
			t.Errorf("the tests of '%s' expect only %v", rule.Name, slices.Collect(maps.Keys(outcomes)))
		}
		names = append(names, rule.Name)
	}
	return names
}

// What docs/recipes.md and docs/analyst.md say to type exists.
func TestTheAnalystsPagesNameVerbsThatExist(t *testing.T) {
	root := newRoot(&app{ui: newUI(io.Discard, io.Discard, "table")})
	for _, name := range []string{"recipes.md", "analyst.md"} {
		page, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		commands := regexp.MustCompile("(?m)(?:^\\$ |`)cdcd ([^`#\n]*)").FindAllStringSubmatch(string(page), -1)
		if len(commands) < 3 {
			t.Fatalf("only %q in %s", commands, name)
		}
		for _, c := range commands {
			checkCommand(t, root, c[1])
		}
	}
}
