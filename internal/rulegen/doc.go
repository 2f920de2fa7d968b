// Package rulegen makes tables, rules about them and row changes for tests: small ones that are full of edges. Constants
// in the rules and values in the rows come from the same few, so that conditions are often met and just missed.
//
//	g := rulegen.New(data) // the same data make the same case
//	c := g.Case(20, 50)
//	rs, err := rules.Parse("rules.yaml", []byte(c.Source()))
package rulegen
