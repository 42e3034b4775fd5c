/* `lintel check --acme`: what an order would need, tried without one. As the commands of offline.h,
 * which it shares its beginning with. */
#ifndef LINTEL_PREFLIGHT_H
#define LINTEL_PREFLIGHT_H

/* Proves CA and DNS credentials of every ACME provider without placing an order: the CA is reached,
 * its account looked up, and a record of each challenge is written, seen and removed. Says what it
 * does on standard output and returns the exit status: 0, or 1 with every problem on standard
 * error. Blocks for as long as DNS takes; the main thread, with no daemon in it. */
int preflight_check(const char *conf_file);

#endif
