/* Sixteen bytes at a time: what every x86-64 has. */
#include "native.h"

#ifdef DX_HAVE_SSE2
#include <emmintrin.h>

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline void store(uint8_t *p, __m128i v) { _mm_storeu_si128((__m128i *)p, v); }

/* n >= 16. Gives back the OR of the result. */
static inline __m128i xor_blocks(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    __m128i k = _mm_set1_epi32((int)key), seen;
    size_t i = 0;
    /* The last block overlaps what the loop did: load it before the loop stores (native.h). */
    __m128i tail = _mm_xor_si128(load(src + n - 16), _mm_set1_epi32((int)dx_rotate(key, n)));
    seen = tail;
    for (; i + 64 <= n; i += 64) {
        __m128i a = _mm_xor_si128(load(src + i), k);
        __m128i b = _mm_xor_si128(load(src + i + 16), k);
        __m128i c = _mm_xor_si128(load(src + i + 32), k);
        __m128i d = _mm_xor_si128(load(src + i + 48), k);
        store(dst + i, a);
        store(dst + i + 16, b);
        store(dst + i + 32, c);
        store(dst + i + 48, d);
        seen = _mm_or_si128(seen, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)));
    }
    for (; i + 16 <= n; i += 16) {
        __m128i a = _mm_xor_si128(load(src + i), k);
        store(dst + i, a);
        seen = _mm_or_si128(seen, a);
    }
    store(dst + n - 16, tail);
    return seen;
}

static void xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    (void)xor_blocks(dst, src, n, key);
}

static int ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    return _mm_movemask_epi8(xor_blocks(dst, src, n, key)) == 0;
}

/* Vectors for ASCII only: the shuffle that finds errors in other text came later (avx2.c). */
static uint32_t utf8(uint32_t state, const uint8_t *p, size_t n) {
    size_t i = dx_utf8_missing(state); /* at most 3, and n >= DX_SHORT */
    if (dx_utf8_scalar(state, p, i) != DX_UTF8_ACCEPT) return DX_UTF8_REJECT;
    for (; i + 64 <= n; i += 64) {
        __m128i ab = _mm_or_si128(load(p + i), load(p + i + 16));
        __m128i cd = _mm_or_si128(load(p + i + 32), load(p + i + 48));
        if (_mm_movemask_epi8(_mm_or_si128(ab, cd)) != 0) break;
    }
    return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
}

const dx_kernels dx_kernels_sse2 = {"sse2", xor_copy, ascii_xor_copy, utf8};
#else
typedef int dx_no_sse2; /* an empty translation unit is not C */
#endif
