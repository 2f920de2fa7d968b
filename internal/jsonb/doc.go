// Package jsonb reads MySQL's binary JSON: as text with exact numbers, and with the partial updates of the binlog
// applied.
//
// [AppendText] writes a document as it stands in a row image of the binlog; the text is what SELECT shows of the column,
// without the spaces that the server puts after commas and colons:
//
//	doc := []byte{0x02, 1, 0, 7, 0, 0x05, 0x2a, 0} // a small array of one element, an int16
//	text, err := jsonb.AppendText(nil, doc)        // [42]
//
// [AppendPatched] does the same for a column of which an update logged its differences only, as servers do that run
// with binlog_row_value_options=PARTIAL_JSON.
//
// # The format
//
// A document is a byte that tells its type, then its value. Integers, doubles and the lengths below are little endian.
//
//	00 01  object, small and large     06  uint16     0b  double
//	02 03  array, small and large      07  int32      0c  string: length, bytes
//	04     0 null, 1 true, 2 false     08  uint32     0f  opaque: a column type, length, bytes
//	05     int16                       09  int64
//	                                   0a  uint64
//
// The length of a string or an opaque value has seven bits to the byte, the lowest first; the high bit says that more
// follow. An object or array is
//
//	count  size  {key offset, key length}…  {type, value or offset}…  keys  values
//
// where count, size and offsets have two bytes in the small and four in the large format, key lengths always two; only
// objects have keys, and they are in ascending order, shorter ones first. Offsets count from the start of the object or
// array. Values that fit into the place of an offset stand there themselves. The server leaves gaps when it updates a
// document in place, but everything stays in order, and nothing is stored twice: so it is here, and whatever is not is
// refused. A hostile document thus cannot cost more than its length.
//
// The differences of an update stand one behind the other, as many as fit into the column's value:
//
//	operation: 0 replace, 1 insert, 2 remove
//	path:      length, text like $.lines[3]."unit price"
//	value:     length, document; not when something is removed
//
// where a length is one byte below 251, or 252, 253, 254 and then 2, 3, 8 bytes.
package jsonb
