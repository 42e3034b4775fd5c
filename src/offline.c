#include "offline.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/account.h"
#include "acme/key.h"
#include "acme/order.h"
#include "autocert/key.h"
#include "autocert/store.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/privileges.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dns/provider.h"
#include "tls/cert.h"

#define EXIT_USAGE 2

int offline_complain(const char *what, const struct error *err)
{
	fprintf(stderr, "lintel: %s: %s\n", what, err->text);
	return EXIT_FAILURE;
}

/* Whom root becomes, so that the daemon can read what is made here: `user`, or whose state_dir it
 * is where somebody else starts it as that one. NULL = nobody. */
static const char *user_of(const struct conf *c)
{
	const struct passwd *owner;
	struct stat st;

	if (c->user || stat(c->state_dir, &st) < 0 || !st.st_uid)
		return c->user;
	owner = getpwuid(st.st_uid);
	return owner ? owner->pw_name : NULL;
}

struct conf *offline_load(const char *conf_file)
{
	struct problems p = {0};
	struct conf *c = conf_load(conf_file, &p);
	const char *user = c && geteuid() == 0 ? user_of(c) : NULL;
	struct error err;

	if (c && dns_start_programs(c, user, &err) < 0)
		problems_add(&p, "lintel: %s", err.text);
	else if (user && privileges_drop(user, &err) < 0)
		conf_problem(&p, c, c->places.user, NULL, "%s", err.text);
	for (size_t i = 0; i < p.n; i++)
		fprintf(stderr, "%s\n", p.lines[i]);
	if (p.n) {
		conf_unref(c);
		c = NULL;
	}
	problems_clear(&p);
	log_configure(LOG_WARN, LOG_TEXT);
	return c;
}

/* NULL after telling that there is none, or that it has nothing to do with a CA. */
static const struct conf_autocert *find_provider(const struct conf *c, const char *name)
{
	const char **names = mem_zalloc(c->n_providers * sizeof(*names)), *near;
	const struct conf_autocert *found = NULL;

	for (size_t i = 0; i < c->n_providers; i++) {
		names[i] = c->providers[i].name;
		if (strcmp(name, names[i]) == 0)
			found = &c->providers[i];
	}
	if (!found) {
		near = str_nearest(name, names, c->n_providers);
		fprintf(stderr, "lintel: autocert has no provider \"%s\"%s%s%s\n", name,
			near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	} else if (!conf_is_acme(found)) {
		fprintf(stderr,
			"lintel: autocert: %s is of the provider %s: there is no CA and no "
			"DNS provider to talk to\n",
			name, conf_provider_name(found));
		found = NULL;
	}
	free(names);
	return found;
}

struct dns_provider *offline_open_dns(const struct conf *c, const struct conf_autocert *a)
{
	struct problems p = {0};
	struct dns_provider *dns = dns_provider_new(c, a, &p);

	for (size_t i = 0; i < p.n; i++)
		fprintf(stderr, "%s\n", p.lines[i]);
	problems_clear(&p);
	return dns;
}

/* ---- dns ---- */

static void say(void *arg, enum dns_progress what, const char *text)
{
	(void)arg;
	(void)what;
	printf("%s\n", text);
	fflush(stdout);
}

static int do_dns(const struct dns_job *j, bool present, struct dns_txt *txt, struct error *err)
{
	if (dns_locate(j, txt, 1, err) < 0)
		return -1;
	if (strcmp(txt->fqdn, txt->name) != 0)
		printf("%s leads to %s in zone %s\n", txt->fqdn, txt->name, txt->zone);
	else
		printf("%s lies in zone %s\n", txt->name, txt->zone);
	fflush(stdout);
	txt->present = true; /* as far as anybody knows */
	if ((present ? dns_present(j, txt, 1, err) : dns_cleanup(j, txt, 1, err)) < 0)
		return -1;
	printf("the TXT record of %s is %s\n", txt->name, present ? "written" : "removed");
	fflush(stdout);
	if (present && dns_wait(j, txt, 1, err) < 0)
		return error_prefix(err, "the record is written, but");
	return 0;
}

int offline_dns(const char *conf_file, const char *provider, bool present, const char *fqdn,
	const char *value)
{
	char name[NAME_SIZE];
	struct conf *c;
	const struct conf_autocert *a;
	struct dns_txt txt = {0};
	struct dns_job j = {.say = say};
	struct dns_provider *dns;
	int status = EXIT_FAILURE;
	struct error err;

	if (!name_normalise(name, fqdn, strlen(fqdn)) || !*value) {
		fprintf(stderr, "lintel: dns takes a DNS name, like _acme-challenge.example.com, "
				"and a value\n");
		return EXIT_USAGE;
	}
	c = offline_load(conf_file);
	j.autocert = a = c ? find_provider(c, provider ? provider : "main") : NULL;
	j.provider = dns = a ? offline_open_dns(c, a) : NULL;
	txt.fqdn = mem_strdup(name);
	txt.value = mem_strdup(value);
	if (dns)
		status = do_dns(&j, present, &txt, &err) < 0
				 ? offline_complain(dns_provider_name(dns), &err)
				 : EXIT_SUCCESS;
	dns_provider_free(dns);
	dns_txts_clear(&txt, 1);
	conf_unref(c);
	return status;
}

/* ---- accounts ---- */

void offline_account_close(struct offline_account *acc)
{
	acme_free(acc->acme);
	EVP_PKEY_free(acc->key);
	store_unlock_account(acc->lock);
}

int offline_account_open(struct offline_account *acc, const struct conf_autocert *a, bool exclusive,
	struct error *err)
{
	bool made = false;

	*acc = (struct offline_account){.autocert = a, .lock = -1};
	acc->acme = acme_new(
		&(struct acme_options){.directory_url = a->ca_dir_url, .ca_certs = &a->ca_certs});
	if (access(a->acme_key_path, F_OK) < 0)
		return error_set(err,
			"there is no account key %s yet: the first order makes it, and registers "
			"the account",
			a->acme_key_path);
	acc->lock = store_lock_account(a->acme_key_path, exclusive, err);
	if (acc->lock < 0)
		return -1;
	acc->key = store_account_key(a->acme_key_path, &made, err);
	if (!acc->key || acme_open(acc->acme, err) < 0)
		return -1;
	acme_use_key(acc->acme, acc->key);
	if (acme_account_find(acc->acme, err) == 0)
		return 0;
	if (acme_account_is_unknown(acc->acme))
		error_set(err,
			"the CA does not know the account of %s (yet): the next order registers it",
			a->acme_key_path);
	return -1;
}

static bool same_account(const struct conf_autocert *a, const struct conf_autocert *b)
{
	return strcmp(a->acme_key_path, b->acme_key_path) == 0 &&
	       strcmp(a->ca_dir_url, b->ca_dir_url) == 0;
}

/* Whether no provider before this one has the same account. */
static bool is_first(const struct conf *c, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (conf_is_acme(&c->providers[j]) &&
			same_account(&c->providers[j], &c->providers[i]))
			return false;
	return true;
}

static void print_member(struct json_object *o, const char *key, const char *title)
{
	struct json_object *m = NULL;

	if (json_object_object_get_ex(o, key, &m))
		printf("  %-10s %s\n", title,
			json_object_is_type(m, json_type_string)
				? json_object_get_string(m)
				: json_object_to_json_string_ext(m,
					  JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int show(const struct conf *c, size_t i)
{
	const struct conf_autocert *a = &c->providers[i];
	struct json_object *o = NULL;
	struct offline_account acc;
	struct error err;
	int status = EXIT_FAILURE;

	printf("%s", a->name);
	for (size_t j = i + 1; j < c->n_providers; j++)
		if (conf_is_acme(&c->providers[j]) && same_account(a, &c->providers[j]))
			printf(", %s", c->providers[j].name);
	printf("\n  %-10s %s\n  %-10s %s\n", "CA", a->ca_dir_url, "key", a->acme_key_path);
	fflush(stdout);
	if (offline_account_open(&acc, a, false, &err) == 0)
		o = acme_account_show(acc.acme, &err);
	if (o) {
		printf("  %-10s %s\n", "account", acme_account_url(acc.acme));
		print_member(o, "status", "status");
		print_member(o, "contact", "contact");
		print_member(o, "createdAt", "created");
		status = EXIT_SUCCESS;
	} else {
		offline_complain(a->name, &err);
	}
	json_object_put(o);
	offline_account_close(&acc);
	return status;
}

int offline_account_show(const char *conf_file)
{
	struct conf *c = offline_load(conf_file);
	int status = EXIT_SUCCESS;
	size_t n = 0;

	if (!c)
		return EXIT_FAILURE;
	for (size_t i = 0; i < c->n_providers; i++) {
		if (!conf_is_acme(&c->providers[i]) || !is_first(c, i))
			continue;
		n++;
		if (show(c, i) != EXIT_SUCCESS)
			status = EXIT_FAILURE;
	}
	if (!n) {
		fprintf(stderr, "lintel: no provider of autocert has an ACME account\n");
		status = EXIT_FAILURE;
	}
	conf_unref(c);
	return status;
}

/* The new key lies on the disk before the CA hears of it, so that it cannot be lost. */
static int rollover(struct offline_account *acc, struct error *err)
{
	const char *path = acc->autocert->acme_key_path;
	char *next = mem_printf("%s.next", path);
	EVP_PKEY *key = key_make(KEY_EC256, err);
	int rc = -1;

	if (key && store_put_account_key(next, key, err) == 0 &&
		acme_account_rollover(acc->acme, key, err) == 0) {
		rc = store_put_account_key(path, key, err);
		if (rc < 0)
			error_prefix(err,
				"the CA has taken the new key, which is in %s: move it "
				"to %s",
				next, path);
		else
			unlink(next);
	}
	EVP_PKEY_free(key);
	free(next);
	return rc;
}

/* A rollover that was cut off when the CA had the new key already. */
static int finish_rollover(const struct conf_autocert *a, struct error *err)
{
	char *next = mem_printf("%s.next", a->acme_key_path);
	struct conf_autocert with_next = *a;
	struct offline_account acc;
	int rc = 0;

	if (access(next, F_OK) < 0)
		goto out;
	with_next.acme_key_path = next;
	if (offline_account_open(&acc, &with_next, true, err) == 0) {
		rc = store_put_account_key(a->acme_key_path, acc.key, err);
		if (rc == 0) {
			unlink(next);
			printf("%s: a rollover that was cut off is finished\n", a->name);
			rc = 1;
		}
	} else if (!acme_account_is_unknown(acc.acme)) {
		rc = -1;
	}
	offline_account_close(&acc);
out:
	free(next);
	return rc;
}

int offline_account_rollover(const char *conf_file, const char *provider)
{
	struct conf *c = offline_load(conf_file);
	const struct conf_autocert *a = c ? find_provider(c, provider ? provider : "main") : NULL;
	int status = EXIT_FAILURE, rc;
	struct offline_account acc;
	struct error err;

	if (!a)
		goto out;
	rc = finish_rollover(a, &err);
	if (rc == 0) {
		rc = offline_account_open(&acc, a, true, &err);
		if (rc == 0)
			rc = rollover(&acc, &err);
		if (rc == 0)
			printf("%s: the account %s has a new key: %s\n", a->name,
				acme_account_url(acc.acme), a->acme_key_path);
		offline_account_close(&acc);
	}
	if (rc < 0)
		offline_complain(a->name, &err);
	else
		status = EXIT_SUCCESS;
out:
	conf_unref(c);
	return status;
}

/* ---- revoke ---- */

static int find_reason(const char *text)
{
	/* RFC 5280, 5.3.1, but for those that a CA sets itself. */
	static const struct {
		const char *name;
		int code;
	} reasons[] = {{"unspecified", 0}, {"keyCompromise", 1}, {"affiliationChanged", 3},
		{"superseded", 4}, {"cessationOfOperation", 5}};
	char number[12];

	for (size_t i = 0; text && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		snprintf(number, sizeof(number), "%d", reasons[i].code);
		if (strcasecmp(text, reasons[i].name) == 0 || strcmp(text, number) == 0)
			return reasons[i].code;
	}
	if (!text)
		return 0;
	fprintf(stderr,
		"lintel: unknown reason \"%s\"; possible: unspecified, keyCompromise, "
		"affiliationChanged, superseded, cessationOfOperation\n",
		text);
	return -1;
}

int offline_revoke(const char *conf_file, const char *provider, const char *reason)
{
	int code = find_reason(reason), status = EXIT_FAILURE;
	struct conf *c = code < 0 ? NULL : offline_load(conf_file);
	const struct conf_autocert *a = c ? find_provider(c, provider) : NULL;
	struct cert *cert = NULL;
	struct offline_account acc = {.lock = -1};
	struct error err;

	if (code < 0)
		return EXIT_USAGE;
	if (!a)
		goto out;
	cert = cert_load(a->cert_path, a->key_path, &err);
	if (!cert || offline_account_open(&acc, a, false, &err) < 0 ||
		acme_revoke(acc.acme, cert->leaf, cert->leaf_len, code, &err) < 0) {
		offline_complain(a->name, &err);
	} else {
		printf("%s: revoked: %s; it is still served: get a new one with `lintel renew "
		       "%s`\n",
			a->name, a->cert_path, a->name);
		status = EXIT_SUCCESS;
	}
	offline_account_close(&acc);
out:
	cert_unref(cert);
	conf_unref(c);
	return status;
}
