/* Plain descriptors, and the eventfd by which the main thread wakes an engine. */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

napi_value native_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &fd)) return NULL;
  /* close(2): on Linux the descriptor is released even when a signal interrupts. */
  if (close(fd) != 0 && errno != EINTR) return throw_errno(env, "close", errno);
  return make_undefined(env);
}

napi_value native_dup(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &fd)) return NULL;
  /* From 3 on: never in the place of a standard stream that happens to be closed. */
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? throw_errno(env, "fcntl(F_DUPFD_CLOEXEC)", errno) : make_int(env, copy);
}

napi_value native_setCloexec(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  int fd;
  bool on;
  arguments(env, info, 2, argument);
  if (!get_fd(env, argument[0], &fd) || !get_bool(env, argument[1], "on", &on)) return NULL;
  if (fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) != 0) return throw_errno(env, "fcntl(F_SETFD)", errno);
  return make_undefined(env);
}

napi_value native_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? throw_errno(env, "eventfd", errno) : make_int(env, fd);
}

napi_value native_eventfdSignal(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!numbers(env, info, 1, &fd)) return make_int(env, -EINVAL);
  uint64_t one = 1;
  ssize_t written;
  do written = write(fd, &one, sizeof one);
  while (written < 0 && errno == EINTR);
  /* EAGAIN: the counter is at its end, so the reader has been signalled as often as can be. */
  return make_int(env, written < 0 && errno != EAGAIN ? -errno : 0);
}

napi_value native_eventfdDrain(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!numbers(env, info, 1, &fd)) return make_int(env, -EINVAL);
  uint64_t count;
  ssize_t got;
  do got = read(fd, &count, sizeof count);
  while (got < 0 && errno == EINTR);
  if (got < 0) return make_int(env, errno == EAGAIN ? 0 : -errno);
  return make_int(env, 1);
}
