// Package sim runs the delivery of changes through schedules that no test would think of: two or three processes of cdcd
// that deliver one stream to one bucket, each with its audit log, and tell one partner. A seed decides the stream, the
// settings, whose call comes next and what becomes of it.
//
//	err := sim.Run(t, seed, nil) // inside testing/synctest; what went wrong, with the seed to see it again
//
// What is simulated is the stream, the bucket, the logs and the partner; sinks/chain and sinks/trigger are the real ones,
// joined as package main joins them. The world may
//
//   - fail a call, or carry it out and lose its answer, or carry it out when its sender has long gone on or died;
//   - kill a process at any call, stop it in an orderly way, or freeze it for as long as it likes;
//   - take the end off the stream, which is then captured again with the same numbers in other frames;
//   - let the partner refuse, forever or for a while.
//
// While that goes on, and when all has come to rest, these must hold: an object that comes into being continues its chain as
// it is then; each change that matches is in the bucket once, in order, with those of its key; ordinals and numbers are
// dense and hashes chained; what a manifest says is so; each log has each object once, in order, and no note of a trigger
// before its object; the partner never hears of what is not in the bucket and in the log of who tells him, never of a
// chain's object before its predecessor, always under the same id, and in the end of all; a chain that was overtaken takes
// nothing more.
//
// A mutant of the code that breaks one of these promises has to be found within seconds: internal/sim/mutate tries them.
package sim
