/* The floor of echo: the system calls that returning octets takes, and nothing
 * besides. A server that makes the same calls cannot be faster.
 *
 *   echo_floor epoll PORT       one process, many connections, level-triggered
 *   echo_floor prefork PORT N   N processes, each one connection at a time
 *   echo_floor stdin            standard input back to standard output, as a
 *                               program that a super-server runs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[65536];

/* One turn: what is there goes back, all of it. The client of a benchmark
 * always reads, so waiting for room here keeps nobody for long. */
static int turn(int client) {
    ssize_t count = recv(client, buffer, sizeof buffer, 0);
    if (count <= 0)
        return count < 0 && errno == EAGAIN ? 0 : -1;
    for (ssize_t sent = 0; sent < count;) {
        ssize_t part = send(client, buffer + sent, count - sent, MSG_NOSIGNAL);
        if (part < 0 && errno != EAGAIN)
            return -1;
        if (part > 0)
            sent += part;
    }
    return 0;
}

static void many(int listener) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event one = {.events = EPOLLIN, .data.fd = listener}, found[512];
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &one);
    for (;;) {
        int count = epoll_wait(set, found, 512, -1);
        for (int at = 0; at < count; at++) {
            int fd = found[at].data.fd;
            if (fd != listener) {
                if (turn(fd))
                    close(fd);
                continue;
            }
            int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (client < 0)
                continue;
            one.data.fd = client;
            epoll_ctl(set, EPOLL_CTL_ADD, client, &one);
        }
    }
}

static void one_at_a_time(int listener) {
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        while (turn(client) == 0)
            ;
        close(client);
    }
}

static int from_stdin(void) {
    for (;;) {
        ssize_t count = read(0, buffer, sizeof buffer);
        if (count <= 0)
            return count < 0;
        for (ssize_t sent = 0; sent < count;) {
            ssize_t part = write(1, buffer + sent, count - sent);
            if (part < 0)
                return 1;
            sent += part;
        }
    }
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "stdin"))
        return from_stdin();
    if (count < 3)
        return 64;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Those that are accepted inherit it. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in place = {
        .sin_family = AF_INET,
        .sin_port = htons(atoi(arguments[2])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 1024)) {
        perror("echo_floor");
        return 71;
    }
    if (!strcmp(arguments[1], "epoll"))
        many(listener);
    for (int left = count > 3 ? atoi(arguments[3]) : 1; left > 0; left--)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            one_at_a_time(listener);
        }
    pause();
    return 0;
}
