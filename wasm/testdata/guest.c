// A plugin that does what the column "act" of a change says, right things and wrong ones. Built by testdata/build.sh.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("cdc1"), import_name(#name)))
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

IMPORT(log) void cdc_log(u32 level, const void *text, u32 n);
IMPORT(metric) void cdc_metric(u32 number, i64 delta);
IMPORT(json) int cdc_json(u32 event, void *to, u32 room);
WASI(clock_time_get) u32 clock_time_get(u32 id, u64 precision, u64 *to);
WASI(random_get) u32 random_get(void *to, u32 n);
WASI(fd_write) u32 fd_write(u32 fd, const void *list, u32 n, u32 *written);
WASI(proc_exit) void proc_exit(u32 code);

static _Alignas(8) u8 out[272];
static _Alignas(8) u8 in[400 * 1024];
static _Alignas(8) u8 edits[600 * 1024];
static _Alignas(8) u8 text[4096];
static u32 arena_lie;
static u32 spoiled;   // the next change fails
static u32 remembered; // changes since it began

EXPORT(cdc_abi_1) void marker(void) {}

EXPORT(cdc_arena) void *arena(int kind, u32 bytes) {
	if (arena_lie == 1) return (void *)((u32)in + 4);
	if (arena_lie == 2) return (void *)0xfffffff8;
	if (kind == 1) return bytes <= sizeof out ? out : 0;
	return bytes <= sizeof in ? in : 0;
}

static u32 get32(const u8 *p) { return *(const u32 *)p; }
static u64 get64(const u8 *p) { return *(const u64 *)p; }
static void put32(u8 *p, u32 x) { *(u32 *)p = x; }

static u32 edits_len;

static u8 *entry(u32 event, u8 what, u8 image, u16 column, u8 kind, u64 value, const char *s) {
	u8 *e = edits + edits_len;
	u32 n = 0;
	if (s) while (s[n]) n++;
	u32 size = 24 + ((n + 7) & ~7u);
	for (u32 i = 0; i < size; i++) e[i] = 0;
	put32(e, size);
	put32(e + 4, event);
	e[8] = what, e[9] = image, e[12] = kind;
	*(u16 *)(e + 10) = column;
	*(u64 *)(e + 16) = s ? n : value;
	for (u32 i = 0; i < n; i++) e[24 + i] = (u8)s[i];
	edits_len += size;
	put32(out + 4, (u32)edits);
	put32(out + 8, edits_len);
	return e;
}

static volatile u32 sink;

static void number(u64 n) { // writes a line with it
	u8 digits[24];
	u32 at = sizeof digits;
	do digits[--at] = '0' + n % 10, n /= 10; while (n);
	cdc_log(1, digits + at, sizeof digits - at);
}
__attribute__((noinline)) static u32 deep(u32 n) { u32 here[64]; here[n & 63] = n; sink = (u32)here; return n == 0xffffffff ? 0 : deep(n + 1) + here[n & 63]; }

// act judges event e, whose row after begins at row (or is 0).
static u8 act(u32 e, u32 n, i64 what, i64 arg) {
	switch (what) {
	case 0: return 0;
	case 1: return 1;
	case 2: entry(e, 1, 2, 0, 7, 0, "edited"); return 2;
	case 3: entry(e, 7, 0, 0, 0, 0, "not today"); return 3;
	case 4: __builtin_trap();
	case 5: for (;;) sink++;
	case 6: return *(volatile u8 *)0xfffffff0;
	case 7: return (u8)deep(1);
	case 8: cdc_log(2, "line\x1b[2J\nof a plugin", 20); return 1;
	case 9: cdc_metric(0, arg); return 1;
	case 10: put32(out, 1000); return 1;
	case 11: return 9;
	case 12: spoiled = 1; return 1;
	case 13: proc_exit(0);
	case 14: // many edits
		entry(e, 4, 0, 0, 0, 0, "tag"), entry(e, 4, 0, 0, 0, 0, "other"), entry(e, 4, 0, 0, 0, 0, "tag");
		entry(e, 1, 2, 0, 7, 0, "first"), entry(e, 2, 2, 0, 0, 0, 0);
		entry(e, 5, 0, 0, 0, 0, "because"), entry(e, 6, 0, 0, 0, 0, "zeta"), entry(e, 6, 0, 0, 0, 0, "acme");
		entry(e, 3, 2, 1, 0, 0, 0);
		return 2;
	case 15: entry(e, 1, 2, 0, 3, 42, 0); return 2;            // of another kind
	case 16: entry(e, 1, 2, 7, 7, 0, "x"); return 2;           // of a column that is not declared
	case 17: entry(e, 1, 1, 0, 7, 0, "x"); return 2;           // of an image that is not there
	case 18: return 2;                                         // nothing in the log
	case 19: put32(entry(e, 4, 0, 0, 0, 0, "x"), 12); return 2; // an entry that is too short
	case 20: put32(out + 4, 0xfffffff8); put32(out + 8, 4096); return 2;
	case 21: put32(out, e - 1); __builtin_trap();              // the cursor goes back
	case 22: { u64 t; clock_time_get(0, 1, &t); number(t); clock_time_get(1, 1, &t); number(t); return 1; }
	case 23: { u64 r; random_get(&r, 8); number(r); return 1; }
	case 24: { int got = cdc_json(e, text, sizeof text); cdc_log(0, text, (u32)got); return 1; }
	case 25: for (u32 i = 0; i < (u32)arg; i++) sink++; return 1; // takes a while
	case 26: while (__builtin_wasm_memory_grow(0, 1) != (u32)-1) {} __builtin_trap();
	case 27: for (i64 i = 0; i < arg; i++) cdc_log(1, "flood", 5); return 1;
	case 28: { struct { const char *p; u32 n; } v[2] = {{"to stdout\nand", 13}, {" more", 5}}; u32 w; fd_write(1, v, 2, &w); return 1; }
	case 29: cdc_log(1, "x", 0x80000000); return 1;
	case 30: while (__builtin_wasm_memory_grow(0, 16) != (u32)-1) {} return 1;
	case 31: return remembered > 1 ? 0 : 1; // which it must not
	case 32: entry(e, 4, 0, 0, 0, 0, "x"); edits[edits_len - 8] = 0xff; return 2; // not UTF-8
	case 33: entry(e, 1, 2, 2, 3, 7, 0); return 2;             // of the key
	}
	return 1;
}

static i64 column(const u8 *image, u32 i, u32 columns) { // an integer
	return (i64)get64(image + 8 + ((columns + 7) & ~7u) + 8 * i);
}

EXPORT(cdc_batch) int batch(u32 bytes) {
	u32 n = get32(in + 68), events = get32(in + 72);
	edits_len = 0;
	for (u32 i = 0; i < n; i++) {
		put32(out, i);
		remembered++;
		if (spoiled) __builtin_trap();
		const u8 *e = in + events + 32 * i;
		u32 image = get32(e + 24);
		if (!image) image = get32(e + 20);
		const u8 *row = in + image;
		u8 verdict = 1;
		if (row[8] == 3) {
			i64 what = column(row, 0, 3);
			if (what == 10) { put32(out, 1000); return 0; }
			if (what == 34) return 0;  // as if it were done
			if (what == 35) return -1; // it failed
			verdict = act(i, n, what, column(row, 1, 3));
		}
		out[16 + i] = verdict;
	}
	put32(out, n);
	return 0;
}

EXPORT(cdc_init) int init(u32 bytes) {
	for (u32 i = 0; i + 1 < bytes; i++) {
		if (in[i] != '@') continue;
		switch (in[i + 1]) {
		case 't': __builtin_trap();
		case 'l': for (;;) sink++;
		case 'n': in[0] = 'n', in[1] = 'o', in[2] = '\n'; return 3;
		case 'm': return -1;
		case 'o': cdc_log(1, "it begins", 9); break;
		}
	}
	remembered = 0;
	return 0;
}

EXPORT(_initialize) void initialize(void) {}
