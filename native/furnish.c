/* A host out of new namespaces: its name, mounts and loopback, as a machine has them. See init.h. */
#include "init.h"
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot both be included before glibc 2.37. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

static void mount_proc(void) {
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) give_up("mount /proc");
}

/*
 * A fresh sysfs shows the interfaces of this network namespace. It hides the cgroup mounts, so these are lifted out as a
 * detached tree and put back on top; read-only where the machine's own is (as in a container).
 */
static void mount_sys(void) {
  struct statvfs machine;
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (statvfs("/sys", &machine) == 0 && machine.f_flag & ST_RDONLY) flags |= MS_RDONLY;
  int cgroups = (int)syscall(SYS_open_tree, AT_FDCWD, "/sys/fs/cgroup", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (mount("sysfs", "/sys", "sysfs", flags, NULL) != 0) give_up("mount /sys");
  if (cgroups < 0) return; /* a machine without cgroups */
  if (syscall(SYS_move_mount, cgroups, "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    give_up("mount /sys/fs/cgroup");
  close(cgroups);
}

/*
 * DIRECTORY/FILE over /etc/FILE. Where the machine has no such file there is nothing to bind to, and none is made on its
 * real file system: without /etc/hosts, names of other hosts do not resolve.
 */
static void bind_etc(const char *directory, const char *file) {
  char source[4096], target[64];
  snprintf(target, sizeof target, "/etc/%s", file);
  if (access(target, F_OK) != 0) return;
  if ((size_t)snprintf(source, sizeof source, "%s/%s", directory, file) >= sizeof source) {
    errno = ENAMETOOLONG;
    give_up(target);
  }
  if (mount(source, target, NULL, MS_BIND, NULL) != 0) give_up(source);
}

static void loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &request) != 0) give_up("set lo up");
  close(sock);
}

void furnish(const char *name, const char *hostname, const char *directory) {
  /* `ps` shows which host this is: `keeper NAME`, with the name in the place of the keeper's own argument. */
  prctl(PR_SET_NAME, "luthier-host");
  memset(title, 0, title_bytes);
  snprintf(title, title_bytes, "%s", name);
  setsid();
  umask(022);
  setrlimit(RLIMIT_NOFILE, &original_nofile);
  /* Here and not at the birth: the keeper, which has one thread, is held up less, and hosts are made side by side. */
  if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0) give_up("unshare");
  if (sethostname(hostname, strlen(hostname)) != 0) give_up("sethostname");
  /* Mounts made here stay here; those that the machine unmounts go here too. */
  if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) give_up("mount / as a slave");
  mount_proc();
  mount_sys();
  bind_etc(directory, "hosts");
  bind_etc(directory, "hostname");
  loopback_up();
}
