// What the host does for a plugin.

import { decode, encode, encodedLength } from "./utf8";

// @ts-ignore: decorator
@external("cdc1", "log")
declare function hostLog(level: i32, address: usize, bytes: i32): void;

// @ts-ignore: decorator
@external("cdc1", "metric")
declare function hostMetric(metric: i32, delta: i64): void;

// @ts-ignore: decorator
@external("cdc1", "json")
declare function hostJSON(event: i32, address: usize, room: i32): i32;

/** How much a log line matters. */
export enum Level {
  Debug = 0,
  Info = 1,
  Warn = 2,
  Error = 3,
}

/** Room for texts on their way to and from the host, kept from change to change. */
let buffer: usize = heap.alloc(1024);
let bufferSize: i32 = 1024;

function grow(size: i32): void {
  if (size <= bufferSize) return;
  heap.free(buffer);
  buffer = heap.alloc(size);
  bufferSize = size;
}

/** Writes a line to the log of cdcd. Lines are cut at 1,024 bytes, and 50 a second are written. */
export function log(level: Level, text: string): void {
  const bytes = encodedLength(text);
  grow(bytes);
  encode(text, buffer);
  hostLog(level, buffer, bytes);
}

/** Adds to a counter, which is named by its place in `metrics` of the manifest. */
export function metric(metric: i32, delta: i64): void {
  hostMetric(metric, delta);
}

/** Returns an event of the batch as JSON. */
export function eventJSON(event: u32): string {
  let bytes = hostJSON(event, buffer, bufferSize);
  if (bytes > bufferSize) {
    grow(bytes + bytes / 2);
    bytes = hostJSON(event, buffer, bufferSize);
  }
  return decode(buffer, bytes);
}

/** What the compiler calls when the plugin throws, or an assertion fails: asconfig.json says so. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = (file ? file : "?") + ":" + line.toString() + ":" + column.toString();
  log(Level.Error, (message ? message : "aborted") + " at " + where);
  unreachable();
}
