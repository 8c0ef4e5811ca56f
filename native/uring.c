/*
 * The rings, without a library:
 *
 *            tail: ours                    head: ours
 *   entries ──────────────▶ kernel        completions ◀────────────── kernel
 *   (sqe)     head: its                   (cqe)          tail: its
 *
 * Every transfer is marked RWF_NOWAIT: where a descriptor has nothing to give or no room, the kernel completes it with
 * -EAGAIN instead of keeping it until a poll says otherwise (io_uring/rw.c, REQ_F_NOWAIT; O_NONBLOCK alone would not do
 * on files that know NOWAIT, as TAPs do since Linux 5.11). So each is done, in its order, while io_uring_enter submits it,
 * and no buffer is in use after it.
 *
 * Transfers have one buffer each: those of several are slower than read(2) and write(2), as the kernel keeps a copy of the
 * scatter list for each. DEFER_TASKRUN and SINGLE_ISSUER (Linux 6.1) spare the thread interrupts and locks.
 */
#include "uring.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Kernel headers before 6.1 have no names for them. */
#define SETUP_SUBMIT_ALL (1U << 7)
#define SETUP_SINGLE_ISSUER (1U << 12)
#define SETUP_DEFER_TASKRUN (1U << 13)

struct uring {
  int fd;
  uint8_t *rings;
  size_t rings_bytes;
  struct io_uring_sqe *entries;
  size_t entries_bytes;
  uint32_t *submit_head, *submit_tail, submit_mask;
  uint32_t *done_head, *done_tail, done_mask;
  struct io_uring_cqe *done;
};

static bool map(struct uring *ring, const struct io_uring_params *params) {
  size_t array_end = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
  size_t done_end = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_bytes = array_end > done_end ? array_end : done_end;
  ring->entries_bytes = params->sq_entries * sizeof *ring->entries;
  int flags = MAP_SHARED | MAP_POPULATE;
  ring->rings = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE, flags, ring->fd, IORING_OFF_SQ_RING);
  ring->entries = mmap(NULL, ring->entries_bytes, PROT_READ | PROT_WRITE, flags, ring->fd, IORING_OFF_SQES);
  if (ring->rings == MAP_FAILED || ring->entries == MAP_FAILED) return false;
  ring->submit_head = (uint32_t *)(ring->rings + params->sq_off.head);
  ring->submit_tail = (uint32_t *)(ring->rings + params->sq_off.tail);
  ring->submit_mask = params->sq_entries - 1;
  ring->done_head = (uint32_t *)(ring->rings + params->cq_off.head);
  ring->done_tail = (uint32_t *)(ring->rings + params->cq_off.tail);
  ring->done_mask = params->cq_entries - 1;
  ring->done = (struct io_uring_cqe *)(ring->rings + params->cq_off.cqes);
  /* Entries are submitted where they stand. */
  uint32_t *array = (uint32_t *)(ring->rings + params->sq_off.array);
  for (uint32_t i = 0; i < params->sq_entries; i++) array[i] = i;
  return true;
}

struct uring *uring_create(int *error) {
  struct uring *ring = malloc(sizeof *ring);
  *error = ENOMEM;
  if (ring == NULL) return NULL;
  *ring = (struct uring){.fd = -1, .rings = MAP_FAILED, .entries = MAP_FAILED};
  struct io_uring_params params = {.flags = SETUP_SUBMIT_ALL | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN};
  ring->fd = (int)syscall(SYS_io_uring_setup, URING_BATCH, &params);
  bool is_mapped = ring->fd >= 0 && map(ring, &params);
  *error = errno;
  if (is_mapped) return ring;
  uring_free(ring);
  return NULL;
}

void uring_free(struct uring *ring) {
  if (ring->entries != MAP_FAILED) munmap(ring->entries, ring->entries_bytes);
  if (ring->rings != MAP_FAILED) munmap(ring->rings, ring->rings_bytes);
  if (ring->fd >= 0) close(ring->fd);
  free(ring);
}

/* Takes the results that there are; returns how many. */
static unsigned reap(struct uring *ring, struct transfer *transfers) {
  uint32_t head = *ring->done_head, tail = __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE);
  for (uint32_t at = head; at != tail; at++) {
    const struct io_uring_cqe *cqe = &ring->done[at & ring->done_mask];
    transfers[cqe->user_data].result = cqe->res;
  }
  __atomic_store_n(ring->done_head, tail, __ATOMIC_RELEASE);
  return tail - head;
}

static int enter(const struct uring *ring, unsigned submit, unsigned await) {
  long done = syscall(SYS_io_uring_enter, ring->fd, submit, await, await > 0 ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
  return done < 0 ? -errno : (int)done;
}

static int run(struct uring *ring, uint8_t opcode, int fd, struct transfer *transfers, unsigned count) {
  uint32_t tail = *ring->submit_tail;
  for (unsigned i = 0; i < count; i++) {
    ring->entries[(tail + i) & ring->submit_mask] = (struct io_uring_sqe){
        .opcode = opcode,
        .fd = fd,
        .off = (uint64_t)-1, /* where the file is: it has no places */
        .addr = (uintptr_t)transfers[i].buffer,
        .len = transfers[i].bytes,
        .rw_flags = RWF_NOWAIT,
        .user_data = i,
    };
    transfers[i].result = -ECANCELED;
  }
  __atomic_store_n(ring->submit_tail, tail + count, __ATOMIC_RELEASE);
  unsigned submitted = 0;
  int error = 0;
  while (submitted < count && error == 0) {
    int taken = enter(ring, count - submitted, 0);
    if (taken > 0) submitted += (unsigned)taken;
    else if (taken != -EINTR) error = taken < 0 ? -taken : EIO;
  }
  /* Out of memory, or forbidden meanwhile: what the kernel has not taken it is not to take later. */
  if (submitted < count) __atomic_store_n(ring->submit_tail, tail + submitted, __ATOMIC_RELEASE);
  /* All are there already, but where a kernel does in a worker of its own what it might have done at once. */
  for (unsigned done = reap(ring, transfers); done < submitted; done += reap(ring, transfers)) {
    int waited = enter(ring, 0, submitted - done);
    if (waited < 0 && waited != -EINTR) abort(); /* the kernel has buffers that are not ours any more to give away */
  }
  return error;
}

int uring_read(struct uring *ring, int fd, struct transfer *transfers, unsigned count) {
  return run(ring, IORING_OP_READ, fd, transfers, count);
}

int uring_write(struct uring *ring, int fd, struct transfer *transfers, unsigned count) {
  return run(ring, IORING_OP_WRITE, fd, transfers, count);
}
