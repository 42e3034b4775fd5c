#include "http/response.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void response_init(struct response *r, const char *wanted)
{
	*r = (struct response){.wanted = wanted};
}

void response_clear(struct response *r)
{
	str_clear(&r->head);
	str_clear(&r->body);
}

static int fail(struct response *r, struct error *err, const char *what)
{
	r->state = RESPONSE_BAD;
	return error_set(err, "%s", what);
}

/* --- the body --- */

static void add_body(struct response *r, const char *data, size_t len)
{
	size_t room = RESPONSE_BODY_MAX - r->body.len, overlap = strlen(r->wanted) - 1;
	size_t from = r->body.len > overlap ? r->body.len - overlap : 0;

	str_add(&r->body, data, len < room ? len : room);
	if (memmem(r->body.data + from, r->body.len - from, r->wanted, strlen(r->wanted)))
		r->found = true;
	if (r->found || r->body.len == RESPONSE_BODY_MAX)
		r->state = RESPONSE_WHOLE;
}

static size_t take_body(struct response *r, const char *data, size_t len)
{
	if (len > r->left)
		len = (size_t)r->left;
	add_body(r, data, len);
	if (r->left != UINT64_MAX)
		r->left -= len;
	if (!r->left)
		r->state = RESPONSE_WHOLE;
	return len;
}

/* The line of a chunk's size, a byte at a time. The last chunk ends what is of interest: no trailer
 * is read. */
static int take_chunk_line(struct response *r, char byte, struct error *err)
{
	const char *hex = "0123456789abcdef", *digit;

	if (byte == '\n') {
		if (!r->digits)
			return fail(r, err, "no HTTP response: a chunk has no size");
		if (!r->left)
			r->state = RESPONSE_WHOLE;
		r->chunk = CHUNK_DATA;
		return 0;
	}
	if (r->chunk == CHUNK_EXTENSION)
		return 0;
	digit = byte ? strchr(hex, tolower((unsigned char)byte)) : NULL;
	if (!digit) {
		r->chunk = CHUNK_EXTENSION;
		return strchr(";\r \t", byte) && byte
			       ? 0
			       : fail(r, err, "no HTTP response: a chunk's size is no number");
	}
	if (++r->digits > 15)
		return fail(r, err, "no HTTP response: a chunk's size is out of range");
	r->left = r->left * 16 + (uint64_t)(digit - hex);
	return 0;
}

/* Returns how many bytes it took, or -1. */
static long take_chunks(struct response *r, const char *data, size_t len, struct error *err)
{
	switch (r->chunk) {
	case CHUNK_SIZE:
	case CHUNK_EXTENSION: return take_chunk_line(r, *data, err) < 0 ? -1 : 1;
	case CHUNK_DATA:
		if (len > r->left)
			len = (size_t)r->left;
		add_body(r, data, len);
		r->left -= len;
		if (!r->left)
			r->chunk = CHUNK_END;
		return (long)len;
	case CHUNK_END:
		if (*data != '\r' && *data != '\n')
			return fail(r, err, "no HTTP response: a chunk is longer than it said");
		if (*data == '\n') {
			r->chunk = CHUNK_SIZE;
			r->digits = 0;
		}
		return 1;
	}
	return -1;
}

/* --- the head --- */

/* "HTTP/1.1 200 OK" (RFC 9112, 4); 0 = it is none. */
static int status_of(const char *line, size_t len)
{
	const char *at = line + strlen("HTTP/1.x ");

	if (len < strlen("HTTP/1.x 200") || memcmp(line, "HTTP/1.", 7) != 0 ||
		!isdigit((unsigned char)line[7]) || line[8] != ' ' || at[0] < '1' || at[0] > '5' ||
		!isdigit((unsigned char)at[1]) || !isdigit((unsigned char)at[2]))
		return 0;
	if (len > 12 && at[3] != ' ')
		return 0;
	return (at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0');
}

/* The value of a field's line when it has this name, without the white space around it. */
static const char *value_of(const char *line, size_t *len, const char *name)
{
	size_t n = strlen(name);

	if (*len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	*len -= n + 1;
	while (*len && (*line == ' ' || *line == '\t')) {
		line++;
		(*len)--;
	}
	while (*len && (line[*len - 1] == ' ' || line[*len - 1] == '\t'))
		(*len)--;
	return line;
}

static int read_length(struct response *r, const char *text, size_t len, struct error *err)
{
	r->left = 0;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]) || r->left > UINT64_MAX / 100)
			return fail(r, err, "no HTTP response: its Content-Length is no number");
		r->left = r->left * 10 + (uint64_t)(text[i] - '0');
	}
	return len ? 0 : fail(r, err, "no HTTP response: its Content-Length is empty");
}

static int read_field(struct response *r, const char *line, size_t len, struct error *err)
{
	size_t value_len = len;
	const char *value = value_of(line, &value_len, "Content-Length");

	if (value && r->state != RESPONSE_CHUNKS)
		return read_length(r, value, value_len, err);
	value_len = len;
	value = value_of(line, &value_len, "Transfer-Encoding");
	if (!value)
		return 0;
	if (value_len != strlen("chunked") || strncasecmp(value, "chunked", value_len) != 0)
		return fail(r, err, "an HTTP response in a Transfer-Encoding that is unknown");
	r->state = RESPONSE_CHUNKS; /* wins over a length (RFC 9112, 6.3) */
	return 0;
}

/* The length of the line that `text` begins with, without its end; *next is the line after it. */
static size_t line_of(const char *text, const char **next)
{
	const char *end = strchr(text, '\n');

	*next = end + 1;
	return (size_t)(end - text) - (end > text && end[-1] == '\r');
}

/* The head is there, each of its lines with its end. */
static int read_head(struct response *r, struct error *err)
{
	const char *line = r->head.data, *next;
	size_t len;

	if (strlen(r->head.data) != r->head.len)
		return fail(r, err, "no HTTP response: there is a NUL byte in its head");
	len = line_of(line, &next);
	r->status = status_of(line, len);
	if (!r->status)
		return fail(r, err, "no HTTP response: its first line has no status");
	if (r->status < 200 && r->status != 101) { /* the one that counts is to come */
		str_clear(&r->head);
		return 0;
	}
	r->state = RESPONSE_BODY;
	r->left = UINT64_MAX;
	for (line = next; *line; line = next) {
		len = line_of(line, &next);
		if (read_field(r, line, len, err) < 0)
			return -1;
	}
	if (r->state == RESPONSE_CHUNKS)
		r->left = 0;
	if (!r->wanted || r->status == 204 || r->status == 304 ||
		(r->state == RESPONSE_BODY && !r->left))
		r->state = RESPONSE_WHOLE;
	return 0;
}

static bool is_end_of_head(const struct str *head)
{
	const char *end = head->data + head->len;

	return (head->len >= 2 && memcmp(end - 2, "\n\n", 2) == 0) ||
	       (head->len >= 3 && memcmp(end - 3, "\n\r\n", 3) == 0);
}

/* A line at most, so that the end of the head is seen. Returns how many bytes it took, or -1. */
static long take_head(struct response *r, const char *data, size_t len, struct error *err)
{
	const char *end = memchr(data, '\n', len);
	size_t n = end ? (size_t)(end - data) + 1 : len;

	if (r->heads + n > RESPONSE_HEAD_MAX)
		return fail(r, err, "no HTTP response: its head is longer than 16 KiB");
	r->heads += n;
	str_add(&r->head, data, n);
	if (end && is_end_of_head(&r->head) && read_head(r, err) < 0)
		return -1;
	return (long)n;
}

int response_add(struct response *r, const char *data, size_t len, struct error *err)
{
	long n = 0;

	for (; len; data += n, len -= (size_t)n) {
		switch (r->state) {
		case RESPONSE_HEAD: n = take_head(r, data, len, err); break;
		case RESPONSE_BODY: n = (long)take_body(r, data, len); break;
		case RESPONSE_CHUNKS: n = take_chunks(r, data, len, err); break;
		case RESPONSE_WHOLE: return 0;
		case RESPONSE_BAD: return -1;
		}
		if (n < 0)
			return -1;
	}
	return 0;
}

int response_end(struct response *r, struct error *err)
{
	switch (r->state) {
	case RESPONSE_HEAD:
		return fail(r, err,
			r->heads ? "the connection ended within the head of its response"
				 : "the connection ended without a response");
	case RESPONSE_BODY:
		if (r->left != UINT64_MAX)
			return fail(r, err, "the connection ended within the response");
		r->state = RESPONSE_WHOLE;
		return 0;
	case RESPONSE_CHUNKS: return fail(r, err, "the connection ended within the response");
	case RESPONSE_WHOLE: return 0;
	case RESPONSE_BAD: return -1;
	}
	return -1;
}
