/* What an HTTP server answers: any bytes at all come to the same end, however they are cut, and
 * take no more room than they may. The first byte says where they are cut. To search for more than
 * the corpus, build with libFuzzer instead of replay.c; see fuzz_state.c for how. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/response.h"

#define WANTED "ready"

static void check(bool good)
{
	if (!good)
		abort();
}

static void add(struct response *r, const uint8_t *data, size_t len)
{
	/* A copy, so that reading past the end is seen. */
	char *copy = mem_dup(data, len);
	struct error err = {""};

	if (response_add(r, copy, len, &err) < 0)
		check(r->state == RESPONSE_BAD);
	check(r->head.len <= RESPONSE_HEAD_MAX && r->body.len <= RESPONSE_BODY_MAX);
	free(copy);
}

static void end(struct response *r)
{
	struct error err = {""};
	int rc = response_end(r, &err);

	check(rc == 0 ? r->state == RESPONSE_WHOLE : r->state == RESPONSE_BAD);
	check(rc < 0 || (r->status >= 100 && r->status <= 599));
	response_clear(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct response whole, cut, bytes;
	size_t at;

	if (len < 2)
		return 0;
	at = 1 + data[0] % (len - 1);
	response_init(&whole, WANTED);
	response_init(&cut, WANTED);
	response_init(&bytes, WANTED);
	add(&whole, data + 1, len - 1);
	add(&cut, data + 1, at - 1);
	add(&cut, data + at, len - at);
	for (size_t i = 1; i < len; i++)
		add(&bytes, data + i, 1);
	end(&whole);
	end(&cut);
	end(&bytes);
	check(whole.state == cut.state && whole.state == bytes.state);
	if (whole.state == RESPONSE_WHOLE) {
		check(whole.status == cut.status && whole.found == cut.found);
		check(whole.status == bytes.status && whole.found == bytes.found);
	}
	return 0;
}
