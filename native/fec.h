/*
 * Forward error correction of a tunnel: parity over blocks of datagrams, of which it rebuilds what is lost. A systematic
 * Reed–Solomon code: data goes as it is, and any `n` of a block's parity datagrams bring back any `n` of its data.
 * docs/wire-format.md, "Parity", says what is on the wire.
 *
 *   column i = [ ECN │ 0 │ length │ payload of datagram first + i │ zeros … ]           as long as the block's longest
 *   row j    = Σ factor(j, i) · column i                                                a parity datagram's payload
 *
 *   factor(j, i) = (128 ^ i) / ((128 + j) ^ i): a Cauchy matrix, of which every square part can be inverted, with each
 *   column divided by its first element, so that row 0 is the exclusive or of all columns.
 *
 * Columns are what goes into the seal, and what came out of it: rows are sealed as any datagram. What is rebuilt is so as
 * authentic as what it was rebuilt from.
 */
#ifndef LUTHIER_FEC_H
#define LUTHIER_FEC_H

#include "aead.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* vswitch/tunnel/fec/; layout.test.ts compares both sides. */
#define FEC_MAX_DATA 80
#define FEC_MAX_ROWS 32
/* Behind the datagram header of a parity datagram: datagrams in the block, row, distance to the first of them. */
#define PARITY_HEADER_BYTES 4
/* ECN, zero, length. */
#define COLUMN_HEADER_BYTES 4
/* The longest payload that is protected: it bounds what both ends keep. */
#define FEC_PAYLOAD_BYTES 8000

#define FEC_COLUMN_BYTES (COLUMN_HEADER_BYTES + FEC_PAYLOAD_BYTES)
#define PARITY_HEADERS_BYTES (DATAGRAM_HEADER_BYTES + PARITY_HEADER_BYTES)

#define TYPE_AT 1
#define TYPE_FRAMES 0
#define TYPE_HANDSHAKE 1
#define TYPE_PARITY 3

uint8_t fec_factor(int row, int column);

/* --- out (fec-encode.c) ------------------------------------------------------------------------------------------ */

struct fec_encoder {
  int wanted_rows; /* of blocks that begin from now on */
  /* Of the block that is open: */
  int rows, count; /* `count` 0: there is none */
  uint64_t first;
  uint8_t sender[COUNTER_AT]; /* the header's bytes in front of the counter, which are those of all its datagrams */
  size_t bytes;               /* of its longest column */
  uint8_t scratch[DATAGRAM_HEADER_BYTES + FEC_PAYLOAD_BYTES];
  uint8_t parity[FEC_MAX_ROWS][FEC_COLUMN_BYTES];
};

/* What it has of the open block is forgotten: parity for it is refused. */
void fec_encoder_reset(struct fec_encoder *encoder);
/* Adds a datagram, header and payload, that is about to be sent; one that does not follow the last begins a block. */
void fec_encoder_add(struct fec_encoder *encoder, const uint8_t *datagram, size_t bytes, uint8_t ecn);
/* The same of one that lies in parts. */
void fec_encoder_add_parts(struct fec_encoder *encoder, const struct iovec *parts, size_t count, uint8_t ecn);
/* Whether the open block is the one that a parity datagram's headers speak of. */
bool fec_encoder_matches(const struct fec_encoder *encoder, const uint8_t *headers);
/* Writes row `row`, with the first one's headers counted on. */
void fec_encoder_put(const struct fec_encoder *encoder, const uint8_t *headers, int row, uint8_t *to);

static inline size_t fec_encoder_row_bytes(const struct fec_encoder *encoder) {
  return PARITY_HEADERS_BYTES + encoder->bytes;
}

/* --- in (fec-decode.c) ------------------------------------------------------------------------------------------- */

/* What came last, by counter; a power of two, and more than two blocks with their parity. */
#define FEC_HISTORY 256
/* Blocks that parity has come of and data is missing. */
#define FEC_BLOCKS 4
/* What is older is not looked at: half of the shortest TCP retransmission timeout, as in reassembly.ts. */
#define FEC_AGE_NS INT64_C(100000000)
/* After so many datagrams without parity, nothing is kept any more. */
#define FEC_PATIENCE 4096

struct fec_entry {
  uint64_t counter;
  int64_t at_ns;
  uint8_t sender[COUNTER_AT];
  uint16_t payload_bytes;
  uint8_t ecn;
  bool is_used, is_rebuilt;
};

struct fec_block {
  uint64_t first;
  int64_t at_ns;
  uint8_t sender[COUNTER_AT];
  uint8_t indices[FEC_MAX_ROWS]; /* of the rows that are there */
  int count, rows, missing;
  size_t bytes; /* of its rows */
  bool is_used, is_done;
};

/* A datagram that was rebuilt. */
struct fec_rebuilt {
  uint8_t *datagram;
  size_t bytes;
  uint8_t ecn;
};

struct fec_decoder {
  uint8_t *memory; /* payloads of the history, rows of the blocks: touched only as far as datagrams are long */
  bool is_active;
  uint8_t sender[COUNTER_AT];
  uint64_t active_from; /* all that has a larger counter, and came, is in the history */
  int since_parity;
  int64_t now_ns;
  struct fec_entry history[FEC_HISTORY];
  struct fec_block blocks[FEC_BLOCKS];
  /* Places in the history of what was rebuilt and not taken yet. */
  uint16_t rebuilt[FEC_MAX_ROWS];
  int rebuilt_count, rebuilt_at;
  int64_t repaired, unrepaired; /* datagrams, ever */
};

bool fec_decoder_create(struct fec_decoder *decoder);
void fec_decoder_free(struct fec_decoder *decoder);
/* It is now; blocks that are too old are given up. */
void fec_decoder_tick(struct fec_decoder *decoder, int64_t now_ns);
/* A datagram of frames has come and is authentic. May rebuild others. */
void fec_decoder_add(struct fec_decoder *decoder, const uint8_t *datagram, size_t bytes, uint8_t ecn);
/* The same of a parity datagram; false when it breaks a rule. */
bool fec_decoder_parity(struct fec_decoder *decoder, const uint8_t *datagram, size_t bytes);
/* Whether a datagram that comes now was rebuilt before: then it is not to be taken again; and that it has come. */
bool fec_decoder_is_late(struct fec_decoder *decoder, const uint8_t *header);
void fec_decoder_came(struct fec_decoder *decoder, const uint8_t *header);

static inline bool fec_decoder_has_rebuilt(const struct fec_decoder *decoder) {
  return decoder->rebuilt_at < decoder->rebuilt_count;
}

/* The next of those that were rebuilt, in order of their counters; `next` goes on from it. */
struct fec_rebuilt fec_decoder_rebuilt(struct fec_decoder *decoder);
void fec_decoder_next(struct fec_decoder *decoder);

#endif
