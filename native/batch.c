/*
 *   nsrun batch < SCRIPT
 *
 * Configures many network namespaces with few processes. A line of the script is one of
 *
 *   @PID                   what follows is for the network namespace of process PID
 *   @PID:START             … if it is still the one that started then (field 22 of /proc/PID/stat)
 *   @self                  … for nsrun's own, which is also the first
 *   sysctl PATH VALUE      writes VALUE to /proc/sys/PATH: sysctl net/ipv4/ip_forward 1
 *   announce DEVICE        tells its neighbours the addresses of an interface (announce.c): announce eth0
 *   anything else          a line for `ip -batch`: link set dev eth0 up
 *   -LINE                  one of the three above that may fail, in silence: -addr del 10.0.0.1/24 dev eth0
 *   -@PID, -@PID:START     a section that is left out where the process is gone
 *
 * Empty lines and lines that start with # are skipped. Lines take effect in their order; neighbouring `ip` lines of one
 * section and kind (must succeed, may fail) go to one process. At the first line that fails the rest is left, the exit
 * status is 1, and standard error has
 *
 *   section @PID: line N: THE LINE: what `ip` or the kernel said
 *
 * What `ip` cannot parse is a mistake of the script, in lines that may fail too: `ip` ends there without saying at which
 * line, and it is `lines N to M` of the section that are named.
 */
#include "nsrun.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char **lines; /* of the script; line N is lines[N - 1] */
static size_t line_count;
static const char *section = "@self";

/* The `ip` lines that were read and not yet run: lines[block_start … block_end), where others are empty or comments. */
static size_t block_start, block_end;
static bool block_open, block_may_fail;

static _Noreturn void fail_line(size_t index, const char *what) {
  fprintf(stderr, "section %s: line %zu: %s: %s\n", section, index + 1, lines[index], what);
  exit(1);
}

static bool is_skipped(const char *line) { return line[0] == '\0' || line[0] == '#'; }

static bool may_fail(const char *line) { return line[0] == '-'; }

static const char *command_of(const char *line) {
  if (may_fail(line)) line++;
  return line + strspn(line, " \t");
}

static void read_script(void) {
  size_t room = 0, bytes = 0;
  char *line = NULL;
  for (ssize_t got; (got = getline(&line, &bytes, stdin)) >= 0; line_count++) {
    if (line_count == room) {
      room = room == 0 ? 1024 : 2 * room;
      lines = reallocarray(lines, room, sizeof *lines);
      if (lines == NULL) die_errno("script");
    }
    while (got > 0 && isspace((unsigned char)line[got - 1])) line[--got] = '\0';
    lines[line_count] = strdup(line + strspn(line, " \t"));
    if (lines[line_count] == NULL) die_errno("script");
  }
  if (ferror(stdin)) die_errno("standard input");
  free(line);
}

/* --- ip ---------------------------------------------------------------------------------------------------------- */

static int memory_file(const char *name) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) die_errno("memfd_create");
  return fd;
}

/* What `ip` wrote to standard error, NUL-terminated. */
static char *read_back(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0) die_errno("fstat");
  char *text = calloc(1, (size_t)file.st_size + 1);
  if (text == NULL || pread(fd, text, (size_t)file.st_size, 0) != file.st_size) die_errno("standard error of ip");
  return text;
}

/* One line without the blanks at its end. */
static void trim(char *said) {
  size_t bytes = strlen(said);
  while (bytes > 0 && isspace((unsigned char)said[bytes - 1])) said[--bytes] = '\0';
  for (char *c = said; *c != '\0'; c++) {
    if (*c == '\n') *c = ';';
  }
}

/*
 * `ip -batch` says, for example,
 *
 *   RTNETLINK answers: File exists
 *   Command failed -:2
 *
 * where 2 counts the lines that it was given: ours, from the start of the block. A line that it cannot parse ends it
 * before it says the second.
 */
static _Noreturn void fail_block(char *said) {
  const char *mark = "Command failed -:";
  char *failed = strstr(said, mark);
  if (failed != NULL && !block_may_fail) {
    unsigned long number = strtoul(failed + strlen(mark), NULL, 10);
    *failed = '\0';
    trim(said);
    if (number >= 1 && block_start + number <= block_end) fail_line(block_start + number - 1, said);
  }
  /* The last is what ended it; before that stand failures that do not matter. */
  for (; failed != NULL; failed = strstr(said, mark)) said = failed + strcspn(failed, "\n");
  said += strspn(said, "\n");
  trim(said);
  if (*said == '\0') said = "ip failed and said nothing";
  if (block_start + 1 == block_end) fail_line(block_start, said);
  fprintf(stderr, "section %s: lines %zu to %zu: %s\n", section, block_start + 1, block_end, said);
  exit(1);
}

/* Empty lines and comments go along: then line numbers agree. */
static void flush_block(void) {
  if (!block_open) return;
  block_open = false;
  int input = memory_file("ip-input"), errors = memory_file("ip-errors");
  FILE *stream = fdopen(dup(input), "w");
  if (stream == NULL) die_errno("memfd");
  for (size_t i = block_start; i < block_end; i++) fprintf(stream, "%s\n", command_of(lines[i]));
  if (fclose(stream) != 0 || lseek(input, 0, SEEK_SET) != 0) die_errno("memfd");

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, errors, 2);
  char *strict[] = {"ip", "-batch", "-", NULL}, *lenient[] = {"ip", "-force", "-batch", "-", NULL};
  pid_t pid;
  int status, error = posix_spawnp(&pid, "ip", &actions, NULL, block_may_fail ? lenient : strict, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    die_errno("ip");
  }
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) die_errno("waitpid");
  }
  /* With -force, 1 says that every line was tried and some failed. */
  if (!WIFEXITED(status) || WEXITSTATUS(status) > (block_may_fail ? 1 : 0)) fail_block(read_back(errors));
  close(input);
  close(errors);
}

/* --- the other lines --------------------------------------------------------------------------------------------- */

/* False: the process is gone, and the section may be left out. */
static bool enter_section(size_t index, int home) {
  section = command_of(lines[index]);
  if (strcmp(section, "@self") == 0) {
    if (setns(home, CLONE_NEWNET) != 0) fail_line(index, strerror(errno));
    return true;
  }
  struct process process;
  if (!process_parse(section + 1, &process)) fail_line(index, "not @self, @PID or @PID:START");
  int directory = process_open(&process);
  int netns = directory < 0 ? -1 : openat(directory, "ns/net", O_RDONLY | O_CLOEXEC);
  /* One that ends between the two has no namespace any more (ENOENT). */
  if (netns < 0 && may_fail(lines[index]) && (errno == ESRCH || errno == ENOENT)) {
    if (directory >= 0) close(directory);
    return false;
  }
  if (netns < 0 || setns(netns, CLONE_NEWNET) != 0) fail_line(index, strerror(errno));
  close(netns);
  close(directory);
  return true;
}

/* /proc/sys/net shows the network namespace of whoever opens it. */
static void set_sysctl(size_t index) {
  char path[PATH_MAX];
  const char *name = command_of(lines[index]) + strlen("sysctl ");
  name += strspn(name, " \t");
  size_t name_bytes = strcspn(name, " \t");
  const char *value = name + name_bytes + strspn(name + name_bytes, " \t");
  int length = snprintf(path, sizeof path, "/proc/sys/%.*s", (int)name_bytes, name);
  if (name_bytes == 0 || *value == '\0') fail_line(index, "PATH and VALUE are needed");
  if ((size_t)length >= sizeof path || strstr(path, "/../") != NULL) fail_line(index, "not a path below /proc/sys");
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if ((fd < 0 || write(fd, value, strlen(value)) < 0) && !may_fail(lines[index])) fail_line(index, strerror(errno));
  if (fd >= 0) close(fd);
}

static void announce_device(size_t index) {
  const char *name = command_of(lines[index]) + strlen("announce ");
  if (!announce(name + strspn(name, " \t")) && !may_fail(lines[index])) fail_line(index, strerror(errno));
}

static bool is_command(const char *line, const char *word) {
  const char *command = command_of(line);
  return strncmp(command, word, strlen(word)) == 0 && command[strlen(word)] == ' ';
}

int verb_batch(char **arguments) {
  if (*arguments != NULL) die("batch: takes no arguments");
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) die_errno("/proc/self/ns/net");
  read_script();
  bool is_left_out = false;
  for (size_t i = 0; i < line_count; i++) {
    if (is_skipped(lines[i])) continue;
    if (command_of(lines[i])[0] == '@') {
      flush_block();
      is_left_out = !enter_section(i, home);
    } else if (is_left_out) {
      continue;
    } else if (is_command(lines[i], "sysctl")) {
      flush_block();
      set_sysctl(i);
    } else if (is_command(lines[i], "announce")) {
      flush_block();
      announce_device(i);
    } else {
      if (block_open && block_may_fail != may_fail(lines[i])) flush_block();
      if (!block_open) block_start = i;
      block_may_fail = may_fail(lines[i]);
      block_open = true;
      block_end = i + 1;
    }
  }
  flush_block();
  return 0;
}
