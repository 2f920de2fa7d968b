package proof

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Request asks a witness for his cosignature: a checkpoint, and the proof that it continues the one that he cosigned last.
// Its text is the body of a request to a witness of C2SP (https://c2sp.org/tlog-witness):
//
//	old <size>
//	<hash>, one a line
//	<empty line>
//	<signed checkpoint>
type Request struct {
	Old        int64       // size of the log when the witness cosigned last, 0 if he never did
	Path       []tlog.Hash // proof that the log of that size is the beginning of this one
	Checkpoint []byte      // signed
}

// Bytes returns the request's text.
func (r Request) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.Old)
	writeHashes(&b, r.Path)
	b.WriteByte('\n')
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// ParseRequest reads a request. Errors are of type [*Fault].
func ParseRequest(text []byte) (Request, error) {
	var r Request
	if len(text) > maxFile {
		return r, fault("file", "it has %d bytes, more than the %d of any request", len(text), maxFile)
	}
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	if !ok || checkpoint == "" {
		return r, fault("file", "it is cut off: there is no checkpoint in it")
	}
	lines := strings.Split(head, "\n")
	old, ok := strings.CutPrefix(lines[0], "old ")
	size, err := parseNumber(old)
	if !ok || err != nil {
		return r, fault("file", "it is not a request: it does not begin with `old` and a size")
	}
	path, err := parseHashes(lines[1:])
	if err != nil {
		return r, fault("file", "%v", err)
	}
	return Request{size, path, []byte(checkpoint)}, nil
}

// Check reports whether the request's checkpoint is one of the log with a key, and continues the one that the witness has
// kept; nil if he has none yet. Errors are of type [*Fault].
func (r Request) Check(key string, kept []byte) (Checkpoint, error) {
	now, err := OpenCheckpoint(r.Checkpoint, key)
	if err != nil {
		return now, fault("checkpoint", "%s", strings.TrimPrefix(err.Error(), "checkpoint: "))
	}
	if kept == nil {
		if r.Old != 0 || len(r.Path) > 0 {
			return now, fault("kept", "the request continues a checkpoint of size %d, but none was kept", r.Old)
		}
		return now, nil
	}
	was, err := OpenCheckpoint(kept, key)
	if err != nil {
		return now, fault("kept", "%s", strings.TrimPrefix(err.Error(), "checkpoint: "))
	}
	switch {
	case now.Size < was.Size:
		return now, fault("log", "it was rolled back: it has size %d, the checkpoint that was kept has %d", now.Size, was.Size)
	case r.Old != was.Size:
		return now, fault("kept", "the request continues a checkpoint of size %d, the one that was kept has %d", r.Old, was.Size)
	case now.Size == was.Size && now.Root != was.Root:
		return now, fault("log", "it shows different people different things: at size %d it had the root %x, now %x", now.Size, was.Root[:], now.Root[:])
	case now.Size == was.Size || was.Size == 0:
		if len(r.Path) > 0 {
			return now, fault("path", "there is nothing that it could be from")
		}
		return now, nil
	}
	if tlog.CheckTree(r.Path, now.Size, now.Root, was.Size, was.Root) != nil {
		return now, fault("log", "it is not a continuation of the checkpoint that was kept: what was in it at size %d has been changed, or the path is another's", was.Size)
	}
	return now, nil
}
