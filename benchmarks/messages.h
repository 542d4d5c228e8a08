/* The messages that load.c sends.
 *
 * There are `count` different ones, a power of two, about 64 KiB together where they are small
 * (twice the window of deflate, so that no message finds itself in it); message number i of a
 * connection is the one numbered i % count. Their frames stand ready, twice in a row, so that any run of up to `count`
 * messages goes in one write. Each frame has a mask of its own.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef WITH_ZLIB
#include <zlib.h>
#endif

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum payload { RANDOM, LETTERS, JSON, PAYLOADS };
static const char *const payload_names[] = {"random", "letters", "json"};

#define OUR_WINDOW 12    /* bits; many servers ask for no more, and our messages fit in it */

static struct {
    size_t count;
    uint8_t *plain;           /* count * size bytes */
    uint8_t *wire;
    size_t *start;            /* where each of the 2 * count frames starts; one more for the end */
} corpus;

static uint32_t random_state = 0x9E3779B9;

static uint32_t random_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static void fill_json(char *at, size_t size) {
    static const char *const kinds[] = {"chat", "join", "typing", "reaction"};
    char item[128];
    for (size_t done = 0; done < size;) {
        uint32_t r = random_word();
        int length = snprintf(
            item, sizeof item,
            "{\"id\":%u,\"kind\":\"%s\",\"room\":%u,\"user\":\"u%u\",\"muted\":%s},",
            random_word() % 1000000, kinds[r & 3], (r >> 2) % 1000, (r >> 12) % 50000,
            r >> 31 ? "true" : "false");
        size_t take = size - done < (size_t)length ? size - done : (size_t)length;
        memcpy(at + done, item, take);
        done += take;
    }
}

static void fill(uint8_t *at, size_t size, enum payload payload) {
    if (payload == JSON) {
        fill_json((char *)at, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        uint32_t r = random_word() >> 8;
        at[i] = payload == LETTERS ? (uint8_t)('a' + r % 26) : (uint8_t)r;
    }
}

static uint8_t *put_frame(uint8_t *out, const uint8_t *data, size_t size, unsigned first) {
    uint8_t mask[4];
    uint32_t word = random_word();
    memcpy(mask, &word, 4);
    *out++ = (uint8_t)first;
    int width = size < 126 ? 0 : size < 65536 ? 2 : 8;
    *out++ = (uint8_t)(0x80 | (width == 0 ? size : width == 2 ? 126 : 127));
    while (width) *out++ = (uint8_t)((uint64_t)size >> (8 * --width));
    memcpy(out, mask, 4);
    out += 4;
    for (size_t i = 0; i < size; i++) *out++ = data[i] ^ mask[i & 3];
    return out;
}

#ifdef WITH_ZLIB
/* RFC 7692, 7.2.1. Always with a fresh window: legal whatever was agreed about takeover. */
static size_t compress_message(uint8_t *out, size_t room, const uint8_t *data, size_t size) {
    z_stream z = {0};
    deflateInit2(&z, 6, Z_DEFLATED, -OUR_WINDOW, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (uint8_t *)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    deflate(&z, Z_SYNC_FLUSH);
    deflateEnd(&z);
    return room - z.avail_out - 4;    /* less the 00 00 FF FF */
}
#endif

static void write_corpus(enum payload payload, size_t size, bool same, bool packing) {
    size_t count = size ? 65536 / size : 1024;
    count = count < 2 ? 2 : count > 1024 ? 1024 : count;
    while (count & (count - 1)) count &= count - 1;
    unsigned first = 0x80 | (packing ? 0x40 : 0) | (payload == RANDOM ? BINARY : TEXT);
    size_t room = size + size / 1000 + 64;
    uint8_t *packed = malloc(room);
    corpus.count = count;
    corpus.plain = malloc(count * size + 1);
    corpus.start = malloc((2 * count + 1) * sizeof *corpus.start);
    uint8_t *out = corpus.wire = malloc(2 * count * (room + 14));
    fill(corpus.plain, count * size, payload);
    for (size_t i = 1; same && i < count; i++) memcpy(corpus.plain + i * size, corpus.plain, size);
    for (size_t i = 0; i < 2 * count; i++) {
        const uint8_t *data = corpus.plain + i % count * size;
        size_t length = size;
#ifdef WITH_ZLIB
        if (packing) {
            length = compress_message(packed, room, data, size);
            data = packed;
        }
#endif
        corpus.start[i] = (size_t)(out - corpus.wire);
        out = put_frame(out, data, length, first);
    }
    corpus.start[2 * count] = (size_t)(out - corpus.wire);
    free(packed);
}
