/*
 * Parity as it is made: every datagram is added to the rows of the open block while it is in the first cache, on its way
 * into the seal. Which datagrams are a block, and how many rows are sent, the caller decides (vswitch/tunnel/fec/).
 */
#include "fec.h"
#include "gf256.h"

#include <string.h>

uint8_t fec_factor(int row, int column) {
  return gf_multiply((uint8_t)(128 ^ column), gf_inverse((uint8_t)((128 + row) ^ column)));
}

void fec_encoder_reset(struct fec_encoder *encoder) {
  encoder->count = 0;
}

static bool follows(const struct fec_encoder *encoder, const uint8_t *datagram) {
  return encoder->count > 0 && encoder->count < FEC_MAX_DATA &&
         datagram_counter(datagram) == encoder->first + (uint64_t)encoder->count &&
         memcmp(encoder->sender, datagram, COUNTER_AT) == 0;
}

void fec_encoder_add(struct fec_encoder *encoder, const uint8_t *datagram, size_t bytes, uint8_t ecn) {
  if (bytes <= DATAGRAM_HEADER_BYTES || datagram[TYPE_AT] != TYPE_FRAMES) return;
  size_t payload_bytes = bytes - DATAGRAM_HEADER_BYTES;
  if (!follows(encoder, datagram)) {
    encoder->count = 0;
    encoder->rows = encoder->wanted_rows;
    encoder->first = datagram_counter(datagram);
    encoder->bytes = 0;
    memcpy(encoder->sender, datagram, COUNTER_AT);
  }
  if (payload_bytes > FEC_PAYLOAD_BYTES || encoder->rows == 0) {
    encoder->count = 0;
    return;
  }
  size_t column_bytes = COLUMN_HEADER_BYTES + payload_bytes;
  const uint8_t header[COLUMN_HEADER_BYTES] = {ecn, 0, (uint8_t)(payload_bytes >> 8), (uint8_t)payload_bytes};
  for (int row = 0; row < encoder->rows; row++) {
    uint8_t *to = encoder->parity[row];
    uint8_t factor = fec_factor(row, encoder->count);
    if (column_bytes > encoder->bytes) memset(to + encoder->bytes, 0, column_bytes - encoder->bytes);
    gf_add_scaled(to, header, factor, COLUMN_HEADER_BYTES);
    gf_add_scaled(to + COLUMN_HEADER_BYTES, datagram + DATAGRAM_HEADER_BYTES, factor, payload_bytes);
  }
  if (column_bytes > encoder->bytes) encoder->bytes = column_bytes;
  encoder->count++;
}

void fec_encoder_add_parts(struct fec_encoder *encoder, const struct iovec *parts, size_t count, uint8_t ecn) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (bytes + parts[i].iov_len > sizeof encoder->scratch) {
      encoder->count = 0;
      return;
    }
    memcpy(encoder->scratch + bytes, parts[i].iov_base, parts[i].iov_len);
    bytes += parts[i].iov_len;
  }
  fec_encoder_add(encoder, encoder->scratch, bytes, ecn);
}

static uint16_t distance_of(const uint8_t *headers) {
  return (uint16_t)(headers[DATAGRAM_HEADER_BYTES + 2] << 8 | headers[DATAGRAM_HEADER_BYTES + 3]);
}

bool fec_encoder_matches(const struct fec_encoder *encoder, const uint8_t *headers) {
  return encoder->count > 0 && encoder->count == headers[DATAGRAM_HEADER_BYTES] &&
         encoder->first + distance_of(headers) == datagram_counter(headers) &&
         memcmp(encoder->sender + TYPE_AT + 1, headers + TYPE_AT + 1, COUNTER_AT - TYPE_AT - 1) == 0;
}

void fec_encoder_put(const struct fec_encoder *encoder, const uint8_t *headers, int row, uint8_t *to) {
  uint64_t counter = datagram_counter(headers) + (uint64_t)row;
  unsigned distance = distance_of(headers) + (unsigned)row;
  memcpy(to, headers, PARITY_HEADERS_BYTES);
  for (int i = 7; i >= 0; i--, counter >>= 8) to[COUNTER_AT + i] = (uint8_t)counter;
  to[DATAGRAM_HEADER_BYTES + 1] = (uint8_t)row;
  to[DATAGRAM_HEADER_BYTES + 2] = (uint8_t)(distance >> 8);
  to[DATAGRAM_HEADER_BYTES + 3] = (uint8_t)distance;
  memcpy(to + PARITY_HEADERS_BYTES, encoder->parity[row], encoder->bytes);
}
