package wasm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// A module for tests, in parts.
type parts struct {
	types    [][]byte // `0x60 params results`
	imports  [][]byte
	funcs    []byte   // their types
	table    []byte   // nil: none
	memory   []byte   // nil: none
	exports  [][]byte // name, kind, index
	start    int      // -1: none
	elements []byte   // the section; nil: none
	codes    [][]byte
}

const (
	typeNothing = iota // () → ()
	typeOne            // (i32) → i32
	typeTwo            // (i32, i32) → i32
)

func named(name string, behind ...byte) []byte {
	return append(append([]byte{byte(len(name))}, name...), behind...)
}

func imported(module, name string, kind byte, behind ...byte) []byte {
	return append(append(named(module), named(name)...), append([]byte{kind}, behind...)...)
}

// minimal is the smallest plugin: functions 0 cdc_arena, 1 cdc_batch, 2 cdc_abi_1. The arena in is at 1024, out at 512.
func minimal() *parts {
	return &parts{
		types: [][]byte{{0x60, 0, 0}, {0x60, 1, 0x7f, 1, 0x7f}, {0x60, 2, 0x7f, 0x7f, 1, 0x7f}},
		funcs: []byte{typeTwo, typeOne, typeNothing}, memory: []byte{0, 2}, start: -1,
		exports: [][]byte{named("memory", 2, 0), named("cdc_arena", 0, 0), named("cdc_batch", 0, 1), named("cdc_abi_1", 0, 2)},
		codes: [][]byte{
			{0, 0x41, 0x80, 0x04, 0x41, 0x80, 0x08, 0x20, 0, 0x1b, 0x0b}, // kind ? 512 : 1024
			// out.cursor = u32 at in+68, all verdicts stay 0
			{0, 0x41, 0x80, 0x04, 0x41, 0x80, 0x08, 0x28, 2, 68, 0x36, 2, 0, 0x41, 0, 0x0b},
			{0, 0x0b},
		},
	}
}

func (p *parts) with(alter func(*parts)) *parts {
	alter(p)
	return p
}

func (p *parts) bytes() []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	section := func(id byte, items [][]byte) {
		if len(items) > 0 {
			body := append(wasmbin.AppendU32(nil, uint32(len(items))), bytes.Join(items, nil)...)
			out = append(append(wasmbin.AppendU32(append(out, id), uint32(len(body))), body...), nil...)
		}
	}
	section(1, p.types)
	section(2, p.imports)
	var funcs [][]byte
	for _, f := range p.funcs {
		funcs = append(funcs, []byte{f})
	}
	section(3, funcs)
	if p.table != nil {
		section(4, [][]byte{p.table})
	}
	if p.memory != nil {
		section(5, [][]byte{p.memory})
	}
	section(7, p.exports)
	if p.start >= 0 {
		out = append(out, 8, 1, byte(p.start))
	}
	if p.elements != nil {
		out = append(append(out, 9, byte(len(p.elements))), p.elements...)
	}
	var codes [][]byte
	for _, c := range p.codes {
		codes = append(codes, append(wasmbin.AppendU32(nil, uint32(len(c))), c...))
	}
	section(10, codes)
	return out
}

const smallManifest = `{"abi":"cdc1","name":"small","version":"0.1.0"}`

// plugin is the module with a manifest.
func (p *parts) plugin(t testing.TB) []byte {
	t.Helper()
	module, err := AppendManifest(p.bytes(), []byte(smallManifest))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// without takes an export away.
func without(name string) func(*parts) {
	return func(p *parts) {
		for i, e := range p.exports {
			if strings.HasPrefix(string(e[1:]), name) {
				p.exports = append(p.exports[:i:i], p.exports[i+1:]...)
				return
			}
		}
	}
}

// importing makes it import functions, behind which its own are numbered.
func importing(functions ...[]byte) func(*parts) {
	return func(p *parts) {
		p.imports = functions
		for _, e := range p.exports {
			if e[len(e)-2] == 0 {
				e[len(e)-1] += byte(len(functions))
			}
		}
	}
}

func TestWhatIsRefusedAndHowItIsMended(t *testing.T) {
	component := []byte{0, 'a', 's', 'm', 0x0d, 0, 1, 0}
	function := func(module, name string, typ byte) func(*parts) { return importing(imported(module, name, 0, typ)) }
	for _, row := range []struct {
		name   string
		module []byte
		want   string // code, and what the error says
		fix    string
	}{
		{"nothing", nil, "CDCD-2501: the module is refused: at byte 0: it is not a WebAssembly module", "build a core module"},
		{"a component", component, "CDCD-2501: the module is refused: at byte 4: it is a component", "GOOS=wasip1"},
		{"four billion imports", []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 2, 5, 0xff, 0xff, 0xff, 0xff, 0x0f}, "CDCD-2501: the module is refused: at byte 1", "core module"},
		{"a program", minimal().with(func(p *parts) { p.exports = append(p.exports, named("_start", 0, 2)) }).plugin(t),
			"CDCD-2501: the module is not a plugin: it exports _start and no _initialize", "c-shared"},
		{"no marker", minimal().with(without("cdc_abi_1")).plugin(t), "CDCD-2501: the module is not a plugin: it does not export cdc_abi_1", "SDK"},
		{"no memory", minimal().with(without("memory")).plugin(t), `CDCD-2501: the module is not a plugin: it does not export its memory`, "SDK"},
		{"no cdc_batch", minimal().with(without("cdc_batch")).plugin(t), "CDCD-2501: the module is not a plugin: it does not export cdc_batch", "SDK"},
		{"another cdc_arena", minimal().with(func(p *parts) { p.exports[1][len(p.exports[1])-1] = 1 }).plugin(t),
			"CDCD-2501: the module is not a plugin: its export cdc_arena is (i32) → i32; it has to be (i32, i32) → i32", "SDK"},
		{"a memory as cdc_batch", minimal().with(func(p *parts) { p.exports[2] = named("cdc_batch", 2, 0) }).plugin(t),
			"CDCD-2501: the module is not a plugin: its export cdc_batch is a memory, not a function", "SDK"},
		{"too much memory", minimal().with(func(p *parts) { p.memory = []byte{0, 0x81, 0x04} }).plugin(t), "CDCD-2501: plugin small is refused: memory 0 has 513 pages", "limits"},
		{"a name that is reserved", minimal().with(func(p *parts) { p.exports = append(p.exports, named("cdc:fuel", 0, 2)) }).plugin(t),
			"CDCD-2501: plugin small is refused: it exports 'cdc:fuel'", ""},
		{"files", minimal().with(function(wasi, "path_open", typeOne)).plugin(t),
			"CDCD-2502: the module imports wasi_snapshot_preview1.path_open: access to files, which plugins do not have", "configuration"},
		{"the network", minimal().with(function(wasi, "sock_accept", typeOne)).plugin(t), "access to the network", ""},
		{"what the linker left", minimal().with(function("env", "malloc", typeOne)).plugin(t), "env.malloc: a function that nobody defines", "link"},
		{"AssemblyScript's abort", minimal().with(function("env", "abort", typeOne)).plugin(t), "env.abort", "--use abort="},
		{"WASI 0.2", minimal().with(function("wasi:io/streams", "x", typeOne)).plugin(t), "an interface of WASI 0.2", "wasip1"},
		{"a newer interface", minimal().with(function("cdc1", "fetch", typeOne)).plugin(t), "does not have", "upgrade cdcd"},
		{"the host's own", minimal().with(function("cdc:meter", "yield", typeNothing)).plugin(t), "CDCD-2502: the module imports cdc:meter.yield: a name that is reserved", ""},
		{"another log", minimal().with(function("cdc1", "log", typeOne)).plugin(t),
			"CDCD-2502: the module imports cdc1.log: as (i32) → i32, but it is (i32, i32, i32) → ()", "declare it"},
		{"a memory", minimal().with(func(p *parts) { p.imports, p.memory = [][]byte{imported("env", "memory", 2, 0, 1)}, nil }).plugin(t),
			"CDCD-2502: the module imports env.memory: a memory; plugins have their own", "no --import-memory"},
		{"no manifest", minimal().bytes(), "CDCD-2503: the module has 0 manifests", "cdcd plugin build"},
		{"two manifests", append(minimal().plugin(t), section0(ManifestSection, smallManifest)...), "CDCD-2503: the module has 2 manifests", ""},
		{"types that do not fit", minimal().with(func(p *parts) { p.codes[1] = []byte{0, 0x42, 0, 0x0b} }).plugin(t), "CDCD-2505: plugin small 0.1.0 cannot be compiled", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := newHost(t, Config{}).Load(t.Context(), row.module, Limits{})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %s", err, row.want)
			}
			if e := err.(*cdc.Error); !strings.Contains(e.Fix, row.fix) || e.Fix == "" {
				t.Errorf("the fix is %q, want %q", e.Fix, row.fix)
			}
		})
	}
}

// contains says whether an error has the code and says the text.
func contains(err error, code, text string) bool {
	return cdc.CodeOf(err) == code && strings.Contains(err.Error(), text)
}

func section0(name, body string) []byte {
	b := append(named(name), body...)
	return append(wasmbin.AppendU32([]byte{0}, uint32(len(b))), b...)
}

func TestTheSmallestPluginDropsAll(t *testing.T) {
	for _, interpreter := range []bool{false, true} {
		h := newHost(t, Config{Interpreter: interpreter})
		f := filter(t, load(t, h, minimal().plugin(t), Limits{}), "")
		if got := strings.Join(judge(t, f, act{}, act{}), " "); got != "drop drop" {
			t.Errorf("got %s", got)
		}
	}
}

func TestManifest(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"the least", smallManifest, ""},
		{"all", `{"abi":"cdc1","name":"a-1","version":"1.2.0-rc.1+b","description":"d","tables":["shop.*"],
			"columns":["a",{"name":"b","kinds":["string","enum"],"optional":true}],"images":"both","edits":["a"],"metrics":["m_1"],
			"config":{"type":"object"}}`, ""},
		{"not JSON", `{`, "EOF"},
		{"no object", `[]`, "it is not a JSON object"},
		{"something behind it", smallManifest + "{}", "there is something behind it"},
		{"an unknown key", `{"abi":"cdc1","name":"a","version":"1.0.0","colums":[]}`, `it has a key "colums"; there are abi, name,`},
		{"a key in another case", `{"abi":"cdc1","Name":"a","version":"1.0.0"}`, `it has a key "Name"`},
		{"a key twice", `{"abi":"cdc1","abi":"cdc1","name":"a","version":"1.0.0"}`, `the key "abi" twice`},
		{"an unknown key of a column", `{"abi":"cdc1","name":"a","version":"1.0.0","columns":[{"name":"a","kind":"string"}]}`, `a column has a key "kind"`},
		{"an unknown kind", `{"abi":"cdc1","name":"a","version":"1.0.0","columns":[{"name":"a","kinds":["varchar"]}]}`, `there is no kind "varchar"`},
		{"another abi", `{"abi":"cdc2","name":"a","version":"1.0.0"}`, `abi is "cdc2"`},
		{"a name in capitals", `{"abi":"cdc1","name":"A","version":"1.0.0"}`, `name is "A"`},
		{"a version that is none", `{"abi":"cdc1","name":"a","version":"1"}`, `version is "1"`},
		{"images that are none", `{"abi":"cdc1","name":"a","version":"1.0.0","images":"all"}`, `images is "all"`},
		{"no tables", `{"abi":"cdc1","name":"a","version":"1.0.0","tables":[]}`, "tables has 0 entries"},
		{"a table without a schema", `{"abi":"cdc1","name":"a","version":"1.0.0","tables":["orders"]}`, `tables: "orders"`},
		{"a column twice", `{"abi":"cdc1","name":"a","version":"1.0.0","columns":["x","x"]}`, `columns has "x" twice`},
		{"a metric with a point", `{"abi":"cdc1","name":"a","version":"1.0.0","metrics":["a.b"]}`, `metrics: "a.b" is no name`},
		{"a schema that is none", `{"abi":"cdc1","name":"a","version":"1.0.0","config":{"type":"objekt"}}`, "config is not a JSON Schema"},
		{"a schema that takes for ever", `{"abi":"cdc1","name":"a","version":"1.0.0","config":` + doubled(60) + `}`, "very long to check"},
		{"a schema with a number that takes for ever", `{"abi":"cdc1","name":"a","version":"1.0.0","config":{"minimum":1e999999999}}`, "too large an exponent"},
		{"a schema that is very deep", `{"abi":"cdc1","name":"a","version":"1.0.0","config":` + strings.Repeat(`{"not":`, 200) + "{}" +
			strings.Repeat("}", 200) + `}`, "nested more than 100 deep"},
		{"a description of two lines", `{"abi":"cdc1","name":"a","version":"1.0.0","description":"a\nb"}`, "it is one line"},
		{"a schema that refers to another", `{"abi":"cdc1","name":"a","version":"1.0.0","config":{"$ref":"file:///etc/passwd"}}`, "must not refer to others"},
		{"not UTF-8", "{\"abi\":\"cdc1\",\"name\":\"a\",\"version\":\"1.0.0\",\"description\":\"\xff\"}", "not UTF-8"},
	} {
		m, err := ParseManifest([]byte(row.text))
		if row.want == "" {
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
				continue
			}
			text, _ := json.Marshal(m)
			if again, err := ParseManifest(text); err != nil || again.Name != m.Name || len(again.Columns) != len(m.Columns) {
				t.Errorf("%s: written and read again: %v", row.name, err)
			}
			continue
		}
		if cdc.CodeOf(err) != "CDCD-2503" || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
	}
}

// doubled is a schema each of whose parts refers twice to the next one.
func doubled(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/s0","$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"s%d":{"allOf":[{"$ref":"#/$defs/s%d"},{"$ref":"#/$defs/s%d"}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"s%d":{}}}`, n)
	return b.String()
}

func TestConfigurationsFollowTheSchema(t *testing.T) {
	with := func(schema string) *Manifest {
		m, err := ParseManifest([]byte(`{"abi":"cdc1","name":"a","version":"1.0.0"` + schema + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	typed := with(`,"config":{"type":"object","properties":{"threshold":{"type":"integer"}},"required":["threshold"],"additionalProperties":false}`)
	for _, row := range []struct {
		name     string
		manifest *Manifest
		config   string
		want     string
	}{
		{"none where none is taken", with(""), "", ""},
		{"one where none is taken", with(""), `{"a":1}`, "it takes none"},
		{"right", typed, `{"threshold":5}`, ""},
		{"none where one is needed", typed, "", "threshold"},
		{"of another type", typed, `{"threshold":"5"}`, "/threshold"},
		{"a key too many", typed, `{"threshold":5,"x":1}`, "x"},
		{"not JSON", typed, `{`, "EOF"},
		{"a number that takes for ever", typed, `{"threshold":1e999999999}`, "too large an exponent"},
		{"a schema that never ends", with(`,"config":{"$ref":"#"}`), `{}`, "cycle"},
	} {
		_, err := row.manifest.CheckConfig(json.RawMessage(row.config))
		if row.want == "" && err != nil || row.want != "" && (cdc.CodeOf(err) != "CDCD-2504" || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.want)
		}
	}
}

func TestAppendManifestReplacesTheOneBefore(t *testing.T) {
	once := minimal().plugin(t)
	twice, err := AppendManifest(once, []byte(strings.Replace(smallManifest, "0.1.0", "0.2.0", 1)))
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(twice)
	if err != nil || info.Manifest.Version != "0.2.0" || len(twice) != len(once) || info.Digest == Digest(once) {
		t.Errorf("got %+v, %v", info, err)
	}
	again, _ := AppendManifest(twice, []byte(smallManifest))
	if !bytes.Equal(again, once) {
		t.Error("the same manifest makes another module")
	}
}

func TestInspectSaysWhatThereIs(t *testing.T) {
	info, err := Inspect(cguest(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Manifest.Name != "guest" || !info.Restorable || info.Functions < 5 || info.Memory < 16 || len(info.Imports) != 7 || info.Code == 0 {
		t.Errorf("got %+v", info)
	}
	module, _ := os.ReadFile("testdata/guest.wasm")
	if info, err := Inspect(module); info == nil || info.Manifest != nil || cdc.CodeOf(err) != "CDCD-2503" {
		t.Errorf("without a manifest: %+v, %v", info, err)
	}
}

func TestTablesThatAPluginCannotJudge(t *testing.T) {
	m, err := ParseManifest([]byte(`{"abi":"cdc1","name":"a","version":"1.0.0","tables":["shop.*"],
		"columns":["id",{"name":"total","kinds":["decimal"]},{"name":"country","optional":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p := &Plugin{manifest: m, label: "a 1.0.0"}
	id, total := cdc.Column{Name: "id", Kind: cdc.KindInt64}, cdc.Column{Name: "total", Kind: cdc.KindDecimal}
	for _, row := range []struct {
		table cdc.Table
		want  string
	}{
		{cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{id, total}}, ""},
		{cdc.Table{Schema: "crm", Name: "orders", Columns: []cdc.Column{id, total}}, "it does not judge changes of table crm.orders, but of shop.*"},
		{cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{id}}, `it reads column "total", which table shop.orders does not have`},
		{cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{id, {Name: "total", Kind: cdc.KindFloat64}}}, "of kind float64, which it cannot read"},
	} {
		err := p.Check(&row.table)
		if row.want == "" && err != nil || row.want != "" && (cdc.CodeOf(err) != "CDCD-2507" || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %v, want %q", row.table.String(), err, row.want)
		}
	}
}
