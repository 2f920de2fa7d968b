// The change that is judged.

import { addEntry, addText, addValue, Entry } from "./answer";
import { eventJSON } from "./host";
import { isText, Kind, numberValue, Value, viewValue } from "./value";

/** What was done to a row. */
export enum Op {
  Insert = 1,
  Update = 2,
  Delete = 3,
  /** The row was there when the table was first read. */
  Snapshot = 4,
}

/** Returns the name of an operation. */
export function opName(op: Op): string {
  switch (op) {
    case Op.Insert:
      return "insert";
    case Op.Update:
      return "update";
    case Op.Delete:
      return "delete";
    case Op.Snapshot:
      return "snapshot";
  }
  return "op(" + op.toString() + ")";
}

/** One of the two images of a row. */
export enum Image {
  Before = 1,
  After = 2,
}

/** What becomes of a change. */
export enum Verdict {
  Drop = 0,
  Keep = 1,
  /** What `event.error` returns. */
  Failed = 3,
}

/**
 * One row change. Columns are named by their place in `columns` of the manifest, and in `edits` where they are altered.
 * There is one, which is moved from change to change: what is read from it is good until the filter function returns.
 */
@final
export class Event {
  private frame: usize = 0;
  private entry: usize = 0;
  private imageBefore: usize = 0; // 0: there is none
  private imageAfter: usize = 0;
  private number: u32 = 0; // in the batch

  /** What `error` was told; for the SDK. */
  failure: string | null = null;

  /** Moves the event to another one of a batch; for the SDK. */
  moveTo(frame: usize, entry: usize, number: u32): void {
    this.frame = frame;
    this.entry = entry;
    this.number = number;
    const before = load<u32>(entry, 20);
    const after = load<u32>(entry, 24);
    this.imageBefore = before != 0 ? frame + before : 0;
    this.imageAfter = after != 0 ? frame + after : 0;
    this.failure = null;
  }

  /** What was done to the row. */
  get op(): Op {
    return load<u8>(this.entry, 18);
  }
  /** The database that the table is in. */
  get schema(): Value {
    return this.tableText(8);
  }
  /** The name of the table, without the database. */
  get table(): Value {
    return this.tableText(16);
  }
  /** The number of the change among all of its source. */
  get no(): u64 {
    return load<u64>(this.entry);
  }
  /** When the transaction was committed, in microseconds since 1970-01-01 UTC; 0 if that is not known. */
  get commitTime(): i64 {
    return load<i64>(this.frame + load<u32>(this.frame, 56) + 64 * load<u32>(this.entry, 8), 32);
  }
  /** Whether there is an image of the row before the change: of an update and a delete. */
  get hasBefore(): bool {
    return this.imageBefore != 0;
  }
  /** Whether there is an image of the row after the change: of all but a delete. */
  get hasAfter(): bool {
    return this.imageAfter != 0;
  }
  /** Whether the change is so large that the source has left out values, which are absent. */
  get incomplete(): bool {
    return (load<u8>(this.entry, 19) & 1) != 0;
  }

  /** The value of a column before the change. Where there is no image before, all values are absent. */
  before(column: i32): Value {
    return valueOf(this.imageBefore, column);
  }
  /** The value of a column after the change. Where there is no image after, all values are absent. */
  after(column: i32): Value {
    return valueOf(this.imageAfter, column);
  }

  /**
   * Whether a column differs between the image before and the image after, which the manifest must ask for both. Where there
   * is only one of them, as on an insert, every column has changed. NULL differs from every value but NULL.
   */
  changed(column: i32): bool {
    const before = this.imageBefore;
    const after = this.imageAfter;
    if (before == 0 || after == 0) return true;
    const columns = checkColumn(before, column);
    const kind = load<u8>(before + column, 8);
    if (kind != load<u8>(after + column, 8)) return true;
    const slot = 8 + ((columns + 7) & ~7) + 8 * column;
    const was = load<u64>(before + slot);
    const is = load<u64>(after + slot);
    if (!isText(kind)) return was != is;
    if (was >> 32 != is >> 32) return true;
    return memory.compare(before + <u32>was, after + <u32>is, <usize>(was >> 32)) != 0;
  }

  /**
   * The change as JSON: {"no":…,"op":"update","table":"shop.orders","commit_time":"…","before":{…},"after":{…}}, with the columns that
   * the manifest declares. It is much slower than reading values.
   */
  json(): string {
    return eventJSON(this.number);
  }

  /**
   * Gives a column of an image another value, of the column's own kind. Null is a value; one that is absent changes
   * nothing. An image that the change does not have, and the key, cannot be altered.
   */
  set(image: Image, edit: i32, value: Value): void {
    if (value.kind == Kind.Absent) return;
    if (value.kind == Kind.Null) {
      this.setNull(image, edit);
    } else {
      addValue(this.number, Entry.Set, <u8>image, edit, value);
    }
  }
  /** Makes a column of an image null. */
  setNull(image: Image, edit: i32): void {
    addEntry(this.number, Entry.Null, <u8>image, edit, 0);
  }
  /** Leaves a column of an image out of what is delivered. */
  dropColumn(image: Image, edit: i32): void {
    addEntry(this.number, Entry.Drop, <u8>image, edit, 0);
  }
  /** Adds a tag to what is delivered: up to 16 for a change, of 1 to 256 bytes. */
  tag(tag: string): void {
    addText(this.number, Entry.Tag, tag);
  }
  /** Says why the change is kept, in 1 to 256 bytes. The last one counts. */
  reason(text: string): void {
    addText(this.number, Entry.Reason, text);
  }
  /** Names a feed. A change with routes goes only to these of the feeds that its rule names. */
  route(feed: string): void {
    addText(this.number, Entry.Route, feed);
  }

  /**
   * Says that the change cannot be judged, and why, in at most 1,024 bytes. It returns the verdict that is to be returned; edits have
   * no effect then: `return event.error("a total without a currency")`.
   */
  error(text: string): Verdict {
    this.failure = text;
    return Verdict.Failed;
  }

  /** Returns the text that a ref in the table's entry points to. */
  private tableText(at: usize): Value {
    const frame = this.frame;
    const number = load<u16>(this.entry, 16);
    const table = frame + load<u32>(frame + load<u32>(frame, 64) + 4 * number);
    const ref = load<u64>(table + at);
    return viewValue(Kind.String, table + <u32>ref, <i32>(ref >> 32));
  }
}

/** Reads a column of an image. */
function valueOf(image: usize, column: i32): Value {
  if (image == 0) return numberValue(Kind.Absent, 0);
  const columns = checkColumn(image, column);
  const kind: Kind = load<u8>(image + column, 8);
  const slot = load<u64>(image + 8 + ((columns + 7) & ~7) + 8 * column);
  return isText(kind) ? viewValue(kind, image + <u32>slot, <i32>(slot >> 32)) : numberValue(kind, slot);
}

/** Returns how many columns an image has, and throws if it has not this one. */
// @ts-ignore: decorator
@inline
function checkColumn(image: usize, column: i32): i32 {
  const columns = <i32>load<u16>(image, 4);
  if (<u32>column >= <u32>columns) noColumn(column, columns);
  return columns;
}

function noColumn(column: i32, columns: i32): void {
  throw new RangeError("there is no column " + column.toString() + ": the manifest declares " + columns.toString());
}
