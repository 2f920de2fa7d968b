package main

import (
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
)

// render returns what makes records of a feed's decisions: narrowed and masked as the feed may see them, in its envelope. Several
// goroutines may call what it returns: the partitions of a feed share it.
func (p *pipeline) render(f *feed) func(dst []byte, d *cdc.Decision) []byte {
	deliveries := sync.Pool{New: func() any { return new(cdc.Delivery) }}
	return func(dst []byte, d *cdc.Decision) []byte {
		delivery := deliveries.Get().(*cdc.Delivery)
		defer deliveries.Put(delivery)
		cdc.Deliver(delivery, f.name, d)
		f.view.Apply(delivery)
		return cdc.AppendDelivery(dst, delivery)
	}
}
