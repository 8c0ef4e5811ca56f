/*
 * AES-256-GCM by Intel's libipsec-mb, where the machine has it (Debian: libipsec-mb1): with VAES it takes a third of the
 * time of OpenSSL 3.0 for a datagram, as it has no look-ups by name and encrypts 64 bytes at once. The library is found
 * while the program runs, so that the addon is the same with and without it; what is needed of its header is declared
 * here, and layout.test.ts compares it with the header.
 *
 * Its single-buffer calls are used: a datagram's whole, one call each. Its queue of jobs takes the same time for these
 * lengths, since GCM fills the processor's pipeline with one buffer.
 */
#include "aead-library.h"
#include "aead.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- intel-ipsec-mb.h, the same in 1.0 to 2.0 --------------------------------------------------------------------- */

/* Expanded key and powers of the hash's key: 1024 bytes up to 1.3, 1280 since 1.4. */
#define GCM_KEY_BYTES 1280
#define GCM_KEY_ALIGN 64
#define GCM_CONTEXT_BYTES 88

typedef void gcm_expand(const void *secret, void *key);
typedef void gcm_crypt(const void *key, void *context, uint8_t *out, const uint8_t *in, uint64_t bytes,
                       const uint8_t *nonce, const uint8_t *associated, uint64_t associated_bytes, uint8_t *tag,
                       uint64_t tag_bytes);

/*
 * The manager: calls by what they do, chosen for this processor. New ones come behind those there were.
 *
 *   offset  type        field
 *        8  u64         features
 *      272  gcm_crypt*  gcm256_enc
 *      296  gcm_crypt*  gcm256_dec
 *      464  gcm_expand* gcm256_pre
 */
#define FEATURES_AT 8
#define GCM256_ENC_AT 272
#define GCM256_DEC_AT 296
#define GCM256_PRE_AT 464

/* Of the processor; and of the library: it wipes keys from registers and from its stack when a call ends. */
#define FEATURE_AESNI (UINT64_C(1) << 1)
#define FEATURE_PCLMULQDQ (UINT64_C(1) << 2)
#define FEATURE_SAFE_DATA (UINT64_C(1) << 14)
#define FEATURES_NEEDED (FEATURE_AESNI | FEATURE_PCLMULQDQ | FEATURE_SAFE_DATA)

/* --- the library -------------------------------------------------------------------------------------------------- */

static struct {
  unsigned version; /* 0x010300; 0: there is none */
  const char *why;  /* there is none that can be used */
  gcm_crypt *encrypt, *decrypt;
  gcm_expand *expand;
} library = {.why = "it is not for this kind of processor"};

/* --- keys and datagrams ------------------------------------------------------------------------------------------- */

struct gcm {
  _Alignas(GCM_KEY_ALIGN) uint8_t key[GCM_KEY_BYTES];
  uint8_t context[GCM_CONTEXT_BYTES]; /* of one datagram; it holds a piece of key stream at the end, so it is wiped too */
};

static void *key_create(enum aead_algorithm algorithm, const uint8_t *secret, bool seals) {
  (void)algorithm, (void)seals;
  struct gcm *gcm = aligned_alloc(GCM_KEY_ALIGN, sizeof *gcm);
  if (gcm != NULL) library.expand(secret, gcm->key);
  return gcm;
}

static void key_free(void *key) {
  aead_wipe(key, sizeof(struct gcm));
  free(key);
}

static bool seal(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes) {
  struct gcm *gcm = key;
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  library.encrypt(gcm->key, gcm->context, payload, payload, payload_bytes, nonce, datagram, DATAGRAM_HEADER_BYTES,
                  payload + payload_bytes, TAG_BYTES);
  return true;
}

static bool open(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes) {
  struct gcm *gcm = key;
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  uint8_t tag[TAG_BYTES];
  library.decrypt(gcm->key, gcm->context, payload, payload, payload_bytes, nonce, datagram, DATAGRAM_HEADER_BYTES, tag,
                  TAG_BYTES);
  return aead_tags_equal(tag, payload + payload_bytes);
}

static const struct aead_library aead_with_ipsec_mb = {
    .name = "ipsec-mb", .key_create = key_create, .key_free = key_free, .seal = seal, .open = open};

/* --- finding it --------------------------------------------------------------------------------------------------- */

#if defined __x86_64__

/* Major versions have names of their own, and so may be installed beside each other. */
static const char *const names[] = {"libIPSec_MB.so.2", "libIPSec_MB.so.1"};
/* What the declarations above were compared with. A later one may want more room for a key, as 1.4 did. */
#define FIRST_VERSION 0x010000
#define UNKNOWN_VERSION 0x020100

static void *at(const void *manager, size_t offset) {
  void *call;
  memcpy(&call, (const uint8_t *)manager + offset, sizeof call);
  return call;
}

/* Takes the calls out of a manager; the rest of it, queues of jobs, is not needed. NULL, or why the library is not used. */
static const char *take_calls(void *handle) {
  /* POSIX wants a function's address to fit a pointer to void, which ISO C leaves open (dlsym(3)). */
  unsigned (*get_version)(void) = (unsigned (*)(void))dlsym(handle, "imb_get_version");
  void *(*manager_create)(uint64_t flags) = (void *(*)(uint64_t))dlsym(handle, "alloc_mb_mgr");
  void (*manager_init)(void *, int *) = (void (*)(void *, int *))dlsym(handle, "init_mb_mgr_auto");
  void (*manager_free)(void *) = (void (*)(void *))dlsym(handle, "free_mb_mgr");
  if (get_version == NULL || manager_create == NULL || manager_init == NULL || manager_free == NULL)
    return "it lacks a call";
  unsigned version = get_version();
  if (version < FIRST_VERSION || version >= UNKNOWN_VERSION) return "its version is none of 1.0 to 2.0";
  void *manager = manager_create(0);
  if (manager == NULL) return "there is no memory for it";
  uint64_t features;
  memcpy(&features, (uint8_t *)manager + FEATURES_AT, sizeof features);
  /* Without AES instructions it would use tables, whose time tells of the key. */
  const char *why = (features & FEATURE_SAFE_DATA) == 0          ? "it was built to leave keys in memory (no SAFE_DATA)"
                    : (features & FEATURES_NEEDED) != FEATURES_NEEDED ? "this processor has no instructions for AES"
                                                                     : NULL;
  if (why == NULL) {
    manager_init(manager, NULL);
    library.encrypt = (gcm_crypt *)at(manager, GCM256_ENC_AT);
    library.decrypt = (gcm_crypt *)at(manager, GCM256_DEC_AT);
    library.expand = (gcm_expand *)at(manager, GCM256_PRE_AT);
    if (library.encrypt == NULL || library.decrypt == NULL || library.expand == NULL) why = "it lacks AES-256-GCM";
  }
  manager_free(manager);
  library.version = version;
  return why;
}

/* Whether it seals as OpenSSL does: a library, or a processor, that does not would cut us off from every peer. */
static bool agrees(void) {
  enum { PAYLOAD_BYTES = 1418, BYTES = DATAGRAM_HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES };
  uint8_t secret[AEAD_KEY_BYTES], nonce[AEAD_IV_BYTES], ours[BYTES], theirs[BYTES];
  for (size_t i = 0; i < sizeof secret; i++) secret[i] = (uint8_t)(7 * i + 1);
  for (size_t i = 0; i < sizeof nonce; i++) nonce[i] = (uint8_t)(5 * i + 3);
  for (size_t i = 0; i < sizeof ours; i++) ours[i] = theirs[i] = (uint8_t)(31 * i + (i >> 8));
  void *our_key = aead_openssl.key_create(AES_256_GCM, secret, true);
  void *their_key = aead_with_ipsec_mb.key_create(AES_256_GCM, secret, true);
  bool equal = our_key != NULL && their_key != NULL && aead_openssl.seal(our_key, nonce, ours, PAYLOAD_BYTES) &&
               aead_with_ipsec_mb.seal(their_key, nonce, theirs, PAYLOAD_BYTES) && memcmp(ours, theirs, BYTES) == 0;
  if (our_key != NULL) aead_openssl.key_free(our_key);
  if (their_key != NULL) aead_with_ipsec_mb.key_free(their_key);
  return equal;
}

static void find(void) {
  void *handle = NULL;
  for (size_t i = 0; handle == NULL && i < sizeof names / sizeof names[0]; i++)
    handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  library.why = handle == NULL ? "it is not installed" : take_calls(handle);
  if (library.why == NULL && !agrees()) library.why = "it does not seal as OpenSSL does";
  if (library.why == NULL) return;
  library.version = 0;
  if (handle != NULL) dlclose(handle);
}

#else
static void find(void) {}
#endif

const struct aead_library *aead_ipsec_mb(const char **why) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find);
  if (why != NULL) *why = library.why;
  return library.why == NULL ? &aead_with_ipsec_mb : NULL;
}

unsigned aead_ipsec_mb_version(void) {
  return library.version;
}
