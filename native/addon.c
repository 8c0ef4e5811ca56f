/*
 * Registration, and the state that each environment (the main thread, each worker) has for itself. There are no
 * globals: two engines in two threads share nothing here.
 */
#include "addon.h"

#include <stdlib.h>

struct io *io_of(napi_env env, int32_t handle) {
  struct state *state;
  if (napi_get_instance_data(env, (void **)&state) != napi_ok || state == NULL) return NULL;
  if (handle < 1 || (size_t)handle > state->io_count) return NULL;
  return state->ios[handle - 1];
}

/* The environment ends. Descriptors are the caller's: only memory is given back. */
static void state_free(napi_env env, void *data, void *hint) {
  (void)hint;
  struct state *state = data;
  for (size_t i = 0; i < state->io_count; i++) {
    if (state->ios[i] != NULL) io_free(env, state->ios[i]);
  }
  free(state->ios);
  free(state);
}

#define STRING(name) #name
#define PROPERTY(name)                                                                                                 \
  {.utf8name = STRING(name), .method = native_##name, .attributes = napi_enumerable},

NAPI_MODULE_INIT() {
  static const napi_property_descriptor calls[] = {NATIVE_CALLS(PROPERTY)};
  struct state *state = calloc(1, sizeof *state);
  if (state == NULL || napi_set_instance_data(env, state, state_free, NULL) != napi_ok) {
    free(state);
    napi_throw_error(env, NULL, "no memory for the addon's state");
    return NULL;
  }
  if (napi_define_properties(env, exports, sizeof calls / sizeof calls[0], calls) != napi_ok) return NULL;
  return exports;
}
