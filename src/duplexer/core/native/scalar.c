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

/* Within a character the state says how many bytes are missing (DX_UTF8_MISSING) and between which
 * bounds the next one lies: missing | low << 8 | high << 16. Only a second byte has bounds other than 80..BF, and
 * those bounds are what keeps out overlong forms, surrogates and what lies above U+10FFFF
 * (RFC 3629 4). DX_UTF8_REJECT has bounds that no byte meets (0..0 is not above 7F). */
#define STATE(missing, low, high) ((uint32_t)(missing) | (low) << 8 | (uint32_t)(high) << 16)

static inline uint32_t lead(uint8_t byte) {
    if (byte < 0x80) return DX_UTF8_ACCEPT;
    if (byte < 0xC2) return DX_UTF8_REJECT; /* a continuation, or overlong by construction */
    if (byte < 0xE0) return STATE(1, 0x80, 0xBF);
    if (byte == 0xE0) return STATE(2, 0xA0, 0xBF);
    if (byte == 0xED) return STATE(2, 0x80, 0x9F);
    if (byte < 0xF0) return STATE(2, 0x80, 0xBF);
    if (byte == 0xF0) return STATE(3, 0x90, 0xBF);
    if (byte < 0xF4) return STATE(3, 0x80, 0xBF);
    if (byte == 0xF4) return STATE(3, 0x80, 0x8F);
    return DX_UTF8_REJECT;
}

static inline uint32_t next(uint32_t state, uint8_t byte) {
    uint32_t low = state >> 8 & 0xFF, high = state >> 16 & 0xFF, missing = state & 0xFF;
    if (state == DX_UTF8_REJECT || byte < low || byte > high) return DX_UTF8_REJECT;
    return missing == 1 ? DX_UTF8_ACCEPT : STATE(missing - 1, 0x80, 0xBF);
}

static inline int is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* Length of the valid character at p, of which 4 bytes are readable; 0: it is not valid. */
static inline size_t whole(const uint8_t *p) {
    uint8_t a = p[0], b = p[1];
    if (a < 0xE0) return a >= 0xC2 && is_continuation(b) ? 2 : 0;
    uint32_t bounds = lead(a);
    if (b < (bounds >> 8 & 0xFF) || b > (bounds >> 16 & 0xFF)) return 0;
    if (bounds == DX_UTF8_REJECT || !is_continuation(p[2])) return 0;
    if (a < 0xF0) return 3;
    return is_continuation(p[3]) ? 4 : 0;
}

uint32_t dx_utf8_scalar(uint32_t state, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (state != DX_UTF8_ACCEPT && p < end) {
        if (state == DX_UTF8_REJECT) return state;
        state = next(state, *p++);
    }
    if (state != DX_UTF8_ACCEPT) return state;
    while (end - p >= 8) {
        uint64_t word = dx_load64(p);
        if ((word & DX_HIGH_BITS) == 0) {
            p += 8;
            continue;
        }
        while (*p < 0x80) p++;
        /* Scripts come in runs: stay here while characters of several bytes follow each other. */
        while (end - p >= 4 && *p >= 0x80) {
            size_t length = whole(p);
            if (length == 0) return DX_UTF8_REJECT;
            p += length;
        }
    }
    while (p < end && state != DX_UTF8_REJECT) {
        state = state == DX_UTF8_ACCEPT ? lead(*p) : next(state, *p);
        p++;
    }
    return state;
}

const dx_kernels dx_kernels_scalar = {"scalar", xor_copy, ascii_xor_copy, dx_utf8_scalar};
