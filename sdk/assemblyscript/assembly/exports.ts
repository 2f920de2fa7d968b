// What the host calls. A plugin exports all of it: export * from "../cdcd/assembly/exports".

import { addText, commitEdits, Entry, hasEdits, out, resetLog, setCursor, setVerdict, undoEdits } from "./answer";
import { Event, Verdict } from "./event";
import { Json } from "./json";
import { configure, judge } from "./plugin";
import { release } from "./scratch";
import { decode, encode, encodedLength } from "./utf8";

/** The arena in. */
let input: usize = heap.alloc(64 << 10);
let inputSize: i32 = 64 << 10;

/** One change is judged at a time, so there is one event. */
const event = new Event();

/** How many changes were judged since the garbage of the plugin's own code was collected, and how many may be. */
let uncollected: u32 = 0;
let patience: u32 = 256;

/** Says that this is a plugin; it is never called. */
export function cdc_abi_1(): void {}

export function cdc_arena(kind: i32, bytes: i32): usize {
  if (kind == 1) return out;
  if (kind != 0) return 0;
  if (bytes > inputSize) {
    heap.free(input);
    inputSize = bytes;
    input = heap.alloc(bytes);
  }
  return input;
}

export function cdc_init(bytes: i32): i32 {
  const read = configure;
  if (read == null) return 0;
  const wrong = read(new Json(decode(input, bytes)));
  if (wrong == null) return 0;
  const length = encodedLength(wrong);
  if (length == 0 || length > inputSize) return -1; // wrong, without a text
  encode(wrong, input);
  return length;
}

export function cdc_batch(bytes: i32): i32 {
  const filter = judge;
  if (filter == null) throw new Error("there is no filter; call filter() in the plugin's module");
  const frame = input;
  const events = load<u32>(frame, 68);
  let entry: usize = frame + load<u32>(frame, 72);
  let pages = memory.size();
  resetLog();
  for (let i: u32 = 0; i < events; i++, entry += 32) {
    setCursor(i); // before anything of the change is looked at: if it traps, it is to blame
    release();
    event.moveTo(frame, entry, i);
    let verdict = <u8>filter(event);
    if (hasEdits() || verdict == Verdict.Failed) verdict = settle(i, verdict);
    setVerdict(i, verdict);
    uncollected++;
    if (memory.size() != pages) {
      patience = max(patience / 8, 1); // there is more garbage than there was room for
      collect();
      pages = memory.size();
    } else if (uncollected >= patience) {
      collect();
    }
  }
  setCursor(events);
  return 0;
}

/** Completes the edits of a change, and returns its verdict. */
function settle(number: u32, verdict: u8): u8 {
  if (verdict == Verdict.Keep) {
    verdict = 2; // keep, with the edits in the log
  } else {
    undoEdits();
  }
  const failure = event.failure;
  if (verdict == Verdict.Failed && failure != null && failure.length > 0) addText(number, Entry.Error, failure);
  commitEdits();
  return verdict;
}

/**
 * Frees what the plugin's own code has left behind. Between two changes nothing of it is on the stack, so the collector needs no
 * shadow stack, which would cost every function something.
 */
function collect(): void {
  uncollected = 0;
  __collect();
}
