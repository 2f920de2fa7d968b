package sdk_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// paidOrdersRule is the example paid-orders as a condition. In a rule it has to be said what a column counts that is not in an image.
const paidOrdersRule = `version: 1
rules:
  - name: paid-orders
    tables: [shop.orders]
    when: >-
      op == 'update' && has(after.status) && after.status == 'paid' && (!has(before.status) || changed('status')) &&
      has(after.total) && after.total != null && after.total >= %s
    to: [acme]
`

// A million changes, most of them close to what decides.
func TestARuleAndAPluginInEveryLanguageDecideTheSame(t *testing.T) {
	host, err := wasm.NewHost(wasm.Config{Dir: guest.Compiled(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	plugins := map[string]*wasm.Plugin{}
	for _, language := range guest.Languages() {
		if plugins[language], err = host.Load(t.Context(), guest.Module(t, language, "examples/paid-orders"), wasm.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	thresholds := []string{"1000", "0", "-12.50", "12345678901234567890.123", "0.00001"}
	for seed, threshold := range thresholds {
		t.Run(threshold, func(t *testing.T) {
			t.Parallel()
			rule, err := rules.Parse("rules.yaml", fmt.Appendf(nil, paidOrdersRule, threshold))
			if err != nil {
				t.Fatal(err)
			}
			set, err := rules.New(rule)
			if err != nil {
				t.Fatal(err)
			}
			filters := map[string]*wasm.Filter{}
			for language, plugin := range plugins {
				if filters[language], err = plugin.Filter(t.Context(), json.RawMessage(`{"threshold":`+threshold+`}`)); err != nil {
					t.Fatal(err)
				}
				defer filters[language].Close()
			}
			r := rand.New(rand.NewPCG(7, uint64(seed)))
			kept := 0
			for left := 1_000_000 / len(thresholds); left > 0; {
				events := changes(t, r, min(left, 1+r.IntN(600)), threshold)
				left -= len(events)
				keep := make([]bool, len(events))
				for i, e := range events {
					d := set.Decide(e)
					if len(d.Errors) > 0 {
						t.Fatalf("%s\nthe rule: %v", cdc.AppendEvent(nil, e), d.Errors[0].Err)
					}
					if keep[i] = len(d.Matches) > 0; keep[i] {
						kept++
					}
				}
				verdicts := make([]cdc.Verdict, len(events))
				for language, filter := range filters {
					clear(verdicts)
					if err := filter.Judge(t.Context(), events, verdicts); err != nil {
						t.Fatalf("%s: %v", language, err)
					}
					for i, v := range verdicts {
						if v.Err != nil || v.Keep != keep[i] {
							t.Fatalf("%s\nkept by the plugin in %s: %t, error %v; by the rule: %t", cdc.AppendEvent(nil, events[i]), language, v.Keep, v.Err, keep[i])
						}
					}
				}
			}
			if kept < 5000 {
				t.Errorf("only %d changes are kept: they are too much alike", kept)
			}
			t.Logf("%d changes are kept", kept)
		})
	}
}
