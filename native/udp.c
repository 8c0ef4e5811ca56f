/*
 * UDP sockets of tunnels: opening one in a given network namespace, what it can do, and whom it is connected to. They
 * never fragment (IP_PMTUDISC_PROBE: DF is set and the kernel's path MTU is not believed): the tunnel cuts frames to what
 * fits. What arrives in a row is merged by the kernel where it can do that (UDP_GRO).
 */
#include "addon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/udp.h, which cannot be included beside netinet/udp.h */
#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif

/* --- udpOpen ----------------------------------------------------------------------------------------------------- */

static socklen_t address_bytes(const union address *address) {
  return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

/* `{ address, port }` */
static bool get_address(napi_env env, napi_value object, const char *name, int64_t min_port, union address *to) {
  napi_value value;
  bool present;
  char text[INET6_ADDRSTRLEN];
  int64_t port;
  if (!get_option(env, object, "address", &value, &present)) return false;
  if (!get_string(env, value, "address", text, sizeof text)) return false;
  if (!get_option(env, object, "port", &value, &present)) return false;
  if (!get_int(env, value, "port", min_port, 65535, &port)) return false;
  memset(to, 0, sizeof *to);
  if (inet_pton(AF_INET, text, &to->v4.sin_addr) == 1) {
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons((uint16_t)port);
    return true;
  }
  if (inet_pton(AF_INET6, text, &to->v6.sin6_addr) == 1) {
    to->v6.sin6_family = AF_INET6;
    to->v6.sin6_port = htons((uint16_t)port);
    return true;
  }
  return throw_range(env, name, "not an IPv4 or IPv6 address");
}

struct udp_options {
  char netns[4096], device[IFNAMSIZ];
  union address bind, connect, group;
  bool has_netns, has_connect, has_receive_buffer, has_send_buffer, has_device, has_group, has_hops, is_vxlan;
  int64_t receive_buffer_bytes, send_buffer_bytes, hops;
  int in_place_of; /* -1: of none */
};

/* An address without a port: `group`. */
static bool get_group(napi_env env, napi_value value, union address *to) {
  char text[INET6_ADDRSTRLEN];
  if (!get_string(env, value, "group", text, sizeof text)) return false;
  memset(to, 0, sizeof *to);
  if (inet_pton(AF_INET, text, &to->v4.sin_addr) == 1) to->v4.sin_family = AF_INET;
  else if (inet_pton(AF_INET6, text, &to->v6.sin6_addr) == 1) to->v6.sin6_family = AF_INET6;
  else return throw_range(env, "group", "not an IPv4 or IPv6 address");
  return true;
}

static bool read_options(napi_env env, napi_value object, struct udp_options *to) {
  napi_value value;
  bool present;
  if (!get_option(env, object, "netns", &value, &to->has_netns)) return false;
  if (to->has_netns && !get_string(env, value, "netns", to->netns, sizeof to->netns)) return false;
  if (!get_option(env, object, "bind", &value, &present) || !get_address(env, value, "bind", 0, &to->bind)) return false;
  if (!get_option(env, object, "connect", &value, &to->has_connect)) return false;
  if (to->has_connect && !get_address(env, value, "connect", 1, &to->connect)) return false;
  if (to->has_connect && to->connect.any.sa_family != to->bind.any.sa_family)
    return throw_range(env, "connect", "not of the family of bind");
  if (!get_option(env, object, "receiveBufferBytes", &value, &to->has_receive_buffer)) return false;
  if (to->has_receive_buffer &&
      !get_int(env, value, "receiveBufferBytes", 1, INT32_MAX / 2, &to->receive_buffer_bytes))
    return false;
  if (!get_option(env, object, "sendBufferBytes", &value, &to->has_send_buffer)) return false;
  if (to->has_send_buffer && !get_int(env, value, "sendBufferBytes", 1, INT32_MAX / 2, &to->send_buffer_bytes))
    return false;
  if (!get_option(env, object, "device", &value, &to->has_device)) return false;
  if (to->has_device && !get_string(env, value, "device", to->device, sizeof to->device)) return false;
  if (!get_option(env, object, "group", &value, &to->has_group)) return false;
  if (to->has_group && !get_group(env, value, &to->group)) return false;
  if (to->has_group && to->group.any.sa_family != to->bind.any.sa_family)
    return throw_range(env, "group", "not of the family of bind");
  if (!get_option(env, object, "hops", &value, &to->has_hops)) return false;
  if (to->has_hops && !get_int(env, value, "hops", 1, 255, &to->hops)) return false;
  if (!get_option(env, object, "isVxlan", &value, &present)) return false;
  if (present && !get_bool(env, value, "isVxlan", &to->is_vxlan)) return false;
  to->in_place_of = -1;
  if (!get_option(env, object, "inPlaceOf", &value, &present)) return false;
  return !present || get_fd(env, value, &to->in_place_of);
}

/* Beyond the limit of the machine where privileges allow it, else up to it. */
static bool set_buffer(int sock, int forced, int usual, int64_t bytes) {
  int value = (int)bytes;
  return setsockopt(sock, SOL_SOCKET, forced, &value, sizeof value) == 0 ||
         (errno == EPERM && setsockopt(sock, SOL_SOCKET, usual, &value, sizeof value) == 0);
}

/* 0: the kernel looks for one by the route to the group. */
static bool interface_index(int sock, const struct udp_options *options, int *index) {
  struct ifreq request = {0};
  *index = 0;
  if (!options->has_device) return true;
  memcpy(request.ifr_name, options->device, sizeof request.ifr_name);
  /* In the socket's namespace, which if_nametoindex would not ask. */
  if (ioctl(sock, SIOCGIFINDEX, &request) != 0) return false;
  *index = request.ifr_ifindex;
  return true;
}

/* Hears the group and not itself, and sends there by the same interface. Returns the failed step. */
static const char *join_group(int sock, const struct udp_options *options, int index) {
  int zero = 0;
  if (options->bind.any.sa_family == AF_INET) {
    struct ip_mreqn group = {.imr_multiaddr = options->group.v4.sin_addr, .imr_ifindex = index};
    if (setsockopt(sock, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return "setsockopt(IP_ADD_MEMBERSHIP)";
    if (setsockopt(sock, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group) != 0) return "setsockopt(IP_MULTICAST_IF)";
    return setsockopt(sock, IPPROTO_IP, IP_MULTICAST_LOOP, &zero, sizeof zero) == 0 ? NULL
                                                                                   : "setsockopt(IP_MULTICAST_LOOP)";
  }
  struct ipv6_mreq group = {.ipv6mr_multiaddr = options->group.v6.sin6_addr, .ipv6mr_interface = (unsigned)index};
  if (setsockopt(sock, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group, sizeof group) != 0)
    return "setsockopt(IPV6_ADD_MEMBERSHIP)";
  if (setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) != 0)
    return "setsockopt(IPV6_MULTICAST_IF)";
  return setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &zero, sizeof zero) == 0
             ? NULL
             : "setsockopt(IPV6_MULTICAST_LOOP)";
}

/* What only sockets of VXLAN ask for. Returns the failed step. */
static const char *configure_paths(int sock, const struct udp_options *options) {
  int index, one = 1, hops = (int)options->hops;
  bool v4 = options->bind.any.sa_family == AF_INET;
  if (options->has_device &&
      setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, options->device, (socklen_t)strlen(options->device)) != 0)
    return "setsockopt(SO_BINDTODEVICE)";
  if (options->has_hops) {
    bool is_set = v4 ? setsockopt(sock, IPPROTO_IP, IP_TTL, &hops, sizeof hops) == 0 &&
                           setsockopt(sock, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) == 0
                     : setsockopt(sock, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops) == 0 &&
                           setsockopt(sock, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) == 0;
    if (!is_set) return "setsockopt(IP_TTL)";
  }
  /* RFC 6935 §5: tunnels over IPv6 may leave the checksum out, where the receiver has said that it takes that. */
  if (options->is_vxlan && !v4 && setsockopt(sock, IPPROTO_UDP, UDP_NO_CHECK6_RX, &one, sizeof one) != 0)
    return "setsockopt(UDP_NO_CHECK6_RX)";
  if (!options->has_group) return NULL;
  if (!interface_index(sock, options, &index)) return "ioctl(SIOCGIFINDEX)";
  return join_group(sock, options, index);
}

/*
 * Two sockets have one port when both allow that while the second is bound (udp_lib_lport_inuse): of these, the second one
 * gets what comes (udp_lib_get_port puts it in front). Nobody else can do the same afterwards. Returns the failed step.
 */
static const char *bind_beside(int sock, const struct udp_options *options) {
  int zero = 0, one = 1, other = options->in_place_of;
  if (other != -1 && (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
                      setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0))
    return "setsockopt(SO_REUSEADDR)";
  int result = bind(sock, &options->bind.any, address_bytes(&options->bind));
  int error = errno;
  if (other != -1) {
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &zero, sizeof zero);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &zero, sizeof zero);
  }
  errno = error;
  return result == 0 ? NULL : "bind";
}

/* Returns the failed step. */
static const char *udp_configure(int sock, const struct udp_options *options) {
  int one = 1;
  if (options->bind.any.sa_family == AF_INET) {
    int probe = IP_PMTUDISC_PROBE;
    if (setsockopt(sock, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe) != 0) return "setsockopt(IP_MTU_DISCOVER)";
  } else {
    int probe = IPV6_PMTUDISC_PROBE;
    if (setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) return "setsockopt(IPV6_V6ONLY)";
    if (setsockopt(sock, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe) != 0)
      return "setsockopt(IPV6_MTU_DISCOVER)";
  }
  /* The ECN field of what arrives, for the tunnel to look at; one that cannot be seen is not looked at. */
  if (options->bind.any.sa_family == AF_INET) setsockopt(sock, IPPROTO_IP, IP_RECVTOS, &one, sizeof one);
  else setsockopt(sock, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, sizeof one);
  /* What finds the receive buffer full is counted beside what comes after it. */
  setsockopt(sock, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof one);
  /*
   * A kernel that does not know it (before 5.0) merges nothing, and nothing else is different. A socket of VXLAN must not
   * have it: what a kernel on the same machine encapsulates without cutting it (SKB_GSO_UDP_L4 inside SKB_GSO_UDP_TUNNEL)
   * would come whole, with the size of the inner datagrams for that of the outer ones; without, it is cut as it should be
   * (udp_unexpected_gso in include/linux/udp.h).
   */
  if (!options->is_vxlan) setsockopt(sock, IPPROTO_UDP, UDP_GRO, &one, sizeof one);
  if (options->has_receive_buffer && !set_buffer(sock, SO_RCVBUFFORCE, SO_RCVBUF, options->receive_buffer_bytes))
    return "setsockopt(SO_RCVBUF)";
  if (options->has_send_buffer && !set_buffer(sock, SO_SNDBUFFORCE, SO_SNDBUF, options->send_buffer_bytes))
    return "setsockopt(SO_SNDBUF)";
  const char *step = configure_paths(sock, options);
  if (step != NULL) return step;
  step = bind_beside(sock, options);
  if (step != NULL) return step;
  if (options->has_connect && connect(sock, &options->connect.any, address_bytes(&options->connect)) != 0)
    return "connect";
  return NULL;
}

napi_value native_udpOpen(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct udp_options options = {0};
  int home;
  arguments(env, info, 1, &argument);
  if (!read_options(env, argument, &options)) return NULL;
  if (!netns_enter(env, options.has_netns ? options.netns : NULL, &home)) return NULL;
  int sock = socket(options.bind.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = errno;
  netns_leave(home);
  if (sock < 0) return throw_errno(env, "socket", error);
  const char *step = udp_configure(sock, &options);
  if (step == NULL) return make_int(env, sock);
  error = errno;
  close(sock);
  return throw_errno(env, step, error);
}

/* Asks the routes of a namespace, with a socket that sends nothing. 0: there is no way to the address. */
napi_value native_udpRouteMtu(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct udp_options options = {0};
  int home, mtu = 0;
  socklen_t bytes = sizeof mtu;
  arguments(env, info, 1, &argument);
  if (!read_options(env, argument, &options)) return NULL;
  if (!options.has_connect) {
    throw_type(env, "connect", "it is missing");
    return NULL;
  }
  if (!netns_enter(env, options.has_netns ? options.netns : NULL, &home)) return NULL;
  int sock = socket(options.connect.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int error = errno;
  netns_leave(home);
  if (sock < 0) return throw_errno(env, "socket", error);
  bool v4 = options.connect.any.sa_family == AF_INET;
  bool has_device = !options.has_device || setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, options.device,
                                                      (socklen_t)strlen(options.device)) == 0;
  if (!has_device || connect(sock, &options.connect.any, address_bytes(&options.connect)) != 0 ||
      getsockopt(sock, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &bytes) != 0)
    mtu = 0;
  close(sock);
  return make_int(env, mtu);
}

napi_value native_udpAddress(napi_env env, napi_callback_info info) {
  napi_value argument, result, value;
  int fd;
  union address address;
  socklen_t bytes = sizeof address;
  char text[INET6_ADDRSTRLEN] = "";
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &fd)) return NULL;
  if (getsockname(fd, &address.any, &bytes) != 0) return throw_errno(env, "getsockname", errno);
  bool v4 = address.any.sa_family == AF_INET;
  if (!v4 && address.any.sa_family != AF_INET6) return throw_errno(env, "getsockname", EAFNOSUPPORT);
  const void *octets = v4 ? (const void *)&address.v4.sin_addr : (const void *)&address.v6.sin6_addr;
  inet_ntop(address.any.sa_family, octets, text, sizeof text);
  napi_create_object(env, &result);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "address", value);
  napi_set_named_property(env, result, "port", make_int(env, ntohs(v4 ? address.v4.sin_port : address.v6.sin6_port)));
  return result;
}

/* --- whom it is connected to ------------------------------------------------------------------------------------- */

void endpoint_put(uint8_t *endpoint, const union address *from) {
  bool v4 = from->any.sa_family == AF_INET;
  struct in6_addr mapped = IN6ADDR_ANY_INIT;
  if (v4) {
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    memcpy(mapped.s6_addr + 12, &from->v4.sin_addr, 4);
  }
  memcpy(endpoint, v4 ? &mapped : &from->v6.sin6_addr, 16);
  memcpy(endpoint + 16, v4 ? &from->v4.sin_port : &from->v6.sin6_port, 2);
}

socklen_t endpoint_get(const uint8_t *endpoint, union address *to) {
  struct in6_addr address;
  memcpy(&address, endpoint, sizeof address);
  memset(to, 0, sizeof *to);
  to->any.sa_family = IN6_IS_ADDR_V4MAPPED(&address) ? AF_INET : AF_INET6;
  if (to->any.sa_family == AF_INET) {
    memcpy(&to->v4.sin_addr, address.s6_addr + 12, 4);
    memcpy(&to->v4.sin_port, endpoint + 16, 2);
  } else {
    to->v6.sin6_addr = address;
    memcpy(&to->v6.sin6_port, endpoint + 16, 2);
  }
  return address_bytes(to);
}

/*
 * A socket that was bound to no address of its own forgets the one that it was given with its peer's, so the next is chosen
 * anew. It would forget a port that the kernel has chosen, too (__udp_disconnect in net/ipv4/udp.c): that one stays.
 */
static int disconnect(int fd) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  union address before, own;
  socklen_t bytes = sizeof before;
  if (getsockname(fd, &before.any, &bytes) != 0 || connect(fd, &none, sizeof none) != 0) return -errno;
  bytes = sizeof own;
  if (getsockname(fd, &own.any, &bytes) != 0) return -errno;
  /* The port stands at the same place in both families. */
  if (own.v4.sin_port == before.v4.sin_port) return 0;
  own.v4.sin_port = before.v4.sin_port;
  return bind(fd, &own.any, bytes) == 0 ? 0 : -errno;
}

napi_value native_udpDisconnect(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!numbers(env, info, 1, &fd)) return make_int(env, -EINVAL);
  return make_int(env, disconnect(fd));
}

napi_value native_udpConnect(napi_env env, napi_callback_info info) {
  int32_t n[2];
  struct io *io;
  union address address;
  if (!numbers(env, info, 2, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  int error = disconnect(n[1]);
  socklen_t bytes = endpoint_get(io->endpoint, &address);
  if (error == 0 && connect(n[1], &address.any, bytes) != 0) error = -errno;
  return make_int(env, error);
}

napi_value native_udpPeer(napi_env env, napi_callback_info info) {
  int32_t n[2];
  struct io *io;
  union address address;
  socklen_t bytes = sizeof address;
  if (!numbers(env, info, 2, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  if (getpeername(n[1], &address.any, &bytes) != 0) return make_int(env, errno == ENOTCONN ? 0 : -errno);
  if (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6) return make_int(env, -EAFNOSUPPORT);
  endpoint_put(io->endpoint, &address);
  return make_int(env, 1);
}

/* --- what it can do ---------------------------------------------------------------------------------------------- */

napi_value native_udpReceiveBufferBytes(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd, value;
  socklen_t bytes = sizeof value;
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &fd)) return NULL;
  return make_int(env, getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &bytes) == 0 ? value : 0);
}

/* Bits of UdpFeature in binding.ts. A kernel that does not know an option says so. */
#define FEATURE_SEGMENT 1
#define FEATURE_GRO 2
#define FEATURE_ECN 4

napi_value native_udpFeatures(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd, value;
  socklen_t bytes = sizeof value;
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &fd)) return NULL;
  int features = 0;
  if (getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &bytes) == 0) features |= FEATURE_SEGMENT;
  if (getsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, &bytes) == 0 && value != 0) features |= FEATURE_GRO;
  /* The one of the other family is refused, or was never set. */
  if ((getsockopt(fd, IPPROTO_IP, IP_RECVTOS, &value, &bytes) == 0 && value != 0) ||
      (getsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &value, &bytes) == 0 && value != 0))
    features |= FEATURE_ECN;
  return make_int(env, features);
}
