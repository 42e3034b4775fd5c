/* Options of DNS providers: keys in every spelling, the environment, files, and each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "dns/ops.h"

#define SECRET "c2VjcmV0"
#define N_ENV  (sizeof(variables) / sizeof(variables[0]))

static const char *const variables[] = {"DNSUPDATE_NAMESERVER", "RFC2136_NAMESERVER",
	"DNSUPDATE_TSIG_KEY", "RFC2136_TSIG_KEY", "DNSUPDATE_TSIG_SECRET", "RFC2136_TSIG_SECRET",
	"RFC2136_TSIG_SECRET_FILE", "DNSUPDATE_TTL", "RFC2136_TTL", "RFC2136_POLLING_INTERVAL",
	"RFC2136_PROPAGATION_TIMEOUT", "RFC2136_ZONES"};

static char file[] = "f", main_name[] = "main", extra_name[] = "extra[1]";
static char folder[] = "/tmp/lintel-options-XXXXXX";

/* A configuration whose main has the options "key=value", "key=value,value" for two. */
struct fixture {
	struct conf conf;
	struct conf_autocert provider[2];
	struct conf_option options[12];
	size_t n;
	struct problems problems;
	struct dns_provider *p;
};

static void begin(struct fixture *f)
{
	for (size_t i = 0; i < N_ENV; i++)
		unsetenv(variables[i]);
	*f = (struct fixture){.conf = {.file = file, .state_dir = folder},
		.provider = {{.name = main_name, .provider = PROVIDER_RFC2136, .place = {1, 1}},
			{.name = extra_name, .provider = PROVIDER_RFC2136, .place = {2, 1}}}};
	f->conf.providers = f->provider;
	f->conf.n_providers = 2;
}

static void add(struct fixture *f, const char *key, const char *value)
{
	struct conf_option *o = &f->options[f->n];

	o->key = mem_strdup(key);
	o->place = (struct conf_place){10 + (int)f->n++, 3};
	if (value) {
		o->values.v = mem_alloc(sizeof(char *));
		o->values.v[0] = mem_strdup(value);
		o->values.n = 1;
	}
}

static void load(struct fixture *f, size_t provider)
{
	f->provider[0].options = f->options;
	f->provider[0].n_options = f->n;
	f->p = dns_provider_new(&f->conf, &f->provider[provider], &f->problems);
}

static void end(struct fixture *f)
{
	dns_provider_free(f->p);
	problems_clear(&f->problems);
	for (size_t i = 0; i < f->n; i++) {
		free(f->options[i].key);
		if (f->options[i].values.n)
			free(f->options[i].values.v[0]);
		free(f->options[i].values.v);
	}
}

/* It must have been good. */
static void load_good(struct fixture *f)
{
	load(f, 0);
	if (!f->p)
		fail_msg("%s", f->problems.n ? f->problems.lines[0] : "no problem told");
	assert_int_equal(f->problems.n, 0);
}

/* The only problem is this one. */
static void load_bad(struct fixture *f, const char *want)
{
	load(f, 0);
	assert_null(f->p);
	assert_int_equal(f->problems.n, 1);
	assert_string_equal(f->problems.lines[0], want);
	end(f);
}

static void every_spelling(void **state)
{
	static const char *const spellings[] = {"nameserver", "Name_Server", "NAMESERVER",
		"nameServer", "DNSUPDATE_NAMESERVER", "rfc2136_nameserver", "RFC2136NameServer"};
	struct fixture f;

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		begin(&f);
		add(&f, spellings[i], "192.0.2.1");
		load_good(&f);
		assert_int_equal(f.p->ttl, 120);
		assert_int_equal(f.p->patience.timeout_ms, 60000);
		assert_int_equal(f.p->patience.interval_ms, 2000);
		end(&f);
	}
}

static void mistakes(void **state)
{
	struct fixture f;

	begin(&f);
	load_bad(&f, "f:1:1: autocert.options: nameserver is missing: the provider rfc2136 needs "
		     "it, here or in the environment as DNSUPDATE_NAMESERVER");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "RFC2136_NAMESERVER", "192.0.2.1");
	load_bad(&f, "f:11:3: autocert.options.RFC2136_NAMESERVER: is the same option as "
		     "\"nameserver\": keep one of them");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "polling_intervall", "5s");
	load_bad(&f, "f:11:3: autocert.options.polling_intervall: the provider rfc2136 has no such "
		     "option; did you mean \"polling_interval\"?");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "api_key", "hunter2");
	load_bad(&f, "f:11:3: autocert.options.api_key: the provider rfc2136 has no such option: "
		     "`lintel help providers rfc2136` tells what it has");
	begin(&f);
	add(&f, "nameserver", NULL);
	load_bad(&f, "f:10:3: autocert.options.nameserver: takes a single value");
	begin(&f);
	add(&f, "nameserver", "");
	load_bad(&f, "f:10:3: autocert.options.nameserver: is empty");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1:x");
	load_bad(&f, "f:10:3: autocert.options.nameserver: \"192.0.2.1:x\": \"x\" is no port (1 to "
		     "65535)");
	begin(&f);
	setenv("DNSUPDATE_NAMESERVER", "192.0.2.1:x", 1);
	load_bad(&f, "f:1:1: autocert.options: nameserver: \"192.0.2.1:x\": \"x\" is no port (1 to "
		     "65535)");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "ttl", "2m");
	load_bad(&f, "f:11:3: autocert.options.ttl: \"2m\" is no whole number");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "nameserver_file", "x"); /* for secrets only */
	load_bad(&f, "f:11:3: autocert.options.nameserver_file: the provider rfc2136 has no such "
		     "option; did you mean \"nameserver\"?");
}

/* What belongs together. */
static void keys_of_tsig(void **state)
{
	static const char *const cases[][4] = {
		{"tsig_key", "k",
			"tsig_secret is missing: a TSIG key has both, tsig_key and tsig_secret",
			""},
		{"tsig_secret", SECRET,
			"tsig_key is missing: a TSIG key has both, tsig_key and tsig_secret", ""},
		{"tsig_algorithm", "hmac-sha256", "tsig_algorithm is given, but no tsig_key",
			".tsig_algorithm"},
	};
	struct fixture f;
	char want[300];

	for (size_t i = 0; i < 3; i++) {
		begin(&f);
		add(&f, "nameserver", "192.0.2.1");
		add(&f, cases[i][0], cases[i][1]);
		snprintf(want, sizeof(want), "f:%s: autocert.options%s: %s",
			*cases[i][3] ? "11:3" : "1:1", cases[i][3], cases[i][2]);
		load_bad(&f, want);
	}
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_file", "key");
	add(&f, "tsig_algorithm", "hmac-sha256");
	load_bad(&f, "f:11:3: autocert.options.tsig_file: tsig_file stands beside tsig_algorithm, "
		     "which it "
		     "holds too: keep one of them");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	add(&f, "tsig_secret", "hunter2!");
	load_bad(&f, "f:1:1: autocert.options: the secret of the TSIG key is no base64");
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"90s", 90000}, {"1m30s", 90000}, {"2m", 120000}, {"500ms", 500},
		{"1h1m1s1ms", 3661001}, {"7d", 604800000}};
	static const char *const bad[] = {"5", "s", "5x", "-5s", "1m30", "5 s", "1.5s", "0s", "8d",
		"9999999999s", "99999999d99999999d99999999d99999999d99999999d99999999d"};
	struct fixture f;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		begin(&f);
		add(&f, "nameserver", "192.0.2.1");
		add(&f, "propagation_timeout", good[i].text);
		load_good(&f);
		assert_int_equal(f.p->patience.timeout_ms, good[i].ms);
		end(&f);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(&f);
		add(&f, "nameserver", "192.0.2.1");
		add(&f, "polling_interval", bad[i]);
		load(&f, 0);
		assert_null(f.p);
		assert_int_equal(f.problems.n, 1);
		end(&f);
	}
}

static const char *zone_of(const struct dns_provider *p, const char *name)
{
	static struct dns_zone z;
	const struct dns_job j = {.provider = p};

	return p->ops->find_zone(&j, name, &z, NULL) == 1 ? z.name : "none";
}

/* It fills what the options leave out; bare numbers are seconds there. */
static void environment(void **state)
{
	struct fixture f;

	begin(&f);
	setenv("RFC2136_NAMESERVER", "192.0.2.1", 1);
	setenv("DNSUPDATE_TTL", "", 1);
	setenv("RFC2136_TTL", "60", 1);
	setenv("RFC2136_POLLING_INTERVAL", "7", 1);
	setenv("RFC2136_PROPAGATION_TIMEOUT", "90s", 1);
	setenv("RFC2136_ZONES", "a.test, B.test.,c.test", 1);
	add(&f, "polling_interval", "1s");
	load_good(&f);
	assert_int_equal(f.p->ttl, 60);
	assert_int_equal(f.p->patience.interval_ms, 1000);
	assert_int_equal(f.p->patience.timeout_ms, 90000);
	assert_string_equal(zone_of(f.p, "x.b.test"), "b.test");
	assert_string_equal(zone_of(f.p, "c.test"), "c.test");
	assert_string_equal(zone_of(f.p, "xc.test"), "none");
	end(&f);

	begin(&f);
	setenv("RFC2136_NAMESERVER", "192.0.2.1", 1);
	setenv("RFC2136_POLLING_INTERVAL", "soon", 1);
	load_bad(&f,
		"f:1:1: autocert.options: the environment's RFC2136_POLLING_INTERVAL: \"soon\" "
		"is no time up to a week: write it like 90s or 1m30s");
	begin(&f);
	setenv("RFC2136_NAMESERVER", "192.0.2.1", 1);
	setenv("RFC2136_POLLING_INTERVAL", "7", 1);
	load_good(&f);
	assert_int_equal(f.p->patience.interval_ms, 7000);
	end(&f);
}

static void write_file(const char *name, const void *text, size_t len)
{
	char *path = file_resolve(folder, name);
	struct error err;

	assert_int_equal(file_write(path, text, len, 0600, &err), 0);
	free(path);
}

static void remove_file(const char *name)
{
	char *path = file_resolve(folder, name);

	unlink(path);
	free(path);
}

/* Relative to state_dir, without the end of the line. */
static void files(void **state)
{
	struct fixture f;

	write_file("secret", SECRET "\r\n", strlen(SECRET) + 2);
	write_file("binary", "a\0b", 3);
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	add(&f, "TsigSecretFile", "secret");
	load_good(&f);
	end(&f);
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	setenv("RFC2136_TSIG_SECRET_FILE", "secret", 1);
	load_good(&f);
	end(&f);
	begin(&f); /* the variable itself wins over its _FILE */
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	setenv("RFC2136_TSIG_SECRET", SECRET, 1);
	setenv("RFC2136_TSIG_SECRET_FILE", "gone", 1);
	load_good(&f);
	end(&f);
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	add(&f, "tsig_secret", SECRET);
	add(&f, "tsig_secret_file", "secret");
	load_bad(&f, "f:13:3: autocert.options.tsig_secret_file: is the same option as "
		     "\"tsig_secret\": keep one of them");
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	add(&f, "tsig_secret_file", "binary");
	load(&f, 0);
	assert_int_equal(f.problems.n, 1);
	assert_non_null(strstr(f.problems.lines[0], "holds binary data, a text is wanted"));
	end(&f);
	remove_file("secret");
	remove_file("binary");
}

/* With a header, a comment, or a second secret in it: told at once, and not by the API. */
static void files_of_two_lines(void **state)
{
	static const char *const texts[] = {
		SECRET "\nmore\n", "\n" SECRET, "# mine\r\n" SECRET, SECRET "\rmore"};
	struct fixture f;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file("secret", texts[i], strlen(texts[i]));
		begin(&f);
		add(&f, "nameserver", "192.0.2.1");
		add(&f, "tsig_key", "k");
		add(&f, "tsig_secret_file", "secret");
		load(&f, 0);
		assert_null(f.p);
		assert_int_equal(f.problems.n, 1);
		assert_non_null(
			strstr(f.problems.lines[0], "f:12:3: autocert.options.tsig_secret_file: "));
		assert_non_null(strstr(f.problems.lines[0],
			"holds more than one line, and nothing but the tsig_secret is wanted"));
		assert_null(strstr(f.problems.lines[0], SECRET));
		end(&f);
	}
	begin(&f); /* of the environment too */
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "tsig_key", "k");
	setenv("RFC2136_TSIG_SECRET_FILE", "secret", 1);
	load(&f, 0);
	assert_int_equal(f.problems.n, 1);
	assert_non_null(strstr(f.problems.lines[0],
		"the environment's RFC2136_TSIG_SECRET_FILE: " /* its path */));
	assert_non_null(strstr(f.problems.lines[0], "holds more than one line"));
	end(&f);
	remove_file("secret");
}

/* A secret may stand in a file of its own. */
static void missing_secret(void **state)
{
	struct fixture f;

	unsetenv("DUCKDNS_TOKEN");
	unsetenv("DUCKDNS_TOKEN_FILE");
	begin(&f);
	f.provider[0].provider = PROVIDER_DUCKDNS;
	load_bad(&f, "f:1:1: autocert.options: token is missing: the provider duckdns needs it, "
		     "here (or as token_file) or in the environment as DUCKDNS_TOKEN");
}

/* The hash of a provider with this file's options: "tsig_file" or "TsigSecretFile". */
static void hash_of(const char *key, const char *text, unsigned char hash[32])
{
	struct fixture f;

	write_file("key", text, strlen(text));
	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	if (strcmp(key, "tsig_file") != 0)
		add(&f, "tsig_key", "k");
	add(&f, key, "key");
	load_good(&f);
	dns_provider_hash(f.p, hash);
	end(&f);
	remove_file("key");
}

/* The same configuration, another content; and the same again. */
static void hashes(void **state)
{
	static const char *const cases[][3] = {
		{"tsig_secret_file", SECRET, "b3RoZXI="},
		{"tsig_file", "key k { algorithm hmac-sha256; secret \"" SECRET "\"; };",
			"key k { algorithm hmac-sha256; secret \"b3RoZXI=\"; };"},
	};
	unsigned char a[32], b[32];

	for (size_t i = 0; i < 2; i++) {
		hash_of(cases[i][0], cases[i][1], a);
		hash_of(cases[i][0], cases[i][1], b);
		assert_memory_equal(a, b, sizeof(a));
		hash_of(cases[i][0], cases[i][2], b);
		assert_memory_not_equal(a, b, sizeof(a));
	}
}

/* An extra that has main's options has main's problems, which are told once. */
static void inherited(void **state)
{
	struct fixture f;

	begin(&f);
	add(&f, "nameserver", "192.0.2.1");
	add(&f, "colour", "red");
	f.provider[1].options = f.options;
	f.provider[1].n_options = f.n;
	load(&f, 1);
	assert_null(f.p);
	load(&f, 0);
	assert_null(f.p);
	assert_int_equal(f.problems.n, 1);
	assert_string_equal(f.problems.lines[0],
		"f:11:3: autocert.options.colour: the provider rfc2136 has no such option: "
		"`lintel help providers rfc2136` tells what it has");
	end(&f);

	begin(&f); /* options of its own */
	add(&f, "nameserver", "192.0.2.1");
	f.provider[1].options = f.options;
	f.provider[1].n_options = 0;
	load(&f, 1);
	assert_null(f.p);
	assert_int_equal(f.problems.n, 1);
	assert_non_null(strstr(
		f.problems.lines[0], "f:2:1: autocert.extra[1].options: nameserver is missing: "));
	end(&f);
}

static int set_up(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(keys_of_tsig),
		cmocka_unit_test(durations),
		cmocka_unit_test(environment),
		cmocka_unit_test(files),
		cmocka_unit_test(files_of_two_lines),
		cmocka_unit_test(missing_secret),
		cmocka_unit_test(hashes),
		cmocka_unit_test(inherited),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
