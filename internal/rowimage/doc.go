// Package rowimage turns rows of MySQL and MariaDB, from row events and from SELECT, into rows of frames. It is pure: no
// input, no output, no clock.
//
// A [Layout] is what a TABLE_MAP event says about the rows that follow it. [Read] makes one; where the event does not
// name its columns, [Resolve] makes it with the help of what information_schema says ([Column]).
//
//	tableMap, err := rowimage.ParseTableMap(body, "mysql")
//	layout, err := rowimage.Read(tableMap)
//	if !tableMap.Named() {
//		layout, err = rowimage.Resolve(tableMap, columns, "mysql")
//	}
//	inserted := rowimage.Event{Layout: layout, After: present} // a row event's, with the bitmap of its columns
//	_, after, images, err := inserted.Append(&frame, images)
//
// The bytes go into the frame as they are read, without a stop. They may be a stranger's: what is claimed and not there
// is an error. [Layout.AppendDecoded] writes what go-mysql makes of the same bytes, to compare.
//
// The same rows come out of a SELECT, bit for bit, through a layout that [New] makes of information_schema alone:
//
//	query := "SELECT " + layout.SelectList() + " FROM shop.orders"
//	row, err := layout.AppendResult(&frame, packet) // of a prepared statement, after SessionSettings
//
// Errors of layouts and of selected rows are [cdc.Error] values. Those of images name the column only; their caller knows where they stand.
package rowimage
