/*
 * The system calls of a confined program (seccomp(2)). Its user may not be its own alone: in a user namespace there is
 * one, and what the kernel allows among processes of one user it would be allowed towards all of them. So it has no call
 * that reaches another process, makes one, or makes or enters a namespace; nor some that it has no use for and that
 * attackers of kernels like.
 *
 * None of the calls that move frames depends on its arguments here: the kernel finds that out once and does not run the
 * filter for them (seccomp_cache_prepare in kernel/seccomp.c, since Linux 5.11).
 */
#include "nsrun.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "the audit architecture of this machine is to be named here"
#endif

/* EPERM. */
static const unsigned refused[] = {
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp, /* another's memory */
    SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal,                                  /* and descriptors */
    SYS_tkill, SYS_rt_sigqueueinfo, SYS_setpriority, SYS_ioprio_set,
    SYS_unshare, SYS_setns,
    SYS_keyctl, SYS_add_key, SYS_request_key, /* the user's keys, which have no namespace of their own */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
};

/*
 * ENOSYS: libraries then do without, and so does the engine (uring.c). clone3 has its flags in memory, where a filter cannot
 * see them: clone is next. What is asked of io_uring, no filter sees.
 */
static const unsigned missing[] = {SYS_clone3, SYS_io_uring_setup};

/* EPERM, but for the process itself, by its number or as 0: the C library ends a program by signalling itself. */
static const unsigned own_process_only[] = {
    SYS_kill,           SYS_tgkill,         SYS_rt_tgsigqueueinfo, SYS_prlimit64, SYS_sched_setaffinity,
    SYS_sched_setparam, SYS_sched_setattr, SYS_sched_setscheduler,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct sock_filter program[8 + 2 * COUNT(refused) + 2 * COUNT(missing) + 6 * COUNT(own_process_only) + 5];
static unsigned short length;

static void load(size_t offset) {
  program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset);
}

/* The next instructions to be passed over when the comparison holds, and when it does not. */
static void jump(unsigned short comparison, unsigned value, unsigned char when_true, unsigned char when_false) {
  program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | comparison | BPF_K, value, when_true, when_false);
}

static void decide(unsigned action) { program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action); }

#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
/* The low half of the first argument, on a little-endian machine: what the kernel takes of a pid, and of clone's flags. */
#define FIRST_ARGUMENT offsetof(struct seccomp_data, args)

static void write_program(unsigned self) {
  load(offsetof(struct seccomp_data, arch));
  jump(BPF_JEQ, OWN_ARCH, 1, 0);
  decide(SECCOMP_RET_KILL_PROCESS);
  load(offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
  jump(BPF_JGE, 0x40000000, 0, 1); /* the x32 ABI: other numbers for the same calls */
  decide(REFUSE);
#endif
  for (size_t i = 0; i < COUNT(refused); i++) {
    jump(BPF_JEQ, refused[i], 0, 1);
    decide(REFUSE);
  }
  for (size_t i = 0; i < COUNT(missing); i++) {
    jump(BPF_JEQ, missing[i], 0, 1);
    decide(SECCOMP_RET_ERRNO | ENOSYS);
  }
  for (size_t i = 0; i < COUNT(own_process_only); i++) {
    jump(BPF_JEQ, own_process_only[i], 0, 5);
    load(FIRST_ARGUMENT);
    jump(BPF_JEQ, self, 2, 0);
    jump(BPF_JEQ, 0, 1, 0);
    decide(REFUSE);
    decide(SECCOMP_RET_ALLOW);
  }
  /* Threads, which cannot be given namespaces that need a process (CLONE_NEWUSER, CLONE_NEWPID: clone(2)). */
  jump(BPF_JEQ, SYS_clone, 0, 3);
  load(FIRST_ARGUMENT);
  jump(BPF_JSET, CLONE_THREAD, 1, 0);
  decide(REFUSE);
  decide(SECCOMP_RET_ALLOW);
}

void filter_system_calls(void) {
  write_program((unsigned)getpid());
  struct sock_fprog filter = {.len = length, .filter = program};
  /* SPEC_ALLOW: a filter alone is no reason to slow the processor's speculation down, as kernels before 5.16 do. */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) != 0) die_errno("seccomp");
}
