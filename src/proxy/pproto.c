#include "proxy/pproto.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define V1_MAX        107  /* bytes of the line with its CRLF (2.1) */
#define TLS_HANDSHAKE 0x16 /* the first byte of a ClientHello (RFC 8446, 5.1) */

static const unsigned char v1_start[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const unsigned char v2_start[] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

struct v2_fixed { /* what each header of version 2 begins with (2.2) */
	unsigned char start[sizeof(v2_start)];
	unsigned char version_command, family_transport;
	unsigned char len[2]; /* of what follows */
};
#define V2_FIXED sizeof(struct v2_fixed)

enum { COMMAND_LOCAL, COMMAND_PROXY };
enum { FAMILY_UNSPEC, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX };
enum { TRANSPORT_UNSPEC, TRANSPORT_STREAM, TRANSPORT_DGRAM };
enum {
	TYPE_ALPN = 0x01,
	TYPE_AUTHORITY = 0x02,
	TYPE_CRC32C = 0x03,
	TYPE_UNIQUE_ID = 0x05,
	TYPE_SSL = 0x20,
	TYPE_SSL_VERSION = 0x21,
	TYPE_SSL_CN = 0x22,
	TYPE_SSL_CIPHER = 0x23,
	TYPE_SSL_SIG_ALG = 0x24,
	TYPE_SSL_KEY_ALG = 0x25,
};
enum { CLIENT_SSL = 0x01, CLIENT_CERT_CONN = 0x02, CLIENT_CERT_SESS = 0x04 };

/* RFC 4960, appendix B, four bits at a time. Goes on from `crc`, which begins with all ones. */
static uint32_t crc32c(uint32_t crc, const unsigned char *data, size_t len)
{
	static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6,
		0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

/* Reading: version 1 */

/* The field up to the next space, or the line's end when it is the `last`; NULL = it is not that
 * way. It is ended, and *line goes past it. */
static char *next_field(char **line, bool last)
{
	char *field = *line, *space = strchr(field, ' ');

	if (last != !space)
		return NULL;
	if (space)
		*space = '\0';
	*line = space ? space + 1 : field + strlen(field);
	return field;
}

/* 0 to 65535 in decimal, without zeros in front. */
static bool read_port(const char *text, in_port_t *port)
{
	size_t len = strlen(text);
	unsigned long n;

	if (!len || len > 5 || strspn(text, "0123456789") != len || (*text == '0' && len > 1))
		return false;
	n = strtoul(text, NULL, 10);
	*port = htons((uint16_t)n);
	return n <= 65535;
}

static bool read_end(struct inet_address *a, int family, const char *ip, const char *port)
{
	*a = (struct inet_address){.sa.sa_family = (sa_family_t)family};
	if (family == AF_INET)
		return inet_pton(AF_INET, ip, &a->in.sin_addr) == 1 &&
		       read_port(port, &a->in.sin_port);
	return inet_pton(AF_INET6, ip, &a->in6.sin6_addr) == 1 &&
	       read_port(port, &a->in6.sin6_port);
}

static int refuse_line(const char *line, size_t len, const char *why, struct error *err)
{
	char shown[4 * V1_MAX + 1];

	return error_set(err, "\"%s\" %s", str_escape(shown, sizeof(shown), line, len), why);
}

/* What follows "PROXY ", without the CRLF. */
static int read_line(struct pproto_ends *ends, const char *text, size_t len, struct error *err)
{
	char line[V1_MAX + 1], *rest = line;
	const char *protocol, *from, *to, *from_port, *to_port;
	int family;

	memcpy(line, text, len);
	line[len] = '\0';
	if (str_starts(line, "UNKNOWN") && (len == 7 || line[7] == ' '))
		return 0; /* what may follow means nothing */
	protocol = next_field(&rest, false);
	if (!protocol || (strcmp(protocol, "TCP4") != 0 && strcmp(protocol, "TCP6") != 0))
		return refuse_line(text, len, "begins with none of TCP4, TCP6, UNKNOWN", err);
	family = protocol[3] == '4' ? AF_INET : AF_INET6;
	from = next_field(&rest, false);
	to = from ? next_field(&rest, false) : NULL;
	from_port = to ? next_field(&rest, false) : NULL;
	to_port = from_port ? next_field(&rest, true) : NULL;
	if (!to_port || memchr(text, '\0', len) ||
		!read_end(&ends->from, family, from, from_port) ||
		!read_end(&ends->to, family, to, to_port))
		return refuse_line(text, len, "is not two addresses and two ports", err);
	return 0;
}

static int read_v1(struct pproto_ends *ends, const char *data, size_t len, struct error *err)
{
	const char *end = memchr(data, '\n', len < V1_MAX ? len : V1_MAX);

	if (!end && len < V1_MAX)
		return 0;
	if (!end)
		return error_set(err, "its line does not end within %d bytes", V1_MAX);
	if (end[-1] != '\r')
		return error_set(err, "its line ends with LF alone, not with CR LF");
	if (read_line(ends, data + sizeof(v1_start), (size_t)(end - 1 - data) - sizeof(v1_start),
		    err) < 0)
		return -1;
	return (int)(end + 1 - data);
}

/* Reading: version 2 */

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* `at` is where the checksum stands; it counts as zeros there (2.2.3). */
static uint32_t checksum(const unsigned char *header, size_t len, size_t at)
{
	static const unsigned char zeros[4];
	uint32_t crc = crc32c(UINT32_MAX, header, at);

	crc = crc32c(crc, zeros, sizeof(zeros));
	return ~crc32c(crc, header + at + 4, len - at - 4);
}

/* None of them tells us anything; but their lengths must come out even, and the checksum right. */
static int check_tlvs(const unsigned char *header, size_t len, size_t at, struct error *err)
{
	bool checked = false;

	while (at < len) {
		size_t left = len - at, size;

		if (left < 3)
			return error_set(err, "its last TLV is cut");
		size = (size_t)header[at + 1] << 8 | header[at + 2];
		if (size > left - 3)
			return error_set(err,
				"a TLV of type 0x%02x has %zu bytes, more than are left",
				header[at], size);
		if (header[at] == TYPE_CRC32C) {
			if (size != 4 || checked)
				return error_set(err, "its checksum is not 4 bytes, once");
			if (checksum(header, len, at + 3) != get_u32(header + at + 3))
				return error_set(err, "its checksum is wrong");
			checked = true;
		}
		at += 3 + size;
	}
	return 0;
}

static void get_inet(struct inet_address *a, const unsigned char *ip, const unsigned char *port)
{
	*a = (struct inet_address){.sa.sa_family = AF_INET};
	memcpy(&a->in.sin_addr, ip, 4);
	memcpy(&a->in.sin_port, port, 2);
}

static void get_inet6(struct inet_address *a, const unsigned char *ip, const unsigned char *port)
{
	*a = (struct inet_address){.sa.sa_family = AF_INET6};
	memcpy(&a->in6.sin6_addr, ip, 16);
	memcpy(&a->in6.sin6_port, port, 2);
}

static int read_block(struct pproto_ends *ends, const unsigned char *header, size_t len, int family,
	struct error *err)
{
	static const size_t sizes[] = {
		[FAMILY_INET] = 12, [FAMILY_INET6] = 36, [FAMILY_UNIX] = 216};
	const unsigned char *p = header + V2_FIXED;

	if (len < V2_FIXED + sizes[family])
		return error_set(err, "it has %zu bytes, too few for its addresses", len);
	switch (family) {
	case FAMILY_INET:
		get_inet(&ends->from, p, p + 8);
		get_inet(&ends->to, p + 4, p + 10);
		break;
	case FAMILY_INET6:
		get_inet6(&ends->from, p, p + 32);
		get_inet6(&ends->to, p + 16, p + 34);
		break;
	case FAMILY_UNIX: ends->from.sa.sa_family = ends->to.sa.sa_family = AF_UNIX; break;
	}
	return check_tlvs(header, len, V2_FIXED + sizes[family], err);
}

static int read_v2(struct pproto_ends *ends, const unsigned char *data, size_t n, struct error *err)
{
	const struct v2_fixed *h = (const struct v2_fixed *)data;
	int command, family, transport;
	size_t len;

	if (n > offsetof(struct v2_fixed, version_command) &&
		(h->version_command >> 4 != 2 || (h->version_command & 15) > COMMAND_PROXY))
		return error_set(err, "its version and command are 0x%02x, which is none known",
			h->version_command);
	if (n > offsetof(struct v2_fixed, family_transport) &&
		(h->family_transport >> 4 > FAMILY_UNIX ||
			(h->family_transport & 15) > TRANSPORT_DGRAM))
		return error_set(err,
			"its address family and protocol are 0x%02x, which is none known",
			h->family_transport);
	if (n < V2_FIXED)
		return 0;
	len = V2_FIXED + ((size_t)h->len[0] << 8 | h->len[1]);
	if (len > PPROTO_READ_MAX)
		return error_set(
			err, "it has %zu bytes, at most %d are taken", len, PPROTO_READ_MAX);
	if (n < len)
		return 0;
	command = h->version_command & 15;
	family = h->family_transport >> 4;
	transport = h->family_transport & 15;
	/* What follows is not to be looked at then. */
	if (command == COMMAND_LOCAL || family == FAMILY_UNSPEC || transport == TRANSPORT_UNSPEC)
		return (int)len;
	return read_block(ends, data, len, family, err) < 0 ? -1 : (int)len;
}

/* Whether it begins that way, as far as it goes. */
static bool begins(const void *data, size_t n, const unsigned char *start, size_t len)
{
	return memcmp(data, start, n < len ? n : len) == 0;
}

bool pproto_is_header(const void *data, size_t len)
{
	return (len >= sizeof(v1_start) && begins(data, len, v1_start, sizeof(v1_start))) ||
	       (len >= sizeof(v2_start) && begins(data, len, v2_start, sizeof(v2_start)));
}

int pproto_read(struct pproto_ends *ends, const void *data, size_t len, struct error *err)
{
	char shown[64];

	*ends = (struct pproto_ends){0};
	if (!len)
		return 0;
	if (begins(data, len, v1_start, sizeof(v1_start)))
		return read_v1(ends, data, len, err);
	if (begins(data, len, v2_start, sizeof(v2_start)))
		return read_v2(ends, data, len, err);
	if (*(const unsigned char *)data == TLS_HANDSHAKE)
		return error_set(err, "none is there: TLS begins at once");
	return error_set(err, "none is there: it begins with \"%s\"",
		str_escape(shown, sizeof(shown), data, len < 12 ? len : 12));
}

/* Writing */

/* IPv4, whichever way it is kept. */
static bool is_inet(const struct inet_address *a)
{
	return a->sa.sa_family == AF_INET ||
	       (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr));
}

static in_port_t port_of(const struct inet_address *a)
{
	return a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port;
}

/* As 16 bytes, also where it is IPv4. */
static void put_inet6(unsigned char out[16], const struct inet_address *a)
{
	if (a->sa.sa_family == AF_INET6) {
		memcpy(out, &a->in6.sin6_addr, 16);
		return;
	}
	memcpy(out, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	memcpy(out + 12, &a->in.sin_addr, 4);
}

/* The family to write both ends as. */
static int family_of(const struct pproto_ends *e)
{
	bool from4 = is_inet(&e->from), to4 = is_inet(&e->to);

	if (from4 && to4)
		return FAMILY_INET;
	if ((from4 || e->from.sa.sa_family == AF_INET6) && (to4 || e->to.sa.sa_family == AF_INET6))
		return FAMILY_INET6;
	return FAMILY_UNSPEC;
}

size_t pproto_write_v1(unsigned char out[PPROTO_WRITE_MAX], const struct pproto_ends *ends)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	unsigned char from6[16], to6[16];
	int family = family_of(ends), n;
	size_t len;

	if (family == FAMILY_UNSPEC) {
		static const char unknown[] = "PROXY UNKNOWN\r\n";

		memcpy(out, unknown, sizeof(unknown) - 1);
		return sizeof(unknown) - 1;
	}
	if (family == FAMILY_INET) {
		inet_ntop(AF_INET, inet_bytes(&ends->from, &len), from, sizeof(from));
		inet_ntop(AF_INET, inet_bytes(&ends->to, &len), to, sizeof(to));
	} else {
		put_inet6(from6, &ends->from);
		put_inet6(to6, &ends->to);
		inet_ntop(AF_INET6, from6, from, sizeof(from));
		inet_ntop(AF_INET6, to6, to, sizeof(to));
	}
	n = snprintf((char *)out, PPROTO_WRITE_MAX, "PROXY TCP%c %s %s %u %u\r\n",
		family == FAMILY_INET ? '4' : '6', from, to, ntohs(port_of(&ends->from)),
		ntohs(port_of(&ends->to)));
	return (size_t)n;
}

static size_t put_ends(unsigned char *out, const struct pproto_ends *ends, int family)
{
	in_port_t ports[2] = {port_of(&ends->from), port_of(&ends->to)};
	size_t size = family == FAMILY_INET ? 4 : 16, len;

	if (family == FAMILY_INET) {
		memcpy(out, inet_bytes(&ends->from, &len), 4);
		memcpy(out + 4, inet_bytes(&ends->to, &len), 4);
	} else {
		put_inet6(out, &ends->from);
		put_inet6(out + 16, &ends->to);
	}
	memcpy(out + 2 * size, ports, sizeof(ports));
	return 2 * size + sizeof(ports);
}

/* Returns the bytes that it takes; one that is empty or too long is left out. */
static size_t put_tlv(unsigned char *out, int type, const void *value, size_t len)
{
	if (!len || len > PPROTO_TEXT_MAX)
		return 0;
	out[0] = (unsigned char)type;
	out[1] = 0;
	out[2] = (unsigned char)len;
	memcpy(out + 3, value, len);
	return 3 + len;
}

static size_t put_text(unsigned char *out, int type, const char *text)
{
	return text ? put_tlv(out, type, text, strlen(text)) : 0;
}

static size_t put_tls(unsigned char *out, const struct pproto_tls *t)
{
	size_t n = 3;

	out[n++] =
		(unsigned char)(CLIENT_SSL | (t->has_cert && !t->resumed ? CLIENT_CERT_CONN : 0) |
				(t->has_cert ? CLIENT_CERT_SESS : 0));
	memset(out + n, 0, 4); /* `verify`: anything but 0 is no */
	out[n + 3] = !(t->has_cert && t->verified);
	n += 4;
	n += put_text(out + n, TYPE_SSL_VERSION, t->version);
	n += put_text(out + n, TYPE_SSL_CN, t->cn);
	n += put_text(out + n, TYPE_SSL_CIPHER, t->cipher);
	n += put_text(out + n, TYPE_SSL_SIG_ALG, t->sig_alg);
	n += put_text(out + n, TYPE_SSL_KEY_ALG, t->key_alg);
	out[0] = TYPE_SSL;
	out[1] = (unsigned char)((n - 3) >> 8);
	out[2] = (unsigned char)(n - 3);
	return n;
}

size_t pproto_write_v2(unsigned char out[PPROTO_WRITE_MAX], const struct pproto_ends *ends,
	const struct pproto_tlvs *tlvs)
{
	struct v2_fixed *h = (struct v2_fixed *)out;
	int family = family_of(ends);
	size_t n = V2_FIXED, at;
	uint32_t crc;

	memcpy(h->start, v2_start, sizeof(v2_start));
	/* HAProxy refuses AF_UNSPEC with PROXY, and sends it with LOCAL, followed by TLVs. */
	h->version_command = 2 << 4 | (family == FAMILY_UNSPEC ? COMMAND_LOCAL : COMMAND_PROXY);
	h->family_transport =
		(unsigned char)(family == FAMILY_UNSPEC ? TRANSPORT_UNSPEC
							: family << 4 | TRANSPORT_STREAM);
	if (family != FAMILY_UNSPEC)
		n += put_ends(out + n, ends, family);
	n += put_tlv(out + n, TYPE_ALPN, tlvs->alpn, tlvs->alpn_len);
	n += put_text(out + n, TYPE_AUTHORITY, tlvs->authority);
	n += put_text(out + n, TYPE_UNIQUE_ID, tlvs->unique_id);
	if (tlvs->tls)
		n += put_tls(out + n, tlvs->tls);
	n += put_tlv(out + n, TYPE_CRC32C, "\0\0\0", 4);
	h->len[0] = (unsigned char)((n - V2_FIXED) >> 8);
	h->len[1] = (unsigned char)(n - V2_FIXED);
	at = n - 4;
	crc = htonl(checksum(out, n, at));
	memcpy(out + at, &crc, 4);
	return n;
}
