/*
 * Datagrams out. The caller names datagrams by their bytes in the arena (the scatter list), several alike as one long one
 * that is cut here:
 *
 *   one entry of the list      [ DH │ CH │ payload                                        │ header copy ]
 *   cuts[i] = payload bytes    [ DH │ CH │ payload 0 ][ DH │ CH │ payload 1 ] … [ DH │ CH │ rest │ copy ]
 *
 * Each piece has the first headers with the counter, the offset and the lengths that are its own. Datagrams in a row that
 * are equally long (but the last, which may be shorter) leave in one segmented send (UDP_SEGMENT): one way through the
 * kernel for up to 64 KiB; they have one ECN field. Sealed ones are put together in a buffer of ours and sealed there, so that what lies in the
 * arena stays as it is: other ports may be sending the same frame.
 *
 * Parity (fec.h) is named in the list behind the datagrams that it is of, by its headers alone and by how many it is:
 *
 *   cuts[i] = -rows            [ DH │ PH ]  ─►  [ DH │ PH │ row 0 ][ DH │ PH │ row 1 ] …
 *
 * Whatever goes wrong with a send ends the block that is open, and parity for that is then passed over.
 */
#include "addon.h"
#include "aead.h"
#include "fec.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

/* vswitch/tunnel/wire.ts; layout.test.ts compares both sides. */
#define CHUNK_HEADER_BYTES 18
#define HEADERS_BYTES (DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES)
#define CHUNK_PAYLOAD_AT (DATAGRAM_HEADER_BYTES + 2)
#define CHUNK_COPY_AT (DATAGRAM_HEADER_BYTES + 12)
#define CHUNK_OFFSET_AT (DATAGRAM_HEADER_BYTES + 13)

/* Largest payload of one UDP datagram over IPv4, which bounds a segmented send as well. */
#define SEND_BYTES (65535 - 8 - 20)
/* UDP_MAX_SEGMENTS of kernels before 6.9; one more, and the send is refused. */
#define SEND_PIECES 64
/* Pieces, and sealed bytes, of one call: what does not fit is the next call's. */
#define MAX_PIECES 256
#define SEALED_BYTES (4 * 65536)
#define MAX_PARTS 2048
/* Two bits: RFC 3168 §5. */
#define MAX_ECN 3

struct send {
  /* Headers of pieces that are not sealed; sealed ones lie in `sealed` with all that they have. */
  uint8_t headers[MAX_PIECES][HEADERS_BYTES];
  uint8_t *sealed;
  struct iovec parts[MAX_PARTS];
  struct mmsghdr messages[MAX_PIECES];
  union {
    char bytes[CMSG_SPACE(sizeof(uint16_t)) + 2 * CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } controls[MAX_PIECES];
  union address destination;
  /* Per message: entries of the caller's list that are done when it is sent. */
  int32_t entries[MAX_PIECES];
};

struct send *send_create(void) {
  struct send *send = calloc(1, sizeof *send);
  if (send == NULL) return NULL;
  send->sealed = malloc(SEALED_BYTES);
  if (send->sealed != NULL) return send;
  free(send);
  return NULL;
}

void send_free(struct send *send) {
  free(send->sealed);
  free(send);
}

/* A place in a list of parts. */
struct cursor {
  const struct iovec *part;
  size_t at;
};

static void take(struct cursor *from, uint8_t *to, size_t bytes) {
  while (bytes > 0) {
    size_t here = from->part->iov_len - from->at;
    size_t n = bytes < here ? bytes : here;
    memcpy(to, (const uint8_t *)from->part->iov_base + from->at, n);
    to += n;
    bytes -= n;
    from->at += n;
    if (from->at == from->part->iov_len) *from = (struct cursor){from->part + 1, 0};
  }
}

/* The same, by reference. Returns how many parts were added. */
static int refer(struct cursor *from, struct iovec *to, size_t bytes) {
  int count = 0;
  while (bytes > 0) {
    size_t here = from->part->iov_len - from->at;
    size_t n = bytes < here ? bytes : here;
    to[count++] = (struct iovec){(uint8_t *)from->part->iov_base + from->at, n};
    bytes -= n;
    from->at += n;
    if (from->at == from->part->iov_len) *from = (struct cursor){from->part + 1, 0};
  }
  return count;
}

static void put_be(uint8_t *at, int bytes, uint64_t value) {
  for (int i = bytes - 1; i >= 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

static uint32_t get_be(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

/* An entry of the list, and the pieces that it is cut into. */
struct entry {
  const struct iovec *parts;
  int part_count;
  size_t bytes;
  size_t cut; /* payload bytes of a piece; 0: it is not cut */
  size_t payload_bytes, copy_bytes;
  int pieces;
  size_t piece_bytes, last_bytes; /* on the wire, tags included */
};

/* Says how an entry is cut; false when what the caller says of it cannot be. */
static bool measure(struct entry *entry, size_t tag_bytes) {
  if (entry->cut == 0) {
    entry->pieces = 1;
    entry->piece_bytes = entry->last_bytes = entry->bytes + tag_bytes;
    /* What is too long for UDP, the kernel says; our buffer bounds what can be sealed. */
    return tag_bytes == 0 || (entry->parts[0].iov_len >= DATAGRAM_HEADER_BYTES && entry->piece_bytes <= SEND_BYTES);
  }
  /* Both headers lie in a row in the first part: the caller made them. */
  if (entry->parts[0].iov_len < HEADERS_BYTES) return false;
  const uint8_t *headers = entry->parts[0].iov_base;
  entry->copy_bytes = headers[CHUNK_COPY_AT];
  if (entry->bytes <= HEADERS_BYTES + entry->copy_bytes) return false;
  entry->payload_bytes = entry->bytes - HEADERS_BYTES - entry->copy_bytes;
  if (entry->payload_bytes != get_be(headers + CHUNK_PAYLOAD_AT, 2)) return false;
  size_t pieces = (entry->payload_bytes + entry->cut - 1) / entry->cut;
  size_t last_payload = entry->payload_bytes - (pieces - 1) * entry->cut;
  entry->piece_bytes = HEADERS_BYTES + entry->cut + tag_bytes;
  entry->last_bytes = HEADERS_BYTES + last_payload + entry->copy_bytes + tag_bytes;
  if (pieces == 1) entry->piece_bytes = entry->last_bytes;
  entry->pieces = (int)pieces;
  return pieces <= SEND_PIECES && entry->last_bytes <= entry->piece_bytes &&
         (pieces - 1) * entry->piece_bytes + entry->last_bytes <= SEND_BYTES;
}

/* The headers of piece `i`, from those of the first. */
static void put_headers(uint8_t *to, const struct entry *entry, int i) {
  const uint8_t *first = entry->parts[0].iov_base;
  bool is_last = i == entry->pieces - 1;
  size_t done = (size_t)i * entry->cut;
  memcpy(to, first, HEADERS_BYTES);
  put_be(to + COUNTER_AT, 8, datagram_counter(first) + (uint64_t)i);
  put_be(to + CHUNK_PAYLOAD_AT, 2, is_last ? entry->payload_bytes - done : entry->cut);
  to[CHUNK_COPY_AT] = is_last ? (uint8_t)entry->copy_bytes : 0;
  put_be(to + CHUNK_OFFSET_AT, 3, get_be(first + CHUNK_OFFSET_AT, 3) + done);
}

/* What one call has put together so far. */
struct work {
  struct send *send;
  struct fec_encoder *encoder; /* NULL: there is no parity */
  int passed;                  /* entries in front of the first message, parity that was passed over */
  int pieces, parts, messages;
  size_t sealed_bytes;
  /* Of the message that is open: bytes of its first piece, and of all; whether a shorter one has ended it. */
  size_t segment, bytes;
  int segments;
  bool is_ended, is_sealed;
  uint8_t ecn;
};

/* Whether the entry's pieces can follow those of the open message. */
static bool continues(const struct work *work, const struct entry *entry, bool is_sealed, uint8_t ecn) {
  if (work->messages == 0 || work->is_ended || work->is_sealed != is_sealed || work->ecn != ecn) return false;
  size_t more = (size_t)(entry->pieces - 1) * entry->piece_bytes + entry->last_bytes;
  bool fits = entry->pieces == 1 ? entry->last_bytes <= work->segment : entry->piece_bytes == work->segment;
  return fits && work->bytes + more <= SEND_BYTES && work->segments + entry->pieces <= SEND_PIECES;
}

static void begin(struct work *work, const struct entry *entry, bool is_sealed, uint8_t ecn) {
  struct send *send = work->send;
  send->messages[work->messages].msg_hdr = (struct msghdr){.msg_iov = send->parts + work->parts};
  send->entries[work->messages++] = 0;
  work->segment = entry->piece_bytes;
  work->bytes = 0;
  work->segments = 0;
  work->is_ended = false;
  work->is_sealed = is_sealed;
  work->ecn = ecn;
}

static bool add_sealed(struct work *work, const struct entry *entry, struct key *key) {
  struct send *send = work->send;
  struct msghdr *message = &send->messages[work->messages - 1].msg_hdr;
  uint8_t *at = send->sealed + work->sealed_bytes;
  uint8_t *begin = at;
  struct cursor from = {entry->parts, entry->cut == 0 ? 0 : HEADERS_BYTES};
  if (entry->cut != 0 && from.at == entry->parts[0].iov_len) from = (struct cursor){entry->parts + 1, 0};
  for (int i = 0; i < entry->pieces; i++) {
    size_t bytes = (i == entry->pieces - 1 ? entry->last_bytes : entry->piece_bytes) - TAG_BYTES;
    if (entry->cut == 0) {
      take(&from, at, bytes);
    } else {
      put_headers(at, entry, i);
      take(&from, at + HEADERS_BYTES, bytes - HEADERS_BYTES);
    }
    if (work->encoder != NULL) fec_encoder_add(work->encoder, at, bytes, work->ecn);
    if (!aead_seal(key, at, bytes - DATAGRAM_HEADER_BYTES)) return false;
    at += bytes + TAG_BYTES;
  }
  if (message->msg_iovlen == 0) {
    message->msg_iov[0] = (struct iovec){begin, 0};
    message->msg_iovlen = 1;
    work->parts++;
  }
  message->msg_iov[0].iov_len += (size_t)(at - begin);
  work->sealed_bytes += (size_t)(at - begin);
  return true;
}

static void add_plain(struct work *work, const struct entry *entry) {
  struct send *send = work->send;
  struct msghdr *message = &send->messages[work->messages - 1].msg_hdr;
  struct iovec *to = send->parts + work->parts;
  int count = 0;
  if (entry->cut == 0) {
    memcpy(to, entry->parts, (size_t)entry->part_count * sizeof *to);
    count = entry->part_count;
    if (work->encoder != NULL) fec_encoder_add_parts(work->encoder, to, (size_t)count, work->ecn);
  } else {
    struct cursor from = {entry->parts, HEADERS_BYTES};
    if (from.at == entry->parts[0].iov_len) from = (struct cursor){entry->parts + 1, 0};
    for (int i = 0; i < entry->pieces; i++) {
      uint8_t *headers = send->headers[work->pieces + i];
      size_t bytes = i == entry->pieces - 1 ? entry->last_bytes : entry->piece_bytes;
      put_headers(headers, entry, i);
      int begin = count;
      to[count++] = (struct iovec){headers, HEADERS_BYTES};
      count += refer(&from, to + count, bytes - HEADERS_BYTES);
      if (work->encoder != NULL)
        fec_encoder_add_parts(work->encoder, to + begin, (size_t)(count - begin), work->ecn);
    }
  }
  message->msg_iovlen += (size_t)count;
  work->parts += count;
}

/* Room for an entry in this call: parts, at most those it has and two for each piece. */
static bool has_room(const struct work *work, const struct entry *entry, bool is_sealed) {
  size_t bytes = (size_t)entry->pieces * entry->piece_bytes;
  return work->pieces + entry->pieces <= MAX_PIECES && work->messages < MAX_PIECES &&
         work->parts + entry->part_count + 2 * entry->pieces <= MAX_PARTS &&
         (!is_sealed || work->sealed_bytes + bytes <= SEALED_BYTES);
}

static void add_control(struct msghdr *header, int level, int type, const void *value, size_t bytes) {
  struct cmsghdr *control = (struct cmsghdr *)(void *)((char *)header->msg_control + header->msg_controllen);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(bytes);
  memcpy(CMSG_DATA(control), value, bytes);
  header->msg_controllen += CMSG_SPACE(bytes);
}

/* Says beside the open message's bytes how they are cut, and their ECN field; the DSCP is 0 (RFC 2983 §3, the pipe model). */
static void set_controls(struct work *work) {
  struct send *send = work->send;
  struct msghdr *header = &send->messages[work->messages - 1].msg_hdr;
  uint16_t segment = (uint16_t)work->segment;
  int tos = work->ecn;
  header->msg_control = send->controls[work->messages - 1].bytes;
  header->msg_controllen = 0;
  if (work->segments > 1) add_control(header, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
  if (tos == 0) return;
  /* A socket heeds that of its own family, and passes over the other (ip_cmsg_send, ip6_datagram_send_ctl). */
  add_control(header, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
  add_control(header, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
}

/* Whether a datagram's header names an epoch: a handshake's does not, and is not sealed. */
static bool is_of_epoch(struct iovec part) {
  return part.iov_len < DATAGRAM_HEADER_BYTES || get_be((const uint8_t *)part.iov_base + EPOCH_AT, 4) != 0;
}

/* Appends a datagram that lies in `sealed` to the open message. */
static void append(struct work *work, uint8_t *datagram, size_t bytes, bool is_sealed) {
  struct msghdr *message = &work->send->messages[work->messages - 1].msg_hdr;
  if (is_sealed && message->msg_iovlen > 0) {
    message->msg_iov[0].iov_len += bytes;
  } else {
    message->msg_iov[message->msg_iovlen++] = (struct iovec){datagram, bytes};
    work->parts++;
  }
  work->sealed_bytes += bytes;
  work->pieces++;
  work->segments++;
  work->bytes += bytes;
  work->is_ended = bytes < work->segment;
}

/* The parity entry at `headers` is done when what was put together before is sent. */
static void pass_over(struct work *work) {
  if (work->messages == 0) work->passed++;
  else work->send->entries[work->messages - 1]++;
}

/*
 * Puts `rows` parity datagrams of the open block together, and closes it. False, with `*error` or 0 for want of room, when
 * it cannot.
 */
static bool add_parity(struct work *work, const uint8_t *headers, int rows, struct key *key, bool segments,
                       int *error) {
  struct fec_encoder *encoder = work->encoder;
  size_t row_bytes = fec_encoder_row_bytes(encoder);
  size_t bytes = row_bytes + (key == NULL ? 0 : TAG_BYTES);
  struct entry piece = {.pieces = 1, .piece_bytes = bytes, .last_bytes = bytes};
  if (rows > encoder->rows) rows = encoder->rows;
  *error = 0;
  if (work->pieces + rows > MAX_PIECES || work->messages + rows > MAX_PIECES || work->parts + rows > MAX_PARTS ||
      work->sealed_bytes + (size_t)rows * bytes > SEALED_BYTES)
    return false;
  for (int row = 0; row < rows; row++) {
    uint8_t *to = work->send->sealed + work->sealed_bytes;
    fec_encoder_put(encoder, headers, row, to);
    *error = ENOMEM;
    if (key != NULL && !aead_seal(key, to, row_bytes - DATAGRAM_HEADER_BYTES)) {
      fec_encoder_reset(encoder);
      return false;
    }
    /* Not-ECT: nobody sends less for a mark on it. */
    if (!segments || !continues(work, &piece, key != NULL, 0)) begin(work, &piece, key != NULL, 0);
    append(work, to, bytes, key != NULL);
    if (work->segments > 1) set_controls(work);
  }
  *error = 0;
  pass_over(work);
  fec_encoder_reset(encoder);
  return true;
}

/* What `prepare` does with an entry of parity. */
static bool prepare_parity(struct work *work, struct iovec part, int64_t rows, struct keyring *ring, bool segments,
                           int *error) {
  *error = EINVAL;
  if (work->encoder == NULL || rows > FEC_MAX_ROWS || part.iov_len < PARITY_HEADERS_BYTES) return false;
  const uint8_t *headers = part.iov_base;
  if (headers[TYPE_AT] != TYPE_PARITY) return false;
  if (!fec_encoder_matches(work->encoder, headers)) {
    pass_over(work);
    return true;
  }
  struct key *key = NULL;
  *error = ENOKEY;
  if (ring != NULL && (key = keyring_find(ring, headers)) == NULL) return false;
  return add_parity(work, headers, (int)rows, key, segments, error);
}

/* Puts entries into messages, as many as there is room for. Sets `*error` when one cannot be sent, and stops before it. */
static void prepare(struct io *io, struct work *work, int32_t first, int32_t at, int32_t count, struct keyring *ring,
                   bool segments, int *error) {
  struct iovec *parts = io->parts;
  for (int done = 0; done < count; done++) {
    struct entry entry = {.parts = parts, .part_count = io->lengths[first + done], .cut = 0};
    *error = EINVAL;
    uint8_t ecn = io->ecn[first + done];
    if (ecn > MAX_ECN || !io_pairs(io, at, entry.part_count, parts)) break;
    if (io->cuts[first + done] < 0) {
      if (!prepare_parity(work, parts[0], -(int64_t)io->cuts[first + done], ring, segments, error)) break;
      parts += entry.part_count;
      at += entry.part_count;
      continue;
    }
    entry.cut = (size_t)io->cuts[first + done];
    for (int i = 0; i < entry.part_count; i++) entry.bytes += parts[i].iov_len;
    bool is_sealed = ring != NULL && is_of_epoch(parts[0]);
    if (!measure(&entry, is_sealed ? TAG_BYTES : 0) || (entry.pieces > 1 && !segments)) break;
    struct key *key = NULL;
    *error = ENOKEY;
    if (is_sealed && (key = keyring_find(ring, parts[0].iov_base)) == NULL) break;
    *error = 0;
    if (!has_room(work, &entry, is_sealed)) break;
    if (!segments || !continues(work, &entry, is_sealed, ecn)) begin(work, &entry, is_sealed, ecn);
    if (!is_sealed) {
      add_plain(work, &entry);
    } else if (!add_sealed(work, &entry, key)) {
      /* Only a lack of memory in the library; the message is left out whole. */
      work->messages--;
      *error = ENOMEM;
      break;
    }
    work->pieces += entry.pieces;
    work->segments += entry.pieces;
    work->bytes += (size_t)(entry.pieces - 1) * entry.piece_bytes + entry.last_bytes;
    work->is_ended = entry.last_bytes < work->segment;
    work->send->entries[work->messages - 1]++;
    if (work->segments > 1 || ecn != 0) set_controls(work);
    parts += entry.part_count;
    at += entry.part_count;
  }
}

/* Where an unconnected socket sends. */
static void address_all(struct send *send, int messages, const uint8_t *endpoint) {
  socklen_t bytes = endpoint_get(endpoint, &send->destination);
  for (int i = 0; i < messages; i++) {
    send->messages[i].msg_hdr.msg_name = &send->destination;
    send->messages[i].msg_hdr.msg_namelen = bytes;
  }
}

static int udp_write(struct io *io, int fd, int32_t first, int32_t entry, int32_t count, struct keyring *ring,
                     bool segments, bool is_open, struct fec_encoder *encoder) {
  if (first < 0 || count < 0 || (int64_t)first + count > io->lengths_count) return -EINVAL;
  struct work work = {.send = io->send, .encoder = encoder};
  int error = 0;
  if (count == 0) return 0;
  prepare(io, &work, first, entry, count, ring, segments, &error);
  if (work.messages == 0) return work.passed > 0 ? work.passed : -error;
  if (is_open) address_all(io->send, work.messages, io->endpoint);
  int sent;
  do sent = sendmmsg(fd, io->send->messages, (unsigned)work.messages, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  /* What was added to the block and not sent will be something else when it is. */
  if (encoder != NULL && sent < work.messages) fec_encoder_reset(encoder);
  if (sent < 0 && work.passed > 0) return work.passed;
  if (sent < 0) return errno == EAGAIN ? 0 : -errno;
  int done = work.passed;
  for (int i = 0; i < sent; i++) done += io->send->entries[i];
  return done;
}

napi_value native_udpWrite(napi_env env, napi_callback_info info) {
  int32_t n[9];
  struct io *io;
  struct keyring *ring = NULL;
  struct fec_encoder *encoder = NULL;
  if (!numbers(env, info, 9, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  if (n[5] != 0 && (ring = keyring_of(env, n[5])) == NULL) return make_int(env, -EINVAL);
  if (n[8] != 0 && (encoder = encoder_of(env, n[8])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, udp_write(io, n[1], n[2], n[3], n[4], ring, n[6] != 0, n[7] != 0, encoder));
}

/* --- parity ------------------------------------------------------------------------------------------------------ */

napi_value native_parityCreate(napi_env env, napi_callback_info info) {
  struct state *state;
  (void)info;
  napi_get_instance_data(env, (void **)&state);
  struct fec_encoder *encoder = calloc(1, sizeof *encoder);
  int32_t handle = encoder == NULL ? 0 : table_put(&state->encoders, encoder);
  if (handle != 0) return make_int(env, handle);
  free(encoder);
  return throw_errno(env, "calloc", ENOMEM);
}

napi_value native_parityDestroy(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t handle;
  struct state *state;
  arguments(env, info, 1, &argument);
  if (!get_int(env, argument, "parity", 1, INT32_MAX, &handle)) return NULL;
  struct fec_encoder *encoder = encoder_of(env, (int32_t)handle);
  if (encoder == NULL) {
    throw_range(env, "parity", "no such handle");
    return NULL;
  }
  napi_get_instance_data(env, (void **)&state);
  state->encoders.items[handle - 1] = NULL;
  free(encoder);
  return make_undefined(env);
}

napi_value native_parityRows(napi_env env, napi_callback_info info) {
  int32_t n[2];
  struct fec_encoder *encoder;
  if (!numbers(env, info, 2, n) || (encoder = encoder_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  if (n[1] < 0 || n[1] > FEC_MAX_ROWS) return make_int(env, -EINVAL);
  encoder->wanted_rows = n[1];
  return make_int(env, 0);
}
