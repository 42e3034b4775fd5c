/* ClientHellos: whatever a client sends first ends in a question for more, a refusal or the
 * server's flight, chooses a normalised name, and leaves OpenSSL's error queue empty unless it is
 * an error: what lies there would be taken for the next connection's. The input is tried as
 * records, cut in two, as a handshake message without its record header, and as a server_name
 * extension. */
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "../unit/certgen.h"
#include "base/mem.h"
#include "tls/handshake.h"

#define RECORD_MAX 16384

static struct conf_tls conf = {
	.min_version = TLS1_2_VERSION,
	.max_version = TLS1_3_VERSION,
	.ciphers = (char[]){"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"},
	.ciphersuites = (char[]){"TLS_AES_128_GCM_SHA256"},
	.groups = (char[]){"X25519:P-256"},
	.tickets = 1,
};
static unsigned char alpn[] = "\2h2\10http/1.1";
static const struct tls_policy open_policy = {.min_version = TLS1_2_VERSION};
static const struct tls_policy strict_policy = {
	.min_version = TLS1_3_VERSION, .alpn = alpn, .alpn_len = sizeof(alpn) - 1};

static SSL_CTX *ctx;
static struct certs *table;
static struct cert_cache *cache;
static struct tickets *keys;

static void check(bool good)
{
	if (!good)
		abort();
}

static void clean(void)
{
	SSL_CTX_free(ctx);
	certs_unref(table);
	cert_cache_free(cache);
	tickets_unref(keys);
}

static void prepare(void)
{
	char *folder = certgen_temp(),
	     *ec = certgen_combined(folder, "ec", "P-256", "DNS:a.test,DNS:*.a.test");
	char *rsa = certgen_combined(folder, "rsa", "RSA:2048", "DNS:a.test,DNS:b.test");
	struct certs_source sources[2] = {
		{.place = "ec", .cert = ec}, {.place = "rsa", .cert = rsa}};
	struct problems p = {0};
	struct error err;

	ctx = tls_context_new(&conf, &err);
	table = certs_build(sources, 2, NULL, &p);
	cache = cert_cache_new(2);
	keys = tickets_rotate(NULL, &err);
	check(ctx && table && keys);
	free(ec);
	free(rsa);
	certgen_remove(folder);
	atexit(clean);
}

static const struct tls_policy *choose(void *arg, const char *name)
{
	char again[NAME_SIZE];

	(void)arg;
	if (*name)
		check(name_normalise(again, name, strlen(name)) && strcmp(again, name) == 0);
	if (strcmp(name, "b.test") == 0)
		return NULL;
	return strcmp(name, "a.test") == 0 ? &strict_policy : &open_policy;
}

static void try_accept(const uint8_t *data, size_t size, size_t cut, bool strict)
{
	struct handshake h = {
		.certs = table,
		.tickets = keys,
		.cache = cache,
		.strict_sni = strict,
		.choose = choose,
	};
	BIO *in = BIO_new(BIO_s_mem());
	SSL *ssl = tls_accept_new(ctx, &h, in);
	int rc, why;

	BIO_set_mem_eof_return(in, -1);
	SSL_set0_wbio(ssl, BIO_new(BIO_s_null()));
	BIO_write(in, data, (int)cut);
	rc = SSL_accept(ssl);
	why = SSL_get_error(ssl, rc);
	if (why == SSL_ERROR_WANT_READ) {
		check(ERR_peek_error() == 0);
		BIO_write(in, data + cut, (int)(size - cut));
		rc = SSL_accept(ssl);
		why = SSL_get_error(ssl, rc);
	}
	check(rc <= 0);
	check(why == SSL_ERROR_WANT_READ || (why == SSL_ERROR_SSL && ERR_peek_error() != 0));
	check(why != SSL_ERROR_WANT_READ || !h.refusal);
	ERR_clear_error();
	SSL_free(ssl);
}

static void try_message(const uint8_t *data, size_t size)
{
	uint8_t *record = mem_alloc(5 + RECORD_MAX);

	size = size < RECORD_MAX ? size : RECORD_MAX;
	memcpy(record, "\x16\3\1", 3);
	record[3] = (uint8_t)(size >> 8);
	record[4] = (uint8_t)size;
	memcpy(record + 5, data, size);
	try_accept(record, 5 + size, 5 + size, false);
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = mem_dup(data, size);
	const char *name;
	size_t len;

	if (!ctx)
		prepare();
	if (tls_parse_server_name(copy, size, &name, &len))
		check(name == (const char *)copy + 5 && len == size - 5);
	try_accept(copy, size, size, false);
	try_accept(copy, size, size / 2, true);
	try_message(copy, size);
	free(copy);
	return 0;
}
