/* Sixteen bytes at a time on AArch64. */
#include "native.h"

#ifdef DX_HAVE_NEON
#include <arm_neon.h>

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

static uint32_t utf8(uint32_t state, const uint8_t *p, size_t n) {
    size_t i = DX_UTF8_MISSING(state); /* at most 3, and n >= DX_SHORT */
    if (dx_utf8_scalar(state, p, i) != DX_UTF8_ACCEPT) return DX_UTF8_REJECT;
    for (; i + 64 <= n; i += 64) {
        uint8x16_t ab = vorrq_u8(vld1q_u8(p + i), vld1q_u8(p + i + 16));
        uint8x16_t cd = vorrq_u8(vld1q_u8(p + i + 32), vld1q_u8(p + i + 48));
        if (vmaxvq_u8(vorrq_u8(ab, cd)) >= 0x80) break;
    }
    return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
}

const dx_kernels dx_kernels_neon = {"neon", xor_copy, ascii_xor_copy, utf8};
#else
typedef int dx_no_neon; /* an empty translation unit is not C */
#endif
