/* DNS providers: who writes and removes the TXT records of dns-01 challenges. One file each, no
 * header of its own. A job puts all records of an order out, waits until every name server has
 * them, and removes them again. Blocking, one job thread; a struct dns_provider is only read, once
 * made. Sentences name zone, name and server, never a secret; the provider's name is the caller's
 * to put in front. "stopped" is the one when the stop was set. */
#ifndef LINTEL_DNS_PROVIDER_H
#define LINTEL_DNS_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stop.h"
#include "conf/conf.h"

struct dns_txt {    /* one TXT record; plain data, strings its own */
	char *fqdn; /* what is asked for: _acme-challenge.example.org */
	char *value;
	char *name;    /* where it goes, CNAMEs followed; NULL before dns_locate() */
	char *zone;    /* the zone that `name` lies in */
	char *zone_id; /* what the provider calls the zone; NULL = nothing */
	char *handle;  /* what the provider calls the record; NULL = nothing */
	/* Of the challenge, for those who are told them: the domain without "*.", and RFC 8555,
	 * 8.1. NULL = unknown, as with `lintel dns`. */
	char *domain, *token, *authorization;
	bool present; /* it may be out: to be removed */
};

void dns_txts_clear(struct dns_txt *v, size_t n); /* not the array itself */

struct dns_provider;
/* Checks the options and takes them in, those of the environment too; no network. Every problem
 * goes into `p` with its place; NULL then. What an extra has taken over from main is told as
 * main's, once. */
struct dns_provider *dns_provider_new(
	const struct conf *c, const struct conf_autocert *a, struct problems *p);
void dns_provider_free(struct dns_provider *p); /* NULL is fine; wipes */
const char *dns_provider_name(const struct dns_provider *p);
/* SHA-256 over its options as they were taken in, and what files they name hold: another one when
 * any of it changes, though the configuration names the same files and variables. Blocking. */
void dns_provider_hash(const struct dns_provider *p, unsigned char hash[32]);

/* For a process that is going to use its providers: where there are some of the kind `exec`, starts
 * the helper that runs their programs (base/spawn.h) as `user`; NULL = who this process is. To be
 * called first, single-threaded. Other programs than these cannot be used by it later. What is
 * wrong with the options is dns_provider_new()'s to tell. */
int dns_start_programs(const struct conf *c, const char *user, struct error *err);

/* Of dns_wait(). */
enum dns_progress {
	DNS_WAITING, /* for which records, and which name servers do not have them (yet) */
	DNS_STILL,   /* the same, when nothing has changed for a while */
	DNS_SEEN,    /* "ns1.example.org has all 2 records of zone example.org" */
};

struct dns_job {
	const struct dns_provider *provider;
	const struct conf_autocert *autocert; /* resolvers, propagation */
	/* A deadline of 0 = half a minute for each call, and what propagation.timeout says for
	 * dns_wait(). */
	struct limits limits;
	/* NULL = nobody listens. */
	void (*say)(void *arg, enum dns_progress what, const char *text);
	void *arg;
};

/* How many of `n` records may be out at the same time: all, or one of a provider that holds a
 * single value. */
size_t dns_at_once(const struct dns_provider *p, size_t n);
/* Finds name and zone of those that have none yet. */
int dns_locate(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err);
/* Adds all to what is there, zone by zone. Adding what is there already is fine. `present` is set
 * before a record is sent. */
int dns_present(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err);
/* Until every authoritative server of each zone, or those of propagation.servers, have all. */
int dns_wait(const struct dns_job *j, const struct dns_txt *v, size_t n, struct error *err);
/* Removes those that are present, and nothing else; goes on after a failure, and leaves `present`
 * where it could not. -1 with the first failure's sentence. What is gone already is fine. */
int dns_cleanup(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err);

#endif
