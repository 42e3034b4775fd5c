#include "proxy/clients.h"

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/siphash.h"

#define NS_PER_MS 1000000
#define WAYS      16 /* places that an address may have */
#define SETS      8192
#define SHARDS    64 /* locks; each for SETS / SHARDS sets */

/* A bucket is the time at which it is full again (the "virtual scheduling" form of the generic cell
 * rate algorithm, ITU-T I.371): so it needs no timer, and a new rate applies to what was used
 * before. */
struct client {
	struct in6_addr net;
	uint32_t connections;
	int64_t connects_full, handshakes_full; /* ns */
};

union shard {
	pthread_mutex_t lock;
	char line[64]; /* of the CPUs' caches: none has two */
};

/* As a cache has it: an address stands in one of the places of its set, and takes the place of one
 * that has nothing to be remembered. 6 MiB, of which the kernel gives what is touched. */
struct clients {
	struct siphash_key key;
	union shard shards[SHARDS];
	struct client sets[SETS][WAYS];
};

struct clients *clients_new(void)
{
	struct clients *all = mem_zalloc(sizeof(*all));

	siphash_make_key(&all->key);
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&all->shards[i].lock, NULL);
	return all;
}

void clients_free(struct clients *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&all->shards[i].lock);
	free(all);
}

/* What of an address stands for a client. False when it is none that can be limited. */
static bool net_of(struct in6_addr *net, const struct sockaddr *from)
{
	static const struct in6_addr mapped = {{{[10] = 0xff, [11] = 0xff}}};

	switch (from->sa_family) {
	case AF_INET:
		*net = mapped;
		memcpy(&net->s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
		return true;
	case AF_INET6:
		*net = ((const struct sockaddr_in6 *)from)->sin6_addr;
		if (!IN6_IS_ADDR_V4MAPPED(net))
			memset(&net->s6_addr[8], 0, 8);
		return true;
	default: return false;
	}
}

static pthread_mutex_t *lock_set(struct clients *all, size_t set)
{
	pthread_mutex_t *lock = &all->shards[set % SHARDS].lock;

	pthread_mutex_lock(lock);
	return lock;
}

static int64_t full_at(const struct client *c)
{
	return c->connects_full > c->handshakes_full ? c->connects_full : c->handshakes_full;
}

/* Its place: the one it has, else that of whom it hurts least to forget, the one whose buckets are
 * full first. NULL when everyone there has connections. (An empty place is one of ::/64, which has
 * nothing either.) */
static struct client *find(struct client set[WAYS], const struct in6_addr *net)
{
	struct client *place = NULL;

	for (struct client *c = set; c < set + WAYS; c++) {
		if (memcmp(&c->net, net, sizeof(*net)) == 0)
			return c;
		if (!c->connections && (!place || full_at(c) < full_at(place)))
			place = c;
	}
	if (place)
		*place = (struct client){.net = *net};
	return place;
}

/* False when the bucket is empty. */
static bool take_token(int64_t *full, const struct client_rate *rate, int64_t now)
{
	if (!rate->every_ns)
		return true;
	/* More than empty is what a lower rate, before a reload, has left. */
	if (*full > now + rate->burst * rate->every_ns)
		*full = now + rate->burst * rate->every_ns;
	if (*full > now + (rate->burst - 1) * rate->every_ns)
		return false;
	*full = (*full > now ? *full : now) + rate->every_ns;
	return true;
}

static enum client_verdict enter(struct client *c, const struct client_limits *limits, int64_t now)
{
	if (limits->connections && c->connections >= limits->connections)
		return CLIENT_PER_IP;
	if (!take_token(&c->connects_full, &limits->connects, now))
		return CLIENT_RATE;
	c->connections++;
	return CLIENT_TAKEN;
}

enum client_verdict clients_enter(struct clients *all, const struct client_limits *limits,
	const struct sockaddr *from, int64_t now, struct client **client)
{
	enum client_verdict verdict = CLIENT_UNTRACKED;
	pthread_mutex_t *lock;
	struct in6_addr net;
	struct client *c;
	size_t set;

	*client = NULL;
	if (!net_of(&net, from))
		return CLIENT_TAKEN;
	set = siphash_16(&all->key, &net) % SETS;
	lock = lock_set(all, set);
	c = find(all->sets[set], &net);
	if (c)
		verdict = enter(c, limits, now * NS_PER_MS);
	if (verdict == CLIENT_TAKEN)
		*client = c;
	pthread_mutex_unlock(lock);
	return verdict;
}

static size_t set_of(const struct clients *all, const struct client *c)
{
	return (size_t)(c - all->sets[0]) / WAYS;
}

bool clients_may_handshake(
	struct clients *all, const struct client_limits *limits, struct client *client, int64_t now)
{
	pthread_mutex_t *lock = lock_set(all, set_of(all, client));
	bool may = take_token(&client->handshakes_full, &limits->handshakes, now * NS_PER_MS);

	pthread_mutex_unlock(lock);
	return may;
}

void clients_leave(struct clients *all, struct client *client)
{
	pthread_mutex_t *lock = lock_set(all, set_of(all, client));

	assert(client->connections > 0);
	client->connections--;
	pthread_mutex_unlock(lock);
}
