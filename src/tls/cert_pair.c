#include "tls/cert_pair.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tls/cert_chain.h"
#include "tls/pem.h"
#include "tls/x509.h"

/* 2048 bits: OpenSSL's security level 2 refuses less in each handshake. */
#define RSA_MIN_BYTES 256

struct parts { /* what the blocks hold */
	uint8_t *leaf, *key;
	size_t leaf_len, key_len;
	struct x509_facts facts; /* of the leaf */
	size_t n_certs;
	struct str chain; /* DER */
};

static void parts_clear(struct parts *p)
{
	if (p->key)
		OPENSSL_cleanse(p->key, p->key_len);
	free(p->key);
	free(p->leaf);
	str_clear(&p->chain);
}

static bool is_certificate(const struct pem_block *b)
{
	return strcmp(b->label, "CERTIFICATE") == 0 || strcmp(b->label, "X509 CERTIFICATE") == 0 ||
	       strcmp(b->label, "TRUSTED CERTIFICATE") == 0;
}

static bool is_key(const struct pem_block *b)
{
	size_t len = strlen(b->label);

	return len >= 11 && strcmp(b->label + len - 11, "PRIVATE KEY") == 0;
}

static int add_certificate(struct parts *p, const struct pem_block *b, struct error *err)
{
	struct x509_facts facts;
	struct der der;
	uint8_t *bytes = pem_decode(b, &der.len, err);

	if (!bytes)
		return -1;
	der.p = bytes;
	if (!der_cut(&der) || !x509_read(der, &facts)) {
		free(bytes);
		return error_set(err,
			"the PEM block that begins in line %zu is no X.509 certificate: the file "
			"is damaged",
			b->line);
	}
	if (p->n_certs++ == 0) {
		p->leaf = bytes;
		p->leaf_len = der.len;
		p->facts = facts;
	} else {
		str_add(&p->chain, der.p, der.len);
		free(bytes);
	}
	return 0;
}

static int add_key(struct parts *p, const struct pem_block *b, const char *label, struct error *err)
{
	struct der der;

	if (p->key)
		return 0; /* the first counts */
	if (b->encrypted || strcmp(b->label, "ENCRYPTED PRIVATE KEY") == 0)
		return error_set(err,
			"the private key is encrypted, and a server that starts by itself cannot "
			"ask for the pass phrase: decrypt it with openssl pkey -in %s -out FILE",
			label);
	if (strcmp(b->label, "OPENSSH PRIVATE KEY") == 0)
		return error_set(err,
			"the private key is in OpenSSH's own format: convert it with ssh-keygen -p "
			"-m PEM -f %s",
			label);
	p->key = pem_decode(b, &der.len, err);
	if (!p->key)
		return -1;
	p->key_len = der.len;
	der.p = p->key;
	if (!der_cut(&der))
		return error_set(err,
			"the PEM block that begins in line %zu is no private key: the file is "
			"damaged",
			b->line);
	/* What follows the key is not its own; no byte of it stays. */
	OPENSSL_cleanse(p->key + der.len, p->key_len - der.len);
	p->key_len = der.len;
	return 0;
}

/* Says why there is no PEM block with `what` in the text. */
static int explain_nothing(const struct cert_text *t, bool any_block, const char *what,
	const char *openssl_command, struct error *err)
{
	struct der all = {(const uint8_t *)t->data, t->len}, content, version;

	if (any_block)
		return error_set(err, "there is no %s in it", what);
	if (!der_take(&all, DER_SEQUENCE, &content))
		return error_set(err, "there is no PEM block in it (a line -----BEGIN ...-----): "
				      "it is no PEM file");
	if (der_take_unsigned(&content, &version) && der_is(version, "\x03"))
		return error_set(err,
			"it is PKCS#12, not PEM: convert it with openssl pkcs12 -in %s -nodes -out "
			"FILE",
			t->label);
	return error_set(err,
		"it is DER, not PEM: convert it with openssl %s -inform DER -in %s -out FILE",
		openssl_command, t->label);
}

static int gather(
	struct parts *p, const struct cert_text *t, bool certs, bool key, struct error *err)
{
	struct pem_reader reader;
	struct pem_block b;
	bool any = false;
	int rc;

	pem_init(&reader, t->data, t->len);
	while ((rc = pem_next(&reader, &b, err)) == 1) {
		any = true;
		if (certs && is_certificate(&b))
			rc = add_certificate(p, &b, err);
		else if (key && is_key(&b))
			rc = add_key(p, &b, t->label, err);
		if (rc < 0)
			break;
	}
	if (rc == 0 && certs && !p->leaf)
		rc = explain_nothing(t, any, "certificate", "x509", err);
	if (rc == 0 && key && !p->key)
		rc = explain_nothing(t, any, "private key", "pkey", err);
	return rc < 0 ? error_prefix(err, "%s", t->label) : 0;
}

static const char *openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "no reason given";
}

/* The number of the chain's certificate that the key fits, 0 = none. */
static int find_fitting(const struct parts *p, EVP_PKEY *key)
{
	struct der left = {(const uint8_t *)p->chain.data, p->chain.len};

	for (int i = 2; left.len; i++) {
		const unsigned char *at = left.p;
		X509 *x = d2i_X509(NULL, &at, (long)left.len);
		bool fits = x && X509_check_private_key(x, key) == 1;

		X509_free(x);
		if (fits)
			return i;
		if (!x)
			break;
		left.len -= (size_t)(at - left.p);
		left.p = at;
	}
	return 0;
}

/* The long way, for whatever is unusual and for whatever is wrong. */
static int check_by_openssl(
	const struct parts *p, const char *file, const char *key_file, struct error *err)
{
	const unsigned char *leaf = p->leaf, *der = p->key;
	X509 *x = d2i_X509(NULL, &leaf, (long)p->leaf_len);
	EVP_PKEY *key = NULL;
	int rc = -1, fitting;

	if (!x) {
		error_set(err, "%s: the certificate does not parse: %s", file, openssl_reason());
		goto out;
	}
	key = d2i_AutoPrivateKey(NULL, &der, (long)p->key_len);
	if (!key) {
		error_set(
			err, "%s: the private key does not parse: %s", key_file, openssl_reason());
		goto out;
	}
	if (X509_check_private_key(x, key) == 1) {
		rc = 0;
		goto out;
	}
	fitting = find_fitting(p, key);
	if (fitting)
		error_set(err,
			"%s: the private key in %s fits certificate %d of the file: put that one "
			"first, its chain after it",
			file, key_file, fitting);
	else
		error_set(err,
			"%s: the private key in %s does not fit the certificate: the two come from "
			"different pairs",
			file, key_file);
out:
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(x);
	return rc;
}

static int check_pair(const struct parts *p, const char *file, const char *key_file,
	enum cert_kind *kind, struct error *err)
{
	struct x509_key key;

	switch (p->facts.algorithm) {
	case X509_EC: *kind = CERT_ECDSA; break;
	case X509_RSA:
	case X509_RSA_PSS: *kind = CERT_RSA; break;
	case X509_EDDSA: *kind = CERT_EDDSA; break;
	case X509_OTHER:
		return error_set(err,
			"%s: the certificate's key is of no kind that TLS uses: RSA, ECDSA, "
			"Ed25519 and Ed448 are",
			file);
	}
	if (p->facts.algorithm == X509_RSA && p->facts.modulus.len < RSA_MIN_BYTES)
		return error_set(err,
			"%s: the RSA key has %zu bits, too few for today's clients: take 2048 or "
			"more",
			file, p->facts.modulus.len * 8);
	if (x509_read_key((struct der){p->key, p->key_len}, &key) && x509_key_fits(&p->facts, &key))
		return 0;
	return check_by_openssl(p, file, key_file, err);
}

/* All of a certificate lies in one piece: the struct, the names' pointers, then bytes. */
static struct cert *pack(const struct parts *p, enum cert_kind kind, const char *file)
{
	struct str names = {0};
	size_t n_names = x509_add_names(&p->facts, &names), file_len = strlen(file) + 1;
	struct cert *c = mem_alloc(sizeof(*c) + n_names * sizeof(char *) + names.len + file_len +
				   p->leaf_len + p->key_len);
	const char **pointers = (const char **)(c + 1);
	uint8_t *at = (uint8_t *)(pointers + n_names);

	*c = (struct cert){
		.kind = kind,
		/* Who issues straight from a root seldom says where that is to be had; public CAs,
		 * who never do, always say it. */
		.lacks_chain = !p->chain.len && p->facts.has_issuer_place,
		.not_before = p->facts.not_before,
		.not_after = p->facts.not_after,
		.names = pointers,
		.n_names = n_names,
		.leaf_len = p->leaf_len,
		.key_len = p->key_len,
	};
	atomic_init(&c->refs, 1);
	if (names.len)
		memcpy(at, names.data, names.len);
	for (size_t i = 0; i < n_names; i++) {
		pointers[i] = (char *)at;
		at += strlen(pointers[i]) + 1;
	}
	c->file = memcpy(at, file, file_len);
	at += file_len;
	c->leaf = memcpy(at, p->leaf, p->leaf_len);
	at += p->leaf_len;
	c->key = memcpy(at, p->key, p->key_len);
	if (p->chain.len)
		c->chain = cert_chain_new((const uint8_t *)p->chain.data, p->chain.len);
	str_clear(&names);
	return c;
}

struct cert *cert_from_texts(
	const struct cert_text *cert, const struct cert_text *key, struct error *err)
{
	struct parts p = {0};
	enum cert_kind kind = CERT_ECDSA;
	struct cert *c = NULL;

	if (gather(&p, cert, true, key == NULL, err) < 0)
		goto out;
	if (key && gather(&p, key, false, true, err) < 0)
		goto out;
	if (check_pair(&p, cert->label, key ? key->label : cert->label, &kind, err) == 0)
		c = pack(&p, kind, cert->label);
out:
	parts_clear(&p);
	return c;
}
