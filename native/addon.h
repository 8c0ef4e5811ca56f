/*
 * What the addon's files share. Its face is described in binding.ts, call by call.
 *
 *   addon.c        registration, state per environment
 *   arguments.c    JavaScript values to C and back, errors with syscall and errno
 *   descriptor.c   close, dup, eventfd
 *   socket.c       local sockets and descriptor passing
 *   netns.c        a thread's visit to another network namespace
 *   tap.c          TAPs: open
 *   burst.c        TAPs: batch read, batch write
 *   arrivals.c     TAPs: when frames came
 *   uring.c        io_uring, for batches of small frames
 *   udp.c          sockets of tunnels: open, connect, ask
 *   udp-send.c     datagrams out: segmented sends, sealing
 *   udp-receive.c  datagrams in: what came merged is taken apart, opened, and joined again by frame
 *   fec-….c        parity over what is sent, and what it brings back; gf256.c: how that is computed
 *   aead.c         keys of tunnels, replay windows; aead-openssl.c, aead-ipsec-mb.c: the libraries that seal
 *   io.c           the arrays that data-path calls work on
 *   ring.c         copies between the arena and memory that threads share
 *   wait.c         time, epoll
 *   scheduling.c   what the kernel is to know of threads
 *
 * Set-up calls return a value or throw, and then return NULL. Data-path calls take numbers, return a count or -errno,
 * never throw and never allocate.
 */
#ifndef LUTHIER_ADDON_H
#define LUTHIER_ADDON_H

#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* vswitch/arena.ts; layout.test.ts compares both sides. */
#define SLOT_BYTES 2048
#define HEADROOM_BYTES 128
#define FIRST_SLOT_BYTES (SLOT_BYTES - HEADROOM_BYTES)
/* binding.ts */
#define VNET_HDR_BYTES 12
/* binding.ts: an address of 16 bytes, IPv4 mapped (RFC 4291 §2.5.5.2), and a port. */
#define ENDPOINT_BYTES 18

/* --- state (addon.c) --------------------------------------------------------------------------------------------- */

/* Things that JavaScript knows by a number, which is their place here plus one; NULL where one was destroyed. */
struct table {
  void **items;
  size_t count;
};

/* Puts an item where none is; returns its number, 0 when there is no memory. */
int32_t table_put(struct table *table, void *item);
/* NULL for a number that is not in use. */
void *table_get(const struct table *table, int32_t number);

/* One set of registered arrays. Everything that a data-path call needs is here, so that it looks nothing up. */
struct io {
  uint8_t *arena;
  size_t arena_bytes;
  int32_t slot_count; /* whole slots in the arena */
  int32_t *iov;
  int32_t iov_count;
  int32_t *slots; /* free ones, to read into */
  int32_t slots_count;
  int32_t *lengths;
  int32_t lengths_count;
  int32_t *cuts; /* as long as `lengths`, and so are `ecn`, `sources` and `came` */
  uint8_t *ecn;
  int32_t *sources;
  double *came;
  uint8_t *endpoint;
  uint8_t *vnet;
  int32_t vnet_count; /* whole headers */
  int32_t *ready;
  int32_t ready_count;
  double *clock; /* [0]: now; [1]: until when to wait; [2]: how long before that to stay awake, then how long it was; [3]: pace;
                    [4]: how late the sleep ended, -1 where it did not */
  double paced_ns; /* when it was, or is to be, woken last, as if it were always at its pace */
  int32_t waker;   /* the token of who woke it last */
  int64_t start_ns; /* CLOCK_MONOTONIC where the clock is 0 */

  /* Scratch, as large as any call can need: a header and every entry of `iov` or `slots`; a message for every length. */
  struct iovec *parts;
  struct mmsghdr *messages;
  struct epoll_event *events;
  struct send *send; /* udp-send.c */
  bool tap_is_empty; /* burst.c: the last read left nothing */
  uint8_t *burst;    /* burst.c: buffers, and what is done with them */
  struct transfer *transfers;
  struct uring *ring; /* NULL: system calls are made one by one */
  int ring_error;     /* why, where there was to be one: an errno; else 0 */

  napi_ref references[12]; /* keep the arrays' memory alive */
};

/* One per environment: each worker thread that loads the addon has its own. */
struct state {
  struct table ios;
  struct table keyrings;  /* aead.h */
  struct table receivers; /* udp-receive.c */
  struct table encoders;  /* fec.h */
  struct table arrivals;  /* arrivals.c */
};

/* NULL for a handle that is not in use. */
struct io *io_of(napi_env env, int32_t handle);
struct keyring *keyring_of(napi_env env, int32_t handle);
struct receiver *receiver_of(napi_env env, int32_t handle);
struct fec_encoder *encoder_of(napi_env env, int32_t handle);
struct arrivals *arrivals_of(napi_env env, int32_t handle);
void io_free(napi_env env, struct io *io);
void keyring_free(struct keyring *ring);
void receiver_free(struct receiver *receiver);
void arrivals_free(struct arrivals *arrivals);
bool burst_create(struct io *io);
void burst_free(struct io *io);
struct send *send_create(void);
void send_free(struct send *send);

/* --- arguments and results (arguments.c) ------------------------------------------------------------------------- */

/* Fetches exactly `count` arguments (absent ones are undefined). */
void arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

/* Each throws a TypeError or RangeError that names the argument, and returns false, when the value does not fit. */
bool get_int(napi_env env, napi_value value, const char *name, int64_t min, int64_t max, int64_t *out);
bool get_fd(napi_env env, napi_value value, int *out);
bool get_bool(napi_env env, napi_value value, const char *name, bool *out);
/* UTF-8, NUL-terminated in `out`; refuses a string that has a NUL or does not fit. */
bool get_string(napi_env env, napi_value value, const char *name, char *out, size_t size);

/* A property of an options object: `*present` is false, and nothing is thrown, where it is undefined. */
bool get_option(napi_env env, napi_value object, const char *name, napi_value *out, bool *present);

/* An Error `SYSCALL: description` with `syscall` and `errno`; always returns NULL. */
napi_value throw_errno(napi_env env, const char *syscall, int error);
/* The same for a mistake of the caller: a TypeError or a RangeError `NAME: what`; always false. */
bool throw_type(napi_env env, const char *name, const char *what);
bool throw_range(napi_env env, const char *name, const char *what);

napi_value make_int(napi_env env, int64_t value);
napi_value make_undefined(napi_env env);

/*
 * The arguments of a data-path call: false when one is not a number. Numbers that are no 32-bit integers wrap as in
 * `x | 0`; every use checks the range of what came out.
 */
bool numbers(napi_env env, napi_callback_info info, size_t count, int32_t *out);

/* --- network namespaces (netns.c) -------------------------------------------------------------------------------- */

/*
 * Moves the calling thread to the network namespace at `path`; NULL: stays. Throws and returns false when it cannot.
 * `*home` is what netns_leave needs.
 */
bool netns_enter(napi_env env, const char *path, int *home);
/* Moves the thread back. A thread that cannot go back would act on the wrong network: then the process is aborted. */
void netns_leave(int home);

/* --- frames in slots ---------------------------------------------------------------------------------------------- */

/* How many slots a frame of this many bytes takes: slotsFor in arena.ts. */
static inline int32_t slots_for(int64_t bytes) {
  return bytes <= FIRST_SLOT_BYTES ? 1 : 1 + (int32_t)((bytes - FIRST_SLOT_BYTES + SLOT_BYTES - 1) / SLOT_BYTES);
}

/*
 * Scatter list for one frame to read: `count` slots from `slots[at]` on, headroom left free in the first. False when one
 * is no slot of the arena.
 */
static inline bool io_slots(const struct io *io, int32_t at, int32_t count, struct iovec *parts) {
  for (int32_t i = 0; i < count; i++) {
    int32_t slot = io->slots[at + i];
    if (slot < 0 || slot >= io->slot_count) return false;
    size_t headroom = i == 0 ? HEADROOM_BYTES : 0;
    parts[i].iov_base = io->arena + (size_t)slot * SLOT_BYTES + headroom;
    parts[i].iov_len = SLOT_BYTES - headroom;
  }
  return true;
}

/*
 * Scatter list for one frame to write: `count` pairs from `iov[2 * at]` on. Returns false when there are none, or one
 * lies outside the arena.
 */
static inline bool io_pairs(const struct io *io, int32_t at, int32_t count, struct iovec *parts) {
  if (at < 0 || count < 1 || (int64_t)at + count > io->iov_count / 2) return false;
  for (int32_t i = 0; i < count; i++) {
    int32_t offset = io->iov[2 * (at + i)];
    int32_t bytes = io->iov[2 * (at + i) + 1];
    if (offset < 0 || bytes < 0 || (size_t)offset + (size_t)bytes > io->arena_bytes) return false;
    parts[i].iov_base = io->arena + offset;
    parts[i].iov_len = (size_t)bytes;
  }
  return true;
}

/* --- where datagrams come from and go to (udp.c) ------------------------------------------------------------------ */

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

void endpoint_put(uint8_t *endpoint, const union address *from);
/* Returns the address's length. */
socklen_t endpoint_get(const uint8_t *endpoint, union address *to);

/* --- time (wait.c) ----------------------------------------------------------------------------------------------- */

int64_t monotonic_ns(void);

/* --- the calls, as binding.ts names them -------------------------------------------------------------------------- */

#define NATIVE_CALLS(CALL)                                                                                             \
  CALL(close) CALL(dup) CALL(setCloexec) CALL(eventfd) CALL(eventfdSignal) CALL(eventfdDrain) CALL(requestLatency)     \
  CALL(seqpacketConnect) CALL(unixListen) CALL(sendMessage) CALL(receiveMessage)                                       \
  CALL(tapOpen) CALL(tapSetCarrier) CALL(arrivalsOpen) CALL(arrivalsCreate) CALL(arrivalsDestroy) CALL(udpOpen) CALL(udpAddress) CALL(udpRouteMtu) CALL(udpReceiveBufferBytes)       \
  CALL(udpFeatures)                                                                                                    \
  CALL(udpReceiverCreate) CALL(udpReceiverDestroy) CALL(udpConnect) CALL(udpDisconnect) CALL(udpPeer) CALL(udpSource)  \
  CALL(keyringCreate) CALL(keyringAdd) CALL(keyringRemove) CALL(keyringDestroy) CALL(random)                           \
  CALL(aeadFind) CALL(aeadMeasure)                                                                                     \
  CALL(arenaCreate) CALL(ioCreate) CALL(ioDestroy)                                                                     \
  CALL(epollCreate) CALL(epollAdd) CALL(epollModify) CALL(epollRemove)                                          \
  CALL(threadId) CALL(setThreadName) CALL(setTimerSlackNs) CALL(setSliceNs) CALL(setRealtime)                           \
  CALL(tick) CALL(wait) CALL(ringStart) CALL(ringError) CALL(tapRead) CALL(arrivalTimes) CALL(tapWrite) CALL(udpRead) CALL(udpMore)                       \
  CALL(udpOverruns) CALL(udpWrite) CALL(udpRepaired) CALL(udpUnrepaired)                                               \
  CALL(parityCreate) CALL(parityDestroy) CALL(parityRows) CALL(gather) CALL(scatter)

#define DECLARE(name) napi_value native_##name(napi_env env, napi_callback_info info);
NATIVE_CALLS(DECLARE)
#undef DECLARE

#endif
