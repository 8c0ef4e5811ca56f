/*
 * One message with descriptors over an AF_UNIX SOCK_SEQPACKET socket: what the keeper, the inits of its hosts and the
 * addon speak. The protocol on top is described in keeper.ts.
 *
 * Used by the addon (socket.c), the keeper (keeper.c, host.c) and the inits (init.c).
 */
#ifndef LUTHIER_MESSAGE_H
#define LUTHIER_MESSAGE_H

#include <stddef.h>
#include <sys/types.h>

/* Largest request or answer, in bytes: below the 208 KiB that an unprivileged socket's send buffer holds. */
#define MESSAGE_BYTES 131072
/* Most descriptors in one message; the kernel's own limit is 253 (SCM_MAX_FD). */
#define MESSAGE_FDS 64

/*
 * Never blocks, never raises SIGPIPE; EINTR is retried. Returns 0, or -errno (-EAGAIN when the receiver is behind).
 */
int message_send(int sock, const void *data, size_t bytes, const int *fds, size_t fd_count);

/* What message_receive found beside the data. */
struct message_extra {
  int fds[MESSAGE_FDS];
  size_t fd_count;
  /* From SCM_CREDENTIALS, translated by the kernel to the receiver's pid namespace; 0 when none came. */
  pid_t pid;
};

/*
 * Never blocks; EINTR is retried. Returns the bytes received, 0 at end of file, or -errno: -EAGAIN when there is none,
 * -EMSGSIZE when it was longer than `size`, -EMFILE when this process had no room for its descriptors. On an error no
 * descriptor is left open. Descriptors arrive with FD_CLOEXEC.
 */
ssize_t message_receive(int sock, void *data, size_t size, struct message_extra *extra);

/*
 * The fields of a message, which NUL bytes separate: pointers into `data`, which must have room for a NUL after its end.
 * The caller frees the array, which ends with NULL. NULL when there is no memory.
 */
char **message_fields(char *data, size_t bytes, size_t *count);

#endif
