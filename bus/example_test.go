package bus_test

import (
	"context"
	"fmt"
	"os"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
)

// A capture resumes where the stream ends, and a feed where its last object ends.
func Example() {
	dir, _ := os.MkdirTemp("", "cdcd")
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := bus.Open(ctx, bus.Config{Source: "shop", Dir: dir, Writer: "host-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stream.Close()

	checkpoint, _, last, _ := stream.Last(ctx) // read the binlog from here on
	publisher, err := stream.Publisher(ctx, last)
	if err != nil {
		fmt.Println(err) // bus.ErrFenced: another capture was faster
		return
	}
	var frame cdc.Builder
	frame.Reset(cdc.Header{Source: "shop", Writer: "host-1", Heartbeat: true, FirstPartNo: 1})
	checkpoint.File, checkpoint.Pos = "binlog.000001", 4
	batch, _ := cdc.Open(frame.Seal(checkpoint), nil)
	publisher.Handle(ctx, batch)
	publisher.Flush(ctx) // it is durable

	err = stream.Consume(ctx, 0, func(_ context.Context, b *cdc.Batch) error {
		fmt.Println("read up to", b.Checkpoint().File, b.Checkpoint().Pos)
		cancel()
		return nil
	})
	fmt.Println(err)
	// Output:
	// read up to binlog.000001 4
	// context canceled
}
