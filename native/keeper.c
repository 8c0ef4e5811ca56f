/*
 * The keeper: holds a network's namespaces (through the inits of its hosts) and a duplicate of each of its TAP and UDP
 * descriptors, so that agent and switches may die without a carrier change. The protocol is described in keeper.ts.
 *
 *   keeper [--await] SOCKETPATH      prints `ready` when it listens, then lets go of its standard streams; with --await once
 *                                    a byte has come on its standard input, and at its end ends instead
 *
 * One thread, one loop, and nothing in it blocks: a client that does not read its answer, or an init that does not
 * reply, holds up nobody else. SIGTERM is the request `exit`.
 */
#include "keeper.h"
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct rlimit original_nofile;
char *title;
size_t title_bytes;

static int epoll_fd;
static int spare_fd; /* given up for a moment when a connection must be refused for want of descriptors */
static const char *socket_path;
static bool exiting;

static int control(int operation, struct source *source, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(epoll_fd, operation, source->fd, &event);
}

int loop_add(struct source *source, unsigned events) { return control(EPOLL_CTL_ADD, source, events); }

void loop_change(struct source *source, unsigned events) { control(EPOLL_CTL_MOD, source, events); }

/*
 * Removed by name: close(2) alone ends the registration only when it closes the last copy of the descriptor, and an init
 * that was cloned a moment ago has a copy of each until it has closed them. Events would go on to come, for a source that
 * may have been freed (epoll(7), "Will closing a file descriptor").
 */
void loop_close(struct source *source) {
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
  close(source->fd);
  source->fd = -1;
}

void loop_exit(void) {
  exiting = true;
  for (struct host *host = hosts; host != NULL; host = host->next) host_kill(host);
}

bool loop_exits(void) { return exiting; }

static void quit_when_empty(void) {
  if (!exiting || hosts != NULL) return;
  unlink(socket_path);
  exit(0);
}

static void listener_ready(struct source *source, unsigned events) {
  (void)events;
  int sock = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (sock < 0) {
    if (errno != EMFILE) return;
    /* Left in the queue it would wake the loop for ever: take it with the descriptor kept for this, and close it. */
    close(spare_fd);
    sock = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
    if (sock >= 0) close(sock);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return;
  }
  if (!client_accept(sock)) close(sock);
}

static void signals_ready(struct source *source, unsigned events) {
  (void)events;
  struct signalfd_siginfo one;
  bool end = false;
  while (read(source->fd, &one, sizeof one) > 0) end = end || one.ssi_signo == SIGTERM;
  if (end) loop_exit();
}

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "keeper: %s: %s\n", what, strerrordesc_np(errno));
  exit(1);
}

static int open_listener(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (socket_path[0] != '/' || strlen(socket_path) >= sizeof address.sun_path) {
    fprintf(stderr, "keeper: SOCKETPATH must be absolute, of at most %zu bytes: %s\n", sizeof address.sun_path - 1,
            socket_path);
    exit(1);
  }
  strcpy(address.sun_path, socket_path);
  int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* The file gets the socket's mode (unix_bind_bsd in net/unix/af_unix.c): it is never open to others. */
  if (sock < 0 || fchmod(sock, 0600) != 0) fail("socket");
  if (bind(sock, (struct sockaddr *)&address, sizeof address) != 0) fail(socket_path);
  if (listen(sock, 128) != 0) fail("listen");
  return sock;
}

static int open_signals(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  if (sigprocmask(SIG_SETMASK, &mask, NULL) != 0) fail("sigprocmask");
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) fail("signalfd");
  return fd;
}

/* As many descriptors as may be; hosts get back what we were given. */
static void raise_descriptor_limit(void) {
  if (getrlimit(RLIMIT_NOFILE, &original_nofile) != 0) fail("getrlimit");
  struct rlimit most = {.rlim_cur = original_nofile.rlim_max, .rlim_max = original_nofile.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &most) != 0) fail("setrlimit");
}

/* As init.h has them: two numbers for an init's connection, and what tells it that we have ended. */
static void reserve_descriptors(void) {
  int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (process < 0) fail("pidfd_open");
  if (process != KEEPER_PROCESS && (dup3(process, KEEPER_PROCESS, O_CLOEXEC) < 0 || close(process) != 0)) fail("dup3");
  for (int fd = CONTROL; fd < KEEPER_PROCESS; fd++) {
    if (dup3(KEEPER_PROCESS, fd, O_CLOEXEC) < 0) fail("dup3");
  }
}

static void say_ready(void) {
  if (printf("ready\n") < 0 || fflush(stdout) != 0) fail("standard output");
}

/* Whoever started us writes us down first: when it was killed before it could, nobody would know of us. */
static void await_word(void) {
  char word;
  ssize_t got;
  do got = read(0, &word, 1);
  while (got < 0 && errno == EINTR);
  if (got == 1) return;
  unlink(socket_path);
  exit(1);
}

/* From now on no terminal, pipe or folder of whoever started us is held. */
static void detach(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) fail("/dev/null");
  if (null > 2) close(null);
  if (chdir("/") != 0) fail("/");
}

int main(int argc, char **argv) {
  bool awaits = argc == 3 && strcmp(argv[1], "--await") == 0;
  if (argc != 2 && !awaits) {
    fprintf(stderr, "usage: keeper [--await] SOCKETPATH\n");
    return 1;
  }
  socket_path = strdup(argv[argc - 1]);
  /* The arguments stand one behind the other. */
  title = argv[1];
  title_bytes = (size_t)(argv[argc - 1] - argv[1]) + strlen(argv[argc - 1]) + 1;
  if (syscall(SYS_close_range, 3, ~0U, 0) != 0) fail("close_range");
  reserve_descriptors();
  setsid(); /* refused where we lead a session already */
  raise_descriptor_limit();
  struct source signals = {.ready = signals_ready, .fd = open_signals()};
  struct source listener = {.ready = listener_ready, .fd = open_listener()};
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (epoll_fd < 0 || spare_fd < 0 || loop_add(&signals, EPOLLIN) != 0 || loop_add(&listener, EPOLLIN) != 0)
    fail("epoll");
  say_ready();
  if (awaits) await_word();
  detach();
  for (;;) {
    /* One event at a time: what one of them frees cannot be in the hands of the next. */
    struct epoll_event event;
    if (epoll_wait(epoll_fd, &event, 1, -1) == 1) {
      struct source *source = event.data.ptr;
      source->ready(source, event.events);
    }
    quit_when_empty();
  }
}
