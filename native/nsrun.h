/*
 * nsrun enters namespaces on behalf of the command line and the agent: small jobs that JavaScript cannot do in its own
 * process, because they change the process that does them.
 *
 *   exec.c      run a command inside a host, as if it had been started there
 *   batch.c     configure many network namespaces with few processes
 *   announce.c  tell the neighbours which addresses an interface has
 *   rootless.c  start a program as root of a user namespace
 *   confine.c   start a program without privileges, network, or write access
 *   filter.c    the system calls that such a program has
 *   process.c   the process that is meant, and no later one with its number
 */
#ifndef LUTHIER_NSRUN_H
#define LUTHIER_NSRUN_H

#include "process.h"

/* Exit status when nsrun itself failed; 126 and 127 are, as in a shell, a command that cannot be run or found. */
#define EXIT_NSRUN 125
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

/* Each gets the arguments after its verb, NULL at the end, and returns the exit status. */
int verb_exec(char **arguments);
int verb_batch(char **arguments);
int verb_rootless(char **arguments);
int verb_confine(char **arguments);

/* `nsrun: WHAT: description of errno` on standard error, then exit status 125. */
_Noreturn void die_errno(const char *what);
/* `nsrun: text`, then exit status 125. */
__attribute__((format(printf, 1, 2))) _Noreturn void die(const char *format, ...);

/* The whole of `text` as a number from `min` to `max`, or the end with a message that names `what`. */
long parse_number(const char *text, const char *what, long min, long max);

/* --- configuration (announce.c) ---------------------------------------------------------------------------------- */

/* All addresses of an interface of this network namespace, to all on its link; false with errno. */
bool announce(const char *name);

/* --- confinement (filter.c) -------------------------------------------------------------------------------------- */

/* For this process and what it becomes, which must not be able to gain privileges any more (PR_SET_NO_NEW_PRIVS). */
void filter_system_calls(void);

/* --- programs ---------------------------------------------------------------------------------------------------- */

/* exec(2) by PATH; when it fails, says so and returns 126 or 127. */
int exec_or_status(char **argv);

#endif
