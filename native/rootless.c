/*
 *   nsrun rootless [--join PID:START]... -- COMMAND [ARGUMENT]...
 *
 * Becomes COMMAND as root of a user namespace of its user, where an ordinary user has every right over what is made
 * there: namespaces, interfaces, mounts. The command has a network namespace that belongs to it too, as a thread that
 * visits another one must be allowed to come back; its mounts, its processes and its files are the machine's.
 *
 * --join names processes that may live in such a user namespace already: the first that does is followed into it, since
 * what was made there can be worked on from there alone (user_namespaces(7)). One that has ended, that is somebody
 * else's, or that is in no other user namespace than we are, is passed over. Where none is left, a new one is made, in
 * which our user and group are 0 and no others exist.
 */
#include "nsrun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same(int fd, const char *path) {
  struct stat theirs, ours;
  return fstat(fd, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* False where it cannot be joined, for whatever reason: there is another candidate, or a new namespace. */
static bool join(const char *text) {
  struct process process;
  uid_t owner;
  if (!process_parse(text, &process)) die("rootless: '%s' is neither PID nor PID:START", text);
  int directory = process_open(&process);
  if (directory < 0) return false;
  int user = openat(directory, "ns/user", O_RDONLY | O_CLOEXEC);
  close(directory);
  if (user < 0) return false;
  bool joined = !is_same(user, "/proc/self/ns/user") && ioctl(user, NS_GET_OWNER_UID, &owner) == 0 &&
                owner == geteuid() && setns(user, CLONE_NEWUSER) == 0;
  close(user);
  return joined;
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) die_errno(path);
  close(fd);
}

static void make_user_namespace(void) {
  char uid_map[32], gid_map[32];
  snprintf(uid_map, sizeof uid_map, "0 %u 1", geteuid());
  snprintf(gid_map, sizeof gid_map, "0 %u 1", getegid());
  if (unshare(CLONE_NEWUSER) != 0) die_errno("cannot make a user namespace");
  write_file("/proc/self/setgroups", "deny"); /* without it gid_map is refused: user_namespaces(7) */
  write_file("/proc/self/uid_map", uid_map);
  write_file("/proc/self/gid_map", gid_map);
}

int verb_rootless(char **arguments) {
  bool joined = false;
  for (; *arguments != NULL && strcmp(*arguments, "--join") == 0; arguments += 2) {
    if (arguments[1] == NULL) die("rootless: --join needs a value");
    joined = joined || join(arguments[1]);
  }
  if (*arguments == NULL || strcmp(*arguments, "--") != 0 || arguments[1] == NULL)
    die("rootless: -- COMMAND is needed");
  if (!joined) make_user_namespace();
  if (unshare(CLONE_NEWNET) != 0) die_errno("cannot make a network namespace in a user namespace");
  return exec_or_status(arguments + 1);
}
