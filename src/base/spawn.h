/* Programs of others, for a process that may start none itself: the sandbox forbids execve(). A
 * helper process does it (helper.h), forked at start, before privileges are dropped and before
 * there is any thread. It knows the command lines that it was started with and runs no others, so
 * that a daemon that was taken over cannot name a program; only words that follow are told with
 * each run, and it insists on their kinds. No shell is ever in between. HOME and the folder that
 * programs start in are "/", where the daemon writes nothing.
 *
 * One helper in a process. Commands are numbered as they were given. */
#ifndef LINTEL_BASE_SPAWN_H
#define LINTEL_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stop.h"

enum {
	SPAWN_WORDS_MAX = 32,   /* of a command, and of what follows in a run: each */
	SPAWN_BYTES_MAX = 8192, /* of such words together, with their NULs */
	SPAWN_LINE_MAX = 400,   /* bytes of a line of output that are told */
	SPAWN_LINES_MAX = 100,  /* lines of a run that are told */
	SPAWN_ENV_MAX = 64,     /* variables that a program is given */
};

struct spawn_word {        /* of what kind a word is that follows with a run */
	const char *chars; /* all that may be in it; NULL = anything */
	size_t min, max;   /* bytes */
	bool dash;         /* "-" may be the first of them */
};

struct spawn_command { /* an absolute path, and the words behind it */
	char **words;
	size_t n;
	const struct spawn_word *follow; /* as many words follow; static */
	size_t n_follow;
};

bool spawn_word_fits(const struct spawn_word *w, const char *text);

/* Starts the helper, unless there is no command; with none, nothing can be run by this process any
 * more either. A helper that root starts becomes `user` (NULL = stays who it is); in any case it
 * has no capabilities, and neither have programs. They are run in "/", with PATH, HOME, LANG and
 * what the environment has of EXEC_*. Single-threaded, once. `v` is borrowed for the call. */
int spawn_start(const struct spawn_command *v, size_t n, const char *user, struct error *err);
/* Ends the helper, and what it runs. No other thread may be running a program. */
void spawn_stop(void);
/* Whether spawn_start() was called, and what can be run is settled. */
bool spawn_is_settled(void);
/* The number of a command; -1 when the helper does not know it. */
int spawn_find(const struct spawn_command *c);

struct spawn_run {
	int command;
	const char *const *words; /* behind the command's own, of the kinds that it says */
	size_t n;
	const struct stop *stop; /* NULL = never */
	int64_t timeout_ms;
	/* A line of output, printable, without its end. When there are more than are told, a last
	 * one says how many. NULL = nobody listens. */
	void (*line)(void *arg, bool is_stderr, const char *text);
	void *arg;
};

/* Runs a command in a process group of its own, and what is left of that is killed when the program
 * has ended, at the time-out and when told to stop. 0 = it has exited with 0; else -1 and how it
 * ended, without its name: "exited with 3". Any thread, several at once. Blocking. */
int spawn_run(const struct spawn_run *run, struct error *err);

#endif
