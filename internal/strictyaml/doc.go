// Package strictyaml reads YAML files that people write by hand, and answers mistakes the way a patient colleague
// would: all of them at once, each with file:line:column, the source line, a caret, and what was probably meant.
//
// [Decode] fills a Go struct and returns a [Doc]; unknown and duplicate keys, wrong types, missing required keys,
// anchors, aliases, merge keys and tags are errors. A [Doc] remembers where everything stood, so that whoever checks
// the values later can still point into the file, even into the middle of a block scalar:
//
//	type File struct {
//		Rules []struct {
//			Name string `yaml:"name,required"`
//			When string `yaml:"when"`
//		} `yaml:"rules"`
//	}
//	var f File
//	doc, err := strictyaml.Decode("rules/paid.yaml", src, &f, strictyaml.Config{})
//	…
//	when := doc.At("rules", 0, "when")
//	return when.ErrorAt(from, to, "CDCD-2104", "orders has no column 'amont'").Hint("did you mean 'amount'?")
//
// prints
//
//	rules/paid.yaml:7:33: error CDCD-2104: orders has no column 'amont'
//	   7 |   when: op == "update" && after.amont > 100
//	     |                                 ^^^^^ did you mean 'amount'?
//
// # Types
//
// Structs take `yaml:"key"` tags; fields without one are ignored; "key,required" must be there; ",inline" merges a
// nested struct's keys. Scalars, slices, maps with string keys, pointers and types with UnmarshalText work as expected.
// [Duration] reads 2s and [Size] reads 16MiB. A value of type any becomes nil, bool, string, [encoding/json.Number]
// (every number keeps all its digits), []any or map[string]any.
//
// Strings are never guessed: where a string is wanted, an unquoted 12 or true is an error that says to quote it.
package strictyaml
