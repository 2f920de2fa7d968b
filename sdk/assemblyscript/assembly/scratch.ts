// Memory for what lives as long as a change is judged: it is taken from the front to the back, and given back all at once.

const chunkSize: usize = 32 << 10;

/** Chunks are a list; each begins with the address of the next one and its own end. */
const headerSize: usize = 2 * sizeof<usize>();

let chunk: usize = newChunk(chunkSize);
let at: usize = chunk + headerSize;

let firstChunk: usize = 0; // where the first change found it; 0: there was none yet
let firstAt: usize = 0;

/** Returns the address of so many bytes, 8-aligned. */
export function room(bytes: usize): usize {
  const size = (bytes + 7) & ~7;
  if (at + size > load<usize>(chunk, sizeof<usize>())) nextChunk(size);
  const place = at;
  at += size;
  return place;
}

/** Gives everything back that was taken for the change before. What was taken before the first change stays. */
export function release(): void {
  if (firstChunk == 0) {
    firstChunk = chunk;
    firstAt = at;
  }
  chunk = firstChunk;
  at = firstAt;
}

/** Goes on to a chunk that has room. */
function nextChunk(size: usize): void {
  for (let next = load<usize>(chunk); next != 0; next = load<usize>(chunk)) {
    chunk = next;
    at = chunk + headerSize;
    if (at + size <= load<usize>(chunk, sizeof<usize>())) return;
  }
  const next = newChunk(max(chunkSize, size + headerSize));
  store<usize>(chunk, next);
  chunk = next;
  at = chunk + headerSize;
}

function newChunk(size: usize): usize {
  const place = heap.alloc(size);
  store<usize>(place, 0);
  store<usize>(place, place + size, sizeof<usize>());
  return place;
}
