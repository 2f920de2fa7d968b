package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/proof"
)

// Reader reads a log as it was at one checkpoint. It needs no lock: the log may grow meanwhile.
type Reader struct {
	dir    string
	key    string
	signed []byte
	now    Checkpoint
	tree   tlog.HashReader
}

// Read opens a log for reading, at its newest checkpoint or at one that is given: an older one, or one with the
// cosignatures of witnesses. Dir and the public key are as in [VerifyConfig].
func Read(dir, key string, checkpoint []byte) (*Reader, error) {
	signed, err := checkpoint, error(nil)
	if signed == nil {
		signed, err = os.ReadFile(filepath.Join(dir, checkpointFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cdc.Errorf(codeNoLog, "there is no audit log in %s", dir).WithFix("name the folder that audit.dir says")
	}
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	now, err := OpenCheckpoint(signed, key)
	if err != nil {
		return nil, cdc.Errorf(codeDamaged, "audit log %s: %w", dir, err).WithFix("cdcd audit verify tells more; name the log's own public key with --key")
	}
	return &Reader{dir, key, signed, now, tlog.TileHashReader(tlog.Tree{N: now.Size, Hash: now.Root}, tileFiles{dir})}, nil
}

// Checkpoint returns the checkpoint at which the log is read, and its signed text.
func (r *Reader) Checkpoint() (Checkpoint, []byte) { return r.now, r.signed }

// Leaves calls do with the leaves from an index on, and their exact bytes, which are not to be kept.
func (r *Reader) Leaves(ctx context.Context, from int64, do func(index int64, leaf Leaf, entry []byte) error) error {
	return readEntries(ctx, r.dir, from, r.now.Size, func(index int64, entry []byte) error {
		leaf, err := ParseLeaf(entry)
		if err != nil {
			return damaged("leaf %d: %v", index, err)
		}
		return do(index, leaf, entry)
	})
}

// Entries does what Leaves does without reading what the leaves say.
func (r *Reader) Entries(ctx context.Context, from int64, do func(index int64, entry []byte) error) error {
	return readEntries(ctx, r.dir, from, r.now.Size, do)
}

// Root returns the root that the log had at a smaller size.
func (r *Reader) Root(size int64) (tlog.Hash, error) {
	if size == r.now.Size {
		return r.now.Root, nil
	}
	return tlog.TreeHash(size, r.tree)
}

// Prove returns the proof of a leaf, which it has checked: a log that was tampered with has none for what was changed.
func (r *Reader) Prove(ctx context.Context, index int64) (proof.Proof, error) {
	if index < 0 || index >= r.now.Size {
		return proof.Proof{}, fmt.Errorf("prove leaf %d: the log has %d", index, r.now.Size)
	}
	p := proof.Proof{Index: index, Checkpoint: r.signed}
	err := readEntries(ctx, r.dir, index, index+1, func(_ int64, entry []byte) error {
		p.Leaf = string(entry)
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("prove leaf %d: %w", index, err)
	}
	path, err := tlog.ProveRecord(r.now.Size, index, r.tree)
	if err != nil {
		return p, fmt.Errorf("prove leaf %d: %w", index, damaged("%v", err))
	}
	p.Path = path
	if _, err := p.Check(proof.Claim{Key: r.key}); err != nil {
		return p, fmt.Errorf("prove leaf %d: %w", index, damaged("%v", err))
	}
	return p, nil
}

// Request asks a witness to cosign the checkpoint; size is that of the log when he did it last, 0 if never.
func (r *Reader) Request(size int64) (proof.Request, error) {
	q := proof.Request{Old: size, Checkpoint: r.signed}
	if size > r.now.Size {
		return q, rollback("a witness has cosigned the log at size %d, it has size %d", size, r.now.Size)
	}
	if size == 0 || size == r.now.Size {
		return q, nil
	}
	path, err := tlog.ProveTree(r.now.Size, size, r.tree)
	if err != nil {
		return q, damaged("%v", err)
	}
	q.Path = path
	return q, nil
}
