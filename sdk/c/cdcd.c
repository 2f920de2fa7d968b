/*
 * cdcd.c: what stands between cdcd and a plugin in C. See cdcd.h for what it offers; the interface to the host is `cdc1`,
 * https://github.com/cdcd-project/cdcd/blob/main/wasm/ABI.md.
 */
#include "cdcd.h"

#define EXPORT(name) __attribute__((export_name(name), used))
#define IMPORT(name) __attribute__((import_module("cdc1"), import_name(name)))

IMPORT("log") void host_log(uint32_t level, const char *at, uint32_t len);
IMPORT("metric") void host_metric(uint32_t number, int64_t delta);
IMPORT("json") int32_t host_json(uint32_t event, void *at, uint32_t room);

EXPORT("cdc_abi_1") void cdcd_abi_1(void) {}

/*
 * What a compiler may call where it copies or compares and has no instruction for it. They are weak, so that those of a C library
 * can be there too, and must not be compiled into calls of themselves.
 */
#define OWN(name) __attribute__((weak, no_builtin(name)))

OWN("memcpy") void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    while (n--)
        *t++ = *f++;
    return to;
}

OWN("memset") void *memset(void *to, int byte, size_t n)
{
    for (unsigned char *t = to; n--;)
        *t++ = (unsigned char)byte;
    return to;
}

OWN("memmove") void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f)
        while (n--)
            *t++ = *f++;
    else
        while (n--)
            t[n] = f[n];
    return to;
}

OWN("memcmp") int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (; n--; x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

/* ---- Memory: whole pages, taken for good. Allocators of a C library live beside it. ---- */

#define PAGE 65536u

static unsigned char *heap, *heap_end;

void *cdcd_alloc(size_t bytes)
{
    if (bytes > SIZE_MAX - PAGE)
        return NULL;
    bytes = (bytes + 7) & ~(size_t)7;
    if (bytes > (size_t)(heap_end - heap)) {
        /* New pages usually continue the last ones. Where somebody else took some in between, what is left of those is lost. */
        size_t missing = bytes;
        if (heap_end == (unsigned char *)(__builtin_wasm_memory_size(0) * PAGE))
            missing -= (size_t)(heap_end - heap);
        size_t pages = (missing + PAGE - 1) / PAGE;
        size_t before = __builtin_wasm_memory_grow(0, pages);
        if (before == (size_t)-1)
            return NULL;
        if (heap_end != (unsigned char *)(before * PAGE))
            heap = (unsigned char *)(before * PAGE);
        heap_end = (unsigned char *)((before + pages) * PAGE);
    }
    void *at = heap;
    heap += bytes;
    return at;
}

/* A region is memory that grows. It keeps its first `used` bytes when it does. */
typedef struct region {
    unsigned char *at;
    size_t room;
} region;

static bool grow(region *r, size_t need, size_t used)
{
    size_t room = r->room * 2 > need ? r->room * 2 : need;
    room = (room + 7) & ~(size_t)7;
    const bool last = r->room && r->at + r->room == heap;
    unsigned char *at = last ? cdcd_alloc(room - r->room) : NULL;
    if (at && at == r->at + r->room) {
        r->room = room; /* it has been made longer where it is */
        return true;
    }
    at = cdcd_alloc(room);
    if (!at)
        return false;
    __builtin_memcpy(at, r->at, used);
    r->at = at;
    r->room = room;
    return true;
}

/* ---- The two arenas, and the log of edits ---- */

#define MAX_EVENTS 256

static struct {
    volatile uint32_t cursor;
    uint32_t log, log_len, reserved;
    uint8_t verdicts[MAX_EVENTS];
} out __attribute__((aligned(8)));

static unsigned char first_in[PAGE] __attribute__((aligned(8)));
static unsigned char first_log[8192] __attribute__((aligned(8)));

static region in = {first_in, sizeof first_in};
static region edits = {first_log, sizeof first_log};
static size_t edits_len;

EXPORT("cdc_arena") void *cdcd_arena(uint32_t kind, uint32_t bytes)
{
    if (kind == 1)
        return bytes <= sizeof out ? &out : NULL;
    if (kind != 0 || (bytes > in.room && !grow(&in, bytes, 0)))
        return NULL;
    return in.at;
}

static uint16_t u16_at(const unsigned char *at)
{
    uint16_t n;
    __builtin_memcpy(&n, at, sizeof n);
    return n;
}

static uint32_t u32_at(const unsigned char *at)
{
    uint32_t n;
    __builtin_memcpy(&n, at, sizeof n);
    return n;
}

static uint64_t u64_at(const unsigned char *at)
{
    uint64_t n;
    __builtin_memcpy(&n, at, sizeof n);
    return n;
}

static cdcd_text ref_at(const unsigned char *base, const unsigned char *at)
{
    return cdcd_text_of(base + u32_at(at), u32_at(at + 4));
}

/* ---- The batch ---- */

/* told keeps the compiler from moving what is written before it behind it: should the next event trap, the host reads it. */
static inline void told(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

EXPORT("cdc_batch") uint32_t cdcd_batch(uint32_t bytes)
{
    const unsigned char *frame = in.at;
    const uint32_t n = u32_at(frame + 68);
    const unsigned char *entry = frame + u32_at(frame + 72);
    if (n > MAX_EVENTS)
        return bytes;
    edits_len = 0;
    for (uint32_t i = 0; i < n; i++, entry += 32) {
        out.cursor = i;
        told();
        const uint32_t before = u32_at(entry + 20), after = u32_at(entry + 24);
        cdcd_event e = {entry, before ? frame + before : NULL, after ? frame + after : NULL, i, edits_len, false};
        cdcd_verdict v = cdcd_filter(&e);
        if (e.failed)
            v = CDCD_ERROR;
        if (v == CDCD_DROP || (v == CDCD_ERROR && !e.failed))
            edits_len = e.edits;
        out.verdicts[i] = v == CDCD_KEEP && edits_len > e.edits ? 2 : (uint8_t)v;
        out.log = (uint32_t)(uintptr_t)edits.at;
        out.log_len = edits_len;
        told();
    }
    out.cursor = n;
    return 0;
}

__attribute__((weak)) cdcd_text cdcd_init(cdcd_json config)
{
    (void)config;
    return CDCD_OK;
}

EXPORT("cdc_init") int32_t cdcd_take_config(uint32_t bytes)
{
    cdcd_text wrong = cdcd_init(cdcd_parse(cdcd_text_of(in.at, bytes)));
    if (!wrong.at)
        return 0;
    if (!wrong.len)
        return -1;
    size_t len = wrong.len < in.room ? wrong.len : in.room;
    __builtin_memmove(in.at, wrong.at, len);
    return (int32_t)len;
}

/* ---- Changes ---- */

cdcd_text cdcd_op_name(const cdcd_event *e)
{
    switch (cdcd_op_of(e)) {
    case CDCD_INSERT: return CDCD_TEXT("insert");
    case CDCD_UPDATE: return CDCD_TEXT("update");
    case CDCD_DELETE: return CDCD_TEXT("delete");
    case CDCD_SNAPSHOT: return CDCD_TEXT("snapshot");
    }
    return CDCD_TEXT("");
}

static const unsigned char *table_entry(const cdcd_event *e)
{
    const unsigned char *frame = in.at;
    return frame + u32_at(frame + u32_at(frame + 64) + 4 * u16_at(e->entry + 16));
}

cdcd_text cdcd_schema(const cdcd_event *e)
{
    const unsigned char *table = table_entry(e);
    return ref_at(table, table + 8);
}

cdcd_text cdcd_table(const cdcd_event *e)
{
    const unsigned char *table = table_entry(e);
    return ref_at(table, table + 16);
}

uint64_t cdcd_no(const cdcd_event *e) { return u64_at(e->entry); }

int64_t cdcd_commit_time(const cdcd_event *e)
{
    const unsigned char *frame = in.at;
    return (int64_t)u64_at(frame + u32_at(frame + 56) + 64 * u32_at(e->entry + 8) + 32);
}

bool cdcd_changed(const cdcd_event *e, unsigned column)
{
    if (!e->before || !e->after)
        return true;
    return !cdcd_same_value(cdcd_before(e, column), cdcd_after(e, column));
}

cdcd_text cdcd_event_json(const cdcd_event *e)
{
    static region json;
    for (;;) {
        int32_t len = host_json(e->index, json.at, json.room);
        if (len < 0)
            return cdcd_text_of(NULL, 0);
        if ((size_t)len <= json.room)
            return cdcd_text_of(json.at, len);
        if (!grow(&json, len, 0)) {
            cdcd_log(CDCD_LOG_ERROR, CDCD_TEXT("cdcd: no memory is left for the change as JSON"));
            __builtin_trap();
        }
    }
}

/* ---- Edits ---- */

enum { EDIT_SET = 1, EDIT_NULL, EDIT_DROP, EDIT_TAG, EDIT_REASON, EDIT_ROUTE, EDIT_ERROR };

static void append(cdcd_event *e, unsigned what, unsigned image, unsigned column, unsigned kind, uint64_t value, cdcd_text text)
{
    if (e->failed)
        return;
    const size_t size = 24 + ((text.len + 7) & ~(size_t)7);
    if (size < text.len || (size > edits.room - edits_len && !grow(&edits, edits_len + size, edits_len))) {
        cdcd_log(CDCD_LOG_ERROR, CDCD_TEXT("cdcd: no memory is left for edits"));
        __builtin_trap();
    }
    unsigned char *at = edits.at + edits_len;
    const uint32_t head[4] = {(uint32_t)size, e->index, what | image << 8 | column << 16, kind};
    __builtin_memcpy(at, head, sizeof head);
    __builtin_memcpy(at + 16, &value, sizeof value);
    if (text.len) {
        const uint64_t zeros = 0;
        __builtin_memcpy(at + size - 8, &zeros, sizeof zeros);
        __builtin_memcpy(at + 24, text.at, text.len);
    }
    edits_len += size;
}

void cdcd_set(cdcd_event *e, cdcd_image image, unsigned edit, cdcd_value value)
{
    const cdcd_text none = {NULL, 0};
    if (value.kind == CDCD_NULL)
        append(e, EDIT_NULL, image, edit, 0, 0, none);
    else if (value.text.at || value.text.len)
        append(e, EDIT_SET, image, edit, value.kind, value.text.len, value.text);
    else if (value.kind != CDCD_ABSENT)
        append(e, EDIT_SET, image, edit, value.kind, value.bits, none);
}

void cdcd_set_null(cdcd_event *e, cdcd_image image, unsigned edit)
{
    append(e, EDIT_NULL, image, edit, 0, 0, cdcd_text_of(NULL, 0));
}

void cdcd_drop_column(cdcd_event *e, cdcd_image image, unsigned edit)
{
    append(e, EDIT_DROP, image, edit, 0, 0, cdcd_text_of(NULL, 0));
}

void cdcd_tag(cdcd_event *e, cdcd_text tag) { append(e, EDIT_TAG, 0, 0, 0, tag.len, tag); }

void cdcd_reason(cdcd_event *e, cdcd_text reason) { append(e, EDIT_REASON, 0, 0, 0, reason.len, reason); }

void cdcd_route(cdcd_event *e, cdcd_text feed) { append(e, EDIT_ROUTE, 0, 0, 0, feed.len, feed); }

cdcd_verdict cdcd_error(cdcd_event *e, cdcd_text why)
{
    if (e->failed)
        return CDCD_ERROR;
    edits_len = e->edits; /* what was wanted of it no longer matters */
    if (why.len)
        append(e, EDIT_ERROR, 0, 0, 0, why.len, why);
    e->failed = true;
    return CDCD_ERROR;
}

/* ---- The host ---- */

void cdcd_log(cdcd_level level, cdcd_text line) { host_log(level, line.at, line.len); }

void cdcd_metric(unsigned number, int64_t delta) { host_metric(number, delta); }

/* ---- Values ---- */

static const cdcd_text kind_names[] = {
    {"absent", 6}, {"null", 4}, {"bool", 4},     {"int64", 5},     {"uint64", 6}, {"float64", 7}, {"decimal", 7},
    {"string", 6}, {"bytes", 5}, {"date", 4},    {"time", 4},      {"datetime", 8}, {"timestamp", 9}, {"json", 4},
    {"enum", 4},   {"set", 3},   {"bit", 3},     {"geometry", 8},  {"vector", 6},
};

cdcd_text cdcd_kind_name(cdcd_kind kind)
{
    return (unsigned)kind < sizeof kind_names / sizeof *kind_names ? kind_names[kind] : cdcd_text_of(NULL, 0);
}

int64_t cdcd_as_int(cdcd_value v)
{
    switch (v.kind) {
    case CDCD_INT64: case CDCD_TIME: case CDCD_TIMESTAMP: return (int64_t)v.bits;
    case CDCD_UINT64: case CDCD_BIT: return v.bits <= INT64_MAX ? (int64_t)v.bits : 0;
    default: return 0;
    }
}

uint64_t cdcd_as_uint(cdcd_value v)
{
    switch (v.kind) {
    case CDCD_UINT64: case CDCD_BIT: return v.bits;
    case CDCD_INT64: return (int64_t)v.bits >= 0 ? v.bits : 0;
    default: return 0;
    }
}

double cdcd_as_float(cdcd_value v)
{
    double number = 0;
    switch (v.kind) {
    case CDCD_FLOAT64: __builtin_memcpy(&number, &v.bits, sizeof number); return number;
    case CDCD_INT64: return (double)(int64_t)v.bits;
    case CDCD_UINT64: return (double)v.bits;
    default: return 0;
    }
}

cdcd_value cdcd_float_value(double number)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &number, sizeof bits);
    return cdcd_number_value(CDCD_FLOAT64, bits);
}

cdcd_civil cdcd_as_civil(cdcd_value v)
{
    const uint64_t n = v.kind == CDCD_DATE || v.kind == CDCD_DATETIME ? v.bits : 0;
    const cdcd_civil c = {(int)(n >> 46),      (int)(n >> 42 & 15), (int)(n >> 37 & 31),     (int)(n >> 32 & 31),
                          (int)(n >> 26 & 63), (int)(n >> 20 & 63), (int)(n & ((1 << 20) - 1))};
    return c;
}

static cdcd_value civil_value(cdcd_kind kind, const cdcd_civil *c)
{
    return cdcd_number_value(kind, (uint64_t)c->year << 46 | (uint64_t)c->month << 42 | (uint64_t)c->day << 37 |
                                       (uint64_t)c->hour << 32 | (uint64_t)c->minute << 26 | (uint64_t)c->second << 20 |
                                       (uint64_t)c->micro);
}

cdcd_value cdcd_date_value(int year, int month, int day)
{
    const cdcd_civil c = {year, month, day, 0, 0, 0, 0};
    return civil_value(CDCD_DATE, &c);
}

cdcd_value cdcd_datetime_value(cdcd_civil at) { return civil_value(CDCD_DATETIME, &at); }

bool cdcd_same_value(cdcd_value a, cdcd_value b) { return a.kind == b.kind && a.bits == b.bits && cdcd_same(a.text, b.text); }

/* ---- Texts ---- */

bool cdcd_same(cdcd_text a, cdcd_text b) { return a.len == b.len && cdcd_starts_with(a, b); }

bool cdcd_starts_with(cdcd_text text, cdcd_text prefix)
{
    if (text.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (text.at[i] != prefix.at[i])
            return false;
    return true;
}

void cdcd_put(cdcd_buffer *b, cdcd_text text)
{
    for (size_t i = 0; i < text.len && b->len < b->room; i++)
        b->at[b->len++] = text.at[i];
}

void cdcd_put_uint(cdcd_buffer *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    cdcd_put(b, cdcd_text_of(digits + at, sizeof digits - at));
}

void cdcd_put_int(cdcd_buffer *b, int64_t number)
{
    if (number < 0)
        cdcd_put(b, CDCD_TEXT("-"));
    cdcd_put_uint(b, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* A number in decimal digits: 0.d1d2d3… × 10^magnitude, with d1 not zero. */
typedef struct digits {
    const char *at, *end; /* from the first digit that is not zero; a point may be among them */
    int64_t magnitude;
    int sign; /* 0: it is zero */
} digits;

static digits read_digits(cdcd_text text)
{
    const char *p = text.at, *end = text.at + text.len;
    digits d = {end, end, 0, 1};
    if (p < end && (*p == '-' || *p == '+'))
        d.sign = *p++ == '-' ? -1 : 1;
    bool point = false, found = false;
    for (; p < end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (!found && *p != '0') {
            found = true;
            d.at = p;
        }
        d.magnitude += found && !point ? 1 : !found && point ? -1 : 0;
    }
    d.end = p;
    if (!found) {
        d.sign = 0;
        return d;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const bool small = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        int64_t exponent = 0;
        for (; p < end && is_digit(*p); p++)
            if (exponent < INT64_MAX / 100)
                exponent = exponent * 10 + (*p - '0');
        d.magnitude += small ? -exponent : exponent;
    }
    return d;
}

static char next_digit(digits *d)
{
    if (d->at < d->end && *d->at == '.')
        d->at++;
    return d->at < d->end ? *d->at++ : '0';
}

int cdcd_compare_decimals(cdcd_text a, cdcd_text b)
{
    digits x = read_digits(a), y = read_digits(b);
    if (x.sign != y.sign)
        return x.sign < y.sign ? -1 : 1;
    if (x.sign == 0)
        return 0;
    if (x.magnitude != y.magnitude)
        return x.magnitude < y.magnitude ? -x.sign : x.sign;
    while (x.at < x.end || y.at < y.end) {
        const char i = next_digit(&x), j = next_digit(&y);
        if (i != j)
            return i < j ? -x.sign : x.sign;
    }
    return 0;
}

double cdcd_float_of(cdcd_text text)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    digits d = read_digits(text);
    if (!d.sign)
        return text.len && *text.at == '-' ? -0.0 : 0;
    uint64_t mantissa = 0;
    int taken = 0;
    for (; taken < 19 && d.at < d.end; taken++)
        mantissa = mantissa * 10 + (uint64_t)(next_digit(&d) - '0');
    while (mantissa % 10 == 0) { /* fewer digits are more often exact */
        mantissa /= 10;
        taken--;
    }
    const int64_t most = 400;
    int64_t exponent = d.magnitude > most ? most : d.magnitude < -most ? -most : d.magnitude;
    double number = (double)mantissa;
    for (exponent -= taken; exponent > 22; exponent -= 22)
        number *= 1e22;
    for (; exponent < -22; exponent += 22)
        number /= 1e22;
    number = exponent < 0 ? number / powers[-exponent] : number * powers[exponent];
    return d.sign * number;
}

/* ---- JSON ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* skip_string goes behind the string that begins at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return end;
}

/* skip_value goes behind the value that begins at p, however deep it is. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            break;
        case '{': case '[':
            depth++;
            p++;
            continue;
        case '}': case ']':
            if (depth == 0)
                return p;
            depth--;
            p++;
            break;
        case ',': case ':': case ' ': case '\n': case '\t': case '\r':
            if (depth == 0)
                return p;
            p++;
            continue;
        default:
            while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != ':' && *p != ' ' && *p != '\n' && *p != '\t' && *p != '\r')
                p++;
        }
        if (depth == 0)
            return p;
    }
    return end;
}

cdcd_json cdcd_parse(cdcd_text json)
{
    const char *end = json.at + json.len, *at = skip_space(json.at, end);
    const cdcd_json v = {cdcd_text_of(at, skip_value(at, end) - at)};
    return v;
}

cdcd_json_kind cdcd_json_kind_of(cdcd_json v)
{
    if (!v.text.len)
        return CDCD_JSON_NONE;
    switch (*v.text.at) {
    case 'n': return CDCD_JSON_NULL;
    case 't': case 'f': return CDCD_JSON_BOOL;
    case '"': return CDCD_JSON_STRING;
    case '[': return CDCD_JSON_ARRAY;
    case '{': return CDCD_JSON_OBJECT;
    }
    return *v.text.at == '-' || is_digit(*v.text.at) ? CDCD_JSON_NUMBER : CDCD_JSON_NONE;
}

static unsigned hex4(const char *p, const char *end)
{
    unsigned n = 0;
    for (int i = 0; i < 4; i++, p++) {
        const char c = p < end ? *p : '0', letter = (char)(c | 32);
        n = n << 4 | (unsigned)(is_digit(c) ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : 0);
    }
    return n;
}

/* next_bytes puts the next character of a string, or byte where it is not escaped, into piece, and returns how many bytes it is. */
static size_t next_bytes(const char **at, const char *end, char piece[4])
{
    const char *p = *at;
    if (*p != '\\' || p + 1 >= end) {
        piece[0] = *p;
        *at = p + 1;
        return 1;
    }
    *at = p + 2;
    switch (p[1]) {
    case 'b': piece[0] = '\b'; return 1;
    case 'f': piece[0] = '\f'; return 1;
    case 'n': piece[0] = '\n'; return 1;
    case 'r': piece[0] = '\r'; return 1;
    case 't': piece[0] = '\t'; return 1;
    default: piece[0] = p[1]; return 1;
    case 'u': break;
    }
    unsigned n = hex4(p + 2, end);
    p = end - p < 6 ? end : p + 6;
    if (n >= 0xd800 && n < 0xe000) {
        const unsigned low = n < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : 0;
        const bool pair = low >= 0xdc00 && low < 0xe000;
        n = pair ? 0x10000 + ((n - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
        p += pair ? 6 : 0;
    }
    *at = p;
    if (n < 0x80) {
        piece[0] = (char)n;
        return 1;
    }
    const size_t len = n < 0x800 ? 2 : n < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; n >>= 6)
        piece[i] = (char)(0x80 | (n & 0x3f));
    piece[0] = (char)(0xf00 >> len | n);
    return len;
}

/* is_string says whether a string as it is written, with its quotes, is the text. */
static bool is_string(const char *at, const char *end, cdcd_text text)
{
    size_t same = 0;
    for (at++; at < end && *at != '"';) {
        char piece[4];
        const size_t len = next_bytes(&at, end, piece);
        if (len > text.len - same || !cdcd_same(cdcd_text_of(piece, len), cdcd_text_of(text.at + same, len)))
            return false;
        same += len;
    }
    return same == text.len;
}

cdcd_json cdcd_member(cdcd_json object, cdcd_text name)
{
    const cdcd_json none = {{NULL, 0}};
    if (cdcd_json_kind_of(object) != CDCD_JSON_OBJECT)
        return none;
    const char *end = object.text.at + object.text.len, *p = skip_space(object.text.at + 1, end);
    while (p < end && *p == '"') {
        const char *behind = skip_string(p, end);
        const bool found = is_string(p, behind, name);
        p = skip_space(behind, end);
        if (p >= end || *p != ':')
            return none;
        p = skip_space(p + 1, end);
        behind = skip_value(p, end);
        if (found)
            return cdcd_parse(cdcd_text_of(p, behind - p));
        p = skip_space(behind, end);
        if (p < end && *p == ',')
            p = skip_space(p + 1, end);
    }
    return none;
}

cdcd_json cdcd_element(cdcd_json array, size_t index)
{
    const cdcd_json none = {{NULL, 0}};
    if (cdcd_json_kind_of(array) != CDCD_JSON_ARRAY)
        return none;
    const char *end = array.text.at + array.text.len, *p = skip_space(array.text.at + 1, end);
    while (p < end && *p != ']') {
        const char *behind = skip_value(p, end);
        if (behind == p)
            return none;
        if (index-- == 0)
            return cdcd_parse(cdcd_text_of(p, behind - p));
        p = skip_space(behind, end);
        if (p < end && *p == ',')
            p = skip_space(p + 1, end);
    }
    return none;
}

bool cdcd_json_bool(cdcd_json v, bool fallback)
{
    return cdcd_json_kind_of(v) == CDCD_JSON_BOOL ? *v.text.at == 't' : fallback;
}

int64_t cdcd_json_int(cdcd_json v, int64_t fallback)
{
    if (cdcd_json_kind_of(v) != CDCD_JSON_NUMBER)
        return fallback;
    const bool negative = *v.text.at == '-';
    const uint64_t most = (uint64_t)INT64_MAX + negative;
    uint64_t n = 0;
    for (size_t i = negative; i < v.text.len; i++) {
        const unsigned digit = (unsigned)(v.text.at[i] - '0');
        if (digit > 9 || n > (most - digit) / 10)
            return fallback;
        n = n * 10 + digit;
    }
    return negative ? (int64_t)-n : (int64_t)n;
}

double cdcd_json_float(cdcd_json v, double fallback)
{
    return cdcd_json_kind_of(v) == CDCD_JSON_NUMBER ? cdcd_float_of(v.text) : fallback;
}

cdcd_text cdcd_json_number(cdcd_json v)
{
    return cdcd_json_kind_of(v) == CDCD_JSON_NUMBER ? v.text : cdcd_text_of(NULL, 0);
}

cdcd_text cdcd_json_string(cdcd_json v, cdcd_buffer *room)
{
    if (cdcd_json_kind_of(v) != CDCD_JSON_STRING)
        return cdcd_text_of(NULL, 0);
    const size_t from = room->len;
    const char *end = v.text.at + v.text.len;
    for (const char *p = v.text.at + 1; p < end && *p != '"';) {
        char piece[4];
        cdcd_put(room, cdcd_text_of(piece, next_bytes(&p, end, piece)));
    }
    return cdcd_text_of(room->at + from, room->len - from);
}
