/*
 * Datagrams in. The kernel gives them one by one, or many merged into one (UDP_GRO; a segmented send over veth arrives
 * whole). Here they are taken apart again, seen to be new, opened where they lie, and put into slots; and those that carry
 * a frame on, one after the other, are put together again, as if one long datagram had come:
 *
 *   received   [ DH CH │ payload 0 ][ DH CH │ payload 1 ] … [ DH CH │ payload n │ copy ]
 *   given      [ DH CH │ payload 0     payload 1     …          payload n │ copy       ]     in slots
 *
 * which is exactly what the chunks say: the first header with the lengths of all. Only neighbours that agree in every
 * field, that of ECN in their IP header included, and follow each other in counter and offset are joined; anything else is
 * a datagram of its own, and rebuilding (vswitch/tunnel/reassembly.ts) takes it from there. So any grouping gives the same
 * frames.
 *
 * What was received and found no room in the slots offered stays here until the next call. A socket that is connected to
 * nobody hears everybody: then each datagram is told with its source, and what is not sealed, which anybody can send, is
 * taken from the endpoint alone that is sent to; but for handshakes, where it is asked for. Somebody on the way who copies datagrams, and is faster, makes replays of
 * the originals: such a twin, of which only the copy from another source was taken, still says that the peer is there.
 *
 * Parity (fec.h) stays here: what it rebuilds is put into slots as if it had come, between two that came. Where datagrams
 * are sealed, the replay window has the last word on that too, so nothing is taken twice.
 */
#include "addon.h"
#include "aead.h"
#include "fec.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* vswitch/tunnel/wire.ts; layout.test.ts compares both sides. */
#define CHUNK_HEADER_BYTES 18
#define HEADERS_BYTES (DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES)

/* Offsets within a chunk header. */
#define PAYLOAD_AT 2
#define FRAME_BYTES_AT 9
#define COPY_AT 12
#define OFFSET_AT 13

/* The lower two bits of TOS and traffic class: RFC 3168 §5. */
#define ECN_MASK 3

/* UdpRefusal in binding.ts: why a datagram was refused, as a negative length. */
enum { BAD_DATAGRAM = 1, UNSEALED, UNKNOWN_EPOCH, REPLAYED, NOT_AUTHENTIC, STRANGER, TWIN, FOREIGN, PARITY, LATE };

/* Small datagrams come many at a time; merged ones, of up to 64 KiB, two, so that they are still in cache when opened. */
#define MESSAGES 32
#define LARGE_MESSAGES 2
#define LARGE_BYTES 8192
#define MESSAGE_BYTES 65536

/* Twins are as close as this: a power of two. */
#define RECENT 64

/* A datagram that was taken, of a socket that hears everybody. */
struct recent {
  uint64_t counter;
  uint8_t source[ENDPOINT_BYTES];
  bool is_used;
};

struct receiver {
  uint8_t *buffers; /* MESSAGES × MESSAGE_BYTES, touched only as far as it is filled */
  struct mmsghdr messages[MESSAGES];
  struct iovec parts[MESSAGES];
  union address names[MESSAGES]; /* where they come from, of a socket that is connected to nobody */
  union {
    char bytes[3 * CMSG_SPACE(sizeof(int)) + 64]; /* ECN, UDP_GRO, SO_RXQ_OVFL */
    struct cmsghdr align;
  } controls[MESSAGES];
  struct recent recent[RECENT]; /* by counter */
  int count;             /* messages of the last call to the kernel */
  int message;           /* the one that is being taken apart; `count` when none is left */
  size_t at, segment;    /* in it */
  uint8_t ecn;           /* of it: the kernel merges none that differ (inet_gro_receive, ipv6_gro_receive) */
  bool is_large;         /* what came last was merged */
  bool is_open;          /* what came last has names */
  bool hears_all;        /* open handshakes are taken from whomever */
  bool is_full;          /* the kernel gave as many as it was asked for */
  uint32_t network;      /* of its tunnel; 0: not a tunnel's, so datagrams are not looked into, and not joined */
  int64_t overruns;      /* what the socket had no room for, ever */
  uint32_t told_drops;   /* the kernel's own count of them, as it was told last */
  /* Who sent the last datagram, as its header has it in front of the counter; and what follows the newest of his. */
  uint8_t sender[COUNTER_AT];
  uint64_t next;
  struct fec_decoder fec;
};

void receiver_free(struct receiver *receiver) {
  munmap(receiver->buffers, (size_t)MESSAGES * MESSAGE_BYTES);
  fec_decoder_free(&receiver->fec);
  free(receiver);
}

napi_value native_udpReceiverCreate(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t network;
  struct state *state;
  arguments(env, info, 1, &argument);
  if (!get_int(env, argument, "network", 0, UINT32_MAX, &network)) return NULL;
  napi_get_instance_data(env, (void **)&state);
  struct receiver *receiver = calloc(1, sizeof *receiver);
  if (receiver == NULL) return throw_errno(env, "calloc", ENOMEM);
  receiver->network = (uint32_t)network;
  receiver->buffers = mmap(NULL, (size_t)MESSAGES * MESSAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (receiver->buffers == MAP_FAILED) {
    free(receiver);
    return throw_errno(env, "mmap", ENOMEM);
  }
  if (!fec_decoder_create(&receiver->fec)) {
    munmap(receiver->buffers, (size_t)MESSAGES * MESSAGE_BYTES);
    free(receiver);
    return throw_errno(env, "mmap", ENOMEM);
  }
  int32_t handle = table_put(&state->receivers, receiver);
  if (handle != 0) return make_int(env, handle);
  receiver_free(receiver);
  return throw_errno(env, "calloc", ENOMEM);
}

napi_value native_udpReceiverDestroy(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t handle;
  struct state *state;
  arguments(env, info, 1, &argument);
  if (!get_int(env, argument, "receiver", 1, INT32_MAX, &handle)) return NULL;
  struct receiver *receiver = receiver_of(env, (int32_t)handle);
  if (receiver == NULL) {
    throw_range(env, "receiver", "no such handle");
    return NULL;
  }
  napi_get_instance_data(env, (void **)&state);
  state->receivers.items[handle - 1] = NULL;
  receiver_free(receiver);
  return make_undefined(env);
}

/* --- from the kernel --------------------------------------------------------------------------------------------- */

/* The kernel's count begins again at 2^32; a message that overtook another on two processors has an earlier one. */
static void count_overruns(struct receiver *receiver, uint32_t drops) {
  int32_t more = (int32_t)(drops - receiver->told_drops);
  if (more <= 0) return;
  receiver->overruns += more;
  receiver->told_drops = drops;
}

/*
 * What the kernel says beside the bytes of a message: how long its datagrams are, their ECN field, and how many of those in
 * front of it were dropped.
 */
static void read_controls(struct receiver *receiver, struct mmsghdr *message) {
  struct msghdr *header = &message->msg_hdr;
  receiver->segment = message->msg_len;
  receiver->ecn = 0;
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
    int value;
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
      receiver->ecn = *(const uint8_t *)CMSG_DATA(control) & ECN_MASK;
      continue;
    }
    if (control->cmsg_len < CMSG_LEN(sizeof value)) continue;
    memcpy(&value, CMSG_DATA(control), sizeof value);
    if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) receiver->ecn = value & ECN_MASK;
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO && value > 0)
      receiver->segment = (size_t)value;
    if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL)
      count_overruns(receiver, (uint32_t)value);
  }
}

/* Turns to message `receiver->message`, if there is one. */
static void turn(struct receiver *receiver) {
  if (receiver->message == receiver->count) return;
  receiver->at = 0;
  read_controls(receiver, &receiver->messages[receiver->message]);
}

static int receive(struct receiver *receiver, int fd, bool is_open) {
  if (!is_open && receiver->is_open) memset(receiver->recent, 0, sizeof receiver->recent);
  receiver->is_open = is_open;
  int wanted = receiver->is_large ? LARGE_MESSAGES : MESSAGES;
  for (int i = 0; i < wanted; i++) {
    receiver->parts[i] = (struct iovec){receiver->buffers + (size_t)i * MESSAGE_BYTES, MESSAGE_BYTES};
    receiver->messages[i].msg_hdr = (struct msghdr){
        .msg_iov = &receiver->parts[i],
        .msg_iovlen = 1,
        .msg_name = is_open ? &receiver->names[i] : NULL,
        .msg_namelen = is_open ? sizeof receiver->names[i] : 0,
        .msg_control = receiver->controls[i].bytes,
        .msg_controllen = sizeof receiver->controls[i].bytes,
    };
  }
  receiver->count = receiver->message = 0;
  int got;
  do got = recvmmsg(fd, receiver->messages, (unsigned)wanted, MSG_DONTWAIT, NULL);
  while (got < 0 && errno == EINTR);
  receiver->is_full = got == wanted;
  if (got < 0) return errno == EAGAIN ? 0 : -errno;
  receiver->count = got;
  receiver->is_large = got > 0 && receiver->messages[got - 1].msg_len > LARGE_BYTES;
  turn(receiver);
  return got;
}

/* --- into slots -------------------------------------------------------------------------------------------------- */

static uint32_t get_be(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

/* A datagram that is being put into slots, and whether the next one carries it on. */
struct run {
  uint8_t *headers; /* in the first slot */
  size_t bytes;     /* all that is in the slots */
  int32_t first;    /* entry of `iov` that its first slot stands in */
  int32_t index;    /* entry of `lengths` */
  int32_t source;   /* of all its datagrams */
  /* What the next one must say. */
  bool is_open;
  uint8_t ecn;
  uint64_t counter;
  uint32_t offset, payload_bytes;
};

/* Appends to the run; the caller has seen that there are slots. */
static void put(struct io *io, struct run *run, const uint8_t *from, size_t bytes) {
  while (bytes > 0) {
    /* Counted from the first slot's start, so that every slot but the first is full. */
    size_t at = run->bytes + HEADROOM_BYTES;
    int32_t slot = io->iov[run->first + (int32_t)(at / SLOT_BYTES)];
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

static bool carries_on(const struct run *run, const uint8_t *datagram, size_t bytes, uint8_t ecn) {
  if (!run->is_open || run->ecn != ecn || !is_single(datagram, bytes)) return false;
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
static bool is_late(struct receiver *receiver, const uint8_t *datagram) {
  uint64_t counter = datagram_counter(datagram);
  bool is_same = memcmp(receiver->sender, datagram, COUNTER_AT) == 0;
  if (is_same && counter < receiver->next && receiver->next - counter <= WINDOW_BITS) return true;
  memcpy(receiver->sender, datagram, COUNTER_AT);
  receiver->next = counter + 1;
  return false;
}

/* Begins a run with a datagram. */
static void start(struct io *io, struct run *run, int32_t first, const uint8_t *datagram, size_t bytes) {
  *run = (struct run){.first = first};
  put(io, run, datagram, bytes);
  run->headers = io->arena + (size_t)io->iov[first] * SLOT_BYTES + HEADROOM_BYTES;
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

/* Where the message that is being taken apart comes from, and its number for native_udpSource; 0: from `io->endpoint`. */
struct source {
  uint8_t endpoint[ENDPOINT_BYTES];
  int32_t number;
  bool is_named;
};

static void source_of(const struct io *io, const struct receiver *receiver, struct source *to) {
  *to = (struct source){.number = 0};
  if (!receiver->is_open || receiver->messages[receiver->message].msg_hdr.msg_namelen == 0) return;
  to->is_named = true;
  endpoint_put(to->endpoint, &receiver->names[receiver->message]);
  bool is_told = receiver->network == 0 || memcmp(to->endpoint, io->endpoint, ENDPOINT_BYTES) != 0;
  if (is_told) to->number = receiver->message + 1;
}

static void remember(struct receiver *receiver, uint64_t counter, const struct source *source) {
  struct recent *recent = &receiver->recent[counter % RECENT];
  *recent = (struct recent){.counter = counter, .is_used = true};
  memcpy(recent->source, source->endpoint, ENDPOINT_BYTES);
}

/* Whether a datagram whose counter is not new was taken a moment ago from elsewhere. Once: then it is a replay. */
static bool is_twin(struct receiver *receiver, uint64_t counter, const struct source *source) {
  struct recent *recent = &receiver->recent[counter % RECENT];
  if (!source->is_named || !recent->is_used || recent->counter != counter) return false;
  return memcmp(recent->source, source->endpoint, ENDPOINT_BYTES) != 0;
}

/* Of our version and network; of others no key is ours, whatever they are sealed with. */
static bool is_ours(const struct receiver *receiver, const uint8_t *datagram) {
  return datagram[0] == WIRE_VERSION && get_be(datagram + NETWORK_AT, 4) == receiver->network;
}

/*
 * Sees whether a datagram may be read, and opens it where it lies. Returns its bytes without the tag, or a refusal,
 * negative. Every datagram is asked once: a replay window moves.
 */
static int open_datagram(struct receiver *receiver, struct keyring *ring, uint8_t *datagram, size_t bytes,
                         const struct source *source) {
  if (receiver->network == 0) return (int)bytes;
  if (bytes < DATAGRAM_HEADER_BYTES) return -BAD_DATAGRAM;
  /* Of what is not sealed nothing but its source says whose it is. */
  if (ring == NULL) {
    if (source->number != 0) return -STRANGER;
    if (!fec_decoder_is_late(&receiver->fec, datagram)) return (int)bytes;
    fec_decoder_came(&receiver->fec, datagram);
    return -LATE;
  }
  if (!is_ours(receiver, datagram)) return source->number == 0 ? -FOREIGN : -STRANGER;
  if (get_be(datagram + EPOCH_AT, 4) == 0) {
    if (datagram[TYPE_AT] != TYPE_HANDSHAKE) return -UNSEALED;
    return source->number == 0 || receiver->hears_all ? (int)bytes : -STRANGER;
  }
  if (bytes < DATAGRAM_HEADER_BYTES + TAG_BYTES) return -BAD_DATAGRAM;
  struct key *key = keyring_find(ring, datagram);
  if (key == NULL) return -UNKNOWN_EPOCH;
  uint64_t counter = datagram_counter(datagram);
  bool is_new = window_is_new(key, counter);
  bool is_late = !is_new && fec_decoder_is_late(&receiver->fec, datagram);
  if (!is_new && !is_late && !is_twin(receiver, counter, source)) return -REPLAYED;
  if (!aead_open(key, datagram, bytes - DATAGRAM_HEADER_BYTES - TAG_BYTES)) return -NOT_AUTHENTIC;
  if (is_late) {
    fec_decoder_came(&receiver->fec, datagram);
    return -LATE;
  }
  if (!is_new) {
    receiver->recent[counter % RECENT].is_used = false;
    return -TWIN;
  }
  window_add(key, counter);
  if (source->is_named) remember(receiver, counter, source);
  return (int)(bytes - TAG_BYTES);
}

/*
 * Whether a datagram that was opened stays here: parity does, and what has come is remembered for it. Returns its bytes, or
 * what it is, negative.
 */
static int keep_for_repair(struct receiver *receiver, const uint8_t *datagram, int bytes, uint8_t ecn, bool is_sealed) {
  if (receiver->network == 0) return bytes;
  if (bytes < DATAGRAM_HEADER_BYTES || (!is_sealed && !is_ours(receiver, datagram))) return bytes;
  if (datagram[0] != WIRE_VERSION || datagram[TYPE_AT + 1] != 0) return bytes;
  /* Of an unsealed tunnel nothing says that it is, and of a sealed one all but what was let through open. */
  if (is_sealed != (get_be(datagram + EPOCH_AT, 4) != 0)) return bytes;
  if (datagram[TYPE_AT] == TYPE_FRAMES) fec_decoder_add(&receiver->fec, datagram, (size_t)bytes, ecn);
  if (datagram[TYPE_AT] != TYPE_PARITY) return bytes;
  return fec_decoder_parity(&receiver->fec, datagram, (size_t)bytes) ? -PARITY : -BAD_DATAGRAM;
}

/* Whether what was rebuilt is new. */
static bool take_rebuilt(struct receiver *receiver, struct keyring *ring, const uint8_t *datagram) {
  if (ring != NULL) {
    struct key *key = keyring_find(ring, datagram);
    uint64_t counter = datagram_counter(datagram);
    if (key == NULL || !window_is_new(key, counter)) {
      fec_decoder_came(&receiver->fec, datagram);
      return false;
    }
    window_add(key, counter);
  }
  receiver->fec.repaired++;
  return true;
}

/* A datagram's way into slots. */
struct placing {
  struct run run;
  int count;
  int32_t used;
};

/* What a datagram may need at most, so that nothing is opened and then has no place. */
static bool has_place(const struct io *io, const struct placing *placing, size_t bytes, int32_t slots) {
  const struct run *run = &placing->run;
  int32_t run_slots = run->headers == NULL ? 0 : slots_for((int64_t)run->bytes);
  return placing->count < io->lengths_count && placing->used + run_slots + slots_for((int64_t)bytes) <= slots;
}

/* Joins an opened datagram to the run, or begins one with it. `weight`: 1, or 0 of one that did not come but was rebuilt. */
static void place(struct io *io, struct receiver *receiver, struct placing *placing, const uint8_t *datagram,
                  size_t bytes, uint8_t ecn, int32_t source, bool is_sealed, int32_t weight) {
  struct run *run = &placing->run;
  if (run->source == source && carries_on(run, datagram, bytes, ecn)) {
    extend(io, run, datagram);
    io->lengths[run->index] = (int32_t)run->bytes;
    io->cuts[run->index] += weight;
    receiver->next = run->counter;
    return;
  }
  if (run->headers != NULL) placing->used += slots_for((int64_t)run->bytes);
  start(io, run, placing->used, datagram, bytes);
  /* Of sealed ones, the replay window has let none through twice. */
  if (receiver->network == 0 || (!is_sealed && is_late(receiver, datagram))) run->is_open = false;
  run->index = placing->count;
  run->ecn = io->ecn[placing->count] = ecn;
  run->source = source;
  io->cuts[placing->count] = weight;
  io->sources[placing->count] = source;
  io->lengths[placing->count++] = (int32_t)bytes;
}

/* Puts what was rebuilt into slots. False when there is no place for the next. */
static bool place_rebuilt(struct io *io, struct receiver *receiver, struct placing *placing, int32_t slots,
                          struct keyring *ring, int32_t source) {
  for (; fec_decoder_has_rebuilt(&receiver->fec); fec_decoder_next(&receiver->fec)) {
    struct fec_rebuilt rebuilt = fec_decoder_rebuilt(&receiver->fec);
    if (!has_place(io, placing, rebuilt.bytes, slots)) return false;
    if (take_rebuilt(receiver, ring, rebuilt.datagram))
      place(io, receiver, placing, rebuilt.datagram, rebuilt.bytes, rebuilt.ecn, source, ring != NULL, 0);
  }
  return true;
}

/* Takes the received messages apart into the slots offered. Returns how many datagrams there are. */
static int take_apart(struct io *io, struct receiver *receiver, int32_t slots, struct keyring *ring) {
  struct placing placing = {.count = 0};
  struct source source = {.number = 0};
  /* What was rebuilt by the call before, and found no place. */
  if (!place_rebuilt(io, receiver, &placing, slots, ring, 0)) return placing.count;
  while (receiver->message < receiver->count) {
    struct mmsghdr *message = &receiver->messages[receiver->message];
    size_t left = message->msg_len - receiver->at;
    size_t bytes = left < receiver->segment ? left : receiver->segment;
    uint8_t *datagram = (uint8_t *)message->msg_hdr.msg_iov->iov_base + receiver->at;
    uint8_t ecn = receiver->ecn;
    if (!has_place(io, &placing, bytes, slots)) break;
    if (receiver->is_open) source_of(io, receiver, &source);
    bool is_cut = message->msg_hdr.msg_flags & MSG_TRUNC;
    int opened = is_cut ? -BAD_DATAGRAM : open_datagram(receiver, ring, datagram, bytes, &source);
    if (opened >= 0) opened = keep_for_repair(receiver, datagram, opened, ecn, ring != NULL);
    if (opened < 0) {
      /* It takes no slot, so a frame goes on behind it: garbage in between costs what it costs, and no more. */
      if (opened == -FOREIGN) {
        io->ecn[placing.count] = datagram[0];
        io->cuts[placing.count] = (int32_t)get_be(datagram + NETWORK_AT, 4);
      }
      io->sources[placing.count] = source.number;
      io->lengths[placing.count++] = opened;
    } else {
      place(io, receiver, &placing, datagram, (size_t)opened, ecn, source.number, ring != NULL, 1);
    }
    receiver->at += bytes;
    if (receiver->at == message->msg_len) {
      receiver->message++;
      turn(receiver);
    }
    if (!place_rebuilt(io, receiver, &placing, slots, ring, source.number)) break;
  }
  return placing.count;
}

static int udp_read(struct io *io, struct receiver *receiver, int fd, int32_t slots, struct keyring *ring,
                    int32_t is_open) {
  if (slots < 0 || slots > io->iov_count) return -EINVAL;
  for (int32_t i = 0; i < slots; i++) {
    if (io->iov[i] < 0 || io->iov[i] >= io->slot_count) return -EINVAL;
  }
  receiver->hears_all = is_open == 2;
  fec_decoder_tick(&receiver->fec, (int64_t)io->clock[0]);
  if (receiver->message == receiver->count && !fec_decoder_has_rebuilt(&receiver->fec)) {
    int got = receive(receiver, fd, is_open != 0);
    if (got <= 0) return got;
  }
  return take_apart(io, receiver, slots, ring);
}

napi_value native_udpRead(napi_env env, napi_callback_info info) {
  int32_t n[6];
  struct io *io;
  struct receiver *receiver;
  struct keyring *ring = NULL;
  if (!numbers(env, info, 6, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  if ((receiver = receiver_of(env, n[1])) == NULL) return make_int(env, -EINVAL);
  if (n[4] != 0 && (ring = keyring_of(env, n[4])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, udp_read(io, receiver, n[2], n[3], ring, n[5]));
}

napi_value native_udpSource(napi_env env, napi_callback_info info) {
  int32_t n[3];
  struct io *io;
  struct receiver *receiver;
  if (!numbers(env, info, 3, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  if ((receiver = receiver_of(env, n[1])) == NULL || n[2] < 1 || n[2] > receiver->count) return make_int(env, -EINVAL);
  if (receiver->messages[n[2] - 1].msg_hdr.msg_namelen == 0) return make_int(env, -ENOENT);
  endpoint_put(io->endpoint, &receiver->names[n[2] - 1]);
  return make_int(env, 1);
}

napi_value native_udpMore(napi_env env, napi_callback_info info) {
  int32_t number;
  struct receiver *receiver;
  if (!numbers(env, info, 1, &number) || (receiver = receiver_of(env, number)) == NULL) return make_int(env, -EINVAL);
  bool waits = receiver->message < receiver->count || fec_decoder_has_rebuilt(&receiver->fec);
  return make_int(env, waits ? 2 : receiver->is_full ? 1 : 0);
}

napi_value native_udpOverruns(napi_env env, napi_callback_info info) {
  int32_t number;
  struct receiver *receiver;
  if (!numbers(env, info, 1, &number) || (receiver = receiver_of(env, number)) == NULL) return make_int(env, -EINVAL);
  return make_int(env, receiver->overruns);
}

napi_value native_udpRepaired(napi_env env, napi_callback_info info) {
  int32_t number;
  struct receiver *receiver;
  if (!numbers(env, info, 1, &number) || (receiver = receiver_of(env, number)) == NULL) return make_int(env, -EINVAL);
  return make_int(env, receiver->fec.repaired);
}

napi_value native_udpUnrepaired(napi_env env, napi_callback_info info) {
  int32_t number;
  struct receiver *receiver;
  if (!numbers(env, info, 1, &number) || (receiver = receiver_of(env, number)) == NULL) return make_int(env, -EINVAL);
  return make_int(env, receiver->fec.unrepaired);
}
