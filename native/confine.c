/*
 *   nsrun confine --uid N --gid N --app DIR --exe PATH [--keep FD]... [--await FD] -- ARGUMENT...
 *
 * Becomes the program PATH with no rights at all: a user of its own, no capabilities and no way to regain one, no
 * network (but the descriptors it is given), nothing that it can write to, and no descriptors but the standard streams and
 * those to keep. It stays this process, with this number.
 *
 * Its file system is one made for it, read-only. It sees DIR as /tmp/app and itself as /tmp/node, whatever the modes of
 * the folders above them; its ARGUMENTs are in these terms: /tmp/app/main.js. Of the machine it sees what programs are
 * made of (the list below), the shared libraries that PATH may have beside its folder (as /tmp/lib, which
 * LD_LIBRARY_PATH then names), and of /proc its own process. All else is absent: no /home, no socket in /run, no /sys.
 *
 * With --await it first waits for a byte on FD, and ends where none comes: whoever started it was killed before it could
 * write down that this process exists, and nobody else would ever find it.
 *
 * Needs CAP_SYS_ADMIN. In a user namespace that has a single user, --uid and --gid may be the ones it has: then the user
 * stays, everything else is taken away as well, and so are the system calls that reach other processes (filter.c).
 */
#include "nsrun.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot both be included before glibc 2.37. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
#define MNT_DETACH 2

#define APP "/tmp/app"
#define EXE "/tmp/node"
#define LIBRARIES "/tmp/lib"
#define MAX_KEPT 64

struct confinement {
  uid_t uid;
  gid_t gid;
  const char *app, *exe;
  int kept[MAX_KEPT];
  size_t kept_count;
  int awaited; /* -1: nothing is */
  char **program; /* argv; argv[0] is EXE */
};

static char **parse(char **arguments, struct confinement *to) {
  bool uid = false, gid = false;
  for (; *arguments != NULL && strcmp(*arguments, "--") != 0; arguments += 2) {
    const char *option = arguments[0], *value = arguments[1];
    if (value == NULL) die("confine: %s needs a value", option);
    if (strcmp(option, "--uid") == 0) {
      to->uid = (uid_t)parse_number(value, option, 0, UINT32_MAX - 1);
      uid = true;
    } else if (strcmp(option, "--gid") == 0) {
      to->gid = (gid_t)parse_number(value, option, 0, UINT32_MAX - 1);
      gid = true;
    } else if (strcmp(option, "--app") == 0) to->app = value;
    else if (strcmp(option, "--exe") == 0) to->exe = value;
    else if (strcmp(option, "--keep") == 0) {
      if (to->kept_count == MAX_KEPT) die("confine: more than %d descriptors to keep", MAX_KEPT);
      to->kept[to->kept_count++] = (int)parse_number(value, option, 3, INT_MAX);
    } else if (strcmp(option, "--await") == 0) to->awaited = (int)parse_number(value, option, 3, INT_MAX);
    else die("confine: no option %s", option);
  }
  if (!uid || !gid || to->app == NULL || to->exe == NULL || *arguments == NULL)
    die("confine: --uid, --gid, --app, --exe and -- are needed");
  return arguments; /* the `--`, whose place argv[0] takes */
}

static void await_byte(int fd) {
  char byte;
  ssize_t got;
  do got = read(fd, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got < 0) die_errno("--await");
  if (got == 0) die("--await: it ended before a byte came");
}

/* --- what it sees ------------------------------------------------------------------------------------------------ */

/* What the machine has of these, at the same places. */
static const char *const shown[] = {
    "/usr",      "/bin",      "/sbin",       "/lib", "/lib64", "/nix/store", /* programs and libraries */
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    "/etc/ld.so.cache",     /* where libraries are */
    "/etc/ssl/openssl.cnf", /* the machine's policy for ciphers */
};

/*
 * A detached copy of the mounts from `path` on, links followed: it can be put anywhere, whatever will be hidden or
 * unreachable by then. Submounts come along: in a user namespace they must not be uncovered (mount_namespaces(7)).
 */
static int detach(const char *path) {
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) die_errno(path);
  return tree;
}

/*
 * Some builds of node come as bin/node with lib/lib….so, found by $ORIGIN/../lib. Elsewhere (nvm, the official archives)
 * lib has modules alone, which are of no concern here. -1 where there are none, or they will be seen in any case.
 */
static int detach_libraries(const char *exe) {
  char path[PATH_MAX], pattern[PATH_MAX + sizeof "/lib*.so*"];
  glob_t found;
  if (realpath(exe, path) == NULL) die_errno(exe);
  if (strncmp(path, "/usr/", strlen("/usr/")) == 0) return -1;
  char *bin = strrchr(path, '/');
  *bin = '\0';
  char *parent = strrchr(path, '/');
  if (parent == NULL || (size_t)(parent - path) + sizeof "/lib" > sizeof path) return -1;
  strcpy(parent, "/lib");
  snprintf(pattern, sizeof pattern, "%s/lib*.so*", path);
  if (glob(pattern, 0, NULL, &found) != 0) return -1;
  globfree(&found);
  return detach(path);
}

/* Puts a tree where the view will have `path`. The new root is the working directory as yet. */
static void attach(int tree, const char *path) {
  char place[PATH_MAX];
  struct stat root;
  snprintf(place, sizeof place, "%s", path + 1);
  for (char *slash = place; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
    *slash = '\0';
    if (mkdir(place, 0755) != 0 && errno != EEXIST) die_errno(path);
  }
  if (fstat(tree, &root) != 0) die_errno(path);
  int made = S_ISDIR(root.st_mode) ? mkdir(place, 0755) : mknod(place, S_IFREG | 0644, 0);
  if (made != 0) die_errno(path);
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) != 0) die_errno(path);
  close(tree);
}

/*
 * Of /proc the folder of this process, whose number stays through the exec. A /proc of its own would show every process
 * of the machine (hidepid is no help against one of the same user, as in a user namespace), and a pid namespace would
 * need a second process to start in it.
 */
static void show_process(void) {
  char pid[16], path[32];
  ssize_t bytes = readlink("/proc/self", pid, sizeof pid - 1);
  if (bytes < 0) die_errno("/proc/self");
  pid[bytes] = '\0';
  snprintf(path, sizeof path, "/proc/%s", pid);
  attach(detach(path), path);
  if (symlink(pid, "proc/self") != 0) die_errno("/proc/self");
}

static void make_view(const struct confinement *what) {
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) die_errno("unshare");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) die_errno("mount / as private");
  umask(0); /* what is made for the view is to be seen by its user */
  /* These may lie in /tmp, which is hidden next. */
  int app = detach(what->app), exe = detach(what->exe), libraries = detach_libraries(what->exe);
  if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0755") != 0) die_errno("mount /tmp");
  if (chdir("/tmp") != 0) die_errno("/tmp");
  attach(app, APP);
  attach(exe, EXE);
  if (libraries >= 0) {
    attach(libraries, LIBRARIES);
    if (setenv("LD_LIBRARY_PATH", LIBRARIES, 1) != 0) die_errno("setenv");
  }
  for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
    if (access(shown[i], F_OK) == 0) attach(detach(shown[i]), shown[i]);
  }
  show_process();
  /* The old root goes on top of the new one, and then away: pivot_root(2). */
  if (syscall(SYS_pivot_root, ".", ".") != 0) die_errno("pivot_root");
  if (umount2(".", MNT_DETACH) != 0) die_errno("unmount the old root");
  if (chdir("/") != 0) die_errno("/");
  /* Every mount of the namespace at once. Devices and sockets are used, not written, and still work: mount_setattr(2). */
  struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
  if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof read_only) != 0)
    die_errno("mount_setattr /");
}

/* --- what it holds ----------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b) {
  int left = *(const int *)a, right = *(const int *)b;
  return (left > right) - (left < right);
}

static void close_others(struct confinement *what) {
  qsort(what->kept, what->kept_count, sizeof what->kept[0], by_number);
  unsigned next = 3;
  for (size_t i = 0; i < what->kept_count; i++) {
    unsigned fd = (unsigned)what->kept[i];
    if (fcntl((int)fd, F_SETFD, 0) != 0) die("--keep %u: %s", fd, strerror(errno));
    if (fd > next && syscall(SYS_close_range, next, fd - 1, 0) != 0) die_errno("close_range");
    next = fd + 1;
  }
  if (syscall(SYS_close_range, next, ~0U, 0) != 0) die_errno("close_range");
}

/* --- what it may do ---------------------------------------------------------------------------------------------- */

static void drop_rights(const struct confinement *what) {
  /* The bounding set while we may: it is what root would get back at exec. EINVAL: past the last capability. */
  for (unsigned long capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) continue;
  if (errno != EINVAL) die_errno("prctl(PR_CAPBSET_DROP)");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) die_errno("prctl(PR_CAP_AMBIENT)");
  bool own_user = what->uid != geteuid() || what->gid != getegid();
  if (own_user) {
    if (setgroups(0, NULL) != 0) die_errno("setgroups");
    if (setresgid(what->gid, what->gid, what->gid) != 0) die_errno("setresgid");
    if (setresuid(what->uid, what->uid, what->uid) != 0) die_errno("setresuid");
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
  if (syscall(SYS_capset, &header, none) != 0) die_errno("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die_errno("prctl(PR_SET_NO_NEW_PRIVS)");
  /* A user that is not its own alone is no border. Otherwise it is spared: a filter costs 40 ns a system call. */
  if (!own_user) filter_system_calls();
}

int verb_confine(char **arguments) {
  struct confinement what = {.awaited = -1};
  what.program = parse(arguments, &what);
  what.program[0] = EXE;
  if (what.awaited >= 0) await_byte(what.awaited);
  make_view(&what);
  close_others(&what);
  drop_rights(&what);
  umask(077);
  if (access(EXE, X_OK) != 0) die("user %u may not run %s: %s", what.uid, what.exe, strerror(errno));
  if (access(APP, R_OK | X_OK) != 0)
    die("user %u may not read %s (chmod -R go+rX would let it): %s", what.uid, what.app, strerror(errno));
  return exec_or_status(what.program);
}
