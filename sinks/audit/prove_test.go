package audit

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/proof"
)

// Every leaf of a log has a proof at every size that it had, and a witness who follows it cosigns each of them.
func TestALogProvesItsLeavesAtEveryCheckpoint(t *testing.T) {
	const chain = "shop/acme/00"
	p := newPlace(t)
	l := p.open(t)
	key := l.PublicKey()
	secret, witness, err := proof.NewCosigner(rand.Reader, "partner.example/w")
	if err != nil {
		t.Fatal(err)
	}
	var kept []byte
	var signed [][]byte
	size := int64(0)
	for _, n := range []int{0, 1, 5, 250, 3, 300} {
		fill(t, l, chain, n, n)
		if n == 5 {
			if err := l.Note(t.Context(), told("hook", chain, 2)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Read(p.dir, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		q, err := r.Request(size)
		if err != nil {
			t.Fatal(err)
		}
		now, err := q.Check(key, kept)
		if err != nil {
			t.Fatalf("size %d to %d: %v", size, now.Size, err)
		}
		cosigned, err := proof.Cosign(q.Checkpoint, key, secret, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		kept, size, signed = q.Checkpoint, now.Size, append(signed, cosigned)
	}
	for _, checkpoint := range signed {
		r, err := Read(p.dir, key, checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		now, _ := r.Checkpoint()
		for _, index := range []int64{0, 1, 5, 255, 256, now.Size - 1} {
			if index >= now.Size || index < 0 {
				continue
			}
			made, err := r.Prove(t.Context(), index)
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", index, now.Size, err)
			}
			again, err := proof.Parse(made.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			got, err := again.Check(proof.Claim{Key: key, Witnesses: []string{witness}})
			if err != nil || got.Index != index || len(got.Cosigned) != 1 {
				t.Fatalf("leaf %d of %d: %+v, %v", index, now.Size, got, err)
			}
		}
	}

	// A log that was put back is not cosigned, and says so itself when it is told.
	older := newPlace(t)
	o, err := Open(t.Context(), Config{Dir: older.dir, KeyFile: p.key, Origin: origin, Now: time.Now})
	if err == nil {
		o.Close()
		t.Fatal("a new log was begun under the checkpoint of an old one")
	}
	r, err := Read(p.dir, key, signed[1])
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Request(size)
	wantCode(t, err, codeRollback)
	q, err := r.Request(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Check(key, kept); err == nil || fmt.Sprint(err) == "" {
		t.Error("a witness cosigns a log that was put back")
	}
}

func TestADamagedLogProvesNothingOfWhatWasDamaged(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	fill(t, l, "shop/acme/00", 3, 3)
	l.Close()
	path := p.dir + "/tile/entries/000.p/3"
	text := []byte(read(t, path))
	text[len(text)-3] ^= 1
	write(t, path, string(text))
	r, err := Read(p.dir, read(t, p.key+".pub"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prove(t.Context(), 0); err != nil {
		t.Errorf("a sound leaf: %v", err)
	}
	_, err = r.Prove(t.Context(), 2)
	wantCode(t, err, codeDamaged)
	_, err = Read(t.TempDir(), read(t, p.key+".pub"), nil)
	wantCode(t, err, codeNoLog)
	_, err = Read(p.dir, read(t, p.key+".pub"), []byte("x"))
	wantCode(t, err, codeDamaged)
}
