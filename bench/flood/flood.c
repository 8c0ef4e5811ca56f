/*
 * Sends datagrams of garbage at a steady rate for a while, with any source address: what an attacker on the underlay does.
 *
 *   flood SOURCE:PORT DESTINATION:PORT SECONDS PPS [HEADER]     needs CAP_NET_RAW; IPv4
 *   flood ADDRESS:PORT                                          a socket that nobody reads, until the program is ended
 *
 * With HEADER, that of a sealed datagram which was just seen (docs/wire-format.md, 40 hexadecimal digits), the garbage has
 * the same, but for its counter: one of the COUNTERS_AHEAD that follow, where the sender's next ones are. None of them
 * was used yet, so only opening a datagram tells that it is not the sender's. Else it is random from the first byte. Prints how
 * many datagrams were sent.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PAYLOAD 200
/* Of the payload, so much is other each time: enough for every header. */
#define CHANGING 40
#define LATENESS 5e-3
#define HEADER_BYTES 20
#define COUNTER_AT 12
/* What a sender does not reach within a flood of some seconds. A power of two. */
#define COUNTERS_AHEAD (UINT64_C(1) << 24)

struct datagram {
  struct iphdr ip;
  struct udphdr udp;
  uint8_t payload[PAYLOAD];
} __attribute__((packed));

static struct sockaddr_in address_of(const char *text) {
  char host[64];
  unsigned port;
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (sscanf(text, "%63[^:]:%u", host, &port) != 2 || port > 65535 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "flood: %s is not ADDRESS:PORT\n", text);
    exit(2);
  }
  address.sin_port = htons((uint16_t)port);
  return address;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* xorshift64: garbage needs no better. */
static uint64_t random_bits(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* Whether `text` is a header; then it is in `header`, and its counter in `counter`. */
static bool read_header(const char *text, uint8_t *header, uint64_t *counter) {
  if (strlen(text) != 2 * HEADER_BYTES) return false;
  for (int i = 0; i < HEADER_BYTES; i++)
    if (sscanf(text + 2 * i, "%2hhx", &header[i]) != 1) return false;
  memcpy(counter, header + COUNTER_AT, sizeof *counter);
  *counter = be64toh(*counter);
  return true;
}

static int never_read(struct sockaddr_in address) {
  int sock = socket(AF_INET, SOCK_DGRAM, 0);
  if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof address) != 0) {
    perror("flood: bind");
    return 1;
  }
  puts("bound");
  fflush(stdout);
  for (;;) pause();
}

int main(int argc, char **argv) {
  static struct datagram datagrams[BATCH];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  if (argc == 2) return never_read(address_of(argv[1]));
  if (argc < 5) {
    fprintf(stderr, "usage: flood SOURCE:PORT DESTINATION:PORT SECONDS PPS [HEADER], or flood ADDRESS:PORT\n");
    return 2;
  }
  struct sockaddr_in from = address_of(argv[1]), to = address_of(argv[2]);
  double until = now() + atof(argv[3]);
  double pps = atof(argv[4]);
  bool is_known = argc > 5;
  uint8_t header[HEADER_BYTES];
  uint64_t seen = 0;
  if (is_known && !read_header(argv[5], header, &seen)) {
    fprintf(stderr, "flood: %s is no header of %d bytes\n", argv[5], HEADER_BYTES);
    return 2;
  }
  int sock = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (sock < 0) {
    perror("flood: socket");
    return 1;
  }
  for (int i = 0; i < BATCH; i++) {
    struct datagram *datagram = &datagrams[i];
    datagram->ip = (struct iphdr){.version = 4,
                                  .ihl = 5,
                                  .ttl = 64,
                                  .protocol = IPPROTO_UDP,
                                  .tot_len = htons(sizeof *datagram),
                                  .saddr = from.sin_addr.s_addr,
                                  .daddr = to.sin_addr.s_addr};
    datagram->udp = (struct udphdr){
        .source = from.sin_port, .dest = to.sin_port, .len = htons(sizeof *datagram - sizeof datagram->ip)};
    parts[i] = (struct iovec){datagram, sizeof *datagram};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  long sent = 0;
  double next = now();
  for (double time = next; time < until; time = now()) {
    if (next > time) {
      usleep((unsigned)((next - time) * 1e6) + 1);
      continue;
    }
    /* Whoever did not run for a while has that much less time: what is missing is not made up for. */
    if (next < time - LATENESS) next = time;
    next += BATCH / pps;
    for (int i = 0; i < BATCH; i++) {
      for (int at = 0; at < CHANGING; at += 8) {
        uint64_t bits = random_bits();
        memcpy(datagrams[i].payload + at, &bits, 8);
      }
      if (!is_known) continue;
      uint64_t counter = htobe64(seen + 1 + random_bits() % COUNTERS_AHEAD);
      memcpy(datagrams[i].payload, header, COUNTER_AT);
      memcpy(datagrams[i].payload + COUNTER_AT, &counter, sizeof counter);
    }
    int n = sendmmsg(sock, messages, BATCH, 0);
    if (n > 0) sent += n;
  }
  printf("%ld\n", sent);
  return 0;
}
