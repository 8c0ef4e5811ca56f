/*
 * Copies between the arena and memory that threads share (vswitch/stack/trunk-ring.ts): a frame's parts, which the scatter
 * list names, to one place, and back.
 */
#include "addon.h"

#include <errno.h>
#include <string.h>

/* (io, bytes, at, entries): finds `entries` parts in the arena, and their place in `bytes`. 0, or -EINVAL. */
static int copy_arguments(napi_env env, napi_callback_info info, struct io **io, uint8_t **bytes, int32_t *entries) {
  napi_value argument[4];
  napi_typedarray_type type;
  int32_t handle, at;
  size_t length;
  void *data;
  arguments(env, info, 4, argument);
  if (napi_get_value_int32(env, argument[0], &handle) != napi_ok ||
      napi_get_typedarray_info(env, argument[1], &type, &length, &data, NULL, NULL) != napi_ok ||
      napi_get_value_int32(env, argument[2], &at) != napi_ok ||
      napi_get_value_int32(env, argument[3], entries) != napi_ok || (*io = io_of(env, handle)) == NULL ||
      type != napi_uint8_array || at < 0 || !io_pairs(*io, 0, *entries, (*io)->parts))
    return -EINVAL;
  size_t needed = 0;
  for (int32_t i = 0; i < *entries; i++) needed += (*io)->parts[i].iov_len;
  if ((size_t)at > length || needed > length - (size_t)at) return -EINVAL;
  *bytes = (uint8_t *)data + at;
  return 0;
}

napi_value native_gather(napi_env env, napi_callback_info info) {
  struct io *io;
  uint8_t *to;
  int32_t entries;
  int error = copy_arguments(env, info, &io, &to, &entries);
  if (error != 0) return make_int(env, error);
  for (int32_t i = 0; i < entries; i++) {
    memcpy(to, io->parts[i].iov_base, io->parts[i].iov_len);
    to += io->parts[i].iov_len;
  }
  return make_int(env, 0);
}

napi_value native_scatter(napi_env env, napi_callback_info info) {
  struct io *io;
  uint8_t *from;
  int32_t entries;
  int error = copy_arguments(env, info, &io, &from, &entries);
  if (error != 0) return make_int(env, error);
  for (int32_t i = 0; i < entries; i++) {
    memcpy(io->parts[i].iov_base, from, io->parts[i].iov_len);
    from += io->parts[i].iov_len;
  }
  return make_int(env, 0);
}
