package fuzz

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/cdcd-project/cdcd/bus"
)

// FuzzPublication reads any bytes as two messages of a rule store, of which the second follows the first. Reading takes
// memory in proportion to the text; what is accepted comes back when it is written again, compressed or not; and the two
// fold to the rules that were not removed, each as it was changed last.
func FuzzPublication(f *testing.F) {
	rule := func(name string) bus.StoredRule {
		return bus.StoredRule{Name: name, File: "rules/a.yaml", Text: "  - name: " + name + "\n", Version: "sha256:1", Mode: "active"}
	}
	valid := func(p bus.Publication) []byte {
		p.Format, p.ID, p.Time, p.Who = 1, "A", time.Unix(1, 5).UTC(), "ana@desk"
		text, err := json.Marshal(&p)
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	files := valid(bus.Publication{Kind: "files", Files: "sha256:2", Changed: []bus.StoredRule{rule("a"), rule("b")},
		Layout: map[string]bus.Layout{"rules/a.yaml": {Head: "version: 1\nrules:\n", Rules: []string{"a", "b"}}}})
	for _, second := range []bus.Publication{
		{Kind: "mode", Why: "watch it", Changed: []bus.StoredRule{rule("a")}},
		{Kind: "push", Base: 1, Removed: []string{"a", "c"}, Layout: map[string]bus.Layout{"rules/a.yaml": {}}},
		{Kind: "rollback", Removed: []string{"b"}, Changed: []bus.StoredRule{rule("b"), rule("b")}},
		{Kind: "adopt", StandsFor: &bus.Stand{Revision: "0", From: 1 << 63}},
	} {
		f.Add(files, valid(second), false)
		f.Add(s2.Encode(nil, files), s2.Encode(nil, valid(second)), true)
	}
	// A little that says it is much.
	many := func(list string) []byte {
		return []byte(strings.Replace(`{"format":1,"id":"A","prev":"","time":"2026-11-21T10:00:00Z","who":"","kind":"","digest":"",LIST}`, "LIST", list, 1))
	}
	for _, list := range []string{
		`"changed":[` + strings.Repeat(`{},`, 50_000) + `{}]`,
		`"changed":[` + strings.Repeat(`null,`, 50_000) + `null]`,
		`"removed":[` + strings.Repeat(`"",`, 50_000) + `""]`,
		`"layout":{"a":{"head":"","rules":[` + strings.Repeat(`"",`, 50_000) + `""]}}`,
		`"why":` + strings.Repeat("[", 20_000),
	} {
		f.Add(s2.Encode(nil, many(list)), files, true)
	}
	f.Add([]byte("\xff\xff\xff\x0f\x00"), []byte("\x80\x80\x80\x10"), true) // 32 MiB of nothing, and more than there may be
	f.Add(append(files, '{'), []byte(`{"format":2}`), false)
	f.Fuzz(func(t *testing.T, one, two []byte, packed bool) {
		first, ok := openPublication(t, 1, one, packed)
		second, ok2 := openPublication(t, 2, two, packed)
		if _, err := bus.Fold(first); ok && (err == nil) != (first.Prev == "") {
			t.Fatalf("the first follows %q: %v", first.Prev, err)
		}
		if !ok || !ok2 {
			return
		}
		first.Prev = ""
		first = again(t, first)
		second.Prev = first.Revision.ID
		second = again(t, second)
		checkFold(t, first, second)
		if _, err := bus.Fold(second); err == nil {
			t.Fatal("the second holds without the first")
		}
	})
}

// openPublication opens a body and says whether it is accepted.
func openPublication(t *testing.T, no uint64, body []byte, packed bool) (bus.Publication, bool) {
	text := len(body)
	if n, err := s2.DecodedLen(body); packed && err == nil && n <= 32<<20 {
		text = n
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := bus.OpenPublication(no, body, packed)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(1<<20+100*text) {
		t.Fatalf("%d bytes of text took %d bytes of memory", text, took)
	}
	if err != nil {
		return bus.Publication{}, false
	}
	if p.Revision.No != no || len(p.Revision.ID) != 16 {
		t.Fatalf("revision %v", p.Revision)
	}
	if same := again(t, p); !samePublication(same, p) {
		t.Fatalf("\ngot  %+v\nwant %+v", same, p)
	}
	return p, true
}

// again writes a publication and reads it, in both forms.
func again(t *testing.T, p bus.Publication) bus.Publication {
	text, err := json.Marshal(&p)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v\n%+v", err, p)
	}
	q, err := bus.OpenPublication(p.Revision.No, text, false)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%s", err, text)
	}
	r, err := bus.OpenPublication(p.Revision.No, s2.Encode(nil, text), true)
	if err != nil || !reflect.DeepEqual(q, r) {
		t.Fatalf("compressed: %v\ngot  %+v\nwant %+v", err, r, q)
	}
	return q
}

// samePublication compares what is read, whatever way it was written: an empty list and none are the same, and the
// revision is of the text.
func samePublication(a, b bus.Publication) bool {
	x, errX := json.Marshal(&a)
	y, errY := json.Marshal(&b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// checkFold folds two publications the plain way.
func checkFold(t *testing.T, first, second bus.Publication) {
	got, err := bus.Fold(first, second)
	if err != nil {
		t.Fatal(err)
	}
	rules, layout := map[string]string{}, map[string]bus.Layout{}
	for _, p := range []bus.Publication{first, second} {
		maps.DeleteFunc(rules, func(name, _ string) bool {
			for _, gone := range p.Removed {
				if gone == name {
					return true
				}
			}
			return false
		})
		for _, r := range p.Changed {
			rules[r.Name] = fmt.Sprintf("%q %q %q %q %v %v %q", r.File, r.Text, r.Version, r.Mode, p.Revision, p.Time, p.Who)
		}
		maps.Copy(layout, p.Layout)
	}
	maps.DeleteFunc(layout, func(_ string, l bus.Layout) bool { return len(l.Rules) == 0 })
	have := map[string]string{}
	for name, r := range got.Rules {
		have[name] = fmt.Sprintf("%q %q %q %q %v %v %q", r.File, r.Text, r.Version, r.Mode, r.Revision, r.Time, r.Who)
	}
	if !maps.Equal(have, rules) || !reflect.DeepEqual(got.Layout, layout) || got.Revision != second.Revision || got.Digest != second.Digest {
		t.Fatalf("\ngot  %v %v\nwant %v %v", have, got.Layout, rules, layout)
	}
}
