/*
 * Datagrams in. The kernel gives them one by one, or many merged into one (UDP_GRO; a segmented send over veth arrives
 * whole). Here they are taken apart again; then they are seen to be new and opened, and put into slots, those together that
 * carry a frame on (udp-receive.h).
 *
 * What was received and found no room in the slots offered stays here until the next call. A socket that is connected to
 * nobody hears everybody: then each datagram is told with its source, and what is not sealed, which anybody can send, is
 * taken from the endpoint alone that is sent to; but for handshakes, where it is asked for. What parity rebuilds (fec.h) is put
 * into slots as if it had come, between two that came.
 */
#include "udp-receive.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The lower two bits of TOS and traffic class: RFC 3168 §5. */
#define ECN_MASK 3

/* Small datagrams come many at a time; merged ones, of up to 64 KiB, two, so that they are still in cache when opened. */
#define MESSAGES 32
#define LARGE_MESSAGES 2
#define LARGE_BYTES 8192
#define MESSAGE_BYTES 65536

struct receiver {
  uint8_t *buffers; /* MESSAGES × MESSAGE_BYTES, touched only as far as it is filled */
  struct mmsghdr messages[MESSAGES];
  struct iovec parts[MESSAGES];
  union address names[MESSAGES]; /* where they come from, of a socket that is connected to nobody */
  union {
    char bytes[3 * CMSG_SPACE(sizeof(int)) + 64]; /* ECN, UDP_GRO, SO_RXQ_OVFL */
    struct cmsghdr align;
  } controls[MESSAGES];
  int count;             /* messages of the last call to the kernel */
  int message;           /* the one that is being taken apart; `count` when none is left */
  size_t at, segment;    /* in it */
  uint8_t ecn;           /* of it: the kernel merges none that differ (inet_gro_receive, ipv6_gro_receive) */
  bool is_large;         /* what came last was merged */
  bool is_open;          /* what came last has names */
  bool is_full;          /* the kernel gave as many as it was asked for */
  int64_t overruns;      /* what the socket had no room for, ever */
  uint32_t told_drops;   /* the kernel's own count of them, as it was told last */
  struct admission admission;
  struct newest newest[PEER_LANES];
};

void receiver_free(struct receiver *receiver) {
  munmap(receiver->buffers, (size_t)MESSAGES * MESSAGE_BYTES);
  fec_decoder_free(&receiver->admission.fec);
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
  receiver->admission.network = (uint32_t)network;
  receiver->buffers = mmap(NULL, (size_t)MESSAGES * MESSAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (receiver->buffers == MAP_FAILED) {
    free(receiver);
    return throw_errno(env, "mmap", ENOMEM);
  }
  if (!fec_decoder_create(&receiver->admission.fec)) {
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
  if (!is_open && receiver->is_open) memset(receiver->admission.recent, 0, sizeof receiver->admission.recent);
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

/* Where the message that is being taken apart comes from. */
static void source_of(const struct io *io, const struct receiver *receiver, struct source *to) {
  *to = (struct source){.number = 0};
  if (!receiver->is_open || receiver->messages[receiver->message].msg_hdr.msg_namelen == 0) return;
  to->is_named = true;
  endpoint_put(to->endpoint, &receiver->names[receiver->message]);
  bool is_told = receiver->admission.network == 0 || memcmp(to->endpoint, io->endpoint, ENDPOINT_BYTES) != 0;
  if (is_told) to->number = receiver->message + 1;
}

/* Puts what was rebuilt into slots. False when there is no place for the next. */
static bool place_rebuilt(struct io *io, struct receiver *receiver, struct placing *placing, int32_t slots,
                          struct keyring *ring, int32_t source) {
  struct admission *admission = &receiver->admission;
  for (; fec_decoder_has_rebuilt(&admission->fec); fec_decoder_next(&admission->fec)) {
    struct fec_rebuilt rebuilt = fec_decoder_rebuilt(&admission->fec);
    if (!has_place(io, placing, rebuilt.bytes, slots)) return false;
    if (!admit_rebuilt(admission, ring, rebuilt.datagram)) continue;
    place(io, placing, &(struct opened){rebuilt.datagram, rebuilt.bytes, rebuilt.ecn, source, 0});
  }
  return true;
}

/* Takes the received messages apart into the slots offered. Returns how many datagrams there are. */
static int take_apart(struct io *io, struct receiver *receiver, int32_t slots, struct keyring *ring) {
  struct admission *admission = &receiver->admission;
  struct placing placing = {
      .newest = receiver->newest,
      .is_tunnel = admission->network != 0,
      .is_sealed = ring != NULL,
  };
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
    int opened = is_cut ? -BAD_DATAGRAM : admit(admission, ring, datagram, bytes, ecn, &source);
    if (opened < 0) {
      /* It takes no slot, so a frame goes on behind it: garbage in between costs what it costs, and no more. */
      if (opened == -FOREIGN) {
        io->ecn[placing.count] = datagram[0];
        io->cuts[placing.count] = (int32_t)get_be(datagram + NETWORK_AT, 4);
      }
      io->sources[placing.count] = source.number;
      io->lengths[placing.count++] = opened;
    } else {
      place(io, &placing, &(struct opened){datagram, (size_t)opened, ecn, source.number, 1});
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
  if (slots < 0 || slots > io->slots_count) return -EINVAL;
  for (int32_t i = 0; i < slots; i++) {
    if (io->slots[i] < 0 || io->slots[i] >= io->slot_count) return -EINVAL;
  }
  receiver->admission.hears_all = is_open == 2;
  fec_decoder_tick(&receiver->admission.fec, (int64_t)io->clock[0]);
  if (receiver->message == receiver->count && !fec_decoder_has_rebuilt(&receiver->admission.fec)) {
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
  bool waits = receiver->message < receiver->count || fec_decoder_has_rebuilt(&receiver->admission.fec);
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
  return make_int(env, receiver->admission.fec.repaired);
}

napi_value native_udpUnrepaired(napi_env env, napi_callback_info info) {
  int32_t number;
  struct receiver *receiver;
  if (!numbers(env, info, 1, &number) || (receiver = receiver_of(env, number)) == NULL) return make_int(env, -EINVAL);
  return make_int(env, receiver->admission.fec.unrepaired);
}
