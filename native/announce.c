/*
 * Tells the neighbours on a link which addresses are here now: a gratuitous ARP request (RFC 5227, section 3) for each
 * IPv4 address of an interface, an unsolicited neighbour advertisement (RFC 4861, 7.2.6) for each of IPv6. Who has an
 * entry for the address renews it, and every switch on the way learns the MAC.
 *
 * A link-local address is made from the MAC, so nobody can have another MAC for it: it is announced only where there is
 * no other address, for the switches' sake.
 */
#include "nsrun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct link {
  const char *name;
  int index;
  unsigned char mac[ETH_ALEN];
};

/* The advertisement and the one option that it carries (RFC 4861, 4.4 and 4.6.1). */
struct advertisement {
  struct nd_neighbor_advert head;
  struct nd_opt_hdr option;
  unsigned char mac[ETH_ALEN];
};
_Static_assert(sizeof(struct advertisement) == 32, "RFC 4861, 4.4: 24 bytes, and 8 of the option");

/*
 * Until the kernel has noted that a device has its carrier again, which a thread of its own does (net/core/link_watch.c), it drops what is sent.
 * Who asks for the carrier makes it do so first.
 */
static void settle_carrier(int sock, struct ifreq *request) {
  struct ethtool_value carrier = {.cmd = ETHTOOL_GLINK};
  request->ifr_data = (void *)&carrier;
  ioctl(sock, SIOCETHTOOL, request);
}

/* False with errno, as all below. */
static bool find_link(const char *name, struct link *link) {
  struct ifreq request = {0};
  if (strlen(name) >= sizeof request.ifr_name) {
    errno = ENODEV;
    return false;
  }
  strcpy(request.ifr_name, name);
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool found = sock >= 0 && ioctl(sock, SIOCGIFINDEX, &request) == 0;
  if (found) {
    *link = (struct link){.name = name, .index = request.ifr_ifindex};
    found = ioctl(sock, SIOCGIFHWADDR, &request) == 0;
    memcpy(link->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    settle_carrier(sock, &request);
  }
  if (sock >= 0) close(sock);
  return found;
}

static bool send_once(int sock, const void *data, size_t bytes, const void *to, socklen_t to_bytes) {
  bool sent = sock >= 0 && sendto(sock, data, bytes, 0, to, to_bytes) == (ssize_t)bytes;
  int error = errno;
  if (sock >= 0) close(sock);
  errno = error;
  return sent;
}

static bool announce4(const struct link *link, const struct sockaddr_in *own) {
  struct sockaddr_ll everyone = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = link->index, .sll_halen = ETH_ALEN};
  memset(everyone.sll_addr, 0xff, ETH_ALEN);
  struct ether_arp request = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                         .ar_pro = htons(ETH_P_IP),
                                         .ar_hln = ETH_ALEN,
                                         .ar_pln = sizeof own->sin_addr,
                                         .ar_op = htons(ARPOP_REQUEST)}};
  memcpy(request.arp_sha, link->mac, ETH_ALEN);
  memcpy(request.arp_spa, &own->sin_addr, sizeof own->sin_addr);
  memcpy(request.arp_tpa, &own->sin_addr, sizeof own->sin_addr);
  /* Of protocol 0: it sends, and nothing is queued to it. */
  int sock = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return send_once(sock, &request, sizeof request, &everyone, sizeof everyone);
}

/* Whoever has it for its default router must not take it for a host from now on (RFC 4861, 7.2.5). */
static bool forwards(const char *name) {
  char path[PATH_MAX], value = '0';
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/forwarding", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool on = read(fd, &value, 1) == 1 && value != '0';
  close(fd);
  return on;
}

static bool announce6(const struct link *link, const struct sockaddr_in6 *own) {
  struct sockaddr_in6 everyone = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)link->index};
  inet_pton(AF_INET6, "ff02::1", &everyone.sin6_addr);
  struct sockaddr_in6 source = {
      .sin6_family = AF_INET6, .sin6_addr = own->sin6_addr, .sin6_scope_id = (uint32_t)link->index};
  struct advertisement advert = {
      .head = {.nd_na_hdr = {.icmp6_type = ND_NEIGHBOR_ADVERT}, .nd_na_target = own->sin6_addr},
      .option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1}};
  advert.head.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE | (forwards(link->name) ? ND_NA_FLAG_ROUTER : 0);
  memcpy(advert.mac, link->mac, ETH_ALEN);
  /* RFC 4861, 7.1.2: a hop limit of 255 shows that it comes from this link. */
  int hops = 255, off = 0;
  int sock = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
  if (sock >= 0 && (setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) != 0 ||
                    setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof off) != 0 ||
                    setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_IF, &link->index, sizeof link->index) != 0 ||
                    bind(sock, (const struct sockaddr *)&source, sizeof source) != 0)) {
    int error = errno;
    close(sock);
    errno = error;
    return false;
  }
  return send_once(sock, &advert, sizeof advert, &everyone, sizeof everyone);
}

static bool is_link_local(const struct sockaddr *address) {
  return address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static bool announce_address(const struct link *link, const struct sockaddr *address) {
  if (address->sa_family == AF_INET) return announce4(link, (const struct sockaddr_in *)(const void *)address);
  return announce6(link, (const struct sockaddr_in6 *)(const void *)address);
}

bool announce(const char *name) {
  struct link link;
  struct ifaddrs *all;
  if (!find_link(name, &link) || getifaddrs(&all) != 0) return false;
  const struct sockaddr *link_local = NULL;
  bool done = true, any = false;
  for (const struct ifaddrs *one = all; one != NULL && done; one = one->ifa_next) {
    const struct sockaddr *address = one->ifa_addr;
    if (address == NULL || strcmp(one->ifa_name, name) != 0) continue;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6) continue;
    if (is_link_local(address)) {
      link_local = address;
      continue;
    }
    any = true;
    done = announce_address(&link, address);
  }
  if (!any && link_local != NULL) done = announce_address(&link, link_local);
  int error = errno;
  freeifaddrs(all);
  errno = error;
  return done;
}
