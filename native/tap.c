/*
 * TAP devices: opening one in a given network namespace.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Kernel headers before 6.2 have no names for UDP segmentation. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define TUN_F_ALL (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6)

_Static_assert(sizeof(struct virtio_net_hdr_mrg_rxbuf) == VNET_HDR_BYTES, "virtio_net_hdr");

/* --- tapOpen ----------------------------------------------------------------------------------------------------- */

struct tap_options {
  char netns[4096];
  char name[IFNAMSIZ];
  uint8_t mac[6];
  bool has_netns, has_offload, has_persist, has_owner, has_mac, has_mtu;
  bool vnet_hdr, persist;
  int64_t offload, owner, mtu_bytes;
};

static bool parse_mac(const char *text, uint8_t *mac) {
  int end = 0;
  return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5],
                &end) == 6 &&
         end == 17 && text[17] == '\0';
}

static bool read_options(napi_env env, napi_value object, struct tap_options *to) {
  napi_value value;
  bool present;
  if (!get_option(env, object, "netns", &value, &to->has_netns)) return false;
  if (to->has_netns && !get_string(env, value, "netns", to->netns, sizeof to->netns)) return false;
  if (!get_option(env, object, "name", &value, &present)) return false;
  if (!get_string(env, value, "name", to->name, sizeof to->name)) return false;
  /* The kernel would take "tap%d" for a pattern, and an empty name for "choose one". */
  if (to->name[0] == '\0' || strpbrk(to->name, "%/: \t\n") != NULL) return throw_range(env, "name", "not an interface name");
  if (!get_option(env, object, "vnetHdr", &value, &present)) return false;
  if (present && !get_bool(env, value, "vnetHdr", &to->vnet_hdr)) return false;
  if (!get_option(env, object, "offload", &value, &to->has_offload)) return false;
  if (to->has_offload && !get_int(env, value, "offload", 0, TUN_F_ALL, &to->offload)) return false;
  if (to->offload != 0 && !to->vnet_hdr) return throw_range(env, "offload", "needs vnetHdr");
  if (!get_option(env, object, "persist", &value, &to->has_persist)) return false;
  if (to->has_persist && !get_bool(env, value, "persist", &to->persist)) return false;
  if (!get_option(env, object, "owner", &value, &to->has_owner)) return false;
  if (to->has_owner && !get_int(env, value, "owner", 0, UINT32_MAX - 1, &to->owner)) return false;
  if (!get_option(env, object, "mac", &value, &to->has_mac)) return false;
  char mac[18];
  if (to->has_mac && !get_string(env, value, "mac", mac, sizeof mac)) return false;
  if (to->has_mac && !parse_mac(mac, to->mac)) return throw_range(env, "mac", "not six bytes in hexadecimal");
  if (!get_option(env, object, "mtuBytes", &value, &to->has_mtu)) return false;
  return !to->has_mtu || get_int(env, value, "mtuBytes", 68, 65535, &to->mtu_bytes);
}

/* Everything about the device but its lifetime, so that what fails here leaves none behind. Returns the failed step. */
static const char *tap_configure(int tap, int sock, const struct tap_options *options) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  if (options->vnet_hdr) request.ifr_flags |= IFF_VNET_HDR;
  memcpy(request.ifr_name, options->name, IFNAMSIZ);
  if (ioctl(tap, TUNSETIFF, &request) != 0) return "TUNSETIFF";
  int header_bytes = VNET_HDR_BYTES;
  if (options->vnet_hdr && ioctl(tap, TUNSETVNETHDRSZ, &header_bytes) != 0) return "TUNSETVNETHDRSZ";
  /* Always: a persistent TAP keeps what its last user set. */
  if (options->vnet_hdr && ioctl(tap, TUNSETOFFLOAD, (unsigned long)options->offload) != 0) return "TUNSETOFFLOAD";
  if (options->has_owner && ioctl(tap, TUNSETOWNER, (unsigned long)options->owner) != 0) return "TUNSETOWNER";
  if (options->has_mac) {
    memset(&request.ifr_ifru, 0, sizeof request.ifr_ifru);
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, options->mac, 6);
    if (ioctl(sock, SIOCSIFHWADDR, &request) != 0) return "SIOCSIFHWADDR";
  }
  if (options->has_mtu) {
    request.ifr_mtu = (int)options->mtu_bytes;
    if (ioctl(sock, SIOCSIFMTU, &request) != 0) return "SIOCSIFMTU";
  }
  if (options->has_persist && ioctl(tap, TUNSETPERSIST, (unsigned long)options->persist) != 0) return "TUNSETPERSIST";
  return NULL;
}

napi_value native_tapOpen(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct tap_options options = {0};
  int home;
  arguments(env, info, 1, &argument);
  if (!read_options(env, argument, &options)) return NULL;
  if (!netns_enter(env, options.has_netns ? options.netns : NULL, &home)) return NULL;
  /* Both belong to the namespace in which they are opened; the ioctls may come from anywhere. */
  const char *step = "open /dev/net/tun";
  int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  int error = errno, sock = -1;
  if (tap >= 0) {
    step = "socket";
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    error = errno;
  }
  netns_leave(home);
  if (sock >= 0) {
    step = tap_configure(tap, sock, &options);
    error = errno;
    close(sock);
    if (step == NULL) return make_int(env, tap);
  }
  if (tap >= 0) close(tap);
  return throw_errno(env, step, error);
}

napi_value native_tapSetCarrier(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  int fd;
  bool on;
  arguments(env, info, 2, argument);
  if (!get_fd(env, argument[0], &fd) || !get_bool(env, argument[1], "on", &on)) return NULL;
  int carrier = on;
  if (ioctl(fd, TUNSETCARRIER, &carrier) != 0) return throw_errno(env, "TUNSETCARRIER", errno);
  return make_undefined(env);
}
