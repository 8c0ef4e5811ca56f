/*
 * Hosts, from the keeper's side. A host is its init, a process with namespaces of its own that the keeper cloned, or that
 * an earlier keeper cloned and left behind when it was killed. A connection of two sockets is all that they share. The
 * keeper never waits for an init: it sends, and answers the client when the init has answered. What an init says comes in
 * the order in which it was asked.
 */
#include "keeper.h"
#include "init.h"
#include "message.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct host *hosts;

struct host *host_find(const char *name) {
  struct host *host = hosts;
  while (host != NULL && strcmp(host->name, name) != 0) host = host->next;
  return host;
}

struct host *host_find_pid(pid_t pid) {
  struct host *host = hosts;
  while (host != NULL && host->pid != pid) host = host->next;
  return host;
}

static void wait_for(struct host *host, struct client *client) {
  struct client **end = &host->waiters;
  while (*end != NULL) end = &(*end)->next_waiter;
  *end = client;
}

static struct client *take_waiter(struct host *host) {
  struct client *client = host->waiters;
  if (client != NULL) {
    host->waiters = client->next_waiter;
    client->next_waiter = NULL;
  }
  return client;
}

static bool is(const char *data, size_t bytes, const char *word) {
  return bytes == strlen(word) && memcmp(data, word, bytes) == 0;
}

/*
 * Our end of the connection is ours alone for as long as we live: a lock that belongs to this process (fcntl(2)), not to
 * the descriptor, which the init has too.
 */
static bool claim(int control) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(control, F_SETLK, &whole) == 0;
}

/* The init of a new host has made it, or says why it could not. */
static void hear_birth(struct host *host, const char *data, size_t bytes, pid_t pid) {
  if (!is(data, bytes, "pid")) {
    /* It ends now. The client hears it when the host is gone, and may then ask for the same name again. */
    free(host->failure);
    host->failure = malloc(bytes);
    if (host->failure != NULL) memcpy(host->failure, data, bytes);
    host->failure_bytes = bytes;
    return;
  }
  host->started = true;
  struct client *client = take_waiter(host);
  if (client != NULL) client_answer_pid(client, pid);
  /* Answered first: an init that outlives us is one that somebody knows of (init.c, await_keeper). */
  message_send(host->control.fd, "kept", 4, NULL, 0);
}

/* The init of an adopted host: what is not the answer to us was for the keeper before. */
static void hear_adoption(struct host *host, const char *data, size_t bytes) {
  char expected[sizeof "adopted" + NONCE_BYTES + 1];
  size_t length = (size_t)snprintf(expected, sizeof expected, "adopted%c%s", 0, host->nonce);
  if (bytes != length || memcmp(data, expected, bytes) != 0) return;
  host->started = true;
  struct client *client = take_waiter(host);
  if (client != NULL) client_ok(client);
}

/* `pid`, with the process in question as its sender; or `ok …` or `err …`, as the client will see it. */
static void hear(struct host *host, const char *data, size_t bytes, pid_t pid) {
  struct client *client;
  if (!host->started && host->nonce[0] != '\0') hear_adoption(host, data, bytes);
  else if (!host->started) hear_birth(host, data, bytes, pid);
  else if ((client = take_waiter(host)) == NULL) return;
  else if (is(data, bytes, "pid")) client_answer_pid(client, pid);
  else client_answer(client, data, bytes);
}

static void control_ready(struct source *source, unsigned events) {
  (void)events;
  struct host *host = (struct host *)source;
  static char buffer[MESSAGE_BYTES];
  struct message_extra extra;
  ssize_t got;
  while ((got = message_receive(source->fd, buffer, sizeof buffer, &extra)) > 0) {
    for (size_t i = 0; i < extra.fd_count; i++) close(extra.fds[i]);
    hear(host, buffer, (size_t)got, extra.pid);
  }
  if (got == -EAGAIN) return;
  /* It is ending; init_ended does the rest. A closed socket would be ready for ever. */
  loop_close(source);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void host_gone(struct host *host) {
  struct client *client;
  /* What it said before it ended. */
  if (host->control.fd >= 0) control_ready(&host->control, EPOLLIN);
  if (host->control.fd >= 0) loop_close(&host->control);
  while ((client = take_waiter(host)) != NULL) {
    if (host->failure != NULL) client_answer(client, host->failure, host->failure_bytes);
    else client_refuse(client, ESRCH, "the init of host %s has ended", host->name);
  }
  if (host->stopper != NULL) client_host_gone(host->stopper);
  free(host->failure);
  free(host);
}

static void init_ended(struct source *source, unsigned events) {
  (void)events;
  struct host *host = (struct host *)((char *)source - offsetof(struct host, init));
  struct host **link = &hosts;
  while (*link != host) link = &(*link)->next;
  *link = host->next;
  /* An adopted one is not our child: it is collected by whoever its parent is. */
  siginfo_t status;
  waitid(P_PIDFD, (id_t)source->fd, &status, WEXITED | WNOHANG);
  loop_close(source);
  host_gone(host);
}

void host_kill(struct host *host) { syscall(SYS_pidfd_send_signal, host->init.fd, SIGKILL, NULL, 0); }

/* --- the beginning ----------------------------------------------------------------------------------------------- */

static struct host *host_new(const char *name) {
  struct host *host = calloc(1, sizeof *host);
  if (host == NULL) return NULL;
  host->control = (struct source){.ready = control_ready, .fd = -1};
  host->init = (struct source){.ready = init_ended, .fd = -1};
  strcpy(host->name, name);
  return host;
}

/* With its connection and its process in the loop; from now on they are closed by loop_close alone. */
static void host_join(struct host *host, struct client *client) {
  host->next = hosts;
  hosts = host;
  wait_for(host, client);
}

/* An errno, after whatever of a host there is has been closed. */
static int host_abandon(struct host *host, int error) {
  if (host->control.fd >= 0) loop_close(&host->control);
  if (host->init.fd >= 0) loop_close(&host->init);
  free(host);
  return error;
}

int host_start(const char *name, const char *hostname, const char *directory, struct client *client, const char **step) {
  int pair[2], one = 1;
  struct host *host = host_new(name);
  *step = "calloc";
  if (host == NULL) return ENOMEM;
  *step = "socketpair";
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return host_abandon(host, errno);
  host->control.fd = pair[0];
  /* With the credentials of a message the kernel translates a pid from the host's namespace to ours: unix(7). */
  *step = "setsockopt(SO_PASSCRED)";
  bool ready = setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0;
  if (ready) *step = "fcntl(F_SETLK)", ready = claim(pair[0]);
  if (ready) *step = "epoll_ctl", ready = loop_add(&host->control, EPOLLIN) == 0;
  if (ready) {
    /* The other namespaces it makes itself (furnish.c). Until then it has copies of all of our descriptors. */
    *step = "clone";
    host->pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_PIDFD | SIGCHLD, NULL, &host->init.fd, NULL, NULL);
    if (host->pid == 0) init_main(pair[1], pair[0], name, hostname, directory);
    ready = host->pid > 0;
  }
  int error = errno;
  close(pair[1]);
  if (!ready) return host_abandon(host, error);
  *step = "epoll_ctl";
  if (loop_add(&host->init, EPOLLIN) != 0) {
    error = errno;
    host_kill(host);
    waitpid(host->pid, NULL, 0);
    return host_abandon(host, error);
  }
  host_join(host, client);
  return 0;
}

static bool is_connection(int fd) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
         getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/*
 * The keeper's end of the connection is taken from the init, which holds it for this (pidfd_getfd(2): the kernel lets
 * those have it who may trace the init). Requests that the keeper before sent may be under way, and answers to them.
 */
int host_adopt(const char *name, const struct process *process, struct client *client, const char **step) {
  unsigned char random[NONCE_BYTES / 2];
  char request[sizeof "adopt" + NONCE_BYTES + 1];
  struct host *host = host_new(name);
  *step = "calloc";
  if (host == NULL) return ENOMEM;
  host->pid = process->pid;
  *step = "pidfd_open";
  host->init.fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
  if (host->init.fd < 0) return host_abandon(host, errno);
  /* Compared after it was opened: what has this start is what is open. */
  int directory = process_open(process);
  if (directory < 0) return host_abandon(host, errno);
  close(directory);
  *step = "pidfd_getfd";
  host->control.fd = (int)syscall(SYS_pidfd_getfd, host->init.fd, KEEPER_END, 0);
  if (host->control.fd < 0) return host_abandon(host, errno);
  *step = "it is not the init of a host";
  if (!is_connection(host->control.fd)) return host_abandon(host, ENOTSOCK);
  *step = "another keeper has it";
  if (!claim(host->control.fd)) return host_abandon(host, EBUSY);
  *step = "getrandom";
  if (getrandom(random, sizeof random, 0) != sizeof random) return host_abandon(host, errno);
  for (size_t i = 0; i < sizeof random; i++) snprintf(host->nonce + 2 * i, 3, "%02x", random[i]);
  *step = "ask the init";
  int bytes = snprintf(request, sizeof request, "adopt%c%s", 0, host->nonce);
  int sent = message_send(host->control.fd, request, (size_t)bytes, NULL, 0);
  if (sent < 0) return host_abandon(host, -sent);
  *step = "epoll_ctl";
  if (loop_add(&host->control, EPOLLIN) != 0 || loop_add(&host->init, EPOLLIN) != 0) return host_abandon(host, errno);
  host_join(host, client);
  return 0;
}

int host_forward(struct host *host, const void *request, size_t bytes, struct client *client) {
  if (host->control.fd < 0) return ESRCH;
  int sent = message_send(host->control.fd, request, bytes, NULL, 0);
  if (sent < 0) return -sent;
  wait_for(host, client);
  return 0;
}
