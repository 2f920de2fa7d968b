package pluginkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// The codes of the author's loop.
const (
	codeProject  = "CDCD-2550" // plugin.yaml is missing or wrong
	codeNew      = "CDCD-2551" // no folder for a new plugin
	codeBuild    = "CDCD-2552" // the toolchain failed
	codeNotBuilt = "CDCD-2553" // there is no module
	codeTests    = "CDCD-2554" // a test file is wrong
	codeFailed   = "CDCD-2555" // a test does not come out as it should
	codeRecord   = "CDCD-2557" // nothing to record, or to replay
)

// ProjectFile is the file that makes a folder a plugin's.
const ProjectFile = "plugin.yaml"

// Project is the folder of a plugin, as its plugin.yaml describes it.
type Project struct {
	Dir      string
	Name     string // of the plugin
	Version  string
	Build    string // shell command that makes Output, run in Dir; "": it is made elsewhere
	Output   string // path of the module
	Manifest []byte // JSON
	Columns  []Column
	Edits    []string
	Tables   []string
}

// Column is a column that the plugin declares.
type Column struct {
	Name     string
	Optional bool
}

// projectYAML is plugin.yaml: the keys of the manifest, and how the module is made.
type projectYAML struct {
	ABI         string         `yaml:"abi"`
	Name        string         `yaml:"name,required"`
	Version     string         `yaml:"version,required"`
	Description string         `yaml:"description"`
	Tables      []string       `yaml:"tables"`
	Columns     []any          `yaml:"columns"`
	Images      string         `yaml:"images"`
	Edits       []string       `yaml:"edits"`
	Metrics     []string       `yaml:"metrics"`
	Config      map[string]any `yaml:"config"`
	Build       string         `yaml:"build"`
	Output      string         `yaml:"output,required"`
}

// manifestJSON is the manifest in the order in which people read it.
type manifestJSON struct {
	ABI         string   `json:"abi"`
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	Tables      []string `json:"tables,omitempty"`
	Columns     []any    `json:"columns,omitempty"`
	Images      string   `json:"images,omitempty"`
	Edits       []string `json:"edits,omitempty"`
	Metrics     []string `json:"metrics,omitempty"`
	Config      any      `json:"config,omitempty"`
}

var (
	pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	metricName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	semVer     = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// Open reads the plugin.yaml of a folder.
func Open(dir string) (*Project, error) {
	file := filepath.Join(dir, ProjectFile)
	src, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, cdc.Errorf(codeProject, "the folder %s has no %s, so it is not a plugin's", dir, ProjectFile).
			WithFix("name the folder of the plugin, or begin one: cdcd plugin new --lang go NAME")
	case err != nil:
		return nil, cdc.Errorf(codeProject, "read the plugin: %w", err)
	}
	return parseProject(dir, file, src)
}

func parseProject(dir, file string, src []byte) (*Project, error) {
	var y projectYAML
	doc, err := strictyaml.Decode(file, src, &y, strictyaml.Config{Codes: strictyaml.Codes{Syntax: codeProject, Key: codeProject, Value: codeProject}})
	found := findings{}
	if err != nil {
		found.errs = err.(strictyaml.Errors)
	}
	if len(found.errs) == 0 {
		y.check(doc, &found)
	}
	if err := found.errs.Err(); err != nil {
		return nil, err
	}
	p := &Project{Dir: dir, Name: y.Name, Version: y.Version, Build: y.Build, Output: filepath.Join(dir, filepath.FromSlash(y.Output)), Edits: y.Edits,
		Tables: y.Tables}
	for _, c := range y.Columns {
		switch c := c.(type) {
		case string:
			p.Columns = append(p.Columns, Column{Name: c})
		case map[string]any:
			optional, _ := c["optional"].(bool)
			p.Columns = append(p.Columns, Column{Name: c["name"].(string), Optional: optional})
		}
	}
	var schema any
	if y.Config != nil {
		schema = y.Config
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(manifestJSON{"cdc1", y.Name, y.Version, y.Description, y.Tables, y.Columns, y.Images, y.Edits, y.Metrics, schema}); err != nil {
		return nil, cdc.Errorf(codeProject, "%s cannot be written as a manifest: %w", file, err)
	}
	p.Manifest = bytes.TrimSpace(out.Bytes())
	return p, nil
}

// findings collects what is wrong in a file.
type findings struct{ errs strictyaml.Errors }

func (f *findings) add(e *strictyaml.Error) *strictyaml.Error {
	f.errs = append(f.errs, e)
	return e
}

// check says what the layout of the file does not.
func (y *projectYAML) check(doc *strictyaml.Doc, found *findings) {
	wrong := func(msg string, args ...any) func(at ...any) *strictyaml.Error {
		return func(at ...any) *strictyaml.Error {
			return found.add(doc.At(at...).Error(codeProject, fmt.Sprintf(msg, args...)))
		}
	}
	if y.ABI != "" && y.ABI != "cdc1" {
		wrong("'%s' is not an interface that this cdcd has", y.ABI)("abi").Hint("write cdc1, or leave the key out")
	}
	if !pluginName.MatchString(y.Name) {
		wrong("'%s' cannot be the name of a plugin", y.Name)("name").Hint("use small letters, digits and '-', at most 64")
	}
	if !semVer.MatchString(y.Version) {
		wrong("'%s' is not a version", y.Version)("version").Hint("write three numbers: 1.0.0")
	}
	for i, t := range y.Tables {
		if _, err := cdc.ParseTableGlob(t); err != nil {
			wrong("%s", err)("tables", i).Hint("write schema.table; * stands for anything")
		}
	}
	var columns []string
	for i, c := range y.Columns {
		name, isText := c.(string)
		if fields, ok := c.(map[string]any); ok {
			name, isText = fields["name"].(string)
			y.checkColumn(doc.At("columns", i), found)
		}
		switch {
		case !isText || name == "":
			wrong("a column is a name, or {name: …, kinds: […], optional: true}")("columns", i)
		case slices.Contains(columns, name):
			wrong("'%s' is declared twice", name)("columns", i)
		}
		columns = append(columns, name)
	}
	if images := []string{"after", "before", "both"}; y.Images != "" && !slices.Contains(images, y.Images) {
		wrong("'%s' is not known", y.Images)("images").Hint("one of %s", strings.Join(images, ", "))
	}
	for i, e := range y.Edits {
		if slices.Contains(y.Edits[:i], e) {
			wrong("'%s' is there twice", e)("edits", i)
		}
	}
	for i, m := range y.Metrics {
		if !metricName.MatchString(m) {
			wrong("'%s' cannot be the name of a metric", m)("metrics", i).Hint("use small letters, digits and '_', beginning with a letter")
		}
	}
	if out := filepath.FromSlash(y.Output); !filepath.IsLocal(out) || filepath.Ext(out) != ".wasm" {
		wrong("'%s' is not a module in this folder", y.Output)("output").Hint("write plugin.wasm")
	}
}

func (y *projectYAML) checkColumn(at strictyaml.Place, found *findings) {
	for _, key := range at.Keys() {
		switch key {
		case "name", "optional":
		case "kinds":
			var kinds []string
			for k := cdc.KindBool; k <= cdc.KindVector; k++ {
				kinds = append(kinds, k.String())
			}
			for i := 0; at.At("kinds", i).Exists(); i++ {
				kind := at.At("kinds", i)
				if slices.Contains(kinds, kind.Text()) {
					continue
				}
				e := found.add(kind.Error(codeProject, fmt.Sprintf("'%s' is not a kind of values", kind.Text())))
				if near, ok := strictyaml.Nearest(kind.Text(), kinds); ok {
					e.Hint("did you mean '%s'?", near)
				} else {
					e.Hint("the kinds are %s", strings.Join(kinds, ", "))
				}
			}
		default:
			e := found.add(at.At(key).KeyError(codeProject, fmt.Sprintf("a column has no key '%s'", key)))
			if near, ok := strictyaml.Nearest(key, []string{"name", "kinds", "optional"}); ok {
				e.Hint("did you mean '%s'?", near)
			}
		}
	}
}

// Module returns the built module. CDCD-2553 says that there is none.
func (p *Project) Module() ([]byte, error) {
	wasm, err := os.ReadFile(p.Output)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cdc.Errorf(codeNotBuilt, "the plugin is not built: there is no %s", p.Output).WithFix("cdcd plugin build %s", p.Dir)
	}
	if err != nil {
		return nil, cdc.Errorf(codeNotBuilt, "read the plugin: %w", err)
	}
	return wasm, nil
}

// Newer returns the name of a source file that is newer than the built module, relative to the folder; "" if there is
// none. What tests write, and what is hidden, is no source.
func (p *Project) Newer() string {
	built, err := os.Stat(p.Output)
	if err != nil {
		return ""
	}
	newer := ""
	_ = p.walk(func(name string, info fs.FileInfo) { // a folder that cannot be read has no news
		if newer == "" && info.ModTime().After(built.ModTime()) {
			newer = name
		}
	})
	return newer
}

// walk visits the sources.
func (p *Project) walk(visit func(name string, info fs.FileInfo)) error {
	output, err := filepath.Rel(p.Dir, p.Output)
	if err != nil {
		return err
	}
	return filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.Dir, path)
		switch base := d.Name(); {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(base, "."), d.IsDir() && slices.Contains(noSources, base):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || name == output || filepath.Ext(name) == ".wasm":
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			visit(name, info)
		}
		return nil
	})
}

// noSources are folders that have no sources of the module.
var noSources = []string{TestsDir, "node_modules", "target", "build"}
