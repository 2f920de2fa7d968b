package wasm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// ABI is the interface that this package speaks, as a manifest names it.
const ABI = "cdc1"

// ManifestSection is the name of the custom section that the manifest stands in.
const ManifestSection = "cdc.manifest"

const schemaURL = "https://cdcd.invalid/config" // of the schema itself, that it may refer to its parts

// What a manifest may have at most.
const (
	maxManifest = 256 << 10
	maxColumns  = 4096
	maxMetrics  = 64
	maxGlobs    = 256
	maxSchema   = 100_000 // parts, written out
	maxDepth    = 100     // of JSON
	maxPatterns = 500_000 // parts of regular expressions, written out
)

// Manifest is what a plugin says about itself. ABI.md describes its keys.
type Manifest struct {
	ABI         string          `json:"abi"`
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Description string          `json:"description,omitempty"`
	Tables      []string        `json:"tables"` // globs
	Columns     []Column        `json:"columns,omitempty"`
	Images      string          `json:"images"` // after, before or both
	Edits       []string        `json:"edits,omitempty"`
	Metrics     []string        `json:"metrics,omitempty"`
	Config      json.RawMessage `json:"config,omitempty"` // JSON Schema; nil: it takes none

	globs  []cdc.TableGlob
	schema *jsonschema.Schema
}

// Column is a column that a plugin reads.
type Column struct {
	Name     string
	Kinds    []cdc.Kind // that it can read; nil: all
	Optional bool       // a table need not have it
}

// MarshalJSON writes a column as it is written in manifests: its name, or an object.
func (c Column) MarshalJSON() ([]byte, error) {
	if c.Kinds == nil && !c.Optional {
		return json.Marshal(c.Name)
	}
	o := columnJSON{Name: c.Name, Optional: c.Optional}
	for _, k := range c.Kinds {
		o.Kinds = append(o.Kinds, k.String())
	}
	return json.Marshal(o)
}

// UnmarshalJSON reads either.
func (c *Column) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &c.Name)
	}
	var o columnJSON
	if err := strict(text, &o, "a column", "name", "kinds", "optional"); err != nil {
		return err
	}
	c.Name, c.Optional = o.Name, o.Optional
	for _, name := range o.Kinds {
		k, ok := parseKind(name)
		if !ok {
			return fmt.Errorf("column %q: there is no kind %q", o.Name, name)
		}
		c.Kinds = append(c.Kinds, k)
	}
	return nil
}

type columnJSON struct {
	Name     string   `json:"name"`
	Kinds    []string `json:"kinds,omitempty"`
	Optional bool     `json:"optional,omitempty"`
}

func parseKind(name string) (cdc.Kind, bool) {
	for k := cdc.KindBool; k <= cdc.KindVector; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	metricSyntax  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	versionSyntax = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// ParseManifest reads the JSON text of a manifest and checks all that it says. The error has code CDCD-2503.
func ParseManifest(text []byte) (*Manifest, error) {
	m, err := parseManifest(text)
	if err != nil {
		return nil, cdc.Errorf("CDCD-2503", "the manifest of the plugin: %w", err).
			WithFix("mend plugin.yaml as wasm/ABI.md describes it under \"The manifest\", and build the plugin again: cdcd plugin build")
	}
	return m, nil
}

func parseManifest(text []byte) (*Manifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(text), maxManifest)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	m := &Manifest{Tables: []string{"*.*"}, Images: "after"}
	if err := strict(text, m, "it", "abi", "name", "version", "description", "tables", "columns", "images", "edits", "metrics", "config"); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Manifest) check() error {
	if m.ABI != ABI {
		return fmt.Errorf("abi is %q; this version of cdcd runs plugins of abi %q", m.ABI, ABI)
	}
	if !nameSyntax.MatchString(m.Name) {
		return fmt.Errorf("name is %q; it is lower-case letters, digits and '-', at most 64", m.Name)
	}
	if !versionSyntax.MatchString(m.Version) || len(m.Version) > 128 {
		return fmt.Errorf("version is %q; it is like 1.2.0", m.Version)
	}
	if len(m.Description) > 1024 || printable(m.Description) != m.Description {
		return fmt.Errorf("description has %d bytes; it is one line of at most 1024", len(m.Description))
	}
	switch m.Images {
	case "after", "before", "both":
	default:
		return fmt.Errorf("images is %q; it is after, before or both", m.Images)
	}
	if len(m.Tables) == 0 || len(m.Tables) > maxGlobs {
		return fmt.Errorf("tables has %d entries; it has at least 1 and at most %d", len(m.Tables), maxGlobs)
	}
	for _, text := range m.Tables {
		g, err := cdc.ParseTableGlob(text)
		if err != nil {
			return fmt.Errorf("tables: %q: %w", text, err)
		}
		m.globs = append(m.globs, g)
	}
	names := make([]string, len(m.Columns))
	for i, c := range m.Columns {
		names[i] = c.Name
	}
	for _, list := range []struct {
		key   string
		names []string
		most  int
		ok    func(string) bool
	}{
		{"columns", names, maxColumns, func(s string) bool { return s != "" && len(s) <= 1024 }},
		{"edits", m.Edits, maxColumns, func(s string) bool { return s != "" && len(s) <= 1024 }},
		{"metrics", m.Metrics, maxMetrics, metricSyntax.MatchString},
	} {
		if len(list.names) > list.most {
			return fmt.Errorf("%s has %d entries; it has at most %d", list.key, len(list.names), list.most)
		}
		seen := map[string]bool{}
		for _, name := range list.names {
			if !list.ok(name) {
				return fmt.Errorf("%s: %q is no name", list.key, name)
			}
			if seen[name] {
				return fmt.Errorf("%s has %q twice", list.key, name)
			}
			seen[name] = true
		}
	}
	return m.compileSchema()
}

func (m *Manifest) compileSchema() error {
	if m.Config == nil {
		return nil
	}
	doc, err := readJSON(m.Config)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine((&patterns{left: maxPatterns}).compile)
	if err := c.AddResource(schemaURL, doc); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if m.schema, err = c.Compile(schemaURL); err != nil {
		return fmt.Errorf("config is not a JSON Schema: %s", whatIsWrong(err))
	}
	if (&weighing{}).of(m.schema) > maxSchema {
		return errors.New("config is a schema that would take very long to check: its parts refer to each other too often")
	}
	return nil
}

// patterns compiles regular expressions as long as they are small, written out, all together: a few lines can be written out to more
// than there is memory for.
type patterns struct{ left float64 }

func (p *patterns) compile(text string) (jsonschema.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if p.left -= writtenOut(parsed); p.left < 0 {
		return nil, errors.New("its patterns are too large")
	}
	return regexp.Compile(text)
}

// writtenOut returns how many parts a regular expression has when its repetitions are written out.
func writtenOut(re *syntax.Regexp) float64 {
	n := 1 + float64(len(re.Rune))
	for _, sub := range re.Sub {
		n += writtenOut(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= float64(max(re.Min, re.Max, 1))
	}
	return n
}

// weighing finds out how many parts a schema has when everything is written out that it refers to, which checking it takes time in
// proportion to. A few lines can be written out to more than there is time for.
type weighing struct {
	known map[*jsonschema.Schema]float64
}

func (w *weighing) of(s *jsonschema.Schema) float64 {
	if n, ok := w.known[s]; ok {
		return n // one that refers to itself counts as one within itself
	}
	if w.known == nil {
		w.known = map[*jsonschema.Schema]float64{}
	}
	w.known[s] = 1
	n := 1.0
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			n += w.in(v.Field(i))
		}
	}
	w.known[s] = n
	return n
}

// in adds up the schemas in a value.
func (w *weighing) in(v reflect.Value) (n float64) {
	switch v.Kind() {
	case reflect.Interface:
		return w.in(v.Elem())
	case reflect.Pointer:
		switch p := v.Interface().(type) {
		case *jsonschema.Schema:
			if p != nil {
				return w.of(p)
			}
		case *jsonschema.DynamicRef:
			if p != nil && p.Ref != nil {
				return w.of(p.Ref)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += w.in(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			n += w.in(it.Value())
		}
	}
	return n
}

// readJSON reads JSON that is small in all dimensions: how deep it is, and how large its numbers are.
func readJSON(text []byte) (any, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return doc, modest(doc, 0)
}

func modest(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		if n, err := strconv.Atoi(cmp.Or(exponent, "0")); err != nil || n < -400 || n > 400 || len(v) > 1000 {
			return fmt.Errorf("there is a number that is too long, or has too large an exponent: %.40s", v)
		}
	case []any:
		for _, e := range v {
			if err := modest(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := modest(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// noLoader keeps a schema from having others fetched.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema must not refer to others (%s)", url)
}

// CheckConfig returns the configuration as it is given to the plugin, "{}" if there is none, after it was checked against the
// manifest's schema. The error has code CDCD-2504.
func (m *Manifest) CheckConfig(config json.RawMessage) (json.RawMessage, error) {
	fail := func(err error) error {
		return cdc.Errorf("CDCD-2504", "the configuration of plugin %s: %w", m.Name, err).
			WithFix("see what it takes with: cdcd plugin inspect %s", m.Name)
	}
	if len(bytes.TrimSpace(config)) == 0 {
		config = json.RawMessage("{}")
	}
	doc, err := readJSON(config)
	if err != nil {
		return nil, fail(err)
	}
	if m.schema == nil {
		if o, ok := doc.(map[string]any); !ok || len(o) > 0 {
			return nil, fail(errors.New("it takes none"))
		}
		return config, nil
	}
	if err := m.schema.Validate(doc); err != nil {
		return nil, fail(errors.New(whatIsWrong(err)))
	}
	return config, nil
}

// whatIsWrong says it in a line: where, and what.
func whatIsWrong(err error) string {
	var schema *jsonschema.SchemaValidationError
	if errors.As(err, &schema) {
		err = schema.Err
	}
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	for len(wrong.Causes) > 0 {
		wrong = wrong.Causes[0]
	}
	text := wrong.Error()
	if i := strings.LastIndex(text, "\n- "); i >= 0 {
		text = text[i+3:]
	}
	return strings.TrimPrefix(text, "at '': ")
}

// serves says whether the plugin judges changes of the table, and if not, why.
func (m *Manifest) serves(t *cdc.Table) error {
	if !slices.ContainsFunc(m.globs, func(g cdc.TableGlob) bool { return g.Match(t.Schema, t.Name) }) {
		return fmt.Errorf("it does not judge changes of table %s, but of %s", t, strings.Join(m.Tables, ", "))
	}
	for _, c := range m.Columns {
		i := t.Column(c.Name)
		if i < 0 {
			if c.Optional {
				continue
			}
			return fmt.Errorf("it reads column %q, which table %s does not have", c.Name, t)
		}
		if k := t.Columns[i].Kind; len(c.Kinds) > 0 && !slices.Contains(c.Kinds, k) {
			return fmt.Errorf("column %q of table %s is of kind %s, which it cannot read", c.Name, t, k)
		}
	}
	return nil
}

// strict decodes an object of JSON that has no other keys, none twice, and nothing behind it. Package json alone would take keys in
// any case.
func strict(text []byte, into any, what string, keys ...string) error {
	d := json.NewDecoder(bytes.NewReader(text))
	open, err := d.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return fmt.Errorf("%s is not a JSON object", what)
	}
	var seen []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name := key.(string)
		if !slices.Contains(keys, name) {
			return fmt.Errorf("%s has a key %q; there are %s", what, name, strings.Join(keys, ", "))
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("%s has the key %q twice", what, name)
		}
		seen = append(seen, name)
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is something behind %s", what)
	}
	return json.Unmarshal(text, into)
}

// AppendManifest returns the module with the manifest as its custom section, in place of the one it has. The manifest is checked
// first.
func AppendManifest(module, manifest []byte) ([]byte, error) {
	if _, err := ParseManifest(manifest); err != nil {
		return nil, err
	}
	m, err := wasmbin.Read(module, vetting())
	if err != nil {
		return nil, refused(err)
	}
	out := bytes.Clone(module[:8])
	at := 8
	for _, s := range m.Sections {
		end := s.Offset + len(s.Body)
		if s.ID != wasmbin.CustomSection || s.Name != ManifestSection {
			out = append(out, module[at:end]...)
		}
		at = end
	}
	body := wasmbin.AppendU32(nil, uint32(len(ManifestSection)))
	body = append(body, ManifestSection...)
	body = append(body, manifest...)
	out = append(out, wasmbin.CustomSection)
	out = wasmbin.AppendU32(out, uint32(len(body)))
	return append(out, body...), nil
}
