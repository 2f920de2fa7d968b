// Asks what the SDK has for texts: `what` of `a` and `b`, and answers in `b`.

import { compareDecimals, Event, filter, Image, Json, JsonKind, Value, Verdict } from "../cdcd/assembly";

export * from "../cdcd/assembly/exports";

function judge(event: Event): Verdict {
  const a = event.after(1);
  const b = event.after(2);
  const out = event.after(0).is("compare") ? compareDecimals(a, b).toString() : answer(new Json(a.text), b.text);
  event.set(Image.After, 0, Value.string(out));
  return Verdict.Keep;
}

/** A JSON value as it is read, at the end of a path of .name and digits. */
function answer(v: Json, path: string): string {
  const steps = path.split("/");
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i];
    if (step.length == 0) continue;
    v = step.charCodeAt(0) == 0x2e ? v.get(step.substring(1)) : v.at(step.charCodeAt(0) - 0x30);
  }
  switch (v.kind) {
    case JsonKind.Null:
      return "null";
    case JsonKind.Bool:
      return v.bool ? "true" : "false";
    case JsonKind.Number:
      return v.intOr(7) != 7 ? v.text + " int " + v.int.toString() : v.text;
    case JsonKind.String:
      return "string " + v.string;
    case JsonKind.Array:
      return "array " + v.text;
    case JsonKind.Object:
      return "object " + v.text;
  }
  return "none";
}

filter(judge);
