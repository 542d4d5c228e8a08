/* Sixteen bytes at a time on AArch64. */
#include "native.h"

#ifdef DX_HAVE_NEON
#include <arm_neon.h>

#include "utf8_errors.h"

static inline uint8x16_t key_vector(uint32_t key) { return vreinterpretq_u8_u32(vdupq_n_u32(key)); }

/* n >= 16. Gives back the OR of the result. */
static inline uint8x16_t xor_blocks(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    uint8x16_t k = key_vector(key), seen;
    size_t i = 0;
    /* The last block overlaps what the loop did: load it before the loop stores (native.h). */
    uint8x16_t tail = veorq_u8(vld1q_u8(src + n - 16), key_vector(dx_rotate(key, n)));
    seen = tail;
    for (; i + 64 <= n; i += 64) {
        uint8x16_t a = veorq_u8(vld1q_u8(src + i), k);
        uint8x16_t b = veorq_u8(vld1q_u8(src + i + 16), k);
        uint8x16_t c = veorq_u8(vld1q_u8(src + i + 32), k);
        uint8x16_t d = veorq_u8(vld1q_u8(src + i + 48), k);
        vst1q_u8(dst + i, a);
        vst1q_u8(dst + i + 16, b);
        vst1q_u8(dst + i + 32, c);
        vst1q_u8(dst + i + 48, d);
        seen = vorrq_u8(seen, vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d)));
    }
    for (; i + 16 <= n; i += 16) {
        uint8x16_t a = veorq_u8(vld1q_u8(src + i), k);
        vst1q_u8(dst + i, a);
        seen = vorrq_u8(seen, a);
    }
    vst1q_u8(dst + n - 16, tail);
    return seen;
}

static void xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    (void)xor_blocks(dst, src, n, key);
}

static int ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    return vmaxvq_u8(xor_blocks(dst, src, n, key)) < 0x80;
}

/* Non-zero where the byte of `now` is wrong after those one, two and three places before it. */
static inline uint8x16_t errors(uint8x16_t now, uint8x16_t back1, uint8x16_t back2,
                                uint8x16_t back3) {
    uint8x16_t first_high = vqtbl1q_u8(vld1q_u8(dx_by_first_high), vshrq_n_u8(back1, 4));
    uint8x16_t first_low =
        vqtbl1q_u8(vld1q_u8(dx_by_first_low), vandq_u8(back1, vdupq_n_u8(0x0F)));
    uint8x16_t second_high = vqtbl1q_u8(vld1q_u8(dx_by_second_high), vshrq_n_u8(now, 4));
    uint8x16_t pair = vandq_u8(vandq_u8(first_high, first_low), second_high);
    /* The top bit where the byte has to be a third (lead E0..) or fourth (lead F0..) one. */
    uint8x16_t third = vqsubq_u8(back2, vdupq_n_u8(0xE0 - 0x80));
    uint8x16_t fourth = vqsubq_u8(back3, vdupq_n_u8(0xF0 - 0x80));
    uint8x16_t later = vandq_u8(vorrq_u8(third, fourth), vdupq_n_u8(0x80));
    return veorq_u8(pair, later);
}

static inline uint8x16_t errors_at(const uint8_t *p) {
    return errors(vld1q_u8(p), vld1q_u8(p - 1), vld1q_u8(p - 2), vld1q_u8(p - 3));
}

/* The same for the first block of a text: nothing stands before it. */
static inline uint8x16_t errors_first(const uint8_t *p) {
    uint8x16_t now = vld1q_u8(p), none = vdupq_n_u8(0);
    return errors(now, vextq_u8(none, now, 15), vextq_u8(none, now, 14), vextq_u8(none, now, 13));
}

static inline int any_high(uint8x16_t v) { return vmaxvq_u8(v) >= 0x80; }

static inline uint8x16_t or4(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    return vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d));
}

static inline int any_high_64(const uint8_t *p) {
    return any_high(or4(vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)));
}

static uint32_t utf8(uint32_t state, const uint8_t *p, size_t n) {
    size_t i = dx_utf8_missing(state); /* at most 3, and n >= DX_SHORT */
    if (dx_utf8_scalar(state, p, i) != DX_UTF8_ACCEPT) return DX_UTF8_REJECT;
    while (i + 64 <= n && !any_high_64(p + i)) i += 64;
    while (i + 16 <= n && !any_high(vld1q_u8(p + i))) i += 16;
    if (i + 16 > n) { /* ASCII up to less than a block, and often to the end */
        if (!any_high(vld1q_u8(p + n - 16))) return DX_UTF8_ACCEPT;
        return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
    }
    uint8x16_t wrong = errors_first(p + i);
    for (i += 16; i + 64 <= n; i += 64) {
        if (p[i - 1] < 0x80 && !any_high_64(p + i)) continue;
        wrong = vorrq_u8(wrong, or4(errors_at(p + i), errors_at(p + i + 16),
                                    errors_at(p + i + 32), errors_at(p + i + 48)));
    }
    for (; i + 16 <= n; i += 16) wrong = vorrq_u8(wrong, errors_at(p + i));
    /* The last block, overlapping: its bytes and the three before it are all in [p, p + n). */
    wrong = vorrq_u8(wrong, errors_at(p + n - 16));
    if (vmaxvq_u8(wrong) != 0) return DX_UTF8_REJECT;
    size_t open = dx_utf8_open_end(p, n);
    return dx_utf8_scalar(DX_UTF8_ACCEPT, p + n - open, open);
}

const dx_kernels dx_kernels_neon = {"neon", xor_copy, ascii_xor_copy, utf8};
#else
typedef int dx_no_neon; /* an empty translation unit is not C */
#endif
