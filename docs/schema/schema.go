// Package schema holds the JSON Schemas of the files that people write, for editors and for `cdcd config schema`.
// They are made from the Go types that read those files, and tests keep them current.
package schema

import _ "embed"

// Config is the JSON Schema of cdcd.yaml.
//
//go:embed cdcd.v1.json
var Config []byte
