// Adds up what the columns are worth: numbers themselves, a text 1 if it is 'paid'.

import { Event, filter, init, Json, Verdict } from "../cdcd/assembly";

export * from "../cdcd/assembly/exports";

let columns = 0;
let least: i64 = 0;

function configure(config: Json): string | null {
  columns = <i32>config.get("columns").int;
  least = config.get("least").int;
  return null;
}

function judge(event: Event): Verdict {
  let score: i64 = 0;
  for (let i = 0; i < columns; i++) {
    const value = event.after(i);
    score += i % 2 ? i64(value.is("paid")) : value.int;
  }
  return score >= least ? Verdict.Keep : Verdict.Drop;
}

// At the end: the compiler wants to have seen the variables above first.
init(configure);
filter(judge);
