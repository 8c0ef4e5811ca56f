/*
 * A product with a fixed factor is the sum of two products with the halves of a byte, so 32 bytes of table for each factor
 * are enough, and a shuffle looks 16 or 32 of them up at once (J. S. Plank et al., "Screaming Fast Galois Field Arithmetic
 * Using Intel SIMD Instructions", FAST 2013).
 *
 *   factor · 0xab  =  high[factor][0xa] ^ low[factor][0xb]
 *
 * The tables, 8 KiB and 512 bytes, are made when the addon is loaded.
 */
#include "gf256.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define POLYNOMIAL 0x11d

static uint8_t low[256][16], high[256][16];
static uint8_t inverses[256];

static uint8_t multiply_slowly(uint8_t a, uint8_t b) {
  unsigned product = 0, shifted = a;
  for (; b != 0; b >>= 1, shifted <<= 1) {
    if (shifted & 0x100) shifted ^= POLYNOMIAL;
    if (b & 1) product ^= shifted;
  }
  return (uint8_t)product;
}

__attribute__((constructor)) static void make_tables(void) {
  for (unsigned a = 0; a < 256; a++) {
    for (unsigned half = 0; half < 16; half++) {
      low[a][half] = multiply_slowly((uint8_t)a, (uint8_t)half);
      high[a][half] = multiply_slowly((uint8_t)a, (uint8_t)(half << 4));
    }
  }
  for (unsigned a = 1; a < 256; a++) {
    for (unsigned b = 1; b < 256; b++) {
      if (gf_multiply((uint8_t)a, (uint8_t)b) == 1) inverses[a] = (uint8_t)b;
    }
  }
}

uint8_t gf_multiply(uint8_t a, uint8_t b) {
  return high[a][b >> 4] ^ low[a][b & 15];
}

uint8_t gf_inverse(uint8_t a) {
  return inverses[a];
}

static void add(uint8_t *restrict to, const uint8_t *restrict from, size_t bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t a, b;
    memcpy(&a, to + i, 8);
    memcpy(&b, from + i, 8);
    a ^= b;
    memcpy(to + i, &a, 8);
  }
  for (; i < bytes; i++) to[i] ^= from[i];
}

/* How many bytes, from the first on, were done by shuffles. */
#if defined(__x86_64__)

__attribute__((target("avx2"))) static size_t add_scaled_avx2(uint8_t *restrict to, const uint8_t *restrict from,
                                                              uint8_t factor, size_t bytes) {
  const __m256i lows = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low[factor]));
  const __m256i highs = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)high[factor]));
  const __m256i mask = _mm256_set1_epi8(15);
  size_t i = 0;
  for (; i + 32 <= bytes; i += 32) {
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(from + i));
    __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)(to + i));
    __m256i below = _mm256_shuffle_epi8(lows, _mm256_and_si256(x, mask));
    __m256i above = _mm256_shuffle_epi8(highs, _mm256_and_si256(_mm256_srli_epi64(x, 4), mask));
    _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_xor_si256(sum, _mm256_xor_si256(below, above)));
  }
  return i;
}

__attribute__((target("ssse3"))) static size_t add_scaled_ssse3(uint8_t *restrict to, const uint8_t *restrict from,
                                                                uint8_t factor, size_t bytes) {
  const __m128i lows = _mm_loadu_si128((const __m128i *)(const void *)low[factor]);
  const __m128i highs = _mm_loadu_si128((const __m128i *)(const void *)high[factor]);
  const __m128i mask = _mm_set1_epi8(15);
  size_t i = 0;
  for (; i + 16 <= bytes; i += 16) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
    __m128i sum = _mm_loadu_si128((const __m128i *)(const void *)(to + i));
    __m128i below = _mm_shuffle_epi8(lows, _mm_and_si128(x, mask));
    __m128i above = _mm_shuffle_epi8(highs, _mm_and_si128(_mm_srli_epi64(x, 4), mask));
    _mm_storeu_si128((__m128i *)(void *)(to + i), _mm_xor_si128(sum, _mm_xor_si128(below, above)));
  }
  return i;
}

static size_t add_scaled_fast(uint8_t *restrict to, const uint8_t *restrict from, uint8_t factor, size_t bytes) {
  if (__builtin_cpu_supports("avx2")) return add_scaled_avx2(to, from, factor, bytes);
  if (__builtin_cpu_supports("ssse3")) return add_scaled_ssse3(to, from, factor, bytes);
  return 0;
}

#elif defined(__aarch64__)

static size_t add_scaled_fast(uint8_t *restrict to, const uint8_t *restrict from, uint8_t factor, size_t bytes) {
  const uint8x16_t lows = vld1q_u8(low[factor]);
  const uint8x16_t highs = vld1q_u8(high[factor]);
  size_t i = 0;
  for (; i + 16 <= bytes; i += 16) {
    uint8x16_t x = vld1q_u8(from + i);
    uint8x16_t product = veorq_u8(vqtbl1q_u8(lows, vandq_u8(x, vdupq_n_u8(15))), vqtbl1q_u8(highs, vshrq_n_u8(x, 4)));
    vst1q_u8(to + i, veorq_u8(vld1q_u8(to + i), product));
  }
  return i;
}

#else

static size_t add_scaled_fast(uint8_t *restrict to, const uint8_t *restrict from, uint8_t factor, size_t bytes) {
  (void)to, (void)from, (void)factor, (void)bytes;
  return 0;
}

#endif

void gf_add_scaled(uint8_t *restrict to, const uint8_t *restrict from, uint8_t factor, size_t bytes) {
  if (factor == 0) return;
  if (factor == 1) {
    add(to, from, bytes);
    return;
  }
  for (size_t i = add_scaled_fast(to, from, factor, bytes); i < bytes; i++) to[i] ^= gf_multiply(factor, from[i]);
}
