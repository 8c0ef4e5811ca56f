/*
 * A process that is meant, and no later one with its number (process.c). Used by nsrun and by the keeper.
 */
#ifndef LUTHIER_PROCESS_H
#define LUTHIER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* As written on a command line: PID or PID:START. */
struct process {
  pid_t pid;
  bool start_known;
  unsigned long long start; /* clock ticks since boot: field 22 of /proc/PID/stat */
};

/* False when `text` is neither. */
bool process_parse(const char *text, struct process *process);
/* Its folder in /proc, which is of use as long as the process lives; -1 and errno, ESRCH when it has ended. */
int process_open(const struct process *process);
/* Its parent and its start, from its folder in /proc; false when it has ended. */
bool process_stat(int directory, pid_t *parent, unsigned long long *start);

#endif
