// The SDK for plugins of cdcd in AssemblyScript. README.md shows how it is used.

export { compareDecimals } from "./decimal";
export { Event, Image, Op, opName, Verdict } from "./event";
export { Level, log, metric } from "./host";
export { Json, JsonKind } from "./json";
export { filter, init } from "./plugin";
export { Civil, Kind, kindName, Value } from "./value";
