/*
 * Keyrings, on the OpenSSL that node itself brings: contexts are made once a key and used again, which is half of the cost
 * of a datagram. The few prototypes that are needed are declared here, so that the addon builds without its headers.
 */
#include "aead.h"
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- OpenSSL 3, openssl/evp.h ------------------------------------------------------------------------------------- */

typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *);
const EVP_CIPHER *EVP_aes_256_gcm(void);
const EVP_CIPHER *EVP_chacha20_poly1305(void);
int EVP_CipherInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *engine, const uint8_t *key, const uint8_t *iv,
                      int encrypt);
int EVP_CipherUpdate(EVP_CIPHER_CTX *, uint8_t *out, int *out_bytes, const uint8_t *in, int in_bytes);
int EVP_CipherFinal_ex(EVP_CIPHER_CTX *, uint8_t *out, int *out_bytes);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int type, int arg, void *data);
void OPENSSL_cleanse(void *, size_t);
#define EVP_CTRL_AEAD_GET_TAG 0x10
#define EVP_CTRL_AEAD_SET_TAG 0x11
#define KEEP_DIRECTION (-1)

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

/* Nonce and associated data: what is the same for both directions. */
static bool start(struct key *key, const uint8_t *datagram) {
  uint8_t nonce[AEAD_IV_BYTES];
  int bytes;
  memcpy(nonce, key->iv, sizeof nonce);
  for (int i = 0; i < 8; i++) nonce[4 + i] ^= datagram[COUNTER_AT + i];
  return EVP_CipherInit_ex(key->cipher, NULL, NULL, NULL, nonce, KEEP_DIRECTION) == 1 &&
         EVP_CipherUpdate(key->cipher, NULL, &bytes, datagram, DATAGRAM_HEADER_BYTES) == 1;
}

bool aead_seal(struct key *key, uint8_t *datagram, size_t payload_bytes) {
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  int bytes;
  return start(key, datagram) && EVP_CipherUpdate(key->cipher, payload, &bytes, payload, (int)payload_bytes) == 1 &&
         EVP_CipherFinal_ex(key->cipher, payload + payload_bytes, &bytes) == 1 &&
         EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, payload + payload_bytes) == 1;
}

bool aead_open(struct key *key, uint8_t *datagram, size_t payload_bytes) {
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  uint8_t rest[TAG_BYTES];
  int bytes;
  return start(key, datagram) && EVP_CipherUpdate(key->cipher, payload, &bytes, payload, (int)payload_bytes) == 1 &&
         EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, payload + payload_bytes) == 1 &&
         EVP_CipherFinal_ex(key->cipher, rest, &bytes) == 1;
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
  EVP_CIPHER_CTX_free(key->cipher); /* which wipes what it holds */
  OPENSSL_cleanse(key, sizeof *key);
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
  char algorithm[32];
  int64_t epoch, lane;
  bool seals;
  const uint8_t *secret;
};

static bool read_options(napi_env env, napi_value object, struct key_options *to) {
  napi_value value;
  napi_typedarray_type type;
  size_t bytes;
  void *data;
  bool present, is_typed = false;
  if (!get_option(env, object, "algorithm", &value, &present)) return false;
  if (!get_string(env, value, "algorithm", to->algorithm, sizeof to->algorithm)) return false;
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
  const EVP_CIPHER *cipher = strcmp(options.algorithm, "aes-256-gcm") == 0         ? EVP_aes_256_gcm()
                             : strcmp(options.algorithm, "chacha20-poly1305") == 0 ? EVP_chacha20_poly1305()
                                                                                   : NULL;
  if (cipher == NULL) {
    throw_range(env, "algorithm", "neither aes-256-gcm nor chacha20-poly1305");
    return NULL;
  }
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
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  if (context == NULL || EVP_CipherInit_ex(context, cipher, NULL, options.secret, NULL, options.seals) != 1) {
    EVP_CIPHER_CTX_free(context);
    return throw_errno(env, "EVP_CipherInit_ex", ENOMEM);
  }
  *free_key = (struct key){.epoch = (uint32_t)options.epoch, .lane = (uint8_t)options.lane, .cipher = context};
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
