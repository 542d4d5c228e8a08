/* The choice of an implementation. */
#include "native.h"

#if defined(DX_HAVE_NEON)
#define DX_BASELINE dx_kernels_neon
#elif defined(DX_HAVE_SSE2)
#define DX_BASELINE dx_kernels_sse2
#else
#define DX_BASELINE dx_kernels_scalar
#endif

/* What every CPU of this architecture can run, spelled out because C wants constants here. */
static void first_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    DX_BASELINE.xor_copy(dst, src, n, key);
}

static int first_ascii_xor_copy(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    return DX_BASELINE.ascii_xor_copy(dst, src, n, key);
}

static uint32_t first_utf8(uint32_t state, const uint8_t *p, size_t n) {
    return DX_BASELINE.utf8(state, p, n);
}

dx_kernels dx_active = {"baseline", first_xor_copy, first_ascii_xor_copy, first_utf8};

/* Best first; NULL where the CPU cannot run it. */
static const dx_kernels *candidate(int rank) {
    switch (rank) {
#ifdef DX_HAVE_NEON
        case 0:
            return &dx_kernels_neon;
#endif
#ifdef DX_HAVE_AVX2
        case 1:
            __builtin_cpu_init();
            return __builtin_cpu_supports("avx2") ? &dx_kernels_avx2 : NULL;
#endif
#ifdef DX_HAVE_SSE2
        case 2:
            return &dx_kernels_sse2;
#endif
        case 3:
            return &dx_kernels_scalar;
        default:
            return NULL;
    }
}

int dx_native_force(const char *name) {
    for (int rank = 0; rank < 4; rank++) {
        const dx_kernels *kernels = candidate(rank);
        if (kernels != NULL && (name == NULL || strcmp(kernels->name, name) == 0)) {
            dx_active = *kernels;
            return 1;
        }
    }
    return 0;
}

#if defined(__GNUC__) || defined(__clang__)
__attribute__((constructor))
#endif
void dx_native_init(void) {
    (void)dx_native_force(NULL);
}

const char *dx_native_name(void) { return dx_active.name; }
