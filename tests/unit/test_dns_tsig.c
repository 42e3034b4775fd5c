/* Signed updates: keys as they are written, and what an answer's signature is worth. */
#include "dns/tsig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "nameserver.h"

#define SECRET "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
#define OTHER  "b3RoZXIgb3RoZXIgb3RoZXIgb3Q="

static void assert_says(const struct error *err, const char *part)
{
	if (!strstr(err->text, part))
		fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

static struct tsig_key make_key(const char *algorithm)
{
	struct tsig_key k;
	struct error err;

	assert_int_equal(tsig_key_set(&k, "Key.Example.", algorithm, SECRET, &err), 0);
	return k;
}

static void keys(void **state)
{
	static const char *const good[][2] = {{"hmac-sha1", "hmac-sha1"},
		{"HMAC-SHA256.", "hmac-sha256"}, {"Hmac-Sha512", "hmac-sha512"}};
	static const char *const bad[] = {
		"", ".", "hmac-md5", "sha256", "hmac-sha2560", "hmac-sha384"};
	struct error err;
	struct tsig_key k;

	for (size_t i = 0; i < 3; i++) {
		k = make_key(good[i][0]);
		assert_string_equal(k.name, "key.example");
		assert_string_equal(k.algorithm, good[i][1]);
		tsig_key_clear(&k);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tsig_key_set(&k, "k", bad[i], SECRET, &err), -1);
		assert_says(&err, "hmac-sha256, hmac-sha512 and hmac-sha1 are");
		assert_null(k.name);
	}
	assert_int_equal(tsig_key_set(&k, "k", "hmac-sha1", "not base64", &err), -1);
	assert_string_equal(err.text, "the secret of the TSIG key is no base64");
	assert_int_equal(tsig_key_set(&k, "k", "hmac-sha1", "", &err), -1);
	assert_int_equal(tsig_key_set(&k, "a key", "hmac-sha1", SECRET, &err), -1);
	assert_says(&err, "\"a key\" is no name");
	assert_int_equal(tsig_key_set(&k, ".", "hmac-sha1", SECRET, &err), -1);
}

static void key_files(void **state)
{
	static const char *const good[] = {
		"key \"a.b\" {\n\talgorithm hmac-sha256;\n\tsecret \"" SECRET "\";\n};\n",
		"# key \"x\" {\n// secret y\n/* algorithm\n z */ key a.b { secret \"" SECRET
		"\" ; algorithm \"hmac-sha256\"; };",
		"key a.b{algorithm hmac-sha256;secret " SECRET ";};",
	};
	static const char *const bad[] = {"", "key", "key a", "key a { algorithm hmac-sha256; };",
		"/* key a { algorithm hmac-sha256; secret \"" SECRET "\"; };",
		"secret \"" SECRET "\"; algorithm hmac-sha256;"};
	struct error err;
	struct tsig_key k;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(tsig_key_parse(&k, good[i], &err), 0);
		assert_string_equal(k.name, "a.b");
		assert_string_equal(k.algorithm, "hmac-sha256");
		assert_string_equal(k.secret, SECRET);
		tsig_key_clear(&k);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tsig_key_parse(&k, bad[i], &err), -1);
		assert_says(&err, "tsig-keygen's form");
		assert_null(k.secret);
	}
	assert_int_equal(
		tsig_key_parse(&k, "key a { algorithm hmac-sha256; secret \"hunter2\"; };", &err),
		-1);
	assert_null(strstr(err.text, "hunter2"));
}

/* --- answers --- */

struct exchange { /* an update, signed, and an answer to it */
	struct tsig_key key;
	ldns_pkt *update, *answer;
	ldns_rdf *mac;
};

static void begin(struct exchange *x, const char *algorithm, ldns_pkt_rcode rcode)
{
	ldns_rr_list *none = ldns_rr_list_new();
	struct error err;

	x->key = make_key(algorithm);
	x->update = ldns_update_pkt_new(
		ldns_dname_new_frm_str("example.org"), LDNS_RR_CLASS_IN, NULL, none, NULL);
	ldns_rr_list_free(none);
	ldns_pkt_set_id(x->update, 77);
	x->mac = tsig_sign(&x->key, x->update, &err);
	assert_non_null(x->mac);
	x->answer = nameserver_answer(x->update, rcode);
}

static void sign(struct exchange *x, const char *name, const char *algorithm, const char *secret)
{
	assert_int_equal(ldns_pkt_tsig_sign(x->answer, name, secret, 300, algorithm, x->mac),
		LDNS_STATUS_OK);
}

/* Sends the answer over the wire, with the byte at `flip` changed, and has it checked. */
static int end(struct exchange *x, int64_t now, size_t flip, struct error *err)
{
	ldns_pkt *p;
	uint8_t *wire;
	size_t len;
	int rc;

	*err = (struct error){""};
	assert_int_equal(ldns_pkt2wire(&wire, x->answer, &len), LDNS_STATUS_OK);
	wire[flip] ^= flip ? 1 : 0;
	assert_int_equal(ldns_wire2pkt(&p, wire, len), LDNS_STATUS_OK);
	rc = tsig_check(&x->key, p, wire, len, x->mac, now, err);
	free(wire);
	ldns_pkt_free(p);
	ldns_pkt_free(x->answer);
	ldns_pkt_free(x->update);
	ldns_rdf_deep_free(x->mac);
	tsig_key_clear(&x->key);
	return rc;
}

static void good_answers(void **state)
{
	static const char *const algorithms[] = {"hmac-sha1", "hmac-sha256", "hmac-sha512"};
	struct exchange x;
	struct error err;

	for (size_t i = 0; i < 3; i++) {
		char *dotted = mem_printf("%s.", algorithms[i]);

		begin(&x, algorithms[i], LDNS_RCODE_NOERROR);
		sign(&x, "key.example", dotted, SECRET);
		assert_int_equal(end(&x, clock_wall_s(), 0, &err), 0);
		begin(&x, algorithms[i], LDNS_RCODE_REFUSED);
		sign(&x, "KEY.example", dotted, SECRET);
		assert_int_equal(end(&x, clock_wall_s() + 200, 0, &err), 0);
		free(dotted);
	}
}

/* Nobody may say that all is well but who has the key. */
static void forged_answers(void **state)
{
	struct exchange x;
	struct error err;

	begin(&x, "hmac-sha256", LDNS_RCODE_NOERROR);
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), -1);
	assert_says(&err, "has not signed its answer");
	begin(&x, "hmac-sha256", LDNS_RCODE_REFUSED); /* unsigned: a refusal, whoever says it */
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), 0);

	begin(&x, "hmac-sha256", LDNS_RCODE_NOERROR);
	sign(&x, "key.example", "hmac-sha256.", OTHER);
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), -1);
	assert_says(&err, "not with the key \"key.example\"");
	begin(&x, "hmac-sha256", LDNS_RCODE_NOERROR);
	sign(&x, "other.example", "hmac-sha256.", SECRET);
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), -1);
	assert_says(&err, "not with the key");
	begin(&x, "hmac-sha256", LDNS_RCODE_NOERROR);
	sign(&x, "key.example", "hmac-sha1.", SECRET);
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), -1);
	assert_says(&err, "not with the key");
	begin(&x, "hmac-sha256", LDNS_RCODE_REFUSED);
	sign(&x, "key.example", "hmac-sha256.", SECRET);
	assert_int_equal(end(&x, clock_wall_s(), 3, &err), -1); /* the byte of the RCODE */
	assert_says(&err, "not with the key");
}

/* An answer to another update. */
static void replayed_answer(void **state)
{
	struct exchange x;
	struct error err;

	begin(&x, "hmac-sha256", LDNS_RCODE_NOERROR);
	ldns_rdf_data(x.mac)[5] ^= 1;
	sign(&x, "key.example", "hmac-sha256.", SECRET);
	ldns_rdf_data(x.mac)[5] ^= 1;
	assert_int_equal(end(&x, clock_wall_s(), 0, &err), -1);
	assert_says(&err, "not with the key");
}

static void old_answers(void **state)
{
	struct exchange x;
	struct error err;

	begin(&x, "hmac-sha512", LDNS_RCODE_NOERROR);
	sign(&x, "key.example", "hmac-sha512.", SECRET);
	assert_int_equal(end(&x, clock_wall_s() + 1000, 0, &err), -1);
	assert_says(&err, "s ago: set the wrong clock right");
	begin(&x, "hmac-sha512", LDNS_RCODE_NOERROR);
	sign(&x, "key.example", "hmac-sha512.", SECRET);
	assert_int_equal(end(&x, clock_wall_s() - 1000, 0, &err), -1);
	assert_says(&err, "s in the future");
}

/* What a server says of our signature: errors without a MAC of their own. */
static void set_error(struct exchange *x, uint16_t code, const char *other, uint16_t len)
{
	ldns_rr *tsig;
	uint8_t bytes[32] = {(uint8_t)(len >> 8), (uint8_t)len};

	sign(x, "key.example", "hmac-sha256.", SECRET);
	tsig = ldns_pkt_tsig(x->answer);
	memcpy(bytes + 2, other, len);
	ldns_rdf_deep_free(
		ldns_rr_set_rdf(tsig, ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, code), 5));
	ldns_rdf_deep_free(ldns_rr_set_rdf(
		tsig, ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, 2U + len, bytes), 6));
}

static void told_errors(void **state)
{
	static const struct {
		uint16_t code, len;
		const char *other, *says;
	} cases[] = {
		{16, 0, "", "answers BADSIG: the secret of the key \"key.example\" is another one"},
		{17, 0, "",
			"answers BADKEY: it has no key \"key.example\" of the algorithm "
			"hmac-sha256"},
		{18, 6, "\0\0\x65\x53\xf1\x00",
			"its clock says 2023-11-14T22:13:20Z, this machine's 2023"},
		{18, 6, "\xff\xff\xff\xff\xff\xff",
			"answers BADTIME: its clock and this machine's, "},
		{18, 0, "", "answers BADTIME: its clock and this machine's, "},
		{22, 0, "", "answers with the TSIG error 22"},
	};
	struct exchange x;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&x, "hmac-sha256", LDNS_RCODE_NOTAUTH);
		set_error(&x, cases[i].code, cases[i].other, cases[i].len);
		assert_int_equal(end(&x, 1700000000 + 3600, 0, &err), -1);
		assert_says(&err, cases[i].says);
		assert_null(strstr(err.text, SECRET));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(key_files),
		cmocka_unit_test(good_answers),
		cmocka_unit_test(forged_answers),
		cmocka_unit_test(replayed_answer),
		cmocka_unit_test(old_answers),
		cmocka_unit_test(told_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
