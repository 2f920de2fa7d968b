package pluginkit

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// What a new plugin begins with, one archive for each language: the template as it is, and the SDK in its folder cdcd.
// They are made of the folders in sdk; go test ./internal/pluginkit -run Kits -update makes them anew.
//
//go:embed kits/*.txtar
var kits embed.FS

// Languages returns the languages that plugins can be begun in.
func Languages() []string {
	entries, err := kits.ReadDir("kits")
	if err != nil {
		panic(err) // it is in the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}

// aliases are other names of the languages.
var aliases = map[string]string{"golang": "go", "rs": "rust", "typescript": "ts", "assemblyscript": "ts", "as": "ts"}

// New makes the folder of a new plugin, whose name is that of the folder, and returns the names of its files.
func New(lang, dir string) ([]string, error) {
	if full, ok := aliases[lang]; ok {
		lang = full
	}
	archive, err := kits.ReadFile("kits/" + lang + ".txtar")
	if err != nil {
		e := cdc.Errorf("CDCD-1001", "--lang cannot be '%s'", lang)
		if near, ok := strictyaml.Nearest(lang, Languages()); ok {
			return nil, e.WithFix("did you mean '%s'?", near)
		}
		return nil, e.WithFix("choose one of: %s", strings.Join(Languages(), ", "))
	}
	name := filepath.Base(dir)
	if !pluginName.MatchString(name) {
		return nil, cdc.Errorf("CDCD-1001", "'%s' cannot be the name of a plugin", name).
			WithFix("use small letters, digits and '-', at most 64: cdcd plugin new --lang %s fraud-score", lang)
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return nil, cdc.Errorf(codeNew, "the folder %s exists, and is not empty", dir).WithFix("take another name, or remove the folder")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, cdc.Errorf(codeNew, "the folder %s cannot be made: %w", dir, err).WithFix("take another name")
	}
	var files []string
	for _, f := range txtar.Parse(archive).Files {
		to := filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(f.Name, "{{name}}", name)))
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.WriteFile(to, bytes.ReplaceAll(f.Data, []byte("{{name}}"), []byte(name)), 0o644)
		}
		if err != nil {
			return nil, cdc.Errorf(codeNew, "the folder %s cannot be made: %w", dir, err)
		}
		files = append(files, to)
	}
	slices.Sort(files)
	return files, nil
}
