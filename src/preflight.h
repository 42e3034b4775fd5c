/* `lintel check`: what a start would read and, with --acme, what an order would need, tried without
 * either. Both return the exit status: 0, or 1 with every problem on standard error. The main
 * thread, with no daemon in it. */
#ifndef LINTEL_PREFLIGHT_H
#define LINTEL_PREFLIGHT_H

/* Validates everything that a start would read. */
int preflight_files(const char *conf_file);
/* Proves CA and DNS credentials of every ACME provider without placing an order: the CA is reached,
 * its account looked up, and a record of each challenge is written, seen and removed. Says what it
 * does on standard output. Blocks for as long as DNS takes. */
int preflight_acme(const char *conf_file);

#endif
