#include "base/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

static int parse_port(const char *s, uint16_t *port)
{
	unsigned long n = 0;

	if (!*s || strlen(s) > 5)
		return -1;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -1;
		n = n * 10 + (unsigned long)(*s - '0');
	}
	if (n < 1 || n > 65535)
		return -1;
	*port = (uint16_t)n;
	return 0;
}

static bool is_host_name(const char *s)
{
	size_t len = strlen(s), label = 0;

	if (!len || len > 253)
		return false;
	for (; *s; s++) {
		if (*s == '.') {
			if (!label)
				return false;
			label = 0;
		} else if (isalnum((unsigned char)*s) || *s == '-' || *s == '_') {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return true;
}

static int parse_unix(struct address *a, struct error *err)
{
	const char *path = a->text + strlen("unix:");

	if (*path != '/')
		return error_set(err, "\"%s\": unix: takes an absolute path", a->text);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return error_set(err, "\"%s\": the path of a unix socket has at most %zu bytes",
			a->text, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	a->kind = ADDRESS_UNIX;
	a->host = mem_strdup(path);
	return 0;
}

static int parse_host(
	struct address *a, const char *host, size_t len, bool bracketed, struct error *err)
{
	unsigned char bin[16];

	if (!len && !bracketed) {
		a->kind = ADDRESS_ANY;
		return 0;
	}
	a->host = mem_strndup(host, len);
	if (bracketed) {
		a->kind = ADDRESS_IP;
		if (inet_pton(AF_INET6, a->host, bin) != 1)
			return error_set(
				err, "\"%s\": \"%s\" is no IPv6 address", a->text, a->host);
	} else if (inet_pton(AF_INET, a->host, bin) == 1) {
		a->kind = ADDRESS_IP;
	} else if (strchr(a->host, ':')) {
		return error_set(err, "\"%s\": an IPv6 address stands in brackets, [%s]:port",
			a->text, a->host);
	} else if (is_host_name(a->host) && strspn(a->host, "0123456789.") != len) {
		a->kind = ADDRESS_NAME;
	} else {
		return error_set(err, "\"%s\": \"%s\" is neither an IP address nor a host name",
			a->text, a->host);
	}
	return 0;
}

int address_parse(struct address *a, const char *text, struct error *err)
{
	const char *colon, *end;
	bool bracketed = text[0] == '[';
	int rc;

	*a = (struct address){.text = mem_strdup(text)};
	if (str_starts(text, "unix:")) {
		rc = parse_unix(a, err);
	} else if (strstr(text, "://")) {
		/* Not shown: a password may stand in it. */
		rc = error_set(
			err, "this is a URL: an address is host:port, [v6]:port or unix:/path");
	} else {
		end = bracketed ? strchr(text, ']') : strrchr(text, ':');
		colon = bracketed && end ? end + 1 : end;
		if (!colon || *colon != ':')
			rc = error_set(err,
				"\"%s\": an address is host:port, [v6]:port or unix:/path", text);
		else if (parse_port(colon + 1, &a->port) < 0)
			rc = error_set(
				err, "\"%s\": \"%s\" is no port (1 to 65535)", text, colon + 1);
		else
			rc = parse_host(a, text + bracketed, (size_t)(end - text) - bracketed,
				bracketed, err);
	}
	if (rc < 0)
		address_clear(a);
	return rc;
}

int address_parse_default(struct address *a, const char *text, uint16_t port, struct error *err)
{
	unsigned char v6[16];
	char *with_port = NULL;
	size_t len = strlen(text);
	int rc;

	if (inet_pton(AF_INET6, text, v6) == 1)
		with_port = mem_printf("[%s]:%u", text, port);
	else if (len && (!strchr(text, ':') || (*text == '[' && text[len - 1] == ']')))
		with_port = mem_printf("%s:%u", text, port);
	rc = address_parse(a, with_port ? with_port : text, err);
	free(with_port);
	if (rc < 0)
		return -1;
	switch (a->kind) {
	case ADDRESS_IP:
	case ADDRESS_NAME: return 0;
	case ADDRESS_ANY:
	case ADDRESS_UNIX: break;
	}
	address_clear(a);
	return error_set(err, "\"%.200s\" is no host:port, like 192.0.2.1:%u", text, port);
}

void address_copy(struct address *to, const struct address *from)
{
	*to = *from;
	to->text = mem_strdup(from->text);
	to->host = mem_strdup(from->host);
}

void address_clear(struct address *a)
{
	free(a->text);
	free(a->host);
	*a = (struct address){0};
}

bool address_is_loopback(const struct address *a)
{
	struct in6_addr v6;

	switch (a->kind) {
	case ADDRESS_NAME: return strcasecmp(a->host, "localhost") == 0;
	case ADDRESS_IP:
		if (inet_pton(AF_INET6, a->host, &v6) != 1)
			return str_starts(a->host, "127.");
		return IN6_IS_ADDR_LOOPBACK(&v6) ||
		       (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
	case ADDRESS_ANY:
	case ADDRESS_UNIX: break;
	}
	return false;
}

bool address_is_secure_url(const char *url)
{
	struct address a;
	char *authority;
	bool secure = false;

	if (str_starts(url, "https://"))
		return strcspn(url + 8, "/?#") > 0;
	if (!str_starts(url, "http://"))
		return false;
	authority = mem_strndup(url + 7, strcspn(url + 7, "/?#"));
	if (address_parse_default(&a, authority, HTTP_PORT, NULL) == 0) {
		secure = address_is_loopback(&a);
		address_clear(&a);
	}
	free(authority);
	return secure;
}

int address_to_endpoint(const struct address *a, struct endpoint *e, struct error *err)
{
	*e = (struct endpoint){0};
	switch (a->kind) {
	case ADDRESS_UNIX:
		e->un.sun_family = AF_UNIX;
		memcpy(e->un.sun_path, a->host, strlen(a->host) + 1);
		e->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(a->host) + 1);
		return 0;
	case ADDRESS_ANY:
	case ADDRESS_IP:
		if (a->host && inet_pton(AF_INET, a->host, &e->in.sin_addr) == 1) {
			e->in.sin_family = AF_INET;
			e->in.sin_port = htons(a->port);
			e->len = sizeof(e->in);
			return 0;
		}
		e->in6.sin6_family = AF_INET6;
		e->in6.sin6_port = htons(a->port);
		e->len = sizeof(e->in6);
		if (a->host && inet_pton(AF_INET6, a->host, &e->in6.sin6_addr) != 1)
			return error_set(err, "\"%s\": no IP address", a->text);
		return 0;
	case ADDRESS_NAME: break;
	}
	return error_set(err, "\"%s\": an IP address is wanted here, not a name", a->text);
}

const char *endpoint_text(char out[ENDPOINT_TEXT_SIZE], const struct endpoint *e)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	switch (e->sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &e->in.sin_addr, ip, sizeof(ip));
		snprintf(out, ENDPOINT_TEXT_SIZE, "%s:%u", ip, ntohs(e->in.sin_port));
		break;
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&e->in6.sin6_addr)) {
			inet_ntop(AF_INET, &e->in6.sin6_addr.s6_addr[12], ip, sizeof(ip));
			snprintf(out, ENDPOINT_TEXT_SIZE, "%s:%u", ip, ntohs(e->in6.sin6_port));
			break;
		}
		inet_ntop(AF_INET6, &e->in6.sin6_addr, ip, sizeof(ip));
		snprintf(out, ENDPOINT_TEXT_SIZE, "[%s]:%u", ip, ntohs(e->in6.sin6_port));
		break;
	case AF_UNIX: /* a peer's is usually unnamed */
		snprintf(out, ENDPOINT_TEXT_SIZE, "unix:%.108s",
			e->len > sizeof(sa_family_t) ? e->un.sun_path : "");
		break;
	default: snprintf(out, ENDPOINT_TEXT_SIZE, "?");
	}
	return out;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

const void *inet_bytes(const struct inet_address *a, size_t *len)
{
	if (a->sa.sa_family == AF_INET) {
		*len = sizeof(a->in.sin_addr);
		return &a->in.sin_addr;
	}
	if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
		*len = sizeof(a->in.sin_addr);
		return &a->in6.sin6_addr.s6_addr[12];
	}
	*len = a->sa.sa_family == AF_INET6 ? sizeof(a->in6.sin6_addr) : 0;
	return &a->in6.sin6_addr;
}

const char *inet_text(char out[ENDPOINT_TEXT_SIZE], const struct inet_address *a)
{
	struct endpoint e = {.in6 = a->in6, .len = sizeof(sa_family_t)};

	return endpoint_text(out, &e);
}
