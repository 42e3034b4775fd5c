/* Signatures of AWS: those of its own test suite, and one by botocore. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/aws.h"

#define NOW     1440938160 /* 2015-08-30 12:36:00 */
#define SESSION "AQoDYXdzEPT/session+token=="

static const struct {
	const char *method, *url, *body, *session;
	const char *host, *headers, *signature;
} requests[] = {
	/* get-vanilla, post-vanilla and get-vanilla-query-order-key of the suite */
	{"GET", "https://example.amazonaws.com/", NULL, NULL, "example.amazonaws.com",
		"host;x-amz-date",
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"GET", "https://example.amazonaws.com", NULL, NULL, "example.amazonaws.com",
		"host;x-amz-date",
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"POST", "https://example.amazonaws.com/", NULL, NULL, "example.amazonaws.com",
		"host;x-amz-date",
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"GET", "https://example.amazonaws.com/?Param1=value1&Param2=value2", NULL, NULL,
		"example.amazonaws.com", "host;x-amz-date",
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	/* botocore's: a port, an encoded path, an empty value, a body and a session token */
	{"POST", "https://example.amazonaws.com:8443/a%20b/c?x=~&y=", "Param1=value1", SESSION,
		"example.amazonaws.com:8443", "host;x-amz-date;x-amz-security-token",
		"57f3681d1e8105ac703d4c3d91a966b9e3d1e7d8dd2d6c9a2ee14dba820c2d48"},
};

static const char *header(const struct http_call *c, const char *name)
{
	for (size_t i = 0; i < c->n_headers; i++)
		if (strcmp(c->headers[i].name, name) == 0)
			return c->headers[i].value;
	return NULL;
}

static void signs(void **state)
{
	static const struct aws_scope scope = {"us-east-1", "service"};
	char id[] = "AKIDEXAMPLE", secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	     session[] = SESSION;

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct http_call c = {.method = requests[i].method};
		struct aws_keys k = {.id = id,
			.secret = secret,
			.session = requests[i].session ? session : NULL};
		char *wanted = mem_printf("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/"
					  "us-east-1/service/aws4_request, SignedHeaders=%s, "
					  "Signature=%s",
			requests[i].headers, requests[i].signature);

		if (requests[i].body)
			str_addf(&c.body, "%s", requests[i].body);
		aws_sign(&c, requests[i].url, &k, &scope, NOW);
		assert_string_equal(header(&c, "Authorization"), wanted);
		assert_string_equal(header(&c, "Host"), requests[i].host);
		assert_string_equal(header(&c, "X-Amz-Date"), "20150830T123600Z");
		if (k.session)
			assert_string_equal(header(&c, "X-Amz-Security-Token"), SESSION);
		else
			assert_null(header(&c, "X-Amz-Security-Token"));
		for (size_t h = 0; h < c.n_headers; h++) {
			free(c.headers[h].name);
			free(c.headers[h].value);
		}
		str_clear(&c.body);
		free(wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
