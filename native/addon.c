/*
 * Registration, and the state that each environment (the main thread, each worker) has for itself. There are no
 * globals but the calls of a library that was found (aead-ipsec-mb.c): two engines in two threads share nothing here.
 */
#include "addon.h"

#include <stdlib.h>

int32_t table_put(struct table *table, void *item) {
  for (size_t i = 0; i < table->count; i++) {
    if (table->items[i] != NULL) continue;
    table->items[i] = item;
    return (int32_t)i + 1;
  }
  void **more = reallocarray(table->items, table->count + 1, sizeof *more);
  if (more == NULL) return 0;
  table->items = more;
  table->items[table->count++] = item;
  return (int32_t)table->count;
}

void *table_get(const struct table *table, int32_t number) {
  return number < 1 || (size_t)number > table->count ? NULL : table->items[number - 1];
}

static struct state *state_of(napi_env env) {
  struct state *state = NULL;
  return napi_get_instance_data(env, (void **)&state) == napi_ok ? state : NULL;
}

struct io *io_of(napi_env env, int32_t handle) {
  struct state *state = state_of(env);
  return state == NULL ? NULL : table_get(&state->ios, handle);
}

struct keyring *keyring_of(napi_env env, int32_t handle) {
  struct state *state = state_of(env);
  return state == NULL ? NULL : table_get(&state->keyrings, handle);
}

struct receiver *receiver_of(napi_env env, int32_t handle) {
  struct state *state = state_of(env);
  return state == NULL ? NULL : table_get(&state->receivers, handle);
}

struct fec_encoder *encoder_of(napi_env env, int32_t handle) {
  struct state *state = state_of(env);
  return state == NULL ? NULL : table_get(&state->encoders, handle);
}

struct arrivals *arrivals_of(napi_env env, int32_t handle) {
  struct state *state = state_of(env);
  return state == NULL ? NULL : table_get(&state->arrivals, handle);
}

/* The environment ends. Descriptors are the caller's: only memory is given back. */
static void state_free(napi_env env, void *data, void *hint) {
  (void)hint;
  struct state *state = data;
  for (size_t i = 0; i < state->ios.count; i++) {
    if (state->ios.items[i] != NULL) io_free(env, state->ios.items[i]);
  }
  for (size_t i = 0; i < state->keyrings.count; i++) {
    if (state->keyrings.items[i] != NULL) keyring_free(state->keyrings.items[i]);
  }
  for (size_t i = 0; i < state->receivers.count; i++) {
    if (state->receivers.items[i] != NULL) receiver_free(state->receivers.items[i]);
  }
  for (size_t i = 0; i < state->arrivals.count; i++) {
    if (state->arrivals.items[i] != NULL) arrivals_free(state->arrivals.items[i]);
  }
  free(state->ios.items);
  free(state->keyrings.items);
  for (size_t i = 0; i < state->encoders.count; i++) free(state->encoders.items[i]);
  free(state->receivers.items);
  free(state->encoders.items);
  free(state->arrivals.items);
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
