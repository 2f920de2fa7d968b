package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is what has to be known of a log to append to it: the right edge. Its memory does not grow with the log, save
// for 8 KiB each time the log becomes 256 times as long.
type tree struct {
	size int64
	// edge[L] has the hashes of the tile of level L that is not full: there are (size >> 8L) mod 256.
	edge [][]tlog.Hash
	// peaks are the perfect subtrees that the tree consists of, from the largest on; their heights are the ones in size.
	peaks []tlog.Hash
}

// tile is one tile by its place, with its hashes.
type tile struct {
	level  int
	n      int64
	hashes []tlog.Hash // 256 when it is full
}

// clone returns a tree that can grow without the original.
func (t *tree) clone() *tree {
	c := &tree{size: t.size, peaks: append([]tlog.Hash(nil), t.peaks...)}
	for _, e := range t.edge {
		c.edge = append(c.edge, append(make([]tlog.Hash, 0, tileWidth), e...))
	}
	return c
}

// append adds a leaf, and returns the tiles that have become full by it.
func (t *tree) append(leaf tlog.Hash) (full []tile) {
	h := leaf
	full = t.put(0, h, full)
	height := 0
	for rest := t.size; rest&1 == 1; rest >>= 1 { // as a binary counter carries
		h = tlog.NodeHash(t.peaks[len(t.peaks)-1], h)
		t.peaks = t.peaks[:len(t.peaks)-1]
		if height++; height%tileHeight == 0 {
			full = t.put(height/tileHeight, h, full)
		}
	}
	t.peaks = append(t.peaks, h)
	t.size++
	return full
}

// put adds a hash to the edge of a level. It is called while t.size is still the old one.
func (t *tree) put(level int, h tlog.Hash, full []tile) []tile {
	if level == len(t.edge) {
		t.edge = append(t.edge, nil)
	}
	t.edge[level] = append(t.edge[level], h)
	if len(t.edge[level]) < tileWidth {
		return full
	}
	full = append(full, tile{level, t.size >> (tileHeight * (level + 1)), t.edge[level]})
	t.edge[level] = make([]tlog.Hash, 0, tileWidth)
	return full
}

// root returns the tree's hash.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // the empty tree's, which reads nothing
		return h
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}

// partial returns the tiles at the right edge that are not full.
func (t *tree) partial() (tiles []tile) {
	for level, hashes := range t.edge {
		if len(hashes) > 0 {
			tiles = append(tiles, tile{level, t.size >> (tileHeight * (level + 1)), hashes})
		}
	}
	return tiles
}

// loadTree makes the tree of a size from the partial tiles at its edge.
func loadTree(size int64, read func(level int, n int64, width int) ([]tlog.Hash, error)) (*tree, error) {
	t := &tree{size: size}
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		count := size >> (tileHeight * level) // hashes on this level
		hashes := make([]tlog.Hash, 0, tileWidth)
		if width := int(count % tileWidth); width > 0 {
			have, err := read(level, count/tileWidth, width)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, have...)
		}
		t.edge = append(t.edge, hashes)
	}
	for level := len(t.edge) - 1; level >= 0; level-- {
		hashes := t.edge[level]
		for bit := tileHeight - 1; bit >= 0; bit-- {
			if len(t.edge[level])>>bit&1 == 1 {
				t.peaks = append(t.peaks, perfect(hashes[:1<<bit]))
				hashes = hashes[1<<bit:]
			}
		}
	}
	return t, nil
}

// perfect returns the hash over a perfect subtree's nodes, of which there are 2^n.
func perfect(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(perfect(hashes[:half]), perfect(hashes[half:]))
}

func (t tile) path() string  { return tilePath(t.level, t.n, len(t.hashes)) }
func (t tile) bytes() []byte { return joinHashes(t.hashes) }

func joinHashes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

func splitHashes(b []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range hashes {
		hashes[i] = tlog.Hash(b[i*tlog.HashSize:])
	}
	return hashes
}

func tilePath(level int, n int64, width int) string {
	return fmt.Sprintf("tile/%d/%s", level, numberPath(n, width))
}

func bundlePath(n int64, width int) string { return "tile/entries/" + numberPath(n, width) }

// numberPath is how tlog-tiles writes numbers: 1234067 is x001/x234/067, with .p/W behind it if it is partial.
func numberPath(n int64, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < tileWidth {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}
