/* UTF-8 errors in neighbouring bytes, after Keiser and Lemire, "Validating UTF-8 In Less Than One
 * Instruction Per Byte" (2020); for instruction sets that look sixteen bytes up at once.
 *
 * Every error but one shows in two neighbouring bytes: three look-ups, by the high and the low half
 * of the first byte and by the high half of the second, each give the set of errors that this half
 * does not rule out, and what is in all three sets has happened. The one that does not show there,
 * a third or fourth byte missing or superfluous, comes from the leads two and three bytes back. */
#ifndef DUPLEXER_UTF8_ERRORS_H
#define DUPLEXER_UTF8_ERRORS_H

#include <stdint.h>

enum {
    TOO_SHORT = 1 << 0,   /* a lead, and no continuation after it */
    TOO_LONG = 1 << 1,    /* ASCII, and a continuation after it */
    OVERLONG_3 = 1 << 2,  /* E0 80..9F */
    TOO_LARGE = 1 << 3,   /* F4 90..BF, F5..FF 90..BF */
    SURROGATE = 1 << 4,   /* ED A0..BF */
    OVERLONG_2 = 1 << 5,  /* C0 or C1, and a continuation */
    OVERLONG_4 = 1 << 6,  /* F0 80..8F */
    TOO_LARGE_8 = 1 << 6, /* F5..FF 80..8F: another low half than OVERLONG_4 */
    TWO_CONTS = 1 << 7,   /* an error unless the second is a third or fourth byte */

    ANY_LOW = TOO_SHORT | TOO_LONG | TWO_CONTS, /* do not depend on the low half */
    ABOVE_4 = ANY_LOW | TOO_LARGE | TOO_LARGE_8,
    CONTINUES = TOO_LONG | OVERLONG_2 | TWO_CONTS
};

#define X4(set) set, set, set, set

static const uint8_t dx_by_first_high[16] = {
    X4(TOO_LONG), X4(TOO_LONG),             /* 0. to 7. */
    X4(TWO_CONTS),                          /* 8. to B. */
    TOO_SHORT | OVERLONG_2,                 /* C. */
    TOO_SHORT,                              /* D. */
    TOO_SHORT | OVERLONG_3 | SURROGATE,     /* E. */
    TOO_SHORT | OVERLONG_4 | TOO_LARGE | TOO_LARGE_8,
};

static const uint8_t dx_by_first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, /* .0 */
    ANY_LOW | OVERLONG_2,                           /* .1 */
    ANY_LOW, ANY_LOW,
    ANY_LOW | TOO_LARGE,                            /* .4 */
    X4(ABOVE_4), X4(ABOVE_4),
    ABOVE_4 | SURROGATE,                            /* .D */
    ABOVE_4, ABOVE_4,
};

static const uint8_t dx_by_second_high[16] = {
    X4(TOO_SHORT), X4(TOO_SHORT),
    CONTINUES | OVERLONG_3 | OVERLONG_4 | TOO_LARGE_8, /* 8. */
    CONTINUES | OVERLONG_3 | TOO_LARGE,                /* 9. */
    CONTINUES | SURROGATE | TOO_LARGE,                 /* A. */
    CONTINUES | SURROGATE | TOO_LARGE,                 /* B. */
    X4(TOO_SHORT),
};

#undef X4

/* How many bytes at the end of p[0..n) may belong to a character that is not complete: from the
 * last lead on, if it is among the last four bytes. n >= 4, and the bytes before are valid. */
static inline size_t dx_utf8_open_end(const uint8_t *p, size_t n) {
    size_t i = n;
    while (i > n - 3 && (p[i - 1] & 0xC0) == 0x80) i--;
    if (p[i - 1] >= 0x80) i--;
    return n - i;
}

#endif
