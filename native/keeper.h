/*
 * What the keeper's files share. The protocol is described in keeper.ts.
 *
 *   keeper.c   the loop
 *   client.c   connections: requests in, answers out
 *   verbs.c    what is done for each request
 *   names.c    the descriptors that are held, by name
 *   host.c     hosts: starting an init or taking one over, speaking with it
 *   init.c     the first process of a host: runs in the child, and shares nothing with the keeper but a connection;
 *              see init.h
 */
#ifndef LUTHIER_KEEPER_H
#define LUTHIER_KEEPER_H

#include "process.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#define NAME_BYTES 255
#define HOSTNAME_BYTES 64
#define MAX_DESCRIPTORS 16384
#define NONCE_BYTES 16

/* --- descriptors by name (names.c) ------------------------------------------------------------------------------- */

struct named {
  int fd;
  char name[];
};

/* Takes ownership of `fd`, also when it fails; replaces and closes what had the name. 0 or an errno. */
int names_put(const char *name, int fd);
/* The descriptor, which stays the table's; -1 where there is none. */
int names_get(const char *name);
/* False where there is none. */
bool names_drop(const char *name);
/* The entries whose names start with `prefix`, in order: a run of the table, valid until the next put or drop. */
struct named *const *names_with_prefix(const char *prefix, size_t *count);

/* --- the loop (keeper.c) ----------------------------------------------------------------------------------------- */

/* What an epoll event points to; each kind has it as its first member. */
struct source {
  void (*ready)(struct source *source, unsigned events);
  int fd; /* -1 when it has been closed */
};

int loop_add(struct source *source, unsigned events);
void loop_change(struct source *source, unsigned events);
/* Takes it out of the loop and closes its descriptor; no event comes after that, and it may be freed. */
void loop_close(struct source *source);
/* Ends all hosts, and when they are gone the keeper. */
void loop_exit(void);
bool loop_exits(void);

/* --- connections (client.c) -------------------------------------------------------------------------------------- */

struct client {
  struct source source;
  struct client *next_waiter; /* in the list of the host that it waits for */
  struct answer *answers;
  bool waiting; /* for an init's answer, or for the end of hosts */
  bool broken;  /* an answer was lost for want of memory */
  size_t stops_left;
  char *prefix; /* restricted to names with this prefix; NULL: not restricted */
};

/* Takes over a connection; false when there are too many. */
bool client_accept(int sock);

/* Answers. Each of these but client_queue completes the answer; after that the client may be gone. */
void client_ok(struct client *client);
void client_answer(struct client *client, const char *data, size_t bytes);
void client_answer_pid(struct client *client, pid_t pid);
__attribute__((format(printf, 3, 4))) void client_refuse(struct client *client, int error, const char *format, ...);
/* Adds a message to the answer; `fd` is taken over, -1 for none. */
void client_queue(struct client *client, const char *data, size_t bytes, int fd);
void client_done(struct client *client);

/* After `waiting` was set. */
void client_listen(struct client *client);
/* One of the hosts that the client asked to stop is gone. */
void client_host_gone(struct client *client);

/* --- requests (verbs.c) ------------------------------------------------------------------------------------------ */

/* A message of a client, for as long as it is handled. */
struct request {
  struct client *client;
  char **arguments; /* the fields after the verb */
  size_t count;
  int fd;           /* -1 where none came; closed after handling unless it is set to -1 */
  const char *data; /* the message as it came */
  size_t bytes;
};

void request_handle(struct request *request, const char *verb);

/* --- hosts (host.c) ---------------------------------------------------------------------------------------------- */

struct host {
  struct source control; /* our end of the connection with its init */
  struct source init;    /* pidfd of the init: ready when it has ended */
  struct host *next;
  pid_t pid;
  bool started;           /* the init has said that the host is ready, or that it has been adopted */
  char nonce[NONCE_BYTES + 1]; /* of the adoption; empty when the host was made here */
  char *failure;          /* what it said instead: told to the client once the init has ended */
  size_t failure_bytes;
  struct client *waiters; /* clients whose requests the init has not answered, in the order of the requests */
  struct client *stopper; /* the client that asked for its end */
  char name[NAME_BYTES + 1];
};

/* All hosts, newest first. */
extern struct host *hosts;

struct host *host_find(const char *name);
struct host *host_find_pid(pid_t pid);
/* Starts an init; its answer comes later, to `client`. 0, or an errno and in `*step` what failed. */
int host_start(const char *name, const char *hostname, const char *directory, struct client *client, const char **step);
/* Takes over the init that an earlier keeper left; otherwise as host_start. */
int host_adopt(const char *name, const struct process *process, struct client *client, const char **step);
/* Passes a request for the init on as it came; the answer comes later, to `client`. 0 or an errno. */
int host_forward(struct host *host, const void *request, size_t bytes, struct client *client);
/* SIGKILL to the init: the kernel ends every process of the host with it. */
void host_kill(struct host *host);

/* --- the init (init.c) ------------------------------------------------------------------------------------------- */

/* The limit that the keeper was started with: the init and its commands get that one. */
extern struct rlimit original_nofile;
/* Where the keeper's argument stands in its memory: what /proc/PID/cmdline shows of its children too. */
extern char *title;
extern size_t title_bytes;

/* In the child, inside its new namespaces. */
_Noreturn void init_main(int control, int keeper_end, const char *name, const char *hostname, const char *directory);

#endif
