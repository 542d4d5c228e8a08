/* Byte kernels: masking (RFC 6455 5.3) and UTF-8 validation (RFC 6455 8.1, RFC 3629 4).
 *
 * One file per instruction set fills in one table; `native.c` chooses the table once, when the
 * module is loaded. Inputs shorter than DX_SHORT bytes never get that far: they are done inline
 * here, because for a message of 30 bytes a call through a pointer costs as much as the work.
 *
 * Promises, each kept by every implementation:
 *   - no byte outside [src, src + n) is read and none outside [dst, dst + n) is written;
 *   - `dst == src` is allowed; any other overlap is not;
 *   - nothing is allocated, nothing needs the GIL, and nothing but the table is global.
 */
#ifndef DUPLEXER_NATIVE_H
#define DUPLEXER_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define DX_HAVE_SSE2 1 /* part of the x86-64 baseline */
#if defined(__GNUC__) || defined(__clang__)
#define DX_HAVE_AVX2 1 /* needs target attributes and a CPU check */
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define DX_HAVE_NEON 1 /* part of the AArch64 baseline */
#endif

#if defined(__GNUC__) || defined(__clang__)
#define DX_HIDDEN __attribute__((visibility("hidden")))
#define DX_LIKELY(x) __builtin_expect(!!(x), 1)
#else
#define DX_HIDDEN
#define DX_LIKELY(x) (x)
#endif

#define DX_SHORT 32 /* below: inline; an implementation may rely on n >= DX_SHORT */

/* States of dx_utf8. 0: between two characters. Any other value: within a character, to be
 * handed back with the bytes that follow; only the implementations know what it means. */
#define DX_UTF8_ACCEPT 0u
#define DX_UTF8_REJECT 1u

typedef struct {
    const char *name;
    void (*xor_copy)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);
    int (*ascii_xor_copy)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);
    uint32_t (*utf8)(uint32_t state, const uint8_t *p, size_t n);
} dx_kernels;

/* The chosen implementation. A usable one from the start (static initialisation). */
extern DX_HIDDEN dx_kernels dx_active;

extern DX_HIDDEN const dx_kernels dx_kernels_scalar;
#ifdef DX_HAVE_SSE2
extern DX_HIDDEN const dx_kernels dx_kernels_sse2;
#endif
#ifdef DX_HAVE_AVX2
extern DX_HIDDEN const dx_kernels dx_kernels_avx2;
#endif
#ifdef DX_HAVE_NEON
extern DX_HIDDEN const dx_kernels dx_kernels_neon;
#endif

/* The scalar validator, for the ends of what the vectors did. Any n. */
DX_HIDDEN uint32_t dx_utf8_scalar(uint32_t state, const uint8_t *p, size_t n);

/* How many bytes are missing to the end of the character (1 in state REJECT): see scalar.c. */
static inline size_t dx_utf8_missing(uint32_t state) { return state == 0 ? 0 : state / 3 + 1; }

/* Choose the best implementation for this CPU. Done on loading where the compiler can arrange
 * that; harmless to call again. */
DX_HIDDEN void dx_native_init(void);

/* Name of the chosen implementation: "scalar", "sse2", "avx2" or "neon". */
DX_HIDDEN const char *dx_native_name(void);

/* For tests: choose by name (NULL: the best). 0 if that one does not exist or cannot run here. */
DX_HIDDEN int dx_native_force(const char *name);

static inline uint64_t dx_load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t dx_load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline void dx_store64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
static inline void dx_store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

#define DX_HIGH_BITS UINT64_C(0x8080808080808080)

/* The key for data that starts `phase` bytes into the payload. Keys are in memory byte order:
 * the four bytes of the frame, copied into a uint32_t. */
static inline uint32_t dx_rotate(uint32_t key, size_t phase) {
    unsigned bits = (unsigned)(phase & 3) * 8;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return bits ? (key << bits) | (key >> (32 - bits)) : key;
#else
    return bits ? (key >> bits) | (key << (32 - bits)) : key;
#endif
}

static inline uint64_t dx_key64(uint32_t key) { return ((uint64_t)key << 32) | key; }

/* Mask n < DX_SHORT bytes; gives back the OR of the words of the result (all high bits clear:
 * it was ASCII). The last word overlaps the one before; since every word is loaded before the
 * first is stored, that is right in place too, where a second XOR would undo the first. */
static inline uint64_t dx_short_xor_copy(uint8_t *dst, const uint8_t *src, size_t n,
                                         uint32_t key) {
    if (n >= 8) {
        uint64_t head_key = dx_key64(key);
        uint64_t tail_key = dx_key64(dx_rotate(key, n)); /* n - 8 and n - 16 have n's phase */
        uint64_t head = dx_load64(src) ^ head_key;
        uint64_t tail = dx_load64(src + n - 8) ^ tail_key;
        uint64_t seen = head | tail;
        if (n > 16) {
            uint64_t head2 = dx_load64(src + 8) ^ head_key;
            uint64_t tail2 = dx_load64(src + n - 16) ^ tail_key;
            seen |= head2 | tail2;
            dx_store64(dst + 8, head2);
            dx_store64(dst + n - 16, tail2);
        }
        dx_store64(dst, head);
        dx_store64(dst + n - 8, tail);
        return seen;
    }
    if (n >= 4) {
        uint32_t head = dx_load32(src) ^ key;
        uint32_t tail = dx_load32(src + n - 4) ^ dx_rotate(key, n);
        dx_store32(dst, head);
        dx_store32(dst + n - 4, tail);
        return head | tail;
    }
    uint8_t k[4];
    uint64_t seen = 0;
    memcpy(k, &key, 4);
    for (size_t i = 0; i < n; i++) {
        dst[i] = (uint8_t)(src[i] ^ k[i]);
        seen |= dst[i];
    }
    return seen;
}

/* The OR of the words of n < DX_SHORT bytes. */
static inline uint64_t dx_short_or(const uint8_t *p, size_t n) {
    if (n >= 8) {
        uint64_t seen = dx_load64(p) | dx_load64(p + n - 8);
        if (n > 16) seen |= dx_load64(p + 8) | dx_load64(p + n - 16);
        return seen;
    }
    if (n >= 4) return dx_load32(p) | dx_load32(p + n - 4);
    uint64_t seen = 0;
    for (size_t i = 0; i < n; i++) seen |= p[i];
    return seen;
}

/* Mask or unmask: dst[i] = src[i] ^ key[i % 4], the key at phase 0. */
static inline void dx_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < DX_SHORT)
        (void)dx_short_xor_copy(dst, src, n, key);
    else
        dx_active.xor_copy(dst, src, n, key);
}

/* The same; 1 if every byte of the result is below 0x80 (so it is UTF-8), else 0. */
static inline int dx_ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < DX_SHORT) return (dx_short_xor_copy(dst, src, n, key) & DX_HIGH_BITS) == 0;
    return dx_active.ascii_xor_copy(dst, src, n, key);
}

/* Validate the next n bytes of a text. Start with state 0; at the end of the text the state must
 * be 0 again. DX_UTF8_REJECT as soon as the bytes so far cannot be continued to valid UTF-8, and
 * from then on. */
static inline uint32_t dx_utf8(uint32_t state, const uint8_t *p, size_t n) {
    if (n < DX_SHORT) {
        if (DX_LIKELY(state == DX_UTF8_ACCEPT && (dx_short_or(p, n) & DX_HIGH_BITS) == 0))
            return DX_UTF8_ACCEPT;
        return dx_utf8_scalar(state, p, n);
    }
    return dx_active.utf8(state, p, n);
}

#endif
