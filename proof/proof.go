package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	header  = "c2sp.org/tlog-proof@v1"
	maxFile = 64 << 10
	maxPath = 63 // more hashes no path in a tree of 2^63 leaves has
)

// Proof is what a .tlog-proof file says. Nothing of it is known to be true until [Proof.Check] has said so.
type Proof struct {
	Index      int64       // of the leaf in the log
	Path       []tlog.Hash // from the leaf to the root of Checkpoint
	Checkpoint []byte      // signed
	Leaf       string      // its exact bytes, JSON
	Record     *Record     // nil if the proof is only of the leaf
}

// Record says which record of an object a proof is of.
type Record struct {
	Index int64       `json:"index"` // from 0
	Path  []tlog.Hash `json:"path"`  // from the record to the root over the object's records
}

// extra is what is in the file's line of that name.
type extra struct {
	Leaf   string  `json:"leaf"`
	Record *Record `json:"record,omitempty"`
}

// Fault is the part of a proof that is not what was signed, or that is not of what it is said to be of.
type Fault struct {
	Part string // file, key, checkpoint, witness, leaf, object or record
	Why  string
}

// Error returns the part, and why.
func (f *Fault) Error() string { return f.Part + ": " + f.Why }

func fault(part, why string, args ...any) *Fault { return &Fault{part, fmt.Sprintf(why, args...)} }

// Bytes returns the file.
func (p Proof) Bytes() []byte {
	text, _ := json.Marshal(extra{p.Leaf, p.Record}) // has nothing that could fail
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", header, base64.StdEncoding.EncodeToString(text), p.Index)
	writeHashes(&b, p.Path)
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

func writeHashes(b *bytes.Buffer, hashes []tlog.Hash) {
	for _, h := range hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
}

// Parse reads the file. Errors are of type [*Fault].
func Parse(file []byte) (Proof, error) {
	var p Proof
	if len(file) > maxFile {
		return p, fault("file", "it has %d bytes, more than the %d of any proof", len(file), maxFile)
	}
	head, checkpoint, ok := strings.Cut(string(file), "\n\n")
	if !ok || checkpoint == "" {
		return p, fault("file", "it is cut off: there is no checkpoint in it")
	}
	lines := strings.Split(head, "\n")
	if lines[0] != header {
		return p, fault("file", "it is not a proof: it does not begin with %s", header)
	}
	lines = lines[1:]
	var more extra
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "extra ") {
		return p, fault("file", "it has no line extra, which would have the leaf")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(lines[0], "extra "))
	if err == nil {
		err = json.Unmarshal(raw, &more)
	}
	if err != nil || more.Leaf == "" || more.Record != nil && (more.Record.Index < 0 || len(more.Record.Path) > maxPath) {
		return p, fault("file", "its line extra cannot be read")
	}
	lines = lines[1:]
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return p, fault("file", "it has no line index")
	}
	if p.Index, err = parseNumber(strings.TrimPrefix(lines[0], "index ")); err != nil {
		return p, fault("file", "%.40q is not an index", lines[0])
	}
	if p.Path, err = parseHashes(lines[1:]); err != nil {
		return p, fault("file", "%v", err)
	}
	p.Checkpoint, p.Leaf, p.Record = []byte(checkpoint), more.Leaf, more.Record
	return p, nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	if len(lines) > maxPath {
		return nil, fmt.Errorf("%d hashes are more than any path has", len(lines))
	}
	var path []tlog.Hash
	for _, line := range lines {
		h, err := parseHash(line)
		if err != nil {
			return nil, err
		}
		path = append(path, h)
	}
	return path, nil
}

// Claim is what a proof is checked against. Key is required.
type Claim struct {
	Key       string   // the log's public key
	Witnesses []string // public keys of witnesses who must all have cosigned the checkpoint

	Record []byte // the record's exact bytes, without the newline; nil: they are not compared
	Object []byte // the object's exact bytes as they are stored; nil: they are not compared
}

// Result is what a proof proves.
type Result struct {
	Checkpoint Checkpoint
	Cosigned   []Cosigned
	Index      int64
	Type       string  // of the leaf
	Leaf       string  // what was logged, JSON
	Object     *Object // what the leaf says of an object; nil in leaves of other types
	Record     int64   // which record of the object was compared, from 0; -1 if none was
	Compared   bool    // the object's bytes were compared
}

// Object is what a leaf says of an object that was delivered.
type Object struct {
	Chain       string    `json:"chain"`
	Ordinal     uint64    `json:"ordinal"`
	Store       string    `json:"store"`
	Key         string    `json:"key"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"`
	Records     int64     `json:"records"`
	RecordsRoot string    `json:"records_root"`
	FirstPartNo uint64    `json:"first_part_no"`
	LastPartNo  uint64    `json:"last_part_no"`
	RuleSet     string    `json:"rule_set"`
	Prev        string    `json:"prev"`
	FirstCommit time.Time `json:"first_commit"`
	LastCommit  time.Time `json:"last_commit"`
}

// Check reports what the proof proves. Errors are of type [*Fault], and name the first part that is wrong.
func (p Proof) Check(c Claim) (Result, error) {
	r := Result{Index: p.Index, Leaf: p.Leaf, Record: -1}
	var err error
	if r.Checkpoint, r.Cosigned, err = Open(p.Checkpoint, c.Key, c.Witnesses...); err != nil {
		part, why, ok := strings.Cut(err.Error(), ": ")
		if !ok {
			part, why = "checkpoint", err.Error()
		}
		return r, fault(part, "%s", why)
	}
	if p.Index >= r.Checkpoint.Size {
		return r, fault("leaf", "it is leaf %d, the checkpoint is of the first %d", p.Index, r.Checkpoint.Size)
	}
	if tlog.CheckRecord(p.Path, r.Checkpoint.Size, r.Checkpoint.Root, p.Index, tlog.RecordHash([]byte(p.Leaf))) != nil {
		return r, fault("leaf", "it is not leaf %d of the log that the checkpoint is of: its path does not lead to the signed root", p.Index)
	}
	var leaf struct {
		Type   string  `json:"type"`
		Object *Object `json:"object"`
	}
	if err := json.Unmarshal([]byte(p.Leaf), &leaf); err != nil {
		return r, fault("leaf", "it cannot be read: %v", err)
	}
	r.Type, r.Object = leaf.Type, leaf.Object
	if r.Object == nil && (p.Record != nil || c.Record != nil || c.Object != nil) {
		return r, fault("leaf", "it is not about an object, but of type %q", r.Type)
	}
	if err := p.checkObject(c, &r); err != nil {
		return r, err
	}
	return r, p.checkRecord(c, &r)
}

func (p Proof) checkObject(c Claim, r *Result) error {
	if c.Object == nil {
		return nil
	}
	if sum := sha256.Sum256(c.Object); int64(len(c.Object)) != r.Object.Bytes || hex.EncodeToString(sum[:]) != r.Object.SHA256 {
		return fault("object", "it is not the one that was delivered: it has %d bytes and sha256 %x, the log has %d and %s",
			len(c.Object), sum, r.Object.Bytes, r.Object.SHA256)
	}
	r.Compared = true
	return nil
}

func (p Proof) checkRecord(c Claim, r *Result) error {
	if c.Record == nil {
		return nil
	}
	if p.Record == nil {
		return fault("record", "the proof is of the object as a whole, it says nothing about a single record")
	}
	root, err := hex.DecodeString(r.Object.RecordsRoot)
	if err != nil || len(root) != tlog.HashSize {
		return fault("leaf", "%q is not the root over an object's records", r.Object.RecordsRoot)
	}
	if p.Record.Index >= r.Object.Records {
		return fault("record", "the proof is of record %d, the object has %d", p.Record.Index+1, r.Object.Records)
	}
	if tlog.CheckRecord(p.Record.Path, r.Object.Records, tlog.Hash(root), p.Record.Index, tlog.RecordHash(c.Record)) != nil {
		return fault("record", "it is not record %d of object %d of %s: its hash does not lead to the root over the object's records",
			p.Record.Index+1, r.Object.Ordinal, r.Object.Chain)
	}
	r.Record = p.Record.Index
	return nil
}

// RecordPath returns the path of a record to the root over all records of its object, and that root. hashes are those of
// the records, [tlog.RecordHash] of each.
func RecordPath(hashes []tlog.Hash, index int) (path []tlog.Hash, root tlog.Hash) {
	switch len(hashes) {
	case 0:
		return nil, sha256.Sum256(nil)
	case 1:
		return nil, hashes[0]
	}
	k := 1 // the left subtree is the largest that is perfect, and not all
	for k*2 < len(hashes) {
		k *= 2
	}
	var left, right tlog.Hash
	if index < k {
		path, left = RecordPath(hashes[:k], index)
		_, right = RecordPath(hashes[k:], -1)
		if index >= 0 {
			path = append(path, right)
		}
	} else {
		path, right = RecordPath(hashes[k:], index-k)
		_, left = RecordPath(hashes[:k], -1)
		path = append(path, left)
	}
	return path, tlog.NodeHash(left, right)
}
