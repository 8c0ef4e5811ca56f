/*
 * The field of 256 elements in which parity is computed: addition is exclusive or, multiplication that of polynomials
 * modulo x⁸ + x⁴ + x³ + x² + 1 (0x11d, as in RAID 6 of Linux).
 */
#ifndef LUTHIER_GF256_H
#define LUTHIER_GF256_H

#include <stddef.h>
#include <stdint.h>

uint8_t gf_multiply(uint8_t a, uint8_t b);
/* Of an element that is not 0. */
uint8_t gf_inverse(uint8_t a);

/* to[i] += factor · from[i]; they do not overlap, and may lie anywhere. */
void gf_add_scaled(uint8_t *restrict to, const uint8_t *restrict from, uint8_t factor, size_t bytes);

#endif
