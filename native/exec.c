/*
 *   nsrun exec [--cgroup DIR]... [--cwd DIR] PID[:START] -- COMMAND [ARGUMENT]...
 *
 * Runs a command in the namespaces and cgroups of process PID (a host's init), as if it had been started there: in the
 * same session and process group as nsrun, so that a terminal's ^C and ^Z reach it; other signals are passed on. Without
 * --cwd the working directory is kept where the host has it, else it is /. Exit status: the command's own, 128+n when
 * signal n ended it, 125 when nsrun failed, 126 and 127 as in a shell.
 *
 * START, field 22 of /proc/PID/stat, makes sure that it is still the same process. One in our own network namespace is
 * no host, and refused: the command would run on the machine itself.
 *
 * When nsrun is killed (SIGKILL), so is the command. But then the machine's first process is the one to collect it, and
 * until it has, the end of the host waits: prefer a signal that nsrun can pass on.
 */
#include "nsrun.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void join_cgroup(const char *directory) {
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s/cgroup.procs", directory) >= sizeof path) die("%s: too long", directory);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  /* 0 is whoever writes: cgroups(7). */
  if (fd < 0 || write(fd, "0", 1) != 1) die_errno(path);
  close(fd);
}

/*
 * The user namespace first, as it gives the right to enter the others; mnt last, as /proc may mean something else after
 * it; pid counts for children only.
 */
static void enter_namespaces(const char *text) {
  static const char *const kinds[] = {"user", "ipc", "uts", "net", "pid", "mnt"};
  enum { KINDS = sizeof kinds / sizeof kinds[0] };
  int fds[KINDS];
  char path[64];
  struct process process;
  if (!process_parse(text, &process)) die("exec: '%s' is neither PID nor PID:START", text);
  int directory = process_open(&process);
  if (directory < 0) die("process %s: %s", text, strerror(errno));
  /* All are opened before any is entered: the process may end meanwhile, and in part is not entered at all. */
  for (int i = 0; i < KINDS; i++) {
    struct stat theirs, ours;
    snprintf(path, sizeof path, "ns/%s", kinds[i]);
    fds[i] = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fds[i] < 0 || fstat(fds[i], &theirs) != 0) die("process %s: %s: %s", text, path, strerror(errno));
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    if (stat(path, &ours) != 0) die_errno(path);
    if (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino) continue;
    if (strcmp(kinds[i], "net") == 0) die("process %s is in our own network namespace: it belongs to no host", text);
    /* Entering one's own user namespace is refused: setns(2). */
    close(fds[i]);
    fds[i] = -1;
  }
  close(directory);
  for (int i = 0; i < KINDS; i++) {
    if (fds[i] < 0) continue;
    if (setns(fds[i], 0) != 0) die("process %s: setns %s: %s", text, kinds[i], strerror(errno));
    close(fds[i]);
  }
}

/* --- signals ----------------------------------------------------------------------------------------------------- */

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};

static void handled_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGCHLD);
  for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++) sigaddset(set, forwarded[i]);
}

/*
 * A terminal signals the whole process group (isig in drivers/tty/n_tty.c), with si_code SI_KERNEL: the command has got
 * it too, unless it moved to a group of its own.
 */
static bool already_delivered(const siginfo_t *signal, pid_t child) {
  return signal->si_code == SI_KERNEL && getpgid(child) == getpgrp();
}

/* The command stopped (^Z): stop too, so that the shell sees a stopped job. */
static void stop_with(pid_t child) {
  sigset_t resume;
  siginfo_t signal;
  struct timespec now = {0, 0};
  sigemptyset(&resume);
  sigaddset(&resume, SIGCONT);
  /* `fg` may have continued us before the command's stop was read: then the command goes on, and so do we. */
  if (sigtimedwait(&resume, &signal, &now) < 0) raise(SIGSTOP);
  kill(child, SIGCONT);
}

/* Until the command has ended; its status as a shell would give it. */
static int attend(pid_t child, const sigset_t *handled) {
  for (;;) {
    siginfo_t signal;
    if (sigwaitinfo(handled, &signal) < 0) continue; /* EINTR: we were stopped and continued */
    if (signal.si_signo != SIGCHLD) {
      if (!already_delivered(&signal, child)) kill(child, signal.si_signo);
      continue;
    }
    int status;
    if (waitpid(child, &status, WNOHANG | WUNTRACED) != child) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
    stop_with(child);
  }
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

/* In the child: `alive` reaches its end of file when the parent has ended. */
static int run_child(char **command, const char *cwd, bool cwd_required, int alive, const sigset_t *mask) {
  struct pollfd parent = {.fd = alive};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die_errno("prctl(PR_SET_PDEATHSIG)");
  /* It may have ended before the call; getppid is 0 across pid namespaces and cannot tell. */
  if (poll(&parent, 1, 0) != 0) _exit(EXIT_NSRUN);
  if (chdir(cwd) != 0) {
    if (cwd_required) die_errno(cwd);
    if (chdir("/") != 0) die_errno("/");
  }
  sigprocmask(SIG_SETMASK, mask, NULL);
  return exec_or_status(command);
}

int verb_exec(char **arguments) {
  const char *cwd = NULL;
  char here[PATH_MAX];
  while (*arguments != NULL && strncmp(*arguments, "--", 2) == 0) {
    const char *option = *arguments++, *value = *arguments;
    if (value == NULL) die("exec: %s needs a value", option);
    if (strcmp(option, "--cgroup") == 0) join_cgroup(value);
    else if (strcmp(option, "--cwd") == 0) cwd = value;
    else die("exec: no option %s", option);
    arguments++;
  }
  if (arguments[0] == NULL || arguments[1] == NULL || strcmp(arguments[1], "--") != 0 || arguments[2] == NULL)
    die("exec: PID[:START] -- COMMAND is needed");
  bool cwd_required = cwd != NULL;
  if (cwd == NULL) cwd = getcwd(here, sizeof here) == NULL ? "/" : here;
  enter_namespaces(arguments[0]);

  sigset_t handled, before;
  handled_signals(&handled);
  sigprocmask(SIG_BLOCK, &handled, &before);
  signal(SIGCHLD, SIG_DFL); /* ignored, children would leave no status */
  pid_t terminal_group = isatty(0) ? tcgetpgrp(0) : -1;
  int alive[2];
  if (pipe2(alive, O_CLOEXEC) != 0) die_errno("pipe2");
  pid_t child = fork();
  if (child < 0) die_errno("fork");
  if (child == 0) {
    close(alive[1]);
    return run_child(arguments + 2, cwd, cwd_required, alive[0], &before);
  }
  close(alive[0]);
  int status = attend(child, &handled);
  if (terminal_group > 0 && tcgetpgrp(0) != terminal_group) {
    /* A shell inside took the terminal for a group of its own, and could not give it back: it does not see ours. */
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, terminal_group);
  }
  return status;
}
