package fuzz

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/proof"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// FuzzAuditCheckpoint: what is signed is read as it was written, or refused; and without a signature nothing is.
func FuzzAuditCheckpoint(f *testing.F) {
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "cdcd/fuzz")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		"cdcd/fuzz\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "cdcd/fuzz\n18446744073709551615\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		"cdcd/fuzz\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n", "cdcd/fuzz\n07\nAAAA\n", "other\n0\n\n", "\n", "cdcd/fuzz\n-1\n\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := audit.OpenCheckpoint([]byte(text), public); err == nil && !strings.Contains(text, "— cdcd/fuzz ") {
			t.Errorf("%q is taken without a signature", text)
		}
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return // not a text that can be signed
		}
		c, err := audit.OpenCheckpoint(signed, public)
		if err != nil {
			return
		}
		lines := strings.Split(text, "\n")
		if c.Origin != lines[0] || c.Size < 0 || !strings.HasPrefix(lines[1], "0") && c.Size == 0 {
			t.Errorf("%q was read as %+v", text, c)
		}
		for i := range signed[:len(text)] { // any other text does not fit the signature
			changed := bytes.Clone(signed)
			changed[i] ^= 1
			if other, err := audit.OpenCheckpoint(changed, public); err == nil {
				t.Fatalf("%q is taken with the signature of %q: %+v", changed, signed, other)
			}
		}
	})
}

// FuzzAuditBundle: a bundle is split into entries that make it up again, or refused; leaves are read or refused.
func FuzzAuditBundle(f *testing.F) {
	leaf, err := json.Marshal(audit.Leaf{Type: audit.TypeObject, Object: &cdc.Object{Chain: "shop/acme/00", Ordinal: 1}})
	if err != nil {
		f.Fatal(err)
	}
	entry := append(binary.BigEndian.AppendUint16(nil, uint16(len(leaf))), leaf...)
	f.Add([]byte{})
	f.Add(entry)
	f.Add(append(bytes.Clone(entry), entry...))
	f.Add(entry[:len(entry)-1])
	f.Add(bytes.Repeat([]byte{0, 0}, 257))
	f.Add([]byte("\x00\x0f{\"type\":\"news\"}"))
	f.Add([]byte("\x00\x11{\"type\":\"object\"}"))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		entries, err := audit.ReadBundle(bundle)
		var again []byte
		for _, e := range entries {
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(e))), e...)
			if l, err := audit.ParseLeaf(e); err == nil && (l.Type == "" || l.Type == audit.TypeObject && l.Object == nil) {
				t.Errorf("leaf %q was read as %+v", e, l)
			}
		}
		if err == nil && !bytes.Equal(again, bundle) || !bytes.HasPrefix(bundle, again) || len(entries) > 256 {
			t.Errorf("%d entries, error %v, make %q", len(entries), err, again)
		}
	})
}

// FuzzAuditVerify: one file of a log that is something else is found out. Only names of files and bytes are the fuzzer's.
func FuzzAuditVerify(f *testing.F) {
	dir := f.TempDir()
	place := audit.Config{Dir: filepath.Join(dir, "audit"), KeyFile: filepath.Join(dir, "key"), Origin: "cdcd/fuzz"}
	log, err := audit.Open(context.Background(), place)
	if err != nil {
		f.Fatal(err)
	}
	prev := ""
	for n := range uint64(3) {
		o := cdc.Object{Chain: "shop/acme/00", Ordinal: n + 1, Store: "file:///x", Key: "k", SHA256: strings.Repeat("a", int(n)+1), Prev: prev}
		prev = o.SHA256
		if err := log.Object(context.Background(), o); err != nil {
			f.Fatal(err)
		}
	}
	public := log.PublicKey()
	if err := log.Close(); err != nil {
		f.Fatal(err)
	}
	names := []string{"checkpoint", "checkpoints.jsonl", "tile/0/000.p/3", "tile/entries/000.p/3"}
	sound := make([][]byte, len(names))
	for i, name := range names {
		if sound[i], err = os.ReadFile(filepath.Join(place.Dir, name)); err != nil {
			f.Fatal(err)
		}
		f.Add(i, sound[i])
		f.Add(i, sound[i][:len(sound[i])/2])
		f.Add(i, append(bytes.Clone(sound[i]), sound[i]...))
	}
	anchor := sound[0]
	f.Fuzz(func(t *testing.T, which int, content []byte) {
		if which < 0 || which >= len(names) {
			return
		}
		path := filepath.Join(place.Dir, names[which])
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(path, sound[which], 0o600) // the next run fails if it does
		report, err := audit.Verify(t.Context(), audit.VerifyConfig{
			Dir: place.Dir, Key: public, Pins: []audit.Pin{{Name: "anchor", Checkpoint: anchor}},
		})
		if err != nil {
			t.Fatalf("%s as %q: %v", names[which], content, err)
		}
		// The list of checkpoints may end early, and files may go on after what the checkpoint speaks of.
		harmless := bytes.HasPrefix(content, sound[which]) || which == 1 && len(content) > 0
		if report.Bad == nil && !harmless {
			t.Errorf("%s as %q is not noticed", names[which], content)
		}
		if report.Bad != nil && bytes.Equal(content, sound[which]) {
			t.Errorf("%s as it was: %v", names[which], report.Bad)
		}
	})
}

// FuzzAuditProof: a proof is read as it is written, or refused with the part that is wrong; and no file proves a record that
// is not in the object, whatever it says. What is right but for its bytes may prove the same.
func FuzzAuditProof(f *testing.F) {
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "cdcd/fuzz")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		f.Fatal(err)
	}
	records := []tlog.Hash{tlog.RecordHash([]byte("a")), tlog.RecordHash([]byte("b")), tlog.RecordHash([]byte("c"))}
	path, root := proof.RecordPath(records, 1)
	leaf := fmt.Sprintf(`{"type":"object","object":{"chain":"shop/acme/00","ordinal":1,"records":3,"records_root":"%x"}}`, root[:])
	signed, err := note.Sign(&note.Note{Text: proof.Checkpoint{Origin: "cdcd/fuzz", Size: 1, Root: tlog.RecordHash([]byte(leaf))}.Text()}, signer)
	if err != nil {
		f.Fatal(err)
	}
	sound := proof.Proof{Checkpoint: signed, Leaf: leaf, Record: &proof.Record{Index: 1, Path: path}}.Bytes()
	f.Add(sound, []byte("b"))
	f.Add(sound, []byte("a"))
	f.Add(sound[:len(sound)-5], []byte("b"))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra e30=\nindex 0\n\n"), []byte{})
	f.Fuzz(func(t *testing.T, file, record []byte) {
		p, err := proof.Parse(file)
		var fault *proof.Fault
		if err != nil {
			if !errors.As(err, &fault) || fault.Part == "" {
				t.Fatalf("%q: %v", file, err)
			}
			return
		}
		again, err := proof.Parse(p.Bytes())
		if err != nil || !reflect.DeepEqual(again, p) && len(p.Path)+len(again.Path) > 0 {
			t.Fatalf("%q was read as %+v, and that as %+v (%v)", file, p, again, err)
		}
		r, err := p.Check(proof.Claim{Key: public, Record: record})
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("%q: %v", file, err)
		}
		if err == nil && (string(record) != "b" || r.Record != 1 || r.Leaf != leaf) {
			t.Errorf("%q proves %q: %+v", file, record, r)
		}
	})
}

// FuzzAuditRequest: what asks a witness for his cosignature is read as it is written, or refused.
func FuzzAuditRequest(f *testing.F) {
	f.Add([]byte("old 7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\ncdcd/fuzz\n8\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— cdcd/fuzz AAAA\n"))
	f.Add([]byte("old 0\n\nx"))
	f.Add([]byte("old -1\n\nx"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := proof.ParseRequest(text)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Bytes(), text) {
			t.Errorf("%q was read as %+v", text, r)
		}
		if _, err := r.Check("cdcd/fuzz+00000000+AA==", nil); err == nil {
			t.Errorf("%q passes with a key that is none", text)
		}
	})
}
