#include "preflight.h"

#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/account.h"
#include "acme/challenge.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/privileges.h"
#include "build.h"
#include "conf/conf.h"
#include "dns/provider.h"
#include "offline.h"
#include "start.h"

/* Whether this user's right to write is that of who will start it: with `user` only root can, but
 * for that user. */
static bool would_start(const char *user)
{
	return !user || geteuid() == 0 || privileges_drop(user, NULL) == 0;
}

/* As it is made: before privileges are dropped. */
static void check_state_dir(const struct conf *c, struct problems *p)
{
	struct error err;

	if (would_start(c->user) && start_check_state_dir(c, &err) < 0)
		conf_problem(p, c, c->places.state_dir, NULL, "%s", err.text);
}

/* As `user`, where that can be. */
static void check_as_user(struct built *b, struct problems *p)
{
	const char *user = b->conf->user;
	struct error err;

	if (user &&
		(geteuid() == 0 ? privileges_drop(user, &err) : privileges_find(user, &err)) < 0)
		conf_problem(p, b->conf, b->conf->places.user, NULL, "%s", err.text);
	else
		build_tls(b, NULL, true, p);
	if (user)
		start_warn_unreadable(b->conf);
}

int preflight_files(const char *conf_file)
{
	struct built b = {0};
	struct problems p = {0};
	bool bad;

	b.conf = conf_load_refused(conf_file, &p);
	if (b.conf) {
		log_configure(LOG_WARN, LOG_TEXT);
		check_state_dir(b.conf, &p);
		check_as_user(&b, &p);
	}
	for (size_t i = 0; i < p.n; i++)
		fprintf(stderr, "%s\n", p.lines[i]);
	if (!p.n)
		printf("%s: good\n", conf_file);
	built_clear(&b);
	bad = p.n != 0;
	problems_clear(&p);
	return bad;
}

static void say_dns(void *arg, enum dns_progress what, const char *text)
{
	(void)what;
	printf("%s: DNS: %s\n", (const char *)arg, text);
	fflush(stdout); /* it may be some time until the next line */
}

/* A record at the place of each challenge, seen by every name server, and removed again. */
static int prove_dns(const struct conf *c, const struct conf_autocert *a, struct error *err)
{
	struct dns_job j = {.autocert = a, .say = say_dns, .arg = a->name};
	struct dns_provider *dns = offline_open_dns(c, a);
	struct dns_txt *v = mem_zalloc(a->domains.n * sizeof(*v));
	unsigned char random[32];
	struct error why;
	int rc;

	j.provider = dns;
	for (size_t i = 0; i < a->domains.n; i++) {
		RAND_bytes(random, sizeof(random));
		v[i].value = enc_base64url(random, sizeof(random));
		v[i].fqdn = acme_challenge_name(a->domains.v[i]);
	}
	rc = dns ? dns_locate(&j, v, a->domains.n, err) : error_set(err, "see above");
	for (size_t i = 0, some; rc == 0 && i < a->domains.n; i += some) {
		some = dns_at_once(dns, a->domains.n - i);
		rc = dns_present(&j, v + i, some, err);
		if (rc == 0)
			rc = dns_wait(&j, v + i, some, err);
		if (dns_cleanup(&j, v + i, some, &why) < 0) {
			if (rc == 0)
				*err = why;
			rc = -1;
		}
	}
	if (rc == 0)
		printf("%s: DNS: test records written, seen and removed by %s\n", a->name,
			dns_provider_name(dns));
	dns_txts_clear(v, a->domains.n);
	free(v);
	dns_provider_free(dns);
	return rc;
}

static int check_ca(const struct conf_autocert *a, struct acme *acme, struct error *err)
{
	if (acme_open(acme, err) < 0 || acme_check_clock(acme, err) < 0)
		return -1;
	if (acme_wants_eab(acme) && !a->eab_kid)
		return error_set(err, "the CA wants an external account: set eab_kid and eab_hmac, "
				      "which it gives out");
	if (a->profile && !acme_knows_profile(acme, a->profile))
		log_warn("autocert: %s: the CA does not know the profile \"%s\": orders go on "
			 "without one",
			a->name, a->profile);
	printf("%s: CA: reachable, its clock agrees: %s\n", a->name, a->ca_dir_url);
	return 0;
}

static int check_account(const struct conf_autocert *a, struct error *err)
{
	struct offline_account acc;
	int rc = 0;

	if (access(a->acme_key_path, F_OK) < 0) {
		printf("%s: account: none yet; the first order makes %s and registers it\n",
			a->name, a->acme_key_path);
		return 0;
	}
	rc = offline_account_open(&acc, a, false, err);
	if (rc == 0) {
		printf("%s: account: %s\n", a->name, acme_account_url(acc.acme));
	} else if (acme_account_is_unknown(acc.acme)) {
		printf("%s: account: the CA does not know %s; the next order registers it\n",
			a->name, a->acme_key_path);
		rc = 0;
	}
	offline_account_close(&acc);
	return rc;
}

int preflight_acme(const char *conf_file)
{
	struct conf *c = offline_load(conf_file);
	int status = EXIT_SUCCESS;
	size_t n = 0;

	if (!c)
		return EXIT_FAILURE;
	for (size_t i = 0; i < c->n_providers; i++) {
		const struct conf_autocert *a = &c->providers[i];
		struct acme *acme;
		struct error err;

		if (!conf_is_acme(a))
			continue;
		n++;
		acme = acme_new(&(struct acme_options){
			.directory_url = a->ca_dir_url, .ca_certs = &a->ca_certs});
		/* Both, so that all problems are seen at once. */
		if (check_ca(a, acme, &err) < 0 || check_account(a, &err) < 0)
			status = offline_complain(a->name, &err);
		if (prove_dns(c, a, &err) < 0)
			status = offline_complain(a->name, &err);
		acme_free(acme);
	}
	if (!n)
		printf("no provider of autocert gets certificates from a CA\n");
	conf_unref(c);
	return status;
}
