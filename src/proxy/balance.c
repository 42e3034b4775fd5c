#include "proxy/balance.h"

#include <limits.h>
#include <math.h>

#include "base/mem.h"
#include "proxy/route.h"

#define WEIGHT_UNIT 256 /* so that a slow start has steps */

/* --- numbers --- */

/* The finalizer of splitmix64: every bit of the input bears on every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t draw(struct turns *t)
{
	return mix(t->random += 0x9e3779b97f4a7c15);
}

uint64_t balance_hash(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return mix(hash);
}

/* --- a choice --- */

struct choice {
	const struct route *route;
	struct turns *turns;
	const unsigned char *tried;
	int64_t now;
	bool backup; /* which of the two kinds is asked */
};

static bool may_have(const struct route *r, size_t i, const unsigned char *tried)
{
	return server_is_usable(r->targets[i].server) &&
	       !(tried && tried[i / CHAR_BIT] & 1 << i % CHAR_BIT);
}

/* A target's share at this moment; 0 = it gets nothing. */
static uint64_t share(const struct choice *c, size_t i)
{
	const struct target *t = &c->route->targets[i];
	uint64_t whole = (uint64_t)t->weight * WEIGHT_UNIT;
	int64_t from, since;

	if (t->backup != c->backup || !may_have(c->route, i, c->tried))
		return 0;
	from = atomic_load_explicit(&t->server->warm_from, memory_order_relaxed);
	since = c->now > from ? c->now - from : 0; /* a worker's clock is behind control's */
	if (!from || since >= c->route->slow_start_ms)
		return whole;
	return 1 + whole * (uint64_t)since / (uint64_t)c->route->slow_start_ms;
}

static uint64_t connections(const struct choice *c, size_t i)
{
	return atomic_load_explicit(&c->route->targets[i].server->active, memory_order_relaxed);
}

/* Fewer connections for its share. Of one that gets nothing nobody has fewer. */
static bool has_fewer(const struct choice *c, size_t a, size_t b)
{
	return connections(c, a) * share(c, b) < connections(c, b) * share(c, a);
}

/* Each is given its share, and who is owed most pays for all. `least` (SIZE_MAX = any): only those
 * that have no more connections than this one. */
static size_t by_turns(const struct choice *c, size_t least)
{
	int64_t total = 0, *current = c->turns->current;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < c->route->n_targets; i++) {
		int64_t mine = (int64_t)share(c, i);

		if (!mine || (least != SIZE_MAX && has_fewer(c, least, i)))
			continue;
		current[i] += mine;
		total += mine;
		if (best == SIZE_MAX || current[i] > current[best])
			best = i;
	}
	if (best != SIZE_MAX)
		current[best] -= total;
	return best;
}

static size_t by_connections(const struct choice *c)
{
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < c->route->n_targets; i++)
		if (share(c, i) && (least == SIZE_MAX || has_fewer(c, i, least)))
			least = i;
	return least == SIZE_MAX ? SIZE_MAX : by_turns(c, least);
}

static size_t draw_one(const struct choice *c, uint64_t total)
{
	uint64_t left = draw(c->turns) % total;
	size_t i = 0;

	/* The sum may have shrunk since, by what other threads do. */
	for (; i + 1 < c->route->n_targets && left >= share(c, i); i++)
		left -= share(c, i);
	return i;
}

static size_t at_random(const struct choice *c)
{
	uint64_t total = 0;
	size_t a, b;

	for (size_t i = 0; i < c->route->n_targets; i++)
		total += share(c, i);
	if (!total)
		return SIZE_MAX;
	a = draw_one(c, total);
	b = draw_one(c, total);
	return has_fewer(c, b, a) ? b : a;
}

/* Each server draws a number for this client, the same one every time; the least wins. -ln(u) / w
 * is least for a server with the probability that its weight has among all. */
static size_t by_address(const struct choice *c, uint64_t client)
{
	size_t best = SIZE_MAX;
	double least = 0;

	for (size_t i = 0; i < c->route->n_targets; i++) {
		uint64_t mine = share(c, i);
		double u, score;

		if (!mine)
			continue;
		u = (double)((mix(client ^ c->route->targets[i].hash) >> 11) + 1) * 0x1p-53;
		score = -log(u) / (double)mine;
		if (best == SIZE_MAX || score < least) {
			best = i;
			least = score;
		}
	}
	return best;
}

static size_t choose(const struct choice *c, const struct inet_address *from)
{
	const void *bytes;
	size_t len;

	switch (c->route->balance) {
	case BALANCE_ROUND_ROBIN: break;
	case BALANCE_LEAST_CONN: return by_connections(c);
	case BALANCE_RANDOM: return at_random(c);
	case BALANCE_SOURCE:
		bytes = inet_bytes(from, &len);
		if (len) /* a local client has no address */
			return by_address(c, balance_hash(bytes, len));
		break;
	}
	return by_turns(c, SIZE_MAX);
}

struct target *balance_choose(const struct route *r, size_t worker, const struct inet_address *from,
	int64_t now, const unsigned char *tried)
{
	struct choice c = {
		.route = r, .turns = balance_turns(r, worker), .tried = tried, .now = now};
	size_t i = choose(&c, from);

	if (i == SIZE_MAX) {
		c.backup = true;
		i = choose(&c, from);
	}
	return i == SIZE_MAX ? NULL : &r->targets[i];
}

bool balance_has_other(const struct route *r, const struct target *but, const unsigned char *tried)
{
	for (size_t i = 0; i < r->n_targets; i++)
		if (&r->targets[i] != but && may_have(r, i, tried))
			return true;
	return false;
}

/* --- turns --- */

static size_t turns_size(const struct route *r)
{
	return sizeof(struct turns) + r->n_targets * sizeof(int64_t);
}

struct turns *balance_turns(const struct route *r, size_t worker)
{
	return (struct turns *)((char *)r->turns + worker * turns_size(r));
}

void *balance_turns_new(const struct route *r, size_t workers)
{
	size_t size = turns_size(r);
	char *all = mem_zalloc(workers * size);

	for (size_t w = 0; w < workers; w++) {
		struct turns *t = (struct turns *)(all + w * size);

		t->random = mix(balance_hash(&r, sizeof(r)) ^ mix((uint64_t)w + 1));
		for (size_t i = 0; i < r->n_targets; i++) /* its first turn is another one's */
			t->current[i] =
				-(int64_t)((i + r->n_targets - w % r->n_targets) % r->n_targets);
	}
	return all;
}
