/*
 * Which of the datagrams that come are taken (udp-receive.h). Of a sealed tunnel: those that are new and authentic; of an
 * unsealed one, those that come from where all is sent to. Parity (fec.h) stays here, and what has come is remembered for it:
 * what it rebuilds goes on as if it had come. Where datagrams are sealed, the replay window has the last word on that
 * too, so nothing is taken twice.
 *
 * Somebody on the way who copies datagrams, and is faster, makes replays of the originals: such a twin, of which only the
 * copy from another source was taken, still says that the peer is there.
 */
#include "udp-receive.h"

#include <string.h>

/* Where a datagram is remembered. Lanes count each for itself. */
static struct recent *recent_of(struct admission *admission, const uint8_t *datagram) {
  return &admission->recent[datagram[LANE_AT] % PEER_LANES][datagram_counter(datagram) % RECENT];
}

static void remember(struct admission *admission, const uint8_t *datagram, const struct source *source) {
  struct recent *recent = recent_of(admission, datagram);
  *recent = (struct recent){.counter = datagram_counter(datagram), .lane = datagram[LANE_AT], .is_used = true};
  memcpy(recent->source, source->endpoint, ENDPOINT_BYTES);
}

/* Whether a datagram whose counter is not new was taken a moment ago from elsewhere. Once: then it is a replay. */
static bool is_twin(struct admission *admission, const uint8_t *datagram, const struct source *source) {
  const struct recent *recent = recent_of(admission, datagram);
  if (!source->is_named || !recent->is_used || recent->lane != datagram[LANE_AT]) return false;
  if (recent->counter != datagram_counter(datagram)) return false;
  return memcmp(recent->source, source->endpoint, ENDPOINT_BYTES) != 0;
}

/* Of our version and network; of others no key is ours, whatever they are sealed with. */
static bool is_ours(const struct admission *admission, const uint8_t *datagram) {
  return datagram[0] == WIRE_VERSION && get_be(datagram + NETWORK_AT, 4) == admission->network;
}

/* As `admit`, but for repair. */
static int open_datagram(struct admission *admission, struct keyring *ring, uint8_t *datagram, size_t bytes,
                         const struct source *source) {
  if (admission->network == 0) return (int)bytes;
  if (bytes < DATAGRAM_HEADER_BYTES) return -BAD_DATAGRAM;
  /* Of what is not sealed nothing but its source says whose it is. */
  if (ring == NULL) {
    if (source->number != 0) return -STRANGER;
    if (!fec_decoder_is_late(&admission->fec, datagram)) return (int)bytes;
    fec_decoder_came(&admission->fec, datagram);
    return -LATE;
  }
  if (!is_ours(admission, datagram)) return source->number == 0 ? -FOREIGN : -STRANGER;
  if (get_be(datagram + EPOCH_AT, 4) == 0) {
    if (datagram[TYPE_AT] != TYPE_HANDSHAKE) return -UNSEALED;
    return source->number == 0 || admission->hears_all ? (int)bytes : -STRANGER;
  }
  if (bytes < DATAGRAM_HEADER_BYTES + TAG_BYTES) return -BAD_DATAGRAM;
  struct key *key = keyring_find(ring, datagram);
  if (key == NULL) return -UNKNOWN_EPOCH;
  uint64_t counter = datagram_counter(datagram);
  bool is_new = window_is_new(key, counter);
  bool is_late = !is_new && fec_decoder_is_late(&admission->fec, datagram);
  if (!is_new && !is_late && !is_twin(admission, datagram, source)) return -REPLAYED;
  if (!aead_open(key, datagram, bytes - DATAGRAM_HEADER_BYTES - TAG_BYTES)) return -NOT_AUTHENTIC;
  if (is_late) {
    fec_decoder_came(&admission->fec, datagram);
    return -LATE;
  }
  if (!is_new) {
    recent_of(admission, datagram)->is_used = false;
    return -TWIN;
  }
  window_add(key, counter);
  if (source->is_named) remember(admission, datagram, source);
  return (int)(bytes - TAG_BYTES);
}

/*
 * Whether a datagram that was opened stays here: parity does, and what has come is remembered for it. Returns its bytes, or
 * what it is, negative.
 */
static int keep_for_repair(struct admission *admission, const uint8_t *datagram, int bytes, uint8_t ecn, bool is_sealed) {
  if (admission->network == 0) return bytes;
  if (bytes < DATAGRAM_HEADER_BYTES || (!is_sealed && !is_ours(admission, datagram))) return bytes;
  if (datagram[0] != WIRE_VERSION || datagram[TYPE_AT + 1] != 0) return bytes;
  /* Of an unsealed tunnel nothing says that it is, and of a sealed one all but what was let through open. */
  if (is_sealed != (get_be(datagram + EPOCH_AT, 4) != 0)) return bytes;
  if (datagram[TYPE_AT] == TYPE_FRAMES) fec_decoder_add(&admission->fec, datagram, (size_t)bytes, ecn);
  if (datagram[TYPE_AT] != TYPE_PARITY) return bytes;
  return fec_decoder_parity(&admission->fec, datagram, (size_t)bytes) ? -PARITY : -BAD_DATAGRAM;
}

int admit(struct admission *admission, struct keyring *ring, uint8_t *datagram, size_t bytes, uint8_t ecn,
          const struct source *source) {
  int opened = open_datagram(admission, ring, datagram, bytes, source);
  return opened < 0 ? opened : keep_for_repair(admission, datagram, opened, ecn, ring != NULL);
}

bool admit_rebuilt(struct admission *admission, struct keyring *ring, const uint8_t *datagram) {
  if (ring != NULL) {
    struct key *key = keyring_find(ring, datagram);
    uint64_t counter = datagram_counter(datagram);
    if (key == NULL || !window_is_new(key, counter)) {
      fec_decoder_came(&admission->fec, datagram);
      return false;
    }
    window_add(key, counter);
  }
  admission->fec.repaired++;
  return true;
}
