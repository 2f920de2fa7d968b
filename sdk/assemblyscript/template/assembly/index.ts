// The plugin {{name}} of cdcd.

import { compareDecimals, Event, filter, init, Json, JsonKind, Kind, Value, Verdict } from "../cdcd/assembly";

export * from "../cdcd/assembly/exports";

// The columns, as plugin.yaml declares them.
const STATUS = 0;
const TOTAL = 1;

let threshold = Value.decimal("1000");

// configure takes the configuration of the rule, which fits the schema in plugin.yaml. It returns what is wrong with it, or null.
function configure(config: Json): string | null {
  const configured = config.get("threshold");
  if (configured.kind == JsonKind.Number) threshold = Value.decimal(configured.text); // all digits of it
  return null;
}

// judge is asked about every change.
function judge(event: Event): Verdict {
  if (!event.changed(STATUS) || !event.after(STATUS).is("paid")) return Verdict.Drop;
  const total = event.after(TOTAL);
  if (total.kind == Kind.Decimal && compareDecimals(total, threshold) >= 0) event.tag("big"); // NULL is no number
  return Verdict.Keep;
}

// At the end: the compiler wants to have seen the variables above first.
init(configure);
filter(judge);
