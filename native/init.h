/*
 * What the files of a host's first process share. It runs in a child of the keeper, without an exec (it costs 200 KB),
 * and uses nothing of the keeper's but what is said here.
 *
 *   init.c      the loop: what the keeper asks for, and children that end
 *   furnish.c   makes the host out of new namespaces
 *   command.c   the host's commands, each with all that descends from it
 */
#ifndef LUTHIER_INIT_H
#define LUTHIER_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The init's own end of its connection with the keeper. */
#define CONTROL 3
/* The keeper's end, too: the connection outlives the keeper, and the next one takes it from here. */
#define KEEPER_END 4
/* The keeper itself, a pidfd, until the host is kept. In the keeper the three numbers are reserved for its children. */
#define KEEPER_PROCESS 5

/* --- answers (init.c) -------------------------------------------------------------------------------------------- */

void answer_ok(void);
/* With `pid` as the sender, which the kernel translates for the keeper. The process must not have been collected. */
void answer_pid(pid_t pid);
void answer_error(int error, const char *step);
/* With errno; the host is not made, and the init ends. */
_Noreturn void give_up(const char *step);

/* --- making the host (furnish.c) --------------------------------------------------------------------------------- */

void furnish(const char *name, const char *hostname, const char *directory);

/* --- commands (command.c) ---------------------------------------------------------------------------------------- */

/* Answers. The fields are those of a request that the keeper has checked. */
void command_run(char **fields);
/* Answers when all that it ended is gone. Until then `command_ending`, and the keeper's next request has to wait. */
void command_end(char **fields);
bool command_ending(void);
void command_list(void);
/* A child of the init has ended. */
void command_reaped(pid_t pid, int status);

#endif
