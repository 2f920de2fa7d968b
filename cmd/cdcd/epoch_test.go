package main

import "testing"

func TestResyncRaisesTheGenerationAndKeepsTheLineage(t *testing.T) {
	cfg := &config{fileConfig: fileConfig{Source: sourceConfig{MySQL: &mysqlConfig{Tables: []string{"shop.*"}}}}}
	digest, err := selection(cfg)
	if err != nil || digest>>24 != 0 {
		t.Fatalf("digest %x, %v", digest, err)
	}
	for last, want := range map[uint64]uint64{
		0x89abcdef_00123456: 0x89abcdef_01000000 | digest,
		0x89abcdef_fe123456: 0x89abcdef_ff000000 | digest,
		0xffffffff_ff123456: 0xffffffff_00000000 | digest,
	} {
		if got, err := resyncEpoch(last, cfg); got != want || err != nil {
			t.Errorf("after %x: got %x, %v, want %x", last, got, err, want)
		}
		if got, err := nextEpoch(tail{Epoch: want}, cfg); got != want || err != nil {
			t.Errorf("capture goes on with %x, %v, want %x", got, err, want)
		}
	}
	first, err := nextEpoch(tail{}, cfg)
	if err != nil || first>>63 != 1 || first&generationMask != 0 || first&digestMask != digest {
		t.Errorf("a stream begins with %x, %v; the digest is %x", first, err, digest)
	}
}
