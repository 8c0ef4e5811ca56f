/*
 * Sealing by the OpenSSL that node itself brings: contexts are made once a key and used again, which is half of the cost
 * of a datagram. The few prototypes that are needed are declared here, so that the addon builds without its headers.
 */
#include "aead-library.h"
#include "aead.h"

/* --- OpenSSL 3, openssl/evp.h and crypto.h ------------------------------------------------------------------------ */

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
int CRYPTO_memcmp(const void *, const void *, size_t);
#define EVP_CTRL_AEAD_GET_TAG 0x10
#define EVP_CTRL_AEAD_SET_TAG 0x11
#define KEEP_DIRECTION (-1)

bool aead_tags_equal(const uint8_t *one, const uint8_t *other) {
  return CRYPTO_memcmp(one, other, TAG_BYTES) == 0;
}

void aead_wipe(void *memory, size_t bytes) {
  OPENSSL_cleanse(memory, bytes);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void *key_create(enum aead_algorithm algorithm, const uint8_t *secret, bool seals) {
  const EVP_CIPHER *cipher = algorithm == AES_256_GCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  if (context != NULL && EVP_CipherInit_ex(context, cipher, NULL, secret, NULL, seals) == 1) return context;
  EVP_CIPHER_CTX_free(context);
  return NULL;
}

static void key_free(void *key) {
  EVP_CIPHER_CTX_free(key); /* which wipes what it holds */
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

/* Nonce and associated data: what is the same for both directions. */
static bool start(EVP_CIPHER_CTX *context, const uint8_t *nonce, const uint8_t *datagram) {
  int bytes;
  return EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, KEEP_DIRECTION) == 1 &&
         EVP_CipherUpdate(context, NULL, &bytes, datagram, DATAGRAM_HEADER_BYTES) == 1;
}

static bool seal(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes) {
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  int bytes;
  return start(key, nonce, datagram) && EVP_CipherUpdate(key, payload, &bytes, payload, (int)payload_bytes) == 1 &&
         EVP_CipherFinal_ex(key, payload + payload_bytes, &bytes) == 1 &&
         EVP_CIPHER_CTX_ctrl(key, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, payload + payload_bytes) == 1;
}

static bool open(void *key, const uint8_t *nonce, uint8_t *datagram, size_t payload_bytes) {
  uint8_t *payload = datagram + DATAGRAM_HEADER_BYTES;
  uint8_t rest[TAG_BYTES];
  int bytes;
  return start(key, nonce, datagram) && EVP_CipherUpdate(key, payload, &bytes, payload, (int)payload_bytes) == 1 &&
         EVP_CIPHER_CTX_ctrl(key, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, payload + payload_bytes) == 1 &&
         EVP_CipherFinal_ex(key, rest, &bytes) == 1;
}

const struct aead_library aead_openssl = {
    .name = "openssl", .key_create = key_create, .key_free = key_free, .seal = seal, .open = open};
