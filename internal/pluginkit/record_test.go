package pluginkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const customersYAML = `tables:
  shop.customers:
    columns: {id: bigint not null, email: varchar(200), profile: json, level: "enum('new','it''s')", born: date, score: "decimal(6,2)", photo: blob,
      home: point, taste: vector(2), secret: text, note: text}
    key: [id]
`

func TestRecordedChangesHaveNothingThatPeopleWrote(t *testing.T) {
	tables, err := rules.ParseSchema("s.yaml", []byte(customersYAML))
	if err != nil {
		t.Fatal(err)
	}
	var events []cdc.Event
	for _, text := range []string{
		`{"op": "insert", "after": {"id": 1, "email": "Ada.Lovelace1@example.org", "profile": {"name": "Ada", "tags": ["Ada", 7]}, "level": "it's",
		  "born": "1815-12-10", "score": "12.50", "photo": "AAEC", "secret": "s3cret", "note": "über 世界"}}`,
		`{"op": "update", "before": {"id": 1, "email": "Ada.Lovelace1@example.org"}, "after": {"id": 1, "email": null}}`,
	} {
		e, err := rules.ParseEvent([]byte(text), tables)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	p := &Project{Columns: []Column{{Name: "email"}, {Name: "profile"}, {Name: "level"}, {Name: "born"}, {Name: "score"}, {Name: "photo"}, {Name: "note"},
		{Name: "gone", Optional: true}}, Edits: []string{"secret"}}
	r := &Redactor{Key: []byte("a key")}
	text, err := p.Fixture(events, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"Ada", "ovelace", "example", "s3cret", "über", "世界", "AAEC"} {
		if strings.Contains(string(text), leak) {
			t.Errorf("'%s' is in the file:\n%s", leak, text)
		}
	}
	for _, want := range []string{"level: it's", "1815-12-10", `score: "12.50"`, "secret: text", "key: [id]"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("'%s' is not in the file:\n%s", want, text)
		}
	}
	again, err := p.Fixture(events, &Redactor{Key: []byte("a key")})
	if err != nil || string(again) != string(text) {
		t.Error("the same key makes another file")
	}
	tests, err := parseTests("r.yaml", text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	first, _ := tests[0].Event.After().Get("email")
	second, _ := tests[1].Event.Before().Get("email")
	if first != second || first.Text() == "" {
		t.Errorf("equal values are %s and %s", first, second)
	}
	if shape := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return 'a'
		case c >= 'A' && c <= 'Z':
			return 'A'
		case c >= '0' && c <= '9':
			return '0'
		}
		return c
	}, first.Text()); shape != "Aaa.Aaaaaaaa0@aaaaaaa.aaa" {
		t.Errorf("its shape is %s", shape)
	}
	if note, _ := tests[0].Event.After().Get("note"); len(note.Text()) != len("über 世界") {
		t.Errorf("another length: %s", note)
	}
	if v, ok := tests[0].Event.After().Get("secret"); !ok || !v.IsAbsent() && !v.IsNull() {
		t.Errorf("a column that is only edited: %s", v)
	}
	other, err := p.Fixture(events, &Redactor{Key: []byte("another"), Keep: []string{"email"}})
	if err != nil || !strings.Contains(string(other), "Ada.Lovelace1@example.org") {
		t.Errorf("a column that is kept: %v\n%s", err, other)
	}
	p.Columns = append(p.Columns, Column{Name: "phone"})
	if _, err := p.Fixture(events, r); cdc.CodeOf(err) != codeRecord {
		t.Errorf("without a declared column: %v", err)
	}
}

// Every kind of column has to be read again as what it was.
func TestTypesAreWrittenSoThatTheyAreReadAgain(t *testing.T) {
	for k := cdc.KindInt64; k <= cdc.KindVector; k++ {
		c := cdc.Column{Name: "c", Kind: k, Nullable: true, Fsp: 3, Precision: 9, Scale: 2, Members: []string{"a", "it's", `b\n`}}
		again, ok := cdc.ParseType(sqlType(&c))
		if !ok || again.Kind != k {
			t.Errorf("%s: %s", k, sqlType(&c))
		}
		if (k == cdc.KindEnum || k == cdc.KindSet) && strings.Join(again.Members, "|") != strings.Join(c.Members, "|") {
			t.Errorf("%s: members %q", k, again.Members)
		}
	}
}

func TestAFolderIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main.c", "tests/a.yaml", "plugin.wasm", "node_modules/x.js", ".hidden"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), "1")
	}
	look := func() Stamp {
		s, err := Look(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := look()
	for _, row := range []struct{ name, want string }{
		{"plugin.wasm", ""}, {"node_modules/x.js", ""}, {".hidden", ""}, {"main.c", "main.c"}, {"tests/a.yaml", "tests/a.yaml"}, {"new.h", "new.h"},
	} {
		write(t, filepath.Join(dir, row.name), "two")
		now := look()
		if got := first.Changed(now); filepath.ToSlash(got) != row.want {
			t.Errorf("after %s was written, '%s' has changed", row.name, got)
		}
		first = now
	}
	if err := os.Remove(filepath.Join(dir, "main.c")); err != nil {
		t.Fatal(err)
	}
	if got := first.Changed(look()); got != "main.c" {
		t.Errorf("after main.c was removed, '%s' has changed", got)
	}
}
