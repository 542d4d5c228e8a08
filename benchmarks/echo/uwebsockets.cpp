// uWebSockets, in C++: the same server as those in servers/. Built against sources that are not
// here: see README.md. Prints its port, ends on a signal.
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/resource.h>
#include "App.h"

struct Nothing {};

template <typename Message>
static uWS::App::WebSocketBehavior<Nothing> behaviour(bool publishing, Message message) {
    uWS::App::WebSocketBehavior<Nothing> with;
    with.maxPayloadLength = 16 << 20;    // its defaults cannot take a message of 1 MiB
    with.maxBackpressure = 16 << 20;
    if (publishing) with.open = [](auto *connection) { connection->subscribe("everybody"); };
    with.message = message;
    return with;
}

int main() {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uWS::App app;
    app.ws<Nothing>("/", behaviour(false, [](auto *connection, auto message, uWS::OpCode type) {
        connection->send(message, type);
    }));
    app.ws<Nothing>("/broadcast", behaviour(true, [&app](auto *, auto message, uWS::OpCode type) {
        app.publish("everybody", message, type);
    }));
    app.listen("127.0.0.1", 0, [](us_listen_socket_t *socket) {
        if (!socket) exit(1);
        printf("%d\n", us_socket_local_port(0, (us_socket_t *)socket));
        fflush(stdout);
    });
    app.run();
}
