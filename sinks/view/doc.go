// Package view narrows what one feed is shown of its deliveries, and masks what it may see only masked: what the feed's own
// settings and the rules that deliver to it say.
//
//	v, err := view.New(view.Config{Feed: "acme", Drop: []string{"shop.customers.note"}, Keys: keys})
//	err = v.Prepare(ctx, batch, decisions)   // before decisions are rendered: keys are fetched; an error means: offer the batch again
//	cdc.Deliver(&d, "acme", &decision)
//	v.Apply(&d)                              // what is rendered of d now may leave the house
//
// Several rules may deliver one change. A column is delivered if one of them shows it, and the feed does not forbid it; it
// is masked if one of them or the feed says so, with the method that gives less away (package method has their order). What
// cannot be masked as it should be is redacted: [View.Apply] never lets a value through because something went wrong.
package view
