/* The words of the command line: which command, its options, what follows it. Main thread. */
#ifndef LINTEL_CMDLINE_H
#define LINTEL_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

#define EXIT_USAGE        2
#define CMDLINE_WORDS_MAX 4

struct call { /* what the command line says beside the command */
	const char *conf_file;
	const char *words[CMDLINE_WORDS_MAX];
	int n;
	bool flag;         /* the command's own option without a value was given */
	const char *value; /* of its option with one; NULL = not given */
};

struct command {
	const char *name;
	/* Returns the exit status; EXIT_USAGE shows how the command is used. */
	int (*run)(const struct call *call);
	const char *flag, *option; /* options of its own; the second one has a value */
	int min, max;              /* words behind it */
	const char *arguments;     /* as the usage shows them */
	const char *help;
};

/* Runs the command that is asked for, `run` when none is. Returns the exit status. */
int cmdline_run(const struct command *commands, size_t n, int argc, char **argv);
/* What `help` does, for the table. */
int cmdline_help(const struct command *commands, size_t n, const struct call *call);

#endif
