/* Fuzzes what a CA answers with: the JSON of all its objects, problem documents, times, Link and
 * Retry-After headers. The first line is taken as a header's value, the rest as a body. What comes
 * out is bounded and printable. To search for more than the corpus see fuzz_state.c.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "acme/order.h"
#include "acme/problem.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/answer.h"

#define NOW  INT64_C(1795644279)
#define YEAR (INT64_C(365) * 86400)

static void read_header(const char *value)
{
	int64_t at = answer_retry_after(value, NOW);
	const char *rest = value;
	char *url;

	assert(at == 0 || (at >= NOW && at <= NOW + YEAR));
	assert(clock_from_rfc3339(value) >= 0);
	assert(answer_date(value) >= 0);
	while ((url = acme_next_alternate(&rest))) {
		assert(acme_is_url(url));
		free(url);
	}
}

static void expect_printable(const char *text)
{
	for (; *text; text++)
		assert(*text >= ' ' && *text <= '~');
}

static void read_object(struct json_object *o)
{
	static const char *const keys[] = {"status", "finalize", "authorizations", "certificate",
		"type", "detail", "newNonce", "start", "url", "token"};
	char type[ACME_TYPE_SIZE];
	enum acme_status status;
	struct error err = {""};
	const char *text;

	acme_type_of(o, type);
	expect_printable(type);
	acme_is_input(type);
	assert(acme_problem_set(&err, o) == -1 && *err.text);
	expect_printable(err.text);
	if (acme_read_status(o, &status, &err) < 0)
		expect_printable(err.text);
	else
		assert(status <= ACME_REVOKED);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		text = acme_json_string(o, keys[i], &err);
		assert(!text || *text);
		text = acme_json_url(o, keys[i], &err);
		if (text)
			expect_printable(text);
		acme_json_array(o, keys[i], &err);
		text = answer_text(o, keys[i]);
		assert(!text || clock_from_rfc3339(text) >= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nl = memchr(data, '\n', len);
	size_t first = nl ? (size_t)(nl - data) : len;
	char *header = mem_strndup((const char *)data, first), *body;
	struct error err = {""};
	struct json_object *o;

	data += nl ? first + 1 : first;
	len -= nl ? first + 1 : first;
	body = mem_zalloc(len + 1);
	memcpy(body, data, len);
	read_header(header);
	o = acme_json_parse(body, len, &err);
	if (o)
		read_object(o);
	else
		assert(*err.text);
	json_object_put(o);
	free(body);
	free(header);
	return 0;
}
