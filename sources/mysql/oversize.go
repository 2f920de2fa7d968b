package mysql

import "github.com/cdcd-project/cdcd/cdc"

// room returns how large a frame's rows may become. The rest is for the texts of transactions and of the checkpoint.
func (c *capture) room() int {
	return c.cfg.MaxFrame - 64<<10 - len(c.done.GTIDSet) - len(c.done.Prepared) - c.snapshots.size()
}

// shrink makes an event fit into a frame that holds nothing else, by leaving out its largest values.
func (c *capture) shrink(info cdc.EventInfo, table *cdc.Table) (cdc.EventInfo, error) {
	size := c.frame.Size()
	var places []uint32
	for _, place := range []uint32{info.Before, info.After} {
		if place != 0 {
			places = append(places, place)
		}
	}
	large := func() error {
		return cdc.Errorf("CDCD-1309", "a change of %s in the transaction at %s:%d takes %d bytes; a frame can hold %d",
			table, c.tx.tx.File, c.tx.tx.Pos, size, c.cfg.MaxFrame)
	}
	if c.cfg.Oversize == PolicyHalt {
		return info, large()
	}
	places, ok := c.frame.Shrink(c.room(), table.Key(), places...)
	if !ok {
		return info, large()
	}
	info.Incomplete = true
	if info.Before != 0 {
		info.Before = places[0]
	}
	if info.After != 0 {
		info.After = places[len(places)-1]
	}
	c.notices.Oversize++
	c.cfg.Logger.Warn("a change is larger than a frame can hold: its largest values are left out", "event", "capture.oversize", "code", "CDCD-1309",
		"table", table.String(), "bytes", size, "gtid", c.tx.tx.GTID, "file", c.tx.tx.File, "pos", c.tx.tx.Pos, "row", c.tx.rows)
	return info, nil
}
