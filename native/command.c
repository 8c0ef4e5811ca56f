/*
 * The commands of a host. Each has a warden: a child of the init that is the command's parent and the reaper of all that
 * descends from it (PR_SET_CHILD_SUBREAPER), in whatever session or group, so that a command can be ended with every
 * daemon it left behind, and nothing else of the host with it.
 *
 *   init ── warden ── command ── …
 *               └──── … whose parents have ended
 *
 * The warden writes down how the command ended, and ends when nothing is left of it. It holds no descriptor but its own.
 * Beyond its reach is only what another process of the host adopts for it: a service that starts programs for others.
 */
#include "init.h"
#include "message.h"
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a child tells of its start, to its parent. */
struct start {
  pid_t pid; /* 0: it failed */
  int error;
  char step[32];
};

static _Noreturn void fail_start(int report, const char *step) {
  struct start failed = {.error = errno};
  snprintf(failed.step, sizeof failed.step, "%s", step);
  _exit(write(report, &failed, sizeof failed) < 0 ? 1 : 127);
}

/* False at the end of file. */
static bool read_start(int report, struct start *start) {
  ssize_t got;
  do got = read(report, start, sizeof *start);
  while (got < 0 && errno == EINTR);
  return got == sizeof *start;
}

/* --- how it ended ------------------------------------------------------------------------------------------------ */

/* Under another name first: whoever reads the file finds all of it or none. */
static void write_exit(const char *path, int status) {
  char temporary[4096], text[64];
  int bytes = WIFSIGNALED(status) ? snprintf(text, sizeof text, "signalled %d", WTERMSIG(status))
                                  : snprintf(text, sizeof text, "exited %d", WEXITSTATUS(status));
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary) return;
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  if (write(fd, text, (size_t)bytes) == bytes) rename(temporary, path);
  else unlink(temporary);
  close(fd);
}

/* --- in the warden ----------------------------------------------------------------------------------------------- */

#define SWEEP_MS 5

/*
 * The init's request to end, with the grace as its value. No other signal does anything, a host's `kill -1` least of all;
 * and this one, being a real-time signal, is not merged with one that somebody else sent.
 */
#define END_SIGNAL SIGRTMIN

/* What the warden was asked to do: SIGKILL for all once the grace is over. */
static bool ending;
static struct timespec kill_at;

static long ms_until_kill(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long ms = (kill_at.tv_sec - now.tv_sec) * 1000 + (kill_at.tv_nsec - now.tv_nsec) / 1000000;
  return ms > 0 ? ms : 0;
}

struct relation {
  pid_t pid, parent;
  bool descends;
};

/* Every process of the host with its parent; the caller frees it. NULL where /proc cannot be read. */
static struct relation *read_relations(size_t *count) {
  DIR *proc = opendir("/proc");
  if (proc == NULL) return NULL;
  struct relation *all = NULL;
  size_t room = 0;
  *count = 0;
  for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
    struct process process;
    unsigned long long start;
    struct relation one = {0};
    if (!process_parse(entry->d_name, &process)) continue;
    int directory = process_open(&process);
    if (directory < 0) continue;
    bool lives = process_stat(directory, &one.parent, &start);
    close(directory);
    if (!lives) continue;
    if (*count == room) {
      room = room == 0 ? 64 : 2 * room;
      struct relation *more = reallocarray(all, room, sizeof *all);
      if (more == NULL) break;
      all = more;
    }
    one.pid = process.pid;
    all[(*count)++] = one;
  }
  closedir(proc);
  return all;
}

static bool is_ours(const struct relation *all, size_t count, pid_t parent) {
  if (parent == getpid()) return true;
  for (size_t i = 0; i < count; i++) {
    if (all[i].pid == parent) return all[i].descends;
  }
  return false;
}

/* A signal to all that descends from the warden; one that forks meanwhile is met by the next sweep. */
static void signal_descendants(int number) {
  size_t count = 0;
  struct relation *all = read_relations(&count);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < count; i++) {
      if (all[i].descends || !is_ours(all, count, all[i].parent)) continue;
      all[i].descends = changed = true;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (all[i].descends) kill(all[i].pid, number);
  }
  free(all);
}

static void begin_end(int grace_ms) {
  ending = true;
  clock_gettime(CLOCK_MONOTONIC, &kill_at);
  kill_at.tv_sec += grace_ms / 1000;
  kill_at.tv_nsec += (long)(grace_ms % 1000) * 1000000;
  if (grace_ms == 0) return;
  signal_descendants(SIGTERM);
  signal_descendants(SIGCONT); /* one that is stopped would not see it */
}

/* Ends with the last of its children. */
static void collect(pid_t leader, const char *exit_path) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == leader) write_exit(exit_path, status);
  }
  if (pid < 0 && errno == ECHILD) _exit(0);
}

static _Noreturn void watch_over(int signals, pid_t leader, const char *exit_path) {
  struct pollfd ready = {.fd = signals, .events = POLLIN};
  for (;;) {
    collect(leader, exit_path);
    long left = ending ? ms_until_kill() : -1;
    if (left == 0) {
      signal_descendants(SIGKILL);
      left = SWEEP_MS;
    }
    if (poll(&ready, 1, (int)left) <= 0) continue;
    struct signalfd_siginfo one;
    while (read(signals, &one, sizeof one) > 0) {
      if ((int)one.ssi_signo == END_SIGNAL && one.ssi_pid == 1 && !ending) begin_end(one.ssi_int);
    }
  }
}

static _Noreturn void exec_command(int report, const char *cwd, const char *log, char **argv, char **env) {
  sigset_t none;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would write down how it ended */
  setsid();
  int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0 || dup2(input, 0) < 0) fail_start(report, "open /dev/null");
  int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) fail_start(report, "open the log");
  if (chdir(cwd) != 0) fail_start(report, "chdir");
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  environ = env;
  execvp(argv[0], argv);
  fail_start(report, "exec");
}

/* `init`: a socket; the start of the command is told on it, and it is closed when the init has answered the keeper. */
static _Noreturn void warden(int init, char **fields) {
  const char *cwd = fields[2], *log = fields[3], *exit_path = fields[4];
  size_t argc = strtoul(fields[5], NULL, 10);
  /* ARGV needs a NULL at its end, where ENV begins: it moves down by one, over the count. */
  char **argv = fields + 5, **env = fields + 6 + argc;
  memmove(argv, fields + 6, argc * sizeof *argv);
  argv[argc] = NULL;
  sigset_t every;
  int report[2];
  struct start start;
  if (dup3(init, CONTROL, O_CLOEXEC) < 0) _exit(1);
  init = CONTROL;
  if (syscall(SYS_close_range, CONTROL + 1, ~0U, 0) != 0) fail_start(init, "close_range");
  prctl(PR_SET_NAME, "luthier-command");
  sigfillset(&every);
  sigprocmask(SIG_SETMASK, &every, NULL);
  int signals = signalfd(-1, &every, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail_start(init, "start a command");
  if (pipe2(report, O_CLOEXEC) != 0) fail_start(init, "pipe");
  unlink(exit_path); /* of an earlier run */
  pid_t leader = fork();
  if (leader == 0) exec_command(report[1], cwd, log, argv, env);
  if (leader < 0) fail_start(init, "fork");
  close(report[1]);
  /* A successful exec closes the pipe. */
  if (!read_start(report[0], &start)) start = (struct start){.pid = leader};
  close(report[0]);
  if (write(init, &start, sizeof start) < 0 || start.pid == 0) _exit(1);
  /* Not collected before that: the pid in the answer is the command's. */
  while (read(init, &start, sizeof start) < 0 && errno == EINTR) continue;
  close(init);
  watch_over(signals, leader, exit_path);
}

/* --- in the init ------------------------------------------------------------------------------------------------- */

struct command {
  struct command *next;
  pid_t warden;
  char exit_path[];
};

static struct command *commands;
static char *awaited_exit; /* of the commands that are being ended; NULL: none */

static struct command *find(const char *exit_path) {
  struct command *command = commands;
  while (command != NULL && strcmp(command->exit_path, exit_path) != 0) command = command->next;
  return command;
}

/* run NAME CWD LOG EXIT n ARGV… ENV… */
void command_run(char **fields) {
  const char *exit_path = fields[4];
  int pair[2];
  struct start start = {.error = ECHILD, .step = "start a command"};
  struct command *command = malloc(sizeof *command + strlen(exit_path) + 1);
  if (command == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    answer_error(errno, "start a command");
    free(command);
    return;
  }
  strcpy(command->exit_path, exit_path);
  command->warden = fork();
  if (command->warden == 0) warden(pair[1], fields);
  int fork_error = errno;
  close(pair[1]);
  if (command->warden < 0) answer_error(fork_error, "fork");
  else if (read_start(pair[0], &start) && start.pid != 0) answer_pid(start.pid);
  else answer_error(start.error, start.step);
  close(pair[0]);
  if (command->warden < 0 || start.pid == 0) {
    if (command->warden > 0) waitpid(command->warden, NULL, 0);
    free(command);
    return;
  }
  command->next = commands;
  commands = command;
}

/* end NAME EXIT GRACE */
void command_end(char **fields) {
  union sigval grace = {.sival_int = atoi(fields[3])};
  if (find(fields[2]) == NULL) {
    answer_ok();
    return;
  }
  awaited_exit = strdup(fields[2]);
  if (awaited_exit == NULL) {
    answer_error(ENOMEM, "end a command");
    return;
  }
  for (struct command *command = commands; command != NULL; command = command->next) {
    if (strcmp(command->exit_path, awaited_exit) != 0 || sigqueue(command->warden, END_SIGNAL, grace) == 0) continue;
    answer_error(errno, "end a command");
    free(awaited_exit);
    awaited_exit = NULL;
    return;
  }
}

bool command_ending(void) { return awaited_exit != NULL; }

void command_list(void) {
  static char answer[MESSAGE_BYTES];
  size_t end = 2;
  memcpy(answer, "ok", end);
  for (struct command *command = commands; command != NULL; command = command->next) {
    size_t bytes = strlen(command->exit_path);
    if (end + 1 + bytes > sizeof answer) {
      answer_error(EMSGSIZE, "list the commands");
      return;
    }
    answer[end] = '\0';
    memcpy(answer + end + 1, command->exit_path, bytes);
    end += 1 + bytes;
  }
  message_send(CONTROL, answer, end, NULL, 0);
}

void command_reaped(pid_t pid, int status) {
  struct command **link = &commands;
  while (*link != NULL && (*link)->warden != pid) link = &(*link)->next;
  struct command *command = *link;
  if (command == NULL) return; /* an orphan of the host */
  *link = command->next;
  /* A warden that somebody killed took its command along. */
  if (WIFSIGNALED(status) && access(command->exit_path, F_OK) != 0) write_exit(command->exit_path, status);
  free(command);
  if (awaited_exit == NULL || find(awaited_exit) != NULL) return;
  free(awaited_exit);
  awaited_exit = NULL;
  answer_ok();
}
