package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// LogEnd is a place in a server's log.
type LogEnd struct {
	File string
	Pos  uint64
}

// batchRows is how many rows ReadTable hands on at once; batchBytes how large they may become before.
const (
	batchRows  = 1000
	batchBytes = 1 << 20
)

// ReadTable reads all rows of a table with one SELECT, as one read view has them, and hands them on as changes that insert them,
// treated as capture treats them. It returns an end of the server's log behind everything that the read view has.
func ReadTable(ctx context.Context, cfg Config, table string, each func(*cdc.Batch) error) (end LogEnd, err error) {
	cfg.Tables, cfg.ExcludeTables = []string{table}, nil
	if cfg, err = cfg.withDefaults(); err != nil {
		return end, err
	}
	treated, err := newTreatments(&cfg)
	if err != nil {
		return end, err
	}
	sv, err := connect(ctx, &cfg)
	if err != nil {
		return end, sourceError(&cfg, err)
	}
	defer sv.close()
	if _, err := sv.query("SET NAMES utf8mb4"); err != nil {
		return end, sourceError(&cfg, err)
	}
	if err := sv.exactRows(); err != nil {
		return end, sourceError(&cfg, err)
	}
	identity, err := sv.identity()
	if err != nil {
		return end, sourceError(&cfg, err)
	}
	schema, name, _ := strings.Cut(table, ".")
	found, _, err := sv.schemaColumns(whereTable(schema, name))
	if err != nil {
		return end, sourceError(&cfg, err)
	}
	layout, err := layoutOfColumns(schema, name, found[schema+"\x00"+name], sv.flavor, treated)
	if err != nil {
		return end, fmt.Errorf("table %s: %w", table, err)
	}
	r := tableReader{layout: layout, each: each, header: cdc.Header{Source: cfg.Name}, tx: cdc.Tx{Server: identity, File: "read", CommitTime: cfg.Now().UTC()}}
	r.begin()
	err = sv.rows(ctx, layout, "SELECT "+layout.SelectList()+" FROM "+rowimage.QuoteName(schema)+"."+rowimage.QuoteName(name), r.add)
	if err == nil {
		err = r.flush()
	}
	if err != nil {
		return end, sourceError(&cfg, fmt.Errorf("table %s: %w", table, err))
	}
	status, err := sv.logStatus(&cfg)
	if err != nil {
		return end, err
	}
	end.File = status[0]
	end.Pos, err = strconv.ParseUint(status[1], 10, 64)
	return end, err
}

// tableReader makes batches of rows.
type tableReader struct {
	layout *rowimage.Layout
	each   func(*cdc.Batch) error
	header cdc.Header
	tx     cdc.Tx

	known cdc.Tables
	frame cdc.Builder
	table int
	txNo  int
	rows  uint64
}

func (r *tableReader) begin() {
	r.frame.Reset(r.header)
	r.table, r.txNo = r.frame.AddTable(r.layout.Table()), r.frame.AddTx(r.tx)
}

func (r *tableReader) add(packet []byte) (err error) {
	info := cdc.EventInfo{No: r.rows, Tx: r.txNo, Row: uint32(r.rows), Table: r.table, Op: cdc.OpInsert}
	if info.After, err = r.layout.AppendResult(&r.frame, packet); err != nil {
		return err
	}
	r.frame.AddEvent(info)
	if r.rows++; r.frame.Len() < batchRows && r.frame.Size() < batchBytes {
		return nil
	}
	return r.flush()
}

// flush hands on what there is.
func (r *tableReader) flush() error {
	if r.frame.Len() == 0 {
		return nil
	}
	b, err := cdc.Open(r.frame.Seal(cdc.Checkpoint{}), &r.known)
	if err == nil {
		err = r.each(b)
	}
	r.begin()
	return err
}
