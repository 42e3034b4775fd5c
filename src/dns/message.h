/* DNS messages: ldns writes and reads them; what is taken from an answer is checked here. A name is
 * lower-case ASCII without a dot at the end. Pure functions (but for random numbers); any thread.
 */
#ifndef LINTEL_DNS_MESSAGE_H
#define LINTEL_DNS_MESSAGE_H

#include <stdbool.h> /* before ldns, which else makes a char of bool */

#include <ldns/ldns.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

#define DNS_NAME_SIZE   256
#define DNS_RCODE_SIZE  16
#define DNS_MESSAGE_MAX 65535
#define DNS_TXT_BYTES   255 /* of one string of a TXT record */

/* A question for one name and type, with EDNS and a random ID. *wire are new bytes. New packet;
 * NULL with a sentence. */
ldns_pkt *dns_question_make(
	const char *name, ldns_rr_type type, uint8_t **wire, size_t *len, struct error *err);

/* The packet that `wire` is, when it answers this question and no other (ID, opcode, name, type and
 * class); NULL for anything else. Servers that cannot read a question need not repeat it. */
ldns_pkt *dns_answer_read(const uint8_t *wire, size_t len, const ldns_pkt *question);

uint16_t dns_random_id(void);

/* A name of an answer in our form; false when it has bytes that no host name has. */
bool dns_name_of(const ldns_rdf *rdf, char out[DNS_NAME_SIZE]);
/* The first record of a type, and of an owner unless that is NULL. */
const ldns_rr *dns_find_rr(const ldns_rr_list *list, ldns_rr_type type, const char *owner);
/* What an A or AAAA record says, port 53. */
bool dns_endpoint_of(const ldns_rr *rr, struct endpoint *out);
/* Whether there is a TXT record of this value, whose strings count as one. */
bool dns_has_txt(const ldns_pkt *p, const char *value);
/* A TXT record, in strings of 255 bytes. New. */
ldns_rr *dns_make_txt(const char *name, const char *value, uint32_t ttl, ldns_rr_class class);

/* An update of a zone (RFC 2136) with a random ID. New; NULL with a sentence. */
ldns_pkt *dns_update_new(const char *zone, struct error *err);
/* It adds the record; it deletes just this record (2.5.4). */
void dns_update_add(ldns_pkt *p, const char *name, const char *value, uint32_t ttl);
void dns_update_delete(ldns_pkt *p, const char *name, const char *value);
/* It is refused where a CNAME stands at the name (2.4.3). */
void dns_update_want_no_cname(ldns_pkt *p, const char *name);

/* Whether `name` is `zone` or lies below it. */
bool dns_is_above(const char *zone, const char *name);

/* "NXDOMAIN", "REFUSED", ... */
const char *dns_rcode_name(const ldns_pkt *p, char out[DNS_RCODE_SIZE]);

#endif
