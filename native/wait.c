/*
 * Time, and waiting for descriptors with a nanosecond deadline. Both are CLOCK_MONOTONIC, which is also what
 * epoll_pwait2 counts its timeout in.
 */
#include "addon.h"

#include <errno.h>
#include <math.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

napi_value native_epollCreate(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? throw_errno(env, "epoll_create1", errno) : make_int(env, fd);
}

static napi_value epoll_change(napi_env env, napi_callback_info info, int operation) {
  napi_value argument[4];
  int epoll, fd;
  int64_t token, events;
  arguments(env, info, 4, argument);
  if (!get_fd(env, argument[0], &epoll) || !get_fd(env, argument[1], &fd) ||
      !get_int(env, argument[2], "token", INT32_MIN, INT32_MAX, &token) ||
      !get_int(env, argument[3], "events", 0, EPOLLIN | EPOLLOUT, &events))
    return NULL;
  struct epoll_event event = {.events = (uint32_t)events, .data.u64 = (uint64_t)token};
  if (epoll_ctl(epoll, operation, fd, &event) != 0) return throw_errno(env, "epoll_ctl", errno);
  return make_undefined(env);
}

napi_value native_epollAdd(napi_env env, napi_callback_info info) { return epoll_change(env, info, EPOLL_CTL_ADD); }

napi_value native_epollModify(napi_env env, napi_callback_info info) { return epoll_change(env, info, EPOLL_CTL_MOD); }

napi_value native_epollRemove(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  int epoll, fd;
  arguments(env, info, 2, argument);
  if (!get_fd(env, argument[0], &epoll) || !get_fd(env, argument[1], &fd)) return NULL;
  if (epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) != 0) return throw_errno(env, "epoll_ctl", errno);
  return make_undefined(env);
}

static double io_now(struct io *io) { return io->clock[0] = (double)(monotonic_ns() - io->start_ns); }

napi_value native_tick(napi_env env, napi_callback_info info) {
  int32_t handle;
  struct io *io;
  if (!numbers(env, info, 1, &handle) || (io = io_of(env, handle)) == NULL) return make_int(env, -EINVAL);
  io_now(io);
  return make_int(env, 0);
}

static long io_sleep(struct io *io, int epoll, double left_ns) {
  bool forever = left_ns >= 9e18; /* 285 years: beyond what 64 bits of nanoseconds hold */
  struct timespec timeout = {0, 0};
  if (!forever && left_ns > 0) {
    /* Rounded up: never early. */
    int64_t ns = (int64_t)ceil(left_ns);
    timeout = (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
  }
  return syscall(SYS_epoll_pwait2, epoll, io->events, io->ready_count, forever ? NULL : &timeout, NULL, 0);
}

/*
 * Where frames come fast from one side, a thread that is woken for each of them spends most of its time on being woken, and
 * takes as much from whoever wakes it. So, as network cards do with their interrupts, it is woken once in `pace_ns` where that
 * goes on; what comes meanwhile is taken together. Wakings that were not used are saved up, so that frames which are no
 * nearer to each other than that are not late. In an exchange, where each side waits for the other, somebody else wakes it
 * each time: then it has saved all it can. What has a deadline is not late, and takes of what is saved, but no more.
 */
#define SAVED_WAKINGS 32

/* Sleeps, whatever becomes ready, until the thread may wake again, or that time. */
static void io_pace(struct io *io, double pace_ns, double until_ns) {
  double now_ns = io->clock[0], saved_ns = now_ns - SAVED_WAKINGS * pace_ns;
  double wake_ns = (io->paced_ns > saved_ns ? io->paced_ns : saved_ns) + pace_ns;
  if (wake_ns > until_ns) wake_ns = until_ns;
  io->paced_ns = wake_ns;
  if (wake_ns <= now_ns) return;
  int64_t ns = io->start_ns + (int64_t)wake_ns;
  struct timespec at = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/*
 * A sleeping thread is woken some 50 us late (more where its processor sleeps deeply), one that is awake in time: so the
 * last moments before a deadline can be spent looking. How often that may be, and when there is a pace, is decided in
 * vswitch/waiter.ts.
 */
static int io_wait(struct io *io, int epoll) {
  double until_ns = io->clock[1], awake_ns = io->clock[2], pace_ns = io->clock[3], spent_ns = 0;
  /* Not where there is something to do at once. */
  if (pace_ns > 0 && until_ns - awake_ns > io_now(io)) io_pace(io, pace_ns, until_ns - awake_ns);
  double left_ns = until_ns - awake_ns - io_now(io);
  long got = io_sleep(io, epoll, left_ns);
  /* None where a descriptor ended it, or there was no time to sleep. */
  io->clock[4] = got == 0 && left_ns > 0 ? io_now(io) - (until_ns - awake_ns) : -1;
  if (got == 0 && awake_ns > 0) {
    double woken_ns = io_now(io);
    while (got == 0 && io_now(io) < until_ns) got = io_sleep(io, epoll, 0);
    spent_ns = io->clock[0] - woken_ns;
  }
  io->clock[2] = spent_ns;
  int result = got >= 0 ? (int)got : errno == EINTR ? 0 : -errno;
  for (int i = 0; i < result; i++) io->ready[i] = (int32_t)io->events[i].data.u64;
  if (result > 1 || (result == 1 && io->ready[0] != io->waker)) io->paced_ns = 0;
  if (result > 0) io->waker = io->ready[0];
  io_now(io);
  return result;
}

napi_value native_wait(napi_env env, napi_callback_info info) {
  int32_t n[2];
  struct io *io;
  if (!numbers(env, info, 2, n) || (io = io_of(env, n[0])) == NULL || isnan(io->clock[1]) ||
      isnan(io->clock[2]) || isnan(io->clock[3]))
    return make_int(env, -EINVAL);
  return make_int(env, io_wait(io, n[1]));
}
