package strictyaml

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type testFile struct {
	Version int                 `yaml:"version,required"`
	Name    string              `yaml:"name"`
	Tables  []string            `yaml:"tables"`
	Every   Duration            `yaml:"every"`
	Bytes   Size                `yaml:"bytes"`
	Ratio   float64             `yaml:"ratio"`
	On      bool                `yaml:"on"`
	Small   uint8               `yaml:"small"`
	Feeds   map[string]testFeed `yaml:"feeds"`
	Nats    *testFeed           `yaml:"nats"`
	Any     any                 `yaml:"any"`
	testInline
	Inline testInline `yaml:",inline"`
	_      int        // decoding must leave unexported fields alone
}

type testInline struct {
	Owner string `yaml:"owner"`
}

type testFeed struct {
	To string `yaml:"to,required"`
}

func TestDecodeFillsEveryKindOfValue(t *testing.T) {
	src := `# comment
version: 1
name: shop
tables: [a.*, 'b.*']
every: 1h30m
bytes: 16MiB
ratio: 1_000.5
on: true
small: 255
feeds:
  acme: {to: s3://x}
  "b c":
    to: |
      two
      lines
nats: {to: 2026-11-21}
owner: me
any: {a: 1, b: [18446744073709551616, -0.10, +1.5e3, .5], c: null, d: yes, e: "1", f: true, g: 2026-11-21, h: [1e400, "1e400", -1e400x]}
`
	var got testFile
	_, err := Decode("f.yaml", []byte(src), &got, Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := testFile{Version: 1, Name: "shop", Tables: []string{"a.*", "b.*"}, Every: Duration(90 * time.Minute), Bytes: 16 << 20,
		Ratio: 1000.5, On: true, Small: 255,
		Feeds: map[string]testFeed{"acme": {"s3://x"}, "b c": {"two\nlines\n"}}, Nats: &testFeed{"2026-11-21"},
		Inline: testInline{"me"},
		Any: map[string]any{"a": json.Number("1"), "b": []any{json.Number("18446744073709551616"), json.Number("-0.10"), json.Number("1.5e3"), json.Number("0.5")},
			"c": nil, "d": "yes", "e": "1", "f": true, "g": "2026-11-21", "h": []any{json.Number("1e400"), "1e400", "-1e400x"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryMistakeIsReportedWithItsPlace(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"unknown key with suggestion", "version: 1\ntabels: [x]\n", `
f.yaml:2:1: error CDCD-1011: unknown key 'tabels'
   2 | tabels: [x]
     | ^^^^^^ did you mean 'tables'?`},
		{"unknown key without", "version: 1\nnats: {to: x, zzzzzzz: 1}\n", `
f.yaml:2:15: error CDCD-1011: unknown key 'zzzzzzz'
   2 | nats: {to: x, zzzzzzz: 1}
     |               ^^^^^^^ known here: to`},
		{"duplicate key", "version: 1\nname: a\nname: b\n", `
f.yaml:3:1: error CDCD-1011: key 'name' is here twice
   3 | name: b
     | ^^^^ the first is on line 2`},
		{"duplicate key in a map", "version: 1\nfeeds:\n  a: {to: x}\n  a: {to: y}\n", `
f.yaml:4:3: error CDCD-1011: key 'a' is here twice
   4 |   a: {to: y}
     |   ^ the first is on line 3`},
		{"missing key", "feeds:\n  acme: {}\n", `
f.yaml:1:1: error CDCD-1011: version is missing
   1 | feeds:
     | ^^^^^ add 'version: …'
f.yaml:2:9: error CDCD-1011: feeds.acme.to is missing
   2 |   acme: {}
     |         ^ add 'to: …'`},
		{"number for string", "version: 1\nname: 12\n", `
f.yaml:2:7: error CDCD-1012: name: expected a string, got the number 12
   2 | name: 12
     |       ^^ put it in quotes: "12"`},
		{"string for number", "version: \"1\"\n", `
f.yaml:1:10: error CDCD-1012: version: expected a whole number, got "1"
   1 | version: "1"
     |          ^^^ remove the quotes`},
		{"out of range", "version: 1\nsmall: 256\n", `
f.yaml:2:8: error CDCD-1012: small: 256 is out of range
   2 | small: 256
     |        ^^^`},
		{"string for list", "version: 1\ntables: shop.*\n", `
f.yaml:2:9: error CDCD-1012: tables: expected a list, got "shop.*"
   2 | tables: shop.*
     |         ^^^^^^ write [shop.*]`},
		{"mapping for string", "version: 1\nname:\n  é: 1\n", `
f.yaml:3:3: error CDCD-1012: name: expected a string, got a mapping
   3 |   é: 1
     |   ^`},
		{"nothing for string", "version: 1\nname:\n", `
f.yaml:2:6: error CDCD-1012: name: expected a string, got nothing
   2 | name:
     |      ^`},
		{"yes for true", "version: 1\non: yes\n", `
f.yaml:2:5: error CDCD-1012: on: expected true or false, got "yes"
   2 | on: yes
     |     ^^^ write true or false`},
		{"duration without unit", "version: 1\nevery: 2\n", `
f.yaml:2:8: error CDCD-1012: '2' has no unit
   2 | every: 2
     |        ^ write 2s for seconds, 2ms for milliseconds`},
		{"list for duration", "version: 1\nevery: [2s]\n", `
f.yaml:2:8: error CDCD-1012: every: expected a duration such as 2s, got a list
   2 | every: [2s]
     |        ^`},
		{"size unit", "version: 1\nbytes: 16Mib\n", `
f.yaml:2:8: error CDCD-1012: 'Mib' is not a unit of size
   2 | bytes: 16Mib
     |        ^^^^^ did you mean 16MiB?`},
		{"infinity", "version: 1\nratio: .inf\nany: .nan\n", `
f.yaml:2:8: error CDCD-1012: ratio: expected a number, got the number .inf
   2 | ratio: .inf
     |        ^^^^
f.yaml:3:6: error CDCD-1012: .nan is not a plain decimal number
   3 | any: .nan
     |      ^^^^ write it in decimal, or in quotes if it is text`},
		{"anchor and alias", "version: &v 1\nname: *v\n", `
f.yaml:1:10: error CDCD-1010: anchors (&v) are not allowed
   1 | version: &v 1
     |          ^ remove it, or quote a value that begins with '&'
f.yaml:2:7: error CDCD-1010: aliases (*v) are not allowed
   2 | name: *v
     |       ^^ write the value out`},
		{"merge key and tag", "version: !!int 1\n<<: {name: x}\n", `
f.yaml:1:10: error CDCD-1010: tags (!) are not allowed
   1 | version: !!int 1
     |          ^ remove it, or quote a value that begins with '!'
f.yaml:2:1: error CDCD-1010: merge keys (<<) are not allowed
   2 | <<: {name: x}
     | ^^ write the keys out`},
		{"second document", "version: 1\n---\nversion: 2\n", `
f.yaml:3:1: error CDCD-1010: a second document begins here, but this file holds only one
   3 | version: 2
     | ^^^^^^^ remove the '---' before it`},
		{"rubbish after the document", "{version: 1}}\n", `
f.yaml:1:1: error CDCD-1010: not valid YAML: did not find expected <document start>
   1 | {version: 1}}
     | ^^^^^^^^^^^^^`},
		{"tab", "version: 1\nfeeds:\n\tacme: {to: x}\n", `
f.yaml:3:1: error CDCD-1010: not valid YAML: a tab in the indentation
   3 |  acme: {to: x}
     | ^ indent with spaces`},
		{"colon in value", "version: 1\nname: a: b\n", `
f.yaml:2:1: error CDCD-1010: not valid YAML: mapping values are not allowed in this context
   2 | name: a: b
     | ^^^^^^^^^^ put a value that contains ': ' in quotes, or check the indentation`},
		{"bad indentation", "version: 1\nfeeds:\n   a: {to: x}\n  b: {to: x}\n", `
f.yaml:4:3: error CDCD-1010: not valid YAML: did not find expected key
   4 |   b: {to: x}
     |   ^^^^^^^^^^ check the indentation of this line and the next, or quote the value`},
		{"control character", "version: 1\nname: \"é\x1b[31m\"\n", `
f.yaml:2:9: error CDCD-1010: character U+001B is not allowed here
   2 | name: "é [31m"
     |         ^ remove it, or write it as \u001b in double quotes`},
		{"not UTF-8", "version: 1\nname: \xff\n", `
f.yaml:2:7: error CDCD-1010: the file is not UTF-8
   2 | name: ` + "\ufffd" + `
     |       ^ save it as UTF-8`},
		{"empty file", "", `
f.yaml:1:1: error CDCD-1011: version is missing; add 'version: …'`},
		{"list at the top", "- a\n", `
f.yaml:1:1: error CDCD-1012: the file: expected a mapping with the keys version, name, tables, every, bytes, ratio, on, small, …, got a list
   1 | - a
     | ^`},
		{"wide characters", "version: 1\n日本: 1\nname: [日本, x]\n", `
f.yaml:2:1: error CDCD-1011: unknown key '日本'
   2 | 日本: 1
     | ^^^^ known here: version, name, tables, every, bytes, ratio, on, small, feeds, nats, any, owner
f.yaml:3:7: error CDCD-1012: name: expected a string, got a list
   3 | name: [日本, x]
     |       ^`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f testFile
			_, err := Decode("f.yaml", []byte(tt.src), &f, Config{})
			if err == nil {
				t.Fatalf("no error, decoded %+v", f)
			}
			if got, want := err.Error(), strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAByteOrderMarkIsIgnored(t *testing.T) {
	var f testFile
	if _, err := Decode("f.yaml", []byte("\ufeffversion: 1\r\nname: x\r\n"), &f, Config{}); err != nil || f.Name != "x" {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestHostileFilesAreRefusedInBoundedTime(t *testing.T) {
	for name, src := range map[string]string{
		"flow depth":     strings.Repeat("[", 100_000),
		"closed depth":   "any: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"block depth":    strings.Repeat("- ", 20_000) + "x",
		"too large":      "name: " + strings.Repeat("x", 2<<20),
		"alias bomb":     "any:\n  - &a [x,x,x,x,x,x,x,x,x]\n  - &b [*a,*a,*a,*a,*a,*a,*a,*a]\n  - &c [*b,*b,*b,*b,*b,*b,*b]\n",
		"many mistakes":  "any: [" + strings.Repeat("!x y,", 100_000) + "]",
		"self reference": "any: &a [*a]",
		"many documents": strings.Repeat("a: 1\n---\n", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var f testFile
			_, err := Decode("f.yaml", []byte(src), &f, Config{})
			if err == nil {
				t.Fatal("no error")
			}
			if n := len(err.Error()); n > 50_000 {
				t.Errorf("the report has %d bytes", n)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// scalarStyles writes one and the same kind of scalar in every style that YAML has; @ marks the character that the
// test looks for.
var scalarStyles = map[string]string{
	"plain":                       "k: aé日 @x y\n",
	"plain in a flow mapping":     "{j: é, k: a @x, l: 1}\n",
	"plain over lines":            "k: aé\n   b   \n\n\n     c @x\n",
	"plain below its key":         "k:\n  aé b\n  @x\n",
	"single quoted":               "k: 'it''s é ''@x'''\n",
	"single quoted over lines":    "k: '  aé  \n\n   b''@x\n  c '\n",
	"double quoted":               `k: "é\té\u00e9\x41\U0001F600\"\\ @x"` + "\n",
	"double quoted over lines":    "k: \"aé  \n\n    b\n   c @x \n\"\n",
	"double quoted, line escaped": "k: \"aé  \\\n   b\\\n\n   \\  c @x\\\n\"\n",
	"literal":                     "k: |\n  aé\n    b\n\n  @x\n",
	"literal, stripped":           "k: |-\n  aé\n  b @x\n\n",
	"literal, kept":               "k: |+\n\n\n  aé\n  b @x\n\n\n",
	"literal, with comment":       "k: | # why\n  aé\n  b @x\n",
	"literal, indentation given":  "k: |2-\n    aé\n  b\n    @x\n",
	"literal, parent indented":    "- - k: |1\n       aé\n        @x\n",
	"literal, CRLF":               "k: |\r\n  aé\r\n\r\n  b @x\r\n",
	"literal, no final break":     "k: |\n  aé\n  b @x",
	"literal, blanks at the end":  "k: |\n  aé  \n   \n  b @x  \n",
	"folded":                      "k: >\n  aé\n  b\n\n  c\n  @x\n",
	"folded, stripped":            "k: >-\n  aé\n  b\n\n\n  c @x\n",
	"folded, more indented lines": "k: >\n  aé\n    b\n    c\n\n  d\n\n    e\n  @x\n",
	"folded, kept":                "k: >+\n\n  aé\n  b @x\n\n",
	"folded, indentation given":   "k: >1\n   aé\n  b @x\n",
	"in a list":                   "- x\n-\n - k: |\n     aé\n\n     @x\n",
}

func TestAPositionInsideAnyScalarIsFoundInTheFile(t *testing.T) {
	for name, src := range scalarStyles {
		t.Run(name, func(t *testing.T) {
			var into any
			doc, err := Decode("f.yaml", []byte(src), &into, Config{})
			if err != nil {
				t.Fatal(err)
			}
			place := doc.At("k")
			for _, path := range [][]any{{"k"}, {0, 0, "k"}, {1, 0, "k"}} {
				if p := doc.At(path...); p.Exists() {
					place = p
				}
			}
			text := place.Text()
			at := strings.IndexByte(text, '@')
			if at < 0 {
				t.Fatalf("no @ in %q", text)
			}
			before := src[:strings.IndexByte(src, '@')]
			lineStart := strings.LastIndexByte(before, '\n') + 1
			want := Pos{"f.yaml", strings.Count(before, "\n") + 1, len([]rune(before[lineStart:])) + 1}
			if got := place.PosAt(at); got != want {
				t.Errorf("@ is at %v, want %v", got, want)
			}

			// CEL's way to count, and the underline.
			line := strings.Count(text[:at], "\n") + 1
			col := len([]rune(text[strings.LastIndexByte(text[:at], '\n')+1 : at]))
			e := place.ErrorLineCol(line, col, 2, "C", "m")
			snippet := []rune(e.Snippet)
			if got := string(snippet[e.Col-1 : e.Col-1+e.Width]); got != "@x" {
				t.Errorf("underlined %q in %q, want @x", got, e.Snippet)
			}
			checkOffsets(t, src, place)
		})
	}
}

// checkOffsets demands of every byte of the scalar that its place in the file holds it, an escape or a line break.
func checkOffsets(t *testing.T, src string, place Place) {
	t.Helper()
	m := scalarOffsets([]byte(src), place.doc.offset(place.node.Line, place.node.Column), place.node.Style, place.Text())
	if len(m) != len(place.Text())+1 {
		t.Fatalf("%q: %d offsets for %d bytes of %q", src, len(m), len(place.Text()), place.Text())
	}
	for i := range place.Text() {
		b := place.Text()[i]
		at := m[i]
		if i > 0 && at < m[i-1] {
			t.Fatalf("%q: offsets go back at byte %d", src, i)
		}
		if at < len(src) && (src[at] == b || src[at] == '\\' || src[at] == '\r' && b == '\n' || src[at] == '\n' && b == ' ' || src[at] == '\r' && b == ' ') {
			continue
		}
		if at == len(src) && b == '\n' {
			continue // a literal scalar at the end of a file without a final line break
		}
		t.Fatalf("%q: byte %d (%q) is not at offset %d", src, i, b, at)
	}
}

// FuzzScalarOffsets compares the second reading of scalars with the YAML library's. It looks inside, so it is here and
// not with the others.
func FuzzScalarOffsets(f *testing.F) {
	for _, src := range scalarStyles {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var into any
		doc, _ := Decode("f.yaml", []byte(src), &into, Config{})
		if doc.root == nil {
			return
		}
		var walk func(n *yaml.Node, depth int)
		walk = func(n *yaml.Node, depth int) {
			if n.Kind == yaml.ScalarNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 && (&walker{doc: doc}).firstByte(n) != '!' && n.Value != "" && depth < 100 {
				checkOffsets(t, strings.TrimPrefix(src, "\ufeff"), doc.place(n, nil, nil))
			}
			for _, c := range n.Content {
				walk(c, depth+1)
			}
		}
		walk(doc.root, 0)
	})
}

func TestAPlaceThatIsMissingIsThatOfTheValueAroundIt(t *testing.T) {
	var into any
	doc, err := Decode("f.yaml", []byte("rules:\n  - name: a\n    mask: {customer.email: hmac}\n"), &into, Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := doc.At("rules", 0).At("when")
	if p.Exists() || p.Text() != "" || p.Path() != "rules[0].when" || p.Pos() != (Pos{"f.yaml", 2, 5}) {
		t.Errorf("got exists=%v text=%q path=%s pos=%v", p.Exists(), p.Text(), p.Path(), p.Pos())
	}
	m := doc.At("rules", 0, "mask", "customer.email")
	got := fmt.Sprintln(m.Path(), m.KeyError("C", "m"), doc.At("rules", 0).Keys())
	want := `rules[0].mask["customer.email"] f.yaml:3:12: error C: m
   3 |     mask: {customer.email: hmac}
     |            ^^^^^^^^^^^^^^ [name mask]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLongLinesAreCutAroundTheCaret(t *testing.T) {
	var f testFile
	src := "version: 1\nany: {" + strings.Repeat("é: x, ", 1) + "b: '" + strings.Repeat("日", 200) + "', c: !bad x, d: '" + strings.Repeat("y", 200) + "'}\n"
	_, err := Decode("f.yaml", []byte(src), &f, Config{})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	caret := strings.IndexByte(lines[2], '^')
	shown, cell := []rune(lines[1]), 0
	for i, r := range shown {
		if cell == caret {
			if string(shown[i:i+4]) != "!bad" {
				t.Errorf("the caret stands below %q", string(shown[i:i+4]))
			}
			return
		}
		cell += cells(string(r))
	}
	t.Errorf("the caret stands below nothing:\n%s", err)
}

func TestNearestFindsMisspellings(t *testing.T) {
	names := []string{"tables", "table", "on_error", "when", "where", "envelope", "s3", "to", "password_env"}
	for name, want := range map[string]string{"tabels": "tables", "tabl": "table", "onerror": "on_error", "On-Error": "on_error", "wehn": "when",
		"wher": "where", "envelop": "envelope", "S3": "s3", "password": "password_env", "pass": "", "zzz": "", "x": "", "": "", "qq": "", strings.Repeat("a", 100): ""} {
		if got, ok := Nearest(name, names); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestDurationsAndSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for in, want := range map[string]string{"2s": "2s", "90m": "1h30m", "60s": "1m", "1h": "1h", "500ms": "500ms", "0s": "0s"} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("%s: got %s, %v; want %s", in, d, err, want)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s: read again: %v, %v", in, again, err)
		}
	}
	for in, want := range map[string]string{"16MiB": "16MiB", "1.5GiB": "1536MiB", "1000": "1000B", "64KB": "64000B", "10 GiB": "10GiB", "0": "0B"} {
		var z, again Size
		if err := z.UnmarshalText([]byte(in)); err != nil || z.String() != want {
			t.Errorf("%s: got %s, %v; want %s", in, z, err, want)
		}
		if err := again.UnmarshalText([]byte(z.String())); err != nil || again != z {
			t.Errorf("%s: read again: %v, %v", in, again, err)
		}
	}
	for _, in := range []string{"-1s", "2", "x", "", "1d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("duration %q was read as %s", in, d)
		}
	}
	for _, in := range []string{"-1", "x", "", "9999999999GiB", "1e3", "5XB"} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("size %q was read as %s", in, z)
		}
	}
}

type folder struct {
	Dir  string `yaml:"dir"`
	Size int    `yaml:"size"`
}

func (folder) Shorthand() string { return "dir" }

func TestAPlainValueStandsForOneKeyOfAMapping(t *testing.T) {
	for _, tt := range []struct {
		src  string
		want folder
		err  string
	}{
		{"at: here\n", folder{Dir: "here"}, ""},
		{"at: {dir: here, size: 3}\n", folder{"here", 3}, ""},
		{"at:\n", folder{}, ""},
		{"at: 7\n", folder{}, "expected a string"},
		{"at: [here]\n", folder{}, "expected a mapping"},
	} {
		var got struct {
			At folder `yaml:"at"`
		}
		_, err := Decode("f.yaml", []byte(tt.src), &got, Config{})
		if got.At != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %+v and %v, want %+v and %q", tt.src, got.At, err, tt.want, tt.err)
		}
	}
}

// files is a list that may be written as its only item.
type files []string

func (files) OneOrMore() {}

func TestAListMayBeItsOnlyItem(t *testing.T) {
	for text, want := range map[string]string{"f: a": "[a]", "f: [a, b]": "[a b]", "f: []": "[]", "f: {a: b}": "f must be a list"} {
		var v struct {
			F files `yaml:"f"`
		}
		_, err := Decode("x.yaml", []byte(text), &v, Config{})
		if got := fmt.Sprint(v.F); err == nil && got != want || err != nil && !strings.Contains(err.Error(), "list") {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}
