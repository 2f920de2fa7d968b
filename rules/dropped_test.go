package rules_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

func TestARuleForADroppedColumnIsToldSo(t *testing.T) {
	parsed, err := rules.Parse("r.yaml", []byte(`version: 1
rules:
  - {name: a, tables: [shop.customers], on: [insert], when: after.ssn != '', to: [f]}
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.New(parsed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Check([]*cdc.Table{{Schema: "shop", Name: "customers", Dropped: []string{"ssn"},
		Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "ssn2", Kind: cdc.KindString}}}})
	if err == nil || !strings.Contains(err.Error(), "customers has no column 'ssn'") || !strings.Contains(err.Error(), "the source leaves it out (drop_columns)") {
		t.Error(err)
	}
}
