/* The command line. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "client.h"
#include "conf/conf.h"
#include "control.h"

#define EXIT_USAGE 2

struct call { /* what the command line says beside the command */
	const char *conf_file;
	const char *arg; /* NULL = none */
	bool flag;       /* the command's own option was given */
};

static int not_yet(const char *what)
{
	fprintf(stderr, "lintel: %s: not supported yet\n", what);
	return EXIT_FAILURE;
}

static int run_run(const struct call *call)
{
	return control_run(call->conf_file);
}

static int run_check(const struct call *call)
{
	return call->flag ? not_yet("check --acme") : control_check(call->conf_file);
}

static int run_reload(const struct call *call)
{
	return client_reload(call->conf_file);
}

static int run_status(const struct call *call)
{
	return client_status(call->conf_file, call->flag);
}

static int run_version(const struct call *call)
{
	puts("lintel " PACKAGE_VERSION);
	return EXIT_SUCCESS;
}

static int run_help(const struct call *call);

static const struct command {
	const char *name;
	int (*run)(const struct call *call); /* NULL = not supported yet */
	const char *flag;                    /* an option of its own */
	const char *arguments;               /* as the usage shows them */
	const char *help;
} commands[] = {
	{"run", run_run, NULL, "[-c FILE]", "serve until SIGTERM or SIGINT, then drain"},
	{"check", run_check, "--acme", "[-c FILE]",
		"tell every problem of the configuration, start nothing"},
	{"reload", run_reload, NULL, "[-c FILE]",
		"make the daemon read its file again; says whether it was accepted"},
	{"status", run_status, "--json", "[--json] [-c FILE]",
		"show the daemon's connections, certificates, listeners and servers"},
	{"version", run_version, NULL, "", "print the version"},
	{"help", run_help, NULL, "[COMMAND]", "print this, or what a command takes"},
	{.name = "certs"},
	{.name = "renew"},
	{.name = "server"},
	{.name = "dns"},
	{.name = "account"},
	{.name = "revoke"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage_error(const char *what, const char *word, const char *nearest)
{
	fprintf(stderr, "lintel: %s \"%s\"", what, word);
	if (nearest)
		fprintf(stderr, "; did you mean \"%s\"?", nearest);
	fprintf(stderr, "\nTry `lintel help`.\n");
	return EXIT_USAGE;
}

/* NULL after saying that there is no such command. */
static const struct command *find_command(const char *name)
{
	const char *names[N_COMMANDS];

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		names[i] = commands[i].run ? commands[i].name : NULL;
	}
	usage_error("unknown command", name, str_nearest(name, names, N_COMMANDS));
	return NULL;
}

static int print_usage(FILE *out)
{
	fprintf(out, "usage: lintel COMMAND [-c FILE]\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i].run)
			fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`lintel -c FILE` is `lintel run -c FILE`. When no FILE is given it is "
		     "$LINTEL_CONFIG, else\n/etc/lintel/lintel.yaml. lintel.yaml(5) describes it, "
		     "lintel(8) the rest.\n");
	return EXIT_SUCCESS;
}

static int run_help(const struct call *call)
{
	const struct command *cmd;

	if (!call->arg)
		return print_usage(stdout);
	if (strcmp(call->arg, "providers") == 0)
		return not_yet("help providers");
	cmd = find_command(call->arg);
	if (!cmd)
		return EXIT_USAGE;
	if (!cmd->run)
		return not_yet(cmd->name);
	printf("usage: lintel %s%s%s\n\n%s: %s\n", cmd->name, *cmd->arguments ? " " : "",
		cmd->arguments, cmd->name, cmd->help);
	return EXIT_SUCCESS;
}

/* The first word that is neither an option nor -c's file; 0 = none. */
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

static int run_command(const struct command *cmd, int word, int argc, char **argv)
{
	const char *options[] = {"--help", "--version", cmd->flag};
	struct call call = {.conf_file = conf_default_file()};

	if (!cmd->run)
		return not_yet(cmd->name);
	for (int i = 1; i < argc; i++) {
		const char *w = argv[i];

		if (i == word)
			continue;
		if (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0)
			return run_help(&(struct call){.arg = word ? cmd->name : NULL});
		if (strcmp(w, "--version") == 0)
			return run_version(&call);
		if (strcmp(w, "-c") == 0) {
			if (++i == argc)
				return usage_error("a file must follow", w, NULL);
			call.conf_file = argv[i];
		} else if (str_starts(w, "-c")) {
			call.conf_file = w + 2;
		} else if (cmd->flag && strcmp(w, cmd->flag) == 0) {
			call.flag = true;
		} else if (*w == '-') {
			return usage_error(
				word ? "unknown option for this command:" : "unknown option", w,
				str_nearest(w, options, 3));
		} else if (call.arg || cmd->run != run_help) {
			return usage_error("one word too many:", w, NULL);
		} else {
			call.arg = w;
		}
	}
	return cmd->run(&call);
}

int main(int argc, char **argv)
{
	int word = find_word(argc, argv), status;
	const struct command *cmd;

	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	cmd = find_command(word ? argv[word] : "run");
	status = cmd ? run_command(cmd, word, argc, argv) : EXIT_USAGE;
	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		perror("lintel: standard output");
		status = EXIT_FAILURE;
	}
	return status;
}
