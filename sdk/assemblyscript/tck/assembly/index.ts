// The plugin of wasm/tck/PLUGIN.md, in AssemblyScript.

import { Civil, Event, filter, Image, init, Json, JsonKind, Kind, kindName, Level, log, metric, opName, Value, Verdict } from "../../assembly";

export * from "../../assembly/exports";

// The columns: do, then those of the kinds, then v_optional.
const DO = 0;
const OPTIONAL: i32 = Kind.Vector;

function column(kind: Kind): i32 {
  return kind - 1;
}
function edit(kind: Kind): i32 {
  return kind - 2;
}

let config: string = "";
let count = 0; // what a plugin must not have
const kept: StaticArray<u8>[] = []; // what grow and hoard have taken

function configure(c: Json): string | null {
  config = c.text;
  if (c.get("trap").bool) throw new Error("told to");
  const refuse = c.get("refuse");
  return refuse.kind == JsonKind.String ? refuse.string : null;
}

let verdict: Verdict = Verdict.Drop;
let image: Image = Image.After; // that edits alter

function judge(e: Event): Verdict {
  verdict = Verdict.Drop;
  image = e.hasAfter ? Image.After : Image.Before;
  const lines = value(e, DO).text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line.length == 0 && i == lines.length - 1) break;
    const space = line.indexOf(" ");
    const word = space < 0 ? line : line.substring(0, space);
    const argument = space < 0 ? "" : line.substring(space + 1);
    if (!obey(e, word, argument)) return e.error("no such command: " + word);
  }
  return verdict;
}

/** Reads a column of the image after, or before where there is none. */
function value(e: Event, column: i32): Value {
  return e.hasAfter ? e.after(column) : e.before(column);
}

/** Does what a command says; false if there is no such command. */
function obey(e: Event, word: string, argument: string): bool {
  // Decisions
  if (word == "keep") {
    verdict = Verdict.Keep;
  } else if (word == "drop") {
    verdict = Verdict.Drop;
  } else if (word == "error") {
    verdict = e.error(argument);

    // Edits
  } else if (word == "before") {
    image = Image.Before;
  } else if (word == "after") {
    image = Image.After;
  } else if (word == "echo") {
    copy(e, (v: Value): Value => v);
  } else if (word == "rebuild") {
    copy(e, rebuild);
  } else if (word == "null") {
    e.setNull(image, edit(kindOf(argument)));
  } else if (word == "without") {
    e.dropColumn(image, edit(kindOf(argument)));
  } else if (word == "text") {
    e.set(image, edit(Kind.String), Value.string(argument));
  } else if (word == "fill") {
    e.set(image, edit(Kind.String), Value.string(letters(<i32>number(argument))));
  } else if (word == "tag") {
    e.tag(argument);
  } else if (word == "tags") {
    for (let i = 0, n = <i32>number(argument); i < n; i++) e.tag("t" + i.toString());
  } else if (word == "reason") {
    e.reason(argument);
  } else if (word == "route") {
    e.route(argument);

    // What the plugin sees
  } else if (word == "describe") {
    e.reason(opName(e.op) + " " + e.schema.text + " " + e.table.text + " " + e.no.toString() + " " + e.commitTime.toString());
  } else if (word == "kinds") {
    const kinds: string[] = [];
    for (let i = column(Kind.Bool); i <= OPTIONAL; i++) kinds.push(kindName(value(e, i).kind));
    e.reason(kinds.join(","));
  } else if (word == "changed") {
    const changed: string[] = [];
    for (let kind: Kind = Kind.Bool; kind <= Kind.Vector; kind++) {
      if (e.changed(column(kind))) changed.push(kindName(kind));
    }
    e.reason(changed.length > 0 ? changed.join(",") : "-");
  } else if (word == "json") {
    e.set(image, edit(Kind.JSON), Value.json(e.json()));
  } else if (word == "config") {
    e.reason(config);

    // The host
  } else if (word == "log") {
    const space = argument.indexOf(" ");
    log(<Level>number(argument.substring(0, space)), argument.substring(space + 1));
  } else if (word == "logs") {
    for (let i = 0, n = <i32>number(argument); i < n; i++) log(Level.Info, "line " + i.toString());
  } else if (word == "metric") {
    const space = argument.indexOf(" ");
    metric(<i32>number(argument.substring(0, space)), number(argument.substring(space + 1)));

    // Memory and state
  } else if (word == "count") {
    count++;
    e.reason(count.toString());
  } else if (word == "grow") {
    for (let i: i64 = 0, n = number(argument); i < n; i++) take();
  } else if (word == "spin") {
    let x: u64 = 0;
    for (let i: i64 = 0, n = number(argument); i < n; i++) x = x * 6364136223846793005 + 1442695040888963407;
    e.reason(x.toString());

    // Failures
  } else if (word == "trap") {
    throw new Error("told to");
  } else if (word == "loop") {
    while (true) {}
  } else if (word == "recurse") {
    e.reason(recurse(1).toString());
  } else if (word == "hoard") {
    while (true) take();
  } else {
    return false;
  }
  return true;
}

/** Sets the edits of both images to what their columns have, made over. */
function copy(e: Event, made: (v: Value) => Value): void {
  for (let kind: Kind = Kind.Bool; kind <= Kind.Vector; kind++) copyOne(e, Image.Before, kind, e.before(column(kind)), made);
  for (let kind: Kind = Kind.Bool; kind <= Kind.Vector; kind++) copyOne(e, Image.After, kind, e.after(column(kind)), made);
}

function copyOne(e: Event, image: Image, kind: Kind, v: Value, made: (v: Value) => Value): void {
  if (v.isAbsent) return;
  if (v.isNull) {
    e.setNull(image, edit(kind));
  } else {
    e.set(image, edit(kind), made(v));
  }
}

/** Takes a value apart and makes it anew. */
function rebuild(v: Value): Value {
  switch (v.kind) {
    case Kind.Bool:
      return Value.bool(v.bool);
    case Kind.Int64:
      return Value.int(v.int);
    case Kind.Uint64:
      return Value.uint(v.uint);
    case Kind.Float64:
      return Value.float(v.float);
    case Kind.Decimal:
      return Value.decimal(v.text);
    case Kind.String:
      return Value.string(v.text);
    case Kind.Bytes:
      return Value.bytes(v.bytes);
    case Kind.Date:
      return Value.date(civil(v));
    case Kind.Time:
      return Value.time(v.micros);
    case Kind.Datetime:
      return Value.datetime(civil(v));
    case Kind.Timestamp:
      return Value.timestamp(v.micros);
    case Kind.JSON:
      return Value.json(v.text);
    case Kind.Enum:
      return Value.enum(v.text);
    case Kind.Set:
      return Value.set(v.text);
    case Kind.Bit:
      return Value.bit(v.uint);
    case Kind.Geometry:
      return Value.geometry(v.bytes);
    case Kind.Vector:
      return Value.vector(v.bytes);
  }
  throw new Error("a value of no kind");
}

function civil(v: Value): Civil {
  const c = v.civil;
  return new Civil(c.year, c.month, c.day, c.hour, c.minute, c.second, c.micro);
}

/** Returns the kind of a name. */
function kindOf(name: string): Kind {
  for (let kind: Kind = Kind.Bool; kind <= Kind.Vector; kind++) {
    if (kindName(kind) == name) return kind;
  }
  throw new Error("no such kind: " + name);
}

/** Returns so many letters x, doubled until there are enough. */
function letters(n: i32): string {
  let text = "x";
  while (text.length < n) text += text;
  return text.substring(0, n);
}

/** Allocates a block of memory for good. */
function take(): void {
  const block = new StaticArray<u8>(64 << 10);
  block[0] = 1;
  kept.push(block);
}

/** Never ends, and cannot be made a loop, since there is something to do afterwards. */
function recurse(n: i32): i32 {
  return recurse(n + 1) + n;
}

function number(s: string): i64 {
  return I64.parseInt(s);
}

// The compiler wants to have seen all variables that a function uses where it is first named.
init(configure);
filter(judge);
