/*
 * Datagrams into slots (udp-receive.h). Those that carry a frame on, one after the other, are put together again, as if one
 * long datagram had come:
 *
 *   received   [ DH CH │ payload 0 ][ DH CH │ payload 1 ] … [ DH CH │ payload n │ copy ]
 *   given      [ DH CH │ payload 0     payload 1     …          payload n │ copy       ]     in slots
 *
 * which is exactly what the chunks say: the first header with the lengths of all. Only neighbours that agree in every
 * field, that of ECN in their IP header included, and follow each other in counter and offset are joined; anything else is
 * a datagram of its own, and rebuilding (vswitch/tunnel/reassembly.ts) takes it from there. So any grouping gives the same
 * frames.
 */
#include "udp-receive.h"

#include <string.h>

/* vswitch/tunnel/wire.ts; layout.test.ts compares both sides. */
#define CHUNK_HEADER_BYTES 18
#define HEADERS_BYTES (DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES)

/* Offsets within a chunk header. */
#define PAYLOAD_AT 2
#define FRAME_BYTES_AT 9
#define COPY_AT 12
#define OFFSET_AT 13

/* Appends to the run; the caller has seen that there are slots. */
static void put(struct io *io, struct run *run, const uint8_t *from, size_t bytes) {
  while (bytes > 0) {
    /* Counted from the first slot's start, so that every slot but the first is full. */
    size_t at = run->bytes + HEADROOM_BYTES;
    int32_t slot = io->slots[run->first + (int32_t)(at / SLOT_BYTES)];
    size_t room = SLOT_BYTES - at % SLOT_BYTES;
    size_t n = bytes < room ? bytes : room;
    memcpy(io->arena + (size_t)slot * SLOT_BYTES + at % SLOT_BYTES, from, n);
    run->bytes += n;
    from += n;
    bytes -= n;
  }
}

/* Whether it has one chunk, of frames, that fills it. */
static bool is_single(const uint8_t *datagram, size_t bytes) {
  if (bytes < HEADERS_BYTES || datagram[TYPE_AT] != TYPE_FRAMES) return false;
  const uint8_t *chunk = datagram + DATAGRAM_HEADER_BYTES;
  return HEADERS_BYTES + get_be(chunk + PAYLOAD_AT, 2) + chunk[COPY_AT] == bytes;
}

static bool carries_on(const struct run *run, const struct opened *opened) {
  const uint8_t *datagram = opened->bytes;
  if (!run->is_open || run->ecn != opened->ecn || !is_single(datagram, opened->length)) return false;
  const uint8_t *ours = run->headers + DATAGRAM_HEADER_BYTES;
  const uint8_t *chunk = datagram + DATAGRAM_HEADER_BYTES;
  uint32_t payload = get_be(chunk + PAYLOAD_AT, 2);
  return datagram_counter(datagram) == run->counter && get_be(chunk + OFFSET_AT, 3) == run->offset && payload > 0 &&
         run->payload_bytes + payload <= UINT16_MAX &&
         run->offset + payload <= get_be(ours + FRAME_BYTES_AT, 3) &&
         memcmp(run->headers, datagram, COUNTER_AT) == 0 &&   /* version, type, flags, lane, network, epoch */
         memcmp(ours, chunk, PAYLOAD_AT) == 0 &&              /* channel */
         memcmp(ours + 4, chunk + 4, COPY_AT - 4) == 0 &&     /* frame id, flags, frame length */
         memcmp(ours + OFFSET_AT + 3, chunk + OFFSET_AT + 3, CHUNK_HEADER_BYTES - OFFSET_AT - 3) == 0; /* gsoSize */
}

/*
 * Whether a datagram comes after later ones of its sender: a repeat, or one that was overtaken; those may have come with an
 * earlier call. None is joined to it: what is there already would be told again with what is new, and rebuilding would
 * refuse both. One that is very late is a sender's that begins anew.
 */
static bool is_late(struct newest *newest, const uint8_t *datagram) {
  uint64_t counter = datagram_counter(datagram);
  bool is_same = memcmp(newest->sender, datagram, COUNTER_AT) == 0;
  if (is_same && counter < newest->next && newest->next - counter <= WINDOW_BITS) return true;
  memcpy(newest->sender, datagram, COUNTER_AT);
  newest->next = counter + 1;
  return false;
}

/* Begins a run with a datagram. */
static void start(struct io *io, struct run *run, int32_t first, const uint8_t *datagram, size_t bytes) {
  *run = (struct run){.first = first};
  put(io, run, datagram, bytes);
  run->headers = io->arena + (size_t)io->slots[first] * SLOT_BYTES + HEADROOM_BYTES;
  const uint8_t *chunk = datagram + DATAGRAM_HEADER_BYTES;
  run->is_open = is_single(datagram, bytes) && chunk[COPY_AT] == 0;
  if (!run->is_open) return;
  run->payload_bytes = get_be(chunk + PAYLOAD_AT, 2);
  run->offset = get_be(chunk + OFFSET_AT, 3) + run->payload_bytes;
  run->counter = datagram_counter(datagram) + 1;
}

/* Appends the chunk of a datagram that carries the run on. A header copy is of use only to what is not whole. */
static void extend(struct io *io, struct run *run, const uint8_t *datagram) {
  const uint8_t *chunk = datagram + DATAGRAM_HEADER_BYTES;
  uint8_t *ours = run->headers + DATAGRAM_HEADER_BYTES;
  uint32_t payload = get_be(chunk + PAYLOAD_AT, 2);
  uint32_t total = run->payload_bytes + payload;
  bool is_whole = total == get_be(ours + FRAME_BYTES_AT, 3);
  size_t copy_bytes = is_whole ? 0 : chunk[COPY_AT];
  put(io, run, datagram + HEADERS_BYTES, payload + copy_bytes);
  ours[PAYLOAD_AT] = (uint8_t)(total >> 8);
  ours[PAYLOAD_AT + 1] = (uint8_t)total;
  ours[COPY_AT] = (uint8_t)copy_bytes;
  run->payload_bytes = total;
  run->offset += payload;
  run->counter++;
  run->is_open = chunk[COPY_AT] == 0;
}

bool has_place(const struct io *io, const struct placing *placing, size_t bytes, int32_t slots) {
  const struct run *run = &placing->run;
  int32_t run_slots = run->headers == NULL ? 0 : slots_for((int64_t)run->bytes);
  return placing->count < io->lengths_count && placing->used + run_slots + slots_for((int64_t)bytes) <= slots;
}

static struct newest *newest_of(const struct placing *placing, const uint8_t *datagram) {
  return &placing->newest[datagram[LANE_AT] % PEER_LANES];
}

void place(struct io *io, struct placing *placing, const struct opened *opened) {
  struct run *run = &placing->run;
  if (run->source == opened->source && carries_on(run, opened)) {
    extend(io, run, opened->bytes);
    io->lengths[run->index] = (int32_t)run->bytes;
    io->cuts[run->index] += opened->weight;
    newest_of(placing, opened->bytes)->next = run->counter;
    return;
  }
  if (run->headers != NULL) placing->used += slots_for((int64_t)run->bytes);
  start(io, run, placing->used, opened->bytes, opened->length);
  /* Of sealed ones, the replay window has let none through twice. */
  if (!placing->is_tunnel || (!placing->is_sealed && is_late(newest_of(placing, opened->bytes), opened->bytes))) run->is_open = false;
  run->index = placing->count;
  run->ecn = io->ecn[placing->count] = opened->ecn;
  run->source = opened->source;
  io->cuts[placing->count] = opened->weight;
  io->sources[placing->count] = opened->source;
  io->lengths[placing->count++] = (int32_t)opened->length;
}
