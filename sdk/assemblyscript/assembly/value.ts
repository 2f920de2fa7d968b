// Values: what the columns of a change hold.

import { room } from "./scratch";
import { decode, encode, encodedLength } from "./utf8";

/** What a value is. Absent (the column is not in the image) is not null (its value is SQL NULL). */
export enum Kind {
  Absent = 0,
  Null = 1,
  Bool = 2,
  Int64 = 3,
  Uint64 = 4,
  Float64 = 5,
  /** Text: exact digits, such as -12.50. */
  Decimal = 6,
  /** Text. */
  String = 7,
  /** Bytes. */
  Bytes = 8,
  /** Civil, without a time of day. */
  Date = 9,
  /** Microseconds, from -838:59:59.999999 to 838:59:59.999999. */
  Time = 10,
  /** Civil, without a zone. */
  Datetime = 11,
  /** Microseconds since 1970-01-01 UTC; 0 is the zero date. */
  Timestamp = 12,
  /** Text. */
  JSON = 13,
  /** Text: the member; empty is the error value. */
  Enum = 14,
  /** Text: the members, with commas in between. */
  Set = 15,
  /** Up to 64 bits. */
  Bit = 16,
  /** Bytes: SRID (4, little endian), then WKB. */
  Geometry = 17,
  /** Bytes: f32 each, little endian. */
  Vector = 18,
}

const kindNames: StaticArray<string> = [
  "absent", "null", "bool", "int64", "uint64", "float64", "decimal", "string", "bytes", "date", "time", "datetime", "timestamp", "json", "enum", "set",
  "bit", "geometry", "vector",
];

/** Returns the name of a kind, as manifests write it. */
export function kindName(kind: Kind): string {
  return <u32>kind < <u32>kindNames.length ? kindNames[kind] : "kind(" + kind.toString() + ")";
}

const texts: u32 =
  (1 << Kind.Decimal) | (1 << Kind.String) | (1 << Kind.Bytes) | (1 << Kind.JSON) | (1 << Kind.Enum) | (1 << Kind.Set) | (1 << Kind.Geometry) | (1 << Kind.Vector);

/** Says whether values of a kind are text or bytes. */
// @ts-ignore: decorator
@inline
export function isText(kind: Kind): bool {
  return ((texts >> kind) & 1) != 0;
}

/**
 * One column of an image.
 *
 * A value that is read from a change, or made while one is judged, is good until the filter function returns: it costs no allocation.
 * One that is made before the first change, in a variable of the module or in the init function, is good for ever.
 */
@unmanaged
export class Value {
  /** The kind. */
  kind: Kind;
  /** How many bytes of text there are. */
  length: i32;
  /** Where they are. */
  address: usize;
  /** The value as it stands in a frame, of kinds that are numbers. */
  bits: u64;

  /** SQL NULL. */
  static null(): Value {
    return numberValue(Kind.Null, 0);
  }
  static bool(b: bool): Value {
    return numberValue(Kind.Bool, b ? 1 : 0);
  }
  static int(n: i64): Value {
    return numberValue(Kind.Int64, n);
  }
  static uint(n: u64): Value {
    return numberValue(Kind.Uint64, n);
  }
  static float(f: f64): Value {
    return numberValue(Kind.Float64, reinterpret<u64>(f));
  }
  /** A decimal of its digits: -12.50. */
  static decimal(digits: string): Value {
    return textValue(Kind.Decimal, digits);
  }
  static string(text: string): Value {
    return textValue(Kind.String, text);
  }
  static bytes(bytes: Uint8Array): Value {
    return bytesValue(Kind.Bytes, bytes);
  }
  /** A date; the time of day is left out. */
  static date(c: Civil): Value {
    return numberValue(Kind.Date, pack(c) & ~((<u64>1 << 37) - 1));
  }
  /** A time of day or a span, in microseconds. */
  static time(micros: i64): Value {
    return numberValue(Kind.Time, micros);
  }
  static datetime(c: Civil): Value {
    return numberValue(Kind.Datetime, pack(c));
  }
  /** An instant, in microseconds since 1970-01-01 UTC. */
  static timestamp(micros: i64): Value {
    return numberValue(Kind.Timestamp, micros);
  }
  static json(text: string): Value {
    return textValue(Kind.JSON, text);
  }
  static enum(member: string): Value {
    return textValue(Kind.Enum, member);
  }
  /** Members of a set, separated by commas. */
  static set(members: string): Value {
    return textValue(Kind.Set, members);
  }
  static bit(bits: u64): Value {
    return numberValue(Kind.Bit, bits);
  }
  static geometry(bytes: Uint8Array): Value {
    return bytesValue(Kind.Geometry, bytes);
  }
  static vector(bytes: Uint8Array): Value {
    return bytesValue(Kind.Vector, bytes);
  }

  /** Whether it is SQL NULL. */
  get isNull(): bool {
    return this.kind == Kind.Null;
  }
  /** Whether the column is not in the image. */
  get isAbsent(): bool {
    return this.kind == Kind.Absent;
  }
  /** A bool. */
  get bool(): bool {
    return this.bits != 0;
  }
  /** A signed integer. */
  get int(): i64 {
    return <i64>this.bits;
  }
  /** An unsigned integer, or the bits of a bit. */
  get uint(): u64 {
    return this.bits;
  }
  /** A float. */
  get float(): f64 {
    return reinterpret<f64>(this.bits);
  }
  /** The microseconds of a time, or of a timestamp since 1970-01-01 UTC. */
  get micros(): i64 {
    return <i64>this.bits;
  }
  /** The text of a decimal, string, json, enum or set; empty of numbers. It is a copy: `is` and its like do not make one. */
  get text(): string {
    return decode(this.address, this.length);
  }
  /** The bytes of kinds that have any, as a copy. */
  get bytes(): Uint8Array {
    const copy = new Uint8Array(this.length);
    memory.copy(copy.dataStart, this.address, this.length);
    return copy;
  }
  /** The parts of a date or a datetime. */
  get civil(): Civil {
    const n = this.bits;
    const c = new Civil();
    c.year = <i32>(n >> 46);
    c.month = <i32>((n >> 42) & 15);
    c.day = <i32>((n >> 37) & 31);
    c.hour = <i32>((n >> 32) & 31);
    c.minute = <i32>((n >> 26) & 63);
    c.second = <i32>((n >> 20) & 63);
    c.micro = <i32>(n & 0xfffff);
    return c;
  }

  /** Whether the text is this one. */
  is(text: string): bool {
    return matches(this.address, this.length, text) == this.length;
  }
  /** Whether the text begins with this one. */
  startsWith(text: string): bool {
    return matches(this.address, this.length, text) >= 0;
  }
  /** Whether this text is somewhere in it. */
  contains(text: string): bool {
    for (let i = 0; i <= this.length; i++) {
      if (matches(this.address + i, this.length - i, text) >= 0) return true;
    }
    return false;
  }
  /** Whether both are of the same kind and have the same bits. */
  equals(other: Value): bool {
    return (
      this.kind == other.kind && this.bits == other.bits && this.length == other.length && memory.compare(this.address, other.address, this.length) == 0
    );
  }
}

/** A date and a time of day without a zone. Parts may be zero, and the day one that its month does not have. */
export class Civil {
  constructor(
    public year: i32 = 0,
    public month: i32 = 0,
    public day: i32 = 0,
    public hour: i32 = 0,
    public minute: i32 = 0,
    public second: i32 = 0,
    public micro: i32 = 0,
  ) {}
}

function pack(c: Civil): u64 {
  return (
    (<u64>c.year << 46) | (<u64>c.month << 42) | (<u64>c.day << 37) | (<u64>c.hour << 32) | (<u64>c.minute << 26) | (<u64>c.second << 20) | <u64>c.micro
  );
}

/** Makes a value that is a number, or none. */
export function numberValue(kind: Kind, bits: u64): Value {
  const v = changetype<Value>(room(offsetof<Value>()));
  v.kind = kind;
  v.length = 0;
  v.address = 0;
  v.bits = bits;
  return v;
}

/** Makes a value whose text lies somewhere. */
export function viewValue(kind: Kind, address: usize, length: i32): Value {
  const v = changetype<Value>(room(offsetof<Value>()));
  v.kind = kind;
  v.length = length;
  v.address = address;
  v.bits = 0;
  return v;
}

function textValue(kind: Kind, text: string): Value {
  const length = encodedLength(text);
  const address = room(length);
  encode(text, address);
  return viewValue(kind, address, length);
}

function bytesValue(kind: Kind, bytes: Uint8Array): Value {
  const address = room(bytes.length);
  memory.copy(address, bytes.dataStart, bytes.length);
  return viewValue(kind, address, bytes.length);
}

/** Returns how many bytes of a text in UTF-8 are this string at its beginning; -1 if it begins differently. */
function matches(address: usize, length: i32, text: string): i32 {
  if (length < text.length) return -1; // no unit has less than a byte
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return matchesEncoded(address, length, text);
    if (load<u8>(address + i) != <u8>unit) return -1;
  }
  return text.length;
}

/** The same for texts that are not ASCII. */
function matchesEncoded(address: usize, length: i32, text: string): i32 {
  const bytes = encodedLength(text);
  if (length < bytes) return -1;
  const encoded = room(bytes);
  encode(text, encoded);
  return memory.compare(address, encoded, bytes) == 0 ? bytes : -1;
}
