package engine

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
)

// Lookups answers what rules look up.
type Lookups interface {
	// LookUp returns the rows of every key of q: q.Limit of them at most, in the order of q.Order and then of the table's primary
	// key, with the columns of q.Columns in that order, or all columns of the table. Rows has as many elements as q has keys; a key
	// without a row has an empty one. What is read is never older than the change at q.After: the source waits until it is not.
	//
	// The keys are distinct, at most [MaxKeys]; their values have the types of the columns of the change that they come from, or
	// those that the expression in the rule has: the source makes of them what it compares with its columns. q depends on nothing but
	// the batch and the rules, so when the batch is offered again, the same is asked, with the same q.After: who records
	// answers can know it by that, and gives the same answer again.
	//
	// Every error is of the world, and the batch is offered again, with three exceptions. A rule may say what is to become of its
	// changes when the time is up that it gives a look-up: that is the deadline of ctx. If the error is CDCD-1349, the answer is larger
	// than the source cares to hold: half of the keys are asked for then, and if it is one key, the rule could not judge its
	// changes. Rules that only watch fail on the change, whatever the error is.
	//
	// It is called by several goroutines at once, must not keep q or alter it, and leaves the answer alone once it is returned.
	LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error)
}

// MaxKeys bounds the keys of one question to [Lookups].
const MaxKeys = 500
