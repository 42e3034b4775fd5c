#include "http/request.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN   DIGITS LETTERS "!#$%&'*+-.^_`|~" /* RFC 9110, 5.6.2 */
/* What may stand in a path or query: RFC 3986's characters, and five that browsers send as they
 * are. */
#define TARGET DIGITS LETTERS "-._~!$&'()*+,;=:@/?%[]{}|`"

struct text { /* some of the head */
	const char *s;
	size_t len;
};

/* Reading state, beside what the caller gets. */
struct parse {
	struct request *r;
	bool is_1_1, has_host, has_authority; /* the last one: in the request line */
	size_t fields;
};

static bool consists_of(const struct text *t, const char *set)
{
	for (size_t i = 0; i < t->len; i++)
		if (!t->s[i] || !strchr(set, t->s[i]))
			return false;
	return t->len > 0;
}

/* Cuts off what stands before the first `c`. False when there is none. */
static bool cut(struct text *t, char c, struct text *before)
{
	const char *at = t->len ? memchr(t->s, c, t->len) : NULL;

	if (!at)
		return false;
	*before = (struct text){t->s, (size_t)(at - t->s)};
	t->len -= before->len + 1;
	t->s = at + 1;
	return true;
}

/* RFC 3986, 3.2.2, without the forms that name nothing in DNS or IP. */
static bool parse_ipv6(char host[NAME_SIZE], const struct text *literal)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (literal->len >= sizeof(text))
		return false;
	memcpy(text, literal->s, literal->len);
	text[literal->len] = '\0';
	if (strlen(text) != literal->len || inet_pton(AF_INET6, text, &address) != 1)
		return false;
	inet_ntop(AF_INET6, &address, text, sizeof(text));
	snprintf(host, NAME_SIZE, "[%s]", text);
	return true;
}

/* uri-host [ ":" port ] (RFC 9110, 7.2). */
static bool parse_authority(char host[NAME_SIZE], struct text t)
{
	struct text name = t;

	if (t.len && *t.s == '[') {
		t.s++;
		t.len--;
		if (!cut(&t, ']', &name) || !parse_ipv6(host, &name))
			return false;
		if (!t.len)
			return true;
		if (*t.s != ':')
			return false;
		t.s++;
		t.len--;
	} else {
		if (!cut(&t, ':', &name))
			t.len = 0;
		if (!consists_of(&name, DIGITS LETTERS "-_.") ||
			!name_normalise(host, name.s, name.len))
			return false;
	}
	return !t.len || (t.len <= 5 && consists_of(&t, DIGITS));
}

static bool parse_absolute(struct parse *p, struct text *t)
{
	struct text scheme, authority;
	size_t n = 0;

	if (!cut(t, ':', &scheme))
		return false;
	if (!(scheme.len == 4 && strncasecmp(scheme.s, "http", 4) == 0) &&
		!(scheme.len == 5 && strncasecmp(scheme.s, "https", 5) == 0))
		return false;
	if (t->len < 2 || memcmp(t->s, "//", 2) != 0)
		return false;
	t->s += 2;
	t->len -= 2;
	while (n < t->len && t->s[n] != '/' && t->s[n] != '?')
		n++;
	authority = (struct text){t->s, n};
	t->s += n;
	t->len -= n;
	p->has_authority = true;
	return parse_authority(p->r->host, authority);
}

/* RFC 9112, 3.2; not the form of CONNECT, which asks for something else. */
static bool parse_target(struct parse *p, struct text t, const struct text *method)
{
	if (t.len == 1 && *t.s == '*') {
		t.len = 0;
		if (method->len != 7 || memcmp(method->s, "OPTIONS", 7) != 0)
			return false;
	} else if (!consists_of(&t, TARGET)) {
		return false;
	} else if (*t.s != '/' && !parse_absolute(p, &t)) {
		return false;
	}
	p->r->target = t.s;
	p->r->target_len = t.len;
	return true;
}

static enum request_result parse_request_line(struct parse *p, struct text line)
{
	struct text method, target;

	if (!cut(&line, ' ', &method) || !consists_of(&method, TOKEN) || !cut(&line, ' ', &target))
		return REQUEST_BAD;
	if (line.len != 8 || memcmp(line.s, "HTTP/", 5) != 0 || !memchr(DIGITS, line.s[5], 10) ||
		line.s[6] != '.' || !memchr(DIGITS, line.s[7], 10))
		return REQUEST_BAD;
	if (line.s[5] != '1')
		return REQUEST_BAD_VERSION;
	p->is_1_1 = line.s[7] != '0';
	return parse_target(p, target, &method) ? REQUEST_UNFINISHED : REQUEST_BAD;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static enum request_result parse_field(struct parse *p, struct text line)
{
	char host[NAME_SIZE];
	struct text name;

	/* A line that is folded begins with a blank, which no token has. */
	if (!cut(&line, ':', &name) || !consists_of(&name, TOKEN))
		return REQUEST_BAD;
	if (++p->fields > REQUEST_FIELDS_MAX)
		return REQUEST_TOO_LARGE;
	if (name.len != 4 || strncasecmp(name.s, "Host", 4) != 0)
		return REQUEST_UNFINISHED;
	while (line.len && is_blank(*line.s)) {
		line.s++;
		line.len--;
	}
	while (line.len && is_blank(line.s[line.len - 1]))
		line.len--;
	if (p->has_host || !parse_authority(host, line))
		return REQUEST_BAD;
	p->has_host = true;
	if (!p->has_authority) /* which wins: RFC 9112, 3.2.2 */
		memcpy(p->r->host, host, sizeof(host));
	return REQUEST_UNFINISHED;
}

static enum request_result parse_end(const struct parse *p)
{
	if (p->has_host || (p->has_authority && !p->is_1_1))
		return REQUEST_WHOLE;
	return REQUEST_BAD;
}

/* Whether no byte is one that stands nowhere in a head: a NUL, a bare CR, any other control
 * character but the tabulator. */
static bool is_clean(const struct text *line)
{
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->s[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* The next line, without its end. UNFINISHED: it is not whole, WHOLE: it is. */
static enum request_result next_line(struct text *rest, struct text *line)
{
	if (!cut(rest, '\n', line)) {
		*line = *rest;
		if (line->len && line->s[line->len - 1] == '\r')
			line->len--;
		return is_clean(line) ? REQUEST_UNFINISHED : REQUEST_BAD;
	}
	if (!line->len || line->s[--line->len] != '\r' || !is_clean(line))
		return REQUEST_BAD;
	return REQUEST_WHOLE;
}

enum request_result request_parse(struct request *r, const char *head, size_t len)
{
	bool cut_off = len > REQUEST_HEAD_MAX;
	struct text rest = {head, cut_off ? REQUEST_HEAD_MAX : len}, line;
	struct parse p = {.r = r};
	enum request_result result;

	*r = (struct request){.target = ""};
	/* An empty line before it is left over from the request before: RFC 9112, 2.2. */
	if (rest.len >= 2 && memcmp(rest.s, "\r\n", 2) == 0)
		rest = (struct text){rest.s + 2, rest.len - 2};
	for (bool first = true; (result = next_line(&rest, &line)) == REQUEST_WHOLE;
		first = false) {
		if (!line.len && !first)
			return parse_end(&p);
		result = first ? parse_request_line(&p, line) : parse_field(&p, line);
		if (result != REQUEST_UNFINISHED)
			return result;
	}
	return result == REQUEST_UNFINISHED && (cut_off || len == REQUEST_HEAD_MAX)
		       ? REQUEST_TOO_LARGE
		       : result;
}
