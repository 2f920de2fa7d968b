package mysql

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Files returns a source that reads binlog files, in the order of their numbers, and ends after the last. Globs that
// match nothing are an error, as is a gap between the files. Of the Config, what concerns a server is not used; with
// Flavor "" it is what the first file says. Without a server to ask, MariaDB's UUID and INET columns are bytes, and
// files without full metadata cannot be read. Errors are [*cdc.Error].
func Files(cfg Config, globs ...string) (*Source, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	for _, glob := range globs {
		found, err := filepath.Glob(glob)
		if err != nil {
			return nil, cdc.Errorf("CDCD-1106", "binlog files %q: %w", glob, err)
		}
		found = slices.DeleteFunc(found, func(path string) bool { return strings.HasSuffix(path, ".index") || strings.HasSuffix(path, ".idx") })
		if len(found) == 0 {
			return nil, cdc.Errorf("CDCD-1106", "there are no binlog files %s", glob).WithFix("check source.binlog.files")
		}
		s.files = append(s.files, found...)
	}
	if len(s.files) == 0 {
		return nil, cdc.Errorf("CDCD-1106", "no binlog files are named").WithFix("name them, e.g. source.binlog.files: [/backup/binlog.0*]")
	}
	slices.SortFunc(s.files, func(a, b string) int {
		return cmp.Or(cmp.Compare(fileNumber(a), fileNumber(b)), strings.Compare(a, b))
	})
	s.files = slices.Compact(s.files)
	return s, nil
}

func fileNumber(path string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(filepath.Ext(path), "."), 10, 64)
	return n
}

var errFilesEnd = errors.New("the last binlog file has been read")

// runFiles is Run for files.
func (s *Source) runFiles(ctx context.Context, from cdc.Checkpoint, next cdc.Handler) error {
	flavor, err := fileFlavor(s.files[0])
	if err != nil {
		return err
	}
	if want := cmp.Or(from.Flavor, s.cfg.Flavor); want != "" && want != flavor {
		return cdc.Errorf("CDCD-1104", "%s was written by %s, expected is %s", s.files[0], flavor, want)
	}
	first, offset := 0, uint64(4)
	begin, err := readFrom(from)
	if err != nil {
		return err
	}
	if from.Flavor != "" {
		first = slices.IndexFunc(s.files, func(path string) bool { return filepath.Base(path) == begin.File })
		switch {
		case first >= 0:
			offset = max(begin.Pos, 4)
		case from.GTIDSet == "":
			return cdc.Errorf("CDCD-1106", "the binlog file %s, where the stream has got to, is not among the files", begin.File)
		default:
			first, from.File, from.Pos, begin.File, begin.Pos = 0, "", 0, "", 0
		}
	}
	c := &capture{cfg: &s.cfg, ctx: ctx, next: next, selected: s.selected, flavor: flavor, fromFiles: true, tables: newTables(flavor, s.treated, nil, s.asked),
		notices: &Notices{}}
	if from.GTIDSet != "" {
		if c.executed, err = parseGTIDs(flavor, from.GTIDSet); err != nil {
			return cdc.Errorf("CDCD-1302", "the checkpoint: %w", err)
		}
		if c.skip, err = parseGTIDs(flavor, from.GTIDSet); err != nil {
			return cdc.Errorf("CDCD-1302", "the checkpoint: %w", err)
		}
		if c.reread, err = parseGTIDs(flavor, begin.GTIDSet); err != nil {
			return cdc.Errorf("CDCD-1302", "the checkpoint's prepared transactions: %w", err)
		}
	}
	if err := c.start(from, begin); err != nil {
		return err
	}
	s.cfg.Following(nil)

	events := newQueue(s.cfg.QueueBytes)
	selected := s.selected.clone()
	ended := make(chan struct{})
	go func() { // awaited right below
		defer close(ended)
		events.close(readFiles(s.files[first:], offset, func() *logReader { return newLogReader(flavor, selected, events.put) }))
	}()
	defer func() { events.close(errQueueClosed); <-ended }()
	err = c.run(events)
	if !errors.Is(err, errFilesEnd) {
		return err
	}
	return c.finish()
}

// finish hands over what is left at the end of the last file.
func (c *capture) finish() error {
	if c.tx.open {
		return c.torn()
	}
	switch cp := c.checkpoint(); {
	case c.open:
		return c.flush()
	case cp.File != c.sent.File || cp.Pos != c.sent.Pos || cp.GTIDSet != c.sent.GTIDSet:
		return c.heartbeat()
	}
	return nil
}

// readFiles reads the files one after the other, the first from the offset, each with a new reader.
func readFiles(files []string, offset uint64, newReader func() *logReader) error {
	for i, path := range files {
		reader := newReader()
		reader.verify = true
		rotate := &replication.BinlogEvent{
			Header: &replication.EventHeader{EventType: replication.ROTATE_EVENT, Flags: replication.LOG_EVENT_ARTIFICIAL_F},
			Event:  &replication.RotateEvent{NextLogName: []byte(filepath.Base(path)), Position: offset},
		}
		if err := reader.HandleEvent(rotate); err != nil {
			return err
		}
		if _, err := fileFlavor(path); err != nil {
			return err
		}
		if err := readFile(reader, path, int64(offset), i == len(files)-1); err != nil {
			var broken *replication.EventError
			switch {
			case errors.Is(err, errQueueClosed):
				return err
			case errors.As(err, &broken):
				err = eventText(broken)
			}
			return cdc.Errorf("CDCD-1307", "%s: %w", path, shorten(err))
		}
		offset = 4
	}
	return errFilesEnd
}

// readFile reads the events from the offset on, and before them the first of the file, which says how to read the others.
//
// Where the last file names the one that follows it, that is left out: the checkpoint must stay in a file that there is.
func readFile(reader *logReader, path string, offset int64, last bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	events := eventReader{from: f, most: math.MaxUint32}
	at := int64(len(replication.BinLogFileHeader))
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	for first := true; ; first = false {
		raw, err := events.next()
		if err == io.EOF || err == errCutHead { // the server may be about to write the rest
			return nil
		}
		if err != nil {
			return fmt.Errorf("the event at %d: %w", at, err)
		}
		h := &replication.EventHeader{}
		if err := h.Decode(raw); err != nil {
			return err
		}
		if !last || h.EventType != replication.ROTATE_EVENT {
			if err := reader.event(h, raw); err != nil {
				return fmt.Errorf("the event at %d: %w", at, err)
			}
		}
		at += int64(len(raw))
		if first {
			at = max(at, offset)
			if _, err := f.Seek(at, io.SeekStart); err != nil {
				return err
			}
			events.from = bufio.NewReaderSize(f, 256<<10)
		}
	}
}

// fileFlavor looks at the file's first event, which says what wrote it.
func fileFlavor(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", cdc.Errorf("CDCD-1106", "binlog file: %w", err)
	}
	defer f.Close()
	var head [4 + replication.EventHeaderSize + 52]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || !bytes.Equal(head[:4], replication.BinLogFileHeader) {
		return "", cdc.Errorf("CDCD-1106", "%s is not a binlog file", path).WithFix("encrypted files must be decrypted first")
	}
	if bytes.Contains(bytes.ToLower(head[4+replication.EventHeaderSize+2:]), []byte("mariadb")) {
		return FlavorMariaDB, nil
	}
	return FlavorMySQL, nil
}

// previous reads what a MySQL file says had been executed before it.
func (c *capture) previous(ev *replication.BinlogEvent, e *replication.PreviousGTIDsEvent) (*gtids, error) {
	set := gomysql.NewMysqlGTIDSet()
	if len(e.GTIDSets) == 0 {
		return &gtids{mysql: &set}, nil
	}
	body := ev.RawData[replication.EventHeaderSize:]
	if c.checksum {
		body = body[:len(body)-replication.BinlogChecksumLength]
	}
	decoded, err := gomysql.DecodeMysqlGTIDSet(body)
	if err != nil {
		return nil, cdc.Errorf("CDCD-1307", "%s: the GTIDs executed before it: %w", c.file, err)
	}
	return &gtids{mysql: decoded}, nil
}

// before takes what a file says had been executed before it, and makes sure that no file is missing in between.
func (c *capture) before(ev *replication.BinlogEvent) error {
	said := &gtids{}
	switch e := ev.Event.(type) {
	case *replication.PreviousGTIDsEvent:
		var err error
		if said, err = c.previous(ev, e); err != nil {
			return err
		}
	case *replication.MariadbGTIDListEvent:
		said.mariadb = map[uint32]mariaGTID{}
		for _, g := range e.GTIDs {
			said.mariadb[g.DomainID] = mariaGTID{g.DomainID, g.ServerID, g.SequenceNumber}
		}
	}
	if c.executed == nil {
		if c.done.Commit.IsZero() && c.skip == nil { // nothing was read yet
			c.executed = said
			c.done.GTIDSet = said.String()
		}
		return nil
	}
	missing := false
	if said.mysql != nil {
		missing = !c.executed.mysql.Contain(said.mysql)
	} else {
		for _, one := range said.mariadb {
			missing = missing || !c.executed.hasMariaDB(one)
		}
	}
	if missing {
		return cdc.Errorf("CDCD-1301", "the binlog files before %s are missing: it begins after %s, read was %s", c.file, said, c.executed).
			WithFix("name all files from there on in source.binlog.files")
	}
	return nil
}
