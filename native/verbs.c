/*
 * What clients may ask for: one function a verb, with the table of all verbs at the end. Each takes the fields after the
 * verb, whose number and shape the table has checked, and either answers now or sets `waiting` and is answered later.
 */
#include "keeper.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_GRACE_MS 60000

static bool visible(const struct client *client, const char *name) {
  return client->prefix == NULL || strncmp(name, client->prefix, strlen(client->prefix)) == 0;
}

static void do_put(struct request *request) {
  int error = names_put(request->arguments[0], request->fd);
  request->fd = -1;
  if (error == ENOSPC) client_refuse(request->client, error, "%d descriptors are held, and no more can be", MAX_DESCRIPTORS);
  else if (error != 0) client_refuse(request->client, error, "%s", strerrordesc_np(error));
  else client_ok(request->client);
}

static void do_get(struct request *request) {
  struct client *client = request->client;
  const char *name = request->arguments[0];
  if (!visible(client, name)) {
    client_refuse(client, EACCES, "this connection may only get names that start with %s", client->prefix);
    return;
  }
  int held = names_get(name);
  if (held < 0) {
    client_refuse(client, ENOENT, "nothing is kept under the name %s", name);
    return;
  }
  int copy = fcntl(held, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) {
    client_refuse(client, errno, "no room for a duplicate: %s", strerrordesc_np(errno));
    return;
  }
  client_queue(client, "ok", 2, copy);
  client_done(client);
}

static void do_drop(struct request *request) {
  if (names_drop(request->arguments[0])) client_ok(request->client);
  else client_refuse(request->client, ENOENT, "nothing is kept under the name %s", request->arguments[0]);
}

/*
 * Answers with a list of strings, by `more` messages as long as they do not fit one, then `ok`. `next` gives a string at
 * a time, and NULL at the end.
 */
static void answer_list(struct client *client, const char *(*next)(void *state), void *state) {
  static char buffer[MESSAGE_BYTES];
  size_t start = 4, end = start; /* `more` or `ok` goes before it */
  for (const char *item; (item = next(state)) != NULL;) {
    size_t bytes = strlen(item) + 1;
    if (end + bytes > sizeof buffer) {
      memcpy(buffer, "more", 4);
      client_queue(client, buffer, end, -1);
      end = start;
    }
    buffer[end] = '\0';
    memcpy(buffer + end + 1, item, bytes - 1);
    end += bytes;
  }
  memcpy(buffer + start - 2, "ok", 2);
  client_queue(client, buffer + start - 2, end - start + 2, -1);
  client_done(client);
}

struct name_run {
  struct named *const *entry;
  size_t left;
};

static const char *next_name(void *state) {
  struct name_run *run = state;
  if (run->left == 0) return NULL;
  run->left--;
  return (*run->entry++)->name;
}

static void do_list(struct request *request) {
  struct name_run run;
  run.entry = names_with_prefix(request->client->prefix == NULL ? "" : request->client->prefix, &run.left);
  answer_list(request->client, next_name, &run);
}

static void do_restrict(struct request *request) {
  request->client->prefix = strdup(request->arguments[0]);
  if (request->client->prefix == NULL) client_refuse(request->client, ENOMEM, "%s", strerrordesc_np(ENOMEM));
  else client_ok(request->client);
}

static void do_host(struct request *request) {
  struct client *client = request->client;
  const char *name = request->arguments[0], *hostname = request->arguments[1], *directory = request->arguments[2], *step;
  if (strlen(hostname) > HOSTNAME_BYTES) client_refuse(client, EINVAL, "a host name has at most %d bytes", HOSTNAME_BYTES);
  else if (directory[0] != '/') client_refuse(client, EINVAL, "not an absolute path: %s", directory);
  else if (host_find(name) != NULL) client_refuse(client, EEXIST, "there is a host %s", name);
  else if (loop_exits()) client_refuse(client, ESHUTDOWN, "the keeper is ending");
  else {
    client->waiting = true;
    int error = host_start(name, hostname, directory, client, &step);
    if (error != 0) client_refuse(client, error, "%s: %s", step, strerrordesc_np(error));
    else client_listen(client);
  }
}

static void do_adopt(struct request *request) {
  struct client *client = request->client;
  const char *name = request->arguments[0], *step;
  struct process process;
  if (!process_parse(request->arguments[1], &process) || !process.start_known)
    client_refuse(client, EINVAL, "not PID:START: %s", request->arguments[1]);
  else if (host_find(name) != NULL) client_refuse(client, EEXIST, "there is a host %s", name);
  else if (host_find_pid(process.pid) != NULL)
    client_refuse(client, EEXIST, "process %d is host %s", (int)process.pid, host_find_pid(process.pid)->name);
  else if (loop_exits()) client_refuse(client, ESHUTDOWN, "the keeper is ending");
  else {
    client->waiting = true;
    int error = host_adopt(name, &process, client, &step);
    if (error != 0) client_refuse(client, error, "%s: %s", step, strerrordesc_np(error));
    else client_listen(client);
  }
}

/* NAME CWD LOG EXIT n ARGV… ENV… */
static const char *run_mistake(const struct request *request) {
  char *end;
  unsigned long argc = strtoul(request->arguments[4], &end, 10);
  for (size_t i = 1; i <= 3; i++) {
    if (request->arguments[i][0] != '/') return "CWD, LOG and EXIT must be absolute paths";
  }
  if (*end != '\0' || argc < 1 || argc > request->count - 5) return "n is not the length of ARGV";
  if (request->arguments[5][0] == '\0') return "ARGV starts with an empty string";
  for (size_t i = 5 + argc; i < request->count; i++) {
    if (strchr(request->arguments[i], '=') == NULL) return "ENV has an entry without '='";
  }
  return NULL;
}

/* A request that the init answers. */
static void forward(struct request *request, const char *mistake) {
  struct client *client = request->client;
  struct host *host = host_find(request->arguments[0]);
  if (mistake != NULL) client_refuse(client, EINVAL, "%s", mistake);
  else if (host == NULL) client_refuse(client, ENOENT, "there is no host %s", request->arguments[0]);
  else {
    client->waiting = true;
    int error = host_forward(host, request->data, request->bytes, client);
    if (error == EAGAIN) client_refuse(client, error, "the init of host %s takes no requests", host->name);
    else if (error != 0) client_refuse(client, error, "the init of host %s: %s", host->name, strerrordesc_np(error));
    else client_listen(client);
  }
}

static void do_run(struct request *request) { forward(request, run_mistake(request)); }

/* NAME EXIT GRACE */
static void do_end(struct request *request) {
  char *end;
  const char *grace = request->arguments[2];
  unsigned long grace_ms = strtoul(grace, &end, 10);
  if (request->arguments[1][0] != '/') forward(request, "EXIT must be an absolute path");
  else if (grace[0] < '0' || grace[0] > '9' || *end != '\0' || grace_ms > MAX_GRACE_MS)
    forward(request, "GRACE is not a number of milliseconds, of a minute at most");
  else forward(request, NULL);
}

static void do_commands(struct request *request) { forward(request, NULL); }

/* All are killed, then all are waited for: two hundred take as long as the slowest. */
static void do_stop(struct request *request) {
  struct client *client = request->client;
  for (size_t i = 0; i < request->count; i++) {
    struct host *host = host_find(request->arguments[i]);
    if (host == NULL) {
      client_refuse(client, ENOENT, "there is no host %s", request->arguments[i]);
      return;
    }
    if (host->stopper != NULL) {
      client_refuse(client, EBUSY, "host %s is being stopped", host->name);
      return;
    }
  }
  for (size_t i = 0; i < request->count; i++) {
    struct host *host = host_find(request->arguments[i]);
    if (host->stopper != NULL) continue; /* named twice */
    host->stopper = client;
    client->stops_left++;
    host_kill(host);
  }
  client->waiting = true;
  client_listen(client);
}

/* Name and pid of each, newest first. */
struct host_walk {
  const struct host *host;
  bool pid_next;
  char pid[16];
};

static const char *next_host_field(void *state) {
  struct host_walk *walk = state;
  if (walk->host == NULL) return NULL;
  if (!walk->pid_next) {
    walk->pid_next = true;
    return walk->host->name;
  }
  snprintf(walk->pid, sizeof walk->pid, "%d", (int)walk->host->pid);
  walk->pid_next = false;
  walk->host = walk->host->next;
  return walk->pid;
}

static void do_hosts(struct request *request) {
  struct host_walk walk = {.host = hosts};
  answer_list(request->client, next_host_field, &walk);
}

static void do_pid(struct request *request) { client_answer_pid(request->client, getpid()); }

static void do_exit(struct request *request) {
  struct client *client = request->client;
  loop_exit();
  for (struct host *host = hosts; host != NULL; host = host->next) {
    if (host->stopper != NULL) continue; /* its stopper is told; the keeper waits for it all the same */
    host->stopper = client;
    client->stops_left++;
  }
  client->waiting = client->stops_left > 0;
  if (client->waiting) client_listen(client);
  else client_ok(client);
}

static const struct verb {
  const char *name;
  size_t min_arguments, max_arguments;
  bool takes_fd;
  bool names; /* the first argument is a name (or, of `stop`, every one) */
  bool when_restricted;
  void (*act)(struct request *request);
} verbs[] = {
    {"put", 1, 1, true, true, false, do_put},
    {"get", 1, 1, false, true, true, do_get},
    {"drop", 1, 1, false, true, false, do_drop},
    {"list", 0, 0, false, false, true, do_list},
    {"restrict", 1, 1, false, true, false, do_restrict},
    {"host", 3, 3, false, true, false, do_host},
    {"adopt", 2, 2, false, true, false, do_adopt},
    {"run", 6, MESSAGE_BYTES, false, true, false, do_run},
    {"end", 3, 3, false, true, false, do_end},
    {"commands", 1, 1, false, true, false, do_commands},
    {"stop", 1, MESSAGE_BYTES, false, true, false, do_stop},
    {"hosts", 0, 0, false, false, false, do_hosts},
    {"pid", 0, 0, false, false, false, do_pid},
    {"exit", 0, 0, false, false, false, do_exit},
};

void request_handle(struct request *request, const char *verb_name) {
  const struct verb *verb = verbs, *end = verbs + sizeof verbs / sizeof verbs[0];
  while (verb < end && strcmp(verb->name, verb_name) != 0) verb++;
  struct client *client = request->client;
  if (verb == end) client_refuse(client, EINVAL, "no such verb");
  else if (client->prefix != NULL && !verb->when_restricted)
    client_refuse(client, EPERM, "this connection may only get and list");
  else if (request->count < verb->min_arguments || request->count > verb->max_arguments)
    client_refuse(client, EINVAL, "%s does not take %zu arguments", verb->name, request->count);
  else if (verb->takes_fd != (request->fd >= 0))
    client_refuse(client, EINVAL, "%s takes %s descriptor", verb->name, verb->takes_fd ? "one" : "no");
  else if (verb->names && (request->arguments[0][0] == '\0' || strlen(request->arguments[0]) > NAME_BYTES))
    client_refuse(client, EINVAL, "a name has 1 to %d bytes", NAME_BYTES);
  else verb->act(request);
}
