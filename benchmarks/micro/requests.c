/* What callgrind is told by the program that it runs; nothing where there is no callgrind. */
#include <valgrind/callgrind.h>

void start_counting(void) { CALLGRIND_START_INSTRUMENTATION; }

void forget_counts(void) { CALLGRIND_ZERO_STATS; }

void dump_counts(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
