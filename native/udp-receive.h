/*
 * The parts of udp-receive.c, in the order in which a datagram passes them:
 *
 *   udp-receive.c   from the kernel, taken apart
 *   udp-admit.c     seen to be new, opened where it lies, kept for repair
 *   udp-join.c      into slots, joined to the one that it carries on
 */
#ifndef LUTHIER_UDP_RECEIVE_H
#define LUTHIER_UDP_RECEIVE_H

#include "addon.h"
#include "aead.h"
#include "fec.h"

static inline uint32_t get_be(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

/* --- which are taken (udp-admit.c) ------------------------------------------------------------------------------- */

/* UdpRefusal in binding.ts: why a datagram was refused, as a negative length. */
enum { BAD_DATAGRAM = 1, UNSEALED, UNKNOWN_EPOCH, REPLAYED, NOT_AUTHENTIC, STRANGER, TWIN, FOREIGN, PARITY, LATE };

/* Where a message comes from, and its number for native_udpSource; 0: from `io->endpoint`. */
struct source {
  uint8_t endpoint[ENDPOINT_BYTES];
  int32_t number;
  bool is_named;
};

/* A peer's threads send on lanes, in any order to each other. Those of higher numbers share: a power of two. */
#define PEER_LANES 8
/* Of one lane, twins are as close as this: a power of two. */
#define RECENT 64

/* A datagram that was taken, of a socket that hears everybody. */
struct recent {
  uint64_t counter;
  uint8_t lane;
  uint8_t source[ENDPOINT_BYTES];
  bool is_used;
};

struct admission {
  uint32_t network; /* of its tunnel; 0: not a tunnel's, so datagrams are not looked into */
  bool hears_all;   /* open handshakes are taken from whomever */
  struct recent recent[PEER_LANES][RECENT]; /* by counter */
  struct fec_decoder fec;
};

/*
 * Sees whether a datagram may be read, opens it where it lies, and remembers it for what is lost. Returns its bytes without
 * the tag, or what it is instead, negative. Every datagram is asked once: a replay window moves.
 */
int admit(struct admission *admission, struct keyring *ring, uint8_t *datagram, size_t bytes, uint8_t ecn,
          const struct source *source);
/* Whether what was rebuilt is new; asked once, too. */
bool admit_rebuilt(struct admission *admission, struct keyring *ring, const uint8_t *datagram);

/* --- how they lie in slots (udp-join.c) -------------------------------------------------------------------------- */

/* Who sent the last datagram of a lane, as its header has it in front of the counter; and what follows the newest of his. */
struct newest {
  uint8_t sender[COUNTER_AT];
  uint64_t next;
};

/* A datagram that is being put into slots, and whether the next one carries it on. */
struct run {
  uint8_t *headers; /* in the first slot */
  size_t bytes;     /* all that is in the slots */
  int32_t first;    /* entry of `slots` that its first slot stands in */
  int32_t index;    /* entry of `lengths` */
  int32_t source;   /* of all its datagrams */
  /* What the next one must say. */
  bool is_open;
  uint8_t ecn;
  uint64_t counter;
  uint32_t offset, payload_bytes;
};

/* The datagrams of one call, on their way into slots. */
struct placing {
  struct newest *newest; /* PEER_LANES */
  bool is_tunnel; /* else none is joined */
  bool is_sealed;
  struct run run;
  int count;
  int32_t used;
};

/* An opened datagram. */
struct opened {
  const uint8_t *bytes;
  size_t length;
  uint8_t ecn;
  int32_t source; /* its number */
  int32_t weight; /* 1, or 0 of one that did not come but was rebuilt */
};

/* Whether there is room for what a datagram may need at most, so that nothing is opened and then has no place. */
bool has_place(const struct io *io, const struct placing *placing, size_t bytes, int32_t slots);
/* Joins a datagram to the run, or begins one with it. */
void place(struct io *io, struct placing *placing, const struct opened *opened);

#endif
