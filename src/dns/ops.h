/* What a DNS provider is made of: the table that provider.c walks. For the files of this folder. */
#ifndef LINTEL_DNS_OPS_H
#define LINTEL_DNS_OPS_H

#include "dns/propagation.h"
#include "dns/provider.h"
#include "dns/zone.h"

enum {
	DNS_REQUIRED = 1 << 0,
	DNS_SECRET = 1 << 1, /* also as KEY_file: the value is what the file holds */
	DNS_LIST = 1 << 2,
	DNS_OPTIONS_MAX = 16,
	DNS_ENV_MAX = 3,
};

struct dns_option {
	const char *key;              /* snake_case; letter case and underscores do not matter */
	const char *env[DNS_ENV_MAX]; /* variables that fill it, which count as its keys too */
	unsigned flags;
	const char *fallback;
};

struct dns_provider {
	const struct dns_ops *ops;
	struct conf_strings values[DNS_OPTIONS_MAX]; /* by row; empty = not given */
	long ttl;                                    /* seconds */
	struct dns_patience patience;
	void *own; /* the provider's; made by init() */
};

struct dns_ops {
	const char *name;
	const struct dns_option *options;
	size_t n_options;
	long ttl;                     /* seconds, unless `ttl` is given */
	struct dns_patience patience; /* unless it is configured */
	/* After the options were taken in: checks what they mean together. -1 with a sentence. */
	int (*init)(struct dns_provider *p, struct error *err);
	void (*clear)(struct dns_provider *p);
	/* Records of one zone. */
	int (*present)(const struct dns_job *j, struct dns_txt *const *v, size_t n,
		const struct dns_limits *l, struct error *err);
	int (*cleanup)(const struct dns_job *j, struct dns_txt *const *v, size_t n,
		const struct dns_limits *l, struct error *err);
	/* The servers that know the zones, where the provider has its own. -1 with a sentence; 0.
	 */
	int (*zone_servers)(
		const struct dns_provider *p, struct dns_servers *out, struct error *err);
	/* The zone of a name where an option says it; NULL = it is to be found. */
	const char *(*find_zone)(const struct dns_provider *p, const char *name);
};

/* The first value of option `row`; NULL = not given. */
const char *dns_value(const struct dns_provider *p, size_t row);

extern const struct dns_ops dns_rfc2136;

#endif
