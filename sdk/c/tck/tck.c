/* The plugin that the suite drives: wasm/tck/PLUGIN.md says what it does. */
#include "cdcd.h"

#define FIRST CDCD_BOOL
#define LAST CDCD_VECTOR

/* The column of a kind, and its edit, as plugin.yaml has them. */
static unsigned column_of(unsigned kind) { return kind - 1; }
static unsigned edit_of(unsigned kind) { return kind - 2; }
#define OPTIONAL (LAST)

static cdcd_text config;

cdcd_text cdcd_init(cdcd_json given)
{
    cdcd_buffer all = {cdcd_alloc(given.text.len), 0, given.text.len};
    cdcd_put(&all, given.text);
    config = cdcd_text_in(&all);
    if (cdcd_json_bool(cdcd_member(given, CDCD_TEXT("trap")), false))
        __builtin_trap();
    cdcd_json refuse = cdcd_member(given, CDCD_TEXT("refuse"));
    if (cdcd_json_kind_of(refuse) == CDCD_JSON_STRING) {
        cdcd_buffer why = {cdcd_alloc(refuse.text.len), 0, refuse.text.len};
        return cdcd_json_string(refuse, &why);
    }
    return CDCD_OK;
}

/* cut returns what stands before the separator, or all, and leaves what stands behind it. */
static cdcd_text cut(cdcd_text *rest, char separator)
{
    cdcd_text before = *rest;
    for (size_t i = 0; i < rest->len; i++)
        if (rest->at[i] == separator) {
            before.len = i;
            *rest = cdcd_text_of(rest->at + i + 1, rest->len - i - 1);
            return before;
        }
    *rest = cdcd_text_of(rest->at + rest->len, 0);
    return before;
}

static int64_t number(cdcd_text digits) { return cdcd_json_int(cdcd_parse(digits), 0); }

static unsigned kind_named(cdcd_text name)
{
    unsigned kind = FIRST;
    while (kind < LAST && !cdcd_same(cdcd_kind_name((cdcd_kind)kind), name))
        kind++;
    return kind;
}

static cdcd_value rebuilt(cdcd_value v)
{
    switch (v.kind) {
    case CDCD_BOOL: return cdcd_bool_value(cdcd_as_bool(v));
    case CDCD_INT64: return cdcd_int_value(cdcd_as_int(v));
    case CDCD_UINT64: return cdcd_uint_value(cdcd_as_uint(v));
    case CDCD_FLOAT64: return cdcd_float_value(cdcd_as_float(v));
    case CDCD_DECIMAL: return cdcd_decimal_value(cdcd_as_text(v));
    case CDCD_STRING: return cdcd_string_value(cdcd_as_text(v));
    case CDCD_BYTES: return cdcd_bytes_value(cdcd_as_text(v));
    case CDCD_DATE: {
        cdcd_civil c = cdcd_as_civil(v);
        return cdcd_date_value(c.year, c.month, c.day);
    }
    case CDCD_TIME: return cdcd_time_value(cdcd_as_micros(v));
    case CDCD_DATETIME: return cdcd_datetime_value(cdcd_as_civil(v));
    case CDCD_TIMESTAMP: return cdcd_timestamp_value(cdcd_as_micros(v));
    case CDCD_JSON: return cdcd_json_value(cdcd_as_text(v));
    case CDCD_ENUM: return cdcd_enum_value(cdcd_as_text(v));
    case CDCD_SET: return cdcd_set_value(cdcd_as_text(v));
    case CDCD_BIT: return cdcd_bit_value(cdcd_as_uint(v));
    case CDCD_GEOMETRY: return cdcd_geometry_value(cdcd_as_text(v));
    case CDCD_VECTOR: return cdcd_vector_value(cdcd_as_text(v));
    default: return v;
    }
}

static void copy(cdcd_event *e, cdcd_image image, bool rebuild)
{
    for (unsigned kind = FIRST; kind <= LAST; kind++) {
        cdcd_value v = image == CDCD_BEFORE ? cdcd_before(e, column_of(kind)) : cdcd_after(e, column_of(kind));
        if (cdcd_is_absent(v))
            continue;
        if (cdcd_is_null(v))
            cdcd_set_null(e, image, edit_of(kind));
        else
            cdcd_set(e, image, edit_of(kind), rebuild ? rebuilt(v) : v);
    }
}

static void describe(cdcd_event *e)
{
    char room[256];
    cdcd_buffer b = CDCD_BUFFER(room);
    cdcd_put(&b, cdcd_op_name(e));
    cdcd_put(&b, CDCD_TEXT(" "));
    cdcd_put(&b, cdcd_schema(e));
    cdcd_put(&b, CDCD_TEXT(" "));
    cdcd_put(&b, cdcd_table(e));
    cdcd_put(&b, CDCD_TEXT(" "));
    cdcd_put_uint(&b, cdcd_no(e));
    cdcd_put(&b, CDCD_TEXT(" "));
    cdcd_put_int(&b, cdcd_commit_time(e));
    cdcd_reason(e, cdcd_text_in(&b));
}

static void kinds(cdcd_event *e)
{
    char room[256];
    cdcd_buffer b = CDCD_BUFFER(room);
    for (unsigned column = column_of(FIRST); column <= OPTIONAL; column++) {
        if (b.len)
            cdcd_put(&b, CDCD_TEXT(","));
        cdcd_put(&b, cdcd_kind_name((cdcd_has(e, CDCD_AFTER) ? cdcd_after(e, column) : cdcd_before(e, column)).kind));
    }
    cdcd_reason(e, cdcd_text_in(&b));
}

static void changed(cdcd_event *e)
{
    char room[256];
    cdcd_buffer b = CDCD_BUFFER(room);
    for (unsigned kind = FIRST; kind <= LAST; kind++) {
        if (!cdcd_changed(e, column_of(kind)))
            continue;
        if (b.len)
            cdcd_put(&b, CDCD_TEXT(","));
        cdcd_put(&b, cdcd_kind_name((cdcd_kind)kind));
    }
    cdcd_reason(e, b.len ? cdcd_text_in(&b) : CDCD_TEXT("-"));
}

static void reason_number(cdcd_event *e, uint64_t n)
{
    char room[20];
    cdcd_buffer b = CDCD_BUFFER(room);
    cdcd_put_uint(&b, n);
    cdcd_reason(e, cdcd_text_in(&b));
}

static void fill(cdcd_event *e, cdcd_image image, size_t n)
{
    static cdcd_buffer letters;
    if (letters.room < n) {
        letters.at = cdcd_alloc(n);
        letters.len = 0;
        letters.room = n;
        if (!letters.at)
            __builtin_trap();
        while (letters.len < n)
            cdcd_put(&letters, CDCD_TEXT("x"));
    }
    cdcd_set(e, image, edit_of(CDCD_STRING), cdcd_string_value(cdcd_text_of(letters.at, n)));
}

/* numbered is a prefix and a number. */
static cdcd_text numbered(cdcd_buffer *b, cdcd_text prefix, int64_t n)
{
    b->len = 0;
    cdcd_put(b, prefix);
    cdcd_put_int(b, n);
    return cdcd_text_in(b);
}

/* block is 64 KiB that are kept and written to. */
static bool block(void)
{
    volatile char *at = cdcd_alloc(65536);
    if (at)
        *at = 1;
    return at != NULL;
}

static uint64_t spin(int64_t rounds)
{
    uint64_t x = 0;
    while (rounds-- > 0)
        x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
}

static volatile unsigned never, depth;

__attribute__((noinline)) static unsigned recurse(unsigned n)
{
    volatile unsigned here = n;
    depth++;
    if (never)
        return n;
    return recurse(n + 1) + here;
}

cdcd_verdict cdcd_filter(cdcd_event *e)
{
    static uint64_t counter;
    char room[64];
    cdcd_buffer line = CDCD_BUFFER(room);
    cdcd_verdict verdict = CDCD_DROP;
    cdcd_text why = CDCD_OK;
    cdcd_image image = cdcd_has(e, CDCD_AFTER) ? CDCD_AFTER : CDCD_BEFORE;
    cdcd_text rest = cdcd_as_text(image == CDCD_AFTER ? cdcd_after(e, 0) : cdcd_before(e, 0));
    while (rest.len) {
        cdcd_text argument = cut(&rest, '\n'), word = cut(&argument, ' ');
#define IS(command) cdcd_same(word, CDCD_TEXT(command))
        if (IS("keep"))
            verdict = CDCD_KEEP;
        else if (IS("drop"))
            verdict = CDCD_DROP;
        else if (IS("error"))
            verdict = CDCD_ERROR, why = argument;
        else if (IS("before"))
            image = CDCD_BEFORE;
        else if (IS("after"))
            image = CDCD_AFTER;
        else if (IS("echo") || IS("rebuild")) {
            copy(e, CDCD_BEFORE, IS("rebuild"));
            copy(e, CDCD_AFTER, IS("rebuild"));
        } else if (IS("null"))
            cdcd_set_null(e, image, edit_of(kind_named(argument)));
        else if (IS("without"))
            cdcd_drop_column(e, image, edit_of(kind_named(argument)));
        else if (IS("text"))
            cdcd_set(e, image, edit_of(CDCD_STRING), cdcd_string_value(argument));
        else if (IS("fill"))
            fill(e, image, (size_t)number(argument));
        else if (IS("tag"))
            cdcd_tag(e, argument);
        else if (IS("tags"))
            for (int64_t i = 0, n = number(argument); i < n; i++)
                cdcd_tag(e, numbered(&line, CDCD_TEXT("t"), i));
        else if (IS("reason"))
            cdcd_reason(e, argument);
        else if (IS("route"))
            cdcd_route(e, argument);
        else if (IS("describe"))
            describe(e);
        else if (IS("kinds"))
            kinds(e);
        else if (IS("changed"))
            changed(e);
        else if (IS("json"))
            cdcd_set(e, image, edit_of(CDCD_JSON), cdcd_json_value(cdcd_event_json(e)));
        else if (IS("config"))
            cdcd_reason(e, config);
        else if (IS("log")) {
            cdcd_text level = cut(&argument, ' ');
            cdcd_log((cdcd_level)number(level), argument);
        } else if (IS("logs"))
            for (int64_t i = 0, n = number(argument); i < n; i++)
                cdcd_log(CDCD_INFO, numbered(&line, CDCD_TEXT("line "), i));
        else if (IS("metric")) {
            cdcd_text metric = cut(&argument, ' ');
            cdcd_metric((unsigned)number(metric), number(argument));
        } else if (IS("count"))
            reason_number(e, ++counter);
        else if (IS("grow")) {
            for (int64_t n = number(argument); n > 0; n--)
                if (!block())
                    __builtin_trap();
        } else if (IS("spin"))
            reason_number(e, spin(number(argument)));
        else if (IS("trap"))
            __builtin_trap();
        else if (IS("loop"))
            while (!never)
                ;
        else if (IS("recurse"))
            reason_number(e, recurse(0));
        else if (IS("hoard")) {
            while (block())
                ;
            __builtin_trap();
        } else {
            char text[256];
            cdcd_buffer b = CDCD_BUFFER(text);
            cdcd_put(&b, CDCD_TEXT("no such command: "));
            cdcd_put(&b, word);
            return cdcd_error(e, cdcd_text_in(&b));
        }
    }
    return verdict == CDCD_ERROR ? cdcd_error(e, why) : verdict;
}
