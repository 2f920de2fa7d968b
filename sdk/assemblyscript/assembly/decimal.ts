// Decimals, compared exactly.

import { Value } from "./value";

/**
 * Compares two numbers exactly, however long they are: -1 if a is less than b, 0 if they are the same number, 1 if a is greater.
 * They are values with a text of digits: decimals, or whatever `Value.decimal` made of a text such as -12.50, 1000 or 1e6.
 */
export function compareDecimals(a: Value, b: Value): i32 {
  const x = decimalA.read(a);
  const y = decimalB.read(b);
  if (x.sign != y.sign) return order(x.sign < y.sign);
  return x.sign < 0 ? compareDigits(y, x) : compareDigits(x, y);
}

/** A number taken apart. */
@final
class Decimal {
  sign: i32 = 0;
  /** From the first digit that is not zero; there may be a point among them. */
  from: usize = 0;
  end: usize = 0;
  /** How many of the digits stand before the point. */
  point: i32 = 0;

  read(v: Value): Decimal {
    let from = v.address;
    const last = v.address + v.length;
    this.sign = 1;
    if (from < last && load<u8>(from) == 0x2d) {
      this.sign = -1;
      from++;
    }
    from = digits(from, last, 0x30);
    const point = digits(from, last, 0x39);
    this.point = <i32>(point - from);
    let end = point;
    if (end < last && load<u8>(end) == 0x2e) {
      if (from == point) {
        // there is nothing before it
        from = digits(point + 1, last, 0x30);
        this.point = <i32>(point + 1 - from);
      }
      end = digits(max(from, point + 1), last, 0x39);
    }
    if (from >= end) this.sign = 0;
    if (end < last) this.point += exponent(end + 1, last);
    this.from = from;
    this.end = end;
    return this;
  }
}

// Two that are used again and again.
const decimalA = new Decimal();
const decimalB = new Decimal();

/** Returns where the digits end that are no greater than most. */
function digits(from: usize, last: usize, most: u8): usize {
  while (from < last && load<u8>(from) >= 0x30 && load<u8>(from) <= most) from++;
  return from;
}

/** Reads what stands behind the e of a number, as far as it makes a difference. */
function exponent(from: usize, last: usize): i32 {
  const negative = from < last && load<u8>(from) == 0x2d;
  let n: i64 = 0;
  for (; from < last; from++) {
    const digit = <i64>load<u8>(from) - 0x30;
    if (digit >= 0 && digit <= 9) n = min<i64>(10 * n + digit, 1_000_000_000);
  }
  return <i32>(negative ? -n : n);
}

function compareDigits(x: Decimal, y: Decimal): i32 {
  if (x.sign == 0) return 0;
  if (x.point != y.point) return order(x.point < y.point);
  let i = x.from;
  let j = y.from;
  for (; i < x.end || j < y.end; i++, j++) {
    if (i < x.end && load<u8>(i) == 0x2e) i++;
    if (j < y.end && load<u8>(j) == 0x2e) j++;
    const a = i < x.end ? load<u8>(i) : 0x30;
    const b = j < y.end ? load<u8>(j) : 0x30;
    if (a != b) return order(a < b);
  }
  return 0;
}

function order(less: bool): i32 {
  return less ? -1 : 1;
}
