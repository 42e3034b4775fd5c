#include "tls/cert.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tls/cert_chain.h"
#include "tls/cert_file.h"
#include "tls/cert_pair.h"
#include "tls/x509.h"

struct cert *cert_load(const char *cert_file, const char *key_file, struct error *err)
{
	struct cert_stamp stamps[2];

	return cert_load_stamped(cert_file, key_file, stamps, err);
}

struct cert *cert_from_pem(const char *pem, size_t len, const char *key_pem, size_t key_len,
	const char *label, struct error *err)
{
	struct cert_text cert = {label, pem, len}, key = {label, key_pem, key_len};

	return cert_from_texts(&cert, key_pem ? &key : NULL, err);
}

struct cert *cert_ref(struct cert *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cert_unref(struct cert *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	cert_chain_unref(c->chain);
	OPENSSL_cleanse((void *)c->key, c->key_len);
	free(c);
}

static EVP_PKEY *key_from_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* Writes big-endian `n` at `room` in the machine's order, and moves `room` on. */
static OSSL_PARAM number_param(const char *name, struct der n, uint8_t **room)
{
	BIGNUM *b = BN_bin2bn(n.p, (int)n.len, NULL);
	OSSL_PARAM param = OSSL_PARAM_construct_BN(name, *room, n.len);

	if (BN_bn2nativepad(b, *room, (int)n.len) < 0)
		param.data_size = 0;
	BN_clear_free(b);
	*room += n.len;
	return param;
}

/* `f` and `k` fit each other, so that all sizes are checked. */
static EVP_PKEY *make_ec_key(const struct x509_facts *f, const struct x509_key *k)
{
	const char *group = der_is(f->curve, X509_OID_P256) ? "prime256v1" : "secp384r1";
	uint8_t secret[48], *at = secret;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, (void *)f->public_key.p, f->public_key.len),
		number_param(OSSL_PKEY_PARAM_PRIV_KEY, k->secret, &at),
		OSSL_PARAM_END,
	};
	EVP_PKEY *key = key_from_params("EC", params);

	OPENSSL_cleanse(secret, sizeof(secret));
	return key;
}

static EVP_PKEY *make_rsa_key(const struct x509_key *k)
{
	static const char *const names[X509_RSA_NUMBERS] = {
		OSSL_PKEY_PARAM_RSA_N,
		OSSL_PKEY_PARAM_RSA_E,
		OSSL_PKEY_PARAM_RSA_D,
		OSSL_PKEY_PARAM_RSA_FACTOR1,
		OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1,
		OSSL_PKEY_PARAM_RSA_EXPONENT2,
		OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
	};
	OSSL_PARAM params[X509_RSA_NUMBERS + 1];
	size_t total = 0;
	uint8_t *room, *at;
	EVP_PKEY *key;

	for (int i = 0; i < X509_RSA_NUMBERS; i++)
		total += k->numbers[i].len;
	room = at = mem_alloc(total);
	for (int i = 0; i < X509_RSA_NUMBERS; i++)
		params[i] = number_param(names[i], k->numbers[i], &at);
	params[X509_RSA_NUMBERS] = OSSL_PARAM_construct_end();
	key = key_from_params("RSA", params);
	OPENSSL_cleanse(room, total);
	free(room);
	return key;
}

static EVP_PKEY *make_key(const struct cert *c)
{
	const unsigned char *der = c->key;
	struct x509_facts facts;
	struct x509_key key;

	if (!x509_read((struct der){c->leaf, c->leaf_len}, &facts) ||
		!x509_read_key((struct der){c->key, c->key_len}, &key) ||
		!x509_key_fits(&facts, &key))
		return d2i_AutoPrivateKey(NULL, &der, (long)c->key_len);
	return facts.algorithm == X509_RSA ? make_rsa_key(&key) : make_ec_key(&facts, &key);
}

/* Whether a * b is 1 modulo m, or 1 modulo m - 1. */
static bool is_inverse(
	const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, bool less_one, BN_CTX *ctx)
{
	BIGNUM *modulus = BN_dup(m), *product = BN_new();
	bool good = modulus && product && (!less_one || BN_sub_word(modulus, 1)) &&
		    BN_mod_mul(product, a, b, modulus, ctx) && BN_is_one(product);

	BN_clear_free(modulus);
	BN_clear_free(product);
	return good;
}

/* The five numbers that signing uses (RFC 8017, 3.2) against the public half. OpenSSL's own check
 * also proves that p and q are primes, which takes 40 ms for 2048 bits and 300 for 4096: no worker
 * has that time, and a damaged key is found without. */
static bool check_rsa_numbers(EVP_PKEY *key)
{
	static const char *const names[] = {
		OSSL_PKEY_PARAM_RSA_N,
		OSSL_PKEY_PARAM_RSA_E,
		OSSL_PKEY_PARAM_RSA_FACTOR1,
		OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1,
		OSSL_PKEY_PARAM_RSA_EXPONENT2,
		OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
	};
	enum { N, E, P, Q, DP, DQ, QI, COUNT };
	BIGNUM *v[COUNT] = {NULL}, *product = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	bool good = product && ctx;

	for (int i = 0; i < COUNT && good; i++)
		good = EVP_PKEY_get_bn_param(key, names[i], &v[i]) == 1;
	good = good && BN_mul(product, v[P], v[Q], ctx) && BN_cmp(product, v[N]) == 0 &&
	       is_inverse(v[E], v[DP], v[P], true, ctx) &&
	       is_inverse(v[E], v[DQ], v[Q], true, ctx) &&
	       is_inverse(v[Q], v[QI], v[P], false, ctx);
	for (int i = 0; i < COUNT; i++)
		BN_clear_free(v[i]);
	BN_clear_free(product);
	BN_CTX_free(ctx);
	return good;
}

/* Loading compared public halves only. */
static bool check_private_half(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx;
	bool good;

	if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
		return check_rsa_numbers(key);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	good = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	return good;
}

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "no reason given";
}

int cert_parse(const struct cert *c, struct cert_parsed *out, struct error *err)
{
	const unsigned char *leaf = c->leaf;
	STACK_OF(X509) *chain;

	*out = (struct cert_parsed){0};
	out->leaf = d2i_X509(NULL, &leaf, (long)c->leaf_len);
	if (!out->leaf) {
		error_set(err, "%s: the certificate does not parse: %s", c->file, reason());
		goto fail;
	}
	out->key = make_key(c);
	if (!out->key) {
		error_set(err, "%s: the private key does not parse: %s", c->file, reason());
		goto fail;
	}
	if (!check_private_half(out->key)) {
		error_set(err,
			"%s: the private key's halves do not fit each other: the key is damaged",
			c->file);
		goto fail;
	}
	if (c->chain) {
		chain = cert_chain_x509s(c->chain, err);
		if (!chain) {
			error_prefix(err, "%s", c->file);
			goto fail;
		}
		out->chain = X509_chain_up_ref(chain);
	}
	return 0;
fail:
	ERR_clear_error();
	cert_parsed_clear(out);
	return -1;
}

void cert_parsed_clear(struct cert_parsed *p)
{
	X509_free(p->leaf);
	EVP_PKEY_free(p->key);
	sk_X509_pop_free(p->chain, X509_free);
	*p = (struct cert_parsed){0};
}
