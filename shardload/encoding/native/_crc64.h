/* CRC-64 (Jones), reflected, start 0, no final xor: the checksum of Redis's RDB payloads.
 *
 * There are two ways to compute it; a test compares both with the reference's table:
 * - slicing-by-8 (Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based CRC
 *   Generators"): table n moves a byte past n more bytes;
 * - folding with carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 *   PCLMULQDQ Instruction"), if the processor has that instruction: 16 bytes a step; the tables finish the last 16
 *   bytes and the rest.
 */
#ifndef SHARDLOAD_CRC64_H
#define SHARDLOAD_CRC64_H

#include <stddef.h>
#include <stdint.h>

#define CRC64_POLYNOMIAL UINT64_C(0x95AC9329AC4BC9B5) /* 0xad93d23594c935a9, reflected */

static uint64_t crc64_tables[8][256];
static int crc64_folds;

static uint64_t crc64_sliced(uint64_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word = 0;
        for (int at = 7; at >= 0; at--)
            word = word << 8 | data[at];
        word ^= crc;
        crc = crc64_tables[7][word & 0xFF] ^ crc64_tables[6][word >> 8 & 0xFF]
            ^ crc64_tables[5][word >> 16 & 0xFF] ^ crc64_tables[4][word >> 24 & 0xFF]
            ^ crc64_tables[3][word >> 32 & 0xFF] ^ crc64_tables[2][word >> 40 & 0xFF]
            ^ crc64_tables[1][word >> 48 & 0xFF] ^ crc64_tables[0][word >> 56];
    }
    for (; size; data++, size--)
        crc = crc64_tables[0][(crc ^ *data) & 0xFF] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CRC64_CAN_FOLD 1

static uint64_t crc64_past_192, crc64_past_128; /* x^(192-1), x^(128-1): a reflected product is one power short */

/* x^n modulo the polynomial, reflected: the highest bit is x^0. */
static uint64_t crc64_power(int n)
{
    uint64_t power = UINT64_C(1) << 63;
    while (n--)
        power = power >> 1 ^ (power & 1 ? CRC64_POLYNOMIAL : 0);
    return power;
}

__attribute__((target("pclmul,sse2")))
static uint64_t crc64_folded(uint64_t crc, const uint8_t *data, size_t size)
{
    const __m128i past = _mm_set_epi64x((long long)crc64_past_128, (long long)crc64_past_192);
    __m128i sum = _mm_xor_si128(_mm_set_epi64x(0, (long long)crc), _mm_loadu_si128((const __m128i *)data));
    uint8_t last[16];
    for (data += 16, size -= 16; size >= 16; data += 16, size -= 16) {
        __m128i first = _mm_clmulepi64_si128(sum, past, 0x00), second = _mm_clmulepi64_si128(sum, past, 0x11);
        sum = _mm_xor_si128(_mm_xor_si128(first, second), _mm_loadu_si128((const __m128i *)data));
    }
    _mm_storeu_si128((__m128i *)last, sum);
    return crc64_sliced(crc64_sliced(0, last, 16), data, size);
}
#endif

/* Fill the tables. Call it once, before crc64_of. */
static void crc64_prepare(void)
{
    for (int byte = 0; byte < 256; byte++) {
        uint64_t crc = (uint64_t)byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC64_POLYNOMIAL : 0);
        crc64_tables[0][byte] = crc;
    }
    for (int byte = 0; byte < 256; byte++)
        for (int level = 1; level < 8; level++) {
            uint64_t crc = crc64_tables[level - 1][byte];
            crc64_tables[level][byte] = crc64_tables[0][crc & 0xFF] ^ crc >> 8;
        }
#ifdef CRC64_CAN_FOLD
    __builtin_cpu_init();
    crc64_past_192 = crc64_power(191);
    crc64_past_128 = crc64_power(127);
    crc64_folds = __builtin_cpu_supports("pclmul");
#endif
}

/* The checksum of bytes with the checksum `crc`, and of `size` bytes behind them. `may_fold` 0 forces the tables, for
 * tests. */
static uint64_t crc64_on(uint64_t crc, const uint8_t *data, size_t size, int may_fold)
{
#ifdef CRC64_CAN_FOLD
    if (may_fold && crc64_folds && size >= 32)
        return crc64_folded(crc, data, size);
#else
    (void)may_fold;
#endif
    return crc64_sliced(crc, data, size);
}

/* The checksum of `size` bytes. */
static uint64_t crc64_of(const uint8_t *data, size_t size, int may_fold)
{
    return crc64_on(0, data, size, may_fold);
}
#endif
