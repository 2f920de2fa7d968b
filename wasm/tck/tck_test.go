package tck_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/wasm/tck"
)

func TestOurSDKsAreRight(t *testing.T) {
	for _, lang := range guest.Languages() {
		t.Run(lang, func(t *testing.T) {
			r, err := tck.Run(t.Context(), guest.Module(t, lang, "tck"))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Failed() {
				for _, p := range c.Problems {
					t.Errorf("%s: %s", c.Name, p)
				}
			}
			t.Logf("%s: %d cases", r.Plugin, len(r.Cases))
		})
	}
}

// The suite must tell what is wrong from what is right: the example is a plugin, but not the one that it drives.
func TestAnotherPluginIsToldFromThatOfTheSuite(t *testing.T) {
	r, err := tck.Run(t.Context(), guest.Module(t, "rust", "examples/paid-orders"))
	if err != nil || r.OK() || r.Cases[0].Name != "the manifest" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := tck.Run(t.Context(), []byte("\x00asm")); err == nil {
		t.Error("what is no module passes")
	}
}

// An SDK that is wrong in one place is told so: the suite is worth as much as what it finds.
func TestMistakesInAnSDKAreFound(t *testing.T) {
	sdk := guest.SDK("c")
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(sdk, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, change := range map[string][2]string{
		"edits are not told of":               {"edits_len > e.edits ? 2 : (uint8_t)v", "edits_len > e.edits ? 1 : (uint8_t)v"},
		"entries have no room for their text": {"24 + ((text.len + 7)", "24 + (text.len"},
		"another time":                        {"u32_at(e->entry + 8) + 32", "u32_at(e->entry + 8) + 24"},
		"long JSON is cut":                    {"(size_t)len <= json.room", "json.room > 0 || (size_t)len <= json.room"},
		"a configuration is never wrong":      {"if (!wrong.at)", "if (!wrong.at || 1)"},
		"entries are lost when the log grows": {"edits_len + size, edits_len)", "edits_len + size, 0)"},
		"null is left out":                    {"append(e, EDIT_NULL, image, edit, 0, 0, cdcd_text_of", "append(e, EDIT_DROP, image, edit, 0, 0, cdcd_text_of"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			code := text("cdcd.c")
			if strings.Count(code, change[0]) != 1 {
				t.Fatalf("'%s' is not in cdcd.c once: give the mistake another place", change[0])
			}
			yaml := strings.NewReplacer("-I..", "-I.", "../cdcd.c", "cdcd.c").Replace(text("tck/plugin.yaml"))
			for file, text := range map[string]string{"cdcd.c": strings.Replace(code, change[0], change[1], 1), "cdcd.h": text("cdcd.h"),
				"tck.c": text("tck/tck.c"), "plugin.yaml": yaml} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := tck.Run(t.Context(), guest.Build(t, "c", dir))
			if err != nil {
				t.Fatal(err)
			}
			if r.OK() {
				t.Error("the suite finds nothing wrong")
			}
			for _, c := range r.Failed() {
				t.Logf("%s: %.200s", c.Name, c.Problems[0])
			}
		})
	}
}
