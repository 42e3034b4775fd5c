/* PROXY headers: of whatever a peer sends, a part says only that more is wanted until the byte that
 * decides, what is taken is within the limit, and what it says can be written and read again. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fuzz.h"
#include "proxy/pproto.h"

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_again(const struct pproto_ends *ends, const unsigned char *header, size_t n)
{
	struct pproto_ends again;
	struct error err;
	char first[ENDPOINT_TEXT_SIZE], second[ENDPOINT_TEXT_SIZE];

	check(n <= PPROTO_WRITE_MAX);
	check(pproto_read(&again, header, n, &err) == (int)n);
	if (again.from.sa.sa_family == AF_UNSPEC)
		return;
	check(strcmp(inet_text(first, &ends->from), inet_text(second, &again.from)) == 0);
	check(strcmp(inet_text(first, &ends->to), inet_text(second, &again.to)) == 0);
}

static void write_again(const struct pproto_ends *ends, const uint8_t *data, size_t size)
{
	const struct pproto_tls tls = {.version = "TLSv1.2", .cn = "a client", .has_cert = true};
	const struct pproto_tlvs tlvs = {
		.authority = "a.test", .alpn = data, .alpn_len = size, .tls = &tls};
	unsigned char out[PPROTO_WRITE_MAX];

	check_again(ends, out, pproto_write_v1(out, ends));
	check_again(ends, out, pproto_write_v2(out, ends, &tlvs));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pproto_ends ends;
	struct error err = {0};
	int rc = 0;

	for (size_t n = 0; n <= size && rc == 0; n++) {
		uint8_t *part = mem_dup(data, n ? n : 1);

		rc = pproto_read(&ends, part, n, &err);
		check(rc == 0 || rc == (int)n || (rc == -1 && err.text[0]));
		check(rc <= PPROTO_READ_MAX && (rc || n < PPROTO_READ_MAX));
		free(part);
	}
	check(pproto_read(&ends, data, size, &err) == rc);
	if (rc > 0)
		write_again(&ends, data, size);
	return 0;
}
