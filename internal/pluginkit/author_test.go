package pluginkit

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// built begins a plugin in a language and builds it.
func built(t *testing.T, lang string) (*Project, []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fraud-score")
	if _, err := New(lang, dir); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Finish(t.Context(), made, Engines{}); err != nil {
		t.Fatal(err)
	}
	module, err := p.Module()
	if err != nil {
		t.Fatal(err)
	}
	return p, module
}

func testsOf(t *testing.T, p *Project) []Test {
	t.Helper()
	files, err := p.TestFiles(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := ReadTests(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func TestANewPluginPassesItsTestsInEveryLanguage(t *testing.T) {
	for _, lang := range Languages() {
		t.Run(lang, func(t *testing.T) {
			p, module := built(t, lang)
			results, err := RunTests(t.Context(), module, testsOf(t, p), Engines{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.Passed {
					t.Errorf("%s: %v", r.Test, r.Findings)
				}
			}
			if newer := p.Newer(); newer != "" {
				t.Errorf("%s is newer than the module that was just built", newer)
			}
		})
	}
}

func TestAPluginThatIsBuiltTwiceIsTheSame(t *testing.T) {
	p, module := built(t, "c")
	made, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, _, err := p.Finish(t.Context(), made, Engines{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Digest != wasm.Digest(module) {
		t.Error("another digest")
	}
}

// A plugin that counts what it judges comes to something else in a batch than alone.
func TestAPluginThatRemembersIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "remembers")
	if _, err := New("c", dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "plugin.c"), `#include "cdcd/cdcd.h"
static int seen;
cdcd_verdict cdcd_filter(cdcd_event *e) {
  (void)e;
  return ++seen % 2 ? CDCD_KEEP : CDCD_DROP;
}
`)
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = p.Finish(t.Context(), made, Engines{}); err != nil {
		t.Fatal(err)
	}
	module, err := p.Module()
	if err != nil {
		t.Fatal(err)
	}
	results, err := RunTests(t.Context(), module, testsOf(t, p), Engines{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(results, func(r TestResult) bool {
		return !r.Agreed && strings.Contains(r.Findings.Error(), "it depends on what it judged before")
	}) {
		t.Errorf("it is not found: %+v", results)
	}
}

func TestTheBuildSaysWhatIsMissing(t *testing.T) {
	for _, row := range []struct{ build, want, fix string }{
		{"clang-99 -o plugin.wasm x.c", "not found", getClang},
		{"frobnicate --all", "not found", "install frobnicate"},
		{"echo \"error: can't find crate for \\`core\\`\" >&2; exit 1", "can't find crate", getWasm},
		{"echo plugin.c:7: syntax error >&2; exit 1", "plugin.c:7: syntax error", "mend what the toolchain says"},
		{"true", "made no", "`output` in"},
	} {
		p := &Project{Dir: t.TempDir(), Name: "p", Build: row.build}
		p.Output = filepath.Join(p.Dir, "plugin.wasm")
		_, err := p.Make(t.Context())
		e, ok := err.(*cdc.Error)
		if !ok || e.Code != codeBuild || !strings.Contains(e.What, row.want) || !strings.Contains(e.Fix, row.fix) {
			t.Errorf("%s: %v", row.build, err)
		}
	}
}

func TestTwoVersionsAreCompared(t *testing.T) {
	p, module := built(t, "c")
	tests := testsOf(t, p)
	c, err := Replay(t.Context(), module, module, tests, Engines{}, 10)
	if err != nil || c.Different != 0 || c.Same != len(tests) || c.Versions[0] != c.Versions[1] {
		t.Errorf("with itself: %+v, %v", c, err)
	}
	src := read(t, filepath.Join(p.Dir, "plugin.c"))
	write(t, filepath.Join(p.Dir, "plugin.c"), strings.ReplaceAll(src, "CDCD_KEEP", "CDCD_DROP"))
	made, err := p.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := wasm.AppendManifest(made, p.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	c, err = Replay(t.Context(), module, other, tests, Engines{}, 1)
	if err != nil || c.Different == 0 || c.Lost != c.Different || len(c.Difference) != 1 || c.Difference[0].New.Verdict != Drop {
		t.Errorf("with one that drops everything: %+v, %v", c, err)
	}
	b, err := RunBench(t.Context(), module, tests, Engines{}, 1)
	if err != nil || len(b.Batches) != 3 || b.Batches[0].Fuel <= 0 || b.Bytes != len(module) || b.Memory == 0 {
		t.Errorf("bench: %+v, %v", b, err)
	}
}
