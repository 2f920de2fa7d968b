package chain

import (
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
)

// The codes after which trying again does not help, those of stores among them.
const (
	codeStore      = "CDCD-4001" // the store cannot be used as it is configured
	codeConditions = "CDCD-4007" // the store refuses conditional writes
	codeIgnores    = "CDCD-4101" // the store ignores If-None-Match
	codeOther      = "CDCD-4102" // another chain is there
	codeContinues  = "CDCD-4104" // the stream does not continue the chain
	codeBehind     = "CDCD-4105" // the stream ends before the chain does
)

// Hopeless reports whether err says that the chain can never be written as it is configured: the store does not keep its
// promise, or the chain there is not this one.
func Hopeless(err error) bool {
	return slices.Contains([]string{codeStore, codeConditions, codeIgnores, codeOther, codeContinues, codeBehind}, cdc.CodeOf(err))
}
