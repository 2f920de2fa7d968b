package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// The filter score keeps changes that are worth enough: the sum of the numbers in its columns, and one for each text 'paid'. Numbers
// and texts take turns.
const all = 256 // changes, again and again

var texts = []string{"paid", "shipped", "new", "waits for someone to look at it", "paid", "mislaid"}

func number(change, column int) int64 { return int64((change*7919 + column*104729) % 1000) }
func text(change, column int) string  { return texts[(change*31+column*17)%len(texts)] }

// enough is what about every second change is worth.
func enough(columns int) int64 { return int64((columns+1)/2) * 500 }

func config(columns int) []byte {
	return fmt.Appendf(nil, `{"columns":%d,"least":%d}`, columns, enough(columns))
}

// kept says what is to become of the changes.
func kept(columns int) (keep [all]bool) {
	for i := range keep {
		var score int64
		for c := range columns {
			if c%2 == 0 {
				score += number(i, c)
			} else if text(i, c) == "paid" {
				score++
			}
		}
		keep[i] = score >= enough(columns)
	}
	return keep
}

// rows returns updates, from one to before another, of a table with so many columns. Without before there is nothing in the image before.
func rows(columns, from, to int, before bool) *cdc.Batch {
	table := &cdc.Table{Schema: "shop", Name: "orders"}
	for c := range columns {
		table.Columns = append(table.Columns, cdc.Column{Name: fmt.Sprint("c", c), Kind: []cdc.Kind{cdc.KindInt64, cdc.KindString}[c%2]})
	}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	tx := w.AddTx(cdc.Tx{CommitTime: time.UnixMicro(1795226400123456)})
	number0 := w.AddTable(table)
	image := func(change int, there bool) uint32 {
		w.BeginRow(columns)
		for c := range columns {
			switch {
			case !there:
			case c%2 == 0:
				w.SetInt(c, number(change, c))
			default:
				w.SetText(c, cdc.KindString, text(change, c))
			}
		}
		return w.EndRow()
	}
	for i := from; i < to; i++ {
		w.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: number0, Op: cdc.OpUpdate, Before: image(i+1, before), After: image(i, true)})
	}
	batch, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	return batch
}

// events are the changes as they are captured: a table of 16 columns, both images.
func events() []cdc.Event {
	batch := rows(16, 0, all, true)
	list := make([]cdc.Event, all)
	for i := range list {
		list[i] = batch.Event(i)
	}
	return list
}

// frames are the changes as a plugin is given them that reads so many columns.
func frames(columns, batch int) (list [][]byte) {
	for i := 0; i < all; i += batch {
		list = append(list, rows(columns, i, i+batch, false).Frame())
	}
	return list
}

// flat are the changes for the function flat of the plugin on Extism, jsons for json. Both are filled up to eight bytes, which is what it
// loads at a time.
func flat(columns int) [][]byte {
	list := make([][]byte, all)
	for i := range list {
		b := binary.LittleEndian.AppendUint64(nil, uint64(enough(columns)))
		for c := range columns {
			if c%2 == 0 {
				b = binary.LittleEndian.AppendUint64(b, uint64(number(i, c)))
				continue
			}
			b = binary.LittleEndian.AppendUint64(b, uint64(len(text(i, c))))
			b = append(b, text(i, c)...)
			b = append(b, make([]byte, -len(b)&7)...)
		}
		list[i] = b
	}
	return list
}

func jsons(columns int) [][]byte {
	list := make([][]byte, all)
	batch := rows(columns, 0, all, false)
	for i := range list {
		b := cdc.AppendRow(nil, batch.Event(i).After())
		list[i] = fmt.Appendf(b, "%0*d", 8+-len(b)&7, enough(columns))
	}
	return list
}
