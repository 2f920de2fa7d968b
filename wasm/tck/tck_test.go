package tck_test

import (
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
