/*
 * Small datagrams, as many as the way between two hosts carries: source and counting sink of `luthier bench peers`.
 *
 *   datagrams sink PORT ID                         prints "ready", then what came: COUNT SPAN_SECONDS
 *   datagrams source ADDRESS PORT ID SECONDS PPS   prints what was sent:           COUNT SECONDS
 *
 * Each datagram has 18 bytes: with the headers of UDP, IPv4 and Ethernet, and the FCS, that is 64, the smallest frame. They
 * are sent 64 a call (sendmmsg(2)), never segmented: every one is a packet of its own on the whole of its way.
 *
 * PPS 0 sends as fast as the sender's processor can. Otherwise what is due is sent at once after a sleep of at least
 * SLEEP_SECONDS, so that bursts are short and the source leaves the processor to others; what it could not send because it
 * did not run is made up for FORGIVE_SECONDS back, no further: a late source is no burst that the way has to stand.
 *
 * ID tells the datagrams of one run from stragglers of the one before. The sink counts until its standard input has ended
 * and nothing has come for QUIET_MS. SPAN_SECONDS lie between the first datagram and the last.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define BATCH 64
#define SLEEP_SECONDS 50e-6
#define FORGIVE_SECONDS 1e-3
#define QUIET_MS 100
/* What a sink that is not scheduled for a while must hold: an skb of a small datagram counts as 768 bytes. */
#define RECEIVE_BUFFER_BYTES (8 << 20)

/*
 *   offset  bytes  field
 *        0      4  id
 *        4     14  zero
 */
struct payload {
  uint32_t id;
  uint8_t zero[14];
};
_Static_assert(sizeof(struct payload) == 20, "padded: PAYLOAD_BYTES of it are sent");
#define PAYLOAD_BYTES 18

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int fail(const char *what) {
  fprintf(stderr, "datagrams: %s: %s\n", what, strerror(errno));
  return 1;
}

static bool has_ended(int fd) {
  struct pollfd input = {.fd = fd};
  return poll(&input, 1, 0) == 1 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static int sink(uint16_t port, uint32_t id) {
  static struct payload payloads[BATCH];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval quiet = {.tv_usec = QUIET_MS * 1000};
  int bytes = RECEIVE_BUFFER_BYTES;
  int sock = socket(AF_INET, SOCK_DGRAM, 0);
  if (sock < 0) return fail("socket");
  /* Without privileges at most net.core.rmem_max. */
  if (setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet) != 0) return fail("SO_RCVTIMEO");
  if (bind(sock, (struct sockaddr *)&address, sizeof address) != 0) return fail("bind");
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){&payloads[i], sizeof payloads[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  puts("ready");
  fflush(stdout);

  unsigned long count = 0;
  double first = 0, last = 0;
  for (;;) {
    int got = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return fail("recvmmsg");
    if (got < 0 && errno == EAGAIN && has_ended(0)) break;
    unsigned long before = count;
    for (int i = 0; i < got; i++) count += messages[i].msg_len == PAYLOAD_BYTES && payloads[i].id == id;
    if (count == before) continue;
    last = now();
    if (before == 0) first = last;
  }
  printf("%lu %.9f\n", count, last - first);
  return 0;
}

/* Waits until `next` at least, and never a shorter time than is worth a sleep. */
static void await_turn(double next, double time) {
  double until = next > time + SLEEP_SECONDS ? next : time + SLEEP_SECONDS;
  struct timespec wake = {.tv_sec = (time_t)until};
  wake.tv_nsec = (long)((until - (double)wake.tv_sec) * 1e9);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
}

/* A full queue or a sink that is gone is the loss that is to be measured. */
static bool is_loss(int error) {
  return error == ENOBUFS || error == EAGAIN || error == EINTR || error == ECONNREFUSED;
}

static int source(struct sockaddr_in to, uint32_t id, double seconds, double pps) {
  static struct mmsghdr messages[BATCH];
  struct payload payload = {.id = id};
  struct iovec part = {&payload, PAYLOAD_BYTES};
  int sock = socket(AF_INET, SOCK_DGRAM, 0);
  if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to) != 0) return fail("connect");
  for (int i = 0; i < BATCH; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
  /* Sleeps are lengthened by up to 50 µs otherwise (prctl(2)). */
  prctl(PR_SET_TIMERSLACK, 1);

  unsigned long count = 0;
  double begin = now(), time = begin, next = begin;
  while (time < begin + seconds) {
    unsigned want = BATCH;
    if (pps > 0) {
      if (next > time) {
        await_turn(next, time);
        time = now();
        continue;
      }
      if (next < time - FORGIVE_SECONDS) next = time - FORGIVE_SECONDS;
      double due = (time - next) * pps + 1;
      if (due < BATCH) want = (unsigned)due;
    }
    int sent = sendmmsg(sock, messages, want, 0);
    if (sent < 0 && !is_loss(errno)) return fail("sendmmsg");
    if (sent > 0) count += (unsigned)sent;
    if (pps > 0 && sent > 0) next += sent / pps;
    time = now();
  }
  printf("%lu %.9f\n", count, time - begin);
  return 0;
}

/* The whole of `text` as a number from 0 to `most`; false where it is none. */
static bool parse(const char *text, double most, double *number) {
  char *end;
  *number = strtod(text, &end);
  return end != text && *end == '\0' && *number >= 0 && *number <= most;
}

int main(int argc, char **argv) {
  double port, id, seconds, pps;
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (argc == 4 && strcmp(argv[1], "sink") == 0 && parse(argv[2], 65535, &port) && parse(argv[3], UINT32_MAX, &id))
    return sink((uint16_t)port, (uint32_t)id);
  if (argc == 7 && strcmp(argv[1], "source") == 0 && inet_pton(AF_INET, argv[2], &to.sin_addr) == 1 &&
      parse(argv[3], 65535, &port) && parse(argv[4], UINT32_MAX, &id) && parse(argv[5], 3600, &seconds) &&
      parse(argv[6], 1e9, &pps)) {
    to.sin_port = htons((uint16_t)port);
    return source(to, (uint32_t)id, seconds, pps);
  }
  fputs("usage: datagrams sink PORT ID\n       datagrams source ADDRESS PORT ID SECONDS PPS\n", stderr);
  return 2;
}
