/* The floor: an echo and broadcast server in C that does nothing which the wire does not ask for.
 *
 *     floor [CERTIFICATE KEY]    listens on a free port of 127.0.0.1, prints it, ends on a signal;
 *                                over TLS, with a certificate
 *
 * It shows what the kernel takes for the same traffic, and is the server that clients are measured
 * against. It is no WebSocket library: it trusts its client, checks neither UTF-8 nor fragments,
 * and passes a message on while it is still arriving.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../tls.h"

enum { PING = 9, PONG = 10, CLOSE = 8 };
#define REQUEST_ROOM 4096
#define READ_SIZE (1 << 18)

struct connection {
    int fd;
    SSL *tls;
    bool open, closing, broadcast;
    char *request;                    /* until the upgrade */
    size_t request_size;
    uint8_t head[14];
    unsigned head_size;
    uint64_t left;                    /* payload still to come of the frame */
    uint32_t mask;
    uint8_t *unsent;                  /* what the socket did not take */
    size_t unsent_at, unsent_size;
    struct connection *next, *previous;    /* those that are told of broadcasts */
};

static int poller;
static const char *certificate, *private_key;
static struct connection listeners = {.next = &listeners, .previous = &listeners};

static void fatal(const char *what) {
    perror(what);
    exit(1);
}

/* RFC 3174, block by block: a key of 24 bytes and the GUID of 36 make two. */
static uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *block) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    memcpy(w, block, 64);
    for (int i = 0; i < 16; i++) w[i] = ntohl(w[i]);
    for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? (b & c) | (~b & d) : b ^ c ^ d;
        if (i / 20 == 2) f = (b & c) | (b & d) | (c & d);
        static const uint32_t k[] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
        uint32_t t = rotated(a, 5) + f + e + w[i] + k[i / 20];
        e = d, d = c, c = rotated(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

static void accept_value(const char *key, char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t blocks[128] = {0}, digest[21] = {0};
    memcpy(blocks, key, 24);
    memcpy(blocks + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    blocks[60] = 0x80;
    blocks[126] = 60 * 8 >> 8;
    blocks[127] = 60 * 8 & 255;
    sha1_block(h, blocks);
    sha1_block(h, blocks + 64);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        const uint8_t *d = digest + 3 * i;
        uint32_t group = (uint32_t)d[0] << 16 | (uint32_t)d[1] << 8 | d[2];
        for (int j = 0; j < 4; j++) out[4 * i + j] = digits[group >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

static void watch(struct connection *c, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &event)) fatal("epoll_ctl");
}

/* Only marks the end: a connection met again in the same batch of events must still exist. */
static void drop(struct connection *c) {
    if (c->fd < 0) return;
    stream_close(c->fd, c->tls);
    c->fd = -1;
    if (c->next) c->next->previous = c->previous, c->previous->next = c->next;
    c->next = NULL;
    free(c->request);
    free(c->unsent);
    c->request = NULL, c->unsent = NULL;
}

static void put(struct connection *c, const uint8_t *data, size_t size) {
    if (c->fd < 0) return;
    ssize_t n = 0;
    if (!c->unsent_size) {
        n = stream_send(c->fd, c->tls, data, size);
        if (n < 0 && errno != EAGAIN) return;    /* the read side will learn why */
        if (n < 0) n = 0;
        if ((size_t)n == size) return;
        watch(c, EPOLLOUT, EPOLL_CTL_MOD);       /* no reading from who does not read */
    }
    size_t more = size - (size_t)n;
    c->unsent = realloc(c->unsent, c->unsent_at + c->unsent_size + more);
    memcpy(c->unsent + c->unsent_at + c->unsent_size, data + n, more);
    c->unsent_size += more;
}

static void writable(struct connection *c) {
    ssize_t n = stream_send(c->fd, c->tls, c->unsent + c->unsent_at, c->unsent_size);
    if (n < 0 && errno != EAGAIN) drop(c);
    if (n <= 0) return;
    c->unsent_at += (size_t)n;
    c->unsent_size -= (size_t)n;
    if (c->unsent_size) return;
    free(c->unsent);
    c->unsent = NULL;
    c->unsent_at = 0;
    if (c->closing) drop(c);
    else watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static const uint8_t *upgrade(struct connection *c, const uint8_t *at, const uint8_t *end) {
    size_t before = c->request_size, take = (size_t)(end - at);
    if (take > REQUEST_ROOM - 1 - before) take = REQUEST_ROOM - 1 - before;
    memcpy(c->request + before, at, take);
    c->request[c->request_size += take] = 0;
    char *blank = strstr(c->request, "\r\n\r\n");
    char *key = strcasestr(c->request, "\nsec-websocket-key:");
    if (!blank) return end;
    char accept[29], reply[160];
    if (!key) return drop(c), end;
    key += strlen("\nsec-websocket-key:");
    accept_value(key + strspn(key, " "), accept);
    int size = snprintf(reply, sizeof reply,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    c->open = true;
    if (!strncmp(c->request, "GET /broadcast ", 15)) {
        c->broadcast = true;
        c->next = &listeners, c->previous = listeners.previous;
        c->previous->next = c->next->previous = c;
    }
    at += (size_t)(blank + 4 - c->request) - before;
    free(c->request);
    c->request = NULL;
    put(c, (uint8_t *)reply, (size_t)size);
    return at;
}

static void unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t *mask) {
    uint64_t wide = (uint64_t)*mask << 32 | *mask, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, in + i, 8);
        word ^= wide;
        memcpy(out + i, &word, 8);
    }
    for (; i < size; i++) {
        out[i] = in[i] ^ (uint8_t)*mask;
        *mask = *mask >> 8 | *mask << 24;    /* little-endian: the next byte of the key */
    }
}

/* Takes one byte of a frame's head; when it is whole, writes the head of the answer. */
static size_t take_head(struct connection *c, uint8_t byte, uint8_t *out) {
    c->head[c->head_size++] = byte;
    unsigned width = (c->head[1] & 127) == 126 ? 2 : (c->head[1] & 127) == 127 ? 8 : 0;
    if (c->head_size < 2 || c->head_size < 6 + width) return 0;
    c->left = width ? 0 : c->head[1] & 127;
    for (unsigned i = 0; i < width; i++) c->left = c->left << 8 | c->head[2 + i];
    memcpy(&c->mask, c->head + 2 + width, 4);
    unsigned opcode = c->head[0] & 15;
    if (opcode == CLOSE) c->closing = true;
    if (opcode == PING) c->head[0] ^= PING ^ PONG;
    c->head[1] &= 127;
    memcpy(out, c->head, 2 + width);
    return 2 + width;
}

static void handle(struct connection *c, const uint8_t *in, ssize_t n) {
    static uint8_t answer[READ_SIZE + 64];
    const uint8_t *at = in, *end = in + n;
    if (!c->open) at = upgrade(c, at, end);
    uint8_t *out = answer;
    while (at < end) {
        if (!c->left) {
            size_t head = take_head(c, *at++, out);
            out += head;
            if (!head) continue;
        }
        size_t take = (size_t)(end - at) < c->left ? (size_t)(end - at) : (size_t)c->left;
        unmask(out, at, take, &c->mask);
        at += take, out += take;
        c->left -= take;
        if (!c->left) c->head_size = 0;
    }
    size_t size = (size_t)(out - answer);
    if (!size) return;
    struct connection *to = c->broadcast && !c->closing ? listeners.next : &listeners;
    if (to == &listeners) put(c, answer, size);
    for (; to != &listeners; to = to->next) put(to, answer, size);
    if (c->closing && !c->unsent_size && !c->left) drop(c);
}

static void readable(struct connection *c) {
    static uint8_t in[READ_SIZE];
    do {
        ssize_t n = stream_recv(c->fd, c->tls, in, sizeof in);
        if (n < 0 && errno == EAGAIN) return;
        if (n > 0) handle(c, in, n);
        else drop(c);
    } while (c->fd >= 0 && stream_pending(c->tls));
}

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct connection *c = calloc(1, sizeof *c);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        c->fd = fd;
        if (certificate && !(c->tls = tls_over(fd, certificate, private_key))) fatal("certificate");
        c->request = malloc(REQUEST_ROOM);
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

int main(int argc, char **argv) {
    if (argc == 3) certificate = argv[1], private_key = argv[2];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, address_size) || listen(listener, 1024))
        fatal("listen");
    getsockname(listener, (struct sockaddr *)&address, &address_size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct connection at_the_door = {.fd = listener};
    watch(&at_the_door, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == &at_the_door) welcome(listener);
            else if (events[i].events & EPOLLOUT) writable(c);
            else readable(c);
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->fd < 0) free(c);
        }
    }
}
