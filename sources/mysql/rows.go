package mysql

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// layoutOf returns the layout of a table as it is now and as frames have it, the same that its TABLE_MAPs announce.
func (s *server) layoutOf(schema, table string, treated *treatments) (*rowimage.Layout, error) {
	found, _, err := s.schemaColumns(whereTable(schema, table))
	if err != nil {
		return nil, err
	}
	now := found[schema+"\x00"+table]
	if len(now) == 0 {
		return nil, cdc.Errorf(codeNoTable, "there is no table %s.%s that the source's user may read", schema, table).
			WithFix("GRANT SELECT ON %s.%s TO the user, or correct the name", rowimage.QuoteName(schema), rowimage.QuoteName(table))
	}
	return layoutOfColumns(schema, table, now, s.flavor, treated)
}

// layoutOfColumns makes the layout of what information_schema says. A column that is dropped is never asked for, so it
// may be of any type.
func layoutOfColumns(schema, table string, now []rowimage.Column, flavor string, treated *treatments) (*rowimage.Layout, error) {
	of := treated.of(schema, table)
	now = slices.DeleteFunc(slices.Clone(now), func(c rowimage.Column) bool {
		return c.Key == 0 && of(c.Name).Drop && rowimage.Supports(&c) != nil
	})
	l, err := rowimage.New(schema, table, now, flavor)
	if err != nil {
		return nil, err
	}
	return treated.layout(l)
}

// exactRows prepares the connection for [server.rows].
func (s *server) exactRows() error {
	for _, setting := range rowimage.SessionSettings(s.flavor) {
		if _, err := s.query(setting); err != nil {
			return err
		}
	}
	return nil
}

// rows runs a SELECT of the layout's columns and calls each with one row after the other, as
// [rowimage.Layout.AppendResult] reads it; a row is valid during the call. Rows stream: each is called while the server
// still sends. After an error, and when ctx ends, the connection cannot be used any more.
func (s *server) rows(ctx context.Context, l *rowimage.Layout, query string, each func(row []byte) error) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.stream(query, nil, l.Expect, each)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// oldEOF is the length of the packet that ends a list in the older protocol. In the newer one it has more.
const oldEOF = 5

// stream prepares a SELECT and executes it with the parameters, which the server gets as text. expect sees the columns, before
// the first row.
func (s *server) stream(query string, params []string, expect func([]*gomysql.Field) error, each func(row []byte) error) error {
	s.busy = true
	statement, err := s.conn.Prepare(s.signature + query)
	s.ended(err)
	if err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	execute := []byte{0, 0, 0, 0, gomysql.COM_STMT_EXECUTE, byte(statement.ID), byte(statement.ID >> 8), byte(statement.ID >> 16),
		byte(statement.ID >> 24), gomysql.CURSOR_TYPE_NO_CURSOR, 1, 0, 0, 0} // the first four are the packet's head
	if statement.Params != len(params) {
		return fmt.Errorf("%s: it has %d parameters, not %d", firstWords(query), statement.Params, len(params))
	}
	if len(params) > 0 {
		execute = appendParams(execute, params)
	}
	s.busy = true
	s.conn.ResetSequence()
	if err := s.conn.WritePacket(execute); err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	from := s.results
	if from == nil {
		from = &packets{conn: s.conn.Conn.Conn, patience: s.patience}
		s.results = from
	}
	from.sequence = 1
	var packet []byte
	next := func() (err error) {
		if packet, err = from.next(); err != nil {
			return err
		}
		if len(packet) == 0 {
			return gomysql.ErrMalformPacket
		}
		if packet[0] == gomysql.ERR_HEADER {
			err := s.conn.HandleErrorPacket(packet)
			s.ended(err)
			return err
		}
		return nil
	}
	if err := next(); err != nil {
		return fmt.Errorf("%s: %w", firstWords(query), err)
	}
	n, _, _ := gomysql.LengthEncodedInt(packet)
	fields := make([]*gomysql.Field, n)
	for i := range fields {
		if err := next(); err != nil {
			return fmt.Errorf("%s: %w", firstWords(query), err)
		}
		if fields[i], err = gomysql.FieldData(append([]byte(nil), packet...)).Parse(); err != nil {
			return err
		}
	}
	if err := expect(fields); err != nil {
		return err
	}
	for first := true; ; first = false {
		if err := next(); err != nil {
			return fmt.Errorf("%s: %w", firstWords(query), err)
		}
		if packet[0] == gomysql.EOF_HEADER { // a row begins with 0
			if first && len(packet) == oldEOF {
				continue // older servers have one before the rows, too
			}
			s.busy = false
			break
		}
		if err := each(packet); err != nil {
			return err
		}
	}
	if !from.drained() {
		return gomysql.ErrMalformPacket
	}
	return statement.Close()
}

// appendParams appends parameters as strings; none of them is NULL.
func appendParams(execute []byte, params []string) []byte {
	execute = append(execute, make([]byte, (len(params)+7)/8)...) // which are NULL
	execute = append(execute, 1)                                  // their types follow
	for range params {
		execute = append(execute, gomysql.MYSQL_TYPE_VAR_STRING, 0)
	}
	for _, p := range params {
		execute = append(gomysql.AppendLengthEncodedInteger(execute, uint64(len(p))), p...)
	}
	return execute
}
