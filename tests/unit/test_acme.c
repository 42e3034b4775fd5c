/* Conversations with a CA that says what the test wants it to; that of a real one is
 * tests/e2e/test_autocert.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "acme/account.h"
#include "acme/ari.h"
#include "acme/challenge.h"
#include "acme/client.h"
#include "acme/order.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "fakeca.h"

#define OK      "HTTP/1.1 200 OK\r\nReplay-Nonce: n\r\n"
#define PROBLEM "HTTP/1.1 400 Bad\r\nReplay-Nonce: n\r\n\r\n{\"type\":\"urn:ietf:params:acme:error:"
#define ORDER   "\"finalize\":\"@/f\",\"authorizations\":[\"@/a1\",\"@/a2\"]"
#define PENDING                                                                                    \
	"HTTP/1.1 201 Created\r\nReplay-Nonce: n\r\nLocation: "                                    \
	"@/o\r\n\r\n{\"status\":\"pending\"," ORDER "}"
#define DNS01(n)                                                                                   \
	"{\"type\":\"http-01\",\"url\":\"@/x\",\"token\":\"no\",\"status\":\"pending\"},"          \
	"{\"type\":\"dns-01\",\"url\":\"@/c" n "\",\"token\":\"t" n "\",\"status\":\"pending\"}"

struct rule {
	const char *path, *answer;
	unsigned times; /* that it is given; 0 = always. Then the next rule of that path holds */
};

static struct {
	const struct rule *rules; /* ends with a NULL path */
	unsigned used[16];
	char log[4000]; /* "METHOD PATH PAYLOAD\n" of each request */
	char directory[1000];
	struct stop *stop;
} script;

/* Of `script.log` and `script.used`: the CA's thread writes them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char plain_directory[] =
	OK "\r\n{\"newNonce\":\"@/n\",\"newAccount\":\"@/acct\",\"newOrder\":\"@/new\","
	   "\"revokeCert\":\"@/r\",\"keyChange\":\"@/k\",\"renewalInfo\":\"@/ari/\",\"meta\":"
	   "{\"externalAccountRequired\":true,\"profiles\":{\"short\":\"x\"}}}";

static char *find_answer(const struct fakeca_request *req)
{
	size_t len = strlen(script.log);

	snprintf(script.log + len, sizeof(script.log) - len, "%s %s %s\n", req->method, req->path,
		req->payload ? req->payload : "-");
	for (size_t i = 0; script.rules[i].path; i++) {
		const struct rule *r = &script.rules[i];

		if (strcmp(r->path, req->path) != 0 || (r->times && script.used[i] == r->times))
			continue;
		script.used[i]++;
		if (!r->answer && script.stop)
			stop_set(script.stop);
		return mem_strdup(r->answer);
	}
	if (strcmp(req->path, "/dir") == 0)
		return mem_strdup(plain_directory);
	if (strcmp(req->path, "/n") == 0)
		return mem_strdup(OK "\r\n");
	if (strcmp(req->path, "/acct") == 0)
		return mem_strdup(OK "Location: @/acct/1\r\n\r\n{\"status\":\"valid\"}");
	return mem_strdup("HTTP/1.1 404 Not Found\r\n\r\n");
}

static char *answer(const struct fakeca_request *req)
{
	char *found;

	pthread_mutex_lock(&lock);
	found = find_answer(req);
	pthread_mutex_unlock(&lock);
	return found;
}

/* The log, when no request is on its way. */
static char *asked(void)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return script.log;
}

static unsigned count(const char *line)
{
	unsigned n = 0;

	pthread_mutex_lock(&lock);
	for (const char *at = script.log; (at = strstr(at, line)); at++)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

static struct acme *acme;
static EVP_PKEY *key;
static char *directory;
static struct stop stop;
static struct error err;
static char wild[] = "*.example.org", apex[] = "example.org", other[] = "www.example.net";
static char *names[] = {apex, wild, other};
static const struct conf_strings no_roots, domains = {names, 2}, two_bases = {names + 1, 2};

static void prepare(const struct rule *rules)
{
	memset(&script, 0, sizeof(script));
	script.rules = rules;
	script.stop = &stop;
	err.text[0] = '\0';
	stop_init(&stop, NULL);
	fakeca_start(answer);
	directory = fakeca_url("/dir");
	acme = acme_new(&(struct acme_options){directory, &no_roots, &stop});
	key = certgen_key("P-256");
	acme_use_key(acme, key);
}

static void open_account(const struct rule *rules)
{
	bool is_new;

	prepare(rules);
	assert_int_equal(acme_open(acme, &err), 0);
	assert_int_equal(acme_account_open(acme, NULL, NULL, &is_new, &err), 0);
	assert_false(is_new);
	pthread_mutex_lock(&lock);
	script.log[0] = '\0';
	pthread_mutex_unlock(&lock);
}

static void end(void)
{
	acme_free(acme);
	fakeca_stop();
	stop_clear(&stop);
	EVP_PKEY_free(key);
	free(directory);
}

static void expect(const char *words)
{
	if (!strstr(err.text, words))
		fail_msg("\"%s\" lacks \"%s\"", err.text, words);
}

/* ---- the directory ---- */

static void test_directory(void **state)
{
	static const struct rule none[] = {{0}};

	(void)state;
	prepare(none);
	assert_int_equal(acme_open(acme, &err), 0);
	assert_true(acme_wants_eab(acme));
	assert_true(acme_has_ari(acme));
	assert_true(acme_knows_profile(acme, "short"));
	assert_false(acme_knows_profile(acme, "long"));
	end();
}

static void expect_no_directory(const char *text, enum acme_fault fault, const char *words)
{
	const struct rule rules[] = {{"/dir", text, 0}, {0}};

	prepare(rules);
	assert_int_equal(acme_open(acme, &err), -1);
	assert_int_equal(acme_fault(acme), fault);
	expect(words);
	/* Not of one that is busy. */
	assert_int_equal(
		strstr(err.text, "is ca_dir_url the URL") != NULL, fault != ACME_UNREACHABLE);
	end();
}

/* A CA on this machine is no proxy's to reach. */
static void test_no_proxy(void **state)
{
	static const struct rule none[] = {{0}};

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* where nobody is */
	unsetenv("no_proxy");
	unsetenv("NO_PROXY");
	prepare(none);
	assert_int_equal(acme_open(acme, &err), 0);
	end();
	unsetenv("http_proxy");
}

static void test_no_directory(void **state)
{
	(void)state;
	expect_no_directory(OK "\r\n", ACME_NONSENSE, "has no URL for newNonce");
	expect_no_directory(OK "\r\n<html>", ACME_NONSENSE, "makes no sense");
	expect_no_directory(OK "\r\n{\"newNonce\":7}", ACME_NONSENSE, "has no URL for newNonce");
	expect_no_directory(OK "\r\n{\"newNonce\":\"@/n\",\"newAccount\":\"file:///x\"}",
		ACME_NONSENSE, "has no URL for newAccount");
	expect_no_directory("HTTP/1.1 404 No\r\n\r\nno", ACME_REFUSED, "status 404");
	expect_no_directory("HTTP/1.1 301 No\r\nLocation: @/n\r\n\r\n", ACME_REFUSED, "status 301");
	expect_no_directory("HTTP/1.1 503 No\r\nRetry-After: 7\r\n\r\n", ACME_UNREACHABLE, "503");
}

/* A signed request goes nowhere in clear, but on this machine. */
static void test_clear_text(void **state)
{
	static const char *const urls[] = {"http://ca.example/dir", "http://127.0.0.1.example/dir",
		"http://127.0.0.1@ca.example/", "http://[::2]/", "ftp://127.0.0.1/", "x"};
	static const struct rule rules[] = {
		{"/dir",
			OK "\r\n{\"newNonce\":\"@/n\",\"newAccount\":\"http://192.0.2.1/acct\","
			   "\"newOrder\":\"@/new\"}",
			0},
		{0}};
	bool is_new;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		acme = acme_new(&(struct acme_options){urls[i], &no_roots, NULL});
		assert_int_equal(acme_open(acme, &err), -1);
		expect("by https only");
		assert_int_equal(acme_fault(acme), ACME_INPUT);
		acme_free(acme);
	}
	prepare(rules);
	assert_int_equal(acme_open(acme, &err), 0);
	assert_int_equal(acme_account_open(acme, NULL, NULL, &is_new, &err), -1);
	expect("by https only");
	assert_int_equal(acme_fault(acme), ACME_NONSENSE);
	end();
}

/* ---- requests ---- */

static void test_bad_nonces(void **state)
{
	static const struct rule rules[] = {{"/new", PROBLEM "badNonce\"}", 15},
		{"/new", PENDING, 0}, {"/o", PROBLEM "badNonce\"}", 0}, {0}};
	struct acme_order o;

	(void)state;
	open_account(rules);
	assert_int_equal(acme_order_new(acme, &domains, NULL, NULL, &o, &err), 0);
	assert_int_equal(count("POST /new "), 16);
	assert_int_equal(count("HEAD /n"), 0); /* each from the answer before */
	assert_int_equal(acme_order_get(acme, o.url, &o, &err), -1);
	expect("badNonce");
	acme_order_clear(&o);
	end();
}

static void expect_fault(const char *text, enum acme_fault fault, int64_t after, const char *words)
{
	const struct rule rules[] = {{"/new", text, 0}, {0}};
	struct acme_order o;
	int64_t now;

	open_account(rules);
	now = clock_wall_s();
	assert_int_equal(acme_order_new(acme, &domains, NULL, NULL, &o, &err), -1);
	assert_int_equal(acme_fault(acme), fault);
	if (after)
		assert_in_range(acme_retry_at(acme), now + after, clock_wall_s() + after);
	else
		assert_int_equal(acme_retry_at(acme), 0);
	expect(words);
	end();
}

static void test_faults(void **state)
{
	struct str many = {0};

	(void)state;
	str_addf(&many, OK "Location: @/o\r\n\r\n{\"status\":\"pending\",\"finalize\":\"@/f\","
			   "\"authorizations\":[\"@/a\"");
	for (int i = 0; i < 1000; i++)
		str_addf(&many, ",\"@/a\"");
	str_addf(&many, "]}");
	expect_fault(many.data, ACME_NONSENSE, 0, "1001 authorizations");
	str_clear(&many);
	expect_fault("HTTP/1.1 429 No\r\nRetry-After: 90\r\n\r\n{\"type\":\"urn:ietf:params:acme:"
		     "error:rateLimited\",\"detail\":\"too many\"}",
		ACME_RATE_LIMITED, 90, "/new (status 429): rateLimited: too many");
	expect_fault(PROBLEM "rateLimited\"}", ACME_RATE_LIMITED, 0, "rateLimited");
	expect_fault("HTTP/1.1 429 No\r\n\r\n", ACME_RATE_LIMITED, 0, "status 429");
	expect_fault("HTTP/1.1 503 No\r\nRetry-After: 5\r\n\r\nbusy", ACME_UNREACHABLE, 5,
		"status 503 and gives no reason");
	expect_fault(PROBLEM "rejectedIdentifier\",\"detail\":\"no\"}", ACME_INPUT, 0,
		"rejectedIdentifier: no");
	expect_fault(PROBLEM "unauthorized\"}", ACME_REFUSED, 0, "unauthorized");
	expect_fault("HTTP/1.1 400 No\r\n\r\n{\"detail\":\"because\"}", ACME_REFUSED, 0, "because");
	expect_fault(PROBLEM "userActionRequired\",\"instance\":\"https://ca.example/terms\"}",
		ACME_INPUT, 0, "visit https://ca.example/terms");
	expect_fault(OK "\r\n{", ACME_NONSENSE, 0, "makes no sense");
	expect_fault(OK "Location: /o\r\n\r\n{}", ACME_NONSENSE, 0, "Location");
	expect_fault(OK "Location: @/o\r\n\r\n", ACME_NONSENSE, 0, "\"finalize\"");
	expect_fault(OK "Location: @/o\r\n\r\n{\"finalize\":\"@/f\",\"authorizations\":{}}",
		ACME_NONSENSE, 0, "\"authorizations\"");
	expect_fault(OK "Location: @/o\r\n\r\n{\"status\":\"pending\",\"finalize\":\"@/f\","
			"\"authorizations\":[]}",
		ACME_NONSENSE, 0, "0 authorizations");
	expect_fault(OK "Location: @/o\r\n\r\n{\"status\":\"pending\",\"finalize\":\"@/f\","
			"\"authorizations\":[7]}",
		ACME_NONSENSE, 0, "is no URL");
	expect_fault(OK "Location: @/o\r\n\r\n{\"status\":\"odd\\n\"," ORDER "}", ACME_NONSENSE, 0,
		"\"odd\\x0a\" is unknown");
	expect_fault(OK "Location: @/o\r\n\r\n{\"status\":\"valid\"," ORDER "}", ACME_NONSENSE, 0,
		"\"certificate\"");
}

/* In the middle of an answer that does not come. */
static void test_stops(void **state)
{
	static const struct rule rules[] = {{"/new", NULL, 0}, {0}};
	struct acme_order o;

	(void)state;
	open_account(rules);
	assert_int_equal(acme_order_new(acme, &domains, NULL, NULL, &o, &err), -1);
	assert_int_equal(acme_fault(acme), ACME_STOPPED);
	expect("stopped");
	assert_int_equal(acme_wait(acme, 9, 0, clock_mono_ms() + 60000, &err), -1);
	end();
}

static void test_waits_have_an_end(void **state)
{
	static const struct rule none[] = {{0}};
	int64_t begin;

	(void)state;
	open_account(none);
	begin = clock_mono_ms();
	/* Retry-After of 0, say: still a pause, which cannot come out shorter anywhere. */
	assert_int_equal(acme_wait(acme, 0, clock_wall_s() - 1, begin + 60000, &err), 0);
	assert_true(clock_mono_ms() - begin >= 200);
	assert_int_equal(acme_wait(acme, 0, 0, clock_mono_ms() - 1, &err), -1);
	assert_int_equal(acme_fault(acme), ACME_UNREACHABLE);
	expect("not come to an end in time");
	end();
}

/* ---- accounts ---- */

static void test_registers(void **state)
{
	static const struct rule rules[] = {{"/acct", PROBLEM "accountDoesNotExist\"}", 1},
		{"/acct", "HTTP/1.1 201 Created\r\nLocation: @/acct/9\r\n\r\n{}", 0}, {0}};
	const struct acme_eab eab = {"kid-1", "c2VjcmV0LXNlY3JldA"};
	bool is_new;

	(void)state;
	prepare(rules);
	assert_int_equal(acme_open(acme, &err), 0);
	assert_int_equal(acme_account_open(acme, "a@example.org", &eab, &is_new, &err), 0);
	assert_true(is_new);
	assert_non_null(strstr(acme_account_url(acme), "/acct/9"));
	assert_non_null(strstr(asked(), "POST /acct {\"onlyReturnExisting\":true}\n"
					"POST /acct {\"termsOfServiceAgreed\":true,"
					"\"contact\":[\"mailto:a@example.org\"],"
					"\"externalAccountBinding\":{\"protected\":"));
	assert_null(strstr(asked(), "c2VjcmV0"));
	end();
}

static void test_does_not_register_in_vain(void **state)
{
	static const struct rule rules[] = {{"/acct", PROBLEM "unauthorized\"}", 0}, {0}};
	bool is_new;

	(void)state;
	prepare(rules);
	assert_int_equal(acme_open(acme, &err), 0);
	assert_int_equal(acme_account_open(acme, NULL, NULL, &is_new, &err), -1);
	assert_int_equal(count("POST /acct"), 1);
	expect("account: the CA refuses");
	end();
}

static void test_rollover(void **state)
{
	static const struct rule rules[] = {{"/k", OK "\r\n", 0}, {0}};
	EVP_PKEY *to = certgen_key("RSA:2048");
	char *inner;

	(void)state;
	open_account(rules);
	assert_int_equal(acme_account_rollover(acme, to, &err), 0);
	assert_ptr_equal(acme_key(acme), to);
	inner = strstr(asked(), "POST /k {\"protected\":");
	assert_non_null(inner);
	end();
	EVP_PKEY_free(to);
}

/* ---- orders ---- */

static void test_without_what_is_optional(void **state)
{
	static const struct rule replaced[] = {
		{"/new",
			"HTTP/1.1 409 Conflict\r\n\r\n{\"type\":\"urn:ietf:params:acme:error:"
			"alreadyReplaced\"}",
			1},
		{"/new", PENDING, 0}, {0}};
	static const struct rule profile[] = {
		{"/new", PROBLEM "invalidProfile\"}", 1}, {"/new", PENDING, 0}, {0}};
	static const struct rule limited[] = {{"/new", "HTTP/1.1 429 No\r\n\r\n", 0}, {0}};
	struct acme_order o;

	(void)state;
	open_account(replaced);
	assert_int_equal(acme_order_new(acme, &domains, "long", "a.b", &o, &err), 0);
	assert_int_equal(count("\"replaces\":\"a.b\""), 1);
	assert_int_equal(count("POST /new"), 2);
	assert_int_equal(count("profile"), 0); /* the CA does not know "long" */
	acme_order_clear(&o);
	end();

	open_account(profile);
	assert_int_equal(acme_order_new(acme, &domains, "short", "a.b", &o, &err), 0);
	assert_int_equal(count("\"profile\":\"short\""), 1);
	assert_int_equal(count("\"replaces\":\"a.b\""), 2);
	acme_order_clear(&o);
	end();

	open_account(limited); /* that is not about it */
	assert_int_equal(acme_order_new(acme, &domains, NULL, "a.b", &o, &err), -1);
	assert_int_equal(count("POST /new"), 1);
	end();
}

static const struct rule in_any_order[] = {
	{"/new", PENDING, 0},
	{"/a1",
		OK "\r\n{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":"
		   "\"WWW.example.net\"},\"challenges\":[" DNS01("1") "]}",
		1},
	{"/a1", OK "\r\n{\"status\":\"pending\"}", 2},
	{"/a1", OK "\r\n{\"status\":\"valid\"}", 0},
	{"/a2",
		OK "\r\n{\"status\":\"pending\",\"wildcard\":true,\"identifier\":{\"value\":"
		   "\"example.org\"},\"challenges\":[" DNS01("2") "]}",
		1},
	{"/a2", OK "\r\n{\"status\":\"valid\"}", 0},
	{"/c1", OK "\r\n{}", 0},
	{"/c2", OK "\r\n{}", 0},
	{0},
};

static void test_challenges(void **state)
{
	struct acme_challenge *v;
	struct acme_order o;
	size_t n;

	(void)state;
	open_account(in_any_order);
	assert_int_equal(acme_order_new(acme, &two_bases, NULL, NULL, &o, &err), 0);
	assert_int_equal(acme_order_challenges(acme, &o, &two_bases, &v, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(v[0].domain, "www.example.net"); /* as it was asked for */
	assert_string_equal(v[0].fqdn, "_acme-challenge.www.example.net");
	assert_string_equal(v[1].fqdn, "_acme-challenge.example.org");
	assert_int_equal(strlen(v[0].value), 43);
	assert_string_not_equal(v[0].value, v[1].value);
	v[1].answered = true; /* before a crash, say */
	assert_int_equal(acme_challenges_meet(acme, v, n, &err), 0);
	assert_int_equal(count("POST /c1 {}"), 1);
	assert_int_equal(count("POST /c2"), 0);
	assert_int_equal(count("POST /x"), 0);
	assert_int_equal(count("POST /a1 \n"), 4);
	assert_int_equal(count("POST /a2 \n"), 2); /* not again once it is valid */
	acme_challenges_free(v, n);
	acme_order_clear(&o);
	end();
}

/* Refused while it is waited for. */
static void test_a_challenge_that_is_not_met(void **state)
{
	static const struct rule rules[] = {
		{"/a1",
			OK "\r\n{\"status\":\"invalid\",\"challenges\":[{\"error\":{\"type\":\"urn:"
			   "ietf:"
			   "params:acme:error:dns\",\"detail\":\"NXDOMAIN\"}}]}",
			1},
		{"/a1", OK "\r\n{\"status\":\"valid\"}", 0}, {"/c1", OK "\r\n{}", 0}, {0}};
	struct acme_challenge c = {.domain = apex};

	(void)state;
	open_account(rules);
	c.url = fakeca_url("/c1");
	c.authorization = fakeca_url("/a1");
	assert_int_equal(acme_challenges_meet(acme, &c, 1, &err), -1);
	expect("example.org: the CA has declared invalid the authorization: dns: NXDOMAIN");
	assert_false(c.valid);
	free(c.url);
	free(c.authorization);
	end();
}

static void expect_no_challenge(const char *authorization, enum acme_fault fault, const char *words)
{
	const struct rule rules[] = {{"/new", PENDING, 0}, {"/a1", authorization, 0}, {0}};
	struct acme_challenge *v;
	struct acme_order o;
	size_t n;

	open_account(rules);
	assert_int_equal(acme_order_new(acme, &domains, NULL, NULL, &o, &err), 0);
	assert_int_equal(acme_order_challenges(acme, &o, &domains, &v, &n, &err), -1);
	assert_int_equal(acme_fault(acme), fault);
	expect(words);
	acme_challenges_free(v, n);
	acme_order_clear(&o);
	end();
}

#define EXAMPLE "\"identifier\":{\"value\":\"example.org\"}"

static void test_no_challenges(void **state)
{
	(void)state;
	/* No record at a name that the CA makes up. */
	expect_no_challenge(OK "\r\n{\"status\":\"pending\",\"identifier\":{\"value\":"
			       "\"evil.example\"},\"challenges\":[" DNS01("1") "]}",
		ACME_NONSENSE, "none of the names");
	expect_no_challenge(OK "\r\n{\"status\":\"pending\"," EXAMPLE ",\"challenges\":[7,{}]}",
		ACME_NONSENSE, "offers no dns-01");
	expect_no_challenge(OK "\r\n{\"status\":\"pending\"," EXAMPLE
			       ",\"challenges\":[{\"type\":\"dns-01\",\"url\":\"@/c1\"}]}",
		ACME_NONSENSE, "\"token\"");
	expect_no_challenge(OK "\r\n{\"status\":\"invalid\"," EXAMPLE
			       ",\"challenges\":[{},{\"error\":{\"type\":\"urn:ietf:params:acme:"
			       "error:dns\",\"detail\":\"NXDOMAIN\"}}]}",
		ACME_REFUSED,
		"example.org: the CA has declared invalid the authorization: dns: NXDOMAIN");
	expect_no_challenge(OK "\r\n{\"status\":\"expired\"," EXAMPLE "}", ACME_REFUSED,
		"example.org: the CA has ended the authorization");
}

static void test_gives_up_what_is_pending(void **state)
{
	static const struct rule rules[] = {{"/a1", OK "\r\n{}", 0}, {"/a2", OK "\r\n{}", 0}, {0}};
	struct acme_challenge v[] = {{.valid = true}, {0}};

	(void)state;
	open_account(rules);
	v[0].authorization = fakeca_url("/a1");
	v[1].authorization = fakeca_url("/a2");
	acme_challenges_give_up(acme, v, 2);
	assert_string_equal(asked(), "POST /a2 {\"status\":\"deactivated\"}\n");
	free(v[0].authorization);
	free(v[1].authorization);
	end();
}

static void test_finalize(void **state)
{
	static const struct rule rules[] = {{"/o", OK "\r\n{\"status\":\"ready\"," ORDER "}", 1},
		{"/f", OK "\r\n{\"status\":\"processing\"," ORDER "}", 0}, /* no Location */
		{"/o", OK "\r\n{\"status\":\"ready\"," ORDER "}", 1},      /* of before, still */
		{"/o", OK "\r\n{\"status\":\"valid\",\"certificate\":\"@/cert\"," ORDER "}", 0},
		{0}};
	struct acme_order o = {0};
	char *url;

	(void)state;
	open_account(rules);
	url = fakeca_url("/o");
	assert_int_equal(acme_order_get(acme, url, &o, &err), 0);
	assert_int_equal(acme_order_finalize(acme, &o, (const uint8_t *)"csr", 3, &err), 0);
	assert_int_equal(o.status, ACME_VALID);
	assert_non_null(strstr(o.certificate, "/cert"));
	assert_string_equal(o.url, url);
	assert_int_equal(count("POST /f {\"csr\":\"Y3Ny\"}"), 1);
	acme_order_clear(&o);
	free(url);
	end();
}

static void test_an_invalid_order(void **state)
{
	static const struct rule rules[] = {
		{"/o",
			OK "\r\n{\"status\":\"invalid\",\"error\":{\"type\":\"urn:ietf:params:acme:"
			   "error:badCSR\",\"detail\":\"weak\"}," ORDER "}",
			0},
		{0}};
	struct acme_order o = {0};
	char *url;

	(void)state;
	open_account(rules);
	url = fakeca_url("/o");
	assert_int_equal(acme_order_get(acme, url, &o, &err), -1);
	expect("declared the order invalid: badCSR: weak");
	assert_int_equal(acme_fault(acme), ACME_INPUT);
	assert_null(o.url);
	free(url);
	end();
}

/* ---- certificates ---- */

static char *chain_of(const char *top)
{
	EVP_PKEY *k = certgen_key("P-256");
	const struct certgen root = {.cn = top, .key = k};
	X509 *issuer = certgen_cert(&root), *leaf;
	char *pem;

	leaf = certgen_cert(
		&(struct certgen){.cn = "leaf", .key = k, .issuer = issuer, .issuer_key = k});
	pem = certgen_cert_pem(leaf);
	X509_free(leaf);
	X509_free(issuer);
	EVP_PKEY_free(k);
	return pem;
}

static void test_chains(void **state)
{
	char *a = chain_of("Root A"), *b = chain_of("Root B"), *got;
	char *first =
		mem_printf(OK "Link: <@/dir>;rel=\"index\"\r\nLink: <@/none>;rel=\"alternate\", "
			      "<@/b>;rel=\"alternate\"\r\n\r\n%s",
			a);
	char *second = mem_printf(OK "\r\n%s", b);
	const struct rule rules[] = {{"/cert", first, 0}, {"/b", second, 0}, {0}};
	struct acme_order o = {0};

	(void)state;
	open_account(rules);
	o.certificate = fakeca_url("/cert");
	got = acme_order_download(acme, &o, NULL, &err);
	assert_string_equal(got, a);
	free(got);
	got = acme_order_download(acme, &o, "Root A", &err);
	assert_string_equal(got, a);
	free(got);
	assert_int_equal(count("POST /b"), 0);
	got = acme_order_download(acme, &o, "Root B", &err);
	assert_string_equal(got, b);
	free(got);
	got = acme_order_download(acme, &o, "Root C", &err); /* no error */
	assert_string_equal(got, a);
	free(got);
	acme_order_clear(&o);
	end();
	free(first);
	free(second);
	free(a);
	free(b);
}

static void test_no_chain(void **state)
{
	char *whole = chain_of("Root"), *broken = mem_printf(OK "\r\n%s%.200s", whole, whole);
	const char *texts[] = {OK "\r\n", OK "\r\n{}", broken};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct rule rules[] = {{"/cert", texts[i], 0}, {0}};
		struct acme_order o = {0};

		open_account(rules);
		o.certificate = fakeca_url("/cert");
		assert_null(acme_order_download(acme, &o, NULL, &err));
		expect("no PEM chain of certificates");
		assert_int_equal(acme_fault(acme), ACME_NONSENSE);
		acme_order_clear(&o);
		end();
	}
	free(broken);
	free(whole);
}

static void test_revokes(void **state)
{
	static const struct rule rules[] = {
		{"/r", OK "\r\n", 1}, {"/r", PROBLEM "alreadyRevoked\"}", 0}, {0}};

	(void)state;
	open_account(rules);
	assert_int_equal(acme_revoke(acme, (const uint8_t *)"leaf", 4, 1, &err), 0);
	assert_string_equal(asked(), "POST /r {\"certificate\":\"bGVhZg\",\"reason\":1}\n");
	assert_int_equal(acme_revoke(acme, (const uint8_t *)"leaf", 4, 1, &err), -1);
	expect("alreadyRevoked");
	end();
}

/* ---- renewal information ---- */

#define WINDOW(from, to) "{\"suggestedWindow\":{\"start\":" from ",\"end\":" to "}"

static void test_renewal_information(void **state)
{
	static const struct rule rules[] = {
		{"/ari/a.b",
			OK "Retry-After: 21600\r\n\r\n" WINDOW("\"2026-11-25T22:04:39Z\"",
				"\"2026-11-26T22:04:39Z\"") ",\"explanationURL\":\"https://"
							    "ca.example/why\"}",
			1},
		{"/ari/a.b",
			OK
			"\r\n" WINDOW("\"2026-11-25T22:04:39Z\"", "\"2026-11-25T22:04:39Z\"") "}",
			1},
		{"/ari/a.b", OK "\r\n" WINDOW("7", "null") "}", 1},
		{"/ari/a.b", OK "\r\n{\"suggestedWindow\":[]}", 1}, {"/ari/a.b", OK "\r\n", 1},
		{0}};
	struct acme_ari ari;
	int64_t now;

	(void)state;
	open_account(rules);
	now = clock_wall_s();
	assert_int_equal(acme_ari_get(acme, "a.b", &ari, &err), 0);
	assert_int_equal(ari.start, 1795644279);
	assert_int_equal(ari.end, 1795644279 + 86400);
	assert_in_range(ari.retry_at, now + 21600, now + 21700);
	assert_string_equal(ari.explanation, "https://ca.example/why");
	acme_ari_clear(&ari);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(acme_ari_get(acme, "a.b", &ari, &err), -1);
		expect("no window that begins before it ends");
		assert_int_equal(acme_fault(acme), ACME_NONSENSE);
	}
	assert_int_equal(acme_ari_get(acme, "a.b", &ari, &err), -1);
	expect("status 404");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_clear_text),
		cmocka_unit_test(test_bad_nonces),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_waits_have_an_end),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_does_not_register_in_vain),
		cmocka_unit_test(test_rollover),
		cmocka_unit_test(test_without_what_is_optional),
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_a_challenge_that_is_not_met),
		cmocka_unit_test(test_no_challenges),
		cmocka_unit_test(test_gives_up_what_is_pending),
		cmocka_unit_test(test_finalize),
		cmocka_unit_test(test_an_invalid_order),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_no_chain),
		cmocka_unit_test(test_revokes),
		cmocka_unit_test(test_renewal_information),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
