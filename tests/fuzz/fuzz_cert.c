/* Certificate files: PEM text with leaf, chain and key, and the DER in it. The input is tried as a
 * combined file, as bare DER, and as the DER of a leaf and of its key, put into PEM here. What our
 * walk accepts is compared with OpenSSL. */
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "base/mem.h"
#include "base/str.h"
#include "tls/cert.h"
#include "tls/x509.h"

static void check(bool good)
{
	if (!good)
		abort();
}

static void try_file(const char *text, size_t len)
{
	struct error err = {""};
	struct cert *c = cert_from_pem(text, len, NULL, 0, "fuzz", &err);
	struct cert_parsed p;

	if (!c) {
		check(err.text[0] != '\0');
		return;
	}
	for (size_t i = 0; i < c->n_names; i++)
		check(c->names[i][0] != '\0');
	if (cert_parse(c, &p, &err) == 0)
		check(X509_check_private_key(p.leaf, p.key) == 1);
	cert_parsed_clear(&p);
	cert_unref(c);
}

static void add_block(struct str *s, const char *label, const uint8_t *der, size_t len)
{
	unsigned char *b64 = mem_alloc(len / 3 * 4 + 5);

	EVP_EncodeBlock(b64, der, (int)len);
	str_addf(s, "-----BEGIN %s-----\n%s\n-----END %s-----\n", label, b64, label);
	free(b64);
}

static void try_pair(const uint8_t *data, size_t size)
{
	struct der leaf = {data, size};
	struct str s = {0};

	if (!der_cut(&leaf) || leaf.len == size)
		return;
	add_block(&s, "CERTIFICATE", data, leaf.len);
	add_block(&s, "PRIVATE KEY", data + leaf.len, size - leaf.len);
	try_file(s.data, s.len);
	str_clear(&s);
}

/* Where both read the certificate they agree about its dates. */
static void try_der(const uint8_t *data, size_t size)
{
	const unsigned char *at = data;
	struct x509_facts facts;
	struct x509_key key;
	struct str names = {0};
	X509 *x;

	x509_read_key((struct der){data, size}, &key);
	if (!x509_read((struct der){data, size}, &facts))
		return;
	x509_add_names(&facts, &names);
	str_clear(&names);
	x509_key_fits(&facts, &key);
	x = d2i_X509(NULL, &at, (long)size);
	if (x) {
		int before = ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), (time_t)facts.not_before);
		int after = ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), (time_t)facts.not_after);

		check((before == 0 || before == -2) && (after == 0 || after == -2));
	}
	X509_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* An exact copy, so that a byte too many is seen. */
	uint8_t *copy = mem_dup(data, size);

	try_file((const char *)copy, size);
	try_der(copy, size);
	try_pair(copy, size);
	free(copy);
	return 0;
}
