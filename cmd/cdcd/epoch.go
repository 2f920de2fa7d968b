package main

import (
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"

	"github.com/cdcd-project/cdcd/cdc"
)

// An epoch is 32 bits lineage, 8 bits generation and 24 bits digest: cdc.Header.Epoch says what they mean.
const (
	digestBits     = 24
	digestMask     = 1<<digestBits - 1
	generationMask = 0xff << digestBits
	lineageMask    = 0xffffffff << 32
)

// selection is the digest of what is captured: tables, columns, masks and their keys.
func selection(cfg *config) (uint64, error) {
	digest, err := captureDigest(cfg)
	return uint64(crc32.ChecksumIEEE([]byte(digest))) & digestMask, err
}

// nextEpoch returns the epoch to capture with: that of the stream's last frame, with the digest of what is captured now.
func nextEpoch(last tail, cfg *config) (uint64, error) {
	digest, err := selection(cfg)
	if err != nil {
		return 0, err
	}
	if last.Epoch == 0 {
		var b [4]byte
		rand.Read(b[:])
		return uint64(binary.LittleEndian.Uint32(b[:]))<<32 | 1<<63 | digest, nil
	}
	epoch := last.Epoch&^digestMask | digest
	if epoch != last.Epoch && last.TxRows > 0 {
		return 0, cdc.Errorf("CDCD-1031", "what is captured (tables, columns, masks or their keys) was changed while a transaction is half in the stream").
			WithFix("set it as it was, run once until the stream is idle, then change it")
	}
	return epoch, nil
}

// resyncEpoch returns the epoch that begins behind a loss.
func resyncEpoch(last uint64, cfg *config) (uint64, error) {
	digest, err := selection(cfg)
	return last&lineageMask | (last+1<<digestBits)&generationMask | digest, err
}
