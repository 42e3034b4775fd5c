/* Sets of TXT values that an API writes as a whole: read, merged and written again, all those of a
 * zone in one change, and nobody else of this process in between. For the files of this folder, of
 * providers with an API. Blocking: a job. */
#ifndef LINTEL_DNS_SETS_H
#define LINTEL_DNS_SETS_H

#include "dns/api.h"

void dns_set_add(struct conf_strings *set, const char *value);
/* With quotes around it or without. */
bool dns_set_has(const struct conf_strings *set, const char *value);

struct dns_set { /* of a name */
	const struct dns_txt *t;
	struct conf_strings old, wanted; /* as the API shows them; none = no set */
	uint32_t ttl;                    /* of the one that is there */
	struct json_object *shown;       /* that one as it came; NULL = it is not needed */
};

struct dns_change {
	struct dns_txt *const *v; /* all that is asked for, of one zone */
	size_t n_v;
	bool add;
	struct dns_set *sets; /* those that are to be others than they are */
	size_t n;
	char *id; /* new, by write(): the change is not at all name servers yet; NULL = it is */
};

/* What write() returns beside 0, -1 and DNS_AGAIN: a set was changed since it was read. It is read
 * again then, after a pause. */
enum { DNS_CONFLICT = 1 };

struct dns_sets_ops {
	/* What is there. `ttl` is the provider's before. */
	int (*read)(const struct dns_job *j, struct dns_set *s, struct error *err);
	int (*write)(const struct dns_job *j, struct dns_change *c, struct error *err);
	/* Whether the change is everywhere: 1 or 0, or as a call. */
	int (*is_done)(const struct dns_job *j, const struct dns_change *c, struct error *err);
	const char *late; /* the sentence when it is not in time */
	bool bare;        /* values are written without quotes around them */
	/* How much goes into one change: bytes of values, of which each counts DNS_VALUE_EXTRA
	 * more. 0 = any. A set that is larger is for the API to refuse. */
	size_t room;
};
enum { DNS_VALUE_EXTRA = 64 };

/* The verbs of a provider that has `sets`. */
int dns_sets_present(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err);
int dns_sets_cleanup(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err);

#endif
