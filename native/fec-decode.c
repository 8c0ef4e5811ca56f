/*
 * What is lost, rebuilt. While a peer sends parity, what came last is kept here, by counter; when a block has as many rows
 * as it has datagrams missing, these are rebuilt:
 *
 *   row j   =  Σ factor(j, i) · column i      over all i, the missing ones included
 *   row j  −   Σ factor(j, i) · column i      over those that are there
 *           =  Σ factor(j, i) · column i      over the missing: as many equations as unknowns, solved by elimination
 *
 * Bounded in memory (FEC_HISTORY datagrams, FEC_BLOCKS blocks, each of FEC_PAYLOAD_BYTES), in time (FEC_AGE_NS) and in work: a
 * row costs at most one elimination of FEC_MAX_ROWS × FEC_MAX_DATA columns, and a block is solved once. Nothing of the
 * peer's is used as a length or a place before it was compared with these.
 *
 * The age also guards a tunnel that is not sealed, where a peer that was started anew counts from zero again: what is left
 * of its life before is not taken for what it says now.
 */
#include "fec.h"
#include "gf256.h"

#include <string.h>
#include <sys/mman.h>

#define ENTRY_BYTES (DATAGRAM_HEADER_BYTES + FEC_PAYLOAD_BYTES)
#define HISTORY_BYTES ((size_t)FEC_HISTORY * ENTRY_BYTES)
#define ROWS_BYTES ((size_t)FEC_BLOCKS * FEC_MAX_ROWS * FEC_COLUMN_BYTES)

bool fec_decoder_create(struct fec_decoder *decoder) {
  memset(decoder, 0, sizeof *decoder);
  void *memory = mmap(NULL, HISTORY_BYTES + ROWS_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  decoder->memory = memory;
  return true;
}

void fec_decoder_free(struct fec_decoder *decoder) {
  munmap(decoder->memory, HISTORY_BYTES + ROWS_BYTES);
}

static uint8_t *datagram_at(const struct fec_decoder *decoder, size_t place) {
  return decoder->memory + place * ENTRY_BYTES;
}

static uint8_t *row_at(const struct fec_decoder *decoder, const struct fec_block *block, int row) {
  size_t number = (size_t)(block - decoder->blocks) * FEC_MAX_ROWS + (size_t)row;
  return decoder->memory + HISTORY_BYTES + number * FEC_COLUMN_BYTES;
}

static struct fec_entry *find(struct fec_decoder *decoder, const uint8_t *sender, uint64_t counter) {
  struct fec_entry *entry = &decoder->history[counter % FEC_HISTORY];
  if (!entry->is_used || entry->counter != counter || decoder->now_ns - entry->at_ns > FEC_AGE_NS) return NULL;
  return memcmp(entry->sender, sender, COUNTER_AT) == 0 ? entry : NULL;
}

static struct fec_entry *keep(struct fec_decoder *decoder, const uint8_t *sender, uint64_t counter, uint8_t ecn,
                              size_t payload_bytes) {
  struct fec_entry *entry = &decoder->history[counter % FEC_HISTORY];
  *entry = (struct fec_entry){.counter = counter,
                              .at_ns = decoder->now_ns,
                              .payload_bytes = (uint16_t)payload_bytes,
                              .ecn = ecn,
                              .is_used = true};
  memcpy(entry->sender, sender, COUNTER_AT);
  return entry;
}

static void give_up(struct fec_decoder *decoder, struct fec_block *block) {
  if (block->is_used && !block->is_done) decoder->unrepaired += block->missing;
  block->is_used = false;
}

void fec_decoder_tick(struct fec_decoder *decoder, int64_t now_ns) {
  decoder->now_ns = now_ns;
  if (!decoder->is_active) return;
  for (int i = 0; i < FEC_BLOCKS; i++) {
    struct fec_block *block = &decoder->blocks[i];
    if (block->is_used && now_ns - block->at_ns > FEC_AGE_NS) give_up(decoder, block);
  }
}

/* --- a block is solved ------------------------------------------------------------------------------------------- */

/* Columns of the block that are not there. Returns how many; no more are listed than could be solved. */
static int list_missing(struct fec_decoder *decoder, const struct fec_block *block, int *columns) {
  int missing = 0;
  for (int i = 0; i < block->count; i++) {
    if (find(decoder, block->sender, block->first + (uint64_t)i) != NULL) continue;
    if (missing < FEC_MAX_ROWS) columns[missing] = i;
    missing++;
  }
  return missing;
}

/* Takes from the first `count` rows what is there. False when a datagram is longer than the block's rows say. */
static bool subtract_known(struct fec_decoder *decoder, const struct fec_block *block, int count) {
  for (int i = 0; i < block->count; i++) {
    uint64_t counter = block->first + (uint64_t)i;
    const struct fec_entry *entry = find(decoder, block->sender, counter);
    if (entry == NULL) continue;
    size_t bytes = entry->payload_bytes;
    if (COLUMN_HEADER_BYTES + bytes > block->bytes) return false;
    const uint8_t *payload = datagram_at(decoder, counter % FEC_HISTORY) + DATAGRAM_HEADER_BYTES;
    const uint8_t header[COLUMN_HEADER_BYTES] = {entry->ecn, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes};
    for (int r = 0; r < count; r++) {
      uint8_t factor = fec_factor(block->indices[r], i);
      gf_add_scaled(row_at(decoder, block, r), header, factor, COLUMN_HEADER_BYTES);
      gf_add_scaled(row_at(decoder, block, r) + COLUMN_HEADER_BYTES, payload, factor, bytes);
    }
  }
  return true;
}

static void scale(uint8_t *bytes, uint8_t factor, size_t count) {
  for (size_t i = 0; i < count; i++) bytes[i] = gf_multiply(bytes[i], factor);
}

/*
 * Gauss and Jordan: the rows become the missing columns. No pivot is 0, as every square part of a Cauchy matrix can be
 * inverted, the leading ones too.
 */
static void eliminate(struct fec_decoder *decoder, const struct fec_block *block, const int *columns, int count) {
  uint8_t matrix[FEC_MAX_ROWS][FEC_MAX_ROWS];
  for (int r = 0; r < count; r++) {
    for (int c = 0; c < count; c++) matrix[r][c] = fec_factor(block->indices[r], columns[c]);
  }
  for (int p = 0; p < count; p++) {
    uint8_t inverse = gf_inverse(matrix[p][p]);
    scale(matrix[p], inverse, (size_t)count);
    scale(row_at(decoder, block, p), inverse, block->bytes);
    for (int r = 0; r < count; r++) {
      uint8_t factor = matrix[r][p];
      if (r == p || factor == 0) continue;
      gf_add_scaled(matrix[r], matrix[p], factor, (size_t)count);
      gf_add_scaled(row_at(decoder, block, r), row_at(decoder, block, p), factor, block->bytes);
    }
  }
}

/* Whether a column is one: a length that fits, and zeros behind it. What was put together wrongly is hardly ever. */
static bool is_column(const uint8_t *column, size_t bytes) {
  size_t payload_bytes = (size_t)(column[2] << 8 | column[3]);
  if (column[0] > 3 || column[1] != 0 || payload_bytes == 0 || COLUMN_HEADER_BYTES + payload_bytes > bytes) return false;
  for (size_t i = COLUMN_HEADER_BYTES + payload_bytes; i < bytes; i++) {
    if (column[i] != 0) return false;
  }
  return true;
}

static void put_header(uint8_t *to, const uint8_t *sender, uint64_t counter) {
  memcpy(to, sender, COUNTER_AT);
  for (int i = 7; i >= 0; i--, counter >>= 8) to[COUNTER_AT + i] = (uint8_t)counter;
}

/* Rebuilds what is missing of a block, where its rows are enough for it. */
static void solve(struct fec_decoder *decoder, struct fec_block *block) {
  int columns[FEC_MAX_ROWS];
  int missing = block->missing = list_missing(decoder, block, columns);
  if (missing > block->rows) return;
  block->is_done = true;
  if (missing == 0) return;
  bool is_right = subtract_known(decoder, block, missing);
  if (is_right) eliminate(decoder, block, columns, missing);
  for (int i = 0; i < missing && is_right; i++) is_right = is_column(row_at(decoder, block, i), block->bytes);
  if (!is_right) {
    decoder->unrepaired += missing;
    return;
  }
  for (int i = 0; i < missing; i++) {
    const uint8_t *column = row_at(decoder, block, i);
    uint64_t counter = block->first + (uint64_t)columns[i];
    size_t payload_bytes = (size_t)(column[2] << 8 | column[3]);
    struct fec_entry *entry = keep(decoder, block->sender, counter, column[0], payload_bytes);
    entry->is_rebuilt = true;
    uint8_t *datagram = datagram_at(decoder, counter % FEC_HISTORY);
    put_header(datagram, block->sender, counter);
    memcpy(datagram + DATAGRAM_HEADER_BYTES, column + COLUMN_HEADER_BYTES, payload_bytes);
    decoder->rebuilt[decoder->rebuilt_count++] = (uint16_t)(counter % FEC_HISTORY);
  }
}

/* --- what comes -------------------------------------------------------------------------------------------------- */

void fec_decoder_add(struct fec_decoder *decoder, const uint8_t *datagram, size_t bytes, uint8_t ecn) {
  if (!decoder->is_active) return;
  if (++decoder->since_parity > FEC_PATIENCE) {
    decoder->is_active = false;
    return;
  }
  if (bytes <= DATAGRAM_HEADER_BYTES || bytes > ENTRY_BYTES) return;
  uint64_t counter = datagram_counter(datagram);
  keep(decoder, datagram, counter, ecn, bytes - DATAGRAM_HEADER_BYTES);
  memcpy(datagram_at(decoder, counter % FEC_HISTORY), datagram, bytes);
  for (int i = 0; i < FEC_BLOCKS; i++) {
    struct fec_block *block = &decoder->blocks[i];
    if (!block->is_used || block->is_done || counter - block->first >= (uint64_t)block->count) continue;
    if (memcmp(block->sender, datagram, COUNTER_AT) != 0) continue;
    solve(decoder, block);
    return;
  }
}

/* Its block, or a new one in place of the oldest; NULL when it is not to be looked at. */
static struct fec_block *block_of(struct fec_decoder *decoder, const uint8_t *sender, uint64_t first, int count,
                                  size_t bytes) {
  struct fec_block *oldest = &decoder->blocks[0];
  for (int i = 0; i < FEC_BLOCKS; i++) {
    struct fec_block *block = &decoder->blocks[i];
    if (block->is_used && block->first == first && memcmp(block->sender, sender, COUNTER_AT) == 0)
      return block->count == count && block->bytes == bytes ? block : NULL;
    if (oldest->is_used && (!block->is_used || block->at_ns < oldest->at_ns)) oldest = block;
  }
  give_up(decoder, oldest);
  *oldest = (struct fec_block){.first = first, .at_ns = decoder->now_ns, .count = count, .bytes = bytes, .is_used = true};
  memcpy(oldest->sender, sender, COUNTER_AT);
  return oldest;
}

bool fec_decoder_parity(struct fec_decoder *decoder, const uint8_t *datagram, size_t bytes) {
  if (bytes < PARITY_HEADERS_BYTES + COLUMN_HEADER_BYTES + 1 || bytes > PARITY_HEADERS_BYTES + FEC_COLUMN_BYTES)
    return false;
  const uint8_t *header = datagram + DATAGRAM_HEADER_BYTES;
  int count = header[0], row = header[1];
  uint64_t counter = datagram_counter(datagram);
  uint64_t distance = (uint64_t)(header[2] << 8 | header[3]);
  if (count == 0 || count > FEC_MAX_DATA || row >= FEC_MAX_ROWS || distance < (uint64_t)count || distance > counter)
    return false;
  uint8_t sender[COUNTER_AT];
  memcpy(sender, datagram, COUNTER_AT);
  sender[TYPE_AT] = TYPE_FRAMES;
  decoder->since_parity = 0;
  /* With the first parity it begins to keep; a sender that counts from zero again begins anew. */
  if (!decoder->is_active || memcmp(decoder->sender, sender, COUNTER_AT) != 0 || counter < decoder->active_from) {
    decoder->is_active = true;
    decoder->active_from = counter;
    memcpy(decoder->sender, sender, COUNTER_AT);
  }
  uint64_t first = counter - distance;
  if (first <= decoder->active_from) return true;
  struct fec_block *block = block_of(decoder, sender, first, count, bytes - PARITY_HEADERS_BYTES);
  if (block == NULL || block->is_done) return true;
  for (int i = 0; i < block->rows; i++) {
    if (block->indices[i] == row) return true;
  }
  memcpy(row_at(decoder, block, block->rows), datagram + PARITY_HEADERS_BYTES, block->bytes);
  block->indices[block->rows++] = (uint8_t)row;
  solve(decoder, block);
  return true;
}

bool fec_decoder_is_late(struct fec_decoder *decoder, const uint8_t *header) {
  if (!decoder->is_active) return false;
  const struct fec_entry *entry = find(decoder, header, datagram_counter(header));
  return entry != NULL && entry->is_rebuilt;
}

void fec_decoder_came(struct fec_decoder *decoder, const uint8_t *header) {
  struct fec_entry *entry = find(decoder, header, datagram_counter(header));
  if (entry != NULL) entry->is_rebuilt = false;
}

struct fec_rebuilt fec_decoder_rebuilt(struct fec_decoder *decoder) {
  uint16_t place = decoder->rebuilt[decoder->rebuilt_at];
  const struct fec_entry *entry = &decoder->history[place];
  return (struct fec_rebuilt){.datagram = datagram_at(decoder, place),
                              .bytes = DATAGRAM_HEADER_BYTES + (size_t)entry->payload_bytes,
                              .ecn = entry->ecn};
}

void fec_decoder_next(struct fec_decoder *decoder) {
  if (++decoder->rebuilt_at == decoder->rebuilt_count) decoder->rebuilt_at = decoder->rebuilt_count = 0;
}
