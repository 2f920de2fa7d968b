package pluginkit

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/cdcd-project/cdcd/cdc"
)

var update = flag.Bool("update", false, "make the kits anew")

// The binary begins plugins offline, with what is in it: that must be what is in the folders.
func TestKitsAreMadeOfTheSDKs(t *testing.T) {
	langs, err := filepath.Glob("../../sdk/*/template")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, template := range langs {
		sdk := filepath.Dir(template)
		lang := filepath.Base(sdk)
		if lang == "assemblyscript" {
			lang = "ts"
		}
		found = append(found, lang)
		kit := pack(t, sdk)
		name := filepath.Join("kits", lang+".txtar")
		if *update {
			if err := os.WriteFile(name, kit, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if is, err := os.ReadFile(name); err != nil || !bytes.Equal(is, kit) {
			t.Errorf("%s is not what sdk/%s is (%v): go test ./internal/pluginkit -run Kits -update", name, lang, err)
		}
	}
	slices.Sort(found)
	if !*update && !slices.Equal(Languages(), found) {
		t.Errorf("there are kits for %v, and templates for %v", Languages(), found)
	}
}

// pack makes the kit of an SDK: the template, and the SDK without its tests, examples and templates in the folder cdcd.
func pack(t *testing.T, sdk string) []byte {
	t.Helper()
	var kit txtar.Archive
	add := func(root, prefix string, skip ...string) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			name = filepath.ToSlash(name)
			switch base := d.Name(); {
			case err != nil || name == ".":
				return err
			case d.IsDir() && (slices.Contains(skip, name) || slices.Contains(noSources[1:], base)),
				strings.HasPrefix(base, ".") && base != ".gitignore" && base != ".cargo", base == "Cargo.lock":
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case d.IsDir(), strings.HasSuffix(base, ".wasm"), prefix != "" && (strings.HasSuffix(base, "_test.go") || base == "package-lock.json"):
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !bytes.HasSuffix(text, []byte("\n")) && len(text) > 0 || bytes.HasPrefix(text, []byte("-- ")) || bytes.Contains(text, []byte("\n-- ")) {
				t.Errorf("%s does not fit into an archive: it must end in a line break, and no line may begin with dashes", path)
			}
			// A go.mod would make a template a module of its own.
			kit.Files = append(kit.Files, txtar.File{Name: prefix + strings.TrimSuffix(name, ".txt"), Data: text})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add(filepath.Join(sdk, "template"), "")
	add(sdk, "cdcd/", "template", "tck", "example", "examples", "tests", "testdata")
	return txtar.Format(&kit)
}

func TestANewPluginIsAProjectOfItsName(t *testing.T) {
	for _, lang := range Languages() {
		t.Run(lang, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "fraud-score")
			if _, err := New(lang, dir); err != nil {
				t.Fatal(err)
			}
			p, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != "fraud-score" {
				t.Errorf("it is called %s", p.Name)
			}
			files, err := p.TestFiles(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ReadTests(files, nil); err != nil {
				t.Error(err)
			}
			if _, err := New(lang, dir); cdc.CodeOf(err) != codeNew {
				t.Errorf("a folder that exists: %v", err)
			}
		})
	}
}

func TestWhatCannotBeBegunIsSaidSo(t *testing.T) {
	for _, row := range []struct{ lang, name, fix string }{
		{"rut", "ok", "did you mean 'rust'?"},
		{"cobol", "ok", "choose one of: "},
		{"go", "Fraud_Score", "use small letters, digits and '-'"},
	} {
		_, err := New(row.lang, filepath.Join(t.TempDir(), row.name))
		e, ok := err.(*cdc.Error)
		if !ok || !strings.Contains(e.Fix, row.fix) {
			t.Errorf("%s %s: %v", row.lang, row.name, err)
		}
	}
}
