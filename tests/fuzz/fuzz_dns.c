/* What a name server sends: any bytes at all, as the answer to a question and to a signed update.
 * The first byte chooses which and spares the fuzzer to guess the ID. To search for more than the
 * corpus, build with libFuzzer instead of replay.c; see fuzz_state.c for how. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dns/message.h"
#include "dns/tsig.h"

#define NAME "_acme-challenge.example.test"

static void check(bool good)
{
	if (!good)
		abort();
}

/* Takes all that is ever taken from an answer. */
static void use(const ldns_pkt *p)
{
	char name[DNS_NAME_SIZE], rcode[DNS_RCODE_SIZE];
	const ldns_rr_list *sections[] = {ldns_pkt_answer(p), ldns_pkt_authority(p)};
	struct endpoint e;

	dns_has_txt(p, "value");
	dns_rcode_name(p, rcode);
	for (size_t s = 0; s < 2; s++) {
		dns_find_rr(sections[s], LDNS_RR_TYPE_SOA, NAME);
		for (size_t i = 0; i < ldns_rr_list_rr_count(sections[s]); i++) {
			const ldns_rr *rr = ldns_rr_list_rr(sections[s], i);

			if (dns_name_of(ldns_rr_owner(rr), name))
				check(strlen(name) < DNS_NAME_SIZE && strlen(name) > 0);
			dns_name_of(ldns_rr_rdf(rr, 0), name);
			if (dns_endpoint_of(rr, &e))
				check(e.len == sizeof(e.in) || e.len == sizeof(e.in6));
		}
	}
}

static void fuzz_question(const uint8_t *data, size_t len)
{
	uint8_t *wire = NULL;
	size_t wire_len;
	ldns_pkt *q = dns_question_make(NAME, LDNS_RR_TYPE_TXT, &wire, &wire_len, NULL), *p;

	check(q);
	if (len >= 2)
		ldns_pkt_set_id(q, (uint16_t)(data[0] << 8 | data[1]));
	p = dns_answer_read(data, len, q);
	if (p)
		use(p);
	ldns_pkt_free(p);
	ldns_pkt_free(q);
	free(wire);
}

static void fuzz_update(const uint8_t *data, size_t len)
{
	struct tsig_key k;
	struct error err = {""};
	ldns_rr_list *none = ldns_rr_list_new();
	ldns_pkt *q = ldns_update_pkt_new(
		ldns_dname_new_frm_str("example.test"), LDNS_RR_CLASS_IN, NULL, none, NULL);
	ldns_pkt *p;
	ldns_rdf *mac;

	check(tsig_key_set(&k, "k", "hmac-sha256", "c2VjcmV0", NULL) == 0);
	mac = tsig_sign(&k, q, NULL);
	check(mac);
	if (len >= 2)
		ldns_pkt_set_id(q, (uint16_t)(data[0] << 8 | data[1]));
	p = dns_answer_read(data, len, q);
	/* Nobody else has the key: never believed, unless it says no. */
	if (p && tsig_check(&k, p, data, len, mac, 1700000000, &err) == 0)
		check(ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR);
	else if (p)
		check(*err.text);
	ldns_pkt_free(p);
	ldns_rdf_deep_free(mac);
	ldns_pkt_free(q);
	ldns_rr_list_free(none);
	tsig_key_clear(&k);
}

static void fuzz_key(const uint8_t *data, size_t len)
{
	char *text = mem_strndup((const char *)data, len);
	struct error err = {""};
	struct tsig_key k;

	if (tsig_key_parse(&k, text, &err) == 0)
		check(k.name && *k.name && k.algorithm && k.secret && *k.secret);
	else
		check(!k.name && *err.text);
	tsig_key_clear(&k);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	/* A copy, so that reading past the end is seen. */
	uint8_t *copy = mem_dup(data + 1, len - 1);

	switch (*data % 3) {
	case 0: fuzz_question(copy, len - 1); break;
	case 1: fuzz_update(copy, len - 1); break;
	case 2: fuzz_key(copy, len - 1); break;
	}
	free(copy);
	return 0;
}
