/*
 *   forward PID NAME PID NAME
 *
 * The job of a switch with two hosts, done by the shortest loop in C: opens a TAP in the network namespace of each
 * process and passes every frame of one to the other, its virtio_net_hdr as it is, until it is ended. Prints a line when
 * it forwards. It learns no address, counts nothing and has no queue: what a switch can cost at best. It is scheduled as
 * an engine is (docs/adr/0017-engines-run-when-woken.md).
 */
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
#include <sys/prctl.h>
#include <unistd.h>

/* Kernel headers before 6.2 have no names for UDP segmentation. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
/* The offloads of a switch's TAPs (native/tap.c). */
#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6)

/* A super-frame with its header: 64 KiB of IP, Ethernet and a VLAN tag. */
#define FRAME_BYTES (sizeof(struct virtio_net_hdr_mrg_rxbuf) + 18 + 65536)
/* As many as a switch takes from a port before it looks at the other. */
#define BATCH_FRAMES 64

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "forward: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void enter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(path);
  close(fd);
}

static int open_tap(const char *pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
  enter(path);
  int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tap < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  int header_bytes = sizeof(struct virtio_net_hdr_mrg_rxbuf);
  if (ioctl(tap, TUNSETIFF, &request) != 0) fail("TUNSETIFF");
  if (ioctl(tap, TUNSETVNETHDRSZ, &header_bytes) != 0) fail("TUNSETVNETHDRSZ");
  if (ioctl(tap, TUNSETOFFLOAD, (unsigned long)OFFLOADS) != 0) fail("TUNSETOFFLOAD");
  return tap;
}

/* A frame that the other TAP refuses (its interface is down) is lost. */
static void pass(int from, int to) {
  static unsigned char frame[FRAME_BYTES];
  for (int i = 0; i < BATCH_FRAMES; i++) {
    ssize_t bytes = read(from, frame, sizeof frame);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes < 0) fail("read");
    if (write(to, frame, (size_t)bytes) < 0 && errno != EIO) fail("write");
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fputs("usage: forward PID NAME PID NAME\n", stderr);
    return 2;
  }
  int taps[2] = {open_tap(argv[1], argv[2]), open_tap(argv[3], argv[4])};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  for (int i = 0; i < 2; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, taps[i], &event) != 0) fail("epoll_ctl");
  }
  prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  if (sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) != 0) fail("sched_setscheduler");
  puts("forwarding");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[2];
    int count = epoll_wait(epoll, events, 2, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) pass(taps[events[i].data.u32], taps[1 - events[i].data.u32]);
  }
}
