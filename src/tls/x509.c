#include "tls/x509.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/names.h"

#define OID_EC      "\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_RSA     "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define OID_RSA_PSS "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
#define OID_ED25519 "\x2b\x65\x70"
#define OID_ED448   "\x2b\x65\x71"
#define OID_CN      "\x55\x04\x03"
#define OID_SAN     "\x55\x1d\x11"
#define OID_AIA     "\x2b\x06\x01\x05\x05\x07\x01\x01" /* authorityInfoAccess */
#define OID_ISSUERS "\x2b\x06\x01\x05\x05\x07\x30\x02" /* its caIssuers */

static enum x509_algorithm algorithm_of(struct der oid)
{
	if (der_is(oid, OID_EC))
		return X509_EC;
	if (der_is(oid, OID_RSA))
		return X509_RSA;
	if (der_is(oid, OID_RSA_PSS))
		return X509_RSA_PSS;
	if (der_is(oid, OID_ED25519) || der_is(oid, OID_ED448))
		return X509_EDDSA;
	return X509_OTHER;
}

/* AlgorithmIdentifier. Parameters that are an OID are taken for the curve's. */
static bool take_algorithm(struct der *d, enum x509_algorithm *algorithm, struct der *curve)
{
	struct der id, oid;

	if (!der_take(d, DER_SEQUENCE, &id) || !der_take(&id, DER_OID, &oid))
		return false;
	*algorithm = algorithm_of(oid);
	return der_take_optional(&id, DER_OID, curve);
}

static bool read_public_key(struct der *tbs, struct x509_facts *out)
{
	struct der info, rsa;

	if (!der_take(tbs, DER_SEQUENCE, &info) ||
		!take_algorithm(&info, &out->algorithm, &out->curve) ||
		!der_take_bits(&info, &out->public_key))
		return false;
	if (out->algorithm != X509_RSA)
		return true;
	rsa = out->public_key;
	return der_take(&rsa, DER_SEQUENCE, &rsa) && der_take_unsigned(&rsa, &out->modulus) &&
	       der_take_unsigned(&rsa, &out->exponent);
}

/* RFC 5280, 4.2.2.1. Only a hint to us: what is wrong in it is no reason to refuse the rest. */
static bool has_issuers(struct der value)
{
	struct der list, description, method;

	if (!der_take(&value, DER_SEQUENCE, &list))
		return false;
	while (der_take(&list, DER_SEQUENCE, &description)) {
		if (der_take(&description, DER_OID, &method) && der_is(method, OID_ISSUERS))
			return true;
	}
	return false;
}

static bool read_extensions(struct der explicit, struct x509_facts *out)
{
	struct der list, extension, oid, critical, value;

	if (!der_take(&explicit, DER_SEQUENCE, &list))
		return false;
	while (list.len) {
		if (!der_take(&list, DER_SEQUENCE, &extension) ||
			!der_take(&extension, DER_OID, &oid) ||
			!der_take_optional(&extension, 0x01, &critical) || /* BOOLEAN */
			!der_take(&extension, DER_OCTET_STRING, &value))
			return false;
		if (der_is(oid, OID_SAN) && !der_take(&value, DER_SEQUENCE, &out->alt_names))
			return false;
		if (der_is(oid, OID_AIA))
			out->has_issuer_place = has_issuers(value);
	}
	return true;
}

bool x509_read(struct der certificate, struct x509_facts *out)
{
	struct der whole, tbs, skipped, validity, extensions;

	*out = (struct x509_facts){0};
	if (!der_take(&certificate, DER_SEQUENCE, &whole) ||
		!der_take(&whole, DER_SEQUENCE, &tbs) ||
		!der_take(&whole, DER_SEQUENCE, &skipped) || /* signatureAlgorithm */
		!der_take_bits(&whole, &skipped) || whole.len)
		return false;
	if (!der_take_optional(&tbs, DER_CONTEXT_0, &skipped) || /* version */
		!der_take(&tbs, DER_INTEGER, &skipped) ||        /* serialNumber */
		!der_take(&tbs, DER_SEQUENCE, &skipped) ||       /* signature */
		!der_take(&tbs, DER_SEQUENCE, &skipped) ||       /* issuer */
		!der_take(&tbs, DER_SEQUENCE, &validity) ||
		!der_take_time(&validity, &out->not_before) ||
		!der_take_time(&validity, &out->not_after) ||
		!der_take(&tbs, DER_SEQUENCE, &out->subject) || !read_public_key(&tbs, out))
		return false;
	/* issuerUniqueID and subjectUniqueID: [1] and [2], primitive */
	if (!der_take_optional(&tbs, 0x81, &skipped) || !der_take_optional(&tbs, 0x82, &skipped) ||
		!der_take_optional(&tbs, DER_CONTEXT_0 + 3, &extensions) || tbs.len)
		return false;
	return !extensions.p || read_extensions(extensions, out);
}

static size_t add_name(struct str *out, struct der text)
{
	char name[NAME_SIZE];
	struct in_addr ip;

	if (!name_normalise_pattern(name, (const char *)text.p, text.len) ||
		inet_pton(AF_INET, name, &ip) == 1)
		return 0;
	str_add(out, name, strlen(name) + 1);
	return 1;
}

static struct der last_common_name(struct der subject)
{
	struct der set, pair, oid, text, found = {NULL, 0};
	uint8_t tag;

	while (der_take(&subject, DER_SET, &set)) {
		if (!der_take(&set, DER_SEQUENCE, &pair) || !der_take(&pair, DER_OID, &oid) ||
			!der_next(&pair, &tag, &text))
			break;
		/* UTF8String, PrintableString, T61String, IA5String */
		if (der_is(oid, OID_CN) &&
			(tag == 0x0c || tag == 0x13 || tag == 0x14 || tag == 0x16))
			found = text;
	}
	return found;
}

size_t x509_add_names(const struct x509_facts *f, struct str *out)
{
	struct der names = f->alt_names, text;
	bool has_dns = false;
	size_t n = 0;
	uint8_t tag;

	while (der_next(&names, &tag, &text)) {
		if (tag != 0x82) /* dNSName [2] */
			continue;
		has_dns = true;
		n += add_name(out, text);
	}
	if (!has_dns) {
		text = last_common_name(f->subject);
		if (text.p)
			n += add_name(out, text);
	}
	return n;
}

/* ECPrivateKey, RFC 5915, 3 */
static bool read_ec_key(struct der key, struct x509_key *out)
{
	struct der version, parameters, public;

	if (!der_take_unsigned(&key, &version) || !der_is(version, "\x01") ||
		!der_take(&key, DER_OCTET_STRING, &out->secret) ||
		!der_take_optional(&key, DER_CONTEXT_0, &parameters) ||
		!der_take_optional(&key, DER_CONTEXT_0 + 1, &public))
		return false;
	if (parameters.p && !der_take_optional(&parameters, DER_OID, &out->curve))
		return false;
	out->algorithm = X509_EC;
	return !public.p || der_take_bits(&public, &out->public_key);
}

/* RSAPrivateKey with two primes */
static bool read_rsa_key(struct der key, struct x509_key *out)
{
	struct der version;

	if (!der_take_unsigned(&key, &version) || !der_is(version, "\x00"))
		return false;
	for (int i = 0; i < X509_RSA_NUMBERS; i++) {
		if (!der_take_unsigned(&key, &out->numbers[i]))
			return false;
	}
	out->algorithm = X509_RSA;
	return true;
}

/* The three differ in what follows the version: a SEQUENCE (the algorithm) in PKCS#8, an OCTET
 * STRING in SEC1, an INTEGER in PKCS#1. */
bool x509_read_key(struct der key, struct x509_key *out)
{
	struct der whole, rest, version, curve, inner;
	enum x509_algorithm algorithm;

	*out = (struct x509_key){0};
	if (!der_take(&key, DER_SEQUENCE, &whole))
		return false;
	rest = whole;
	if (!der_take(&rest, DER_INTEGER, &version) || !rest.len)
		return false;
	if (rest.p[0] == DER_OCTET_STRING)
		return read_ec_key(whole, out);
	if (rest.p[0] == DER_INTEGER)
		return read_rsa_key(whole, out);
	if (!take_algorithm(&rest, &algorithm, &curve) ||
		!der_take(&rest, DER_OCTET_STRING, &inner))
		return false;
	if (algorithm == X509_RSA)
		return der_take(&inner, DER_SEQUENCE, &inner) && read_rsa_key(inner, out);
	if (algorithm != X509_EC)
		return true;
	if (!der_take(&inner, DER_SEQUENCE, &inner) || !read_ec_key(inner, out))
		return false;
	if (curve.p)
		out->curve = curve;
	return true;
}

bool x509_key_fits(const struct x509_facts *f, const struct x509_key *k)
{
	if (f->algorithm != k->algorithm)
		return false;
	if (f->algorithm == X509_RSA)
		return der_equal(f->modulus, k->numbers[0]) &&
		       der_equal(f->exponent, k->numbers[1]);
	if (f->algorithm != X509_EC || !k->public_key.p ||
		(k->curve.p && !der_equal(f->curve, k->curve)) ||
		!der_equal(f->public_key, k->public_key))
		return false;
	/* An uncompressed point, so that what fits here can be used as it stands. */
	if (der_is(f->curve, X509_OID_P256))
		return f->public_key.len == 65 && f->public_key.p[0] == 4 && k->secret.len - 1 < 32;
	if (der_is(f->curve, X509_OID_P384))
		return f->public_key.len == 97 && f->public_key.p[0] == 4 && k->secret.len - 1 < 48;
	return false;
}
