// The arena out and the edit log: how the host is told what was decided.

import { encode, encodedLength } from "./utf8";
import { Kind, Value } from "./value";

/** The arena out: cursor, address and length of the log, a reserved word, and 256 verdicts. */
export const out: usize = memory.data(272, 8);

export const enum Entry {
  Set = 1,
  Null = 2,
  Drop = 3,
  Tag = 4,
  Reason = 5,
  Route = 6,
  Error = 7,
}

const headerSize: usize = 24;

let log: usize = heap.alloc(4096);
let logRoom: usize = 4096;
let used: usize = 0;
let kept: usize = 0; // of it, what belongs to changes that are judged

// @ts-ignore: decorator
@inline
export function setCursor(event: u32): void {
  store<u32>(out, event);
}

// @ts-ignore: decorator
@inline
export function setVerdict(event: u32, verdict: u8): void {
  store<u8>(out + event, verdict, 16);
}

export function resetLog(): void {
  used = kept = 0;
  publish();
}

/** Whether the change that is judged has edits. */
// @ts-ignore: decorator
@inline
export function hasEdits(): bool {
  return used != kept;
}

/** Takes the edits of the change back. */
// @ts-ignore: decorator
@inline
export function undoEdits(): void {
  used = kept;
}

export function commitEdits(): void {
  kept = used;
  publish();
}

/** Tells the host where the entries are of changes that are judged. */
function publish(): void {
  store<u32>(out, log, 4);
  store<u32>(out, kept, 8);
}

/** Writes an entry with a value. */
export function addValue(event: u32, what: Entry, image: u8, column: i32, v: Value): void {
  const entry = addEntry(event, what, image, column, v.length);
  store<u8>(entry, v.kind, 12);
  if (v.address != 0) {
    memory.copy(entry + headerSize, v.address, v.length);
  } else {
    store<u64>(entry, v.bits, 16);
  }
}

/** Writes an entry with a text. */
export function addText(event: u32, what: Entry, text: string): void {
  const entry = addEntry(event, what, 0, 0, encodedLength(text));
  encode(text, entry + headerSize);
}

/** Writes an entry with room for a text of so many bytes, filled up with zeros. */
export function addEntry(event: u32, what: Entry, image: u8, column: i32, length: usize): usize {
  if (<u32>column > 0xffff) throw new RangeError("there is no edit " + column.toString());
  const size = headerSize + ((length + 7) & ~7);
  if (used + size > logRoom) growLog(size);
  const entry = log + used;
  used += size;
  store<u64>(entry + size - 8, 0);
  store<u32>(entry, <u32>size);
  store<u32>(entry, event, 4);
  store<u32>(entry, <u32>what | (<u32>image << 8) | (<u32>column << 16), 8);
  store<u32>(entry, 0, 12);
  store<u64>(entry, length, 16);
  return entry;
}

/** Makes room. The host is told where the log is now before its old place becomes free for other things. */
function growLog(more: usize): void {
  const size: usize = 2 * (used + more);
  const larger = heap.alloc(size);
  memory.copy(larger, log, used);
  const old = log;
  log = larger;
  logRoom = size;
  publish();
  heap.free(old);
}
