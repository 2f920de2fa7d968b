// Package meter rewrites a module so that it cannot run away: it counts what it does, and comes up for air.
//
// [Rewrite] takes a module that package wasmbin has vetted and returns one that does the same, with
//
//   - fuel: a global that every function, when it is entered, and every loop, each time it goes round again, takes the cost of its
//     own code from. When it is used up the module calls the host, which gives it another slice, or ends it. Nothing that a
//     module can do takes long without passing such a place: what stands outside of loops is run once for each call, what
//     stands in a loop once each time round, and instructions on whole blocks of memory are charged for the length that they
//     are given. The cost is a function of the module and its input, so it is the same on every machine.
//   - depth: a second global that some calls, direct or through a table, add the size of the frames that they stand for to: each
//     cycle of the call graph has such a call, and no path without one is long, so what is counted bounds the stack.
//   - pieces: instructions on more than a megabyte of memory are done a megabyte at a time, with a visit of the host after each.
//   - bounds: memories and tables cannot grow beyond what they are allowed.
//   - the module's variables under names of their own, so that a host can put them back as they were.
//
// The host calls made for fuel are what lets a Go program with a module in it collect garbage and keep its deadlines: compiled
// WebAssembly cannot be interrupted from outside.
//
// # What it costs
//
// [Cost] is the price of an instruction. Code is charged where it begins: a function when it is entered, a loop each time round,
// and a branch of some size where it branches off, so that what is skipped is not paid; smaller ones are paid with the code before
// them, whether they are taken or not. A small function that is only called directly is paid by its callers, and does not look when it
// is entered; one with loops looks where it goes round again. Where paths come together that have written many variables, compiled
// code moves all of them, also where the path that was taken did not write any: that has its price too.
//
// Whether fuel is left is looked at when a function is entered that is called from outside, through a table, or in a cycle, or is not
// small; where a loop goes round again, or at its head if many branches lead there; and where more has been done since the last
// look than is in proportion to the function's frame: elsewhere it may go below zero, and that is seen at the next such place, or
// by the host when the call returns. In a loop that calls nothing that takes fuel it is kept in a local, which goes back to the global
// when the loop is left, so that paths by which it is not entered do not pay for that; and so it is in all of a function as Go compiles
// it, before calls and at the end. So behind a trap the global holds what it was when it was last put back. A visit of the host does not
// change that: what is used does not depend on the slices that it is given in.
//
// The code that standard Go makes of a function is a loop around a br_table, by way of which all jumps go. A jump whose target
// stands before it as a constant becomes a branch to that target, if it leads forward. This saves more than the metering of such code costs.
//
// # Why it is sound
//
// A module can only name what it has: package wasmbin has refused every index beyond that, so none of the globals that are
// appended can be read or written by the module's own code, and no function of its own is the one that refills them. A branch
// goes forward, or to the head of a loop that it stands in; so between two looks at the fuel a function runs forward only, and each
// instruction at most once. In each function that is on the stack no more is done between two looks than its frame stands for, so
// on the way back from nested calls it is bounded by the limit of the depth what is done without any: some millions of units.
// Functions that do not look when they are entered do a bounded amount before their first look, between two, and behind their last
// one, with all that they call of their kind, and none is its own caller by way of others of their kind; what they do so is part of the
// stretch of their callers. Or they come to the head of a loop that looks before they call anything that takes fuel.
//
// The idea is that of metering by injection: wasm-instrument (parity), pwasm-utils, and the NEAR runtime, which found that the
// checks have to come before the injection (near/nearcore 4410).
package meter
