/* Messages with descriptors, see message.h. */
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int message_send(int sock, const void *data, size_t bytes, const int *fds, size_t fd_count) {
  if (fd_count > MESSAGE_FDS) return -EINVAL;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
  } control;
  struct iovec part = {.iov_base = (void *)data, .iov_len = bytes};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
  }
  ssize_t sent;
  do sent = sendmsg(sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

ssize_t message_receive(int sock, void *data, size_t size, struct message_extra *extra) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS) + CMSG_SPACE(sizeof(struct ucred))];
  } control;
  struct iovec part = {.iov_base = data, .iov_len = size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got;
  do got = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  extra->fd_count = 0;
  extra->pid = 0;
  if (got < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_RIGHTS) {
      size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      memcpy(extra->fds + extra->fd_count, CMSG_DATA(header), count * sizeof(int));
      extra->fd_count += count;
    } else if (header->cmsg_type == SCM_CREDENTIALS) {
      struct ucred credentials;
      memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
      extra->pid = credentials.pid;
    }
  }
  int error = message.msg_flags & MSG_TRUNC ? EMSGSIZE : message.msg_flags & MSG_CTRUNC ? EMFILE : 0;
  if (error == 0) return got;
  for (size_t i = 0; i < extra->fd_count; i++) close(extra->fds[i]);
  extra->fd_count = 0;
  return -error;
}

char **message_fields(char *data, size_t bytes, size_t *count) {
  data[bytes] = '\0';
  size_t n = 1;
  for (size_t i = 0; i < bytes; i++) n += data[i] == '\0';
  char **fields = calloc(n + 1, sizeof *fields);
  if (fields == NULL) return NULL;
  char *field = data;
  for (size_t i = 0; i < n; i++) {
    fields[i] = field;
    field += strlen(field) + 1;
  }
  *count = n;
  return fields;
}
