/*
 * io_uring as an executor of batches: many reads or writes of one descriptor in one system call. Nothing stays in flight
 * between two calls, and nothing is waited for: what cannot be done at once is told to be so. Used by tap.c, and by the
 * loop in C that the engine is measured beside (bench/small-frames).
 */
#ifndef LUTHIER_URING_H
#define LUTHIER_URING_H

#include <stdbool.h>
#include <stdint.h>

/* Most transfers in one call: more made nothing faster. */
#define URING_BATCH 64

struct uring;

/* One transfer: of `bytes` at `buffer`; `result` is what read(2) or write(2) would return, or -errno. */
struct transfer {
  void *buffer;
  uint32_t bytes;
  int32_t result;
};

/*
 * For the calling thread alone. NULL where this process cannot have one, `*error` says why: ENOSYS, EPERM (forbidden),
 * EINVAL (a kernel before 6.1), ENOMEM.
 */
struct uring *uring_create(int *error);
void uring_free(struct uring *ring);

/*
 * Does 1 … URING_BATCH transfers in their order, as on a descriptor that is non-blocking. 0; or an errno, when the ring is
 * not to be used any more: then some were done, and those that were not have the result -ECANCELED.
 */
int uring_read(struct uring *ring, int fd, struct transfer *transfers, unsigned count);
int uring_write(struct uring *ring, int fd, struct transfer *transfers, unsigned count);

#endif
