/* Requests to a listener that redirects: whatever comes is answered alike in how many pieces it
 * comes, and nothing of it gets into the answer but a host and a target that are clean. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "base/mem.h"
#include "base/str.h"
#include "proxy/redirect.h"

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_request(const struct request *r)
{
	size_t n = strlen(r->host);

	check(n > 0);
	check(strspn(r->host, "abcdefghijklmnopqrstuvwxyz0123456789-_.[:]") == n);
	check(!strpbrk(r->host, "[:]") || (r->host[0] == '[' && r->host[n - 1] == ']'));
	check(!r->target_len || *r->target == '/' || *r->target == '?');
	for (size_t i = 0; i < r->target_len; i++)
		check(r->target[i] > 0x20 && r->target[i] < 0x7f &&
			!strchr("\"#<>\\^", r->target[i]));
}

/* Five or six lines, the last one empty. */
static void check_answer(const struct request *r, enum redirect_status status)
{
	char out[REDIRECT_ANSWER_MAX];
	size_t len = redirect_write(out, status, r, 8443, 1), lines = 0;

	check(len < sizeof(out) && strlen(out) == len && str_starts(out, "HTTP/1.1 "));
	for (size_t i = 0; i < len; i++) {
		check((out[i] == '\n') == (i > 0 && out[i - 1] == '\r'));
		lines += out[i] == '\n';
	}
	check(lines == 5 + (status == REDIRECT_308));
	check(strcmp(out + len - 4, "\r\n\r\n") == 0);
}

/* A beginning is unfinished, or what the whole is. */
static void check_beginning(const uint8_t *data, size_t n, size_t size)
{
	struct request r, whole;
	char *copy = mem_alloc(n + 1);
	enum redirect_status status;

	memcpy(copy, data, n);
	status = redirect_read(&r, copy, n);
	if (status != REDIRECT_STATUSES) {
		check(redirect_read(&whole, (const char *)data, size) == status);
		check_answer(&r, status);
	}
	if (status == REDIRECT_308) {
		check(strcmp(r.host, whole.host) == 0);
		check_request(&r);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t n = 0; n < size; n += 1 + size / 64)
		check_beginning(data, n, size);
	check_beginning(data, size, size);
	return 0;
}
