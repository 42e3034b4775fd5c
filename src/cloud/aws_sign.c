/* Signature Version 4 of AWS, as its user guide "Create a signed AWS API request" has it. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/enc.h"
#include "base/mem.h"
#include "cloud/aws.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { HASH = SHA256_DIGEST_LENGTH, HEX_SIZE = 2 * HASH + 1 };

static void hex_hash(char out[HEX_SIZE], const char *text)
{
	unsigned char hash[HASH];

	SHA256((const unsigned char *)text, strlen(text), hash);
	str_hex(out, hash, sizeof(hash));
}

static void hmac(unsigned char out[HASH], const void *key, size_t len, const char *text)
{
	if (!HMAC(EVP_sha256(), key, (int)len, (const unsigned char *)text, strlen(text), out,
		    NULL))
		abort(); /* out of memory */
}

/* What is signed of the request; its headers are those that `c` has by now. */
static void add_request(struct str *s, const struct http_call *c, const char *url, const char *date,
	const struct aws_keys *k, const char *signed_headers)
{
	const char *host = strstr(url, "://") + 3, *path = host + strcspn(host, "/?"),
		   *query = path + strcspn(path, "?");
	char hash[HEX_SIZE];

	str_addf(s, "%s\n", c->method);
	if (query == path)
		str_addf(s, "/");
	enc_url_path(s, path, (size_t)(query - path)); /* once more than it is sent */
	str_addf(s, "\n%s\nhost:%.*s\nx-amz-date:%s\n", *query ? query + 1 : "", (int)(path - host),
		host, date);
	if (k->session)
		str_addf(s, "x-amz-security-token:%s\n", k->session);
	hex_hash(hash, http_call_body(c) ? http_call_body(c) : "");
	str_addf(s, "\n%s\n%s", signed_headers, hash);
}

static void sign(char out[HEX_SIZE], const char *secret, const char *day, const struct aws_scope *s,
	const char *text)
{
	char *first = mem_printf("AWS4%s", secret);
	unsigned char key[HASH], next[HASH];

	hmac(key, first, strlen(first), day);
	hmac(next, key, HASH, s->region);
	hmac(key, next, HASH, s->service);
	hmac(next, key, HASH, "aws4_request");
	hmac(key, next, HASH, text);
	str_hex(out, key, HASH);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(next, sizeof(next));
	http_wipe(first);
}

void aws_sign(struct http_call *c, const char *url, const struct aws_keys *k,
	const struct aws_scope *s, int64_t now)
{
	const char *host = strstr(url, "://") + 3,
		   *names = k->session ? "host;x-amz-date;x-amz-security-token" : "host;x-amz-date";
	char date[20], day[12], hash[HEX_SIZE], signature[HEX_SIZE], *scope, *text;
	struct str request = {0};
	time_t t = (time_t)now;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	strftime(day, sizeof(day), "%Y%m%d", &tm);
	scope = mem_printf("%s/%s/%s/aws4_request", day, s->region, s->service);
	add_request(&request, c, url, date, k, names);
	hex_hash(hash, request.data);
	text = mem_printf(ALGORITHM "\n%s\n%s\n%s", date, scope, hash);
	sign(signature, k->secret, day, s, text);

	/* Given, so that what is signed is what is sent, with a port or without. */
	http_call_header(c, "Host", "%.*s", (int)strcspn(host, "/?"), host);
	http_call_header(c, "X-Amz-Date", "%s", date);
	if (k->session)
		http_call_header(c, "X-Amz-Security-Token", "%s", k->session);
	http_call_header(c, "Authorization",
		ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", k->id, scope, names,
		signature);
	http_wipe(request.data); /* it has the session token */
	free(scope);
	free(text);
}
