/*
 *   attach PID NAME NAME
 *
 * Joins two interfaces in the network namespace of a process inside the kernel: what one receives is sent by the other, whole, by a
 * program of two lines at its ingress (tcx, Linux 6.6). Prints a line when it is attached, and stays until it is ended:
 * the kernel then takes the programs away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers before 6.6 have no name for it. */
#define TCX_INGRESS 46

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "attach: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int bpf(int command, union bpf_attr *attributes) {
  int fd = (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
  if (fd < 0) fail("bpf");
  return fd;
}

/* return bpf_redirect(to, 0) */
static int redirect(unsigned to) {
  struct bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = (int)to},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0},
      {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SCHED_CLS,
                            .insns = (uintptr_t)code,
                            .insn_cnt = sizeof code / sizeof *code,
                            .license = (uintptr_t) "MIT"};
  return bpf(BPF_PROG_LOAD, &program);
}

static unsigned index_of(const char *name) {
  unsigned index = if_nametoindex(name);
  if (index == 0) fail(name);
  return index;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fputs("usage: attach PID NAME NAME\n", stderr);
    return 2;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", argv[1]);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0) fail(path);
  unsigned ports[2] = {index_of(argv[2]), index_of(argv[3])};
  for (int i = 0; i < 2; i++) {
    union bpf_attr link = {0};
    link.link_create.prog_fd = (unsigned)redirect(ports[1 - i]);
    link.link_create.target_ifindex = ports[i];
    link.link_create.attach_type = TCX_INGRESS;
    bpf(BPF_LINK_CREATE, &link);
  }
  puts("attached");
  fflush(stdout);
  for (;;) pause();
}
