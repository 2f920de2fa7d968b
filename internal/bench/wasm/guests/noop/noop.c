/* What a call costs that does nothing. Extism wants an i32 back. */
__attribute__((export_name("noop"))) int noop(void) { return 0; }
