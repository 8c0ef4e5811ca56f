/*
 * When frames came to a TAP: its host sent them then, however late the thread that reads the TAP is woken. The kernel does
 * not tell whoever reads, but it lets a program look at each frame before it takes its place in the TAP's queue
 * (TUNSETFILTEREBPF, Linux 4.16). Ours writes down the time, in memory that the reader has mapped:
 *
 *   host ── transmit ──▶ program ──▶ TAP's queue ──▶ tapRead          frames, in order
 *                           └──────▶ records ──────▶ arrivalTimes     a time and a length of each, in the same order
 *
 * So it costs the sender that program, a dozen instructions and a reading of the clock, and the reader no system call. The program is the TAP's, and goes with it; to load one, a
 * process needs CAP_BPF. Who reads may only read.
 *
 * A frame that the TAP drops has a record, and one that was not read in time has lost its own to a later one: then it is unknown
 * which record is whose, and no time is told until the TAP is found empty. The frames read last are then those of the last records.
 */
#include "addon.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A power of two: as many frames may wait in the TAP with their times known. */
#define RECORDS 128
/* A record that is older, while the TAP is empty, is of a frame that the TAP has dropped. */
#define SETTLED_NS 1000000

struct record {
  uint64_t at_ns; /* CLOCK_MONOTONIC */
  uint64_t bytes; /* without a VLAN tag that the kernel has beside the frame, and the reader in it */
};

struct records {
  uint64_t count; /* ever written: the next one goes to `record[count % RECORDS]` */
  uint64_t unused;
  struct record record[RECORDS];
};

struct arrivals {
  const struct records *records;
  uint64_t next; /* the record of the next frame; of no meaning while they are not paired */
  bool is_paired;
  uint64_t seen;     /* `count` when the TAP was found empty last */
  bool has_leftover; /* record `next` was there already when the TAP was found empty last */
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int create_map(void) {
  union bpf_attr map = {
      .map_type = BPF_MAP_TYPE_ARRAY,
      .key_size = sizeof(uint32_t),
      .value_size = sizeof(struct records),
      .max_entries = 1,
      .map_flags = BPF_F_MMAPABLE,
      .map_name = "luthier_arrival",
  };
  return bpf(BPF_MAP_CREATE, &map);
}

#define INSTRUCTION(op, to, from, offset, value)                                                                       \
  (struct bpf_insn) { .code = (op), .dst_reg = (to), .src_reg = (from), .off = (offset), .imm = (value) }

static int load_program(int map) {
  enum { RESULT, ARGUMENT, FRAME = BPF_REG_6, RECORD, NOW };
  const struct bpf_insn program[] = {
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, FRAME, ARGUMENT, 0, 0),
      INSTRUCTION(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns),
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, NOW, RESULT, 0, 0),
      /* 64 bits in two instructions: where `records` is. */
      INSTRUCTION(BPF_LD | BPF_DW | BPF_IMM, RECORD, BPF_PSEUDO_MAP_VALUE, 0, map),
      INSTRUCTION(0, 0, 0, 0, 0),
      /* ARGUMENT = records->count++, whatever another processor does */
      INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, ARGUMENT, 0, 0, 1),
      INSTRUCTION(BPF_STX | BPF_DW | BPF_ATOMIC, RECORD, ARGUMENT, offsetof(struct records, count), BPF_ADD | BPF_FETCH),
      INSTRUCTION(BPF_ALU64 | BPF_AND | BPF_K, ARGUMENT, 0, 0, RECORDS - 1),
      INSTRUCTION(BPF_ALU64 | BPF_MUL | BPF_K, ARGUMENT, 0, 0, sizeof(struct record)),
      INSTRUCTION(BPF_ALU64 | BPF_ADD | BPF_X, RECORD, ARGUMENT, 0, 0),
      INSTRUCTION(BPF_STX | BPF_DW | BPF_MEM, RECORD, NOW, offsetof(struct records, record[0].at_ns), 0),
      INSTRUCTION(BPF_LDX | BPF_W | BPF_MEM, RESULT, FRAME, offsetof(struct __sk_buff, len), 0),
      INSTRUCTION(BPF_STX | BPF_DW | BPF_MEM, RECORD, RESULT, offsetof(struct records, record[0].bytes), 0),
      /* So much of the frame goes on: all. */
      INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  union bpf_attr load = {
      .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
      .insns = (uint64_t)(uintptr_t)program,
      .insn_cnt = sizeof program / sizeof program[0],
      .license = (uint64_t)(uintptr_t)"GPL",
      .prog_name = "luthier_arrival",
  };
  return bpf(BPF_PROG_LOAD, &load);
}

napi_value native_arrivalsOpen(napi_env env, napi_callback_info info) {
  napi_value argument;
  int tap;
  arguments(env, info, 1, &argument);
  if (!get_fd(env, argument, &tap)) return NULL;
  int map = create_map();
  if (map < 0) return throw_errno(env, "BPF_MAP_CREATE", errno);
  const char *step = NULL;
  int program = load_program(map), error = errno;
  if (program < 0) step = "BPF_PROG_LOAD";
  /* From here on nothing but the program can write to it. */
  union bpf_attr freeze = {.map_fd = (uint32_t)map};
  if (step == NULL && bpf(BPF_MAP_FREEZE, &freeze) != 0) {
    error = errno;
    step = "BPF_MAP_FREEZE";
  }
  if (step == NULL && ioctl(tap, TUNSETFILTEREBPF, &program) != 0) {
    error = errno;
    step = "TUNSETFILTEREBPF";
  }
  if (program >= 0) close(program);
  if (step == NULL) return make_int(env, map);
  close(map);
  return throw_errno(env, step, error);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static uint64_t count_of(const struct arrivals *arrivals) {
  return __atomic_load_n(&arrivals->records->count, __ATOMIC_ACQUIRE);
}

/* Tells when frame `i` of the last read came, if record `number` can be its own. */
static bool tell(const struct arrivals *arrivals, struct io *io, int32_t i, uint64_t number) {
  const struct record *record = &arrivals->records->record[number % RECORDS];
  int64_t came_ns = (int64_t)record->at_ns - io->start_ns;
  uint64_t record_bytes = record->bytes, bytes = (uint64_t)io->lengths[i];
  /* Another may be written over it meanwhile. */
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  bool is_own = count_of(arrivals) - number <= RECORDS && came_ns > 0 &&
                (record_bytes == bytes || record_bytes + 4 == bytes);
  io->came[i] = is_own ? (double)came_ns : 0;
  return is_own;
}

/* Takes the records from `next` on for those of the frames; where one cannot be, nothing is known of any. */
static void tell_all(struct arrivals *arrivals, struct io *io, int32_t frames, uint64_t count) {
  for (int32_t i = 0; i < frames && arrivals->is_paired; i++)
    arrivals->is_paired = arrivals->next < count && tell(arrivals, io, i, arrivals->next++);
  if (!arrivals->is_paired) memset(io->came, 0, (size_t)frames * sizeof *io->came);
}

static bool is_settled(const struct arrivals *arrivals) {
  int64_t at_ns = (int64_t)arrivals->records->record[arrivals->next % RECORDS].at_ns;
  return monotonic_ns() - at_ns > SETTLED_NS;
}

/*
 * Where the TAP was just found empty, the frames read last are those of the last records. Of a frame that has its record and not
 * its place yet, no length may tell; then soon a frame comes that has no record, and this is done again.
 */
static void arrivals_read(struct arrivals *arrivals, struct io *io, int32_t frames) {
  uint64_t count = count_of(arrivals);
  if (arrivals->has_leftover && is_settled(arrivals)) arrivals->is_paired = false;
  tell_all(arrivals, io, frames, count);
  /* Where no record came since it was so before, another program has taken the place of ours. */
  if (!arrivals->is_paired && io->tap_is_empty && count > arrivals->seen && count >= (uint64_t)frames) {
    arrivals->next = count - (uint64_t)frames;
    arrivals->is_paired = true;
    tell_all(arrivals, io, frames, count);
  }
  if (io->tap_is_empty) arrivals->seen = count;
  arrivals->has_leftover = arrivals->is_paired && io->tap_is_empty && arrivals->next < count;
}

void arrivals_free(struct arrivals *arrivals) {
  munmap((void *)arrivals->records, sizeof *arrivals->records);
  free(arrivals);
}

napi_value native_arrivalsCreate(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct state *state;
  int fd;
  arguments(env, info, 1, &argument);
  napi_get_instance_data(env, (void **)&state);
  if (!get_fd(env, argument, &fd)) return NULL;
  void *records = mmap(NULL, sizeof(struct records), PROT_READ, MAP_SHARED, fd, 0);
  if (records == MAP_FAILED) return throw_errno(env, "mmap", errno);
  struct arrivals *arrivals = calloc(1, sizeof *arrivals);
  if (arrivals != NULL) arrivals->records = records;
  int32_t handle = arrivals == NULL ? 0 : table_put(&state->arrivals, arrivals);
  if (handle != 0) return make_int(env, handle);
  free(arrivals);
  munmap(records, sizeof(struct records));
  return throw_errno(env, "calloc", ENOMEM);
}

napi_value native_arrivalsDestroy(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct state *state;
  int64_t handle;
  arguments(env, info, 1, &argument);
  napi_get_instance_data(env, (void **)&state);
  if (!get_int(env, argument, "arrivals", 1, INT32_MAX, &handle)) return NULL;
  struct arrivals *arrivals = arrivals_of(env, (int32_t)handle);
  if (arrivals == NULL) {
    throw_range(env, "arrivals", "no such handle");
    return NULL;
  }
  state->arrivals.items[handle - 1] = NULL;
  arrivals_free(arrivals);
  return make_undefined(env);
}

napi_value native_arrivalTimes(napi_env env, napi_callback_info info) {
  int32_t n[3];
  struct io *io;
  struct arrivals *arrivals;
  if (!numbers(env, info, 3, n) || (io = io_of(env, n[0])) == NULL || (arrivals = arrivals_of(env, n[1])) == NULL ||
      n[2] < 1 || n[2] > io->lengths_count)
    return make_int(env, -EINVAL);
  arrivals_read(arrivals, io, n[2]);
  return make_int(env, 0);
}
