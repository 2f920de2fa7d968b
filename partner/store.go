package partner

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Store is where the objects are, for reading.
type Store interface {
	// List calls yield with each key that begins with prefix and sorts after `after`, in lexical order, until yield returns false.
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
	// Head returns an object's metadata, with names in lower case, and its size; ok is false when there is none.
	Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error)
	// Get returns an object's bytes, ok=false when there is none.
	Get(ctx context.Context, key string) (body []byte, ok bool, err error)
	// String says where the store is.
	String() string
}

// Object is what an object says of itself.
type Object struct {
	Chain       string
	Ordinal     uint64
	Key         string
	Bytes       int64
	SHA256      string
	Records     int
	RecordsRoot string
	FirstPartNo uint64
	LastPartNo  uint64
	Prev        string // SHA256 of the chain's previous object
	LastCommit  time.Time
}

// objectKey is what keys of objects look like: nothing that could lead out of a folder.
var objectKey = regexp.MustCompile(`^p=\d{2,}/dt=\d{4}-\d{2}-\d{2}/(\d{20})\.[a-z0-9]+(\.[a-z0-9]+)*$`)

// parseObject reads an object's metadata; ok is false when it is not one that belongs to a chain.
func parseObject(key string, size int64, meta map[string]string) (o Object, ok bool, err error) {
	if meta["cdcd-ordinal"] == "" {
		return o, false, nil
	}
	number := func(name string) uint64 {
		n, e := strconv.ParseUint(meta[name], 10, 64)
		if e != nil && err == nil {
			err = fault(key, "its metadata %s is %q", name, meta[name])
		}
		return n
	}
	o = Object{Chain: meta["cdcd-chain"], Key: key, Bytes: size, SHA256: meta["cdcd-sha256"], RecordsRoot: meta["cdcd-records-root"], Prev: meta["cdcd-prev-sha256"]}
	o.Ordinal, o.FirstPartNo, o.LastPartNo, o.Records = number("cdcd-ordinal"), number("cdcd-first-part-no"), number("cdcd-last-part-no"), int(number("cdcd-records"))
	o.LastCommit, _ = time.Parse(time.RFC3339Nano, meta["cdcd-last-commit"]) // of use for people only
	return o, true, err
}

// Fault says that what was delivered is not what it should be. What the network or a disk does is no Fault.
type Fault struct {
	Key string // of the object; or of the chain's folder
	Why string
}

// Error says what is wrong with what.
func (f *Fault) Error() string { return f.Key + ": " + f.Why }

func fault(key, format string, args ...any) error {
	return &Fault{key, fmt.Sprintf(format, args...)}
}

// begins is the position that a chain has before its object number begin, which o may be: the partner knows that those before it are
// not there any more.
func (o Object) begins(begin uint64) Position {
	at := Position{Chain: o.Chain, Ordinal: begin - 1}
	if o.Ordinal == begin {
		at.SHA256, at.LastPartNo = o.Prev, o.FirstPartNo-1
	}
	return at
}

// follows checks that o is the one that comes next in its chain.
func (o Object) follows(at Position) error {
	first := objectKey.FindStringSubmatch(o.Key)
	switch {
	case at.Chain != "" && o.Chain != at.Chain:
		return fault(o.Key, "it is of chain %q, the ones before it are of %q", o.Chain, at.Chain)
	case o.Ordinal <= at.Ordinal:
		return fault(o.Key, "it has the ordinal %d, but comes after object %d", o.Ordinal, at.Ordinal)
	case o.Ordinal > at.Ordinal+1:
		return fault(o.Key, "it has the ordinal %d: the objects from %d to %d are missing", o.Ordinal, at.Ordinal+1, o.Ordinal-1)
	case o.Prev != at.SHA256:
		return fault(o.Key, "it follows an object with sha256 %q, object %d has %q", o.Prev, at.Ordinal, at.SHA256)
	case at.Ordinal > 0 && o.FirstPartNo != at.LastPartNo+1:
		return fault(o.Key, "it answers for the events from %d on, the object before it for those up to %d", o.FirstPartNo, at.LastPartNo)
	case o.LastPartNo < o.FirstPartNo:
		return fault(o.Key, "it answers for the events from %d to %d", o.FirstPartNo, o.LastPartNo)
	case len(first) < 2 || strings.TrimLeft(first[1], "0") != strconv.FormatUint(o.FirstPartNo, 10):
		return fault(o.Key, "it answers for the events from %d on, which its key does not say", o.FirstPartNo)
	}
	return nil
}

// Container reads the records of an object that is no JSON Lines.
type Container interface {
	// Unseal returns the records that a body is made of, one after the other.
	Unseal(body []byte) (records []byte, err error)
	// Next cuts the first of them off, without what ends it.
	Next(records []byte) (record, rest []byte)
}

// holds checks that body is what the object says, and returns its records, one a line; of containers other than JSON Lines nil.
func (o Object) holds(body []byte, c *Config) (lines []byte, err error) {
	if int64(len(body)) != o.Bytes {
		return nil, fault(o.Key, "it has %d bytes, %d were listed", len(body), o.Bytes)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != o.SHA256 {
		return nil, fault(o.Key, "its sha256 is %x, it should be %s", sum, o.SHA256)
	}
	if strings.Contains(o.Key, ".jsonl") {
		if lines, err = c.Decode(o.Key, body); err != nil {
			return nil, fault(o.Key, "it cannot be unpacked: %v", err)
		}
		return lines, o.proves(lines, nextLine)
	}
	if c.Container == nil {
		return nil, nil
	}
	read, err := c.Container(o.Key)
	if err != nil {
		return nil, fault(o.Key, "it cannot be read: %v", err)
	}
	records, err := read.Unseal(body)
	if err != nil {
		return nil, fault(o.Key, "it cannot be read: %v", err)
	}
	return nil, o.proves(records, read.Next)
}

// proves checks that these are the object's records.
func (o Object) proves(records []byte, next func([]byte) (record, rest []byte)) error {
	n, root := recordsRoot(records, next)
	if n != o.Records || root.String() != hashText(o.RecordsRoot) {
		return fault(o.Key, "it has %d records with the root %x, it should have %d with %s", n, root[:], o.Records, o.RecordsRoot)
	}
	return nil
}

func nextLine(lines []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(lines, []byte("\n"))
	return line, rest
}

// hashText writes a hash in hex as package tlog does.
func hashText(text string) string {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != tlog.HashSize {
		return ""
	}
	return tlog.Hash(raw).String()
}

// recordsRoot returns the number of records and their tree hash as RFC 6962 says.
func recordsRoot(records []byte, next func([]byte) (record, rest []byte)) (n int, root tlog.Hash) {
	var stack []tlog.Hash // of perfect subtrees, the largest first
	for ; len(records) > 0; n++ {
		var record []byte
		record, records = next(records)
		h := tlog.RecordHash(record)
		for carry := n; carry&1 == 1; carry >>= 1 {
			h = tlog.NodeHash(stack[len(stack)-1], h)
			stack = stack[:len(stack)-1]
		}
		stack = append(stack, h)
	}
	if n == 0 {
		return 0, sha256.Sum256(nil)
	}
	root = stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		root = tlog.NodeHash(stack[i], root)
	}
	return n, root
}

// maxUnpacked is more than an object ever has unpacked.
const maxUnpacked = 2 << 30

// Decode unpacks .jsonl and .jsonl.gz; it is what Config.Decode is by default.
func Decode(key string, body []byte) ([]byte, error) {
	switch {
	case strings.HasSuffix(key, ".jsonl"):
		return body, nil
	case strings.HasSuffix(key, ".gz"):
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		lines, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
		if err == nil && len(lines) > maxUnpacked {
			err = fmt.Errorf("it is larger than %d bytes", maxUnpacked)
		}
		return lines, err
	}
	return nil, fmt.Errorf("no decoder for %s: set Config.Decode", key[strings.LastIndexByte(key, '.')+1:])
}
