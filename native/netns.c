/*
 * A thread's visit to another network namespace. A socket, and a TAP's descriptor, belong to the namespace in which
 * they were opened, whatever namespace later calls come from; so visits are as short as one open.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool netns_enter(napi_env env, const char *path, int *home) {
  *home = -1;
  if (path == NULL) return true;
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0) {
    throw_errno(env, "open network namespace", errno);
    return false;
  }
  /* thread-self: a worker's namespace is its own affair. */
  int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (here < 0 || setns(there, CLONE_NEWNET) != 0) {
    int error = errno;
    if (here >= 0) close(here);
    close(there);
    throw_errno(env, here < 0 ? "open /proc/thread-self/ns/net" : "setns", error);
    return false;
  }
  close(there);
  *home = here;
  return true;
}

void netns_leave(int home) {
  if (home < 0) return;
  if (setns(home, CLONE_NEWNET) != 0) {
    perror("luthier: cannot return to the network namespace of this thread: setns");
    abort();
  }
  close(home);
}
