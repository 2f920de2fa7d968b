package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/wasm"
)

// What the SDKs of languages without JSON and exact numbers in their library have for them is compared with Go's own.

var questions = &cdc.Table{Schema: "probe", Name: "questions", Columns: []cdc.Column{
	{Name: "what", Kind: cdc.KindString}, {Name: "a", Kind: cdc.KindString}, {Name: "b", Kind: cdc.KindString},
}}

type question struct{ what, a, b, want string }

func TestDecimalsAreComparedAsGoDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("0001234567899"[r.IntN(13)])
		}
		return b.String()
	}
	number := func() string {
		s := []string{"", "", "-"}[r.IntN(3)] + digits(1+r.IntN(4))
		if r.IntN(2) == 0 {
			s += "." + digits(1+r.IntN(5))
		}
		switch r.IntN(6) {
		case 0:
			s += fmt.Sprintf("e%d", r.IntN(7)-3)
		case 1:
			s += "E+" + digits(1)
		}
		return s
	}
	all := []question{
		{"compare", "9223372036854775807.5", "9223372036854775807.50", "0"},
		{"compare", strings.Repeat("9", 400), "1e400", "-1"}, {"compare", "1e-400", "0", "1"}, {"compare", "-0.00", "0", "0"},
		{"compare", "1e99999999999999999999", "-1e99999999999999999999", "1"},
	}
	for range 3000 {
		a, b := number(), number()
		if r.IntN(4) == 0 {
			b = a + []string{"", "0", "00", "1"}[r.IntN(4)]
		}
		x, ok1 := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		if ok1 && ok2 {
			all = append(all, question{"compare", a, b, fmt.Sprint(x.Cmp(y))})
		}
	}
	ask(t, all)
}

// Floats are given as their bits. Those with up to 15 digits and no exponent are exact.
func TestFloatsAreReadAsGoDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	all := []question{}
	add := func(text string) {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			t.Fatalf("the test is wrong: %v", err)
		}
		all = append(all, question{"float", text, "", fmt.Sprint(math.Float64bits(f))})
	}
	for _, text := range []string{"0", "-0", "0.75", "1e22", "1e23", "-12.50", "123456789012345", "0.000000000000001", "1e400", "-1e400", "1e-400", "1E+2", "9007199254740993",
		"1797693134862315700000e287", "0." + strings.Repeat("0", 300) + "1", "1" + strings.Repeat("0", 300), "1e999999999999999999999"} {
		add(text)
	}
	for range 2000 {
		add(fmt.Sprintf("%s%d.%de%d", []string{"", "-"}[r.IntN(2)], r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64), r.IntN(40)-20))
		add(fmt.Sprintf("%d.%05d", r.IntN(1<<30), r.IntN(100000)))
	}
	ask(t, all, "assemblyscript")
}

// nearly says whether two floats, given as bits, are the same, or differ in the last three bits only and need not be
// exact.
func nearly(text, a, b string) bool {
	x, err1 := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	exact := len(text) <= 15 && !strings.Contains(text, "e")
	return err1 == nil && err2 == nil && (x == y || !exact && max(x, y)-min(x, y) < 8)
}

// node is a JSON value as it is written, and what is to be read.
type node struct {
	text, want string
	members    map[string]*node // of an object
	elements   []*node          // of an array
}

func TestJSONIsReadAsGoDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	space := func() string { return []string{"", "", "", " ", "\n\t", "\r\n  "}[r.IntN(6)] }
	quoted := func(s string) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, c := range s {
			switch {
			case c < ' ' || c == '"' || c == '\\' || r.IntN(5) == 0:
				for _, u := range utf16.Encode([]rune{c}) {
					fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[r.IntN(2)], u)
				}
			default:
				b.WriteRune(c)
			}
		}
		b.WriteByte('"')
		return []string{b.String(), string(must(json.Marshal(s)))}[r.IntN(2)]
	}
	words := []string{"", "a", "total", `"`, `\`, "}", "]", ",", ":", "ü", "世界", "🎉", "\x00\x1f\n\t\b\f\r", "/", strings.Repeat("long ", 30)}
	var value func(depth int) *node
	value = func(depth int) *node {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch r.IntN(kinds) {
		case 0:
			s := []string{"null", "true", "false"}[r.IntN(3)]
			return &node{text: s, want: s}
		case 1:
			s := []string{"-1", "0", "42", "-9223372036854775808", "9223372036854775807"}[r.IntN(5)]
			return &node{text: s, want: s + " int " + s}
		case 2:
			s := []string{"9223372036854775808", "1.5", "-0.5e-7", "1E400", "12345678901234567890.1"}[r.IntN(5)]
			return &node{text: s, want: s}
		case 3:
			s := words[r.IntN(len(words))] + words[r.IntN(len(words))]
			return &node{text: quoted(s), want: "string " + s}
		case 4:
			n := &node{}
			for range r.IntN(5) {
				n.elements = append(n.elements, value(depth-1))
			}
			var parts []string
			for _, e := range n.elements {
				parts = append(parts, space()+e.text+space())
			}
			n.text = "[" + strings.Join(parts, ",") + "]"
			n.want = "array " + n.text
			return n
		default:
			n := &node{members: map[string]*node{}}
			var parts []string
			for range r.IntN(5) {
				name := words[r.IntN(len(words))]
				if n.members[name] != nil || strings.Contains(name, "/") {
					continue
				}
				n.members[name] = value(depth - 1)
				parts = append(parts, space()+quoted(name)+space()+":"+space()+n.members[name].text+space())
			}
			n.text = "{" + strings.Join(parts, ",") + "}"
			n.want = "object " + n.text
			return n
		}
	}
	var all []question
	for range 3000 {
		n := value(4)
		text := space() + n.text + space()
		if !json.Valid([]byte(text)) {
			t.Fatalf("the test is wrong: %q", text)
		}
		var path []string
		for r.IntN(5) > 0 && n.want != "none" {
			missing := &node{want: "none"}
			if len(n.elements) > 0 && r.IntN(5) > 0 {
				i := r.IntN(len(n.elements))
				path, n = append(path, fmt.Sprint(i)), n.elements[i]
			} else if len(n.members) > 0 && r.IntN(5) > 0 {
				for name, m := range n.members {
					path, n = append(path, "."+name), m
					break
				}
			} else {
				path, n = append(path, []string{"7", ".missing"}[r.IntN(2)]), missing
			}
		}
		if len(n.want) < 900 && n.want != "string " {
			all = append(all, question{"json", text, strings.Join(path, "/"), n.want})
		}
	}
	ask(t, all)
}

func TestWhatIsNoJSONIsBorne(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var all []question
	for range 3000 {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = `{}[]",:\u0d8a 1-te`[r.IntN(18)]
		}
		all = append(all, question{"json", string(b), []string{"", "0", "2", ".", ".u", "1/.a"}[r.IntN(6)], ""})
	}
	ask(t, all)
}

// ask has the plugins in testdata/probe answer questions, and compares; a question that wants nothing only has to be answered.
func ask(t *testing.T, all []question, without ...string) {
	host, err := wasm.NewHost(wasm.Config{Dir: guest.Compiled(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for language, source := range map[string]string{"assemblyscript": "assembly/index.ts", "c": "plugin.c", "rust": "src/lib.rs"} {
		if slices.Contains(without, language) {
			continue
		}
		t.Run(language, func(t *testing.T) {
			plugin, err := host.Load(t.Context(), probe(t, language, source), wasm.Limits{Failures: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer plugin.Close()
			filter, err := plugin.Filter(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer filter.Close()
			for rest := all; len(rest) > 0; {
				n := min(len(rest), 256)
				events, verdicts := batchOf(t, rest[:n]), make([]cdc.Verdict, n)
				if err := filter.Judge(t.Context(), events, verdicts); err != nil {
					t.Fatal(err)
				}
				for i, q := range rest[:n] {
					edits := verdicts[i].Edits
					if edits == nil || len(edits.Columns) != 1 {
						t.Fatalf("%s of %q and %q: %+v", q.what, q.a, q.b, verdicts[i])
					}
					got := edits.Columns[0].Value.Text()
					if q.what == "float" && nearly(q.a, got, q.want) {
						continue
					}
					if q.want != "" && got != q.want {
						t.Fatalf("%s of %q and %q is %q, but should be %q", q.what, q.a, q.b, got, q.want)
					}
				}
				rest = rest[n:]
			}
		})
	}
}

// probe builds the plugin that asks: the language's template with another source, and other columns.
func probe(t *testing.T, language, source string) []byte {
	t.Helper()
	dir := guest.Template(t, language, "probe")
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(source)), must(os.ReadFile("testdata/probe/"+filepath.Base(source))), 0o644); err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "plugin.yaml")
	_, build, _ := strings.Cut(string(must(os.ReadFile(project))), "\nbuild:")
	if err := os.WriteFile(project, []byte("name: probe\nversion: 1.0.0\ncolumns: [what, a, b]\nedits: [b]\nbuild:"+build), 0o644); err != nil {
		t.Fatal(err)
	}
	return guest.Build(t, language, dir)
}

func batchOf(t *testing.T, all []question) []cdc.Event {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "probe", Partitions: 1})
	tx, table := b.AddTx(cdc.Tx{}), b.AddTable(questions)
	for i, q := range all {
		b.BeginRow(3)
		for column, text := range []string{q.what, q.a, q.b} {
			b.SetText(column, cdc.KindString, text)
		}
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpInsert, After: b.EndRow()})
	}
	batch := must(cdc.Open(b.Seal(cdc.Checkpoint{}), nil))
	events := make([]cdc.Event, batch.Len())
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
