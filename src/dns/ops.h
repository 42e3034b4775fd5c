/* What a DNS provider is made of: the table that provider.c walks, and its options. For the files
 * of this folder. */
#ifndef LINTEL_DNS_OPS_H
#define LINTEL_DNS_OPS_H

#include "dns/propagation.h"
#include "dns/provider.h"
#include "dns/zone.h"

enum dns_option_type {
	DNS_TEXT,
	DNS_SECRET,   /* never shown; also as KEY_file: the value is what the file holds */
	DNS_PATH,     /* resolved against state_dir */
	DNS_LIST,     /* entries, or one text with commas */
	DNS_SECONDS,  /* a whole number */
	DNS_DURATION, /* 90s, 1m30s; in the environment also bare seconds */
};

enum { DNS_OPTIONS_MAX = 24, DNS_ENV_MAX = 3 };

struct dns_option {
	const char *key;              /* snake_case; letter case and underscores do not matter */
	const char *env[DNS_ENV_MAX]; /* variables that fill it, which count as its keys too */
	enum dns_option_type type;
	bool required;
	const char *fallback;
};

/* The first rows of every provider. `A` and `B` are what its variables begin with. */
enum { DNS_TTL, DNS_PROPAGATION_TIMEOUT, DNS_POLLING_INTERVAL, DNS_OWN_OPTIONS };
#define DNS_ENV(A, B, name)                                                                        \
	{                                                                                          \
		A name, B name                                                                     \
	}
#define DNS_COMMON_OPTIONS(A, B)                                                                   \
	[DNS_TTL] = {.key = "ttl", .env = DNS_ENV(A, B, "TTL"), .type = DNS_SECONDS},              \
	[DNS_PROPAGATION_TIMEOUT] = {.key = "propagation_timeout",                                 \
		.env = DNS_ENV(A, B, "PROPAGATION_TIMEOUT"),                                       \
		.type = DNS_DURATION},                                                             \
	[DNS_POLLING_INTERVAL] = {.key = "polling_interval",                                       \
		.env = DNS_ENV(A, B, "POLLING_INTERVAL"),                                          \
		.type = DNS_DURATION}

struct dns_provider {
	const struct dns_ops *ops;
	const char *name;                            /* as the configuration calls it */
	struct conf_strings values[DNS_OPTIONS_MAX]; /* by row; empty = not given */
	uint32_t ttl;                                /* seconds */
	struct dns_patience patience;
	void *own; /* the provider's; made by init() */
};

/* What present() and cleanup() return beside 0 and -1: has failed, and another try may do. */
enum { DNS_AGAIN = -2 };

struct dns_ops {
	const struct dns_option *options;
	size_t n_options;
	uint32_t ttl;                 /* seconds, unless `ttl` is given */
	struct dns_patience patience; /* unless it is configured */
	/* After the options were taken in: checks what they mean together. No network. -1 with a
	 * sentence that begins with the option's name. */
	int (*init)(struct dns_provider *p, struct error *err);
	void (*clear)(struct dns_provider *p);
	/* Records of one zone, all at once. Adding what is there and removing what is not is fine;
	 * what others have at the name stays. */
	int (*present)(const struct dns_job *j, struct dns_txt *const *v, size_t n,
		const struct dns_limits *l, struct error *err);
	int (*cleanup)(const struct dns_job *j, struct dns_txt *const *v, size_t n,
		const struct dns_limits *l, struct error *err);
	/* Name servers of its own, which know best about the zones that they serve. NULL = none.
	 * -1 with a sentence. */
	int (*servers)(const struct dns_provider *p, struct dns_servers *out,
		const struct dns_limits *l, struct error *err);
	/* The zone of a name where an option says it. NULL = it is to be found. */
	const char *(*find_zone)(const struct dns_provider *p, const char *name);
};

/* Options (options.c). Takes in those of `a`, then what the environment has of the rest. Every
 * problem goes into `problems`, unless it stands there already; -1 then. */
int dns_options_load(struct dns_provider *p, const struct conf *c, const struct conf_autocert *a,
	struct problems *problems);
void dns_options_clear(struct dns_provider *p); /* wipes */
/* Adds a problem of the options as a whole. */
void dns_options_problem(const struct conf *c, const struct conf_autocert *a,
	struct problems *problems, const char *what);
/* The first value of a row; NULL = not given. */
const char *dns_value(const struct dns_provider *p, size_t row);
/* A DNS_DURATION in milliseconds; `otherwise` when it is not given. */
int64_t dns_value_ms(const struct dns_provider *p, size_t row, int64_t otherwise);

extern const struct dns_ops dns_rfc2136;

#endif
