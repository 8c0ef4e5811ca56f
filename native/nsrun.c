/* nsrun's verbs, and what they share. See nsrun.h. */
#include "nsrun.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void die_errno(const char *what) {
  fprintf(stderr, "nsrun: %s: %s\n", what, strerror(errno));
  exit(EXIT_NSRUN);
}

void die(const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("nsrun: ", stderr);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  va_end(values);
  exit(EXIT_NSRUN);
}

long parse_number(const char *text, const char *what, long min, long max) {
  char *end;
  errno = 0;
  long number = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || number < min || number > max)
    die("%s: '%s' is no number from %ld to %ld", what, text, min, max);
  return number;
}

int exec_or_status(char **argv) {
  execvp(argv[0], argv);
  int error = errno;
  fprintf(stderr, "nsrun: %s: %s\n", argv[0], strerror(error));
  return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

static const char usage[] =
    "usage: nsrun exec [--cgroup DIR]... [--cwd DIR] PID[:START] -- COMMAND [ARGUMENT]...\n"
    "       nsrun batch < SCRIPT\n"
    "       nsrun rootless [--join PID[:START]]... -- COMMAND [ARGUMENT]...\n"
    "       nsrun confine --uid N --gid N --app DIR --exe PATH [--keep FD]... [--await FD] -- ARGUMENT...\n";

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(char **arguments);
  } verbs[] = {{"exec", verb_exec}, {"batch", verb_batch}, {"rootless", verb_rootless}, {"confine", verb_confine}};
  for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++) {
    if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argv + 2);
  }
  fputs(usage, stderr);
  return EXIT_NSRUN;
}
