/*
 * Frames of TAPs, in batches. One read or write is one frame (drivers/net/tun.c), with a virtio_net_hdr before it where
 * the TAP has IFF_VNET_HDR.
 *
 * Two ways: one by one, scattered over slots by the kernel, for super-frames; and in bursts, for small ones.
 */
#include "addon.h"
#include "uring.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * virtio_net_hdr_mrg_rxbuf, as JavaScript reads it:
 *
 *   offset  bytes  type  field
 *        0      1  u8    flags
 *        1      1  u8    gso_type
 *        2      2  u16   hdr_len
 *        4      2  u16   gso_size
 *        6      2  u16   csum_start
 *        8      2  u16   csum_offset
 *       10      2  u16   num_buffers
 */
_Static_assert(sizeof(struct virtio_net_hdr_mrg_rxbuf) == VNET_HDR_BYTES, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, hdr.gso_size) == 4, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, hdr.csum_start) == 6, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers) == 10, "virtio_net_hdr");
/* The header is in the machine's byte order; the arena's users read it as little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

/* --- small frames, in bursts -------------------------------------------------------------------------------------- */

/*
 * Frames of hosts that talk in small ones come and go in bursts, each by way of a buffer of its own: a copy of a small
 * frame costs less than a scatter list of all the slots that a super-frame would take does, which the kernel copies and
 * checks for every read, empty ones included; and io_uring is faster than read(2) with single buffers only.
 *
 *   burst ┌──────────────────────────────┐       buffers are as long as the longest frame, an odd number of cache lines
 *    0    │ vnet_hdr, frame, …           │       apart, so that their beginnings do not share a set of the cache; memory
 *    1    │ …                            │       that was never needed was never touched
 */
#define BURST_BUFFER_BYTES (1025 * 64)
_Static_assert(BURST_BUFFER_BYTES >= VNET_HDR_BYTES + 18 + 65535, "a super-frame");
/* Fewer than these are done sooner by calls of their own. */
#define MIN_RING 4

bool burst_create(struct io *io) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *buffers = mmap(NULL, (size_t)URING_BATCH * BURST_BUFFER_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
  io->burst = buffers == MAP_FAILED ? NULL : buffers;
  io->transfers = calloc(URING_BATCH, sizeof *io->transfers);
  return io->burst != NULL && io->transfers != NULL;
}

void burst_free(struct io *io) {
  if (io->burst != NULL) munmap(io->burst, (size_t)URING_BATCH * BURST_BUFFER_BYTES);
  if (io->ring != NULL) uring_free(io->ring);
  free(io->transfers);
}

static uint8_t *burst_buffer(const struct io *io, int i) { return io->burst + (size_t)i * BURST_BUFFER_BYTES; }

/* One that failed is not used again. */
static void ring_lose(struct io *io, int error) {
  uring_free(io->ring);
  io->ring = NULL;
  io->ring_error = error;
}

static int32_t read_once(int fd, void *buffer, size_t bytes) {
  ssize_t got;
  do got = read(fd, buffer, bytes);
  while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : (int32_t)got;
}

static int32_t write_once(int fd, const void *buffer, size_t bytes) {
  ssize_t sent;
  do sent = write(fd, buffer, bytes);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : (int32_t)sent;
}

/* Of the first `tried` transfers those that brought a frame come first, in their order. How many, or the first -errno. */
static int gather(struct transfer *transfers, int tried) {
  int frames = 0, error = 0;
  for (int i = 0; i < tried; i++) {
    if (transfers[i].result >= 0) transfers[frames++] = transfers[i];
    else if (error == 0) error = transfers[i].result;
  }
  return frames > 0 ? frames : error;
}

/* Up to `count` frames, into the buffers of the first transfers; returns how many, or -errno. */
static int burst_read(struct io *io, int fd, uint32_t bytes, int count) {
  struct transfer *transfers = io->transfers;
  for (int i = 0; i < count; i++) transfers[i] = (struct transfer){.buffer = burst_buffer(io, i), .bytes = bytes};
  if (io->ring != NULL && count >= MIN_RING) {
    int error = uring_read(io->ring, fd, transfers, (unsigned)count);
    /* With holes: a frame may come right after a read that found none. */
    int frames = gather(transfers, count);
    if (error == 0 && frames != -EOPNOTSUPP) return frames;
    ring_lose(io, error == 0 ? EOPNOTSUPP : error);
    if (frames > 0) return frames;
  }
  int tried = 0;
  do transfers[tried].result = read_once(fd, burst_buffer(io, tried), bytes);
  while (transfers[tried++].result >= 0 && tried < count);
  return gather(transfers, tried);
}

/* From a buffer to as many of `slots` from `at` on as it takes; false when one is no slot of the arena. */
static bool put_in_slots(const struct io *io, int32_t at, const uint8_t *from, int32_t bytes) {
  int32_t count = slots_for(bytes);
  if (!io_slots(io, at, count, io->parts)) return false;
  for (int32_t i = 0; i < count; i++) {
    size_t part = (size_t)bytes < io->parts[i].iov_len ? (size_t)bytes : io->parts[i].iov_len;
    memcpy(io->parts[i].iov_base, from, part);
    from += part;
    bytes -= (int32_t)part;
  }
  return true;
}

static int tap_read_burst(struct io *io, int fd, int32_t slots, int32_t min_slots, int32_t max_frames, int header_bytes,
                          int32_t ahead) {
  /* No more than would fit the slots, so that a frame that is too long is cut and seen to be. */
  int64_t bytes = header_bytes + FIRST_SLOT_BYTES + (int64_t)(min_slots - 1) * SLOT_BYTES;
  if (bytes > BURST_BUFFER_BYTES) bytes = BURST_BUFFER_BYTES;
  int32_t used = 0;
  int frames = 0;
  while (frames < max_frames) {
    int32_t count = ahead < max_frames - frames ? ahead : max_frames - frames;
    if (count > URING_BATCH) count = URING_BATCH;
    /* Each may be as long as any. */
    if (count > (slots - used) / min_slots) count = (slots - used) / min_slots;
    if (count < 1) break;
    int got = burst_read(io, fd, (uint32_t)bytes, count);
    io->tap_is_empty = got < count;
    if (got < 0) return frames > 0 || got == -EAGAIN ? frames : got;
    for (int i = 0; i < got; i++) {
      const uint8_t *buffer = io->transfers[i].buffer;
      int32_t length = io->transfers[i].result - header_bytes;
      if (length < 0) return frames > 0 ? frames : -EIO; /* not a TAP with vnet headers */
      if (!put_in_slots(io, used, buffer + header_bytes, length)) return frames > 0 ? frames : -EINVAL;
      if (header_bytes > 0) memcpy(io->vnet + (size_t)frames * VNET_HDR_BYTES, buffer, VNET_HDR_BYTES);
      io->lengths[frames++] = length;
      used += slots_for(length);
    }
    if (got < count) break;
    /* More than was expected: a look at whether that goes on. */
    ahead = 1 + frames / 4;
  }
  return frames;
}

static int tap_read(struct io *io, int fd, int32_t slots, int32_t min_slots, int32_t max_frames, bool vnet_hdr,
                    int32_t ahead) {
  if (slots < 0 || slots > io->slots_count || min_slots < 1 || min_slots > io->slots_count) return -EINVAL;
  if (max_frames < 0 || max_frames > io->lengths_count || (vnet_hdr && max_frames > io->vnet_count)) return -EINVAL;
  io->tap_is_empty = false;
  if (ahead > 0) return tap_read_burst(io, fd, slots, min_slots, max_frames, vnet_hdr ? VNET_HDR_BYTES : 0, ahead);
  int header = vnet_hdr ? 1 : 0;
  int32_t used = 0;
  int frames = 0;
  while (frames < max_frames && slots - used >= min_slots) {
    if (vnet_hdr) io->parts[0] = (struct iovec){io->vnet + frames * VNET_HDR_BYTES, VNET_HDR_BYTES};
    if (!io_slots(io, used, min_slots, io->parts + header)) return frames > 0 ? frames : -EINVAL;
    ssize_t got;
    do got = readv(fd, io->parts, min_slots + header);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
      io->tap_is_empty = errno == EAGAIN;
      if (io->tap_is_empty || frames > 0) break;
      return -errno;
    }
    if (vnet_hdr) got -= VNET_HDR_BYTES;
    if (got < 0) return frames > 0 ? frames : -EIO; /* not a TAP with vnet headers */
    io->lengths[frames++] = (int32_t)got;
    used += slots_for(got);
  }
  return frames;
}

/*
 * How many frames from `first` on, at most `most`, go by way of a buffer: small ones in one part. A super-frame may be
 * refused for its kind, and then is to be sent in another form before the next one.
 */
static int32_t small_frames(const struct io *io, int32_t first, int32_t entry, int32_t most, bool vnet_hdr) {
  const size_t gso_type = offsetof(struct virtio_net_hdr, gso_type);
  if (entry < 0) return 0;
  if (most > URING_BATCH) most = URING_BATCH;
  if (most > io->iov_count / 2 - entry) most = io->iov_count / 2 - entry;
  for (int32_t i = 0; i < most; i++) {
    if (io->lengths[first + i] != 1 || io->iov[2 * (entry + i) + 1] > FIRST_SLOT_BYTES) return i;
    if (vnet_hdr && io->vnet[(size_t)(first + i) * VNET_HDR_BYTES + gso_type] != VIRTIO_NET_HDR_GSO_NONE) return i;
  }
  return most;
}

/* Whether the ring did nothing about a transfer: there was no room, or it is not to be used (any more). */
static bool is_undone(int32_t result) { return result == -EAGAIN || result == -ECANCELED || result == -EOPNOTSUPP; }

/*
 * By the ring, which goes on behind a frame that is refused. So what one was refused for takes the place of its length, and it
 * counts as consumed: as if the caller had dropped it and gone on. Returns how many are consumed.
 */
static int32_t ring_write(struct io *io, int fd, int32_t first, int32_t count) {
  struct transfer *transfers = io->transfers;
  int error = uring_write(io->ring, fd, transfers, (unsigned)count);
  if (error != 0 || transfers[0].result == -EOPNOTSUPP) ring_lose(io, error == 0 ? EOPNOTSUPP : error);
  while (count > 0 && is_undone(transfers[count - 1].result)) count--;
  for (int32_t i = 0; i < count; i++)
    if (transfers[i].result < 0) io->lengths[first + i] = transfers[i].result;
  return count;
}

/* Writes `count` small frames from `first` on, or fewer where one is refused; returns how many, or -errno of the first. */
static int32_t burst_write(struct io *io, int fd, int32_t first, int32_t entry, int32_t count, bool vnet_hdr) {
  struct transfer *transfers = io->transfers;
  size_t header_bytes = vnet_hdr ? VNET_HDR_BYTES : 0;
  for (int32_t i = 0; i < count; i++) {
    uint8_t *buffer = burst_buffer(io, i);
    if (!io_pairs(io, entry + i, 1, io->parts)) count = i;
    if (i == count) break;
    if (vnet_hdr) memcpy(buffer, io->vnet + (size_t)(first + i) * VNET_HDR_BYTES, VNET_HDR_BYTES);
    memcpy(buffer + header_bytes, io->parts[0].iov_base, io->parts[0].iov_len);
    transfers[i] = (struct transfer){.buffer = buffer, .bytes = (uint32_t)(header_bytes + io->parts[0].iov_len)};
  }
  if (count == 0) return -EINVAL;
  int32_t written = io->ring != NULL && count >= MIN_RING ? ring_write(io, fd, first, count) : 0;
  if (written > 0) return written;
  for (; written < count; written++) {
    int32_t result = write_once(fd, transfers[written].buffer, transfers[written].bytes);
    if (result < 0) return written > 0 ? written : result;
  }
  return written;
}

static int tap_write(struct io *io, int fd, int32_t first, int32_t entry, int32_t frames, bool vnet_hdr) {
  if (first < 0 || frames < 0 || (int64_t)first + frames > io->lengths_count) return -EINVAL;
  if (vnet_hdr && (int64_t)first + frames > io->vnet_count) return -EINVAL;
  int header = vnet_hdr ? 1 : 0;
  for (int i = 0; i < frames;) {
    int32_t small = small_frames(io, first + i, entry, frames - i, vnet_hdr);
    if (small > 0) {
      int32_t written = burst_write(io, fd, first + i, entry, small, vnet_hdr);
      if (written < 0) return i > 0 || written == -EAGAIN ? i : written;
      i += written;
      entry += written;
      if (written < small) return i;
      continue;
    }
    int32_t count = io->lengths[first + i];
    if (vnet_hdr) io->parts[0] = (struct iovec){io->vnet + (size_t)(first + i) * VNET_HDR_BYTES, VNET_HDR_BYTES};
    if (!io_pairs(io, entry, count, io->parts + header)) return i > 0 ? i : -EINVAL;
    ssize_t sent;
    do sent = writev(fd, io->parts, count + header);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return i > 0 || errno == EAGAIN ? i : -errno;
    entry += count;
    i++;
  }
  return frames;
}

napi_value native_tapRead(napi_env env, napi_callback_info info) {
  int32_t n[7];
  struct io *io;
  if (!numbers(env, info, 7, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, tap_read(io, n[1], n[2], n[3], n[4], n[5] != 0, n[6]));
}

napi_value native_tapWrite(napi_env env, napi_callback_info info) {
  int32_t n[6];
  struct io *io;
  if (!numbers(env, info, 6, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, tap_write(io, n[1], n[2], n[3], n[4], n[5] != 0));
}

napi_value native_ringStart(napi_env env, napi_callback_info info) {
  int32_t handle;
  struct io *io;
  if (!numbers(env, info, 1, &handle) || (io = io_of(env, handle)) == NULL) return make_int(env, -EINVAL);
  int error = 0;
  if (io->ring == NULL) io->ring = uring_create(&error);
  io->ring_error = io->ring == NULL ? error : 0;
  return make_int(env, -io->ring_error);
}

napi_value native_ringError(napi_env env, napi_callback_info info) {
  int32_t handle;
  struct io *io;
  if (!numbers(env, info, 1, &handle) || (io = io_of(env, handle)) == NULL) return make_int(env, -EINVAL);
  return make_int(env, io->ring_error);
}
