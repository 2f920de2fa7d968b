package rules_test

import (
	"bytes"
	"fmt"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// shop is the table of these examples, its rules and a change.
func shop(when string) (*rules.Set, []*cdc.Table, cdc.Event) {
	tables, err := rules.ParseSchema("schema.yaml", []byte(`
tables:
  shop.orders:
    columns: {id: int not null, status: "enum('new','paid') not null", total: "decimal(12,2)"}
    key: [id]
`))
	if err != nil {
		panic(err)
	}
	rs, err := rules.Parse("orders.yaml", []byte(`version: 1
rules:
  - name: big
    tables: [shop.orders]
    on: [update]
    when: `+when+`
    to: [acme]
    tests:
      - name: becomes big
        event: {op: update, before: {total: "1.00"}, after: {status: paid, total: "1000.00"}}
        expect: {match: true}
`))
	if err != nil {
		panic(err)
	}
	set, err := rules.New(rs)
	if err != nil {
		panic(err)
	}
	e, err := rules.ParseEvent([]byte(`{"op": "update", "before": {"id": 1, "status": "new", "total": "9.00"}, "after": {"id": 1, "status": "paid", "total": "9.00"}}`), tables)
	if err != nil {
		panic(err)
	}
	return set, tables, e
}

func ExampleSet_Explain() {
	set, _, e := shop("after.status == 'paid' && after.total >= 1000")
	x, err := set.Explain(e, "big")
	if err != nil {
		panic(err)
	}
	fmt.Print(x)
	// Output:
	// big does not match because after.total is 9.00, less than 1000
	//   when
	//     ✗ after.status == 'paid' && after.total >= 1000
	//       ✓ after.status == 'paid'
	//           after.status                               'paid'
	//       ✗ after.total >= 1000                          ← decides
	//           after.total                                9.00
}

func ExampleSet_ExplainAll() {
	set, _, e := shop("after.status == 'paid'")
	for _, x := range set.ExplainAll(e) {
		fmt.Println(x.Rule, x.Summary)
	}
	// Output: big matches because after.status is 'paid'
}

func ExampleSet_Test() {
	set, tables, _ := shop("after.total > 1000")
	for _, t := range set.Test(tables) {
		fmt.Println(t.Rule, t.Name, t.Passed)
		fmt.Println(t.Failure)
	}
	// Output:
	// big becomes big false
	// orders.yaml:11:17: error CDCD-2118: 'becomes big': the rule does not match, but it should
	//   11 |         expect: {match: true}
	//      |                 ^
}

func ExampleSet_Coverage() {
	set, tables, _ := shop("after.status == 'paid' && after.total >= 1000")
	all, found := set.Coverage(tables)
	seen, of := all[0].Seen()
	fmt.Printf("%d of %d\n%v\n", seen, of, found[1])
	// Output:
	// 3 of 6
	// orders.yaml:6:11: warning CDCD-2135: in the tests of 'big', this is never false
	//    6 |     when: after.status == 'paid' && after.total >= 1000
	//      |           ^^^^^^^^^^^^^^^^^^^^^^
}

func ExampleSet_Record() {
	set, _, e := shop("after.status == 'paid'")
	file := []byte("version: 1\nrules:\n  - name: big\n    tables: [shop.orders]\n    on: [update]\n    when: after.status == 'paid'\n    to: [acme]\n")
	r, err := set.Record(e, "big", "a real one", func(string) ([]byte, error) { return file, nil })
	if err != nil {
		panic(err)
	}
	lines := bytes.SplitAfter(r.Text, []byte("\n"))
	fmt.Printf("%s", bytes.Join(lines[r.Line-2:], nil))
	// Output:
	//     tests:
	//       - name: a real one
	//         event:
	//           op: update
	//           table: shop.orders
	//           before: {id: 1, status: new, total: "9.00"}
	//           after: {id: 1, status: paid, total: "9.00"}
	//         expect: {match: true, to: [acme]}
}

func ExampleParseEvent() {
	_, tables, _ := shop("after.status == 'paid'")
	e, err := rules.ParseEvent([]byte(`{"op": "insert", "after": {"id": 1, "status": "new", "total": null}}`), tables)
	if err != nil {
		panic(err)
	}
	fmt.Println(e.Op(), e.Table(), string(cdc.AppendRow(nil, e.After())))
	// Output: insert shop.orders {"id":1,"status":"new","total":null}
}

func ExampleNewLanguage() {
	lang, err := rules.NewLanguage(rules.Func{
		Name: "luhn", Args: []rules.Type{rules.Text}, Result: rules.Bool, Version: 1,
		Call: func(args []any) (any, error) {
			sum, double := 0, false
			number := args[0].(string)
			for i := len(number) - 1; i >= 0; i-- {
				d := int(number[i] - '0')
				if d < 0 || d > 9 {
					return false, nil
				}
				if double {
					d = d*2%10 + d/5
				}
				sum, double = sum+d, !double
			}
			return sum%10 == 0, nil
		},
	})
	if err != nil {
		panic(err)
	}
	rs, err := lang.Parse("cards.yaml", []byte(`version: 1
rules:
  - {name: wrong-card, tables: [shop.cards], on: [insert], when: "!luhn(after.number)", to: [acme]}
`))
	if err != nil {
		panic(err)
	}
	set, err := rules.New(rs)
	if err != nil {
		panic(err)
	}
	tables, err := rules.ParseSchema("schema.yaml", []byte(`tables: {shop.cards: {columns: {number: varchar(19) not null}}}`))
	if err != nil {
		panic(err)
	}
	for _, number := range []string{"4242424242424242", "4242424242424241"} {
		e, err := rules.ParseEvent([]byte(`{"op": "insert", "after": {"number": "`+number+`"}}`), tables)
		if err != nil {
			panic(err)
		}
		fmt.Println(number, len(set.Decide(e).Matches))
	}
	// Output:
	// 4242424242424242 0
	// 4242424242424241 1
}
