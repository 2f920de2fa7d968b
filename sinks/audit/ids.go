package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

// idIndex tells which leaf has the note of an ID: a hash table in a file, so that memory does not grow with the log. It
// is a cache. What it finds is looked at in the log; what is not there is found again by reading the log, from the size
// on that the file's head says. It has pages of 4 KiB, of which the first is the head:
//
//	head   magic, pages, entries, size and root of the log up to which all notes are in it, CRC
//	page   slots of 24 bytes (first 16 of the SHA-256 of kind and ID, index of the leaf plus one), CRC in the last 4
//
// An entry is in the page that its first bytes say, or if that is full in the next one that has room. Pages are written
// in place; a head is only written when they have been synced.
type idIndex struct {
	f       *os.File
	path    string
	pages   uint64
	entries uint64
	size    int64 // of the log
	root    tlog.Hash
	dirty   bool // pages were written after the last sync
}

const (
	printSize    = 16
	slotSize     = printSize + 8
	pageSize     = 4 << 10
	slotsPerPage = (pageSize - 4) / slotSize
	idsMagic     = "cdcd ids 1\n\x00"
	firstPages   = 16
)

// errIDs says that the file is not what was written.
var errIDs = errors.New("the index of notes is damaged")

// openIDs opens the index, or begins it anew if there is none that can be used.
func openIDs(path string) (*idIndex, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return newIDs(path, firstPages)
	}
	if err != nil {
		return nil, err
	}
	x := &idIndex{f: f, path: path}
	if err := x.readHead(); err != nil {
		f.Close()
		return newIDs(path, firstPages)
	}
	return x, nil
}

func newIDs(path string, pages uint64) (*idIndex, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	x := &idIndex{f: f, path: path, pages: pages}
	x.root, _ = tlog.TreeHash(0, nil)
	if err := f.Truncate(int64(1+pages) * pageSize); err != nil {
		f.Close()
		return nil, err
	}
	return x, x.writeHead()
}

func (x *idIndex) readHead() error {
	var b [pageSize]byte
	if _, err := x.f.ReadAt(b[:], 0); err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(b[:], []byte(idsMagic))
	if !ok || !sealed(b[:]) {
		return errIDs
	}
	x.pages, x.entries = binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])
	x.size, x.root = int64(binary.BigEndian.Uint64(rest[16:])), tlog.Hash(rest[24:])
	info, err := x.f.Stat()
	if err == nil && (x.pages == 0 || x.size < 0 || info.Size() != int64(1+x.pages)*pageSize) {
		err = errIDs
	}
	return err
}

func (x *idIndex) writeHead() error {
	b := make([]byte, 0, pageSize)
	b = append(b, idsMagic...)
	b = binary.BigEndian.AppendUint64(b, x.pages)
	b = binary.BigEndian.AppendUint64(b, x.entries)
	b = binary.BigEndian.AppendUint64(b, uint64(x.size))
	b = append(b, x.root[:]...)
	b = b[:pageSize]
	seal(b)
	_, err := x.f.WriteAt(b, 0)
	return err
}

// save makes the entries durable, and says that they are all of the log's up to a size.
func (x *idIndex) save(size int64, root tlog.Hash) error {
	if x.dirty {
		if err := x.f.Sync(); err != nil {
			return err
		}
		x.dirty = false
	}
	x.size, x.root = size, root
	return x.writeHead()
}

// find reports whether one of the leaves that have a print is the one.
func (x *idIndex) find(of [printSize]byte, is func(index int64) (bool, error)) (ok bool, err error) {
	err = x.probe(of, func(page []byte, _ uint64) (more bool, err error) {
		for slot := range slots(page) {
			if [printSize]byte(slot) != of {
				continue
			}
			if ok, err = is(int64(binary.BigEndian.Uint64(slot[printSize:])) - 1); ok || err != nil {
				return false, err
			}
		}
		return full(page), nil
	})
	return ok, err
}

// add enters a leaf. Entering it again changes nothing.
func (x *idIndex) add(of [printSize]byte, index int64) error {
	if x.entries*4 > x.pages*slotsPerPage*3 {
		if err := x.grow(); err != nil {
			return err
		}
	}
	entry := binary.BigEndian.AppendUint64(of[:printSize:printSize], uint64(index)+1)
	return x.probe(of, func(page []byte, at uint64) (more bool, err error) {
		for slot := range slots(page) {
			if bytes.Equal(slot, entry) {
				return false, nil
			}
		}
		if full(page) {
			return true, nil
		}
		for i := range slotsPerPage {
			if slot := page[i*slotSize:][:slotSize]; free(slot) {
				copy(slot, entry)
				break
			}
		}
		seal(page)
		x.entries++
		x.dirty = true
		_, err = x.f.WriteAt(page, int64(1+at)*pageSize)
		return false, err
	})
}

// probe goes through the pages in which an entry may be.
func (x *idIndex) probe(of [printSize]byte, do func(page []byte, at uint64) (more bool, err error)) error {
	page := make([]byte, pageSize)
	at := binary.BigEndian.Uint64(of[:]) % x.pages
	for range x.pages {
		if err := x.readPage(page, at); err != nil {
			return err
		}
		if more, err := do(page, at); !more || err != nil {
			return err
		}
		at = (at + 1) % x.pages
	}
	return errIDs // there is always room in one
}

func (x *idIndex) readPage(page []byte, at uint64) error {
	if _, err := x.f.ReadAt(page, int64(1+at)*pageSize); err == io.EOF {
		return errIDs
	} else if err != nil {
		return err
	}
	if !sealed(page) && !blank(page) {
		return errIDs
	}
	return nil
}

// grow moves the entries to a file of twice the size.
func (x *idIndex) grow() error {
	wider, err := newIDs(x.path+".new", x.pages*2)
	if err != nil {
		return err
	}
	page := make([]byte, pageSize)
	for at := range x.pages {
		err = x.readPage(page, at)
		for slot := range slots(page) {
			if err == nil {
				err = wider.add([printSize]byte(slot), int64(binary.BigEndian.Uint64(slot[printSize:]))-1)
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = wider.save(x.size, x.root)
	}
	if err == nil {
		err = os.Rename(wider.path, x.path)
	}
	if err != nil {
		wider.f.Close()
		return fmt.Errorf("widen %s: %w", x.path, err)
	}
	x.f.Close()
	wider.path = x.path
	*x = *wider
	return nil
}

func (x *idIndex) close() {
	if x != nil {
		x.f.Close() // it is a cache
	}
}

// slots yields the slots of a page that are taken.
func slots(page []byte) func(yield func(slot []byte) bool) {
	return func(yield func(slot []byte) bool) {
		for i := range slotsPerPage {
			if slot := page[i*slotSize:][:slotSize]; !free(slot) && !yield(slot) {
				return
			}
		}
	}
}

func free(slot []byte) bool  { return binary.BigEndian.Uint64(slot[printSize:]) == 0 }
func full(page []byte) bool  { return !free(page[(slotsPerPage-1)*slotSize:][:slotSize]) }
func blank(page []byte) bool { return bytes.Count(page, []byte{0}) == len(page) }

func seal(page []byte) {
	binary.BigEndian.PutUint32(page[pageSize-4:], crc32.ChecksumIEEE(page[:pageSize-4]))
}

func sealed(page []byte) bool {
	return binary.BigEndian.Uint32(page[pageSize-4:]) == crc32.ChecksumIEEE(page[:pageSize-4])
}
