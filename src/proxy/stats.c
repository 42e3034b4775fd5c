#include "proxy/stats.h"

const char *const handshake_failure_names[HANDSHAKE_FAILURES] = {
	[HANDSHAKE_TIMEOUT] = "timeout",
	[HANDSHAKE_CLOSED] = "closed",
	[HANDSHAKE_NO_CERT] = "no_certificate",
	[HANDSHAKE_NO_ALPN] = "no_alpn",
	[HANDSHAKE_NO_ROUTE] = "no_route",
	[HANDSHAKE_BAD_CERT] = "bad_certificate",
	[HANDSHAKE_CLIENT_CERT] = "client_cert",
	[HANDSHAKE_PROTOCOL] = "protocol",
};

const char *const refusal_names[REFUSALS] = {
	[REFUSED_PER_IP] = "per_ip",
	[REFUSED_RATE] = "rate",
	[REFUSED_HANDSHAKE_RATE] = "handshake_rate",
	[REFUSED_ROUTE] = "route",
};

void stats_add(struct stats_sum *sum, const struct stats *s)
{
#define X(name) sum->name += atomic_load_explicit(&s->name, memory_order_relaxed);
	STATS_FIELDS(X)
#undef X
	for (int i = 0; i < HANDSHAKE_FAILURES; i++)
		sum->handshake_failures[i] +=
			atomic_load_explicit(&s->handshake_failures[i], memory_order_relaxed);
	for (int i = 0; i < REFUSALS; i++)
		sum->refused[i] += atomic_load_explicit(&s->refused[i], memory_order_relaxed);
	for (int i = 0; i < REDIRECT_STATUSES; i++)
		sum->answered[i] += atomic_load_explicit(&s->answered[i], memory_order_relaxed);
}

uint64_t stats_active(const struct stats_sum *sum)
{
	return sum->accepted > sum->closed ? sum->accepted - sum->closed : 0;
}
