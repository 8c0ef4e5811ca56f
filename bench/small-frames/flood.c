/*
 *   flood NETNS[=DEVICE] NETNS[=DEVICE] SCHEDSTAT SECONDS
 *
 * Sends 64-byte frames out of a device (`eth0` if none is named) in the first network namespace (a path) as fast as it takes them, and counts what
 * arrives at one in the second. SCHEDSTAT is the file of the thread that forwards: what it spent on them, whoever else
 * had processors meanwhile. Prints, of all but the first tenth of the time: frames, nanoseconds, nanoseconds of the
 * thread.
 *
 * The frames have an EtherType that no host listens to, so the receiving one drops them with little effort (IEEE 802 local
 * experimental EtherType 1). One goes the other way first, for the switch to know where they go.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME_BYTES 64
#define ETHERTYPE 0x88b5

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Returns the device. */
static const char *enter(char *netns) {
  char *device = strchr(netns, '=');
  if (device != NULL) *device++ = '\0';
  int fd = open(netns, O_RDONLY);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(netns);
  close(fd);
  return device == NULL ? "eth0" : device;
}

static int packet_socket(const char *device) {
  int sock = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device), .sll_protocol = 0};
  if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof address) != 0) fail("packet socket");
  if (setsockopt(sock, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) fail("PACKET_QDISC_BYPASS");
  return sock;
}

static void write_frame(unsigned char *frame, unsigned char to, unsigned char from) {
  unsigned char header[14] = {2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, ETHERTYPE >> 8, ETHERTYPE & 0xff};
  memset(frame, 0, FRAME_BYTES);
  memcpy(frame, header, sizeof header);
}

static double monotonic_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

struct sample {
  double frames, ns, thread_ns;
};

static double number_in(int fd, const char *behind) {
  char text[4096];
  ssize_t bytes = pread(fd, text, sizeof text - 1, 0);
  if (bytes < 0) fail("pread");
  text[bytes] = '\0';
  const char *at = strstr(text, behind);
  double bytes_received, number;
  if (at == NULL) fail(behind);
  at += strlen(behind);
  /* /proc/net/dev: bytes, then packets. */
  if (*behind != '\0' ? sscanf(at, "%lf %lf", &bytes_received, &number) != 2 : sscanf(at, "%lf", &number) != 1) fail(text);
  return number;
}

static struct sample look(int counters, const char *row, int schedstat) {
  return (struct sample){number_in(counters, row), monotonic_ns(), number_in(schedstat, "")};
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fputs("usage: flood NETNS[=DEVICE] NETNS[=DEVICE] SCHEDSTAT SECONDS\n", stderr);
    return 2;
  }
  unsigned char frame[FRAME_BYTES];
  const char *to = enter(argv[2]);
  char row[IF_NAMESIZE + 1];
  snprintf(row, sizeof row, "%s:", to);
  int counters = open("/proc/thread-self/net/dev", O_RDONLY); /* of this namespace, wherever it is read */
  int schedstat = open(argv[3], O_RDONLY);
  if (counters < 0 || schedstat < 0) fail(argv[3]);
  write_frame(frame, 1, 2);
  if (send(packet_socket(to), frame, sizeof frame, 0) < 0) fail("send");
  int sock = packet_socket(enter(argv[1]));
  write_frame(frame, 2, 1);
  struct iovec part = {frame, sizeof frame};
  struct mmsghdr messages[BATCH] = {0};
  for (int i = 0; i < BATCH; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  double start = monotonic_ns(), ns = 1e9 * atof(argv[4]);
  struct sample first = {0};
  /* Frames that do not fit the TAP's queue are refused with ENOBUFS. */
  for (double now = start; now < start + ns; now = monotonic_ns()) {
    if (first.ns == 0 && now > start + ns / 10) first = look(counters, row, schedstat);
    for (int i = 0; i < 8; i++) sendmmsg(sock, messages, BATCH, 0);
  }
  struct sample last = look(counters, row, schedstat);
  printf("%.0f %.0f %.0f\n", last.frames - first.frames, last.ns - first.ns, last.thread_ns - first.thread_ns);
  return 0;
}
