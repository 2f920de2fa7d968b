package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask"
	"github.com/cdcd-project/cdcd/internal/person"
	"github.com/cdcd-project/cdcd/rules"
)

// noKeys is a store in which every key is a new one.
type noKeys struct{}

func (noKeys) Create(_ context.Context, _ []string, keys [][]byte) ([][]byte, error) {
	return keys, nil
}

func TestWhatIsLookedUpAboutAPersonIsSealedAsChangesAre(t *testing.T) {
	keys, err := person.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := person.Open(keys)
	if err != nil {
		t.Fatal(err)
	}
	glob, err := cdc.ParseColumnGlob("shop.customers.name")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []person.Kind{{Name: "customer", Subjects: map[string]string{"shop.customers": "id"}, Columns: []cdc.ColumnGlob{glob}}}
	p := &persons{ring: ring, sealer: person.New(kinds, ring, noKeys{})}
	full := make([]int, len(secretColumns))
	b := secretBatch(t, secretTable("customers", false), []secretChange{{op: cdc.OpSnapshot, after: full}}, plainly)
	asked := &cdc.Answer{Batch: b, Rows: [][]int{{0}, nil}, At: "0-1-17"}
	got, err := p.answer(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got.Batch.Frame()), "SECRET \"") || got.Batch.Event(0).After().Value(1).Text() == "***" {
		t.Errorf("it is not sealed: %q", got.Batch.Frame())
	}
	if len(got.Rows) != 2 || got.At != asked.At || asked.Batch != b {
		t.Errorf("got %+v", got)
	}
	for _, a := range []*cdc.Answer{{Rows: [][]int{nil}}} {
		if got, err := p.answer(t.Context(), a); got != a || err != nil {
			t.Errorf("an answer without rows: %v, %v", got, err)
		}
	}
	if got, err := (*persons)(nil).answer(t.Context(), asked); got != asked || err != nil {
		t.Errorf("without persons: %v, %v", got, err)
	}
}

func TestARuleWhoseMaskHasNoKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cdcd.yaml")
	text := "version: 1\nname: shop\nrules: [rules.yaml]\ndata: " + dir + "\nsource:\n  mysql: {url: \"mysql://cdc:one@localhost:3306\", tables: [shop.*]}\nfeeds:\n  acme: {to: \"file:///srv/acme\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(file, nil, nil)
	if cfg == nil {
		t.Fatal(err)
	}
	set, err := parseTexts([]ruleText{{File: "rules.yaml", Text: `version: 1
rules:
  - {name: plain, tables: [shop.orders], to: [acme]}
  - {name: short, tables: [shop.orders], mask: {after.card: last4}, to: [acme]}
  - {name: later, mode: shadow, tables: [shop.orders], mask: {after.card: encrypt}, to: [acme]}
  - {name: keyed, tables: [shop.orders], mask: {after.card: hmac}, to: [acme]}
`}})
	if err != nil {
		t.Fatal(err)
	}
	all := func(*rules.Rule) bool { return true }
	err = keyedRules(cfg, set, all)
	if want := "CDCD-4201: rule keyed masks after.card with hmac: there is no mask key"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := keyedRules(cfg, set, func(r *rules.Rule) bool { return r.Name != "keyed" }); err != nil {
		t.Errorf("rules that are not changed: %v", err)
	}
	keys, err := mask.NewKeyset(mask.HMAC)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "mask-hmac.json"), keys, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := keyedRules(cfg, set, all); err != nil {
		t.Error(err)
	}
}
