// Package bus keeps the captured changes of one source on NATS JetStream: one stream per source, one message per
// frame, one writer at a time. The stream's last message is the capture's checkpoint; there is no other.
//
// A [Stream] is the opened stream, on a server inside the process (the default: file storage, synced before every
// acknowledgement) or on a cluster reached by URL. A [Publisher] appends frames to it, [Stream.Consume] hands them on in order.
//
//	stream, err := bus.Open(ctx, bus.Config{Source: "shop", Dir: "cdcd-data", Writer: writerID})
//	at, _, last, err := stream.Last(ctx)       // where to resume reading the binlog
//	pub, err := stream.Publisher(ctx, last)    // bus.ErrFenced: another capture was faster
//	err = capture.Run(ctx, at, pub.Handle)     // and pub.Flush to know that all is durable
//
//	err = stream.Consume(ctx, chainHead.LastSeq+1, engine.Handle)
//
// A message's body is a frame, or a frame compressed as one S2 block (github.com/klauspost/compress/s2) where that is
// smaller: a body that does not begin with the frame's magic, "CDCF", is such a block.
//
// # One writer, and why
//
// Every frame is published with the sequence that it expects to follow (Nats-Expected-Last-Sequence), several before
// the first is acknowledged. That alone does not keep two writers apart: when writer B takes the place that A's frame
// 11 wanted, A's frame 11 is refused, but A's frame 12, already under way, finds "the last is 11" to be true and is
// stored behind a frame that it does not continue. So a writer begins with a claim: [claimSize] messages stored as one
// atomic batch, all or none. A writer has never more than [claimSize] frames under way beyond what it knows to be
// stored, hence after somebody else's claim each of them expects a sequence that has been passed: none can be stored,
// however late it arrives. Between two claims, then, a sequence can hold only one frame, the one that the claiming
// writer gave it, and sending that again is harmless. That is all the publisher relies on when acknowledgements get
// lost: it looks at the end of the stream, forgets what is stored, and sends the rest again, in order.
//
// Claims are frames too (heartbeats that repeat the checkpoint before them), so that the last message is always the
// checkpoint. They have a subject of their own and are not handed to consumers.
//
// # Rules
//
// [Stream.Rules] opens a store beside the stream, with one message per publication of rules, as texts. The revisions of the
// rules are the numbers of these messages, each with an ID over all before it. [Stream.Stamp] says which revision the
// frames name that are published from then on, and a consumer finds it in the batch: so every change is judged by the same
// rules whenever it is judged, and [Rules.Resolve] returns them.
//
// # Never silently
//
// [Stream.Consume] checks that sequences are dense and that part numbers are dense per partition and lineage (the upper
// half of the epoch), and stops with an error code when they are not: JetStream may lose a block of messages to a damaged
// disk and carry on.
package bus
