/*
 * How the kernel gives threads a processor. An engine that is woken should run at once, not when the slice of whoever has
 * the processor is over: a wake-up that asks for its own processor (as a TAP's does, whose sender is expected to sleep soon)
 * otherwise waits for up to 4 ms where the sender goes on.
 */
#include "addon.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* PM_QOS_CPU_LATENCY_DEFAULT_VALUE: none is asked for. */
#define LATENCY_DEFAULT_US 2000000000

/* sched_setattr(2) has no wrapper in the C library; this is version 0 of its structure. */
struct sched_attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period; /* ns; of SCHED_OTHER, `runtime` is the slice (since Linux 6.12) */
};
_Static_assert(sizeof(struct sched_attributes) == 48, "SCHED_ATTR_SIZE_VER0");

/*
 * What /dev/cpu_dma_latency is open for: how long any processor of the machine may take to wake up, in microseconds. With 0 they
 * look for work instead of sleeping, and those asleep are woken at once; -1 takes the request back, as closing it does.
 */
napi_value native_requestLatency(napi_env env, napi_callback_info info) {
  int32_t n[2];
  if (!numbers(env, info, 2, n)) return make_int(env, -EINVAL);
  int32_t us = n[1] < 0 ? LATENCY_DEFAULT_US : n[1];
  return make_int(env, write(n[0], &us, sizeof us) == sizeof us ? 0 : -errno);
}

napi_value native_threadId(napi_env env, napi_callback_info info) {
  (void)info;
  return make_int(env, (int)syscall(SYS_gettid));
}

napi_value native_setThreadName(napi_env env, napi_callback_info info) {
  napi_value argument;
  char name[16];
  arguments(env, info, 1, &argument);
  if (!get_string(env, argument, "name", name, sizeof name)) return NULL;
  if (prctl(PR_SET_NAME, name) != 0) return throw_errno(env, "prctl(PR_SET_NAME)", errno);
  return make_undefined(env);
}

napi_value native_setTimerSlackNs(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t ns;
  arguments(env, info, 1, &argument);
  if (!get_int(env, argument, "ns", 1, INT32_MAX, &ns)) return NULL;
  if (prctl(PR_SET_TIMERSLACK, (unsigned long)ns) != 0) return throw_errno(env, "prctl(PR_SET_TIMERSLACK)", errno);
  return make_undefined(env);
}

napi_value native_setSliceNs(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  int64_t thread, ns;
  arguments(env, info, 2, argument);
  if (!get_int(env, argument[0], "thread", 0, INT32_MAX, &thread) || !get_int(env, argument[1], "ns", 0, 100000000, &ns))
    return NULL;
  if (ns != 0 && ns < 100000) {
    throw_range(env, "ns", "shorter than any slice");
    return NULL;
  }
  struct sched_attributes attributes;
  if (syscall(SYS_sched_getattr, (pid_t)thread, &attributes, sizeof attributes, 0) != 0)
    return throw_errno(env, "sched_getattr", errno);
  attributes.runtime = (uint64_t)ns;
  if (syscall(SYS_sched_setattr, (pid_t)thread, &attributes, 0) != 0) return throw_errno(env, "sched_setattr", errno);
  return make_undefined(env);
}

napi_value native_setRealtime(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  int64_t thread, priority;
  arguments(env, info, 2, argument);
  if (!get_int(env, argument[0], "thread", 1, INT32_MAX, &thread) ||
      !get_int(env, argument[1], "priority", 0, 99, &priority))
    return NULL;
  struct sched_param parameters = {.sched_priority = (int)priority};
  int policy = priority == 0 ? SCHED_OTHER : SCHED_RR | SCHED_RESET_ON_FORK;
  if (sched_setscheduler((pid_t)thread, policy, &parameters) != 0) return throw_errno(env, "sched_setscheduler", errno);
  return make_undefined(env);
}
