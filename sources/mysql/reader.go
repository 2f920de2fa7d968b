package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/klauspost/compress/zstd"
)

// logReader decodes events where they are read, and passes them on with their size in memory. It does so in go-mysql's
// place, which would decode a compressed transaction as a whole, however large it is.
type logReader struct {
	flavor   string
	selected *selection
	next     func(ev *replication.BinlogEvent, bytes int) error
	verify   bool // checksums have not been looked at

	parser   *replication.BinlogParser
	checksum bool   // events end with four bytes of checksum
	format   []byte // the log's FORMAT_DESCRIPTION as it holds within compressed transactions: without checksums
	zstd     *zstd.Decoder

	last     *replication.TableMapEvent // the table seen last, and whether it is captured
	captured bool
}

func newLogReader(flavor string, selected *selection, next func(ev *replication.BinlogEvent, bytes int) error) *logReader {
	r := &logReader{flavor: flavor, selected: selected, next: next}
	r.parser = r.newParser()
	return r
}

func (r *logReader) newParser() *replication.BinlogParser {
	p := replication.NewBinlogParser()
	p.SetFlavor(r.flavor)
	p.SetRowsEventDecodeFunc(r.rowsHeader)
	p.SetTableMapOptionalMetaDecodeFunc(rowimage.SkipFields) // [rowimage.ParseTableMap] reads them where a table is captured
	return p
}

// tableMapBody returns what [rowimage.ParseTableMap] reads of a TABLE_MAP.
func tableMapBody(raw []byte, checksum bool) []byte {
	const idAndFlags = 8
	body := raw[replication.EventHeaderSize+idAndFlags:]
	if checksum {
		body = body[:len(body)-replication.BinlogChecksumLength]
	}
	return body
}

// HandleEvent implements replication.EventHandler for go-mysql's raw mode.
func (r *logReader) HandleEvent(raw *replication.BinlogEvent) error {
	if _, ok := raw.Event.(*replication.RotateEvent); ok { // decoded in raw mode too
		return r.pass(raw)
	}
	return r.event(raw.Header, raw.RawData)
}

// event decodes an event and passes it on.
func (r *logReader) event(h *replication.EventHeader, raw []byte) error {
	format := h.EventType == replication.FORMAT_DESCRIPTION_EVENT
	if !format {
		if err := r.sum(raw); err != nil {
			return undecodable(h, err)
		}
	}
	if h.EventType == replication.TRANSACTION_PAYLOAD_EVENT {
		return r.payload(h, raw)
	}
	ev, err := parse(r.parser, raw)
	if err == nil && format {
		err = r.begin(ev.Event.(*replication.FormatDescriptionEvent), raw)
	}
	if err != nil {
		return undecodable(h, err)
	}
	ev.Header = h // go-mysql may have found out more
	return r.pass(ev)
}

func (r *logReader) pass(ev *replication.BinlogEvent) error { return r.next(ev, len(ev.RawData)+200) }

// begin takes what a file says of how to read it.
func (r *logReader) begin(e *replication.FormatDescriptionEvent, raw []byte) error {
	r.checksum = e.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
	r.format = bytes.Clone(raw)
	if !r.checksum {
		return nil
	}
	r.format[17] &^= byte(replication.LOG_EVENT_BINLOG_IN_USE_F) // no part of the checksum
	if err := r.sum(r.format); err != nil {
		return err
	}
	r.format[len(raw)-replication.BinlogChecksumLength-1] = byte(replication.BINLOG_CHECKSUM_ALG_OFF)
	return nil
}

// sum checks an event's checksum. go-mysql could, but fails on the file that the server writes to at present.
func (r *logReader) sum(raw []byte) error {
	n := len(raw) - replication.BinlogChecksumLength
	if r.verify && r.checksum && (n < replication.EventHeaderSize || crc32.ChecksumIEEE(raw[:n]) != binary.LittleEndian.Uint32(raw[n:])) {
		return replication.ErrChecksumMismatch
	}
	return nil
}

// parse decodes an event. go-mysql panics on some broken ones.
func parse(p *replication.BinlogParser, raw []byte) (ev *replication.BinlogEvent, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is broken: %v", r)
		}
	}()
	if err := plausible(raw); err != nil {
		return nil, err
	}
	return p.Parse(raw)
}

// plausible refuses lengths that an event cannot have, for which go-mysql would take memory.
func plausible(raw []byte) error {
	body := raw[replication.EventHeaderSize:]
	switch replication.EventType(raw[4]) {
	case replication.MARIADB_GTID_LIST_EVENT:
		if len(body) < 4 || int(binary.LittleEndian.Uint32(body)&(1<<28-1)) > len(body)/16 {
			return errors.New("a list of GTIDs that is longer than the event")
		}
	case replication.MARIADB_QUERY_COMPRESSED_EVENT:
		const fixed = 13
		if len(body) < fixed {
			return errors.New("a statement that is cut short")
		}
		at := fixed + int(binary.LittleEndian.Uint16(body[11:])) + int(body[8]) + 1
		if at >= len(body) || !rowimage.Inflatable(body[at:]) {
			return errors.New("a statement that cannot have been compressed so")
		}
	}
	return nil
}

// undecodable says which event is broken, as go-mysql does.
func undecodable(h *replication.EventHeader, err error) error {
	var known *replication.EventError
	if errors.As(err, &known) {
		err = errors.New(known.Err)
	}
	return &replication.EventError{Header: h, Err: err.Error()}
}

// rowsHeader stands in for the decoding of row events: it finds out whether the table is captured, and leaves the rows'
// bytes in NdbData (a field for another engine), from where capture reads them. It is called for the rows of compressed
// transactions too.
func (r *logReader) rowsHeader(e *replication.RowsEvent, data []byte) error {
	pos, err := e.DecodeHeader(data)
	if err != nil {
		if e.TableID == 1<<24-1 || e.TableID == 1<<48-1 {
			return nil // an event without rows, that only ends a statement
		}
		return err
	}
	e.NdbData = nil
	if e.Table != r.last {
		r.last, r.captured = e.Table, r.selected.has(e.Table.Schema, e.Table.Table)
	}
	if r.captured {
		e.NdbData = data[pos:]
	}
	return nil
}

// payloadPart is an event of a compressed transaction. It has no place of its own in the log.
type payloadPart struct{ replication.Event }

const (
	// largestPart is what MySQL lets an event grow to (the most that replica_max_allowed_packet can be).
	largestPart = 1 << 30
	// largestWindow is the memory that zstd lets a stream ask for unless it is told otherwise; MySQL does not tell it.
	largestWindow = 128 << 20
)

// payload passes on a compressed transaction: first its own event, emptied, then its parts, each as soon as it is
// decompressed. How large they are together is nowhere relied on.
func (r *logReader) payload(h *replication.EventHeader, raw []byte) error {
	stream, err := r.decompress(raw[replication.EventHeaderSize:])
	if err != nil {
		return undecodable(h, err)
	}
	parser := r.newParser()
	if _, err := parse(parser, r.format); err != nil {
		return undecodable(h, err)
	}
	if err := r.pass(&replication.BinlogEvent{Header: h, Event: &replication.TransactionPayloadEvent{}}); err != nil {
		return err
	}
	events := eventReader{from: stream, most: largestPart}
	for {
		raw, err := events.next()
		if err == io.EOF {
			return nil
		}
		var ev *replication.BinlogEvent
		if err == nil {
			ev, err = parsePart(parser, raw)
		}
		if err != nil {
			return undecodable(h, fmt.Errorf("in the compressed transaction: %w", err))
		}
		if err := r.pass(ev); err != nil {
			return err
		}
	}
}

func parsePart(p *replication.BinlogParser, raw []byte) (*replication.BinlogEvent, error) {
	switch kind := replication.EventType(raw[4]); kind {
	case replication.TRANSACTION_PAYLOAD_EVENT, replication.FORMAT_DESCRIPTION_EVENT:
		return nil, fmt.Errorf("an event of type %s cannot be a part", kind)
	}
	ev, err := parse(p, raw)
	if err != nil {
		return nil, err
	}
	ev.Event = payloadPart{ev.Event}
	return ev, nil
}

// The fields of a TRANSACTION_PAYLOAD event, and the ways of compression.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2

	compressedZstd = 0
	notCompressed  = 255
)

// decompress returns the parts of a TRANSACTION_PAYLOAD as they come out of its body.
func (r *logReader) decompress(body []byte) (io.Reader, error) {
	if r.format == nil {
		return nil, errors.New("nothing says how to read it")
	}
	if n := len(body) - replication.BinlogChecksumLength; r.checksum && n >= 0 {
		body = body[:n]
	}
	way, size := uint64(compressedZstd), uint64(math.MaxUint64)
	for {
		kind, ok := packed(&body)
		if ok && kind == payloadEnd {
			break
		}
		length, ok := packed(&body)
		if !ok || length > uint64(len(body)) {
			return nil, errors.New("the head of the compressed transaction is cut short")
		}
		field := body[:length]
		body = body[length:]
		into := new(uint64)
		switch kind {
		case payloadSize:
			into = &size
		case payloadCompression:
			into = &way
		default:
			continue // for others, the size after decompression among them
		}
		if *into, ok = packed(&field); !ok || len(field) > 0 {
			return nil, errors.New("the head of the compressed transaction is broken")
		}
	}
	if size != uint64(len(body)) {
		return nil, fmt.Errorf("the compressed transaction has %d bytes where its head says %d", len(body), size)
	}
	switch way {
	case notCompressed:
		return bytes.NewReader(body), nil
	case compressedZstd:
	default:
		return nil, fmt.Errorf("the transaction is compressed in a way that is not known (%d)", way)
	}
	if r.zstd == nil {
		var err error
		if r.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(largestWindow)); err != nil {
			return nil, err
		}
	}
	// Not a bytes.Buffer: the decoder would see through it, and decode small ones at once.
	return r.zstd, r.zstd.Reset(bytes.NewReader(body))
}

// packed cuts a number off, as MySQL packs it.
func packed(b *[]byte) (n uint64, ok bool) {
	if len(*b) == 0 {
		return 0, false
	}
	first, size := (*b)[0], 0
	switch *b = (*b)[1:]; first {
	case 252:
		size = 2
	case 253:
		size = 3
	case 254:
		size = 8
	default:
		return uint64(first), first < 251
	}
	if len(*b) < size {
		return 0, false
	}
	for i := range size {
		n |= uint64((*b)[i]) << (8 * i)
	}
	*b = (*b)[size:]
	return n, true
}

// eventReader cuts a stream into events.
type eventReader struct {
	from io.Reader
	most uint32 // bytes of an event
	head [replication.EventHeaderSize]byte
}

// errCutHead and errCut say that a stream ends within an event: in its header, or after it.
var (
	errCutHead = errors.New("the header of an event is cut short")
	errCut     = errors.New("an event is cut short")
)

// next returns the next event, and io.EOF at the stream's end. What an event says of its size is believed only as far
// as it has come.
func (r *eventReader) next() ([]byte, error) {
	if _, err := io.ReadFull(r.from, r.head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errCutHead
		}
		return nil, err
	}
	size := binary.LittleEndian.Uint32(r.head[9:])
	if size < replication.EventHeaderSize || size > r.most {
		return nil, fmt.Errorf("an event has the size %d", size)
	}
	const step = 1 << 20
	ev := append(make([]byte, 0, min(size, step)), r.head[:]...)
	for len(ev) < int(size) {
		n := min(int(size)-len(ev), max(step-len(ev), len(ev)))
		ev = slices.Grow(ev, n)[:len(ev)+n]
		if _, err := io.ReadFull(r.from, ev[len(ev)-n:]); err != nil {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errCut
			}
			return nil, err
		}
	}
	return ev, nil
}
