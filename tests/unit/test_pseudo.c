#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "autocert/obtain.h"
#include "autocert/pseudo.h"
#include "base/file.h"
#include "base/mem.h"
#include "certgen.h"
#include "tls/cert.h"

static char *folder, *ca_crt, *ca_key, *cert_path, *key_path;
static char domain_a[] = "a.example", domain_b[] = "*.b.example", domain_c[] = "c.example";
static char *domains[] = {domain_a, domain_b, domain_c};
static char main_name[] = "main", extra_name[] = "extra[1]";

static int make_folder(void **state)
{
	folder = certgen_temp();
	ca_crt = mem_printf("%s/pseudo/ca.crt", folder);
	ca_key = mem_printf("%s/pseudo/ca.key", folder);
	cert_path = mem_printf("%s/certs/cert.crt", folder);
	key_path = mem_printf("%s/certs/priv.key", folder);
	return 0;
}

static int remove_folder(void **state)
{
	certgen_remove(folder);
	free(ca_crt);
	free(ca_key);
	free(cert_path);
	free(key_path);
	return 0;
}

static struct conf_autocert provider(void)
{
	return (struct conf_autocert){
		.name = main_name,
		.provider = PROVIDER_PSEUDO,
		.domains = {domains, 2},
		.cert_path = cert_path,
		.key_path = key_path,
		.key_type = KEY_EC256,
		.lifetime_s = 90 * 86400,
		.id = "0123456789ab",
	};
}

static char last_said[1024];

static void on_said(void *arg, enum autocert_step step, enum log_level level, const char *text)
{
	if (step == STEP_FAILED)
		snprintf(last_said, sizeof(last_said), "%s", text);
}

static enum obtain_result look(const struct conf_autocert *a)
{
	struct conf conf = {.state_dir = folder};
	struct obtained out;
	enum obtain_result result;

	obtain_run(&(struct obtain){.conf = &conf, .autocert = a, .say = on_said}, &out);
	result = out.result;
	obtained_clear(&out);
	return result;
}

static void ensure(const struct conf_autocert *a, int want)
{
	*last_said = '\0';
	assert_int_equal(look(a), want ? OBTAIN_RENEWED : OBTAIN_KEPT);
	assert_string_equal(last_said, "");
}

static X509 *read_x509(const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *x;

	assert_non_null(f);
	x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	assert_non_null(x);
	return x;
}

/* As a client would that trusts the CA alone, and by the letter of RFC 5280. */
static int verify(const char *path, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *ca = read_x509(ca_crt), *leaf = read_x509(path);
	X509_VERIFY_PARAM *param;
	int result;

	X509_STORE_add_cert(store, ca);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set1_host(param, host, 0);
	X509_verify_cert(ctx);
	result = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(ca);
	X509_free(leaf);
	return result;
}

static void assert_mode(const char *path, mode_t want)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, want);
}

static char *content(const char *path)
{
	struct error err = {""};
	size_t len;
	char *data = file_read(path, 1 << 20, &len, &err);

	if (!data)
		fail_msg("%s", err.text);
	return data;
}

static void mints_what_clients_verify(void **state)
{
	struct conf_autocert a = provider();
	char *key;

	ensure(&a, 1);
	assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
	assert_int_equal(verify(cert_path, "x.b.example"), X509_V_OK);
	assert_int_equal(verify(cert_path, "b.example"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_mode(cert_path, 0644);
	assert_mode(key_path, 0600);
	assert_mode(ca_crt, 0644);
	assert_mode(ca_key, 0600);
	key = content(key_path);
	assert_int_equal(strncmp(key, "-----BEGIN PRIVATE KEY-----", 27), 0);
	free(key);
}

static void keeps_what_is_good(void **state)
{
	struct conf_autocert a = provider();
	char *before, *after;

	ensure(&a, 1);
	before = content(cert_path);
	ensure(&a, 0);
	a.domains.n = 1; /* fewer than it has */
	ensure(&a, 0);
	after = content(cert_path);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void every_key_type_loads(void **state)
{
	static const struct {
		enum conf_key_type type;
		enum cert_kind kind;
		int bits;
	} types[] = {
		{KEY_EC256, CERT_ECDSA, 256},
		{KEY_EC384, CERT_ECDSA, 384},
		{KEY_RSA2048, CERT_RSA, 2048},
		{KEY_RSA3072, CERT_RSA, 3072},
	};

	for (size_t i = 0; i < 4; i++) {
		struct conf_autocert a = provider();
		struct cert_parsed p;
		struct cert *c;

		a.key_type = types[i].type;
		unlink(cert_path);
		ensure(&a, 1);
		c = cert_load(cert_path, key_path, NULL);
		assert_non_null(c);
		assert_int_equal(c->kind, types[i].kind);
		assert_int_equal(c->n_names, 2);
		assert_int_equal(cert_parse(c, &p, NULL), 0);
		assert_int_equal(EVP_PKEY_get_bits(p.key), types[i].bits);
		assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
		cert_parsed_clear(&p);
		cert_unref(c);
	}
}

static void dates_and_serials(void **state)
{
	struct conf_autocert a = provider();
	int64_t before = time(NULL);
	ASN1_INTEGER *serial;
	struct cert *c;
	X509 *x;

	a.lifetime_s = 3000;
	ensure(&a, 1);
	c = cert_load(cert_path, key_path, NULL);
	assert_int_equal(c->not_after - c->not_before, 3300); /* 300 back */
	assert_in_range(before - c->not_before, 60, 600);
	cert_unref(c);
	x = read_x509(cert_path);
	serial = ASN1_INTEGER_dup(X509_get_serialNumber(x));
	assert_int_equal(ASN1_STRING_length(serial), 16);
	X509_free(x);
	unlink(key_path);
	ensure(&a, 1);
	x = read_x509(cert_path);
	assert_int_not_equal(ASN1_INTEGER_cmp(serial, X509_get_serialNumber(x)), 0);
	X509_free(x);
	ASN1_INTEGER_free(serial);
	c = cert_load(ca_crt, ca_key, NULL);
	assert_in_range(c->not_after - before, 3649LL * 86400, 3652LL * 86400);
	cert_unref(c);
}

static void mints_anew_for_a_new_domain(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	a.domains.n = 3;
	ensure(&a, 1);
	assert_int_equal(verify(cert_path, "c.example"), X509_V_OK);
	ensure(&a, 0);
}

static void mints_anew_for_a_pair_that_is_none(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	certgen_write_text(key_path, "rubbish", 0600);
	ensure(&a, 1);
	unlink(cert_path);
	ensure(&a, 1);
	certgen_write_text(cert_path, "", 0644);
	ensure(&a, 1);
	assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
}

/* A certificate of this CA, with the names that are wanted, whose life is nearly or not nearly
 * over. */
static void write_leaf(int64_t from_s, int64_t until_s)
{
	EVP_PKEY *key = certgen_key("P-256");
	struct cert *ca = cert_load(ca_crt, ca_key, NULL);
	struct cert_parsed p;
	char *cert_pem, *key_pem;
	X509 *x;

	assert_int_equal(cert_parse(ca, &p, NULL), 0);
	x = certgen_cert(&(struct certgen){.alt_names = "DNS:a.example,DNS:*.b.example",
		.key = key,
		.issuer = p.leaf,
		.issuer_key = p.key,
		.from_s = from_s,
		.until_s = until_s});
	cert_pem = certgen_cert_pem(x);
	key_pem = certgen_key_pem(key);
	certgen_write_text(cert_path, cert_pem, 0644);
	certgen_write_text(key_path, key_pem, 0600);
	free(cert_pem);
	free(key_pem);
	X509_free(x);
	cert_parsed_clear(&p);
	cert_unref(ca);
	EVP_PKEY_free(key);
}

/* Of a short life: schedule.h has the rest. */
static void mints_anew_in_the_last_half(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	write_leaf(-4000, 4500);
	ensure(&a, 0);
	write_leaf(-4500, 4000);
	ensure(&a, 1);
	write_leaf(-6000, -10);
	ensure(&a, 1);
	write_leaf(600, 90000); /* not valid yet: the clock went back */
	ensure(&a, 1);
}

static size_t count_broken(void)
{
	char *path = mem_printf("%s/pseudo", folder);
	DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strstr(e->d_name, ".broken-") != NULL;
	closedir(d);
	free(path);
	return n;
}

static void a_broken_ca_is_kept_aside(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	assert_int_equal(count_broken(), 0);
	certgen_write_text(ca_key, "rubbish", 0600);
	ensure(&a, 1); /* the old certificate is not of the new CA */
	assert_int_equal(count_broken(), 2);
	assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
	ensure(&a, 0);
}

static void a_ca_without_its_key_is_kept_aside(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	unlink(ca_key);
	ensure(&a, 1);
	assert_int_equal(count_broken(), 1);
	assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
}

static void a_key_open_to_all_is_refused_not_replaced(void **state)
{
	struct conf_autocert a = provider();

	ensure(&a, 1);
	assert_int_equal(chmod(ca_key, 0644), 0);
	assert_int_equal(look(&a), OBTAIN_FAILED);
	assert_non_null(strstr(last_said, "chmod o-rwx"));
	assert_int_equal(count_broken(), 0);
}

static void two_providers_share_the_ca(void **state)
{
	struct conf_autocert a = provider(), b = provider();
	char *ca_before, *ca_after;

	b.name = extra_name;
	strcpy(b.id, "ba9876543210");
	b.domains = (struct conf_strings){domains + 2, 1};
	b.cert_path = mem_printf("%s/other/x.crt", folder);
	b.key_path = mem_printf("%s/other/x.key", folder);
	ensure(&a, 1);
	ca_before = content(ca_crt);
	ensure(&b, 1);
	ca_after = content(ca_crt);
	assert_string_equal(ca_before, ca_after);
	assert_int_equal(verify(cert_path, "a.example"), X509_V_OK);
	assert_int_equal(verify(b.cert_path, "c.example"), X509_V_OK);
	ensure(&a, 0);
	ensure(&b, 0);
	free(ca_before);
	free(ca_after);
	free(b.cert_path);
	free(b.key_path);
}

static void says_what_it_cannot_write(void **state)
{
	struct conf_autocert a = provider();
	char *in_the_way = mem_printf("%s/certs", folder);

	certgen_write_text(in_the_way, "", 0644);
	assert_int_equal(look(&a), OBTAIN_FAILED);
	assert_non_null(strstr(last_said, in_the_way));
	free(in_the_way);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mints_what_clients_verify),
		TEST(keeps_what_is_good),
		TEST(every_key_type_loads),
		TEST(dates_and_serials),
		TEST(mints_anew_for_a_new_domain),
		TEST(mints_anew_for_a_pair_that_is_none),
		TEST(mints_anew_in_the_last_half),
		TEST(a_broken_ca_is_kept_aside),
		TEST(a_ca_without_its_key_is_kept_aside),
		TEST(a_key_open_to_all_is_refused_not_replaced),
		TEST(two_providers_share_the_ca),
		TEST(says_what_it_cannot_write),
	};

	return cmocka_run_group_tests_name("pseudo", tests, NULL, NULL);
}
