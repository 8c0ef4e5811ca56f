/*
 * The arena's memory, and the registration of the arrays that data-path calls work on. Pointers into the arrays are
 * taken once; a reference to each array keeps its memory where it is. (An ArrayBuffer must not be transferred to
 * another thread while it is registered; one that arenaCreate made cannot be.)
 */
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* --- arenaCreate ------------------------------------------------------------------------------------------------- */

static void arena_free(napi_env env, void *data, void *bytes) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)bytes);
}

napi_value native_arenaCreate(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  int64_t bytes;
  arguments(env, info, 1, &argument);
  /* Scatter lists hold byte offsets in 32 bits. */
  if (!get_int(env, argument, "bytes", 1, INT32_MAX, &bytes)) return NULL;
  void *data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return throw_errno(env, "mmap", errno);
  if (napi_create_external_arraybuffer(env, data, (size_t)bytes, arena_free, (void *)(uintptr_t)bytes, &result) !=
      napi_ok) {
    munmap(data, (size_t)bytes);
    return throw_errno(env, "napi_create_external_arraybuffer", ENOMEM);
  }
  return result;
}

/* --- ioCreate, ioDestroy ----------------------------------------------------------------------------------------- */

/* The array `name` of the object: its memory and element count, with a reference that keeps it. */
static bool take_array(napi_env env, napi_value arrays, const char *name, napi_typedarray_type wanted, void **data,
                       size_t *count, napi_ref *reference) {
  napi_value value;
  bool present, is_typed = false;
  napi_typedarray_type type;
  if (!get_option(env, arrays, name, &value, &present)) return false;
  napi_is_typedarray(env, value, &is_typed);
  if (!is_typed || napi_get_typedarray_info(env, value, &type, count, data, NULL, NULL) != napi_ok || type != wanted)
    return throw_type(env, name, "not the typed array that is needed");
  if (*count < 1 || *count > INT32_MAX) return throw_range(env, name, "empty, or more than 2^31 - 1 elements");
  return napi_create_reference(env, value, 1, reference) == napi_ok;
}

void io_free(napi_env env, struct io *io) {
  for (size_t i = 0; i < sizeof io->references / sizeof io->references[0]; i++) {
    if (io->references[i] != NULL) napi_delete_reference(env, io->references[i]);
  }
  free(io->parts);
  free(io->messages);
  free(io->events);
  if (io->send != NULL) send_free(io->send);
  burst_free(io);
  free(io);
}

napi_value native_ioCreate(napi_env env, napi_callback_info info) {
  napi_value argument[2];
  napi_valuetype zero;
  struct state *state;
  int64_t start_ns = monotonic_ns();
  size_t arena, iov, slots, lengths, cuts, ecn, sources, came, endpoint, vnet, ready, clock;
  arguments(env, info, 2, argument);
  napi_typeof(env, argument[1], &zero);
  if (zero != napi_undefined && !get_int(env, argument[1], "zeroNs", 0, start_ns, &start_ns)) return NULL;
  napi_value arrays = argument[0];
  napi_get_instance_data(env, (void **)&state);
  struct io *io = calloc(1, sizeof *io);
  if (io == NULL) return throw_errno(env, "calloc", ENOMEM);
  napi_ref *reference = io->references;
  if (!take_array(env, arrays, "arena", napi_uint8_array, (void **)&io->arena, &arena, reference++) ||
      !take_array(env, arrays, "iov", napi_int32_array, (void **)&io->iov, &iov, reference++) ||
      !take_array(env, arrays, "slots", napi_int32_array, (void **)&io->slots, &slots, reference++) ||
      !take_array(env, arrays, "lengths", napi_int32_array, (void **)&io->lengths, &lengths, reference++) ||
      !take_array(env, arrays, "cuts", napi_int32_array, (void **)&io->cuts, &cuts, reference++) ||
      !take_array(env, arrays, "ecn", napi_uint8_array, (void **)&io->ecn, &ecn, reference++) ||
      !take_array(env, arrays, "sources", napi_int32_array, (void **)&io->sources, &sources, reference++) ||
      !take_array(env, arrays, "came", napi_float64_array, (void **)&io->came, &came, reference++) ||
      !take_array(env, arrays, "endpoint", napi_uint8_array, (void **)&io->endpoint, &endpoint, reference++) ||
      !take_array(env, arrays, "vnet", napi_uint8_array, (void **)&io->vnet, &vnet, reference++) ||
      !take_array(env, arrays, "ready", napi_int32_array, (void **)&io->ready, &ready, reference++) ||
      !take_array(env, arrays, "clock", napi_float64_array, (void **)&io->clock, &clock, reference++)) {
    io_free(env, io);
    return NULL;
  }
  if (clock < 5) {
    io_free(env, io);
    throw_range(env, "clock", "shorter than five");
    return NULL;
  }
  const char *shorter = cuts < lengths ? "cuts" : ecn < lengths ? "ecn" : sources < lengths ? "sources" : came < lengths ? "came" : NULL;
  if (shorter != NULL || endpoint < ENDPOINT_BYTES) {
    io_free(env, io);
    if (shorter != NULL) throw_range(env, shorter, "shorter than lengths");
    else throw_range(env, "endpoint", "shorter than ENDPOINT_BYTES");
    return NULL;
  }
  io->arena_bytes = arena;
  io->slot_count = (int32_t)(arena / SLOT_BYTES);
  io->iov_count = (int32_t)iov;
  io->slots_count = (int32_t)slots;
  io->lengths_count = (int32_t)lengths;
  io->vnet_count = (int32_t)(vnet / VNET_HDR_BYTES);
  io->ready_count = (int32_t)ready;
  io->parts = calloc(1 + (iov > slots ? iov : slots), sizeof *io->parts);
  io->messages = calloc(lengths, sizeof *io->messages);
  io->events = calloc(ready, sizeof *io->events);
  io->send = send_create();
  int32_t handle = 0;
  if (io->parts != NULL && io->messages != NULL && io->events != NULL && io->send != NULL && burst_create(io))
    handle = table_put(&state->ios, io);
  if (handle == 0) {
    io_free(env, io);
    return throw_errno(env, "calloc", ENOMEM);
  }
  io->start_ns = start_ns;
  io->clock[0] = 0;
  return make_int(env, handle);
}

napi_value native_ioDestroy(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t handle;
  struct state *state;
  arguments(env, info, 1, &argument);
  if (!get_int(env, argument, "io", 1, INT32_MAX, &handle)) return NULL;
  struct io *io = io_of(env, (int32_t)handle);
  if (io == NULL) {
    throw_range(env, "io", "no such handle");
    return NULL;
  }
  napi_get_instance_data(env, (void **)&state);
  state->ios.items[handle - 1] = NULL;
  io_free(env, io);
  return make_undefined(env);
}
