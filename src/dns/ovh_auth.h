/* Where OVH's API is, and who asks it: the options of the provider `ovh` (ovh.c), and the proof of
 * each of its three kinds of credentials. */
#ifndef LINTEL_DNS_OVH_AUTH_H
#define LINTEL_DNS_OVH_AUTH_H

#include "dns/api.h"

enum {
	OVH_ENDPOINT = DNS_API_OWN_OPTIONS,
	OVH_APPLICATION_KEY,
	OVH_APPLICATION_SECRET,
	OVH_CONSUMER_KEY,
	OVH_CLIENT_ID,
	OVH_CLIENT_SECRET,
	OVH_TOKEN_URL,
	OVH_ACCESS_TOKEN,
	OVH_N_OPTIONS,
};

extern const struct setting ovh_options[OVH_N_OPTIONS];

/* init() and clear() of the provider. */
int ovh_init(struct dns_provider *p, struct error *err);
void ovh_clear(struct dns_provider *p);

const struct dns_api *ovh_api(const struct dns_job *j);
/* Whether the credentials are good, but not for this very call. */
bool ovh_is_ungranted(const struct dns_reply *r);

#endif
