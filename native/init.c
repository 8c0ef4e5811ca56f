/*
 * The first process of a host. It makes the host out of new namespaces, then starts and ends the commands that the keeper
 * asks for, and collects what is left behind.
 *
 * It outlives the keeper: it holds the keeper's end of their connection, so that this connection does not end either. A
 * keeper that comes later takes its end from here (host.c, host_adopt), and goes on where the other one was killed.
 */
#include "init.h"
#include "keeper.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- answers ----------------------------------------------------------------------------------------------------- */

void answer_pid(pid_t pid) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
  } control = {.bytes = {0}};
  struct ucred credentials = {.pid = pid, .uid = getuid(), .gid = getgid()};
  struct iovec part = {.iov_base = "pid", .iov_len = 3};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof credentials);
  memcpy(CMSG_DATA(header), &credentials, sizeof credentials);
  sendmsg(CONTROL, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void answer_ok(void) { message_send(CONTROL, "ok", 2, NULL, 0); }

void answer_error(int error, const char *step) {
  char text[512];
  int bytes = snprintf(text, sizeof text, "err%c%s%c%s: %s", 0, strerrorname_np(error), 0, step, strerrordesc_np(error));
  message_send(CONTROL, text, (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1, NULL, 0);
}

void give_up(const char *step) {
  answer_error(errno, step);
  _exit(1);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* adopt NONCE: a keeper has taken the connection over. What it reads before this answer was for the one before. */
static void answer_adopted(const char *nonce) {
  char text[64];
  int bytes = snprintf(text, sizeof text, "adopted%c%s", 0, nonce);
  message_send(CONTROL, text, (size_t)bytes, NULL, 0);
}

static void serve(void) {
  static char buffer[MESSAGE_BYTES + 1];
  struct message_extra extra;
  ssize_t got = message_receive(CONTROL, buffer, MESSAGE_BYTES, &extra);
  if (got <= 0) return;
  size_t count;
  char **fields = message_fields(buffer, (size_t)got, &count);
  if (fields == NULL) answer_error(ENOMEM, "read a request");
  else if (strcmp(fields[0], "run") == 0) command_run(fields);
  else if (strcmp(fields[0], "end") == 0) command_end(fields);
  else if (strcmp(fields[0], "commands") == 0) command_list();
  else if (strcmp(fields[0], "adopt") == 0) answer_adopted(fields[1]);
  else answer_error(EINVAL, fields[0]);
  free(fields);
}

static void reap(int children) {
  struct signalfd_siginfo one;
  int status;
  pid_t pid;
  while (read(children, &one, sizeof one) > 0) continue;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) command_reaped(pid, status);
}

/* Nobody knows of this host until the keeper has answered for it: if it ends before, so does the host. */
static void await_keeper(void) {
  char kept[8];
  struct message_extra extra;
  struct pollfd ready[] = {{.fd = CONTROL, .events = POLLIN}, {.fd = KEEPER_PROCESS, .events = POLLIN}};
  while (message_receive(CONTROL, kept, sizeof kept, &extra) <= 0) {
    /* Its last word may have come after we looked. */
    if (ready[1].revents != 0 && ready[0].revents == 0) _exit(1);
    poll(ready, 2, -1);
  }
  close(KEEPER_PROCESS);
}

/* The keeper's others must not live on here. It has reserved these numbers: none of ours is overwritten, and none wanting. */
static void take_descriptors(int control, int keeper_end) {
  if (dup3(control, CONTROL, O_CLOEXEC) < 0 || dup3(keeper_end, KEEPER_END, O_CLOEXEC) < 0) _exit(1);
  if (syscall(SYS_close_range, KEEPER_PROCESS + 1, ~0U, 0) != 0) give_up("close_range");
}

static void reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
}

_Noreturn void init_main(int control, int keeper_end, const char *name, const char *hostname, const char *directory) {
  sigset_t mask;
  reset_signals();
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  take_descriptors(control, keeper_end);
  furnish(name, hostname, directory);
  answer_pid(getpid());
  await_keeper();
  int children = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (children < 0) _exit(1);
  struct pollfd ready[] = {{.fd = children, .events = POLLIN}, {.fd = CONTROL, .events = POLLIN}};
  for (;;) {
    /* What the keeper asks while a command is being ended waits in the socket: poll(2) skips a negative descriptor. */
    ready[1].fd = command_ending() ? -1 : CONTROL;
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[0].revents != 0) reap(children);
    if (ready[1].fd >= 0 && ready[1].revents != 0) serve();
  }
}
