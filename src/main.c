/* The command line. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmdline.h"
#include "control.h"
#include "dns/help.h"
#include "offline.h"
#include "preflight.h"

static int run_run(const struct call *call)
{
	return control_run(call->conf_file);
}

static int run_check(const struct call *call)
{
	int status = preflight_files(call->conf_file);

	return status || !call->flag ? status : preflight_acme(call->conf_file);
}

static int run_reload(const struct call *call)
{
	return client_reload(call->conf_file);
}

static int run_status(const struct call *call)
{
	return client_status(call->conf_file, call->flag);
}

static int run_server(const struct call *call)
{
	static const struct {
		const char *verb, *mode;
	} verbs[] = {{"enable", "enabled"}, {"drain", "drain"}, {"disable", "disabled"}};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(call->words[0], verbs[i].verb) == 0)
			return client_server(
				call->conf_file, verbs[i].mode, call->words[1], call->words[2]);
	return EXIT_USAGE;
}

static int run_certs(const struct call *call)
{
	return client_certs(call->conf_file, call->flag);
}

static int run_renew(const struct call *call)
{
	if (!call->n == !call->flag)
		return EXIT_USAGE;
	return client_renew(call->conf_file, call->words[0]);
}

static int run_dns(const struct call *call)
{
	if (strcmp(call->words[0], "present") != 0 && strcmp(call->words[0], "cleanup") != 0)
		return EXIT_USAGE;
	return offline_dns(call->conf_file, call->value, strcmp(call->words[0], "present") == 0,
		call->words[1], call->words[2]);
}

static int run_account(const struct call *call)
{
	if (strcmp(call->words[0], "show") == 0)
		return offline_account_show(call->conf_file);
	if (strcmp(call->words[0], "rollover") == 0)
		return offline_account_rollover(call->conf_file, call->value);
	return EXIT_USAGE;
}

static int run_revoke(const struct call *call)
{
	return offline_revoke(call->conf_file, call->words[0], call->value);
}

static int run_version(const struct call *call)
{
	puts("lintel " PACKAGE_VERSION);
	return EXIT_SUCCESS;
}

static int run_help(const struct call *call);

static const struct command commands[] = {
	{"run", run_run, NULL, NULL, 0, 0, "[-c FILE]",
		"serve until SIGTERM or SIGINT, then drain"},
	{"check", run_check, "--acme", NULL, 0, 0, "[--acme] [-c FILE]",
		"tell every problem of the configuration, start nothing"},
	{"reload", run_reload, NULL, NULL, 0, 0, "[-c FILE]",
		"make the daemon read its file again; says whether it was accepted"},
	{"status", run_status, "--json", NULL, 0, 0, "[--json] [-c FILE]",
		"show the daemon's connections, certificates, listeners and servers"},
	{"server", run_server, NULL, NULL, 3, 3, "enable|disable|drain [-c FILE] ROUTE SERVER",
		"take a server out, let it drain, or take it in again"},
	{"certs", run_certs, "--json", NULL, 0, 0, "[--json] [-c FILE]",
		"show the daemon's certificates, and when they are renewed"},
	{"renew", run_renew, "--all", NULL, 0, 1, "NAME | --all [-c FILE]",
		"renew a certificate in the daemon now, and show how it goes"},
	{"dns", run_dns, NULL, "--provider", 3, 3,
		"present|cleanup [--provider NAME] [-c FILE] [--] FQDN VALUE",
		"write or remove one TXT record, for trying credentials"},
	{"account", run_account, NULL, "--provider", 1, 1,
		"show|rollover [--provider NAME] [-c FILE]",
		"show the ACME accounts; give one a new key"},
	{"revoke", run_revoke, NULL, "--reason", 1, 1, "[--reason REASON] [-c FILE] NAME",
		"revoke the certificate of main or extra[N]"},
	{"version", run_version, NULL, NULL, 0, 0, "", "print the version"},
	{"help", run_help, NULL, NULL, 0, 2, "[COMMAND | providers [NAME]]",
		"print this, what a command takes, or which DNS providers there are"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int run_help(const struct call *call)
{
	if (call->n && strcmp(call->words[0], "providers") == 0)
		return dns_help(stdout, call->n > 1 ? call->words[1] : NULL) < 0 ? EXIT_USAGE
										 : EXIT_SUCCESS;
	return call->n > 1 ? EXIT_USAGE : cmdline_help(commands, N_COMMANDS, call);
}

int main(int argc, char **argv)
{
	int status = cmdline_run(commands, N_COMMANDS, argc, argv);

	if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
		perror("lintel: standard output");
		status = EXIT_FAILURE;
	}
	return status;
}
