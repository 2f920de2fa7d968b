// Package match answers which of many conditions hold for a row change. It knows no language: conditions come as
// formulas over atoms, each a question about one column.
//
//	index := match.New(table, []*match.Formula{paid, large})
//	var scratch match.Scratch
//	for _, r := range index.Match(event, &scratch, nil) {
//		fmt.Println(r.Formula, r.Truth)
//	}
package match
