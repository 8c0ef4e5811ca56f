/* The descriptors that the keeper holds: a sorted array, so that a prefix is a run of neighbours. */
#include "keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct named **table;
static size_t table_count, table_room;

/* Index of the first entry that is not before `name`. */
static size_t lower_bound(const char *name) {
  size_t from = 0, to = table_count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (strcmp(table[middle]->name, name) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

static bool is_at(size_t index, const char *name) { return index < table_count && strcmp(table[index]->name, name) == 0; }

static int insert(size_t at, const char *name, int fd) {
  if (table_count == MAX_DESCRIPTORS) return ENOSPC;
  if (table_count == table_room) {
    size_t room = table_room == 0 ? 64 : 2 * table_room;
    struct named **more = reallocarray(table, room, sizeof *table);
    if (more == NULL) return ENOMEM;
    table = more;
    table_room = room;
  }
  struct named *entry = malloc(sizeof *entry + strlen(name) + 1);
  if (entry == NULL) return ENOMEM;
  entry->fd = fd;
  strcpy(entry->name, name);
  memmove(table + at + 1, table + at, (table_count - at) * sizeof *table);
  table[at] = entry;
  table_count++;
  return 0;
}

int names_put(const char *name, int fd) {
  size_t at = lower_bound(name);
  if (is_at(at, name)) {
    close(table[at]->fd);
    table[at]->fd = fd;
    return 0;
  }
  int error = insert(at, name, fd);
  if (error != 0) close(fd);
  return error;
}

int names_get(const char *name) {
  size_t at = lower_bound(name);
  return is_at(at, name) ? table[at]->fd : -1;
}

bool names_drop(const char *name) {
  size_t at = lower_bound(name);
  if (!is_at(at, name)) return false;
  close(table[at]->fd);
  free(table[at]);
  memmove(table + at, table + at + 1, (table_count - at - 1) * sizeof *table);
  table_count--;
  return true;
}

struct named *const *names_with_prefix(const char *prefix, size_t *count) {
  size_t from = lower_bound(prefix), to = from, bytes = strlen(prefix);
  while (to < table_count && strncmp(table[to]->name, prefix, bytes) == 0) to++;
  *count = to - from;
  return table + from;
}
