// A plugin as it should be: it keeps the changes whose column 0 is above 50. Built by testdata/build.sh.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(#name)))

static _Alignas(8) u8 out[272];
static _Alignas(8) u8 in[1 << 20];

EXPORT(cdc_abi_1) void marker(void) {}

EXPORT(cdc_arena) void *arena(int kind, u32 bytes) {
	if (kind == 1) return bytes <= sizeof out ? out : 0;
	return bytes <= sizeof in ? in : 0;
}

static u32 get32(const u8 *p) { return *(const u32 *)p; }

EXPORT(cdc_batch) int batch(u32 bytes) {
	u32 n = get32(in + 68);
	const u8 *e = in + get32(in + 72);
	for (u32 i = 0; i < n; i++, e += 32) {
		*(volatile u32 *)out = i;
		u32 image = get32(e + 24);
		u8 keep = 0;
		if (image) {
			const u8 *row = in + image;
			u32 columns = row[4] | row[5] << 8;
			keep = row[8] == 3 && *(const i64 *)(row + 8 + ((columns + 7) & ~7u)) > 50;
		}
		out[16 + i] = keep;
	}
	*(volatile u32 *)out = n;
	return 0;
}
