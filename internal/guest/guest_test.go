package guest_test

import (
	"bytes"
	"testing"

	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

func TestThePluginsOfEverySDKAreBuilt(t *testing.T) {
	for _, language := range guest.Languages() {
		for _, plugin := range []string{"tck", "examples/paid-orders"} {
			t.Run(language+"/"+plugin, func(t *testing.T) {
				t.Parallel()
				module := guest.Module(t, language, plugin)
				if _, err := wasmbin.Read(module, wasmbin.DefaultLimits); err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(module, []byte(`cdc.manifest{"abi":"cdc1"`)) {
					t.Error("it has no manifest")
				}
				t.Logf("%d bytes", len(module))
			})
		}
		t.Run(language+"/template", func(t *testing.T) {
			t.Parallel()
			if _, err := wasmbin.Read(guest.Build(t, language, guest.Template(t, language, "fraud-score")), wasmbin.DefaultLimits); err != nil {
				t.Error(err)
			}
		})
	}
}
