#include "cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "conf/conf.h"

#define NAMES_MAX 64 /* commands */

static int usage_error(const char *what, const char *word, const char *nearest)
{
	fprintf(stderr, "lintel: %s \"%s\"", what, word);
	if (nearest)
		fprintf(stderr, "; did you mean \"%s\"?", nearest);
	fprintf(stderr, "\nTry `lintel help`.\n");
	return EXIT_USAGE;
}

/* NULL after saying that there is no such command. */
static const struct command *find_command(
	const struct command *commands, size_t n, const char *name)
{
	const char *names[NAMES_MAX];

	for (size_t i = 0; i < n; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		names[i] = commands[i].name;
	}
	usage_error("unknown command", name, str_nearest(name, names, n));
	return NULL;
}

static int print_usage(FILE *out, const struct command *commands, size_t n)
{
	fprintf(out, "usage: lintel COMMAND [-c FILE]\n\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`lintel -c FILE` is `lintel run -c FILE`. When no FILE is given it is "
		     "$LINTEL_CONFIG, else\n/etc/lintel/lintel.yaml. lintel.yaml(5) describes it, "
		     "lintel(8) the rest.\n");
	return EXIT_SUCCESS;
}

static int print_command(FILE *out, const struct command *cmd)
{
	fprintf(out, "usage: lintel %s%s%s\n\n%s: %s\n", cmd->name, *cmd->arguments ? " " : "",
		cmd->arguments, cmd->name, cmd->help);
	return EXIT_SUCCESS;
}

int cmdline_help(const struct command *commands, size_t n, const struct call *call)
{
	const struct command *cmd;

	if (!call->n)
		return print_usage(stdout, commands, n);
	cmd = find_command(commands, n, call->words[0]);
	return cmd ? print_command(stdout, cmd) : EXIT_USAGE;
}

/* The first word that is neither an option nor an option's value; 0 = none. */
static int find_word(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0)
			i++;
		else if (*argv[i] != '-')
			return i;
	}
	return 0;
}

static int take_word(struct call *call, const struct command *cmd, const char *word)
{
	if (call->n == cmd->max) {
		usage_error("one word too many:", word, NULL);
		return 0;
	}
	call->words[call->n++] = word;
	return 1;
}

/* Takes in the words from argv[i] on; returns how many, 0 = a usage error, which was told. */
static int take(struct call *call, const struct command *cmd, int argc, char **argv, int i)
{
	const char *options[] = {"--help", "--version", cmd->flag, cmd->option}, *w = argv[i];
	bool has_value = strcmp(w, "-c") == 0 || (cmd->option && strcmp(w, cmd->option) == 0);
	size_t len = cmd->option ? strlen(cmd->option) : 0;

	if (has_value && i + 1 == argc) {
		usage_error("a value must follow", w, NULL);
	} else if (strcmp(w, "-c") == 0) {
		call->conf_file = argv[i + 1];
		return 2;
	} else if (has_value) {
		call->value = argv[i + 1];
		return 2;
	} else if (str_starts(w, "-c")) {
		call->conf_file = w + 2;
		return 1;
	} else if (len && strncmp(w, cmd->option, len) == 0 && w[len] == '=') {
		call->value = w + len + 1;
		return 1;
	} else if (cmd->flag && strcmp(w, cmd->flag) == 0) {
		call->flag = true;
		return 1;
	} else if (*w == '-') {
		usage_error("unknown option", w, str_nearest(w, options, 4));
	} else {
		return take_word(call, cmd, w);
	}
	return 0;
}

static int run_command(const struct command *cmd, int word, int argc, char **argv)
{
	struct call call = {.conf_file = conf_default_file()};
	bool words_only = false; /* behind "--": the value of a TXT record may begin with "-" */
	int status = EXIT_USAGE, n;

	for (int i = 1; i < argc; i += n) {
		n = 1;
		if (i == word)
			continue;
		if (!words_only && cmd->max && strcmp(argv[i], "--") == 0) {
			words_only = true;
			continue;
		}
		n = words_only ? take_word(&call, cmd, argv[i]) : take(&call, cmd, argc, argv, i);
		if (!n)
			return EXIT_USAGE;
	}
	if (call.n >= cmd->min)
		status = cmd->run(&call);
	if (status == EXIT_USAGE)
		print_command(stderr, cmd);
	return status;
}

/* `lintel ... --help` and the like, wherever they stand. */
static bool is_given(int argc, char **argv, const char *option)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-c") == 0)
			i++;
		else if (strcmp(argv[i], option) == 0)
			return true;
	}
	return false;
}

int cmdline_run(const struct command *commands, size_t n, int argc, char **argv)
{
	int word = find_word(argc, argv);
	const struct command *cmd;

	if (argc < 2) {
		print_usage(stderr, commands, n);
		return EXIT_USAGE;
	}
	if (is_given(argc, argv, "--version"))
		return find_command(commands, n, "version")->run(&(struct call){0});
	cmd = find_command(commands, n, word ? argv[word] : "run");
	if (!cmd)
		return EXIT_USAGE;
	if (is_given(argc, argv, "--help") || is_given(argc, argv, "-h"))
		return word ? print_command(stdout, cmd) : print_usage(stdout, commands, n);
	return run_command(cmd, word, argc, argv);
}
