/*
 * The filter score on the interface of Extism: one change a call, which writes one byte of output if it is to be kept. It is written by
 * hand, as fast as the interface allows: input is loaded eight bytes at a time, nothing is allocated but the output.
 */
#include <stdint.h>

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

HOST(input_length) uint64_t input_length(void);
HOST(input_load_u64) uint64_t input_load_u64(uint64_t offset);
HOST(input_load_u8) uint32_t input_load_u8(uint64_t offset);
HOST(alloc) uint64_t alloc(uint64_t bytes);
HOST(store_u8) void store_u8(uint64_t offset, uint32_t byte);
HOST(output_set) void output_set(uint64_t offset, uint64_t bytes);

static uint64_t words[512];
#define input ((const char *)words)

static uint64_t load(void)
{
    const uint64_t length = input_length();
    if (length > sizeof words)
        __builtin_trap();
    uint64_t at = 0;
    for (; at + 8 <= length; at += 8)
        words[at / 8] = input_load_u64(at);
    for (; at < length; at++)
        ((uint8_t *)words)[at] = (uint8_t)input_load_u8(at);
    return length;
}

static int answer(int64_t score, int64_t least)
{
    if (score >= least) {
        const uint64_t at = alloc(1);
        store_u8(at, 1);
        output_set(at, 1);
    }
    return 0;
}

static int is_paid(const char *at, uint64_t length)
{
    return length == 4 && __builtin_memcmp(at, "paid", 4) == 0;
}

/* Input: what it has to be worth, then numbers as 8 bytes and texts as 8 bytes of length and the bytes, filled up to 8, in turn. */
EXPORT(flat) int flat(void)
{
    const uint64_t length = load() / 8;
    int64_t score = 0;
    unsigned column = 0;
    for (uint64_t i = 1; i < length; column++) {
        if (column % 2) {
            score += is_paid(input + 8 * i + 8, words[i]);
            i += 1 + (words[i] + 7) / 8;
        } else {
            score += (int64_t)words[i++];
        }
    }
    return answer(score, (int64_t)words[0]);
}

/* Input: {"c0":17,"c1":"paid",…}. The texts have no escapes. What it has to be worth comes behind it, in digits. */
EXPORT(json) int json(void)
{
    const char *p = input, *end = p + load();
    int64_t score = 0;
    while (p < end && *p != '}') {
        while (*p++ != ':') /* the names are in order */
            ;
        if (*p == '"') {
            const char *text = ++p;
            while (*p != '"')
                p++;
            score += is_paid(text, (uint64_t)(p++ - text));
        } else {
            int64_t number = 0;
            while (*p >= '0' && *p <= '9')
                number = 10 * number + (*p++ - '0');
            score += number;
        }
    }
    int64_t least = 0;
    for (p++; p < end; p++)
        least = 10 * least + (*p - '0');
    return answer(score, least);
}
