// Texts between UTF-8, which changes and the host have, and UTF-16, which strings have. Most of them are ASCII: four letters at a time.

const notASCII: u32 = 0x80808080;
const notASCII16: u64 = 0xff80ff80ff80ff80;

/** Returns a text as a string. What is not UTF-8 becomes U+FFFD. */
export function decode(address: usize, length: usize): string {
  const text = __new(length << 1, idof<string>()); // no text has more units than bytes
  const end = address + length;
  let to = text;
  while (address < end) {
    for (; address + 4 <= end; address += 4, to += 8) {
      let units = <u64>load<u32>(address);
      if ((<u32>units & notASCII) != 0) break;
      units = (units | (units << 16)) & 0x0000ffff0000ffff;
      units = (units | (units << 8)) & 0x00ff00ff00ff00ff;
      store<u64>(to, units);
    }
    for (; address < end && load<u8>(address) < 0x80; address++, to += 2) store<u16>(to, load<u8>(address));
    if (address < end) {
      const point = decodePoint(address, end);
      address += pointSize;
      if (point > 0xffff) {
        store<u32>(to, (0xd7c0 + (point >> 10)) | ((0xdc00 | (point & 0x3ff)) << 16));
        to += 4;
      } else {
        store<u16>(to, <u16>point);
        to += 2;
      }
    }
  }
  return changetype<string>(to - text == length << 1 ? text : __renew(text, to - text));
}

/** How many bytes the character has that decodePoint has returned. */
let pointSize: usize = 0;

/** Returns the character that begins here, which is not ASCII. */
function decodePoint(address: usize, end: usize): u32 {
  const first = <u32>load<u8>(address);
  const size: u32 = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  pointSize = 1;
  if (size == 0 || address + size > end) return 0xfffd;
  let point = first & (0x7f >> size);
  for (let i: usize = 1; i < size; i++) {
    const next = <u32>load<u8>(address + i);
    if ((next & 0xc0) != 0x80) return 0xfffd;
    point = (point << 6) | (next & 0x3f);
  }
  if ((size == 3 && (point < 0x800 || (point & 0xf800) == 0xd800)) || (size == 4 && (point < 0x10000 || point > 0x10ffff))) return 0xfffd;
  pointSize = size;
  return point;
}

/** Returns how many bytes a string has in UTF-8. */
export function encodedLength(text: string): i32 {
  let at = changetype<usize>(text);
  const end = at + (<usize>text.length << 1);
  let bytes = 0;
  while (at < end) {
    for (; at + 8 <= end && (load<u64>(at) & notASCII16) == 0; at += 8) bytes += 4;
    for (; at < end && load<u16>(at) < 0x80; at += 2) bytes++;
    if (at < end) {
      const point = pointAt(at, end);
      bytes += point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      at += point < 0x10000 ? 2 : 4;
    }
  }
  return bytes;
}

/** Writes a string in UTF-8. There must be room for `encodedLength`. */
export function encode(text: string, address: usize): void {
  let at = changetype<usize>(text);
  const end = at + (<usize>text.length << 1);
  while (at < end) {
    for (; at + 8 <= end; at += 8, address += 4) {
      let bytes = load<u64>(at);
      if ((bytes & notASCII16) != 0) break;
      bytes = (bytes | (bytes >> 8)) & 0x0000ffff0000ffff;
      store<u32>(address, <u32>(bytes | (bytes >> 16)));
    }
    for (; at < end && load<u16>(at) < 0x80; at += 2, address++) store<u8>(address, load<u8>(at));
    if (at < end) {
      const point = pointAt(at, end);
      address += encodePoint(point, address);
      at += point < 0x10000 ? 2 : 4;
    }
  }
}

/** Writes a character that is not ASCII, and returns how many bytes it has. */
function encodePoint(point: u32, address: usize): usize {
  let size: usize = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  for (let i = size - 1; i > 0; i--, point >>= 6) store<u8>(address + i, <u8>(0x80 | (point & 0x3f)));
  store<u8>(address, <u8>((0xf00 >> <u32>size) | point));
  return size;
}

/** Returns the character that begins at a unit. Half of one that has no other half is U+FFFD. */
function pointAt(at: usize, end: usize): u32 {
  const unit = <u32>load<u16>(at);
  if ((unit & 0xf800) != 0xd800) return unit;
  if (unit < 0xdc00 && at + 4 <= end) {
    const low = <u32>load<u16>(at, 2);
    if ((low & 0xfc00) == 0xdc00) return 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
  }
  return 0xfffd;
}
