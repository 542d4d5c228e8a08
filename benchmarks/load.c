/* The load: a WebSocket client that costs less than any server it is pointed at.
 *
 *     load MODE [options] HOST PORT PATH
 *
 *     echo         every connection keeps --in-flight messages on their way; they come back
 *     broadcast    the first connection publishes --in-flight messages, which the server delivers
 *                  to every connection, itself included; when all have arrived, the next round
 *     handshake    open, upgrade, exchange Close frames, wait for the server's end, and again
 *     idle         open the connections, hold them for --seconds, and see what memory they cost
 *
 *     --connections N   (64)      --in-flight N   (1)       --size BYTES   (32)
 *     --payload random|letters|json   random bytes in binary messages, or text (random)
 *     --deflate         offer permessage-deflate, insist on it, send compressed messages
 *     --uncompressed    ... but send them as they are: only the answers are compressed
 *     --same            the same message every time, not one that differs from its neighbours
 *     --tls             over TLS, with a server's certificate of any kind
 *     --touch           idle: echo one message on each connection before it goes idle
 *     --seconds S       measured time (3)         --warm-up S    before it (0.5)
 *     --pid PID         the server: report the processor time and memory of it and its children
 *
 * One thread, edge-triggered epoll, no allocation between messages. Every byte of every message
 * that comes back is compared with what was sent, and each frame has a mask of its own. Prints
 * one JSON object; exits with 1 and {"error": ...} at the first fault of the server.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
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
#include <time.h>
#include <unistd.h>
#include "messages.h"
#include "tls.h"

enum mode { ECHO, BROADCAST, HANDSHAKE, IDLE, MODES };
enum stage { UPGRADING, OPEN, CLOSING };

static const char *const mode_names[] = {"echo", "broadcast", "handshake", "idle"};

static struct {
    enum mode mode;
    enum payload payload;
    int connections, in_flight;
    size_t size;
    bool deflate, uncompressed, same, tls, touch;
    double seconds, warm_up;
    pid_t pid;
    const char *host, *port, *path;
} options = {.connections = 64, .in_flight = 1, .size = 32, .seconds = 3, .warm_up = 0.5};

#define OPENING_AT_ONCE 64    /* below the usual listen backlog of 100 */
#define DEFLATE_OFFER "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
#define STALLED_AFTER 15.0    /* seconds without a byte from the server */

static void fault(const char *what, const char *detail) {
    printf("{\"error\": \"%s%s%s\"}\n", what, *detail ? ": " : "", detail);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double now(void) { return (double)now_ns() * 1e-9; }

/* ------------------------------------------------------------------------------ what is counted */

#define STEPS 32              /* of the histogram, in each power of two: 3 % */
static struct {
    bool on;
    uint64_t units;           /* messages that arrived, or connections opened and closed */
    uint64_t taken[64 * STEPS], samples;
} count;

static void took(uint64_t ns) {
    if (!count.on) return;
    ns |= STEPS;
    int power = 63 - __builtin_clzll(ns);
    count.taken[power * STEPS + (int)((ns >> (power - 5)) & (STEPS - 1))]++;
    count.samples++;
}

static double quantile_us(double q) {
    uint64_t below = 0, wanted = (uint64_t)(q * (double)count.samples);
    for (int i = 0; i < 64 * STEPS; i++) {
        below += count.taken[i];
        if (below > wanted)
            return (double)(1ull << (i / STEPS)) * (1 + (i % STEPS + 0.5) / STEPS) / 1e3;
    }
    return 0;
}

struct usage {
    double at, cpu;           /* seconds; user and system, of all threads, to the nanosecond */
    long pss;                 /* KiB of memory, pages that are shared counted by their share */
};

static void add_usage(struct usage *sum, pid_t pid) {
    char path[64], line[512];
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) fault("no such server", "");
    sum->cpu += (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (file) {
        long kib;
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "Pss: %ld", &kib) == 1) sum->pss += kib;
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    if ((file = fopen(path, "r"))) {
        int child;
        while (fscanf(file, "%d", &child) == 1) add_usage(sum, child);
        fclose(file);
    }
}

static struct usage server_usage(void) {
    struct usage sum = {.at = now()};
    if (options.pid) add_usage(&sum, options.pid);
    return sum;
}

/* ---------------------------------------------------------------------------------- connections */

struct connection {
    int fd;
    SSL *tls;
    enum stage stage;
    /* outgoing */
    const uint8_t *out, *out_end;
    size_t unsent;            /* messages to send after out_end */
    uint64_t sent;            /* messages put into `out` so far */
    uint64_t *sent_at;        /* of the messages in flight, a ring */
    /* incoming */
    char *reply;              /* to the handshake; freed when it is complete */
    size_t reply_size;
    uint8_t head[10];
    unsigned head_size;
    enum opcode opcode;
    bool in_frame, fin, in_message, compressed;
    uint64_t left;            /* of the frame */
    size_t message_size;      /* so far, inflated */
    uint64_t received, to_answer;
#ifdef WITH_ZLIB
    z_stream *inflater;
    bool fresh_each;          /* server_no_context_takeover */
#endif
};

#define REPLY_ROOM 4096
static struct connection *connections;
static struct sockaddr_storage address;
static socklen_t address_size;
static char request[1024];
static int poller, started, opened;
static uint64_t undelivered;  /* of this round of broadcasting */
static uint64_t ring_mask;    /* the size of the rings of times is a power of two: no division */
static uint64_t round_began;
static double last_heard;

static void dial(struct connection *c) {
    uint64_t *sent_at = c->sent_at;
    *c = (struct connection){.sent_at = sent_at, .out = (uint8_t *)request};
    c->out_end = c->out + strlen(request);
    c->reply = malloc(REPLY_ROOM);
    c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fault("socket", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    /* leave by a reset: ten thousand connections a second would fill the table with TIME_WAIT */
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    if (connect(c->fd, (struct sockaddr *)&address, address_size) && errno != EINPROGRESS)
        fault("connect", strerror(errno));
    if (options.tls) c->tls = tls_over(c->fd, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) fault("epoll_ctl", strerror(errno));
}

static void flush(struct connection *c) {
    for (;;) {
        if (c->out == c->out_end) {
            if (!c->unsent) return;
            size_t run = c->unsent < corpus.count ? c->unsent : corpus.count;
            size_t first = c->sent & (corpus.count - 1);
            c->out = corpus.wire + corpus.start[first];
            c->out_end = corpus.wire + corpus.start[first + run];
            c->unsent -= run;
            c->sent += run;
        }
        ssize_t n = stream_send(c->fd, c->tls, c->out, (size_t)(c->out_end - c->out));
        if (n < 0) {
            if (errno == EAGAIN) return;    /* epoll tells when to go on */
            fault("send", strerror(errno));
        }
        c->out += n;
    }
}

static void send_messages(struct connection *c, uint64_t n) {
    uint64_t t = now_ns(), next = c->sent + c->unsent;
    for (uint64_t i = 0; i < n; i++) c->sent_at[(next + i) & ring_mask] = t;
    c->unsent += n;
    flush(c);
}

static void start_round(void) {
    round_began = now_ns();
    undelivered = (uint64_t)options.connections * (uint64_t)options.in_flight;
    send_messages(&connections[0], (uint64_t)options.in_flight);
}

/* ----------------------------------------------------------------------- the handshake's answer */

static void check_reply(struct connection *c, char *end) {
    *end = 0;
    if (strncmp(c->reply, "HTTP/1.1 101 ", 13)) {
        c->reply[strcspn(c->reply, "\r\"\\")] = 0;
        fault("upgrade refused", c->reply);
    }
    /* of the key in RFC 6455, 1.3, which `request` has */
    if (!strstr(c->reply, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) fault("wrong Sec-WebSocket-Accept", "");
    char *answer = strstr(c->reply, "permessage-deflate");
    if (!options.deflate) {
        if (answer) fault("permessage-deflate agreed, not offered", "");
        return;
    }
    if (!answer) fault("permessage-deflate not agreed", "");
#ifdef WITH_ZLIB
    char *bits = strstr(answer, "client_max_window_bits");
    if (bits && atoi(bits + strcspn(bits, "0123456789")) < OUR_WINDOW)
        fault("client_max_window_bits below what is used", "");
    c->fresh_each = strstr(answer, "server_no_context_takeover");
    c->inflater = calloc(1, sizeof *c->inflater);
    inflateInit2(c->inflater, -15);
#endif
}

static void upgraded(struct connection *c) {
    static const uint8_t close_1000[] = {0x88, 0x82, 0x5A, 0x0F, 0xC3, 0x96,
                                         0x5A ^ 0x03, 0x0F ^ 0xE8};
    c->stage = OPEN;
    if (options.mode == HANDSHAKE) {
        c->stage = CLOSING;
        c->out = close_1000;
        c->out_end = close_1000 + sizeof close_1000;
        flush(c);
    } else if (options.touch) {
        send_messages(c, 1);
    } else {
        opened++;
    }
}

/* Takes the answer from [at, end); gives back where the first frame begins. */
static const uint8_t *read_reply(struct connection *c, const uint8_t *at, const uint8_t *end) {
    size_t before = c->reply_size, take = (size_t)(end - at);
    if (take > REPLY_ROOM - before) take = REPLY_ROOM - before;
    memcpy(c->reply + before, at, take);
    c->reply_size += take;
    char *blank = memmem(c->reply, c->reply_size, "\r\n\r\n", 4);
    if (!blank) {
        if (c->reply_size == REPLY_ROOM) fault("handshake answer too long", "");
        return end;
    }
    at += (size_t)(blank + 4 - c->reply) - before;
    check_reply(c, blank);
    free(c->reply);
    c->reply = NULL;
    upgraded(c);
    return at;
}

/* --------------------------------------------------------------------------------------- frames */

static void compare(struct connection *c, const uint8_t *data, size_t size) {
    const uint8_t *expected = corpus.plain + (c->received & (corpus.count - 1)) * options.size;
    if (c->message_size + size > options.size) fault("message too long", "");
    if (memcmp(data, expected + c->message_size, size)) fault("wrong bytes", "");
    c->message_size += size;
}

static void inflate_and_compare(struct connection *c, const uint8_t *data, size_t size) {
#ifdef WITH_ZLIB
    static uint8_t plain[65536];
    c->inflater->next_in = (uint8_t *)data;
    c->inflater->avail_in = (uInt)size;
    do {
        c->inflater->next_out = plain;
        c->inflater->avail_out = sizeof plain;
        int result = inflate(c->inflater, Z_SYNC_FLUSH);
        if (result == Z_STREAM_END) inflateReset(c->inflater);    /* RFC 7692, 7.2.3.4 */
        else if (result != Z_OK && result != Z_BUF_ERROR) fault("corrupt deflate data", "");
        compare(c, plain, sizeof plain - c->inflater->avail_out);
    } while (c->inflater->avail_in || !c->inflater->avail_out);
#else
    (void)c, (void)data, (void)size;
#endif
}

static void message_arrived(struct connection *c) {
#ifdef WITH_ZLIB
    if (c->compressed) {
        inflate_and_compare(c, (const uint8_t *)"\0\0\xFF\xFF", 4);
        if (c->fresh_each) inflateReset(c->inflater);
    }
#endif
    if (c->message_size != options.size) fault("message too short", "");
    if (options.mode == ECHO) {
        /* each message its own time: one that waits behind others has taken longer */
        took(now_ns() - c->sent_at[c->received & ring_mask]);
        c->to_answer++;
    } else if (options.mode == BROADCAST) {
        if (!undelivered) fault("message that nobody sent", "");
        undelivered--;
    } else {
        opened++;
    }
    c->received++;
    c->message_size = 0;
    c->in_message = false;
    if (count.on) count.units++;
}

static void frame_began(struct connection *c) {
    const uint8_t *head = c->head;
    bool rsv1 = head[0] & 0x40;
    c->fin = head[0] >> 7;
    c->opcode = head[0] & 15;
    c->left = head[1];
    if (head[0] & 0x30 || head[1] & 0x80) fault("frame with a reserved bit or a mask", "");
    if (head[1] >= 126) {
        c->left = 0;
        for (unsigned i = 2; i < c->head_size; i++) c->left = c->left << 8 | head[i];
    }
    c->head_size = 0;
    c->in_frame = true;
    if (c->opcode >= CLOSE) {
        if (c->left > 125 || !c->fin || rsv1 || c->opcode > PONG) fault("bad control frame", "");
        return;
    }
    if (c->stage == CLOSING) fault("message after our Close", "");
    if (c->in_message != (c->opcode == CONTINUATION)) fault("fragments out of order", "");
    if (c->opcode == CONTINUATION) return;
    if ((c->opcode == TEXT) != (options.payload != RANDOM)) fault("wrong type of message", "");
    if (rsv1 && !options.deflate) fault("compressed message, not agreed", "");
    c->in_message = true;
    c->compressed = rsv1;
}

static void frame_ended(struct connection *c) {
    c->in_frame = false;
    if (c->opcode < CLOSE) {
        if (c->fin) message_arrived(c);
    } else if (c->opcode == CLOSE && c->stage != CLOSING) {
        fault("the server sent a Close", "");
    } else if (c->opcode == CLOSE) {
        c->received++;        /* told from an end without a Close in ended() */
    }
    /* pings go unanswered: no run is as long as a keepalive's patience */
}

static void read_frames(struct connection *c, const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        if (!c->in_frame) {
            c->head[c->head_size++] = *at++;
            unsigned length = c->head[1] & 127;
            unsigned whole = length < 126 ? 2 : length == 126 ? 4 : 10;
            if (c->head_size < 2 || c->head_size < whole) continue;
            frame_began(c);
        }
        size_t take = (size_t)(end - at) < c->left ? (size_t)(end - at) : (size_t)c->left;
        if (c->opcode < CLOSE) {
            if (c->compressed) inflate_and_compare(c, at, take);
            else compare(c, at, take);
        }
        at += take;
        c->left -= take;
        if (!c->left) frame_ended(c);
    }
}

/* --------------------------------------------------------------------------------------- events */

static void ended(struct connection *c) {
    if (c->stage == UPGRADING) fault("closed during the handshake", "");
    if (c->stage != CLOSING) fault("closed by the server", "");
    if (!c->received) fault("closed without a Close frame", "");
    stream_close(c->fd, c->tls);
    if (count.on) count.units++;
    dial(c);
}

static void readable(struct connection *c, bool to_the_end) {
    static uint8_t buffer[1 << 18];
    for (;;) {
        ssize_t n = stream_recv(c->fd, c->tls, buffer, sizeof buffer);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0 && c->stage != CLOSING) fault("recv", strerror(errno));
        if (n <= 0) {
            ended(c);
            return;
        }
        last_heard = now();
        const uint8_t *at = buffer, *end = buffer + n;
        if (c->stage == UPGRADING) at = read_reply(c, at, end);
        read_frames(c, at, end);
        if (c->to_answer) {
            uint64_t answers = c->to_answer;
            c->to_answer = 0;
            send_messages(c, answers);
        }
        if (n < (ssize_t)sizeof buffer && !to_the_end && !c->tls) break;
    }
    if (round_began && !undelivered) {
        took(now_ns() - round_began);
        start_round();
    }
}

static void turn(int wait_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, wait_ms);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        uint32_t what = events[i].events;
        if (what & EPOLLOUT || c->tls) flush(c);
        if (what & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
            readable(c, what & (EPOLLHUP | EPOLLRDHUP | EPOLLERR));
    }
    if (now() - last_heard > STALLED_AFTER && options.mode != IDLE) fault("the server stalled", "");
}

static void run_for(double seconds) {
    double until = now() + seconds;
    while (now() < until) turn(10);
}

static void open_up_to(int wanted) {
    last_heard = now();
    while (opened < wanted) {
        while (started < wanted && started - opened < OPENING_AT_ONCE)
            dial(&connections[started++]);
        turn(10);
        if (now() - last_heard > STALLED_AFTER) fault("the server stalled", "");
    }
}

/* ---------------------------------------------------------------------------------- the command */

static int choose(const char *given, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(given, names[i])) return i;
    fprintf(stderr, "load: not one of the choices: %s\n", given);
    exit(2);
}

static void read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"connections", 1, 0, 'c'}, {"in-flight", 1, 0, 'f'}, {"size", 1, 0, 's'},
        {"payload", 1, 0, 'p'}, {"deflate", 0, 0, 'z'}, {"touch", 0, 0, 't'},
        {"uncompressed", 0, 0, 'u'}, {"same", 0, 0, 'S'}, {"tls", 0, 0, 'T'},
        {"seconds", 1, 0, 'd'}, {"warm-up", 1, 0, 'w'}, {"pid", 1, 0, 'P'}, {0}};
    for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (o) {
        case 'c': options.connections = atoi(optarg); break;
        case 'f': options.in_flight = atoi(optarg); break;
        case 's': options.size = strtoull(optarg, NULL, 10); break;
        case 'p': options.payload = (enum payload)choose(optarg, payload_names, PAYLOADS); break;
        case 'z': options.deflate = true; break;
        case 't': options.touch = true; break;
        case 'u': options.uncompressed = true; break;
        case 'S': options.same = true; break;
        case 'T': options.tls = true; break;
        case 'd': options.seconds = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'P': options.pid = atoi(optarg); break;
        default: exit(2);
    }
    if (argc - optind != 4 || options.connections < 1 || options.in_flight < 1) {
        fprintf(stderr, "usage: load echo|broadcast|handshake|idle [options] HOST PORT PATH\n");
        exit(2);
    }
    options.mode = (enum mode)choose(argv[optind], mode_names, MODES);
    options.host = argv[optind + 1];
    options.port = argv[optind + 2];
    options.path = argv[optind + 3];
#ifndef WITH_ZLIB
    if (options.deflate) fault("built without zlib", "");
#endif
#ifndef WITH_TLS
    if (options.tls) fault("built without OpenSSL", "");
#endif
}

static void prepare(void) {
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(options.host, options.port, &hints, &found)) fault("unknown host", "");
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    address_size = found->ai_addrlen;
    freeaddrinfo(found);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             options.path, options.host, options.port, options.deflate ? DEFLATE_OFFER : "");
    bool packing = options.deflate && !options.uncompressed;
    write_corpus(options.payload, options.size, options.same, packing);
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)options.connections, sizeof *connections);
    while (ring_mask + 1 < (uint64_t)options.in_flight) ring_mask = ring_mask * 2 + 1;
    uint64_t *times = calloc((size_t)options.connections * (ring_mask + 1), sizeof *times);
    for (int i = 0; i < options.connections; i++, times += ring_mask + 1)
        connections[i].sent_at = times;
}

static void report(struct usage before, struct usage after, int memory_of) {
    double seconds = after.at - before.at, units = (double)count.units;
    double cpu = after.cpu - before.cpu, bytes = (double)(after.pss - before.pss) * 1024;
    printf("{\"mode\": \"%s\", \"connections\": %d, \"in_flight\": %d, \"size\": %zu",
           mode_names[options.mode], options.connections, options.in_flight, options.size);
    printf(", \"seconds\": %.4f", seconds);
    if (units > 0) printf(", \"units\": %.0f, \"per_second\": %.1f", units, units / seconds);
    if (count.samples)
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f", quantile_us(.5), quantile_us(.99));
    if (options.pid) {
        printf(", \"server_cpu_seconds\": %.6f, \"server_pss_kib\": %ld", cpu, after.pss);
        if (units > 0) printf(", \"server_cpu_us_each\": %.4f", cpu * 1e6 / units);
        if (memory_of) printf(", \"server_bytes_each\": %.0f", bytes / memory_of);
    }
    printf("}\n");
}

static struct usage idle(void) {
    /* the first connections pay for what a server does once, and are not counted */
    open_up_to(options.connections - options.connections * 31 / 32);
    run_for(options.warm_up);
    struct usage before = server_usage();
    open_up_to(options.connections);
    return before;
}

static struct usage traffic(void) {
    if (options.mode == HANDSHAKE)
        while (started < options.connections) dial(&connections[started++]);
    else
        open_up_to(options.connections);
    last_heard = now();
    run_for(0.2);             /* the last to be answered must be listening before a broadcast */
    if (options.mode == BROADCAST) start_round();
    for (int i = 0; options.mode == ECHO && i < options.connections; i++)
        send_messages(&connections[i], (uint64_t)options.in_flight);
    run_for(options.warm_up);
    count.on = true;
    return server_usage();
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare();
    struct usage before = options.mode == IDLE ? idle() : traffic();
    run_for(options.seconds);
    report(before, server_usage(), options.mode == IDLE ? options.connections * 31 / 32 : 0);
    return 0;
}
