#include "base/names.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

/* One hash table holds both parts. Its key is (parent, text): an exact name stands whole under the
 * parent EXACT, a label of the suffix tree under its parent's node, the rightmost ones under ROOT.
 * A node's value is that of the exact name, or of "*." in front of the node's suffix. So a look-up
 * makes one probe for the exact name, then one for each label, and allocates nothing. */
#define EXACT UINT32_MAX
#define ROOT  (UINT32_MAX - 1)
#define NONE  (UINT32_MAX - 2)

struct node {
	void *value;
	uint32_t parent, hash;
	uint32_t text; /* offset into `texts` */
	uint8_t len;
	bool is_pattern; /* and not only a label on the way to one */
};

struct names {
	uint64_t seed;
	struct node *nodes;
	uint32_t n_nodes;
	uint32_t *slots; /* node + 1, 0 = free; linear probing, at most half full */
	uint32_t n_slots;
	char *texts; /* not terminated */
	size_t texts_len, texts_room;
	size_t n_patterns;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **s, size_t *len)
{
	while (*len && is_space(**s)) {
		(*s)++;
		(*len)--;
	}
	while (*len && is_space((*s)[*len - 1]))
		(*len)--;
}

/* `s` is trimmed, `max` leaves room for the NUL. */
static bool normalise(char *out, size_t max, const char *s, size_t len)
{
	if (len && s[len - 1] == '.')
		len--;
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (c == '.' && (i == 0 || i == len - 1 || s[i - 1] == '.'))
			return false;
		else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
			 c != '_' && c != '.')
			return false;
		out[i] = c;
	}
	out[len] = '\0';
	return true;
}

bool name_normalise(char out[NAME_SIZE], const char *name, size_t len)
{
	trim(&name, &len);
	if (normalise(out, NAME_MAX_BYTES, name, len))
		return true;
	out[0] = '\0';
	return false;
}

bool name_normalise_pattern(char out[NAME_SIZE], const char *pattern, size_t len)
{
	trim(&pattern, &len);
	if (len < 2 || memcmp(pattern, "*.", 2) != 0)
		return name_normalise(out, pattern, len);
	if (normalise(out + 2, NAME_MAX_BYTES - 2, pattern + 2, len - 2)) {
		memcpy(out, "*.", 2);
		return true;
	}
	out[0] = '\0';
	return false;
}

struct names *names_new(void)
{
	struct names *n = mem_zalloc(sizeof(*n));

	/* Without a seed the look-ups are right all the same, only easier to slow down. */
	if (getrandom(&n->seed, sizeof(n->seed), GRND_NONBLOCK) != sizeof(n->seed))
		n->seed = (uintptr_t)n;
	n->n_slots = 16;
	n->slots = mem_zalloc(n->n_slots * sizeof(*n->slots));
	return n;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	free(n->nodes);
	free(n->slots);
	free(n->texts);
	free(n);
}

/* FNV-1a from a random start, and a finish that spreads the high bits. */
static uint32_t hash_key(const struct names *n, uint32_t parent, const char *text, size_t len)
{
	uint64_t h = (n->seed ^ 0xcbf29ce484222325) + parent * 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9;
	return (uint32_t)(h >> 32);
}

static uint32_t find_node(
	const struct names *n, uint32_t hash, uint32_t parent, const char *text, size_t len)
{
	uint32_t mask = n->n_slots - 1;

	for (uint32_t i = hash & mask; n->slots[i]; i = (i + 1) & mask) {
		const struct node *node = &n->nodes[n->slots[i] - 1];

		if (node->hash == hash && node->parent == parent && node->len == len &&
			memcmp(n->texts + node->text, text, len) == 0)
			return n->slots[i] - 1;
	}
	return NONE;
}

static void put_slot(struct names *n, uint32_t node)
{
	uint32_t mask = n->n_slots - 1, i = n->nodes[node].hash & mask;

	while (n->slots[i])
		i = (i + 1) & mask;
	n->slots[i] = node + 1;
}

static void grow_slots(struct names *n)
{
	free(n->slots);
	n->n_slots *= 2;
	n->slots = mem_zalloc(n->n_slots * sizeof(*n->slots));
	for (uint32_t i = 0; i < n->n_nodes; i++)
		put_slot(n, i);
}

static uint32_t find_or_add(struct names *n, uint32_t parent, const char *text, size_t len)
{
	uint32_t hash = hash_key(n, parent, text, len);
	uint32_t found = find_node(n, hash, parent, text, len);
	struct node *node;

	if (found != NONE)
		return found;
	assert(n->n_nodes < UINT32_MAX / 4 && n->texts_len < UINT32_MAX - NAME_SIZE);
	if (n->texts_len + len > n->texts_room) {
		n->texts_room = n->texts_room * 2 + NAME_SIZE;
		n->texts = mem_realloc_array(n->texts, n->texts_room, 1);
	}
	node = mem_grow(&n->nodes, n->n_nodes, sizeof(*node));
	node->parent = parent;
	node->hash = hash;
	node->text = (uint32_t)n->texts_len;
	node->len = (uint8_t)len;
	memcpy(n->texts + n->texts_len, text, len);
	n->texts_len += len;
	if (++n->n_nodes > n->n_slots / 2)
		grow_slots(n);
	else
		put_slot(n, n->n_nodes - 1);
	return n->n_nodes - 1;
}

/* Takes the last label off `name`, whose first *len bytes count, 0 when none is left. */
static const char *last_label(const char *name, size_t *len, size_t *label_len)
{
	size_t start = *len;

	while (start && name[start - 1] != '.')
		start--;
	*label_len = *len - start;
	*len = start ? start - 1 : 0;
	return name + start;
}

void **names_slot(struct names *n, const char *pattern)
{
	size_t len = strlen(pattern), label_len;
	uint32_t at;

	assert(len > 0 && len <= NAME_MAX_BYTES);
	if (pattern[0] != '*') {
		at = find_or_add(n, EXACT, pattern, len);
	} else {
		pattern += 2;
		len -= 2;
		for (at = ROOT; len;) {
			const char *label = last_label(pattern, &len, &label_len);

			at = find_or_add(n, at, label, label_len);
		}
	}
	if (!n->nodes[at].is_pattern) {
		n->nodes[at].is_pattern = true;
		n->n_patterns++;
	}
	return &n->nodes[at].value;
}

size_t names_count(const struct names *n)
{
	return n->n_patterns;
}

void *names_find(const struct names *n, const char *name)
{
	size_t len = strlen(name), first = strcspn(name, "."), label_len;
	uint32_t at = find_node(n, hash_key(n, EXACT, name, len), EXACT, name, len);
	const char *label;

	if (at != NONE)
		return n->nodes[at].value;
	if (first == len)
		return NULL;
	name += first + 1; /* the label that the star stands for */
	len -= first + 1;
	for (at = ROOT; len && at != NONE;) {
		label = last_label(name, &len, &label_len);
		at = find_node(n, hash_key(n, at, label, label_len), at, label, label_len);
	}
	return at == NONE || at == ROOT ? NULL : n->nodes[at].value;
}
