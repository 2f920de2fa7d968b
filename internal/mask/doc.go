// Package mask replaces values by what may be shown in their place. It is pure: a value goes in, a masked value comes out.
//
// A [Mask] is a method with its key. HMAC makes pseudonyms: equal values have equal masks, and nobody gets back to the
// value, but whoever has the key can try candidates. Encrypt is reversible with the key, and equal values have equal
// masks only within one column.
//
//	m, err := mask.New(mask.HMAC, keyset) // a keyset of Tink in JSON, see NewKeyset
//	v, err := m.Value("shop.customers.email", column, cdc.TextValue(cdc.KindString, "a@b.c"))
//
// What is masked is the text that a record would carry unmasked ([cdc.AppendText]): of a string its UTF-8 bytes, of a
// DECIMAL, a date, a BLOB the text between the quotes, of everything else its JSON. NULL stays NULL, and what is absent
// stays absent: masks do not hide that. A masked column is a string.
package mask
