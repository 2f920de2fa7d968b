// Package meter rewrites a module so that it cannot run away: it counts what it does, and comes up for air.
//
// [Rewrite] takes a module that package wasmbin has vetted and returns one that does the same, with
//
//   - fuel: a global that every function, when it is entered, and every loop, each time it goes round, takes the cost of its
//     own code from. When it is used up the module calls the host, which gives it another slice, or ends it. Nothing that a
//     module can do takes long without passing such a place: what stands outside of loops is run once for each call, what
//     stands in a loop once each time round, and instructions on whole blocks of memory are charged for the length that they
//     are given. The cost is a function of the module and its input, so it is the same on every machine.
//   - depth: a second global that calls within a cycle of the call graph, direct or through a table, add the size of the frame
//     to. Calls outside of cycles cannot nest deeper than the longest path of the graph, which is bounded once for all.
//   - pieces: instructions on more than a megabyte of memory are done a megabyte at a time, with a visit of the host after each.
//   - bounds: memories and tables cannot grow beyond what they are allowed.
//   - the module's variables under names of their own, so that a host can put them back as they were.
//
// The host calls made for fuel are what lets a Go program with a module in it collect garbage and keep its deadlines: compiled
// WebAssembly cannot be interrupted from outside.
//
// # What it costs
//
// [Cost] is the price of an instruction. Fuel is charged for all code of a function or a loop, whether a branch skips it or
// not: that keeps the places few, and the charge is still proportional to the time within the constant factor that the longest
// branch makes.
//
// # Why it is sound
//
// A module can only name what it has: package wasmbin has refused every index beyond that, so none of the globals that are
// appended can be read or written by the module's own code, and no function of its own is the one that refills them. A branch
// goes forward, or to the head of a loop that it stands in; so between two places that are charged the code runs forward only,
// and each instruction at most once.
//
// The idea is that of metering by injection: wasm-instrument (parity), pwasm-utils, and the NEAR runtime, which found that the
// checks have to come before the injection (near/nearcore 4410).
package meter
