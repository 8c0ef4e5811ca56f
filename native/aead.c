/*
 * Keyrings, replay windows, and which library a key is made with: libipsec-mb where the machine has it, for AES-256-GCM,
 * else node's OpenSSL. Their bytes are the same, so that the peer's may be the other.
 */
#include "aead.h"
#include "addon.h"
#include "aead-library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- datagrams --------------------------------------------------------------------------------------------------- */

static uint32_t header_epoch(const uint8_t *header) {
  uint32_t epoch;
  memcpy(&epoch, header + EPOCH_AT, sizeof epoch);
  return __builtin_bswap32(epoch);
}

struct key *keyring_find(struct keyring *ring, const uint8_t *header) {
  uint32_t epoch = header_epoch(header);
  uint8_t lane = header[LANE_AT];
  if (epoch == 0) return NULL;
  if (ring->last != NULL && ring->last->epoch == epoch && ring->last->lane == lane) return ring->last;
  for (struct key *key = ring->keys; key < ring->keys + KEYRING_KEYS; key++) {
    if (key->epoch == epoch && key->lane == lane) return ring->last = key;
  }
  return NULL;
}

static void put_nonce(const struct key *key, const uint8_t *datagram, uint8_t *nonce) {
  memcpy(nonce, key->iv, AEAD_IV_BYTES);
  for (int i = 0; i < 8; i++) nonce[4 + i] ^= datagram[COUNTER_AT + i];
}

bool aead_seal(struct key *key, uint8_t *datagram, size_t payload_bytes) {
  uint8_t nonce[AEAD_IV_BYTES];
  put_nonce(key, datagram, nonce);
  return key->library->seal(key->expanded, nonce, datagram, payload_bytes);
}

bool aead_open(struct key *key, uint8_t *datagram, size_t payload_bytes) {
  uint8_t nonce[AEAD_IV_BYTES];
  put_nonce(key, datagram, nonce);
  return key->library->open(key->expanded, nonce, datagram, payload_bytes);
}

/* --- replay window: RFC 6479 -------------------------------------------------------------------------------------- */

bool window_is_new(const struct key *key, uint64_t counter) {
  if (!key->has_newest || counter > key->newest) return true;
  if (key->newest - counter >= WINDOW_BITS) return false;
  return (key->seen[(counter / 64) % (WINDOW_WORDS + 1)] >> (counter % 64) & 1) == 0;
}

void window_add(struct key *key, uint64_t counter) {
  if (!key->has_newest || counter > key->newest) {
    /* Words between the old end and the new one held counters that are too old now. */
    uint64_t from = key->has_newest ? key->newest / 64 : 0;
    uint64_t to = counter / 64;
    uint64_t clear = !key->has_newest || to - from > WINDOW_WORDS ? WINDOW_WORDS + 1 : to - from;
    for (uint64_t i = 0; i < clear; i++) key->seen[(to - i) % (WINDOW_WORDS + 1)] = 0;
    key->newest = counter;
    key->has_newest = true;
  }
  key->seen[(counter / 64) % (WINDOW_WORDS + 1)] |= UINT64_C(1) << (counter % 64);
}

/* --- keyrings ---------------------------------------------------------------------------------------------------- */

static void key_forget(struct keyring *ring, struct key *key) {
  if (ring->last == key) ring->last = NULL;
  key->library->key_free(key->expanded);
  aead_wipe(key, sizeof *key);
}

void keyring_free(struct keyring *ring) {
  for (int i = 0; i < KEYRING_KEYS; i++) {
    if (ring->keys[i].epoch != 0) key_forget(ring, &ring->keys[i]);
  }
  free(ring);
}

static bool get_ring(napi_env env, napi_value value, struct keyring **to, size_t *at) {
  int64_t handle;
  struct state *state;
  if (!get_int(env, value, "keyring", 1, INT32_MAX, &handle)) return false;
  napi_get_instance_data(env, (void **)&state);
  *to = keyring_of(env, (int32_t)handle);
  *at = (size_t)handle - 1;
  return *to != NULL || throw_range(env, "keyring", "no such handle");
}

napi_value native_keyringCreate(napi_env env, napi_callback_info info) {
  struct state *state;
  (void)info;
  napi_get_instance_data(env, (void **)&state);
  struct keyring *ring = calloc(1, sizeof *ring);
  int32_t handle = ring == NULL ? 0 : table_put(&state->keyrings, ring);
  if (handle == 0) {
    free(ring);
    return throw_errno(env, "calloc", ENOMEM);
  }
  return make_int(env, handle);
}

napi_value native_keyringDestroy(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct keyring *ring;
  struct state *state;
  size_t at;
  arguments(env, info, 1, &argument);
  if (!get_ring(env, argument, &ring, &at)) return NULL;
  napi_get_instance_data(env, (void **)&state);
  state->keyrings.items[at] = NULL;
  keyring_free(ring);
  return make_undefined(env);
}

struct key_options {
  enum aead_algorithm algorithm;
  const struct aead_library *library;
  int64_t epoch, lane;
  bool seals;
  const uint8_t *secret;
};

/* Of `options`: "algorithm"; and "library", where that is to be one and not the fastest. */
static bool read_library(napi_env env, napi_value object, enum aead_algorithm *algorithm,
                         const struct aead_library **library) {
  napi_value value;
  bool present;
  char name[32], why_not[128];
  const char *why = "it knows AES-256-GCM alone";
  if (!get_option(env, object, "algorithm", &value, &present)) return false;
  if (!get_string(env, value, "algorithm", name, sizeof name)) return false;
  if (strcmp(name, "aes-256-gcm") == 0) *algorithm = AES_256_GCM;
  else if (strcmp(name, "chacha20-poly1305") == 0) *algorithm = CHACHA20_POLY1305;
  else return throw_range(env, "algorithm", "neither aes-256-gcm nor chacha20-poly1305");
  const struct aead_library *fastest = *algorithm == AES_256_GCM ? aead_ipsec_mb(&why) : NULL;
  *library = fastest != NULL ? fastest : &aead_openssl;
  if (!get_option(env, object, "library", &value, &present)) return false;
  if (!present) return true;
  if (!get_string(env, value, "library", name, sizeof name)) return false;
  if (strcmp(name, (*library)->name) == 0) return true;
  *library = &aead_openssl;
  if (strcmp(name, aead_openssl.name) == 0) return true;
  if (strcmp(name, "ipsec-mb") != 0) return throw_range(env, "library", "neither ipsec-mb nor openssl");
  snprintf(why_not, sizeof why_not, "ipsec-mb cannot be used: %s", why);
  return throw_range(env, "library", why_not);
}

static bool read_options(napi_env env, napi_value object, struct key_options *to) {
  napi_value value;
  napi_typedarray_type type;
  size_t bytes;
  void *data;
  bool present, is_typed = false;
  if (!read_library(env, object, &to->algorithm, &to->library)) return false;
  if (!get_option(env, object, "epoch", &value, &present)) return false;
  if (!get_int(env, value, "epoch", 1, UINT32_MAX, &to->epoch)) return false;
  if (!get_option(env, object, "lane", &value, &present)) return false;
  if (!get_int(env, value, "lane", 0, 255, &to->lane)) return false;
  if (!get_option(env, object, "seals", &value, &present)) return false;
  if (!get_bool(env, value, "seals", &to->seals)) return false;
  if (!get_option(env, object, "secret", &value, &present)) return false;
  napi_is_typedarray(env, value, &is_typed);
  if (!is_typed || napi_get_typedarray_info(env, value, &type, &bytes, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || bytes != AEAD_KEY_BYTES + AEAD_IV_BYTES)
    return throw_type(env, "secret", "not 44 bytes: a key of 32 and an IV of 12");
  to->secret = data;
  return true;
}

napi_value native_keyringAdd(napi_env env, napi_callback_info info) {
  napi_value given[2];
  struct keyring *ring;
  size_t at;
  struct key_options options = {0};
  arguments(env, info, 2, given);
  if (!get_ring(env, given[0], &ring, &at) || !read_options(env, given[1], &options)) return NULL;
  struct key *free_key = NULL;
  for (struct key *key = ring->keys; key < ring->keys + KEYRING_KEYS; key++) {
    if (key->epoch == 0 && free_key == NULL) free_key = key;
    if (key->epoch != options.epoch || key->lane != options.lane) continue;
    throw_range(env, "epoch", "a key of this epoch and lane is there already");
    return NULL;
  }
  if (free_key == NULL) {
    throw_range(env, "keyring", "full: forget old epochs first");
    return NULL;
  }
  void *expanded = options.library->key_create(options.algorithm, options.secret, options.seals);
  if (expanded == NULL) return throw_errno(env, "keyringAdd", ENOMEM);
  *free_key = (struct key){.epoch = (uint32_t)options.epoch,
                           .lane = (uint8_t)options.lane,
                           .library = options.library,
                           .expanded = expanded};
  memcpy(free_key->iv, options.secret + AEAD_KEY_BYTES, AEAD_IV_BYTES);
  return make_undefined(env);
}

napi_value native_keyringRemove(napi_env env, napi_callback_info info) {
  napi_value given[2];
  struct keyring *ring;
  size_t at;
  int64_t epoch;
  arguments(env, info, 2, given);
  if (!get_ring(env, given[0], &ring, &at) || !get_int(env, given[1], "epoch", 1, UINT32_MAX, &epoch)) return NULL;
  for (struct key *key = ring->keys; key < ring->keys + KEYRING_KEYS; key++) {
    if (key->epoch == epoch) key_forget(ring, key);
  }
  return make_undefined(env);
}

/* --- libraries --------------------------------------------------------------------------------------------------- */

napi_value native_aeadFind(napi_env env, napi_callback_info info) {
  napi_value result, value;
  const char *why;
  (void)info;
  const struct aead_library *fastest = aead_ipsec_mb(&why);
  napi_create_object(env, &result);
  napi_create_string_utf8(env, (fastest != NULL ? fastest : &aead_openssl)->name, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "library", value);
  if (fastest == NULL) {
    napi_create_string_utf8(env, why, NAPI_AUTO_LENGTH, &value);
    napi_set_named_property(env, result, "whyNotIpsecMb", value);
    return result;
  }
  char version[32];
  unsigned number = aead_ipsec_mb_version();
  snprintf(version, sizeof version, "%u.%u.%u", number >> 16, number >> 8 & 0xff, number & 0xff);
  napi_create_string_utf8(env, version, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "ipsecMbVersion", value);
  return result;
}

/* As many as a super-frame of 62 KB has. */
#define MEASURED_PIECES 44
#define MEASURED_ROUNDS 100
#define MAX_MEASURED_BYTES 9000

struct measured {
  struct key sealing, opening;
  size_t payload_bytes, stride;
  uint8_t *pieces;
};

/* One piece after the other; nanoseconds for all, INT64_MAX when one fails. */
static int64_t seal_all(struct measured *all) {
  int64_t started = monotonic_ns();
  for (int i = 0; i < MEASURED_PIECES; i++) {
    if (!aead_seal(&all->sealing, all->pieces + i * all->stride, all->payload_bytes)) return INT64_MAX;
  }
  return monotonic_ns() - started;
}

static int64_t open_all(struct measured *all) {
  int64_t started = monotonic_ns();
  for (int i = 0; i < MEASURED_PIECES; i++) {
    if (!aead_open(&all->opening, all->pieces + i * all->stride, all->payload_bytes)) return INT64_MAX;
  }
  return monotonic_ns() - started;
}

static void put_per_piece(napi_env env, napi_value object, const char *name, int64_t ns) {
  napi_value value;
  napi_create_double(env, (double)ns / MEASURED_PIECES, &value);
  napi_set_named_property(env, object, name, value);
}

napi_value native_aeadMeasure(napi_env env, napi_callback_info info) {
  static const uint8_t secret[AEAD_KEY_BYTES];
  napi_value options, value, result = NULL;
  bool present;
  enum aead_algorithm algorithm;
  const struct aead_library *library;
  int64_t payload_bytes, seal_ns = INT64_MAX, open_ns = INT64_MAX;
  arguments(env, info, 1, &options);
  if (!read_library(env, options, &algorithm, &library)) return NULL;
  if (!get_option(env, options, "payloadBytes", &value, &present)) return NULL;
  if (!get_int(env, value, "payloadBytes", 0, MAX_MEASURED_BYTES, &payload_bytes)) return NULL;
  struct measured all = {.payload_bytes = (size_t)payload_bytes,
                         .stride = DATAGRAM_HEADER_BYTES + (size_t)payload_bytes + TAG_BYTES};
  all.pieces = calloc(MEASURED_PIECES, all.stride);
  all.sealing.library = all.opening.library = library;
  all.sealing.expanded = library->key_create(algorithm, secret, true);
  all.opening.expanded = library->key_create(algorithm, secret, false);
  if (all.pieces != NULL && all.sealing.expanded != NULL && all.opening.expanded != NULL) {
    /* The best of many rounds, since others have the processor in between. */
    for (int round = 0; round < MEASURED_ROUNDS; round++) {
      int64_t took = seal_all(&all);
      if (took < seal_ns) seal_ns = took;
      took = open_all(&all);
      if (took < open_ns) open_ns = took;
    }
    napi_create_object(env, &result);
    put_per_piece(env, result, "sealNs", seal_ns);
    put_per_piece(env, result, "openNs", open_ns);
  } else {
    throw_errno(env, "aeadMeasure", ENOMEM);
  }
  if (all.sealing.expanded != NULL) library->key_free(all.sealing.expanded);
  if (all.opening.expanded != NULL) library->key_free(all.opening.expanded);
  free(all.pieces);
  return result;
}

/* --- random ------------------------------------------------------------------------------------------------------ */

napi_value native_random(napi_env env, napi_callback_info info) {
  napi_value argument;
  napi_typedarray_type type;
  bool is_typed = false;
  size_t bytes;
  void *data;
  arguments(env, info, 1, &argument);
  if (napi_is_typedarray(env, argument, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, argument, &type, &bytes, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    throw_type(env, "into", "a Uint8Array is needed");
    return NULL;
  }
  /* Up to 256 bytes come at once and whole: random(7). */
  if (bytes > 256) {
    throw_range(env, "into", "more than 256 bytes");
    return NULL;
  }
  if (getrandom(data, bytes, 0) != (ssize_t)bytes) return throw_errno(env, "getrandom", errno);
  return make_undefined(env);
}
