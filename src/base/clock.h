/* The two clocks. Deadlines and durations are monotonic milliseconds, dates are Unix seconds. */
#ifndef LINTEL_BASE_CLOCK_H
#define LINTEL_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* coarse: a tick of 1 to 4 ms, some 5 ns */
int64_t clock_mono_us(void); /* fine, for measuring */
int64_t clock_wall_s(void);

#define CLOCK_RFC3339_SIZE 32
/* "2026-11-25T22:04:39Z" or, with ms >= 0, "2026-11-25T22:04:39.123Z". Returns `out`. */
const char *clock_rfc3339(char out[CLOCK_RFC3339_SIZE], int64_t unix_s, int ms);

/* RFC 3339, any offset, to Unix seconds; 0 = it is none. */
int64_t clock_from_rfc3339(const char *text);

#endif
