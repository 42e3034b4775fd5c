/* What a DNS provider is made of: the table that provider.c walks, and its options. For the files
 * of this folder. */
#ifndef LINTEL_DNS_OPS_H
#define LINTEL_DNS_OPS_H

#include "conf/setting.h"
#include "dns/propagation.h"
#include "dns/provider.h"
#include "dns/zone.h"
#include "http/api.h"

enum { DNS_OPTIONS_MAX = 32 };

/* The first rows of every provider. `A` and `B` are what its variables begin with. */
enum { DNS_TTL, DNS_PROPAGATION_TIMEOUT, DNS_POLLING_INTERVAL, DNS_OWN_OPTIONS };
#define DNS_ENV(A, B, name)                                                                        \
	{                                                                                          \
		A name, B name                                                                     \
	}
#define DNS_COMMON_OPTIONS(A, B)                                                                   \
	[DNS_TTL] = {.key = "ttl",                                                                 \
		.env = DNS_ENV(A, B, "TTL"),                                                       \
		.type = SETTING_SECONDS,                                                           \
		.help = "seconds that others may keep the record"},                                \
	[DNS_PROPAGATION_TIMEOUT] = {.key = "propagation_timeout",                                 \
		.env = DNS_ENV(A, B, "PROPAGATION_TIMEOUT"),                                       \
		.type = SETTING_DURATION,                                                          \
		.help = "how long all name servers may take to show the record"},                  \
	[DNS_POLLING_INTERVAL] = {.key = "polling_interval",                                       \
		.env = DNS_ENV(A, B, "POLLING_INTERVAL"),                                          \
		.type = SETTING_DURATION,                                                          \
		.help = "between two looks at them"}

struct dns_provider {
	const struct dns_ops *ops;
	const char *name;                             /* as the configuration calls it */
	const char *state_dir;                        /* for init() only: the configuration's */
	struct setting_value values[DNS_OPTIONS_MAX]; /* by row */
	uint32_t ttl;                                 /* seconds */
	struct dns_patience patience;
	unsigned tries; /* of a request, and of a change that has to be begun anew; by init(), at
			 * most 20; 0 = as usual */
	void *own;      /* the provider's; made by init() */
};

/* What present() and cleanup() return beside 0 and -1: has failed, and another try may do. */
enum { DNS_AGAIN = HTTP_AGAIN };

struct dns_zone {
	char name[DNS_NAME_SIZE];
	char *id; /* what the provider calls it; a new string; NULL = nothing */
};

/* What present() and cleanup() are given at once. */
enum dns_batch {
	DNS_PER_ZONE, /* all records of a zone */
	DNS_PER_NAME, /* all records of a name */
	DNS_SINGLE,   /* one record, and no second one of the order is out meanwhile */
};

struct dns_sets_ops;

struct dns_ops {
	const char *help; /* a line for people: whose DNS it is */
	const struct setting *options;
	size_t n_options;
	uint32_t ttl;      /* seconds, unless `ttl` is given; 0 = of no use here */
	uint32_t ttl_min;  /* the smallest that the provider takes; 0 = any */
	uint32_t ttl_auto; /* but for this one, with which it chooses itself; 0 = there is none */
	struct dns_patience patience; /* unless it is configured */
	/* After the options were taken in: checks what they mean together. No network. -1 with a
	 * sentence that begins with the option's name. */
	int (*init)(struct dns_provider *p, struct error *err);
	void (*clear)(struct dns_provider *p);
	enum dns_batch batch;
	/* Within the job's limits, which are always set here:
	 *
	 * Records of one zone, of one name, or one. Adding what is there and removing what is not
	 * is fine; what others have at the name stays. cleanup() may be all that a process ever
	 * calls. -1 with a sentence, or DNS_AGAIN. */
	int (*present)(
		const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err);
	int (*cleanup)(
		const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err);
	const struct dns_sets_ops *sets; /* sets.h; of those whose verbs are dns_sets_present() and
					  * dns_sets_cleanup() */
	/* Name servers of its own, which know best about the zones that they serve. NULL = none.
	 * -1 with a sentence. */
	int (*servers)(const struct dns_provider *p, struct dns_servers *out,
		const struct limits *l, struct error *err);
	/* The zone of a name, as an option or the account says: 1 = found, and filled in; 0 = by
	 * the SOA records of public DNS, then; -1 with a sentence. NULL = 0. */
	int (*find_zone)(
		const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err);
};

/* NULL for what is no DNS provider. */
const struct dns_ops *dns_ops_of(enum conf_provider provider);

/* Options (options.c). Takes in those of `a`, then what the environment has of the rest. Every
 * problem goes into `problems`, unless it stands there already; -1 then. */
int dns_options_load(struct dns_provider *p, const struct conf *c, const struct conf_autocert *a,
	struct problems *problems);
void dns_options_clear(struct dns_provider *p); /* wipes */
/* Where the options tell which provider is meant: the first key of `a` that is one of `ops`, and
 * none of `other`; NULL = there is none. Whether the environment has all that `ops` requires. */
const char *dns_options_key_of(
	const struct dns_ops *ops, const struct dns_ops *other, const struct conf_autocert *a);
bool dns_options_in_environment(const struct dns_ops *ops);
/* Adds a problem: of the option that the sentence begins with, or of the options as a whole. */
void dns_options_problem(const struct conf *c, const struct conf_autocert *a,
	const struct dns_ops *ops, struct problems *problems, const char *what);
/* The first value of a row; NULL = not given. The others as in setting.h. */
const char *dns_value(const struct dns_provider *p, size_t row);
int64_t dns_value_ms(const struct dns_provider *p, size_t row, int64_t otherwise);
bool dns_is_true(const struct dns_provider *p, size_t row);

extern const struct dns_ops dns_acmedns;
extern const struct dns_ops dns_azuredns;
extern const struct dns_ops dns_cloudflare;
extern const struct dns_ops dns_clouddns_cz;
extern const struct dns_ops dns_digitalocean;
extern const struct dns_ops dns_duckdns;
extern const struct dns_ops dns_exec;
extern const struct dns_ops dns_gcloud;
extern const struct dns_ops dns_godaddy;
extern const struct dns_ops dns_httpreq;
extern const struct dns_ops dns_ovh;
extern const struct dns_ops dns_rfc2136;
extern const struct dns_ops dns_route53;

/* Which of two `clouddns` is; NULL with a sentence when options of both are there. */
const struct dns_ops *dns_clouddns_choose(const struct conf_autocert *a, struct error *err);

#endif
