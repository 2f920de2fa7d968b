// JSON: the configuration, columns of kind json, and events as JSON.

/** What a JSON value is. */
export enum JsonKind {
  /** It is not there, or not JSON. */
  None,
  Null,
  Bool,
  Number,
  String,
  Array,
  Object,
}

/**
 * A value in a JSON text. It is a view: nothing is parsed but what is asked for. What is not there is asked like everything else, and has
 * nothing: `event.get("after").get("total").string`.
 */
@final
export class Json {
  private from: i32;
  private end: i32;

  /** The value that a text holds. */
  constructor(
    private source: string,
    from: i32 = 0,
  ) {
    this.from = skipSpace(source, from);
    this.end = skipValue(source, this.from);
  }

  /** What it is. */
  get kind(): JsonKind {
    if (this.end < 0) return JsonKind.None;
    switch (this.source.charCodeAt(this.from)) {
      case 0x6e: // n
        return JsonKind.Null;
      case 0x74: // t
      case 0x66: // f
        return JsonKind.Bool;
      case 0x22: // "
        return JsonKind.String;
      case 0x5b: // [
        return JsonKind.Array;
      case 0x7b: // {
        return JsonKind.Object;
    }
    return JsonKind.Number;
  }

  /** The value as it is written; a number has all of its digits so. Empty if there is none. */
  get text(): string {
    return this.end < 0 ? "" : this.source.substring(this.from, this.end);
  }
  /** A bool; false if it is something else. */
  get bool(): bool {
    return this.end >= 0 && this.source.charCodeAt(this.from) == 0x74;
  }
  /** A number as an integer; 0 if it is something else, not written as one, or does not fit. */
  get int(): i64 {
    return this.intOr(0);
  }
  /** The same with another value instead of 0. */
  intOr(fallback: i64): i64 {
    if (this.kind != JsonKind.Number) return fallback;
    const negative = this.source.charCodeAt(this.from) == 0x2d;
    let n: u64 = 0;
    for (let i = this.from + i32(negative); i < this.end; i++) {
      const digit = this.source.charCodeAt(i) - 0x30;
      if (<u32>digit > 9 || n > (<u64>i64.MAX_VALUE) / 10) return fallback;
      n = 10 * n + digit;
    }
    if (n > <u64>i64.MAX_VALUE + u64(negative)) return fallback;
    return negative ? -(<i64>n) : <i64>n;
  }
  /** A number; NaN if it is something else. */
  get float(): f64 {
    return this.kind == JsonKind.Number ? F64.parseFloat(this.text) : NaN;
  }
  /** The text of a string; empty if it is something else. */
  get string(): string {
    return this.kind == JsonKind.String ? unquote(this.source, this.from + 1, this.end - 1) : "";
  }

  /** A member of an object. */
  get(name: string): Json {
    if (this.kind != JsonKind.Object) return none(this.source);
    for (let at = this.first(); at >= 0; ) {
      const key = skipValue(this.source, at);
      const value = skipSpace(this.source, key) + 1; // behind the colon
      if (key > 0 && sameText(this.source, at + 1, key - 1, name)) return new Json(this.source, value);
      at = this.next(skipValue(this.source, skipSpace(this.source, value)));
    }
    return none(this.source);
  }
  /** An element of an array. */
  at(index: i32): Json {
    if (this.kind != JsonKind.Array) return none(this.source);
    let i = 0;
    for (let at = this.first(); at >= 0; at = this.next(skipValue(this.source, at)), i++) {
      if (i == index) return new Json(this.source, at);
    }
    return none(this.source);
  }
  /** How many elements an array has. */
  get length(): i32 {
    if (this.kind != JsonKind.Array) return 0;
    let n = 0;
    for (let at = this.first(); at >= 0; at = this.next(skipValue(this.source, at))) n++;
    return n;
  }

  /** Returns where the first member or element begins; -1 if there is none. */
  private first(): i32 {
    const at = skipSpace(this.source, this.from + 1);
    return at < this.end - 1 ? at : -1;
  }
  /** Returns where the next one begins behind the end of another. */
  private next(end: i32): i32 {
    if (end < 0) return -1; // it is not JSON
    const at = skipSpace(this.source, end);
    return at < this.end - 1 ? skipSpace(this.source, at + 1) : -1;
  }
}

/** Something that is not there. */
function none(source: string): Json {
  return new Json(source, source.length);
}

function skipSpace(s: string, at: i32): i32 {
  while (at < s.length && s.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** Returns where the value ends that begins here; -1 if there is none. */
function skipValue(s: string, at: i32): i32 {
  if (at >= s.length) return -1;
  let depth = 0;
  for (let i = at; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c == 0x22) {
      i = skipString(s, i + 1);
      if (i >= s.length) return -1;
    } else if (c == 0x5b || c == 0x7b) {
      depth++;
      continue;
    } else if (c == 0x5d || c == 0x7d) {
      depth--;
    } else if (depth > 0 || c == 0x2c || c == 0x3a) {
      if (depth == 0) return -1;
      continue;
    } else {
      return skipWord(s, i);
    }
    if (depth <= 0) return depth < 0 ? -1 : i + 1;
  }
  return -1;
}

/** Returns where the string ends, at its quotation mark, that begins here. */
function skipString(s: string, at: i32): i32 {
  while (at < s.length && s.charCodeAt(at) != 0x22) at += s.charCodeAt(at) == 0x5c ? 2 : 1;
  return at;
}

/** Returns where a number or a word ends. */
function skipWord(s: string, at: i32): i32 {
  while (at < s.length) {
    const c = s.charCodeAt(at);
    if (c <= 0x20 || c == 0x2c || c == 0x5d || c == 0x7d || c == 0x3a) break;
    at++;
  }
  return at;
}

/** Says whether what stands in quotation marks is a text. */
function sameText(s: string, from: i32, end: i32, text: string): bool {
  for (let i = from; i < end; i++) {
    if (s.charCodeAt(i) == 0x5c) return unquote(s, from, end) == text;
  }
  return end - from == text.length && s.substring(from, end) == text;
}

/** Returns what stands in quotation marks without its escapes. */
function unquote(s: string, from: i32, end: i32): string {
  let text = "";
  let begin = from;
  for (let i = from; i < end; i++) {
    if (s.charCodeAt(i) != 0x5c) continue;
    text += s.substring(begin, i);
    i++;
    let c = s.charCodeAt(i);
    switch (c) {
      case 0x62: // b
        c = 0x08;
        break;
      case 0x66: // f
        c = 0x0c;
        break;
      case 0x6e: // n
        c = 0x0a;
        break;
      case 0x72: // r
        c = 0x0d;
        break;
      case 0x74: // t
        c = 0x09;
        break;
      case 0x75: // u
        c = <i32>I32.parseInt(s.substring(i + 1, i + 5), 16);
        i += 4;
        break;
    }
    text += String.fromCharCode(c);
    begin = i + 1;
  }
  return text + s.substring(begin, end);
}
