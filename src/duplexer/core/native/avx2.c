/* Thirty-two bytes at a time, where the CPU can (chosen by native.c). */
#include "native.h"

#ifdef DX_HAVE_AVX2
#include <immintrin.h>

#include "utf8_errors.h"

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

AVX2 static inline __m256i look_up(const uint8_t table[16], __m256i halves) {
    __m128i row = _mm_loadu_si128((const __m128i *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row), halves);
}

/* Non-zero where the byte of `now` is wrong after those one, two and three places before it. */
AVX2 static inline __m256i errors(__m256i now, __m256i back1, __m256i back2, __m256i back3) {
    const __m256i half = _mm256_set1_epi8(0x0F);
    __m256i first_high = _mm256_and_si256(_mm256_srli_epi16(back1, 4), half);
    __m256i first_low = _mm256_and_si256(back1, half);
    __m256i second_high = _mm256_and_si256(_mm256_srli_epi16(now, 4), half);
    __m256i pair = _mm256_and_si256(_mm256_and_si256(look_up(dx_by_first_high, first_high),
                                                     look_up(dx_by_first_low, first_low)),
                                    look_up(dx_by_second_high, second_high));
    /* The top bit where the byte has to be a third (lead E0..) or fourth (lead F0..) one. */
    __m256i third = _mm256_subs_epu8(back2, _mm256_set1_epi8(0xE0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(back3, _mm256_set1_epi8(0xF0 - 0x80));
    __m256i later = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(pair, later);
}

AVX2 static inline __m256i errors_at(const uint8_t *p) {
    return errors(load(p), load(p - 1), load(p - 2), load(p - 3));
}

/* The same for the first block of a text: nothing stands before it. */
AVX2 static inline __m256i errors_first(const uint8_t *p) {
    __m256i now = load(p), before = _mm256_permute2x128_si256(now, now, 0x08);
    return errors(now, _mm256_alignr_epi8(now, before, 15), _mm256_alignr_epi8(now, before, 14),
                  _mm256_alignr_epi8(now, before, 13));
}

AVX2 static inline int any_high(__m256i v) { return _mm256_movemask_epi8(v) != 0; }

AVX2 static uint32_t utf8(uint32_t state, const uint8_t *p, size_t n) {
    size_t i = dx_utf8_missing(state); /* at most 3, and n >= DX_SHORT */
    if (dx_utf8_scalar(state, p, i) != DX_UTF8_ACCEPT) return DX_UTF8_REJECT;
    for (; i + 128 <= n; i += 128) {
        __m256i ab = _mm256_or_si256(load(p + i), load(p + i + 32));
        __m256i cd = _mm256_or_si256(load(p + i + 64), load(p + i + 96));
        if (any_high(_mm256_or_si256(ab, cd))) break;
    }
    while (i + 32 <= n && !any_high(load(p + i))) i += 32;
    if (i + 32 > n) { /* ASCII up to less than a block, and often to the end */
        if (!any_high(load(p + n - 32))) return DX_UTF8_ACCEPT;
        return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
    }
    if (n < 32 + 3) return dx_utf8_scalar(DX_UTF8_ACCEPT, p + i, n - i);
    __m256i wrong = errors_first(p + i);
    for (i += 32; i + 128 <= n; i += 128) {
        __m256i ab = _mm256_or_si256(load(p + i), load(p + i + 32));
        __m256i cd = _mm256_or_si256(load(p + i + 64), load(p + i + 96));
        if (!any_high(_mm256_or_si256(ab, cd)) && p[i - 1] < 0x80) continue;
        ab = _mm256_or_si256(errors_at(p + i), errors_at(p + i + 32));
        cd = _mm256_or_si256(errors_at(p + i + 64), errors_at(p + i + 96));
        wrong = _mm256_or_si256(wrong, _mm256_or_si256(ab, cd));
    }
    for (; i + 32 <= n; i += 32) wrong = _mm256_or_si256(wrong, errors_at(p + i));
    /* The last block, overlapping: its bytes and the three before it are all in [p, p + n). */
    wrong = _mm256_or_si256(wrong, errors_at(p + n - 32));
    if (!_mm256_testz_si256(wrong, wrong)) return DX_UTF8_REJECT;
    size_t open = dx_utf8_open_end(p, n);
    return dx_utf8_scalar(DX_UTF8_ACCEPT, p + n - open, open);
}

const dx_kernels dx_kernels_avx2 = {"avx2", xor_copy, ascii_xor_copy, utf8};
#else
typedef int dx_no_avx2; /* an empty translation unit is not C */
#endif
