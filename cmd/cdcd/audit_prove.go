package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/envelope"
	"github.com/cdcd-project/cdcd/proof"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/audit/index"
	"github.com/cdcd-project/cdcd/sinks/form"
)

// Codes of errors of the verbs that prove.
const (
	codeNotLogged   = "CDCD-4510" // the log has no such object
	codeNoRecord    = "CDCD-4511" // the object has no such record
	codeChanged     = "CDCD-4512" // the object is not the one that was logged
	codeCannotProve = "CDCD-4513" // the object's form has no single records to prove
)

// open opens the log at its newest checkpoint, or at the one in a file.
func (p *auditPlace) open(checkpoint string) (*audit.Reader, error) {
	key, err := p.publicKey()
	if err != nil {
		return nil, err
	}
	var signed []byte
	if checkpoint != "" {
		if signed, err = os.ReadFile(checkpoint); err != nil {
			return nil, usagef("--checkpoint: %w", err).WithFix("name a file that `cdcd audit checkpoint` or a witness has written")
		}
	}
	return audit.Read(p.dir, key, signed)
}

// index opens the index of `audit query` if there is one: it makes finding quick, and nobody has to believe it.
func (p *auditPlace) index() (x *index.Index, done func()) {
	key := strings.TrimSuffix(p.key, ".pub")
	if _, err := os.Stat(key + ".index.db"); err != nil {
		return nil, func() {}
	}
	x, err := openIndex(key, false)
	if err != nil {
		return nil, func() {}
	}
	return x, func() { x.Close() }
}

// proved is a proof as `audit prove -o json` shows it.
type proved struct {
	Index  int64           `json:"index"`
	Size   int64           `json:"size"` // of the log at the checkpoint
	Leaf   json.RawMessage `json:"leaf"`
	Record *int64          `json:"record,omitempty"` // from 1
	Proof  string          `json:"proof"`
}

func newAuditProveCmd(a *app) *cobra.Command {
	var place auditPlace
	var object, record, checkpoint string
	leaf := int64(-1)
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Print the proof that an object, or a record of it, was delivered",
		Long: `Prove prints a file that proves, to anybody who has the public key of the audit log and nothing else, that an object
was delivered as it is: the leaf about it, its path to the root of the log, and the signed checkpoint with this root. With
--record the proof is of that one record, and has its path to the root over all records of the object, too.

A record is the exact bytes of a line of an object, without the newline. --record names a file with these bytes, or the
number of the line. Without --object the object is found by what the record says of itself.

The file is a C2SP tlog-proof. ` + "`cdcd audit check`" + ` checks it offline.`,
		Example: `  cdcd audit prove --object p=00/dt=2026-11-21/00000000000000000417.jsonl.zst > 417.tlog-proof
  cdcd audit prove --record line.json > line.tlog-proof
  cdcd audit prove --object file:///srv/acme/p=00/… --record 3 --checkpoint cosigned`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if object == "" && record == "" && leaf < 0 || leaf >= 0 && object+record != "" {
				return usagef("what is to be proved?").WithFix("name an object with --object, a record with --record, or a leaf with --leaf")
			}
			if err := place.find(a, record != ""); err != nil {
				return err
			}
			log, err := place.open(checkpoint)
			if err != nil {
				return err
			}
			x, done := place.index()
			defer done()
			p, err := prove(cmd.Context(), a, place.cfg, log, x, object, record, leaf)
			if err != nil {
				return err
			}
			now, _ := log.Checkpoint()
			out := proved{Index: p.Index, Size: now.Size, Leaf: json.RawMessage(p.Leaf), Proof: string(p.Bytes())}
			if p.Record != nil {
				n := p.Record.Index + 1
				out.Record = &n
			}
			return a.ui.result(kind(cmd), out, func(w io.Writer) { io.WriteString(w, out.Proof) })
		},
	}
	place.flags(cmd)
	cmd.Flags().StringVar(&object, "object", "", "key of the object, or store and key: file:///…/p=00/…")
	cmd.Flags().StringVar(&record, "record", "", "file with the record, or its number in the object, from 1")
	cmd.Flags().Int64Var(&leaf, "leaf", leaf, "index of any leaf, as `audit export` shows it, from 0")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "file with the checkpoint to prove it under, such as one with cosignatures of witnesses\n(default: the newest)")
	return cmd
}

// prove makes the proof of a leaf, an object or a record.
func prove(ctx context.Context, a *app, cfg *config, log *audit.Reader, x *index.Index, object, record string, leaf int64) (proof.Proof, error) {
	if leaf >= 0 {
		now, _ := log.Checkpoint()
		if leaf >= now.Size {
			return proof.Proof{}, usagef("there is no leaf %d: the log has %d at this checkpoint", leaf, now.Size)
		}
		return log.Prove(ctx, leaf)
	}
	var text []byte
	number, err := strconv.Atoi(record)
	if record != "" && err != nil {
		if text, err = os.ReadFile(record); err != nil {
			return proof.Proof{}, usagef("--record: %w", err).WithFix("name a file with the record, or its number in the object")
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
	}
	if object == "" && text == nil {
		return proof.Proof{}, usagef("--record %s is a number of which object?", record).WithFix("name the object with --object")
	}
	at, o, err := findObject(ctx, log, x, object, text)
	if err != nil {
		return proof.Proof{}, err
	}
	p, err := log.Prove(ctx, at)
	if err != nil || record == "" {
		return p, err
	}
	lines, err := readObject(ctx, a, cfg, o)
	if err != nil {
		return p, err
	}
	if text != nil {
		number = 0
		for i, line := range lines {
			if bytes.Equal(line, text) {
				number = i + 1
			}
		}
		if number == 0 {
			return p, cdc.Errorf(codeNoRecord, "object %s/%s has no such record", o.Store, o.Key).
				WithFix("name the record as it was delivered, byte for byte: a line of the object")
		}
	}
	return proveRecord(p, lines, number)
}

// proveRecord makes the proof of an object that of a record of it, by its number from 1.
func proveRecord(p proof.Proof, lines [][]byte, number int) (proof.Proof, error) {
	if number < 1 || number > len(lines) {
		return p, cdc.Errorf(codeNoRecord, "the object has no record %d, but %d", number, len(lines)).WithFix("count from 1")
	}
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		hashes[i] = tlog.RecordHash(line)
	}
	path, _ := proof.RecordPath(hashes, number-1)
	p.Record = &proof.Record{Index: int64(number - 1), Path: path}
	return p, nil
}

// findObject finds the leaf of the object that is named, or that has a record. Keys of several feeds may be the same.
// With an index, only those leaves are read that it names, and those that it does not know yet; all of them when that finds nothing.
func findObject(ctx context.Context, log *audit.Reader, x *index.Index, key string, record []byte) (at int64, o cdc.Object, err error) {
	is := func(o *cdc.Object) bool { return o.Key == key || o.Store+"/"+o.Key == key }
	quick := []byte(key[strings.LastIndex(key, "/")+1:])
	what := "object " + key
	if key == "" {
		r := envelope.Read(record)
		if r.Feed == "" || r.Source == "" || r.PartNo == 0 {
			return 0, o, usagef("the record does not say where it is from").WithFix("name its object with --object")
		}
		chains := r.Source + "/" + r.Feed + "/"
		is = func(o *cdc.Object) bool {
			return strings.HasPrefix(o.Chain, chains) && o.Records > 0 && o.FirstPartNo <= r.PartNo && r.PartNo <= o.LastPartNo
		}
		quick, what = []byte(chains), fmt.Sprintf("object of feed %s with event %d", r.Feed, r.PartNo)
	}
	var found []string
	collect := func(i int64, entry []byte) error {
		if !bytes.Contains(entry, quick) {
			return nil
		}
		leaf, err := audit.ParseLeaf(entry)
		if err == nil && leaf.Object != nil && is(leaf.Object) {
			at, o, found = i, *leaf.Object, append(found, leaf.Object.Store+"/"+leaf.Object.Key)
		}
		return err
	}
	leaves, known := indexed(x, key, record)
	now, _ := log.Checkpoint()
	for _, i := range leaves {
		if i >= now.Size {
			continue
		}
		err := log.Entries(ctx, i, func(i int64, entry []byte) error { return cmp.Or(collect(i, entry), errEnough) })
		if err != nil && !errors.Is(err, errEnough) {
			return 0, o, err
		}
	}
	if len(found) == 0 {
		known = 0
	}
	err = log.Entries(ctx, min(known, now.Size), collect)
	switch {
	case err != nil:
		return 0, o, err
	case len(found) == 0:
		return 0, o, cdc.Errorf(codeNotLogged, "the audit log has no %s", what).
			WithFix("name it as the log does: `cdcd audit export` shows all; an object that was just written is logged at once when cdcd runs")
	case len(found) > 1:
		return 0, o, usagef("the audit log has %d of them: %s", len(found), strings.Join(found[:min(len(found), 5)], ", ")).
			WithFix("name one of them with --object")
	}
	return at, o, nil
}

// indexed returns the leaves that an index has of an object that is named, or of one that has a record, and how many leaves it knows.
func indexed(x *index.Index, key string, record []byte) (leaves []int64, known int64) {
	if x == nil {
		return nil, 0
	}
	leaves, known, err := x.Object(key)
	if err == nil && key == "" {
		r := envelope.Read(record)
		at := r.Time.Truncate(time.Microsecond)
		err = x.Find(index.Query{Feed: r.Feed, Table: r.Table, Key: r.Key, From: at, To: at.Add(time.Microsecond)}, func(h index.Hit) error {
			if !slices.Contains(leaves, h.Leaf) { // of one that changed twice in a transaction there are two
				leaves = append(leaves, h.Leaf)
			}
			return nil
		})
	}
	if err != nil {
		return nil, 0
	}
	return leaves, known
}

// readObject reads the records of an object, which must be as it was logged.
func readObject(ctx context.Context, a *app, cfg *config, o cdc.Object) ([][]byte, error) {
	store, err := openAudited(ctx, a, cfg, o.Store)
	if err != nil {
		return nil, err
	}
	if c, ok := store.(io.Closer); ok {
		defer c.Close() // it is only read
	}
	return readRecords(ctx, store, o)
}

func readRecords(ctx context.Context, store audit.Store, o cdc.Object) ([][]byte, error) {
	body, ok, err := store.Get(ctx, o.Key)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(body); !ok || hex.EncodeToString(sum[:]) != o.SHA256 {
		return nil, cdc.Errorf(codeChanged, "object %s/%s was removed or changed: it is not the one that the audit log has", o.Store, o.Key).
			WithFix("restore it from a copy; `cdcd audit verify --objects` tells of all")
	}
	return recordsOf(o, body)
}

// recordsOf returns the records of an object's stored bytes. They are those that the audit log has the root over.
func recordsOf(o cdc.Object, body []byte) ([][]byte, error) {
	lines := [][]byte{}
	f, err := form.Of(o.Key)
	if err == nil {
		body, err = f.Unseal(body)
	}
	if err != nil {
		return nil, cdc.Errorf(codeCannotProve, "the records of %s/%s cannot be read: %w", o.Store, o.Key, err).
			WithFix("prove the object as a whole, without --record")
	}
	for record := range f.Records(body) {
		lines = append(lines, record)
	}
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		hashes[i] = tlog.RecordHash(line)
	}
	if _, root := proof.RecordPath(hashes, -1); hex.EncodeToString(root[:]) != o.RecordsRoot {
		return nil, cdc.Errorf(codeCannotProve, "the records of %s/%s do not have the root that the audit log has", o.Store, o.Key).
			WithFix("prove the object as a whole, without --record")
	}
	return lines, nil
}

// checked is what `audit check` prints.
type checked struct {
	Origin   string           `json:"origin"`
	Size     int64            `json:"size"`
	Root     string           `json:"root"`
	Index    int64            `json:"index"`
	Cosigned []proof.Cosigned `json:"cosigned,omitempty"`
	Leaf     json.RawMessage  `json:"leaf,omitempty"`
	Record   int64            `json:"record,omitempty"` // from 1; 0 if none was compared
	Object   bool             `json:"object"`           // the object's bytes were compared
	Bad      *checkFault      `json:"bad"`

	object *proof.Object
	typ    string
}

type checkFault struct {
	Part string `json:"part"`
	Why  string `json:"why"`
}

func newAuditCheckCmd(a *app) *cobra.Command {
	var key, record, object string
	var witnesses []string
	cmd := &cobra.Command{
		Use:   "check PROOF",
		Short: "Check a proof offline, with the public key alone",
		Long: `Check reads a proof, and with --record or --object the bytes that were delivered, and says whether these are what the
audit log has under a checkpoint that it has signed. It needs the public key, and nothing else: no configuration, no log,
no network. With --witness the checkpoint must have a valid cosignature of each of them.

It exits with 1 when something is wrong, and names the first part that is.`,
		Example: `  cdcd audit check line.tlog-proof --record line.json --key shop.pub
  cdcd audit check 417.tlog-proof --object 00000000000000000417.jsonl.zst --key 'cdcd/shop+c7d1…+A…'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef("--key is missing").WithFix("give the log's public key, as who runs it has told you: <audit.key_file>.pub")
			}
			claim := proof.Claim{}
			file, err := readArg(args[0])
			if err == nil {
				claim.Key, err = publicKeyArg("--key", key)
			}
			for _, w := range witnesses {
				var text string
				if err == nil {
					text, err = publicKeyArg("--witness", w)
				}
				claim.Witnesses = append(claim.Witnesses, text)
			}
			if err == nil && record != "" {
				claim.Record, err = readArg(record)
				claim.Record = bytes.TrimSuffix(claim.Record, []byte("\n"))
			}
			if err == nil && object != "" {
				claim.Object, err = readArg(object)
			}
			if err != nil {
				return err
			}
			out, err := checkProof(file, claim)
			if err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), out.Bad == nil, out, func(w io.Writer) { a.printChecked(w, out) })
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public key, or a file with it")
	cmd.Flags().StringVar(&record, "record", "", "file with the record's exact bytes; a newline at the end is not one of them")
	cmd.Flags().StringVar(&object, "object", "", "file with the object's exact bytes, as they are stored")
	cmd.Flags().StringArrayVar(&witnesses, "witness", nil, "public key of a witness who must have cosigned, or a file with it; may be repeated")
	return cmd
}

func checkProof(file []byte, claim proof.Claim) (checked, error) {
	p, err := proof.Parse(file)
	var r proof.Result
	if err == nil {
		r, err = p.Check(claim)
	}
	out := checked{Origin: r.Checkpoint.Origin, Size: r.Checkpoint.Size, Root: fmt.Sprintf("%x", r.Checkpoint.Root[:]), Index: r.Index,
		Cosigned: r.Cosigned, Record: r.Record + 1, Object: r.Compared, object: r.Object, typ: r.Type}
	var bad *proof.Fault
	switch {
	case errors.As(err, &bad) && strings.HasPrefix(bad.Part, "public key"):
		return out, usagef("%w", err).WithFix("give the content of <audit.key_file>.pub with --key, and what `cdcd audit witness key` prints with --witness")
	case errors.As(err, &bad):
		return checked{Bad: &checkFault{bad.Part, bad.Why}}, nil
	}
	out.Leaf = json.RawMessage(r.Leaf)
	return out, err
}

// readArg reads a file that an argument names.
func readArg(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef("%w", err).WithFix("name a file that is there")
	}
	if text == nil {
		text = []byte{}
	}
	return text, nil
}

// publicKeyArg returns a public key that is given as it is, or as a file.
func publicKeyArg(flag, value string) (string, error) {
	text, err := os.ReadFile(value)
	switch {
	case err == nil:
		return string(text), nil
	case errors.Is(err, fs.ErrNotExist) && strings.Count(value, "+") >= 2:
		return value, nil
	}
	return "", usagef("%s: %w", flag, err).WithFix("give the public key itself, or a file that holds it")
}

func (a *app) printChecked(w io.Writer, c checked) {
	if c.Bad != nil {
		fmt.Fprintf(w, "%s  %s: %s\n", a.ui.out(red, "✗"), c.Bad.Part, c.Bad.Why)
		return
	}
	fmt.Fprintf(w, "checkpoint   size %d of %s, signed by it\n", c.Size, c.Origin)
	for _, by := range c.Cosigned {
		fmt.Fprintf(w, "witness      %s has seen it on %s\n", by.By, by.Time.Format("2006-01-02 15:04:05Z"))
	}
	fmt.Fprintf(w, "leaf         %d is in the log at this size: %s\n", c.Index, c.typ)
	if o := c.object; o != nil {
		fmt.Fprintf(w, "object       %d of %s: %s/%s\n             %s, %s, committed %s to %s\n", o.Ordinal, o.Chain, o.Store, o.Key,
			plural(int(o.Records), "record"), plural(int(o.Bytes), "byte"), o.FirstCommit.Format("2006-01-02 15:04:05.999999Z"), o.LastCommit.Format("2006-01-02 15:04:05.999999Z"))
	}
	switch {
	case c.Record > 0:
		fmt.Fprintf(w, "record       it is record %d of %d, byte for byte\n", c.Record, c.object.Records)
	case c.Object:
		fmt.Fprintf(w, "bytes        they are those of the object\n")
	default:
		fmt.Fprintf(w, "bytes        not compared: name a file with --record or --object\n")
	}
	fmt.Fprintf(w, "%s  root %s\n", a.ui.out(green, "OK"), c.Root)
}
