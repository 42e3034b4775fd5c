/* The provider `route53`, Amazon's Route 53 with its API of 2013-04-01, in two parts: zones
 * (route53.c), and the sets of TXT records in them (route53_sets.c). Blocking: a job. */
#ifndef LINTEL_DNS_ROUTE53_H
#define LINTEL_DNS_ROUTE53_H

#include "dns/aws.h"
#include "http/xml.h"

#define R53_VERSION "/2013-04-01"

enum {
	R53_HOSTED_ZONE_ID = AWS_OWN_OPTIONS,
	R53_PRIVATE_ZONE,
	R53_WAIT_FOR_SYNC,
	R53_MAX_RETRIES,
	R53_N_OPTIONS,
};

/* Sends a call, and reads its answer, whose element is `root`. *out is new, and NULL after a
 * failure. */
int route53_ask(const struct dns_job *j, struct dns_call *c, const char *root, struct xml **out,
	const struct limits *l, struct error *err);
/* The id alone, which has a path in front in lists of zones. */
const char *route53_zone_id(const char *id);
/* Whether a name of an answer is `name`: with a dot at its end, and \052 for "*" and the like. */
bool route53_is_name(const char *shown, const char *name);

/* Adds the records of a zone, or removes them; as present() and cleanup(). */
int route53_change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err);

#endif
