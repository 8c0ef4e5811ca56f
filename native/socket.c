/* Local sockets: connecting, listening, and messages with descriptors. */
#include "addon.h"
#include "message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool get_path(napi_env env, napi_value value, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  return get_string(env, value, "path of a Unix socket", address->sun_path, sizeof address->sun_path);
}

napi_value native_seqpacketConnect(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct sockaddr_un address;
  arguments(env, info, 1, &argument);
  if (!get_path(env, argument, &address)) return NULL;
  int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (sock < 0) return throw_errno(env, "socket", errno);
  if (connect(sock, (struct sockaddr *)&address, sizeof address) != 0) {
    int error = errno;
    close(sock);
    return throw_errno(env, "connect", error);
  }
  return make_int(env, sock);
}

napi_value native_unixListen(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  struct sockaddr_un address;
  int64_t backlog;
  arguments(env, info, 2, argument);
  if (!get_path(env, argument[0], &address) || !get_int(env, argument[1], "backlog", 1, 65535, &backlog)) return NULL;
  int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (sock < 0) return throw_errno(env, "socket", errno);
  const char *step = NULL;
  /* bind gives the file the socket's own mode (unix_bind_bsd in net/unix/af_unix.c): it is never open to others. */
  if (fchmod(sock, 0600) != 0) step = "fchmod";
  else if (bind(sock, (struct sockaddr *)&address, sizeof address) != 0) step = "bind";
  else if (listen(sock, (int)backlog) != 0) step = "listen";
  if (step == NULL) return make_int(env, sock);
  int error = errno;
  close(sock);
  return throw_errno(env, step, error);
}

/* Waits until `sock` is ready for `events` or the deadline is over; 0, or an errno. */
static int await_ready(int sock, short events, int64_t deadline_ns) {
  for (;;) {
    int64_t left_ns = deadline_ns - monotonic_ns();
    if (left_ns <= 0) return ETIMEDOUT;
    struct pollfd one = {.fd = sock, .events = events};
    struct timespec timeout = {.tv_sec = left_ns / 1000000000, .tv_nsec = left_ns % 1000000000};
    int ready = ppoll(&one, 1, &timeout, NULL);
    if (ready > 0) return one.revents & POLLNVAL ? EBADF : 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

static bool get_deadline(napi_env env, napi_value value, int64_t *deadline_ns) {
  int64_t timeout_ms;
  if (!get_int(env, value, "timeoutMs", 0, INT32_MAX, &timeout_ms)) return false;
  *deadline_ns = monotonic_ns() + timeout_ms * 1000000;
  return true;
}

static bool get_fds(napi_env env, napi_value value, int *fds, size_t *count) {
  bool is_array = false;
  uint32_t length;
  if (napi_is_array(env, value, &is_array) != napi_ok || !is_array)
    return throw_type(env, "fds", "an array is needed");
  napi_get_array_length(env, value, &length);
  if (length > MESSAGE_FDS) return throw_range(env, "fds", "more than 64 descriptors");
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (napi_get_element(env, value, i, &element) != napi_ok || !get_fd(env, element, &fds[i])) return false;
  }
  *count = length;
  return true;
}

napi_value native_sendMessage(napi_env env, napi_callback_info info) {
  napi_value argument[4];
  int sock, fds[MESSAGE_FDS];
  size_t fd_count = 0, bytes;
  int64_t deadline_ns;
  void *data;
  napi_typedarray_type type;
  arguments(env, info, 4, argument);
  if (!get_fd(env, argument[0], &sock) || !get_fds(env, argument[2], fds, &fd_count) ||
      !get_deadline(env, argument[3], &deadline_ns))
    return NULL;
  if (napi_get_typedarray_info(env, argument[1], &type, &bytes, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array) {
    throw_type(env, "data", "a Uint8Array is needed");
    return NULL;
  }
  /* An empty message cannot be told from the end of the connection. */
  if (bytes == 0 || bytes > MESSAGE_BYTES) return throw_errno(env, "sendmsg", EMSGSIZE);
  int sent;
  while ((sent = message_send(sock, data, bytes, fds, fd_count)) == -EAGAIN) {
    int error = await_ready(sock, POLLOUT, deadline_ns);
    if (error != 0) return throw_errno(env, "sendmsg", error);
  }
  return sent < 0 ? throw_errno(env, "sendmsg", -sent) : make_undefined(env);
}

napi_value native_receiveMessage(napi_env env, napi_callback_info info) {
  napi_value argument[2], result, data, fds;
  int sock;
  int64_t deadline_ns;
  arguments(env, info, 2, argument);
  if (!get_fd(env, argument[0], &sock) || !get_deadline(env, argument[1], &deadline_ns)) return NULL;
  /* With MSG_TRUNC the kernel says how long the message is that waits. */
  ssize_t bytes;
  while ((bytes = recv(sock, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT)) < 0) {
    if (errno == EINTR) continue;
    int error = errno == EAGAIN ? await_ready(sock, POLLIN, deadline_ns) : errno;
    if (error != 0) return throw_errno(env, "recvmsg", error);
  }
  void *into;
  struct message_extra extra;
  if (bytes == 0) return throw_errno(env, "recvmsg", ECONNRESET);
  if (napi_create_buffer(env, (size_t)bytes, &into, &data) != napi_ok) return throw_errno(env, "recvmsg", ENOMEM);
  ssize_t got = message_receive(sock, into, (size_t)bytes, &extra);
  if (got < 0) return throw_errno(env, "recvmsg", (int)-got);
  napi_create_object(env, &result);
  napi_create_array_with_length(env, extra.fd_count, &fds);
  for (size_t i = 0; i < extra.fd_count; i++) napi_set_element(env, fds, (uint32_t)i, make_int(env, extra.fds[i]));
  napi_set_named_property(env, result, "data", data);
  napi_set_named_property(env, result, "fds", fds);
  return result;
}
