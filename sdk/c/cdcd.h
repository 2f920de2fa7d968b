/*
 * cdcd.h: the interface for writing a plugin of cdcd in C or C++.
 *
 * A plugin is one function, cdcd_filter, that is asked about each change what is to become of it:
 *
 *     #include "cdcd/cdcd.h"
 *
 *     enum { STATUS, TOTAL };                       // columns, in the order of `columns` in plugin.yaml
 *
 *     cdcd_verdict cdcd_filter(cdcd_event *e)
 *     {
 *         if (!cdcd_equals(cdcd_after(e, STATUS), CDCD_TEXT("paid")))
 *             return CDCD_DROP;
 *         cdcd_tag(e, CDCD_TEXT("paid"));
 *         return CDCD_KEEP;
 *     }
 *
 * It is compiled together with cdcd.c, needs no C library, and can be used with one (wasi-libc). README.md shows how.
 *
 * Nothing here allocates while changes are judged, but for edits, whose log grows when there are more of them than ever before.
 * Texts and values are views: of the batch they come from, and good until cdcd_filter returns. Copy what is to be kept.
 */
#ifndef CDCD_H
#define CDCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Texts ---- */

/* cdcd_text is bytes with a length: a text in UTF-8, or any bytes. It does not end with a zero. */
typedef struct cdcd_text {
    const char *at;
    size_t len;
} cdcd_text;

/* CDCD_TEXT makes a text of a literal: CDCD_TEXT("paid"). */
#ifdef __cplusplus
#define CDCD_TEXT(literal) (cdcd_text{"" literal, sizeof(literal) - 1})
#else
#define CDCD_TEXT(literal) ((cdcd_text){"" literal, sizeof(literal) - 1})
#endif

/* cdcd_text_of makes a text of bytes. */
static inline cdcd_text cdcd_text_of(const void *at, size_t len)
{
    cdcd_text t = {(const char *)at, len};
    return t;
}

/* cdcd_same says whether two texts are the same bytes. */
bool cdcd_same(cdcd_text a, cdcd_text b);

/* cdcd_starts_with says whether a text begins with another. */
bool cdcd_starts_with(cdcd_text text, cdcd_text prefix);

/*
 * cdcd_compare_decimals compares two numbers that are written in decimal digits, exactly, however long they are: less than 0
 * when a is smaller, 0 when they are equal ("1.50" and "1.5" are), more than 0 when a is greater. It takes what decimals and
 * JSON's numbers look like: -12.50, 1000, 1e6.
 */
int cdcd_compare_decimals(cdcd_text a, cdcd_text b);

/* cdcd_float_of is such a number as a double: exact up to 15 digits without an exponent, else but for the last three bits. */
double cdcd_float_of(cdcd_text digits);

/*
 * cdcd_buffer is room for a text that is put together from pieces; what does not fit is left out.
 *
 *     char room[64];
 *     cdcd_buffer b = CDCD_BUFFER(room);
 *     cdcd_put(&b, CDCD_TEXT("score "));
 *     cdcd_put_int(&b, score);
 *     cdcd_reason(e, cdcd_text_in(&b));
 */
typedef struct cdcd_buffer {
    char *at;
    size_t len, room;
} cdcd_buffer;

#define CDCD_BUFFER(array) {array, 0, sizeof(array)}

void cdcd_put(cdcd_buffer *b, cdcd_text text);
void cdcd_put_int(cdcd_buffer *b, int64_t number);
void cdcd_put_uint(cdcd_buffer *b, uint64_t number);

/* cdcd_text_in is what the buffer holds, as long as the buffer is not changed. */
static inline cdcd_text cdcd_text_in(const cdcd_buffer *b) { return cdcd_text_of(b->at, b->len); }

/* ---- Values ---- */

/* What a value is. Absent (the column is not in the image) is not null (it is SQL NULL). */
typedef enum cdcd_kind {
    CDCD_ABSENT = 0,
    CDCD_NULL = 1,
    CDCD_BOOL = 2,
    CDCD_INT64 = 3,      /* all signed integers, YEAR */
    CDCD_UINT64 = 4,     /* all unsigned integers */
    CDCD_FLOAT64 = 5,
    CDCD_DECIMAL = 6,    /* text: exact digits, "-12.50" */
    CDCD_STRING = 7,     /* text */
    CDCD_BYTES = 8,      /* bytes */
    CDCD_DATE = 9,       /* civil, without a time of day */
    CDCD_TIME = 10,      /* microseconds, also negative and beyond 24 hours */
    CDCD_DATETIME = 11,  /* civil, no time zone */
    CDCD_TIMESTAMP = 12, /* microseconds since 1970 UTC; 0 is the zero date */
    CDCD_JSON = 13,      /* text: JSON with all digits of its numbers */
    CDCD_ENUM = 14,      /* text: the member */
    CDCD_SET = 15,       /* text: the members with commas in between */
    CDCD_BIT = 16,       /* up to 64 bits */
    CDCD_GEOMETRY = 17,  /* bytes: SRID in 4, little endian, then WKB */
    CDCD_VECTOR = 18,    /* bytes: float32 each, little endian */
} cdcd_kind;

/* cdcd_kind_name is the name of a kind, as in plugin.yaml: "int64". */
cdcd_text cdcd_kind_name(cdcd_kind kind);

/* cdcd_value is one column of a row. Its fields are looked at through the functions below. */
typedef struct cdcd_value {
    uint64_t bits; /* kinds that are numbers */
    cdcd_text text; /* kinds that are text or bytes */
    cdcd_kind kind;
} cdcd_value;

/* cdcd_civil is a date and time of day as the server keeps it: parts may be zero, and days may not exist. */
typedef struct cdcd_civil {
    int year, month, day, hour, minute, second, micro;
} cdcd_civil;

static inline bool cdcd_is_null(cdcd_value v) { return v.kind == CDCD_NULL; }
static inline bool cdcd_is_absent(cdcd_value v) { return v.kind == CDCD_ABSENT; }

/* cdcd_as_bool is a bool; false for other kinds. */
static inline bool cdcd_as_bool(cdcd_value v) { return v.kind == CDCD_BOOL && v.bits != 0; }

/* cdcd_as_int is an int64, the microseconds of a time or timestamp, or a uint64 or bits that fit; 0 for other kinds. */
int64_t cdcd_as_int(cdcd_value v);

/* cdcd_as_uint is a uint64 or bits, or an int64 that is not negative; 0 for other kinds. */
uint64_t cdcd_as_uint(cdcd_value v);

/* cdcd_as_float is a float64, or an integer as one; 0 for other kinds. A decimal is cdcd_float_of its text. */
double cdcd_as_float(cdcd_value v);

/* cdcd_as_text is the text of decimal, string, json, enum and set, the bytes of bytes, geometry and vector; empty for other kinds. */
static inline cdcd_text cdcd_as_text(cdcd_value v) { return v.text; }

/* cdcd_as_civil is the parts of a date or datetime; zeros for other kinds. */
cdcd_civil cdcd_as_civil(cdcd_value v);

/* cdcd_as_micros is the microseconds of a time, or of a timestamp since 1970; 0 for other kinds. */
static inline int64_t cdcd_as_micros(cdcd_value v)
{
    return v.kind == CDCD_TIME || v.kind == CDCD_TIMESTAMP ? (int64_t)v.bits : 0;
}

/* cdcd_equals says whether a value is this text, of whatever kind that is text or bytes. */
static inline bool cdcd_equals(cdcd_value v, cdcd_text text) { return v.text.at && cdcd_same(v.text, text); }

/* cdcd_same_value says whether two values are of the same kind and the same. */
bool cdcd_same_value(cdcd_value a, cdcd_value b);

/* Values for cdcd_set, by the kind of the column. Texts are copied by cdcd_set. */
static inline cdcd_value cdcd_number_value(cdcd_kind kind, uint64_t bits)
{
    cdcd_value v = {bits, {NULL, 0}, kind};
    return v;
}
static inline cdcd_value cdcd_text_value(cdcd_kind kind, cdcd_text text)
{
    cdcd_value v = {0, text, kind};
    return v;
}
static inline cdcd_value cdcd_bool_value(bool b) { return cdcd_number_value(CDCD_BOOL, b); }
static inline cdcd_value cdcd_int_value(int64_t n) { return cdcd_number_value(CDCD_INT64, (uint64_t)n); }
static inline cdcd_value cdcd_uint_value(uint64_t n) { return cdcd_number_value(CDCD_UINT64, n); }
cdcd_value cdcd_float_value(double number);
static inline cdcd_value cdcd_decimal_value(cdcd_text digits) { return cdcd_text_value(CDCD_DECIMAL, digits); }
static inline cdcd_value cdcd_string_value(cdcd_text text) { return cdcd_text_value(CDCD_STRING, text); }
static inline cdcd_value cdcd_bytes_value(cdcd_text bytes) { return cdcd_text_value(CDCD_BYTES, bytes); }
cdcd_value cdcd_date_value(int year, int month, int day);
cdcd_value cdcd_datetime_value(cdcd_civil at);
static inline cdcd_value cdcd_time_value(int64_t micros) { return cdcd_number_value(CDCD_TIME, (uint64_t)micros); }
static inline cdcd_value cdcd_timestamp_value(int64_t micros) { return cdcd_number_value(CDCD_TIMESTAMP, (uint64_t)micros); }
static inline cdcd_value cdcd_json_value(cdcd_text json) { return cdcd_text_value(CDCD_JSON, json); }
static inline cdcd_value cdcd_enum_value(cdcd_text member) { return cdcd_text_value(CDCD_ENUM, member); }
static inline cdcd_value cdcd_set_value(cdcd_text members) { return cdcd_text_value(CDCD_SET, members); }
static inline cdcd_value cdcd_bit_value(uint64_t bits) { return cdcd_number_value(CDCD_BIT, bits); }
static inline cdcd_value cdcd_geometry_value(cdcd_text bytes) { return cdcd_text_value(CDCD_GEOMETRY, bytes); }
static inline cdcd_value cdcd_vector_value(cdcd_text bytes) { return cdcd_text_value(CDCD_VECTOR, bytes); }

/* ---- Changes ---- */

/* What happened to the row. A snapshot is a row that was read from the table, not from the log. */
typedef enum cdcd_op { CDCD_INSERT = 1, CDCD_UPDATE = 2, CDCD_DELETE = 3, CDCD_SNAPSHOT = 4 } cdcd_op;

/* The two images of a row. Inserts and snapshots have no image before, deletes none after. */
typedef enum cdcd_image { CDCD_BEFORE = 1, CDCD_AFTER = 2 } cdcd_image;

/* What is to become of a change. CDCD_KEEP includes the edits that were made to it. */
typedef enum cdcd_verdict { CDCD_DROP = 0, CDCD_KEEP = 1, CDCD_ERROR = 3 } cdcd_verdict;

/* cdcd_event is a change that is being judged. Its fields belong to cdcd.c. */
typedef struct cdcd_event {
    const unsigned char *entry;  /* in the frame */
    const unsigned char *before; /* image; NULL: there is none */
    const unsigned char *after;
    uint32_t index;
    size_t edits; /* where those of this change begin in the log */
    bool failed;
} cdcd_event;

/* cdcd_op_of is what happened, cdcd_op_name its name: "insert", "update", "delete", "snapshot". */
static inline cdcd_op cdcd_op_of(const cdcd_event *e) { return (cdcd_op)e->entry[18]; }
cdcd_text cdcd_op_name(const cdcd_event *e);

/* cdcd_schema and cdcd_table are the database and the name of the table. */
cdcd_text cdcd_schema(const cdcd_event *e);
cdcd_text cdcd_table(const cdcd_event *e);

/* cdcd_no is the number of the change among all that were captured. */
uint64_t cdcd_no(const cdcd_event *e);

/* cdcd_commit_time is when its transaction committed, in microseconds since 1970 UTC; 0 when that is not known. */
int64_t cdcd_commit_time(const cdcd_event *e);

/* cdcd_incomplete says that the change is so large that the source has left out values: they are absent. */
static inline bool cdcd_incomplete(const cdcd_event *e) { return e->entry[19] & 1; }

/* cdcd_has says whether the change has the image. */
static inline bool cdcd_has(const cdcd_event *e, cdcd_image image) { return (image == CDCD_BEFORE ? e->before : e->after) != NULL; }

/* cdcd_column is a column of an image; column is its place in `columns` of plugin.yaml. Absent where there is no such image. */
static inline cdcd_value cdcd_column(const unsigned char *image, unsigned column)
{
    cdcd_value v = {0, {NULL, 0}, CDCD_ABSENT};
    uint16_t columns = 0;
    if (image)
        __builtin_memcpy(&columns, image + 4, sizeof columns);
    if (column < columns) {
        uint64_t slot;
        __builtin_memcpy(&slot, image + 8 + ((columns + 7) & ~7u) + 8 * column, sizeof slot);
        const unsigned kind = image[8 + column];
        const unsigned texts = 1 << CDCD_DECIMAL | 1 << CDCD_STRING | 1 << CDCD_BYTES | 1 << CDCD_JSON | 1 << CDCD_ENUM |
                               1 << CDCD_SET | 1 << CDCD_GEOMETRY | 1 << CDCD_VECTOR;
        v.kind = (cdcd_kind)kind;
        if (texts >> kind & 1)
            v.text = cdcd_text_of(image + (uint32_t)slot, (uint32_t)(slot >> 32));
        else
            v.bits = slot;
    }
    return v;
}

/* cdcd_before and cdcd_after are a column as it was and as it became. An image that `images` does not ask for is all absent. */
static inline cdcd_value cdcd_before(const cdcd_event *e, unsigned column) { return cdcd_column(e->before, column); }
static inline cdcd_value cdcd_after(const cdcd_event *e, unsigned column) { return cdcd_column(e->after, column); }

/*
 * cdcd_changed says whether the column differs between before and after; where there is only one of them, every column has
 * changed, as in rules. The manifest must ask for both images.
 */
bool cdcd_changed(const cdcd_event *e, unsigned column);

/* cdcd_event_json is the change as JSON, with the declared columns. It is good until the next call, and costs what JSON costs. */
cdcd_text cdcd_event_json(const cdcd_event *e);

/* ---- Edits: what is to be altered in what is delivered, if the change is kept ---- */

/*
 * cdcd_set gives a column another value, of the column's kind; edit is its place in `edits` of plugin.yaml. Null is a value;
 * one that is absent changes nothing.
 */
void cdcd_set(cdcd_event *e, cdcd_image image, unsigned edit, cdcd_value value);

/* cdcd_set_null makes a column NULL. */
void cdcd_set_null(cdcd_event *e, cdcd_image image, unsigned edit);

/* cdcd_drop_column leaves a column out. */
void cdcd_drop_column(cdcd_event *e, cdcd_image image, unsigned edit);

/* cdcd_tag adds a tag, of 1 to 256 bytes; there are at most 16. */
void cdcd_tag(cdcd_event *e, cdcd_text tag);

/* cdcd_reason says why the change is delivered, in 1 to 256 bytes; the last one counts. */
void cdcd_reason(cdcd_event *e, cdcd_text reason);

/* cdcd_route names a feed of the rule that gets the change; without it all of them do. */
void cdcd_route(cdcd_event *e, cdcd_text feed);

/*
 * cdcd_error says why the change cannot be judged, in at most 1,024 bytes: return cdcd_error(e, CDCD_TEXT("no total"));
 * Nothing that is done to the change afterwards has an effect.
 */
cdcd_verdict cdcd_error(cdcd_event *e, cdcd_text why);

/* ---- The host ---- */

typedef enum cdcd_level { CDCD_DEBUG = 0, CDCD_INFO = 1, CDCD_WARN = 2, CDCD_LOG_ERROR = 3 } cdcd_level;

/* cdcd_log writes a line to cdcd's log. It is cut at 1,024 bytes. */
void cdcd_log(cdcd_level level, cdcd_text line);

/* cdcd_metric adds to the counter with this place in `metrics` of plugin.yaml. */
void cdcd_metric(unsigned number, int64_t delta);

/* cdcd_alloc is zeroed memory for good, 8-aligned: there is no free. NULL: there is none left. */
void *cdcd_alloc(size_t bytes);

/* ---- JSON: the configuration, columns of kind json, cdcd_event_json ---- */

typedef enum cdcd_json_kind {
    CDCD_JSON_NONE, /* it is not there, or not JSON */
    CDCD_JSON_NULL,
    CDCD_JSON_BOOL,
    CDCD_JSON_NUMBER,
    CDCD_JSON_STRING,
    CDCD_JSON_ARRAY,
    CDCD_JSON_OBJECT,
} cdcd_json_kind;

/* cdcd_json is a view of a value in a JSON text. One that is not there has no text, and what is asked of it is not there either. */
typedef struct cdcd_json {
    cdcd_text text; /* as it is written, without space around it */
} cdcd_json;

/* cdcd_parse is the value that a text holds. */
cdcd_json cdcd_parse(cdcd_text json);

cdcd_json_kind cdcd_json_kind_of(cdcd_json v);

/* cdcd_member is a member of an object, cdcd_element an element of an array, from 0. */
cdcd_json cdcd_member(cdcd_json object, cdcd_text name);
cdcd_json cdcd_element(cdcd_json array, size_t index);

/* cdcd_json_bool, _int and _float are a value as what they say, or fallback if it is something else or does not fit. */
bool cdcd_json_bool(cdcd_json v, bool fallback);
int64_t cdcd_json_int(cdcd_json v, int64_t fallback);
double cdcd_json_float(cdcd_json v, double fallback);

/* cdcd_json_number is the digits of a number, for cdcd_compare_decimals; empty if it is something else. */
cdcd_text cdcd_json_number(cdcd_json v);

/* cdcd_json_string puts the text of a string into the buffer, behind what it holds, and returns it; empty if it is something else. */
cdcd_text cdcd_json_string(cdcd_json v, cdcd_buffer *room);

/* ---- What a plugin defines ---- */

/* cdcd_filter judges a change. The same change must be judged the same, whatever came before it. */
cdcd_verdict cdcd_filter(cdcd_event *e);

/*
 * cdcd_init is optional. It takes the configuration of the rule, an object that satisfies the schema in plugin.yaml and is good
 * until it returns, and returns CDCD_OK or what is wrong with it.
 */
cdcd_text cdcd_init(cdcd_json config);

#define CDCD_OK (cdcd_text_of(NULL, 0))

#ifdef __cplusplus
}
#endif

#endif
