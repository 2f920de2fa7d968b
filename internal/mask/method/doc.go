// Package method knows the methods of masks by their names: what they do to which columns, and which gives less away.
//
//	m, err := method.Parse("truncate(2)")
//	why, fix := m.Fits(column)                 // "" when it can mask the column
//	v := m.Value(column, v)                    // unless it is Keyed: see package mask
//
// It is pure and links no cryptography, so that rules can be checked without any.
package method
