/*
 * Hosts, from the keeper's side. A host is its init, a child of the keeper with namespaces of its own; both ends of a
 * socket pair are all that they share. The keeper never waits for an init: it sends, and answers the client when the
 * init has answered. What an init says comes in the order in which it was asked.
 */
#include "keeper.h"
#include "message.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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

/* The init has answered: `ok`, with the process in question as its sender, or `err …` as the client will see it. */
static void hear(struct host *host, const char *data, size_t bytes, pid_t pid) {
  bool ok = bytes == 2 && memcmp(data, "ok", 2) == 0;
  if (!ok && !host->started) {
    /* It ends now. The client hears it when the host is gone, and may then ask for the same name again. */
    free(host->failure);
    host->failure = malloc(bytes);
    if (host->failure != NULL) memcpy(host->failure, data, bytes);
    host->failure_bytes = bytes;
    return;
  }
  bool born = !host->started;
  host->started = true;
  struct client *client = take_waiter(host);
  if (client != NULL && ok) client_answer_pid(client, pid);
  else if (client != NULL) client_answer(client, data, bytes);
  /* Answered first: an init that outlives us is one that somebody knows of (init.c, await_keeper). */
  if (born) message_send(host->source.fd, "kept", 4, NULL, 0);
}

static void host_ready(struct source *source, unsigned events) {
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
  /* It is ending; hosts_reap does the rest. A closed socket would be ready for ever. */
  loop_close(source);
}

int host_start(const char *name, const char *hostname, const char *directory, struct client *client, const char **step) {
  int pair[2], error, one = 1;
  struct host *host = calloc(1, sizeof *host);
  *step = "calloc";
  if (host == NULL) return ENOMEM;
  *step = "socketpair";
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) goto fail;
  host->source = (struct source){.ready = host_ready, .fd = pair[0]};
  strcpy(host->name, name);
  /* With the credentials of a message the kernel translates a pid from the host's namespace to ours: unix(7). */
  *step = "setsockopt(SO_PASSCRED)";
  if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) != 0) goto fail_pair;
  *step = "epoll_ctl";
  if (loop_add(&host->source, EPOLLIN) != 0) goto fail_pair;
  /* Its copies of our descriptors outlive this call: from now on what is in the loop is closed by loop_close alone. */
  *step = "clone";
  unsigned long flags = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC | SIGCHLD;
  host->pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
  if (host->pid < 0) goto fail_pair;
  if (host->pid == 0) init_main(pair[1], name, hostname, directory);
  close(pair[1]);
  host->next = hosts;
  hosts = host;
  wait_for(host, client);
  return 0;

fail_pair:
  error = errno;
  close(pair[0]);
  close(pair[1]);
  errno = error;
fail:
  error = errno;
  free(host);
  return error;
}

int host_forward(struct host *host, const void *request, size_t bytes, struct client *client) {
  if (host->source.fd < 0) return ESRCH;
  int sent = message_send(host->source.fd, request, bytes, NULL, 0);
  if (sent < 0) return -sent;
  wait_for(host, client);
  return 0;
}

void host_kill(struct host *host) { kill(host->pid, SIGKILL); }

static void host_gone(struct host *host) {
  struct client *client;
  /* What it said before it ended. */
  if (host->source.fd >= 0) host_ready(&host->source, EPOLLIN);
  if (host->source.fd >= 0) loop_close(&host->source);
  while ((client = take_waiter(host)) != NULL) {
    if (host->failure != NULL) client_answer(client, host->failure, host->failure_bytes);
    else client_refuse(client, ESRCH, "the init of host %s has ended", host->name);
  }
  if (host->stopper != NULL) client_host_gone(host->stopper);
  free(host->failure);
  free(host);
}

void hosts_reap(void) {
  pid_t pid;
  while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
    struct host **link = &hosts;
    while (*link != NULL && (*link)->pid != pid) link = &(*link)->next;
    struct host *host = *link;
    if (host == NULL) continue;
    *link = host->next;
    host_gone(host);
  }
}
