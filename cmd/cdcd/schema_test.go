package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/cdcd-project/cdcd/docs/schema"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

var update = flag.Bool("update", false, "write generated files and transcripts anew")

// schemaMaker makes the JSON Schema of the configuration from its structs and their comments.
type schemaMaker struct {
	comments map[string]string // "fileConfig.Name": the field's comment
}

func newSchemaMaker(t *testing.T, pattern string) *schemaMaker {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	m := &schemaMaker{comments: map[string]string{}}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, m.comment)
	}
	return m
}

// comment notes the comments of the fields of a struct.
func (m *schemaMaker) comment(n ast.Node) bool {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return true
	}
	if s, ok := spec.Type.(*ast.StructType); ok {
		for _, f := range s.Fields.List {
			for _, name := range f.Names {
				m.comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
	}
	return true
}

func (m *schemaMaker) schema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[strictyaml.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[span]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+d|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`}
	case reflect.TypeFor[oneOrMore]():
		return &jsonschema.Schema{Types: []string{"string", "array"}, Items: &jsonschema.Schema{Type: "string"}}
	case reflect.TypeFor[strictyaml.Size]():
		return &jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|kB|B)?$`}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.schema(t.Elem())
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.Int, reflect.Uint32:
		return &jsonschema.Schema{Type: "integer"}
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: m.schema(t.Elem())}
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: m.schema(t.Elem())}
	case reflect.Struct:
		return m.object(t)
	}
	panic("no schema for " + t.String())
}

func (m *schemaMaker) object(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type:                 "object",
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if name == ",inline" {
			inner := m.object(f.Type)
			maps.Copy(s.Properties, inner.Properties)
			s.PropertyOrder, s.Required = append(s.PropertyOrder, inner.PropertyOrder...), append(s.Required, inner.Required...)
			continue
		}
		if !ok || f.Type.Kind() == reflect.Interface {
			continue // what this version refuses, editors need not offer
		}
		p := m.schema(f.Type)
		p.Description = m.comments[t.Name()+"."+f.Name]
		if rest, ok := strings.CutPrefix(p.Description, f.Name+" "); ok {
			p.Description = name + " " + rest
		}
		if p.Description == "" {
			panic(t.Name() + "." + f.Name + " has no comment, so the setting has no documentation")
		}
		if text, ok := f.Tag.Lookup("default"); ok {
			p.Default = jsonOf(f.Type, text)
		}
		if enum, ok := f.Tag.Lookup("enum"); ok {
			for value := range strings.SplitSeq(enum, ",") {
				p.Enum = append(p.Enum, jsonOf(f.Type, value))
			}
		}
		if f.Tag.Get("required") != "" {
			s.Required = append(s.Required, name)
		}
		s.Properties[name] = p
		s.PropertyOrder = append(s.PropertyOrder, name)
	}
	if key := strictyaml.Shorthand(t); key != "" {
		short := *s.Properties[key]
		short.Description, short.Default = "", nil
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{&short, s}}
	}
	return s
}

// jsonOf writes the text of a tag as JSON of the field's type.
func jsonOf(t reflect.Type, text string) json.RawMessage {
	v := reflect.New(t).Elem()
	if err := setText(v, text); err != nil {
		panic(err)
	}
	out, err := json.Marshal(plainValue(v))
	if err != nil {
		panic(err)
	}
	return out
}

func TestTheConfigurationSchemaIsMadeFromTheStructs(t *testing.T) {
	s := newSchemaMaker(t, "config*.go").schema(reflect.TypeFor[fileConfig]())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "cdcd.yaml, version 1"
	s.Properties["source"].OneOf = []*jsonschema.Schema{{Required: []string{"mysql"}}, {Required: []string{"binlog"}}}
	s.Properties["bus"].Not = &jsonschema.Schema{Required: []string{"embedded", "nats"}}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "schema", "cdcd.v1.json")
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(schema.Config, text.Bytes()) {
		t.Errorf("docs/schema/cdcd.v1.json is not what the structs of config.go say; run: go test ./cmd/cdcd -run Schema -update")
	}
}

// The schema is for editors, strictyaml and the validator decide: they must not contradict each other.
func TestTheSchemaAgreesWithTheDecoder(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(schema.Config, &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	full := `version: 1
name: shop
data: d
source: {mysql: {url: "mysql://u@h", password_env: X, tables: [a.b], exclude_tables: [a.c],
  drop_columns: [a.b.c], mask_columns: {hmac: ["*.*.d"], encrypt: [a.b.e]}, mask_key_files: {hmac: h, encrypt: e}, snapshot: none, server_id: 7}}
bus: {nats: {url: "nats://a:4222", creds_file: c, replicas: 3}}
rules: [r.yaml]
feeds:
  acme: {to: "s3://b/p", s3: {endpoint: "http://h:1", region: r, path_style: true, access_key_env: A, secret_key_env: B},
    envelope: cdcd, compress: gzip, rotate: {every: 1m30s, rows: 5, bytes: 1MiB}}
audit: {dir: a, key_file: k}
dead_letters: {dir: d}
console: {listen: "off"}
`
	small := "version: 1\nname: s\nsource: {binlog: {files: [b.0*]}}\nbus: {embedded: {max_bytes: 1GiB}}\nfeeds: {f: {to: 'file:///d'}}\n"
	with := func(old, new string) string {
		if !strings.Contains(full, old) {
			t.Fatalf("no %q to replace", old)
		}
		return strings.Replace(full, old, new, 1)
	}
	tests := []struct {
		name, src string
		ok        bool
	}{
		{"everything", full, true},
		{"the least", small, true},
		{"unknown key", with("data:", "date:"), false},
		{"unknown nested key", with("replicas: 3", "replica: 3"), false},
		{"missing key", with("name: shop\n", ""), false},
		{"wrong type", with("rules: [r.yaml]", "rules: r.yaml"), false},
		{"wrong choice", with("compress: gzip", "compress: bzip2"), false},
		{"wrong replicas", with("replicas: 3", "replicas: 2"), false},
		{"no unit", with("every: 1m30s", "every: '90'"), false},
		{"two sources", with("source: {mysql:", "source: {binlog: {files: [x]}, mysql:"), false},
		{"two buses", with("bus: {nats:", "bus: {embedded: {}, nats:"), false},
		{"another choice", with("snapshot: none", "snapshot: initial"), true},
		{"a choice that there is not", with("snapshot: none", "snapshot: final"), false},
		{"a mask without its method", with(`mask_columns: {hmac: ["*.*.d"], encrypt: [a.b.e]}`, "mask_columns: [a.b.e]"), false},
		{"a method that there is not", with("encrypt: [a.b.e]", "redact: [a.b.e]"), false},
		{"plugins", full + "plugins: {dir: p, memory: 1GiB, compile_memory: 1GiB, compile_time: 1m, limits: {score: {memory: 1MiB, fuel: 100000, batch_fuel: 200000,\n" +
			"  start_fuel: 200000, wall: 1s, log_lines: 1, failures: 5, window: 10}}, compiled: c}\n", true},
		{"a folder of plugins", full + "plugins: p/\n", true},
		{"a list of plugins", full + "plugins: [p]\n", false},
		{"a limit that there is not", full + "plugins: {limits: {score: {fule: 1}}}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, decodeErr := parseConfig("cdcd.yaml", []byte(tt.src), nil, nil)
			var instance any
			if err := yaml.Unmarshal([]byte(tt.src), &instance); err != nil {
				t.Fatal(err)
			}
			schemaErr := resolved.Validate(instance)
			if (decodeErr == nil) != tt.ok || (schemaErr == nil) != tt.ok {
				t.Errorf("want ok=%v; the decoder says %v; the schema says %v", tt.ok, decodeErr, schemaErr)
			}
		})
	}
}
