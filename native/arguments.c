/* JavaScript values to C and back; errors that carry syscall and errno. */
#include "addon.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t got = count;
  napi_get_cb_info(env, info, &got, values, NULL, NULL);
}

bool numbers(napi_env env, napi_callback_info info, size_t count, int32_t *out) {
  napi_value values[9];
  arguments(env, info, count, values);
  for (size_t i = 0; i < count; i++) {
    if (napi_get_value_int32(env, values[i], &out[i]) != napi_ok) return false;
  }
  return true;
}

bool throw_type(napi_env env, const char *name, const char *what) {
  char text[256];
  snprintf(text, sizeof text, "%s: %s", name, what);
  napi_throw_type_error(env, NULL, text);
  return false;
}

bool throw_range(napi_env env, const char *name, const char *what) {
  char text[256];
  snprintf(text, sizeof text, "%s: %s", name, what);
  napi_throw_range_error(env, NULL, text);
  return false;
}

napi_value throw_errno(napi_env env, const char *syscall, int error) {
  const char *name = strerrorname_np(error);
  const char *description = strerrordesc_np(error);
  char text[256];
  snprintf(text, sizeof text, "%s: %s", syscall, description == NULL ? "unknown error" : description);
  napi_value message, object, value;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, NULL, message, &object);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, object, "syscall", value);
  napi_create_string_utf8(env, name == NULL ? "EUNKNOWN" : name, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, object, "errno", value);
  napi_throw(env, object);
  return NULL;
}

bool get_int(napi_env env, napi_value value, const char *name, int64_t min, int64_t max, int64_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return throw_type(env, name, "a number is needed");
  if (number != trunc(number) || !(number >= (double)min && number <= (double)max)) {
    char what[96];
    snprintf(what, sizeof what, "%g is no integer from %lld to %lld", number, (long long)min, (long long)max);
    return throw_range(env, name, what);
  }
  *out = (int64_t)number;
  return true;
}

bool get_fd(napi_env env, napi_value value, int *out) {
  int64_t fd;
  if (!get_int(env, value, "fd", 0, INT32_MAX, &fd)) return false;
  *out = (int)fd;
  return true;
}

bool get_bool(napi_env env, napi_value value, const char *name, bool *out) {
  return napi_get_value_bool(env, value, out) == napi_ok || throw_type(env, name, "true or false is needed");
}

bool get_string(napi_env env, napi_value value, const char *name, char *out, size_t size) {
  size_t bytes;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &bytes) != napi_ok)
    return throw_type(env, name, "a string is needed");
  if (bytes >= size) {
    char what[64];
    snprintf(what, sizeof what, "%zu bytes, and %zu is the most", bytes, size - 1);
    return throw_range(env, name, what);
  }
  napi_get_value_string_utf8(env, value, out, size, &bytes);
  return strlen(out) == bytes || throw_range(env, name, "has a NUL character");
}

bool get_option(napi_env env, napi_value object, const char *name, napi_value *out, bool *present) {
  napi_valuetype type;
  *present = false;
  if (napi_typeof(env, object, &type) != napi_ok || type != napi_object)
    return throw_type(env, "options", "an object is needed");
  if (napi_get_named_property(env, object, name, out) != napi_ok) return false; /* a getter threw */
  napi_typeof(env, *out, &type);
  *present = type != napi_undefined;
  return true;
}

napi_value make_int(napi_env env, int64_t value) {
  napi_value result;
  /* Most are small, and those V8 makes no object for. */
  if (value == (int32_t)value) napi_create_int32(env, (int32_t)value, &result);
  else napi_create_int64(env, value, &result);
  return result;
}

napi_value make_undefined(napi_env env) {
  napi_value result;
  napi_get_undefined(env, &result);
  return result;
}
