package deptest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cdcd-project/cdcd/internal/deptest"
)

// A house of four packages: app imports shell, shell imports core and net/http, core imports nobody.
func newHouse(t *testing.T) (dir string) {
	dir = t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                  "module example.org/house\n\ngo 1.26\n",
		"core/core.go":            "package core\n",
		"core/core_test.go":       "package core_test\n\nimport _ \"example.org/house/shell\"\n",
		"shell/shell.go":          "package shell\n\nimport (\n\t_ \"example.org/house/core\"\n\t_ \"net/http\"\n)\n",
		"shell/tagged.go":         "//go:build never\n\npackage shell\n\nimport _ \"example.org/house/app\"\n",
		"app/app.go":              "package main\n\nimport _ \"example.org/house/shell\"\n\nfunc main() {}\n",
		"app/testdata/x/x.go":     "package x\n\nimport _ \"example.org/house/nowhere\"\n",
		"app/helper/a/a.go":       "package a\n\nimport _ \"example.org/house/core\"\n",
		"sdk/go.mod":              "module example.org/sdk\n",
		"sdk/sdk.go":              "package sdk\n\nimport _ \"example.org/house/core\"\n",
		"node_modules/x/index.go": "package x\n\nimport _ \"example.org/house/core\"\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLinkedFindsWhatIsLinkedHoweverIndirectly(t *testing.T) {
	dir := newHouse(t)
	for _, tt := range []struct {
		name, pkg string
		banned    map[string]string
		want      []string
	}{
		{"directly", "./shell", map[string]string{"net/http": "no servers"},
			[]string{"./shell links net/http (example.org/house/shell → net/http), but must not: no servers"}},
		{"by another package", "./app", map[string]string{"net/http": "no servers"},
			[]string{"./app links net/http (example.org/house/app → example.org/house/shell → net/http), but must not: no servers"}},
		{"not by tests", "./core", map[string]string{"net/http": "no servers"}, nil},
		{"not by a name that begins alike", "./app", map[string]string{"net/htt": "no servers"}, nil},
	} {
		if got := deptest.Linked(t, dir, tt.pkg, tt.banned); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCrossedFindsImportsThatTheTableDoesNotAllow(t *testing.T) {
	dir := newHouse(t)
	for _, tt := range []struct {
		name  string
		rooms map[string]deptest.Room
		want  []string
	}{
		{"all allowed", map[string]deptest.Room{"core": {}, "shell": {May: []string{"core", "app"}}, "app": {May: []string{"*"}}, "app/*": {May: []string{"core"}}}, nil},
		{"forbidden, one behind a build tag", map[string]deptest.Room{"core": {}, "shell": {Why: "it is small"}, "app": {May: []string{"*"}}, "app/*": {Why: "helpers"}},
			[]string{"package app/helper/a imports core, but must not: helpers", "package shell imports app, but must not: it is small", "package shell imports core, but must not: it is small"}},
		{"not in the table", map[string]deptest.Room{"shell": {May: []string{"*"}}, "app/*": {May: []string{"*"}}},
			[]string{"package app is not in the table: say what it may import, and why", "package core is not in the table: say what it may import, and why"}},
	} {
		if got := deptest.Crossed(t, dir, "example.org/house", tt.rooms); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
}
