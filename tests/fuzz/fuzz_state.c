/* Fuzzes the state file of an autocert provider: whatever it holds ends in a state that can be
 * saved, or in a sentence. To search for more than the corpus, build with libFuzzer instead of
 * replay.c; it needs all of the library, compiled with the same sanitizers:
 *
 *     clang -g -O1 -std=gnu11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Isrc \
 *         tests/fuzz/fuzz_state.c liblintel.a -levent -levent_pthreads -lssl -lcrypto -lcurl \
 *         -ljson-c -lyaml -lldns -lwslay -lseccomp -o fuzz_state
 *     ./fuzz_state NEW-CORPUS tests/fuzz/corpus/state
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "autocert/state.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = mem_zalloc(len + 1);
	struct error err = {""};
	struct state s;

	memcpy(text, data, len);
	if (state_parse(&s, text, len, &err) == 0) {
		assert(!s.order_url == !s.order_ca &&
			s.fingerprint[sizeof(s.fingerprint) - 1] == '\0');
		for (size_t i = 0; i < s.n_txts; i++)
			assert(s.txts[i].fqdn && s.txts[i].value && s.txts[i].name &&
				s.txts[i].zone && s.txts[i].present);
	} else {
		assert(*err.text && !s.n_txts && !s.order_url);
	}
	state_clear(&s);
	free(text);
	return 0;
}
