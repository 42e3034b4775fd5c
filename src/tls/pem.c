#include "tls/pem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void pem_init(struct pem_reader *r, const char *text, size_t len)
{
	*r = (struct pem_reader){.p = text, .end = text + len, .line = 1};
}

static const char *line_end(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	return nl ? nl : end;
}

/* Whether the line is "-----WORD LABEL-----", white space behind it allowed. */
static bool read_armour(
	const char *p, const char *end, const char *word, const char **label, size_t *len)
{
	size_t word_len = strlen(word);

	while (end > p && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if ((size_t)(end - p) < word_len + 5 || memcmp(p, word, word_len) != 0 ||
		memcmp(end - 5, "-----", 5) != 0)
		return false;
	*label = p + word_len;
	*len = (size_t)(end - 5 - *label);
	return true;
}

/* Headers stand before the base64, with an empty line between (RFC 1421, 4.4). */
static void skip_headers(struct pem_block *b)
{
	const char *end, *p = b->body;

	end = line_end(p, b->body_end);
	if (!memchr(p, ':', (size_t)(end - p)))
		return;
	while (p < b->body_end) {
		end = line_end(p, b->body_end);
		if (memmem(p, (size_t)(end - p), "ENCRYPTED", 9))
			b->encrypted = true;
		if (end == p || (end == p + 1 && *p == '\r'))
			break;
		p = end == b->body_end ? end : end + 1;
	}
	b->body = p;
}

int pem_next(struct pem_reader *r, struct pem_block *b, struct error *err)
{
	const char *label = NULL, *other, *end;
	size_t len = 0, other_len;
	bool began = false;

	*b = (struct pem_block){0};
	for (; r->p < r->end; r->p = end == r->end ? end : end + 1, r->line++) {
		end = line_end(r->p, r->end);
		if (*r->p != '-')
			continue;
		if (read_armour(r->p, end, "-----BEGIN ", &other, &other_len)) {
			if (began)
				break;
			began = true;
			label = other;
			len = other_len;
			memcpy(b->label, label, len < PEM_LABEL_SIZE ? len : PEM_LABEL_SIZE - 1);
			b->line = r->line;
			b->body = end == r->end ? end : end + 1;
		} else if (began && read_armour(r->p, end, "-----END ", &other, &other_len)) {
			if (other_len != len || memcmp(label, other, len) != 0)
				break;
			b->body_end = r->p;
			r->p = end == r->end ? end : end + 1;
			r->line++;
			skip_headers(b);
			return 1;
		}
	}
	if (!began)
		return 0;
	return error_set(err,
		"the PEM block that begins in line %zu has no end: the file is cut off or damaged",
		b->line);
}

/* Joins the lines. Returns the number of bytes. */
static size_t join_lines(unsigned char *out, const struct pem_block *b)
{
	unsigned char *to = out;

	for (const char *p = b->body, *nl; p < b->body_end; p = nl + 1) {
		const char *end;

		nl = end = line_end(p, b->body_end);
		while (end > p && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
			end--;
		memcpy(to, p, (size_t)(end - p));
		to += end - p;
	}
	return (size_t)(to - out);
}

uint8_t *pem_decode(const struct pem_block *b, size_t *len, struct error *err)
{
	size_t room = (size_t)(b->body_end - b->body), n, pad = 0;
	unsigned char *packed = mem_alloc(room);
	uint8_t *out = NULL;

	n = join_lines(packed, b);
	while (pad < 2 && pad < n && packed[n - 1 - pad] == '=')
		pad++;
	/* EVP_DecodeBlock() refuses all else, but takes any "=" for zeros. */
	if (n > 0 && n % 4 == 0 && !memchr(packed, '=', n - pad)) {
		out = mem_alloc(n / 4 * 3);
		*len = n / 4 * 3 - pad;
		if (EVP_DecodeBlock(out, packed, (int)n) != (int)(n / 4 * 3)) {
			free(out);
			out = NULL;
		}
	}
	if (!out)
		error_set(err,
			"the PEM block that begins in line %zu is no base64: the file is damaged",
			b->line);
	OPENSSL_cleanse(packed, room);
	free(packed);
	return out;
}
