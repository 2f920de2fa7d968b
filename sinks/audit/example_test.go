package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	ctx := context.Background()
	place := audit.Config{Dir: filepath.Join(dir, "audit"), KeyFile: filepath.Join(dir, "audit.key"), Origin: "cdcd/shop"}

	// What was delivered is logged.
	log, err := audit.Open(ctx, place)
	if err != nil {
		fmt.Println(err)
		return
	}
	log.Object(ctx, cdc.Object{Chain: "shop/acme/00", Ordinal: 1, Store: "s3://acme/changes", Key: "p=00/…/1", SHA256: "9f2c"})
	log.Object(ctx, cdc.Object{Chain: "shop/acme/00", Ordinal: 2, Store: "s3://acme/changes", Key: "p=00/…/2", SHA256: "77a0", Prev: "9f2c"})
	kept, key := log.Checkpoint(), log.PublicKey() // give these to those who shall be able to verify
	log.Close()

	verify := func() {
		report, err := audit.Verify(ctx, audit.VerifyConfig{Dir: place.Dir, Key: key, Pins: []audit.Pin{{Name: "our copy", Checkpoint: kept}}})
		fmt.Println(report.Entries, "leaves, error", err, "first bad item", report.Bad)
	}
	verify()
	os.Remove(filepath.Join(place.Dir, "tile/0/000.p/2"))
	verify()
	// Output:
	// 2 leaves, error <nil> first bad item <nil>
	// 0 leaves, error <nil> first bad item entries: tile/0/000.p/2: it was removed
}
