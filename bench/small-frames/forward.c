/*
 *   forward calls|io_uring NETNS NETNS
 *
 * The job of a switch with two hosts, done by the shortest loop in C: opens a TAP `eth0` in each network namespace (paths)
 * and passes every frame of one to the other, its virtio_net_hdr as it is, until it is ended; by a read and a write each,
 * or by batches of them in one system call. Prints its thread's number when it forwards.
 */
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The offloads of a switch's TAPs (native/tap.c), by number: kernel headers before 6.2 have no names for the last two. */
#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | 0x20 | 0x40)
/* No host of this benchmark sends longer frames. */
#define FRAME_BYTES 2048

static unsigned char frames[URING_BATCH][FRAME_BYTES];
static struct transfer transfers[URING_BATCH];
static struct uring *ring;

_Noreturn static void fail(const char *what, int error) {
  fprintf(stderr, "forward: %s: %s\n", what, strerror(error));
  exit(1);
}

static int open_tap(const char *netns) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(netns, errno);
  close(fd);
  int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tap < 0) fail("/dev/net/tun", errno);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, .ifr_name = "eth0"};
  int header_bytes = sizeof(struct virtio_net_hdr_mrg_rxbuf);
  if (ioctl(tap, TUNSETIFF, &request) != 0) fail("TUNSETIFF", errno);
  if (ioctl(tap, TUNSETVNETHDRSZ, &header_bytes) != 0) fail("TUNSETVNETHDRSZ", errno);
  if (ioctl(tap, TUNSETOFFLOAD, (unsigned long)OFFLOADS) != 0) fail("TUNSETOFFLOAD", errno);
  return tap;
}

static void pass_by_calls(int from, int to) {
  for (int i = 0; i < URING_BATCH; i++) {
    ssize_t bytes = read(from, frames[0], FRAME_BYTES);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes < 0) fail("read", errno);
    if (write(to, frames[0], (size_t)bytes) < 0 && errno != EIO) fail("write", errno);
  }
}

static void pass_by_ring(int from, int to) {
  for (int i = 0; i < URING_BATCH; i++) transfers[i] = (struct transfer){.buffer = frames[i], .bytes = FRAME_BYTES};
  int error = uring_read(ring, from, transfers, URING_BATCH);
  if (error != 0) fail("io_uring", error);
  unsigned count = 0;
  for (int i = 0; i < URING_BATCH; i++) {
    int bytes = transfers[i].result;
    if (bytes >= 0) transfers[count++] = (struct transfer){.buffer = frames[i], .bytes = (uint32_t)bytes};
    else if (bytes != -EAGAIN) fail("read", -bytes);
  }
  if (count > 0 && (error = uring_write(ring, to, transfers, count)) != 0) fail("io_uring", error);
  for (unsigned i = 0; i < count; i++)
    if (transfers[i].result < 0 && transfers[i].result != -EIO) fail("write", -transfers[i].result);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fputs("usage: forward calls|io_uring NETNS NETNS\n", stderr);
    return 2;
  }
  bool by_ring = strcmp(argv[1], "io_uring") == 0;
  int taps[2] = {open_tap(argv[2]), open_tap(argv[3])}, error;
  if (by_ring && (ring = uring_create(&error)) == NULL) fail("io_uring_setup", error);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1", errno);
  for (int i = 0; i < 2; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, taps[i], &event) != 0) fail("epoll_ctl", errno);
  }
  printf("%d\n", getpid());
  fflush(stdout);
  for (;;) {
    struct epoll_event events[2];
    int count = epoll_wait(epoll, events, 2, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait", errno);
    for (int i = 0; i < count; i++)
      (by_ring ? pass_by_ring : pass_by_calls)(taps[events[i].data.u32], taps[1 - events[i].data.u32]);
  }
}
