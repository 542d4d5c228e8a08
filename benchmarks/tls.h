/* TLS under the load and the floor: calls like those of sockets, plain where there is no `tls`.
 *
 * Needs OpenSSL (WITH_TLS). Certificates are not verified: the two ends are ours.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#else
typedef struct ssl_st SSL;
#endif

/* Gives a connection TLS; NULL if this was built without. A server has a certificate and its key. */
static inline SSL *tls_over(int fd, const char *certificate, const char *key) {
#ifdef WITH_TLS
    static SSL_CTX *context;
    if (!context) {
        signal(SIGPIPE, SIG_IGN);    /* OpenSSL writes without MSG_NOSIGNAL */
        context = SSL_CTX_new(certificate ? TLS_server_method() : TLS_client_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS
                                  | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        if (certificate && (SSL_CTX_use_certificate_chain_file(context, certificate) != 1
                            || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1))
            return NULL;
    }
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (certificate) SSL_set_accept_state(tls);    /* the handshake goes with reading and writing */
    else SSL_set_connect_state(tls);
    return tls;
#else
    (void)fd, (void)certificate, (void)key;
    return NULL;
#endif
}

#ifdef WITH_TLS
/* What recv and send would give back. */
static inline ssize_t tls_result(SSL *tls, int n) {
    int why = SSL_get_error(tls, n);
    if (why == SSL_ERROR_ZERO_RETURN) return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL) errno = EPROTO;
    return -1;
}
#endif

static inline ssize_t stream_recv(int fd, SSL *tls, void *at, size_t size) {
#ifdef WITH_TLS
    if (tls) {
        ERR_clear_error();
        int n = SSL_read(tls, at, (int)size);
        return n > 0 ? n : tls_result(tls, n);
    }
#endif
    (void)tls;
    return recv(fd, at, size, 0);
}

static inline ssize_t stream_send(int fd, SSL *tls, const void *at, size_t size) {
#ifdef WITH_TLS
    if (tls) {
        ERR_clear_error();
        int n = SSL_write(tls, at, (int)size);
        return n > 0 ? n : tls_result(tls, n);
    }
#endif
    (void)tls;
    return send(fd, at, size, MSG_NOSIGNAL);
}

static inline void stream_close(int fd, SSL *tls) {
#ifdef WITH_TLS
    SSL_free(tls);
#endif
    (void)tls;
    close(fd);
}

/* Whether there is more to read that the poller does not know of. */
static inline bool stream_pending(SSL *tls) {
#ifdef WITH_TLS
    return tls && SSL_pending(tls);
#else
    (void)tls;
    return false;
#endif
}
