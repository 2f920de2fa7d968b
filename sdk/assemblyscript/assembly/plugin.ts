// How a plugin says what it is.

import { Event, Verdict } from "./event";
import { Json } from "./json";

export let judge: ((event: Event) => Verdict) | null = null;
export let configure: ((config: Json) => string | null) | null = null;

/** Registers the function that judges changes. It is called in the plugin's module, once. */
export function filter(f: (event: Event) => Verdict): void {
  judge = f;
}

/**
 * Registers the function that gets the configuration of the rule, a JSON object that fits the schema in the manifest. It is called once,
 * before the first change, and returns what is wrong with it, or null.
 */
export function init(f: (config: Json) => string | null): void {
  configure = f;
}
