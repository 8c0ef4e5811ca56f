/*
 * TAP devices: opening one in a given network namespace, and frames in batches. One read or write is one frame
 * (drivers/net/tun.c), with a virtio_net_hdr before it where the TAP has IFF_VNET_HDR.
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

/*
 * virtio_net_hdr_mrg_rxbuf, as JavaScript reads it:
 *
 *   offset  bytes  type  field
 *        0      1  u8    flags
 *        1      1  u8    gso_type
 *        2      2  u16   hdr_len
 *        4      2  u16   gso_size
 *        6      2  u16   csum_start
 *        8      2  u16   csum_offset
 *       10      2  u16   num_buffers
 */
_Static_assert(sizeof(struct virtio_net_hdr_mrg_rxbuf) == VNET_HDR_BYTES, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, hdr.gso_size) == 4, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, hdr.csum_start) == 6, "virtio_net_hdr");
_Static_assert(offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers) == 10, "virtio_net_hdr");
/* The header is in the machine's byte order; the arena's users read it as little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

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

/* --- data path --------------------------------------------------------------------------------------------------- */

static int tap_read(struct io *io, int fd, int32_t slots, int32_t min_slots, int32_t max_frames, bool vnet_hdr) {
  if (slots < 0 || slots > io->iov_count || min_slots < 1 || min_slots > io->iov_count) return -EINVAL;
  if (max_frames < 0 || max_frames > io->lengths_count || (vnet_hdr && max_frames > io->vnet_count)) return -EINVAL;
  int header = vnet_hdr ? 1 : 0;
  int32_t used = 0;
  int frames = 0;
  while (frames < max_frames && slots - used >= min_slots) {
    if (vnet_hdr) io->parts[0] = (struct iovec){io->vnet + frames * VNET_HDR_BYTES, VNET_HDR_BYTES};
    if (!io_slots(io, used, min_slots, io->parts + header)) return frames > 0 ? frames : -EINVAL;
    ssize_t got;
    do got = readv(fd, io->parts, min_slots + header);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
      if (errno == EAGAIN || frames > 0) break;
      return -errno;
    }
    if (vnet_hdr) got -= VNET_HDR_BYTES;
    if (got < 0) return frames > 0 ? frames : -EIO; /* not a TAP with vnet headers */
    io->lengths[frames++] = (int32_t)got;
    used += slots_for(got);
  }
  return frames;
}

static int tap_write(struct io *io, int fd, int32_t first, int32_t entry, int32_t frames, bool vnet_hdr) {
  if (first < 0 || frames < 0 || (int64_t)first + frames > io->lengths_count) return -EINVAL;
  if (vnet_hdr && (int64_t)first + frames > io->vnet_count) return -EINVAL;
  int header = vnet_hdr ? 1 : 0;
  for (int i = 0; i < frames; i++) {
    int32_t count = io->lengths[first + i];
    if (vnet_hdr) io->parts[0] = (struct iovec){io->vnet + (size_t)(first + i) * VNET_HDR_BYTES, VNET_HDR_BYTES};
    if (!io_pairs(io, entry, count, io->parts + header)) return i > 0 ? i : -EINVAL;
    ssize_t sent;
    do sent = writev(fd, io->parts, count + header);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return i > 0 || errno == EAGAIN ? i : -errno;
    entry += count;
  }
  return frames;
}

napi_value native_tapRead(napi_env env, napi_callback_info info) {
  int32_t n[6];
  struct io *io;
  if (!numbers(env, info, 6, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, tap_read(io, n[1], n[2], n[3], n[4], n[5] != 0));
}

napi_value native_tapWrite(napi_env env, napi_callback_info info) {
  int32_t n[6];
  struct io *io;
  if (!numbers(env, info, 6, n) || (io = io_of(env, n[0])) == NULL) return make_int(env, -EINVAL);
  return make_int(env, tap_write(io, n[1], n[2], n[3], n[4], n[5] != 0));
}
