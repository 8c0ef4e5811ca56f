/*
 * Connections to the keeper. A client has at most one request under way: its next one stays in the socket until its
 * answer has been taken. One that does not read holds up nobody else.
 */
#include "keeper.h"
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_CLIENTS 256

/* A message that waits for room in a client's socket. */
struct answer {
  struct answer *next;
  int fd; /* ours, to be passed and closed; or -1 */
  size_t bytes;
  char data[];
};

static size_t client_count;

static void client_free(struct client *client) {
  struct answer *answer;
  while ((answer = client->answers) != NULL) {
    client->answers = answer->next;
    if (answer->fd >= 0) close(answer->fd);
    free(answer);
  }
  free(client->prefix);
  free(client);
  client_count--;
}

/* One that waits for a host stays, without a connection, until the host has answered. */
static void client_gone(struct client *client) {
  if (client->source.fd >= 0) loop_close(&client->source);
  if (!client->waiting) client_free(client);
}

/* For what the client may do now: take an answer, or ask. EPOLLHUP comes always. */
void client_listen(struct client *client) {
  unsigned events = client->answers != NULL ? EPOLLOUT : client->waiting ? 0 : EPOLLIN;
  loop_change(&client->source, events);
}

/* Sends what there is room for; false when the connection is of no use any more. */
static bool client_flush(struct client *client) {
  struct answer *answer;
  while ((answer = client->answers) != NULL) {
    int sent = message_send(client->source.fd, answer->data, answer->bytes, &answer->fd, answer->fd >= 0);
    if (sent == -EAGAIN) return true;
    if (sent < 0) return false;
    client->answers = answer->next;
    if (answer->fd >= 0) close(answer->fd);
    free(answer);
  }
  return true;
}

void client_queue(struct client *client, const char *data, size_t bytes, int fd) {
  struct answer *answer = malloc(sizeof *answer + bytes);
  if (answer == NULL) {
    /* The connection ends rather than the keeper. */
    client->broken = true;
    if (fd >= 0) close(fd);
    return;
  }
  *answer = (struct answer){.fd = fd, .bytes = bytes};
  memcpy(answer->data, data, bytes);
  struct answer **end = &client->answers;
  while (*end != NULL) end = &(*end)->next;
  *end = answer;
}

void client_done(struct client *client) {
  client->waiting = false;
  if (client->source.fd < 0 || client->broken || !client_flush(client)) client_gone(client);
  else client_listen(client);
}

void client_answer(struct client *client, const char *data, size_t bytes) {
  client_queue(client, data, bytes, -1);
  client_done(client);
}

void client_ok(struct client *client) { client_answer(client, "ok", 2); }

void client_answer_pid(struct client *client, pid_t pid) {
  char text[32];
  client_answer(client, text, (size_t)snprintf(text, sizeof text, "ok%c%d", 0, (int)pid));
}

void client_refuse(struct client *client, int error, const char *format, ...) {
  char text[1024];
  size_t bytes = (size_t)snprintf(text, sizeof text, "err%c%s%c", 0, strerrorname_np(error), 0);
  va_list values;
  va_start(values, format);
  int more = vsnprintf(text + bytes, sizeof text - bytes, format, values);
  va_end(values);
  size_t end = bytes + (size_t)more;
  client_answer(client, text, end < sizeof text ? end : sizeof text - 1);
}

void client_host_gone(struct client *client) {
  if (--client->stops_left == 0) client_ok(client);
}

static void client_ready(struct source *source, unsigned events) {
  static char buffer[MESSAGE_BYTES + 1];
  struct client *client = (struct client *)source;
  if (events & EPOLLOUT) {
    if (client_flush(client)) client_listen(client);
    else client_gone(client);
    return;
  }
  if (!(events & EPOLLIN)) {
    client_gone(client); /* EPOLLHUP, EPOLLERR */
    return;
  }
  struct message_extra extra;
  ssize_t got = message_receive(source->fd, buffer, MESSAGE_BYTES, &extra);
  if (got == -EAGAIN) return;
  if (got == -EMSGSIZE) client_refuse(client, EMSGSIZE, "a request has at most %d bytes", MESSAGE_BYTES);
  else if (got == -EMFILE) client_refuse(client, EMFILE, "the keeper has no room for another descriptor (RLIMIT_NOFILE)");
  else if (got <= 0) client_gone(client);
  else {
    struct request request = {.client = client, .fd = -1, .data = buffer, .bytes = (size_t)got};
    char **fields = message_fields(buffer, (size_t)got, &request.count);
    for (size_t i = 1; i < extra.fd_count; i++) close(extra.fds[i]);
    if (extra.fd_count > 0) request.fd = extra.fds[0];
    if (fields == NULL) client_refuse(client, ENOMEM, "%s", strerrordesc_np(ENOMEM));
    else if (extra.fd_count > 1) client_refuse(client, EINVAL, "more than one descriptor");
    else {
      request.arguments = fields + 1;
      request.count--;
      request_handle(&request, fields[0]);
    }
    if (request.fd >= 0) close(request.fd);
    free(fields);
  }
}

bool client_accept(int sock) {
  struct client *client = client_count < MAX_CLIENTS ? calloc(1, sizeof *client) : NULL;
  if (client == NULL) return false;
  client->source = (struct source){.ready = client_ready, .fd = sock};
  if (loop_add(&client->source, EPOLLIN) != 0) {
    free(client);
    return false;
  }
  client_count++;
  return true;
}
