// Judges changes by their JSON only, as languages do in which a reader of frames is hard to write: orders of important customers are kept.

import { Event, filter, Json, JsonKind, Verdict } from "../../../assembly";

export * from "../../../assembly/exports";

function judge(event: Event): Verdict {
  const change = new Json(event.json());
  const after = change.get("after");
  if (after.kind != JsonKind.Object) return Verdict.Drop;
  const customer = after.get("customer"); // a column of kind json
  if (customer.get("tier").string != "vip" && customer.get("orders").int < 10) return Verdict.Drop;
  event.reason(customer.get("name").string + " by " + change.get("op").string + " of " + change.get("table").string);
  return Verdict.Keep;
}

filter(judge);
