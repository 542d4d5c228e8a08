/* Thirty-two bytes at a time, where the CPU can (chosen by native.c). */
#include "native.h"

#ifdef DX_HAVE_AVX2
#include <immintrin.h>

/* An attribute, so that the build needs no flags of its own for this file. */
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

AVX2 static inline void store(uint8_t *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* n >= 32. Gives back the OR of the result. */
AVX2 static inline __m256i xor_blocks(uint8_t *dst, const uint8_t *src, size_t n,
                                      uint32_t key) {
    __m256i k = _mm256_set1_epi32((int)key), seen;
    size_t i = 0;
    /* The last block overlaps what the loop did: load it before the loop stores (native.h). */
    __m256i tail = _mm256_xor_si256(load(src + n - 32), _mm256_set1_epi32((int)dx_rotate(key, n)));
    seen = tail;
    for (; i + 128 <= n; i += 128) {
        __m256i a = _mm256_xor_si256(load(src + i), k);
        __m256i b = _mm256_xor_si256(load(src + i + 32), k);
        __m256i c = _mm256_xor_si256(load(src + i + 64), k);
        __m256i d = _mm256_xor_si256(load(src + i + 96), k);
        store(dst + i, a);
        store(dst + i + 32, b);
        store(dst + i + 64, c);
        store(dst + i + 96, d);
        seen = _mm256_or_si256(seen, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    }
    for (; i + 32 <= n; i += 32) {
        __m256i a = _mm256_xor_si256(load(src + i), k);
        store(dst + i, a);
        seen = _mm256_or_si256(seen, a);
    }
    store(dst + n - 32, tail);
    return seen;
}

AVX2 static void xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    (void)xor_blocks(dst, src, n, key);
}

AVX2 static int ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    return _mm256_movemask_epi8(xor_blocks(dst, src, n, key)) == 0;
}

AVX2 static uint32_t utf8(uint32_t state, const uint8_t *p, size_t n) {
    size_t i = DX_UTF8_MISSING(state); /* at most 3, and n >= DX_SHORT */
    if (dx_utf8_scalar(state, p, i) != DX_UTF8_ACCEPT) return DX_UTF8_REJECT;
    for (; i + 128 <= n; i += 128) {
        __m256i ab = _mm256_or_si256(load(p + i), load(p + i + 32));
        __m256i cd = _mm256_or_si256(load(p + i + 64), load(p + i + 96));
        if (_mm256_movemask_epi8(_mm256_or_si256(ab, cd)) != 0) break;
    }
    return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
}

const dx_kernels dx_kernels_avx2 = {"avx2", xor_copy, ascii_xor_copy, utf8};
#else
typedef int dx_no_avx2; /* an empty translation unit is not C */
#endif
