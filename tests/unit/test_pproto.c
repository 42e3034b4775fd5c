#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/pproto.h"

#define MUTATIONS 100000

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2(s)     SIGNATURE s, sizeof(SIGNATURE s) - 1
#define V1(s)     s, sizeof(s) - 1

/* Reads a copy of just that size, whole and at each length before: nothing else may be said of a
 * part than that more is wanted. */
static int read_all(struct pproto_ends *ends, const void *data, size_t len, struct error *err)
{
	int rc = 0;

	for (size_t n = 0; n <= len && rc == 0; n++) {
		void *copy = mem_dup(data, n ? n : 1);

		err->text[0] = '\0';
		rc = pproto_read(ends, copy, n, err);
		free(copy);
		assert_true(rc == 0 || rc == -1 || (size_t)rc == n);
		assert_int_equal(rc == -1, err->text[0] != '\0');
	}
	if (rc) {
		struct pproto_ends whole;

		assert_int_equal(pproto_read(&whole, data, len, err), rc);
		assert_memory_equal(&whole, ends, sizeof(whole));
	}
	return rc;
}

static void check(const void *data, size_t len, const char *from, const char *to)
{
	struct pproto_ends ends;
	struct error err;
	char text[ENDPOINT_TEXT_SIZE];

	assert_int_equal(read_all(&ends, data, len, &err), (int)len);
	assert_string_equal(inet_text(text, &ends.from), from);
	assert_string_equal(inet_text(text, &ends.to), to);
}

static void refuse(const void *data, size_t len, const char *part)
{
	struct pproto_ends ends;
	struct error err;

	assert_int_equal(read_all(&ends, data, len, &err), -1);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

static void wait_for_more(const void *data, size_t len)
{
	struct pproto_ends ends;
	struct error err;

	assert_int_equal(read_all(&ends, data, len, &err), 0);
}

static void test_v1(void **state)
{
	(void)state;
	check(V1("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), "192.0.2.1:56324",
		"198.51.100.2:443");
	check(V1("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"), "255.255.255.255:65535",
		"0.0.0.0:0");
	check(V1("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n"), "[2001:db8::1]:1",
		"[2001:db8::2]:2");
	check(V1("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1:1", "[::1]:2");
	check(V1("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	check(V1("PROXY UNKNOWN\r\n"), "?", "?");
	check(V1("PROXY UNKNOWN whatever \xff this \r is\r\n"), "?", "?");
	check(V1("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), /* the 107 */
		"?", "?");
}

static void test_v1_refused(void **state)
{
	static const char *const lines[] = {
		"TCP4 1.2.3.4 1.2.3.4 1 65536",
		"TCP4 1.2.3.4 1.2.3.4 01 2",
		"TCP4 1.2.3.4 1.2.3.4 +1 2",
		"TCP4 1.2.3.4 1.2.3.4 1 000002",
		"TCP4 1.2.3.4 1.2.3.4 1 ",
		"TCP4 1.2.3.4 1.2.3.4 1",
		"TCP4 1.2.3.4 1.2.3.4 1 2 ",
		"TCP4 1.2.3.4 1.2.3.4 1 2 3",
		"TCP4 1.2.3.4  1.2.3.4 1 2",
		"TCP4 1.2.3.04 1.2.3.4 1 2",
		"TCP4 1.2.3 1.2.3.4 1 2",
		"TCP4 1.2.3.256 1.2.3.4 1 2",
		"TCP4 ::1 ::2 1 2",
		"TCP6 1.2.3.4 1.2.3.4 1 2",
		"TCP6 ::1%lo ::1 1 2",
		"TCP6 [::1] [::1] 1 2",
		"TCP6 1::2::3 ::1 1 2",
		"TCP4 ",
	};
	char line[200];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int n = snprintf(line, sizeof(line), "PROXY %s\r\n", lines[i]);

		refuse(line, (size_t)n, "is not two addresses and two ports");
	}
	refuse(V1("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\0\r\n"), "is not two addresses");
	refuse(V1("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), "is not two addresses");
	refuse(V1("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"), "begins with none of");
	refuse(V1("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), "begins with none of");
	refuse(V1("PROXY UNKNOWNS\r\n"), "begins with none of");
	refuse(V1("PROXY UNKNOWN\0\r\n"), "begins with none of");
	refuse(V1("PROXY \r\n"), "begins with none of");
	refuse(V1("PROXY TCP4\r\n"), "begins with none of");
	refuse(V1("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), "LF alone");
	refuse(V1("PROXY \n"), "LF alone");
	refuse(V1("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r \r\n"), "is not two addresses");
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	refuse(line, 107, "does not end within 107 bytes");
	line[105] = '\r';
	line[106] = '\n';
	check(line, 107, "?", "?");
}

static void test_none(void **state)
{
	(void)state;
	refuse(V1("\x16\x03\x01\x02"), "none is there: TLS begins at once");
	refuse(V1("PROXX TCP4 "), "none is there");
	refuse(V1("GET / HTTP/1.1\r\n"), "none is there");
	refuse(V1("\r\n\r\n\r\n"), "none is there");
	wait_for_more("", 0);
	wait_for_more(V1("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r"));
	wait_for_more(V1("PROXY"));
	wait_for_more(V1("\r\n\r\n\0\r\nQUIT"));
	wait_for_more(V2("\x21\x11\x00\x0c\1\2\3\4\5\6\7\10\1\2\3"));
}

static void test_v2(void **state)
{
	char header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/from";

	(void)state;
	check(V2("\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"),
		"192.0.2.1:56324", "198.51.100.2:443");
	check(V2("\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"), /* UDP */
		"192.0.2.1:56324", "198.51.100.2:443");
	check(V2("\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
		 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\x04\x01\xbb"),
		"[2001:db8::1]:56324", "[2001:db8::2]:443");
	check(header, sizeof(header), "unix:", "unix:");
	/* Nothing is told, whatever stands there. */
	check(V2("\x20\x00\x00\x00"), "?", "?");
	check(V2("\x20\x11\x00\x03\x03\x00\x09"), "?", "?");
	check(V2("\x21\x00\x00\x00"), "?", "?");
	check(V2("\x21\x00\x00\x02xy"), "?", "?");
	check(V2("\x21\x10\x00\x02xy"), "?", "?");
	check(V2("\x21\x01\x00\x02xy"), "?", "?");
}

static void test_v2_refused(void **state)
{
	(void)state;
	refuse(V2("\x11"), "version and command are 0x11");
	refuse(V2("\x22"), "version and command are 0x22");
	refuse(V2("\x30"), "version and command are 0x30");
	refuse(V2("\x21\x41"), "address family and protocol are 0x41");
	refuse(V2("\x21\x13"), "address family and protocol are 0x13");
	refuse(V2("\x20\xff"), "address family and protocol are 0xff");
	refuse(V2("\x21\x11\x0f\xf1"), "it has 4097 bytes, at most 4096 are taken");
	refuse(V2("\x20\x00\xff\xff"), "it has 65551 bytes");
	refuse(V2("\x21\x11\x00\x0b\1\2\3\4\5\6\7\10\1\2\3"), "too few for its addresses");
	refuse(V2("\x21\x21\x00\x0c\1\2\3\4\5\6\7\10\1\2\3\4"), "too few for its addresses");
	refuse(V2("\x21\x31\x00\x0c\1\2\3\4\5\6\7\10\1\2\3\4"), "too few for its addresses");
}

static void test_longest(void **state)
{
	unsigned char header[PPROTO_READ_MAX] = SIGNATURE "\x21\x11\x0f\xf0";
	size_t n = sizeof(header) - 28 - 3;

	(void)state;
	header[28] = 0x04;
	header[29] = (unsigned char)(n >> 8);
	header[30] = (unsigned char)n;
	check(header, sizeof(header), "0.0.0.0:0", "0.0.0.0:0");
}

#define TCP4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"

static void test_tlvs(void **state)
{
	(void)state;
	check(V2("\x21\x11\x00\x0f" TCP4 "\x04\x00\x00"), "192.0.2.1:56324", "198.51.100.2:443");
	check(V2("\x21\x11\x00\x16" TCP4 "\xea\x00\x01x\xee\x00\x03xyz"), "192.0.2.1:56324",
		"198.51.100.2:443");
	refuse(V2("\x21\x11\x00\x0d" TCP4 "\x04"), "its last TLV is cut");
	refuse(V2("\x21\x11\x00\x0e" TCP4 "\x04\x00"), "its last TLV is cut");
	refuse(V2("\x21\x11\x00\x0f" TCP4 "\x04\x00\x01"), "more than are left");
	refuse(V2("\x21\x11\x00\x10" TCP4 "\x04\xff\xff."), "type 0x04 has 65535 bytes, more");
	/* Made by another program. */
	check(V2("\x21\x11\x00\x1a" TCP4 "\x04\x00\x04noop\x03\x00\x04\x53\xa8\x88\x3f"),
		"192.0.2.1:56324", "198.51.100.2:443");
	refuse(V2("\x21\x11\x00\x1a" TCP4 "\x04\x00\x04nooq\x03\x00\x04\x53\xa8\x88\x3f"),
		"its checksum is wrong");
	refuse(V2("\x21\x11\x00\x1a" TCP4 "\x04\x00\x04noop\x03\x00\x04\0\0\0\0"),
		"its checksum is wrong");
	refuse(V2("\x21\x11\x00\x12" TCP4 "\x03\x00\x03\0\0\0"), "its checksum is not 4 bytes");
	refuse(V2("\x21\x11\x00\x0f" TCP4 "\x03\x00\x00"), "its checksum is not 4 bytes");
}

/* Writing */

static struct inet_address inet(const char *ip, uint16_t port)
{
	struct inet_address a = {.in.sin_family = AF_INET, .in.sin_port = htons(port)};

	if (inet_pton(AF_INET, ip, &a.in.sin_addr) == 1)
		return a;
	a = (struct inet_address){.in6.sin6_family = AF_INET6, .in6.sin6_port = htons(port)};
	assert_int_equal(inet_pton(AF_INET6, ip, &a.in6.sin6_addr), 1);
	return a;
}

static struct pproto_ends ends_of(const char *from, const char *to)
{
	return (struct pproto_ends){inet(from, 56324), inet(to, 443)};
}

static void check_line(const struct pproto_ends *ends, const char *line)
{
	unsigned char out[PPROTO_WRITE_MAX];
	size_t n = pproto_write_v1(out, ends);

	assert_int_equal(n, strlen(line));
	assert_memory_equal(out, line, n);
}

static void test_write_v1(void **state)
{
	struct pproto_ends e = ends_of("192.0.2.1", "198.51.100.2");

	(void)state;
	check_line(&e, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
	e = ends_of("::ffff:192.0.2.1", "::ffff:198.51.100.2");
	check_line(&e, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
	e = ends_of("2001:db8::1", "::1");
	check_line(&e, "PROXY TCP6 2001:db8::1 ::1 56324 443\r\n");
	e = ends_of("192.0.2.1", "::1");
	check_line(&e, "PROXY TCP6 ::ffff:192.0.2.1 ::1 56324 443\r\n");
	e.from = (struct inet_address){.sa.sa_family = AF_UNIX};
	check_line(&e, "PROXY UNKNOWN\r\n");
	e = (struct pproto_ends){0};
	check_line(&e, "PROXY UNKNOWN\r\n");
	e = ends_of(
		"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
	check_line(&e, "PROXY TCP6 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff "
		       "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 56324 443\r\n");
}

static const struct pproto_tls some_tls = {
	.version = "TLSv1.3",
	.cipher = "TLS_AES_128_GCM_SHA256",
	.sig_alg = "SHA256",
	.key_alg = "EC256",
};

static void test_write_v2(void **state)
{
	static const char plain[] = SIGNATURE "\x21\x11\x00\x13" TCP4 "\x03\x00\x04";
	static const char full[] = "\x01\x00\x02h2"
				   "\x02\x00\x06"
				   "a.test"
				   "\x05\x00\x03"
				   "id1"
				   "\x20\x00\x39\x01\x00\x00\x00\x01"
				   "\x21\x00\x07TLSv1.3"
				   "\x23\x00\x16TLS_AES_128_GCM_SHA256"
				   "\x24\x00\x06SHA256"
				   "\x25\x00\x05"
				   "EC256"
				   "\x03\x00\x04";
	struct pproto_ends e = ends_of("::ffff:192.0.2.1", "198.51.100.2");
	struct pproto_tlvs t = {0};
	unsigned char out[PPROTO_WRITE_MAX];
	size_t n = pproto_write_v2(out, &e, &t);

	(void)state;
	assert_int_equal(n, sizeof(plain) - 1 + 4);
	assert_memory_equal(out, plain, sizeof(plain) - 1);
	check(out, n, "192.0.2.1:56324", "198.51.100.2:443");
	t = (struct pproto_tlvs){.authority = "a.test",
		.unique_id = "id1",
		.alpn = (const unsigned char *)"h2",
		.alpn_len = 2,
		.tls = &some_tls};
	n = pproto_write_v2(out, &e, &t);
	assert_int_equal(n, 28 + sizeof(full) - 1 + 4);
	assert_memory_equal(out + 28, full, sizeof(full) - 1);
	check(out, n, "192.0.2.1:56324", "198.51.100.2:443");
	e = ends_of("2001:db8::1", "2001:db8::2");
	n = pproto_write_v2(out, &e, &t);
	assert_int_equal(out[13], 0x21);
	check(out, n, "[2001:db8::1]:56324", "[2001:db8::2]:443");
	e = ends_of("192.0.2.1", "2001:db8::2");
	n = pproto_write_v2(out, &e, &t);
	check(out, n, "192.0.2.1:56324", "[2001:db8::2]:443");
	e.from = (struct inet_address){.sa.sa_family = AF_UNIX};
	n = pproto_write_v2(out, &e, &t);
	assert_int_equal(out[12], 0x20);
	assert_int_equal(out[13], 0);
	assert_memory_equal(out + 16, full, sizeof(full) - 1);
	check(out, n, "?", "?");
}

static void test_client_certificate(void **state)
{
	static const struct {
		bool resumed, verified;
		unsigned char client, verify;
	} v[] = {{false, true, 0x07, 0}, {true, true, 0x05, 0}, {false, false, 0x07, 1}};
	struct pproto_ends e = ends_of("192.0.2.1", "198.51.100.2");

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct pproto_tls tls = {.has_cert = true,
			.resumed = v[i].resumed,
			.verified = v[i].verified,
			.cn = "me"};
		const struct pproto_tlvs t = {.tls = &tls};
		unsigned char out[PPROTO_WRITE_MAX],
			wanted[] = "\x20\x00\x0a_\x00\x00\x00_\x22\x00\x02me\x03\x00\x04";

		wanted[3] = v[i].client;
		wanted[7] = v[i].verify;
		pproto_write_v2(out, &e, &t);
		assert_memory_equal(out + 28, wanted, sizeof(wanted) - 1);
	}
}

/* All that there can be fits; what is longer is left out. */
static void test_write_longest(void **state)
{
	char text[PPROTO_TEXT_MAX + 2];
	struct pproto_tls tls = {text, text, text, text, true, false, true, text};
	struct pproto_tlvs t = {text, text, (unsigned char *)text, PPROTO_TEXT_MAX, &tls};
	struct pproto_ends e = ends_of("2001:db8::1", "2001:db8::2");
	unsigned char out[PPROTO_WRITE_MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[PPROTO_TEXT_MAX] = '\0';
	assert_int_equal(pproto_write_v2(out, &e, &t), PPROTO_WRITE_MAX);
	check(out, PPROTO_WRITE_MAX, "[2001:db8::1]:56324", "[2001:db8::2]:443");
	text[PPROTO_TEXT_MAX] = 'x';
	text[PPROTO_TEXT_MAX + 1] = '\0';
	t.alpn_len = PPROTO_TEXT_MAX + 1;
	assert_int_equal(pproto_write_v2(out, &e, &t), 16 + 36 + 8 + 7);
}

/* Headers with bytes changed, cut out, put in and repeated, always the same: each is whole, wants
 * more or is refused, and what is taken can be written and read again. */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static size_t mutate(unsigned char *h, size_t n, size_t max, uint64_t *x)
{
	for (uint64_t times = 1 + next_random(x) % 4; times; times--) {
		size_t at = n ? next_random(x) % n : 0, len = 1 + next_random(x) % 8;

		switch (next_random(x) % 5) {
		case 0: h[at] = (unsigned char)next_random(x); break;
		case 1: h[at] ^= (unsigned char)(1 << next_random(x) % 8); break;
		case 2: /* cut out */
			len = len < n - at ? len : n - at;
			memmove(h + at, h + at + len, n - at - len);
			n -= len;
			break;
		case 3: /* say it twice */
			len = len < n - at ? len : n - at;
			if (n + len > max)
				break;
			memmove(h + at + len, h + at, n - at);
			n += len;
			break;
		case 4: n = at; break;
		}
	}
	return n;
}

static void write_again(const struct pproto_ends *ends)
{
	const struct pproto_tlvs t = {.authority = "a.test", .tls = &some_tls};
	unsigned char out[PPROTO_WRITE_MAX];
	struct pproto_ends again;
	struct error err;
	char first[ENDPOINT_TEXT_SIZE], second[ENDPOINT_TEXT_SIZE];
	size_t n;

	for (int version = 1; version <= 2; version++) {
		n = version == 1 ? pproto_write_v1(out, ends) : pproto_write_v2(out, ends, &t);
		assert_int_equal(pproto_read(&again, out, n, &err), (int)n);
		if (again.from.sa.sa_family == AF_UNSPEC)
			continue;
		assert_string_equal(inet_text(first, &ends->from), inet_text(second, &again.from));
		assert_string_equal(inet_text(first, &ends->to), inet_text(second, &again.to));
	}
}

static size_t make_header(unsigned char out[PPROTO_WRITE_MAX], unsigned i)
{
	struct pproto_ends four = ends_of("192.0.2.1", "198.51.100.2"), none = {0},
			   six = ends_of("2001:db8::1", "2001:db8::2"),
			   *e = i % 3 == 0   ? &four
				: i % 3 == 1 ? &six
					     : &none;
	const struct pproto_tlvs t = {.authority = "a.test", .unique_id = "1", .tls = &some_tls};
	size_t n = i < 3 ? pproto_write_v1(out, e) : pproto_write_v2(out, e, &t);

	if (i >= 6) { /* without the checksum, so that changes after the addresses can pass */
		n -= 7;
		out[14] = (unsigned char)((n - 16) >> 8);
		out[15] = (unsigned char)(n - 16);
	}
	return n;
}

static void test_mutations(void **state)
{
	unsigned char header[PPROTO_WRITE_MAX];
	unsigned taken = 0, refused = 0, more = 0;
	uint64_t x = 20260829;

	(void)state;
	for (unsigned i = 0; i < MUTATIONS; i++) {
		size_t n = mutate(header, make_header(header, i % 9), sizeof(header), &x);
		unsigned char *copy = mem_dup(header, n ? n : 1);
		struct pproto_ends ends;
		struct error err = {0};
		int rc = pproto_read(&ends, copy, n, &err);

		free(copy);
		assert_true(rc >= -1 && rc <= (int)n);
		assert_int_equal(rc == -1, err.text[0] != '\0');
		taken += rc > 0;
		refused += rc < 0;
		more += rc == 0;
		if (rc > 0)
			write_again(&ends);
	}
	print_message("%u taken, %u refused, %u wait for more\n", taken, refused, more);
	assert_int_equal(taken + refused + more, MUTATIONS);
	assert_true(taken > MUTATIONS / 100 && refused > MUTATIONS / 10 && more > MUTATIONS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v1_refused),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_refused),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_tlvs),
		cmocka_unit_test(test_write_v1),
		cmocka_unit_test(test_write_v2),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_write_longest),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
