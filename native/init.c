/*
 * The first process of a host. It makes the host out of its new namespaces, then starts the commands that the keeper
 * asks for, writes down how they ended, and collects what is left behind. When the keeper dies it lives on and goes on
 * collecting: the host's processes and connections are not disturbed.
 *
 * It runs in the keeper's child, without an exec: it costs 200 KB. Of the keeper it uses nothing but the arguments.
 */
#include "keeper.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot both be included before glibc 2.37. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

#define CONTROL 3

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* `ok` in the name of `pid`, which the kernel translates for the keeper. The process must not have been collected. */
static void answer_ok(pid_t pid) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
  } control = {.bytes = {0}};
  struct ucred credentials = {.pid = pid, .uid = getuid(), .gid = getgid()};
  struct iovec part = {.iov_base = "ok", .iov_len = 2};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof credentials);
  memcpy(CMSG_DATA(header), &credentials, sizeof credentials);
  sendmsg(CONTROL, &message, MSG_NOSIGNAL);
}

static void answer_error(int error, const char *step) {
  char text[512];
  int bytes = snprintf(text, sizeof text, "err%c%s%c%s: %s", 0, strerrorname_np(error), 0, step, strerrordesc_np(error));
  message_send(CONTROL, text, (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1, NULL, 0);
}

static _Noreturn void give_up(const char *step) {
  answer_error(errno, step);
  _exit(1);
}

/* --- making the host --------------------------------------------------------------------------------------------- */

static void mount_proc(void) {
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) give_up("mount /proc");
}

/*
 * A fresh sysfs shows the interfaces of this network namespace. It hides the cgroup mounts, so these are lifted out as a
 * detached tree and put back on top; read-only where the machine's own is (as in a container).
 */
static void mount_sys(void) {
  struct statvfs machine;
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (statvfs("/sys", &machine) == 0 && machine.f_flag & ST_RDONLY) flags |= MS_RDONLY;
  int cgroups = (int)syscall(SYS_open_tree, AT_FDCWD, "/sys/fs/cgroup", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (mount("sysfs", "/sys", "sysfs", flags, NULL) != 0) give_up("mount /sys");
  if (cgroups < 0) return; /* a machine without cgroups */
  if (syscall(SYS_move_mount, cgroups, "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    give_up("mount /sys/fs/cgroup");
  close(cgroups);
}

/*
 * DIRECTORY/FILE over /etc/FILE. Where the machine has no such file there is nothing to bind to, and none is made on its
 * real file system: without /etc/hosts, names of other hosts do not resolve.
 */
static void bind_etc(const char *directory, const char *file) {
  char source[4096], target[64];
  snprintf(target, sizeof target, "/etc/%s", file);
  if (access(target, F_OK) != 0) return;
  if ((size_t)snprintf(source, sizeof source, "%s/%s", directory, file) >= sizeof source) {
    errno = ENAMETOOLONG;
    give_up(target);
  }
  if (mount(source, target, NULL, MS_BIND, NULL) != 0) give_up(source);
}

static void loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &request) != 0) give_up("set lo up");
  close(sock);
}

static void reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
}

static void make_host(const char *name, const char *hostname, const char *directory) {
  /* `ps` shows which host this is: `keeper NAME`, with the name in the place of the keeper's own argument. */
  prctl(PR_SET_NAME, "luthier-host");
  memset(title, 0, title_bytes);
  snprintf(title, title_bytes, "%s", name);
  setsid();
  umask(022);
  setrlimit(RLIMIT_NOFILE, &original_nofile);
  if (sethostname(hostname, strlen(hostname)) != 0) give_up("sethostname");
  /* Mounts made here stay here; those that the machine unmounts go here too. */
  if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) give_up("mount / as a slave");
  mount_proc();
  mount_sys();
  bind_etc(directory, "hosts");
  bind_etc(directory, "hostname");
  loopback_up();
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

struct command {
  struct command *next;
  pid_t pid;
  char exit_path[];
};

static struct command *commands;

/* What a child tells about a start that failed, through a pipe that a successful exec closes. */
struct start_failure {
  int error;
  char step[32];
};

static _Noreturn void fail_start(int report, const char *step) {
  struct start_failure failure = {.error = errno};
  snprintf(failure.step, sizeof failure.step, "%s", step);
  ssize_t written = write(report, &failure, sizeof failure);
  _exit(written < 0 ? 1 : 127);
}

static _Noreturn void exec_command(int report, const char *cwd, const char *log, char **argv, char **env) {
  sigset_t none;
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

/* run NAME CWD LOG EXIT n ARGV… ENV…; the keeper has checked it. */
static void run(char **fields) {
  const char *cwd = fields[2], *log = fields[3], *exit_path = fields[4];
  size_t argc = strtoul(fields[5], NULL, 10);
  /* ARGV needs a NULL at its end, where ENV begins: both move down by one, over the count and the paths. */
  char **argv = fields + 5, **env = fields + 6 + argc;
  memmove(argv, fields + 6, argc * sizeof *argv);
  argv[argc] = NULL;
  int report[2];
  struct start_failure failure;
  struct command *command = malloc(sizeof *command + strlen(exit_path) + 1);
  if (command == NULL || pipe2(report, O_CLOEXEC) != 0) {
    answer_error(errno, "start a command");
    free(command);
    return;
  }
  unlink(exit_path); /* of an earlier run */
  pid_t pid = fork();
  if (pid == 0) exec_command(report[1], cwd, log, argv, env);
  int fork_error = errno;
  close(report[1]);
  ssize_t got = 0;
  if (pid > 0) {
    do got = read(report[0], &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
  }
  close(report[0]);
  if (pid < 0 || got == sizeof failure) {
    if (pid < 0) answer_error(fork_error, "fork");
    else answer_error(failure.error, failure.step);
    if (pid > 0) waitpid(pid, NULL, 0);
    free(command);
    return;
  }
  answer_ok(pid);
  command->pid = pid;
  strcpy(command->exit_path, exit_path);
  command->next = commands;
  commands = command;
}

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

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    struct command **link = &commands;
    while (*link != NULL && (*link)->pid != pid) link = &(*link)->next;
    struct command *command = *link;
    if (command == NULL) continue; /* an orphan of the host */
    *link = command->next;
    write_exit(command->exit_path, status);
    free(command);
  }
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* False when the keeper is gone. */
static bool serve(void) {
  static char buffer[MESSAGE_BYTES + 1];
  struct message_extra extra;
  ssize_t got = message_receive(CONTROL, buffer, MESSAGE_BYTES, &extra);
  if (got == -EAGAIN) return true;
  if (got <= 0) return false;
  size_t count;
  char **fields = message_fields(buffer, (size_t)got, &count);
  if (fields == NULL) answer_error(ENOMEM, "start a command");
  else run(fields);
  free(fields);
  return true;
}

/* Nobody knows of this host until the keeper has answered for it: if it ends before, so does the host. */
static void await_keeper(void) {
  char kept[8];
  struct message_extra extra;
  struct pollfd control = {.fd = CONTROL, .events = POLLIN};
  ssize_t got;
  do poll(&control, 1, -1);
  while ((got = message_receive(CONTROL, kept, sizeof kept, &extra)) == -EAGAIN || got == -EINTR);
  if (got <= 0) _exit(1);
}

_Noreturn void init_main(int control, const char *name, const char *hostname, const char *directory) {
  sigset_t mask;
  reset_signals();
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  if (control != CONTROL && dup3(control, CONTROL, O_CLOEXEC) < 0) _exit(1);
  /* Descriptors of other hosts and clients must not live on here. */
  if (syscall(SYS_close_range, CONTROL + 1, ~0U, 0) != 0) give_up("close_range");
  make_host(name, hostname, directory);
  int children = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (children < 0) give_up("signalfd");
  answer_ok(getpid());
  await_keeper();
  struct pollfd ready[] = {{.fd = children, .events = POLLIN}, {.fd = CONTROL, .events = POLLIN}};
  for (;;) {
    if (poll(ready, 2, -1) < 0) continue;
    struct signalfd_siginfo one;
    if (ready[0].revents != 0) {
      while (read(children, &one, sizeof one) > 0) continue;
      reap();
    }
    if (ready[1].revents != 0 && !serve()) {
      close(CONTROL);
      ready[1].fd = -1; /* poll(2): ignored from now on */
      ready[1].revents = 0;
    }
  }
}
