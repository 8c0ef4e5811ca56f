/*
 * A process by its number alone may by now be another one: numbers are used again. A descriptor of its folder in /proc
 * stays with the process itself (proc_pid_lookup in fs/proc/base.c): once that has ended, everything below it is gone,
 * whoever has the number then. So the folder is opened, the start time in it compared, and only then is anything used.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number of digits alone, which strtoull does not insist on. */
static bool read_digits(const char **text, unsigned long long max, unsigned long long *number) {
  if (**text < '0' || **text > '9') return false;
  char *end;
  errno = 0;
  *number = strtoull(*text, &end, 10);
  *text = end;
  return errno == 0 && *number <= max;
}

bool process_parse(const char *text, struct process *process) {
  unsigned long long pid;
  if (!read_digits(&text, INT_MAX, &pid) || pid == 0) return false;
  *process = (struct process){.pid = (pid_t)pid, .start_known = *text == ':'};
  if (process->start_known) {
    text++;
    if (!read_digits(&text, ULLONG_MAX, &process->start)) return false;
  }
  return *text == '\0';
}

/* Fields 4 and 22 of proc(5)'s stat. The second is a name in parentheses, and may itself hold spaces and parentheses. */
bool process_stat(int directory, pid_t *parent, unsigned long long *start) {
  char text[1024];
  int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return false;
  text[got] = '\0';
  const char *field = strrchr(text, ')');
  if (field == NULL || sscanf(field, ") %*c %d", parent) != 1) return false;
  for (int number = 2; field != NULL && number < 22; number++) field = strchr(field + 1, ' ');
  return field != NULL && sscanf(field, " %llu", start) == 1;
}

int process_open(const struct process *process) {
  char path[32];
  pid_t parent;
  unsigned long long start;
  snprintf(path, sizeof path, "/proc/%d", (int)process->pid);
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    if (errno == ENOENT) errno = ESRCH;
    return -1;
  }
  if (process->start_known && (!process_stat(directory, &parent, &start) || start != process->start)) {
    close(directory);
    errno = ESRCH;
    return -1;
  }
  return directory;
}
