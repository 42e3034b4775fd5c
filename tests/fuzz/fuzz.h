/* What each fuzzer defines; libFuzzer or replay.c calls it. */
#ifndef LINTEL_TESTS_FUZZ_H
#define LINTEL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
