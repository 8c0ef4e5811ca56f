/*
 * Libraries that seal: what aead.c asks of one. Each has a file of its own; which one a key is made with is decided once,
 * when it is made (aead.c). A key of any of them can be used by one thread at a time.
 */
#ifndef LUTHIER_AEAD_LIBRARY_H
#define LUTHIER_AEAD_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aead_algorithm { AES_256_GCM, CHACHA20_POLY1305 };

struct aead_library {
  const char *name;
  /* Expands 32 bytes of key, to seal or to open; NULL when there is no memory. */
  void *(*key_create)(enum aead_algorithm algorithm, const uint8_t *secret, bool seals);
  /* Wipes and frees it. */
  void (*key_free)(void *key);
  /* As aead_seal and aead_open, under a nonce of AEAD_IV_BYTES. */
  bool (*seal)(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes);
  bool (*open)(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes);
};

/* Node's own (aead-openssl.c): knows every algorithm, and is always there. */
extern const struct aead_library aead_openssl;

/* Whether two tags are equal, in a time that does not depend on where they differ. */
bool aead_tags_equal(const uint8_t *one, const uint8_t *other);
void aead_wipe(void *memory, size_t bytes);

/*
 * Intel's libipsec-mb (aead-ipsec-mb.c): AES-256-GCM alone. NULL where the machine has none that can be used; `*why` then
 * says it. Looks for it once in the process, which takes some milliseconds; any thread may ask.
 */
const struct aead_library *aead_ipsec_mb(const char **why);
/* Its version, as 0x010300; 0 without it. */
unsigned aead_ipsec_mb_version(void);

#endif
