/* The commands that work on a configuration without the daemon: they read the file, become its
 * `user` where they are run by root, and talk to the CA and the DNS provider themselves. Each says
 * what it does on standard output and returns the exit status: 0, 1 with a sentence on standard
 * error, or 2 for a usage error. */
#ifndef LINTEL_OFFLINE_H
#define LINTEL_OFFLINE_H

#include <stdbool.h>

#include "acme/client.h"
#include "base/error.h"
#include "conf/conf.h"
#include "dns/provider.h"

/* Writes one TXT record and waits until the name servers have it, or removes it. `provider` NULL =
 * main. */
int offline_dns(const char *conf_file, const char *provider, bool present, const char *fqdn,
	const char *value);
int offline_account_show(const char *conf_file);
int offline_account_rollover(const char *conf_file, const char *provider);
/* `reason` is a name or number of RFC 5280, 5.3.1; NULL = none given. */
int offline_revoke(const char *conf_file, const char *provider, const char *reason);

/* ---- for other files with such commands ---- */

/* The configuration, read as who is going to use it. A new reference; NULL after telling every
 * problem. */
struct conf *offline_load(const char *conf_file);
/* New; NULL after telling every problem of the options. */
struct dns_provider *offline_open_dns(const struct conf *c, const struct conf_autocert *a);
/* Tells what went wrong with a provider; returns the exit status. */
int offline_complain(const char *what, const struct error *err);

struct offline_account { /* one that providers share */
	const struct conf_autocert *autocert;
	struct acme *acme;
	EVP_PKEY *key;
	int lock;
};

/* The CA is asked for the account of the key that is there (RFC 8555, 7.3.1); no key is made.
 * `exclusive`: the key is going to be changed. `a` is borrowed until it is closed, which it has to
 * be after -1 too. */
int offline_account_open(struct offline_account *acc, const struct conf_autocert *a, bool exclusive,
	struct error *err);
void offline_account_close(struct offline_account *acc);

#endif
