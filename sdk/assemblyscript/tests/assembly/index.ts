// What the plugins of the suite and of the examples do not show of the SDK. Each change runs the test with its number; what throws, fails.

import { compareDecimals, Event, filter, Image, Json, JsonKind, Kind, Value, Verdict } from "../../assembly";
import { decode, encode, encodedLength } from "../../assembly/utf8";

export * from "../../assembly/exports";

// A value that is made before the first change is good for ever.
const early = Value.string("early, für ever");

class Test {
  constructor(
    public name: string,
    public run: (event: Event) => void,
  ) {}
}

const tests: Test[] = [
  new Test("decimals", (_: Event): void => {
    const ordered = [
      "-1e30", "-1000", "-100.5", "-100.25", "-0.001", "0", "0.0009", "0.001", "0.05", "0.1e0", "0.5", "1", "9.99", "10", "99.99", "1e2", "100.001",
      "12345678901234567890123456789012345", "12345678901234567890123456789012345.000000000000000000000000000001",
    ];
    for (let i = 0; i < ordered.length; i++) {
      for (let j = 0; j < ordered.length; j++) {
        const want = i < j ? -1 : i > j ? 1 : 0;
        assert(compareDecimals(Value.decimal(ordered[i]), Value.decimal(ordered[j])) == want, ordered[i] + " and " + ordered[j]);
      }
    }
    const same = ["1", "1.00", "0", "-0.00", "007", "7", "-1.50", "-01.5", "0", "", "1e3", "1000", "1.5E+2", "150.0", "0.00125", "1.25e-3", "0e99", "0"];
    for (let i = 0; i < same.length; i += 2) {
      assert(compareDecimals(Value.decimal(same[i]), Value.decimal(same[i + 1])) == 0, same[i] + " and " + same[i + 1]);
    }
  }),

  new Test("texts go there and back", (_: Event): void => {
    const texts = ["", "a", "abcd", "abcdefghi", "für", "grüße an alle", "日本語", "a日b本cdefgh語", "🦀", "abcd🦀efghi", "\0", "🦀🦀", "abcdefg\u07ff\u0800\uffff"];
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i];
      const bytes = String.UTF8.encode(text);
      assert(encodedLength(text) == bytes.byteLength, text);
      const to = new Uint8Array(bytes.byteLength);
      encode(text, to.dataStart);
      assert(memory.compare(to.dataStart, changetype<usize>(bytes), bytes.byteLength) == 0, text);
      assert(decode(to.dataStart, to.length) == text, text);
    }
  }),

  new Test("what is not UTF-8", (_: Event): void => {
    expectText([0xff], "\ufffd");
    expectText([0x61, 0xc3], "a\ufffd");
    expectText([0xc3, 0x61], "\ufffda");
    expectText([0xc0, 0x80], "\ufffd\ufffd");
    expectText([0xe0, 0x80, 0x80, 0x62], "\ufffd\ufffd\ufffdb");
    expectText([0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd");
    expectText([0xf4, 0x90, 0x80, 0x80], "\ufffd\ufffd\ufffd\ufffd");
    expectText([0xf0, 0x9f, 0xa6], "\ufffd\ufffd\ufffd");
    expectText([0xf0, 0x9f, 0xa6, 0x80], "🦀");
    assert(encodedLength(String.fromCharCode(0xd800)) == 3);
    assert(Value.string("a" + String.fromCharCode(0xdc00) + "b").text == "a\ufffdb");
  }),

  new Test("texts are compared where they lie", (_: Event): void => {
    const value = Value.string("grüße an 🦀");
    assert(value.is("grüße an 🦀"));
    assert(!value.is("grüße an 🦀!") && !value.is("grüße an ") && !value.is("grusse an 🦀") && !value.is(""));
    assert(value.startsWith("grüße") && value.startsWith("gr") && value.startsWith("") && !value.startsWith("ü"));
    assert(value.contains("an 🦀") && value.contains("g") && value.contains("") && value.contains("🦀") && !value.contains("🦁") && !value.contains("an 🦀🦀"));
    assert(Value.string("").is("") && !Value.string("").is("a") && Value.null().is("") && Value.int(5).is(""));
    assert(value.equals(Value.string("grüße an 🦀")) && !value.equals(Value.enum("grüße an 🦀")) && !value.equals(Value.string("grüße an 🦁")));
    assert(Value.int(5).equals(Value.int(5)) && !Value.int(5).equals(Value.int(6)) && !Value.int(5).equals(Value.uint(5)) && Value.null().equals(Value.null()));
  }),

  new Test("JSON", (_: Event): void => {
    const v = new Json(' { "a" : -12.50 , "b\\"\\u00fc" : [ 1, {"a": 7}, "x,]}", [] , null, true ] , "c":{}, "d" : "x\\n\\ud83e\\udd80\\\\\\/" , "e":false} ');
    assert(v.kind == JsonKind.Object && v.get("a").kind == JsonKind.Number && v.get("a").text == "-12.50" && v.get("a").float == -12.5);
    const list = v.get('b"ü');
    assert(list.kind == JsonKind.Array && list.length == 6 && list.at(0).int == 1 && list.at(1).get("a").int == 7 && list.at(2).string == "x,]}");
    assert(list.at(3).kind == JsonKind.Array && list.at(3).length == 0 && list.at(4).kind == JsonKind.Null && list.at(5).bool && list.at(6).kind == JsonKind.None);
    assert(v.get("c").kind == JsonKind.Object && v.get("c").get("a").kind == JsonKind.None && v.get("c").text == "{}");
    assert(v.get("d").string == "x\n🦀\\/" && v.get("e").kind == JsonKind.Bool && !v.get("e").bool);
    assert(v.get("x").get("y").at(3).string == "" && v.get("x").int == 0 && isNaN(v.get("x").float) && v.get("x").text == "");
    assert(new Json("7").int == 7 && new Json('"a"').string == "a" && new Json("").kind == JsonKind.None && new Json("1.5").intOr(3) == 3 && new Json("-7").intOr(3) == -7);
  }),

  new Test("what is not JSON is not there", (_: Event): void => {
    const broken = ["{", "[", '"', '{"a', '{"a"', '{"a":', '{"a":}', "[1", "[,", "]", "}", ",", ":", '{"a":"', "{a:1}", "[[[[", '{"a":1,,"b":2}', "{,}", "[}"];
    for (let i = 0; i < broken.length; i++) {
      const v = new Json(broken[i]);
      v.get("a").get("b");
      v.at(0).at(1);
      assert(v.length < 10);
    }
  }),

  new Test("values in quantity", (_: Event): void => {
    const long = "x".repeat(100_000);
    const first = Value.int(1);
    for (let i = 0; i < 10_000; i++) Value.int(i);
    const text = Value.string(long);
    const last = Value.string("last");
    assert(first.int == 1 && text.length == 100_000 && text.is(long) && last.is("last"));
  }),
  new Test("values in quantity, again", (_: Event): void => {
    for (let i = 0; i < 10_000; i++) assert(Value.int(i).int == i && Value.string("a").is("a"));
  }),

  new Test("what is made before the first change is good for ever", (_: Event): void => {
    for (let i = 0; i < 100; i++) Value.string("something else");
    assert(early.is("early, für ever"));
  }),

  new Test("judging allocates nothing", (event: Event): void => {
    const place = heap.alloc(16);
    heap.free(place);
    const value = event.after(0);
    assert(value.is("text") && value.startsWith("te") && value.contains("x") && !event.after(0).is("für") && event.table.is("orders"));
    assert(event.changed(0) && compareDecimals(Value.decimal("1.5"), Value.decimal("1.50")) == 0 && value.equals(event.after(0)));
    event.tag("a tag");
    event.route("a feed");
    assert(heap.alloc(16) == place);
  }),

  new Test("a value that is absent changes nothing", (event: Event): void => {
    event.set(Image.After, 0, event.before(0));
    assert(event.before(0).kind == Kind.Absent && event.after(0).text == "text");
  }),
];

function expectText(bytes: u8[], want: string): void {
  const value = Value.bytes(Uint8Array.wrap(changetype<ArrayBuffer>(StaticArray.fromArray(bytes))));
  assert(value.text == want, value.text);
}

function judge(event: Event): Verdict {
  const number = <i32>event.no;
  if (number >= tests.length) return Verdict.Drop;
  tests[number].run(event);
  event.reason(tests[number].name);
  return Verdict.Keep;
}

filter(judge);
