/*
 * Keys of a tunnel, and what they do to a datagram. A datagram is sealed in place:
 *
 *   [ header, 20 bytes ][ payload                ][ tag, 16 bytes ]
 *     authenticated        encrypted
 *
 * under the key of its lane and epoch, which its header names (docs/wire-format.md). The nonce is the key's IV, its last
 * eight bytes combined with the header's counter by exclusive or, as in TLS 1.3 (RFC 8446 §5.3).
 */
#ifndef LUTHIER_AEAD_H
#define LUTHIER_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* vswitch/tunnel/wire.ts; layout.test.ts compares both sides. */
#define DATAGRAM_HEADER_BYTES 20
#define WIRE_VERSION 1
#define LANE_AT 3
#define NETWORK_AT 4
#define EPOCH_AT 8
#define COUNTER_AT 12
#define TAG_BYTES 16
#define AEAD_KEY_BYTES 32
#define AEAD_IV_BYTES 12

/* A counter more than so many behind the newest is taken for a replay: half a megabyte of reordered datagrams. */
#define WINDOW_BITS 8192
#define WINDOW_WORDS (WINDOW_BITS / 64)

/* Live epochs of one tunnel (the one before, this one, the next) by lanes, with room to spare. */
#define KEYRING_KEYS 64

struct key {
  uint32_t epoch; /* 0: unused */
  uint8_t lane;
  uint8_t iv[AEAD_IV_BYTES];
  const struct aead_library *library; /* aead-library.h */
  void *expanded;                     /* the key, as the library holds it */
  /* RFC 6479: a ring of bits, one a counter, that ends at the word of `newest`; for keys that open. */
  bool has_newest;
  uint64_t newest;
  uint64_t seen[WINDOW_WORDS + 1];
};

struct keyring {
  struct key keys[KEYRING_KEYS];
  struct key *last; /* that was found: most datagrams of a batch have the same */
};

/* The key for a datagram's header; NULL where there is none. */
struct key *keyring_find(struct keyring *ring, const uint8_t *header);

/* Encrypts in place and writes the tag behind; false when the library fails. */
bool aead_seal(struct key *key, uint8_t *datagram, size_t payload_bytes);
/* Decrypts in place; false when the tag is wrong, and the payload is then undefined. */
bool aead_open(struct key *key, uint8_t *datagram, size_t payload_bytes);

/* Whether a datagram of this counter was not seen yet, asked before it is opened; and that it was, once it is authentic. */
bool window_is_new(const struct key *key, uint64_t counter);
void window_add(struct key *key, uint64_t counter);

static inline uint64_t datagram_counter(const uint8_t *header) {
  uint64_t counter;
  __builtin_memcpy(&counter, header + COUNTER_AT, sizeof counter);
  return __builtin_bswap64(counter);
}

#endif
