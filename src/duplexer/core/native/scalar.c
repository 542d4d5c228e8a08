/* Eight bytes at a time, on any machine. */
#include "native.h"

static uint64_t xor_words(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    uint64_t k = dx_key64(key), seen = 0;
    size_t i = 0;
    /* The last words overlap what the loop did: load them before it stores (see native.h). */
    uint64_t tail = dx_load64(src + n - 8) ^ dx_key64(dx_rotate(key, n));
    for (; i + 32 <= n; i += 32) {
        uint64_t a = dx_load64(src + i) ^ k, b = dx_load64(src + i + 8) ^ k;
        uint64_t c = dx_load64(src + i + 16) ^ k, d = dx_load64(src + i + 24) ^ k;
        dx_store64(dst + i, a);
        dx_store64(dst + i + 8, b);
        dx_store64(dst + i + 16, c);
        dx_store64(dst + i + 24, d);
        seen |= (a | b) | (c | d);
    }
    for (; i + 8 <= n; i += 8) {
        uint64_t a = dx_load64(src + i) ^ k;
        dx_store64(dst + i, a);
        seen |= a;
    }
    dx_store64(dst + n - 8, tail);
    return seen | tail;
}

static void xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    (void)xor_words(dst, src, n, key);
}

static int ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    return (xor_words(dst, src, n, key) & DX_HIGH_BITS) == 0;
}

/* The UTF-8 automaton. Its states say which second bytes are allowed; that is all it takes to keep
 * out overlong forms, surrogates and what lies above U+10FFFF (RFC 3629 4):
 *
 *     0 ACCEPT   1 REJECT   2 ONE byte to come   3 TWO bytes to come
 *     4 after E0 (A0..BF)   5 after ED (80..9F)
 *     6 after F0 (90..BF)   7 after F1 to F3     8 after F4 (80..8F)
 *
 * Nine states of six bits fit into one word: for each byte there is a word that holds, at bit
 * 6 * state, six times the state that follows. A step is then one shift, which takes the same time
 * for every text, and no branch can be mispredicted. */
enum { ACCEPT = 0, REJECT = 6, ONE = 12, TWO = 18, E0 = 24, ED = 30, F0 = 36, F1 = 42, F4 = 48 };

#define FROM(state, to) ((uint64_t)(to) << (state))
#define ROW(accept, one, two, e0, ed, f0, f1, f4)                                        \
    (FROM(ACCEPT, accept) | FROM(REJECT, REJECT) | FROM(ONE, one) | FROM(TWO, two) |     \
     FROM(E0, e0) | FROM(ED, ed) | FROM(F0, f0) | FROM(F1, f1) | FROM(F4, f4))
#define LEAD(to) ROW(to, REJECT, REJECT, REJECT, REJECT, REJECT, REJECT, REJECT)
#define BYTES_80_8F ROW(REJECT, ACCEPT, ONE, REJECT, ONE, REJECT, TWO, TWO)
#define BYTES_90_9F ROW(REJECT, ACCEPT, ONE, REJECT, ONE, TWO, TWO, REJECT)
#define BYTES_A0_BF ROW(REJECT, ACCEPT, ONE, ONE, REJECT, TWO, TWO, REJECT)
#define X2(row) row, row
#define X3(row) X2(row), row
#define X4(row) X2(row), X2(row)
#define X12(row) X4(row), X4(row), X4(row)
#define X16(row) X12(row), X4(row)
#define X32(row) X16(row), X16(row)

static const uint64_t steps[256] = {
    X32(LEAD(ACCEPT)), X32(LEAD(ACCEPT)), X32(LEAD(ACCEPT)), X32(LEAD(ACCEPT)), /* 00..7F */
    X16(BYTES_80_8F), X16(BYTES_90_9F), X32(BYTES_A0_BF),
    X2(LEAD(REJECT)), X2(LEAD(ONE)), X12(LEAD(ONE)), X16(LEAD(ONE)),            /* C0..DF */
    LEAD(E0), X12(LEAD(TWO)), LEAD(ED), X2(LEAD(TWO)),                          /* E0..EF */
    LEAD(F0), X3(LEAD(F1)), LEAD(F4), X3(LEAD(REJECT)), X4(LEAD(REJECT)), X4(LEAD(REJECT)),
};

uint32_t dx_utf8_scalar(uint32_t state, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint64_t at = 6 * state; /* bits above the sixth are what remains of a row: never looked at */
    while (end - p >= 8) {
        if ((at & 63) != ACCEPT || (dx_load64(p) & DX_HIGH_BITS) != 0) {
            for (int i = 0; i < 8; i++) at = steps[p[i]] >> (at & 63);
        }
        p += 8;
    }
    while (p < end) at = steps[*p++] >> (at & 63);
    return (uint32_t)(at & 63) / 6;
}

const dx_kernels dx_kernels_scalar = {"scalar", xor_copy, ascii_xor_copy, dx_utf8_scalar};
