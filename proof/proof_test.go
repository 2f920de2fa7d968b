package proof

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// place is a log in memory, with one object.
type place struct {
	key     string
	signer  note.Signer
	leaves  []string
	hashes  []tlog.Hash // as package tlog stores them
	records [][]byte
	object  []byte
}

func (p *place) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, p.hashes[i])
	}
	return out, nil
}

func (p *place) add(t testing.TB, leaf string) {
	t.Helper()
	stored, err := tlog.StoredHashes(int64(len(p.leaves)), []byte(leaf), p)
	if err != nil {
		t.Fatal(err)
	}
	p.leaves, p.hashes = append(p.leaves, leaf), append(p.hashes, stored...)
}

func (p *place) checkpoint(t testing.TB, size int) []byte {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), p)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: Checkpoint{"cdcd/test", int64(size), root}.Text()}, p.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func newPlace(t testing.TB) *place {
	t.Helper()
	secret, key, err := note.GenerateKey(rand.Reader, "cdcd/test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{key: key, signer: signer}
	p.add(t, `{"type":"news"}`)
	for i := range 5 {
		p.records = append(p.records, fmt.Appendf(nil, `{"id":"0-1-%d/0"}`, i))
		p.object = append(append(p.object, p.records[i]...), '\n')
	}
	_, root := RecordPath(p.recordHashes(), 0)
	sum := sha256.Sum256(p.object)
	object, _ := json.Marshal(Object{Chain: "shop/acme/00", Ordinal: 1, Store: "file:///x", Key: "k", Bytes: int64(len(p.object)),
		SHA256: hex.EncodeToString(sum[:]), Records: 5, RecordsRoot: hex.EncodeToString(root[:])})
	p.add(t, `{"type":"object","object":`+string(object)+`}`)
	p.add(t, `{"type":"news","n":2}`)
	return p
}

func (p *place) recordHashes() (hashes []tlog.Hash) {
	for _, r := range p.records {
		hashes = append(hashes, tlog.RecordHash(r))
	}
	return hashes
}

// prove returns the proof of a record of the object, or with -1 of the object.
func (p *place) prove(t testing.TB, record int) Proof {
	t.Helper()
	path, err := tlog.ProveRecord(int64(len(p.leaves)), 1, p)
	if err != nil {
		t.Fatal(err)
	}
	proof := Proof{Index: 1, Path: path, Checkpoint: p.checkpoint(t, len(p.leaves)), Leaf: p.leaves[1]}
	if record >= 0 {
		path, _ := RecordPath(p.recordHashes(), record)
		proof.Record = &Record{int64(record), path}
	}
	return proof
}

func TestAProofProvesItsRecordAndNoOther(t *testing.T) {
	p := newPlace(t)
	for i := range p.records {
		proof, err := Parse(p.prove(t, i).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for j, record := range p.records {
			r, err := proof.Check(Claim{Key: p.key, Record: record})
			if (err == nil) != (i == j) || i == j && (r.Record != int64(i) || r.Object.Chain != "shop/acme/00" || r.Checkpoint.Size != 3) {
				t.Errorf("proof of record %d with record %d: %+v, %v", i, j, r, err)
			}
		}
	}
	if r, err := p.prove(t, -1).Check(Claim{Key: p.key, Object: p.object}); err != nil || !r.Compared || r.Record != -1 {
		t.Errorf("the object as a whole: %+v, %v", r, err)
	}
}

func TestWhatIsWrongWithAProofIsNamed(t *testing.T) {
	p := newPlace(t)
	_, otherKey, _ := note.GenerateKey(rand.Reader, "cdcd/test")
	_, witness, _ := NewCosigner(rand.Reader, "partner.example/w")
	sound := string(p.prove(t, 2).Bytes())
	for name, c := range map[string]struct {
		file  string
		claim Claim
		part  string
	}{
		"nothing":                {"", Claim{}, "file"},
		"another file":           {"hello\n\nworld\n", Claim{}, "file"},
		"cut in the checkpoint":  {sound[:len(sound)-20], Claim{}, "checkpoint"},
		"cut before it":          {sound[:strings.Index(sound, "\n\n")], Claim{}, "file"},
		"a missing hash":         {dropLine(sound, 3), Claim{}, "leaf"},
		"a missing extra":        {dropLine(sound, 1), Claim{}, "file"},
		"a missing index":        {dropLine(sound, 2), Claim{}, "file"},
		"another index":          {strings.Replace(sound, "index 1\n", "index 2\n", 1), Claim{}, "leaf"},
		"an index beyond":        {strings.Replace(sound, "index 1\n", "index 7\n", 1), Claim{}, "leaf"},
		"an index of two forms":  {strings.Replace(sound, "index 1\n", "index 01\n", 1), Claim{}, "file"},
		"another size":           {strings.Replace(sound, "\n3\n", "\n4\n", 1), Claim{}, "checkpoint"},
		"not a hash":             {strings.Replace(sound, "index 1\n", "index 1\nabc\n", 1), Claim{}, "file"},
		"too many hashes":        {strings.Replace(sound, "index 1\n", "index 1\n"+strings.Repeat(strings.Repeat("A", 43)+"=\n", 64), 1), Claim{}, "file"},
		"too long":               {sound + strings.Repeat("x", maxFile), Claim{}, "file"},
		"another key":            {sound, Claim{Key: otherKey}, "checkpoint"},
		"not a key":              {sound, Claim{Key: "x"}, "public key"},
		"a changed record":       {sound, Claim{Record: []byte(`{"id":"0-1-2/1"}`)}, "record"},
		"an empty record":        {sound, Claim{Record: []byte{}}, "record"},
		"another object":         {sound, Claim{Object: []byte("x")}, "object"},
		"not cosigned":           {sound, Claim{Witnesses: []string{witness}}, "checkpoint"},
		"a witness without key":  {sound, Claim{Witnesses: []string{p.key}}, "public key of a witness"},
		"a leaf of another type": {strings.Replace(other(t, p), "index 1\n", "index 0\n", 1), Claim{Record: p.records[2]}, "leaf"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.claim.Key == "" {
				c.claim.Key = p.key
			}
			if c.claim.Record == nil && c.claim.Object == nil {
				c.claim.Record = p.records[2]
			}
			proof, err := Parse([]byte(c.file))
			if err == nil {
				_, err = proof.Check(c.claim)
			}
			var f *Fault
			if !errors.As(err, &f) || f.Part != c.part {
				t.Errorf("got %v, want a fault of %s", err, c.part)
			}
		})
	}
}

func dropLine(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(append(lines[:n:n], lines[n+1:]...), "\n")
}

// other is the proof of a leaf that is not about an object.
func other(t *testing.T, p *place) string {
	path, err := tlog.ProveRecord(int64(len(p.leaves)), 0, p)
	if err != nil {
		t.Fatal(err)
	}
	return string(Proof{Index: 0, Path: path, Checkpoint: p.checkpoint(t, 3), Leaf: p.leaves[0]}.Bytes())
}

func TestPathsOfRecordsAreThoseOfPackageTlog(t *testing.T) {
	for n := range 20 {
		l := &place{}
		var hashes []tlog.Hash
		for i := range n {
			text := fmt.Sprint(i)
			l.add(t, text)
			hashes = append(hashes, tlog.RecordHash([]byte(text)))
		}
		want, err := tlog.TreeHash(int64(n), l)
		if err != nil {
			t.Fatal(err)
		}
		if _, root := RecordPath(hashes, -1); root != want {
			t.Errorf("root over %d records: %x, want %x", n, root, want)
		}
		for i := range n {
			got, _ := RecordPath(hashes, i)
			want, err := tlog.ProveRecord(int64(n), int64(i), l)
			if err != nil || fmt.Sprint(got) != fmt.Sprint([]tlog.Hash(want)) {
				t.Errorf("record %d of %d: %v, want %v (%v)", i, n, got, want, err)
			}
		}
	}
}

// Other people's code makes and checks the same cosignatures.
func TestCosignaturesAreThoseOfC2SP(t *testing.T) {
	p := newPlace(t)
	signed := p.checkpoint(t, 3)
	secret, public, err := NewCosigner(rand.Reader, "partner.example/w")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := CosignerKey(secret + "\n"); err != nil || again != public {
		t.Errorf("the key of the secret: %q (%v), want %q", again, err, public)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cosigned, err := Cosign(signed, p.key, secret, at)
	if err != nil {
		t.Fatal(err)
	}
	_, by, err := Open(cosigned, p.key+"\n", public+"\n")
	if err != nil || len(by) != 1 || by[0] != (Cosigned{"partner.example/w", at}) {
		t.Errorf("ours: %v, %v", by, err)
	}
	theirs, err := formats.NewVerifierForCosignatureV1(public)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(cosigned, note.VerifierList(theirs))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("theirs: %v, %v", n, err)
	}
	if when, err := formats.CoSigV1Timestamp(n.Sigs[0]); err != nil || !when.Equal(at) {
		t.Errorf("theirs: %v, %v", when, err)
	}

	skey, vkey, _ := note.GenerateKey(rand.Reader, "witness.example")
	signer, err := formats.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := note.NewVerifier(p.key)
	n, err = note.Open(signed, note.VerifierList(log))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err = note.Sign(n, signer)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err = formats.VKeyToCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, by, err := Open(cosigned, p.key, vkey); err != nil || len(by) != 1 {
		t.Errorf("theirs by us: %v, %v", by, err)
	}
	changed := bytes.Replace(cosigned, []byte("\n3\n"), []byte("\n2\n"), 1)
	if _, _, err := Open(changed, p.key, vkey); err == nil {
		t.Error("a changed checkpoint has a valid cosignature")
	}
}

func TestAWitnessCosignsOnlyWhatContinues(t *testing.T) {
	p := newPlace(t)
	request := func(old, now int) Request {
		r := Request{Old: int64(old), Checkpoint: p.checkpoint(t, now)}
		if 0 < old && old < now {
			path, err := tlog.ProveTree(int64(now), int64(old), p)
			if err != nil {
				t.Fatal(err)
			}
			r.Path = path
		}
		again, err := ParseRequest(r.Bytes())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Fatalf("request is %v when it is read, %v (%v)", again, r, err)
		}
		return again
	}
	fork := newPlace(t)
	fork.signer, fork.key = p.signer, p.key
	fork.leaves, fork.hashes = nil, nil
	for _, leaf := range []string{"a", "b", "c", "d"} {
		fork.add(t, leaf)
	}
	forked := request(2, 3)
	forked.Checkpoint = fork.checkpoint(t, 4)
	same := request(3, 3)
	same.Checkpoint = fork.checkpoint(t, 3)
	for name, c := range map[string]struct {
		request Request
		kept    []byte
		part    string
	}{
		"the first":              {request(0, 3), nil, ""},
		"a continuation":         {request(2, 3), p.checkpoint(t, 2), ""},
		"the same once more":     {request(3, 3), p.checkpoint(t, 3), ""},
		"after the empty log":    {request(0, 3), p.checkpoint(t, 0), ""},
		"rolled back":            {request(2, 2), p.checkpoint(t, 3), "log"},
		"of another kept one":    {request(1, 3), p.checkpoint(t, 2), "kept"},
		"nothing was kept":       {request(1, 3), nil, "kept"},
		"another history":        {forked, p.checkpoint(t, 2), "log"},
		"another at equal size":  {same, p.checkpoint(t, 3), "log"},
		"a kept one of somebody": {request(2, 3), []byte("x"), "kept"},
	} {
		_, err := c.request.Check(p.key, c.kept)
		var f *Fault
		if (err == nil) != (c.part == "") || err != nil && (!errors.As(err, &f) || f.Part != c.part) {
			t.Errorf("%s: got %v, want a fault of %q", name, err, c.part)
		}
	}
	if _, err := request(0, 3).Check(strings.Replace(p.key, "test", "rest", 1), nil); err == nil {
		t.Error("a request of another log is taken")
	}
}
