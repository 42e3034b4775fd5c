/* The commands that work on a configuration without the daemon: they read the file, become its
 * `user` where they are run by root, and talk to the CA and the DNS provider themselves. Each says
 * what it does on standard output and returns the exit status: 0, 1 with a sentence on standard
 * error, or 2 for a usage error. */
#ifndef LINTEL_OFFLINE_H
#define LINTEL_OFFLINE_H

#include <stdbool.h>

/* Proves CA and DNS credentials of every ACME provider without placing an order. */
int offline_check(const char *conf_file);
/* Writes one TXT record and waits until the name servers have it, or removes it. `provider` NULL =
 * main. */
int offline_dns(const char *conf_file, const char *provider, bool present, const char *fqdn,
	const char *value);
int offline_account_show(const char *conf_file);
int offline_account_rollover(const char *conf_file, const char *provider);
/* `reason` is a name or number of RFC 5280, 5.3.1; NULL = none given. */
int offline_revoke(const char *conf_file, const char *provider, const char *reason);

#endif
