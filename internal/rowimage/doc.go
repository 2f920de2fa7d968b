// Package rowimage turns the row images of MySQL's and MariaDB's row events into rows of frames. It is pure: no input,
// no output, no clock.
//
// A [Layout] is what a TABLE_MAP event says about the rows that follow it. [Read] makes one; where the event does not
// name its columns, [Resolve] makes it with the help of what information_schema says ([Column]).
//
//	layout, named, err := rowimage.Read(tableMap)
//	if !named {
//		layout, err = rowimage.Resolve(tableMap, columns, "mysql")
//	}
//	after, err := layout.AppendDecoded(&frame, row, skipped, &scratch)
//
// Errors are [cdc.Error] values that name the table and the column.
package rowimage
