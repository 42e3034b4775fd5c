/* Lists of name servers: those that people name, and those of the system. Blocking: a job. */
#ifndef LINTEL_DNS_SERVERS_H
#define LINTEL_DNS_SERVERS_H

#include "base/address.h"
#include "conf/conf.h"
#include "dns/query.h"

struct dns_server {
	char *name;         /* as sentences call it */
	struct endpoint *v; /* its addresses: the next one is for when one does not answer */
	size_t n;
};

struct dns_servers {
	struct dns_server *v;
	size_t n;
};

/* From entries host, host:port, [v6]:port, without a port it is 53; names are looked up by the
 * system. */
int dns_servers_add(struct dns_servers *s, const struct conf_strings *list, const struct limits *l,
	struct error *err);
/* One without addresses yet, and one more address for it. */
struct dns_server *dns_servers_add_one(struct dns_servers *s, const char *name);
void dns_server_add_address(struct dns_server *s, const struct endpoint *e);
/* Those of /etc/resolv.conf, or of another file like it. */
void dns_servers_add_system(struct dns_servers *s, const char *file);
void dns_servers_clear(struct dns_servers *s);

#define DNS_RESOLV_CONF "/etc/resolv.conf"

/* dns_ask(), of one of its addresses after the other. */
ldns_pkt *dns_server_ask(const struct dns_server *s, const char *name, ldns_rr_type type,
	const struct limits *l, struct error *err);
/* dns_exchange(), with one of its addresses after the other, `each_ms` for each, until one can be
 * reached. */
uint8_t *dns_server_exchange(const struct dns_server *s, const uint8_t *wire, size_t len,
	size_t *answer_len, int64_t each_ms, const struct limits *l, bool *again,
	struct error *err);

#endif
