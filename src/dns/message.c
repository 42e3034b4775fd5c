#include "dns/message.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UDP_SIZE 1232 /* DNS flag day 2020: passes without fragments */

uint16_t dns_random_id(void)
{
	uint16_t id;

	if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1)
		abort();
	return id;
}

ldns_pkt *dns_question_make(
	const char *name, ldns_rr_type type, uint8_t **wire, size_t *len, struct error *err)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(name);
	ldns_pkt *p;

	if (!rdf) {
		error_set(err, "\"%.260s\" is no DNS name", name);
		return NULL;
	}
	p = ldns_pkt_query_new(rdf, type, LDNS_RR_CLASS_IN, LDNS_RD); /* takes the name */
	if (!p)
		abort(); /* out of memory */
	ldns_pkt_set_id(p, dns_random_id());
	ldns_pkt_set_edns_udp_size(p, UDP_SIZE);
	if (ldns_pkt2wire(wire, p, len) != LDNS_STATUS_OK) {
		error_set(err, "\"%.260s\" cannot be asked for", name);
		ldns_pkt_free(p);
		return NULL;
	}
	return p;
}

static bool same_question(const ldns_pkt *a, const ldns_pkt *b)
{
	const ldns_rr *x = ldns_rr_list_rr(ldns_pkt_question(a), 0),
		      *y = ldns_rr_list_rr(ldns_pkt_question(b), 0);

	return ldns_rr_get_type(x) == ldns_rr_get_type(y) &&
	       ldns_rr_get_class(x) == ldns_rr_get_class(y) &&
	       ldns_dname_compare(ldns_rr_owner(x), ldns_rr_owner(y)) == 0;
}

ldns_pkt *dns_answer_read(const uint8_t *wire, size_t len, const ldns_pkt *question)
{
	ldns_pkt *p = NULL;
	bool fits;

	if (ldns_wire2pkt(&p, wire, len) != LDNS_STATUS_OK)
		return NULL;
	fits = ldns_pkt_qr(p) && ldns_pkt_id(p) == ldns_pkt_id(question) &&
	       ldns_pkt_get_opcode(p) == ldns_pkt_get_opcode(question);
	if (ldns_pkt_qdcount(p) == 1)
		fits = fits && same_question(p, question);
	else
		fits = fits && !ldns_pkt_qdcount(p) &&
		       (ldns_pkt_get_rcode(p) == LDNS_RCODE_FORMERR ||
			       ldns_pkt_get_rcode(p) == LDNS_RCODE_NOTIMPL ||
			       ldns_pkt_get_opcode(p) == LDNS_PACKET_UPDATE);
	if (fits)
		return p;
	ldns_pkt_free(p);
	return NULL;
}

bool dns_name_of(const ldns_rdf *rdf, char out[DNS_NAME_SIZE])
{
	char *text =
		rdf && ldns_rdf_get_type(rdf) == LDNS_RDF_TYPE_DNAME ? ldns_rdf2str(rdf) : NULL;
	size_t len = text ? strlen(text) : 0;
	bool good;

	if (len > 1 && text[len - 1] == '.')
		text[--len] = '\0';
	good = len && len < DNS_NAME_SIZE;
	for (size_t i = 0; good && i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		good = isalnum(c) || c == '-' || c == '_' || c == '.' || c == '*';
		out[i] = (char)tolower(c);
	}
	if (good)
		out[len] = '\0';
	free(text);
	return good;
}

const ldns_rr *dns_find_rr(const ldns_rr_list *list, ldns_rr_type type, const char *owner)
{
	char name[DNS_NAME_SIZE];

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);

		if (ldns_rr_get_type(rr) == type &&
			(!owner || (dns_name_of(ldns_rr_owner(rr), name) && !strcmp(name, owner))))
			return rr;
	}
	return NULL;
}

bool dns_endpoint_of(const ldns_rr *rr, struct endpoint *out)
{
	const ldns_rdf *rdf = ldns_rr_rdf(rr, 0);
	size_t size = rdf ? ldns_rdf_size(rdf) : 0;

	*out = (struct endpoint){0};
	if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A && size == sizeof(out->in.sin_addr)) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(DNS_PORT);
		memcpy(&out->in.sin_addr, ldns_rdf_data(rdf), size);
		out->len = sizeof(out->in);
	} else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_AAAA &&
		   size == sizeof(out->in6.sin6_addr)) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons(DNS_PORT);
		memcpy(&out->in6.sin6_addr, ldns_rdf_data(rdf), size);
		out->len = sizeof(out->in6);
	}
	return out->len != 0;
}

/* Whether its strings, put together, are the value. */
static bool is_value(const ldns_rr *rr, const char *value)
{
	size_t left = strlen(value);

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
		size_t len = ldns_rdf_size(rdf) ? ldns_rdf_size(rdf) - 1 : 0;

		if (len > left || memcmp(ldns_rdf_data(rdf) + 1, value, len) != 0)
			return false;
		value += len;
		left -= len;
	}
	return left == 0;
}

bool dns_has_txt(const ldns_pkt *p, const char *value)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_answer(p)); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT && is_value(rr, value))
			return true;
	}
	return false;
}

ldns_rr *dns_make_txt(const char *name, const char *value, uint32_t ttl, ldns_rr_class class)
{
	ldns_rr *rr = ldns_rr_new();
	size_t left = strlen(value);

	if (!rr)
		abort(); /* out of memory */
	ldns_rr_set_owner(rr, ldns_dname_new_frm_str(name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_TXT);
	ldns_rr_set_class(rr, class);
	ldns_rr_set_ttl(rr, ttl);
	do {
		uint8_t bytes[DNS_TXT_BYTES + 1];
		size_t n = left < DNS_TXT_BYTES ? left : DNS_TXT_BYTES;

		bytes[0] = (uint8_t)n;
		memcpy(bytes + 1, value, n);
		ldns_rr_push_rdf(rr, ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, n + 1, bytes));
		value += n;
		left -= n;
	} while (left);
	return rr;
}

ldns_pkt *dns_update_new(const char *zone, struct error *err)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(zone); /* the packet takes it */
	ldns_rr_list *none = ldns_rr_list_new();
	ldns_pkt *p = rdf ? ldns_update_pkt_new(rdf, LDNS_RR_CLASS_IN, NULL, none, NULL) : NULL;

	ldns_rr_list_free(none);
	if (p)
		ldns_pkt_set_id(p, dns_random_id());
	else
		error_set(err, "the update cannot be made");
	return p;
}

void dns_update_add(ldns_pkt *p, const char *name, const char *value, uint32_t ttl)
{
	ldns_pkt_push_rr(p, LDNS_SECTION_AUTHORITY, /* where updates have theirs */
		dns_make_txt(name, value, ttl, LDNS_RR_CLASS_IN));
}

void dns_update_delete(ldns_pkt *p, const char *name, const char *value)
{
	ldns_pkt_push_rr(
		p, LDNS_SECTION_AUTHORITY, dns_make_txt(name, value, 0, LDNS_RR_CLASS_NONE));
}

void dns_update_want_no_cname(ldns_pkt *p, const char *name)
{
	ldns_rr *rr = ldns_rr_new();

	if (!rr)
		abort(); /* out of memory */
	ldns_rr_set_owner(rr, ldns_dname_new_frm_str(name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_CNAME);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_NONE);
	ldns_rr_set_ttl(rr, 0);
	ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr); /* where updates have what they require */
}

bool dns_is_above(const char *zone, const char *name)
{
	size_t z = strlen(zone), n = strlen(name);

	return n >= z && strcmp(name + n - z, zone) == 0 && (n == z || name[n - z - 1] == '.');
}

const char *dns_rcode_name(const ldns_pkt *p, char out[DNS_RCODE_SIZE])
{
	char *name = ldns_pkt_rcode2str(ldns_pkt_get_rcode(p));

	snprintf(out, DNS_RCODE_SIZE, "%s", name ? name : "?");
	free(name);
	return out;
}
