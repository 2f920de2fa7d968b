// Package form gives what is delivered its form: the envelope that a record has, and the container that an object is.
//
// An envelope makes one record of a delivery, as JSON: [CDCD], [Debezium] or [CloudEvents]. A container makes an object of
// records: JSON Lines, [CSV] or [Parquet]; the last two have columns of their own instead of an envelope, and hold rows of
// one table. A [Form] is the choice of a feed; it has what a chain asks for, and knows nothing of chains:
//
//	f, err := form.New(form.Options{Envelope: form.Debezium, Compress: "zstd"})
//	dst = f.Append(dst, &delivery)          // a record; its bytes are what proofs are about
//	body, err := f.Seal(f.Kind(event), dst) // an object of records, one a line
//	for record := range f.Records(body)     // and back
//
// Whatever the form, a record is a function of the delivery alone: no clock, no counter and no version of the program is in
// it, so that every writer, and every replay, makes the same bytes. docs/objects.md describes each form to those who read it.
package form
