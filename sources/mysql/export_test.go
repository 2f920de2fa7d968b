package mysql

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// SelectRows reads rows with SELECT as snapshots do: each becomes a frame of one event. rest is what follows the table
// in the statement, instead of which another one may be read.
func SelectRows(ctx context.Context, cfg Config, schema, table, rest string, instead ...string) ([]*cdc.Batch, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	treated, err := newTreatments(&cfg)
	if err != nil {
		return nil, err
	}
	l, err := s.layoutOf(schema, table, treated)
	if err != nil {
		return nil, err
	}
	if err := s.exactRows(); err != nil {
		return nil, err
	}
	var out []*cdc.Batch
	var b cdc.Builder
	from := rowimage.QuoteName(schema) + "." + rowimage.QuoteName(table)
	if len(instead) > 0 {
		from = instead[0]
	}
	query := "SELECT " + l.SelectList() + " FROM " + from + " " + rest
	err = s.rows(ctx, l, query, func(row []byte) error {
		b.Reset(cdc.Header{})
		image, err := l.AppendResult(&b, row)
		if err != nil {
			return err
		}
		b.AddEvent(cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(l.Table()), Op: cdc.OpSnapshot, After: image})
		batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			return err
		}
		if err := batch.Verify(); err != nil {
			return err
		}
		out = append(out, batch)
		return nil
	})
	return out, err
}
