/* What people are told. notify/ is replaced by functions that write it down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "conffile.h"
#include "notices.h"

static struct str said; /* "LEVEL title: message\n  name: value\n" ... */

struct notify *notify_new(struct event_base *base, struct jobs *jobs, struct error *err)
{
	(void)base;
	(void)jobs;
	(void)err;
	return (struct notify *)&said;
}

void notify_configure(struct notify *n, struct conf *c)
{
	(void)n;
	(void)c;
}

void notify_send(struct notify *n, enum log_level level, const char *title, const char *message,
	const struct notify_field *fields, size_t n_fields)
{
	struct str *s = (struct str *)n;

	str_addf(s, "%d %s: %s\n", level, title, message);
	for (size_t i = 0; i < n_fields; i++)
		if (strcmp(fields[i].name, "host") != 0)
			str_addf(s, "  %s: %s\n", fields[i].name, fields[i].value);
}

void notify_stop(struct notify *n)
{
	(void)n;
}

void notify_free(struct notify *n)
{
	str_clear((struct str *)n);
}

static struct conf *load(void)
{
	struct problems p = {0};
	struct conf *c;

	conffile_write(conffile_path, BASE
		"notifications: [{ provider: ntfy, url: 'http://h', topic: t }]\n"
		"autocert:\n"
		"  provider: pseudo\n"
		"  domains: [a.example, b.example, c.example, d.example, e.example, f.example]\n"
		"  extra: [{ cert_path: 2, key_path: 3, domains: [x.example] }]\n");
	c = conf_load(conffile_path, &p);
	assert_non_null(c);
	return c;
}

static void assert_said(const char *want)
{
	assert_string_equal(said.data ? said.data : "", want);
	str_clear(&said);
}

static char *write_cert(const char *folder, const char *name, EVP_PKEY *key, int64_t until_s)
{
	char *alt_names = mem_printf("DNS:%s", name);
	X509 *x = certgen_cert(&(struct certgen){
		.alt_names = alt_names, .key = key, .from_s = -9 * 86400, .until_s = until_s});
	char *cert = certgen_cert_pem(x), *pem = certgen_key_pem(key);
	char *all = certgen_join(cert, pem, NULL), *path = mem_printf("%s/%s", folder, name);

	certgen_write_text(path, all, 0600);
	free(all);
	free(pem);
	free(cert);
	free(alt_names);
	X509_free(x);
	return path;
}

/* Certificates that are missing, then what expires first. */
static void tells_every_date_at_the_start(void **state)
{
	static const struct {
		const char *name;
		int64_t until_s;
	} files[] = {{"late.example", 60 * 86400 + 60}, {"soon.example", 7200 + 60},
		{"past.example", -86400}};
	char *folder = certgen_temp();
	EVP_PKEY *key = certgen_key("P-256");
	struct certs_source sources[3] = {{0}};
	struct problems p = {0};
	struct notices n;
	struct conf *c = load();
	struct certs *certs;
	const char *at;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		sources[i] = (struct certs_source){.place = "x",
			.cert = write_cert(folder, files[i].name, key, files[i].until_s)};
	certs = certs_build(sources, 3, NULL, &p);
	assert_non_null(certs);
	assert_int_equal(notices_init(&n, NULL, NULL, NULL), 0);
	notices_configure(&n, c);
	notices_start(&n, c, certs);

	at = strstr(said.data, "2 lintel has started on ");
	assert_ptr_equal(at, said.data);
	at = strstr(at, ": Certificates that it serves: 3.\n");
	assert_non_null(at);
	at = strstr(at, "  a.example, b.example, c.example, d.example, e.example and 1 more: "
			"none yet: main gets it\n  x.example: none yet: extra[1] gets it\n");
	assert_non_null(at);
	at = strstr(at, "  past.example: until ");
	assert_non_null(at);
	at = strstr(at, "Z: it has expired\n  soon.example: until ");
	assert_non_null(at);
	at = strstr(at, "Z, in 2 hours\n  late.example: until ");
	assert_non_null(at);
	assert_non_null(strstr(at, "Z, in 60 days\n"));

	notices_clear(&n);
	certs_unref(certs);
	conf_unref(c);
	for (size_t i = 0; i < 3; i++)
		free((char *)(uintptr_t)sources[i].cert);
	EVP_PKEY_free(key);
	certgen_remove(folder);
}

static void happens(struct notices *n, const struct conf_autocert *a, enum autocert_step step)
{
	const struct autocert_event e = {
		.provider = a->name, .step = step, .level = LOG_INFO, .text = "why"};

	notices_event(n, &e, a, NULL);
}

#define FAILED_X                                                                                   \
	"0 Certificate renewal failed: x.example: why\n  autocert: extra[1]\n"                     \
	"  names: x.example\n  valid until: there is no certificate yet\n"
#define RENEWED_X                                                                                  \
	"2 Certificate renewed: x.example: \n  autocert: extra[1]\n"                               \
	"  names: x.example\n  valid until: there is no certificate yet\n"

/* Once, until it is renewed or the configuration is another one; each provider by itself. */
static void tells_a_failure_once(void **state)
{
	struct notices n;
	struct conf *c = load();
	const struct conf_autocert *main = &c->providers[0], *extra = &c->providers[1];

	(void)state;
	assert_int_equal(notices_init(&n, NULL, NULL, NULL), 0);
	notices_configure(&n, c);
	happens(&n, extra, STEP_START);
	happens(&n, extra, STEP_ISSUED);
	assert_said("");
	happens(&n, extra, STEP_FAILED);
	assert_said(FAILED_X);
	happens(&n, extra, STEP_FAILED);
	assert_said("");
	happens(&n, main, STEP_FAILED);
	assert_non_null(strstr(said.data, "Certificate renewal failed: a.example"));
	str_clear(&said);
	happens(&n, extra, STEP_SWAPPED);
	assert_said(RENEWED_X);
	happens(&n, extra, STEP_FAILED);
	assert_said(FAILED_X);
	notices_configure(&n, c);
	happens(&n, extra, STEP_FAILED);
	assert_said(FAILED_X);
	notices_clear(&n);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_every_date_at_the_start),
		cmocka_unit_test(tells_a_failure_once),
	};

	return cmocka_run_group_tests(tests, conffile_set_up, conffile_tear_down);
}
