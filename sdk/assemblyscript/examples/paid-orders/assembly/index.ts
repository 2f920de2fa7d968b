// Keeps orders when their status has become 'paid' and their total is at least a threshold. What customers have noted is masked.

import { compareDecimals, Event, filter, Image, init, Json, JsonKind, Kind, metric, Op, Value, Verdict } from "../../../assembly";

export * from "../../../assembly/exports";

// The columns, as plugin.yaml declares them.
const STATUS = 0;
const TOTAL = 1;
const NOTE = 2;

// What may be edited, and what is counted.
const EDIT_NOTE = 0;
const METRIC_BIG = 0;

let threshold = Value.decimal("1000");
const mask = Value.string("***");

function configure(config: Json): string | null {
  const configured = config.get("threshold");
  if (configured.kind == JsonKind.Number) threshold = Value.decimal(configured.text); // all digits of it
  return null;
}

function judge(event: Event): Verdict {
  if (event.op != Op.Update || !event.changed(STATUS) || !event.after(STATUS).is("paid")) return Verdict.Drop;
  const total = event.after(TOTAL);
  if (total.kind != Kind.Decimal || compareDecimals(total, threshold) < 0) return Verdict.Drop; // NULL is no number
  event.tag("big");
  metric(METRIC_BIG, 1);
  if (event.before(NOTE).length > 0) event.set(Image.Before, EDIT_NOTE, mask);
  if (event.after(NOTE).length > 0) event.set(Image.After, EDIT_NOTE, mask);
  return Verdict.Keep;
}

// At the end: the compiler wants to have seen the variables above first.
init(configure);
filter(judge);
