/*
 * The servers of the textbooks, each an echo on a port of 127.0.0.1 that the
 * kernel chooses and that is the first line of the output.
 *
 * usage: server iterative    one connection after another
 *        server fork         a child for each connection
 *        server threads      a thread for each connection
 *        server select       all in one loop
 *        server reset        sends the first octets back, then RST (linger 0)
 *        server udp          datagrams
 *
 * It ends by a signal. Exit status: 1 when a call failed, which it names; 2 for
 * wrong usage.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *call)
{
    perror(call);
    exit(1);
}

/* Sends back what comes once; 0 at the end of it. */
static int echo_once(int fd)
{
    char room[4096];
    ssize_t count = recv(fd, room, sizeof room, 0), at = 0;
    while (at < count) {
        ssize_t sent = send(fd, room + at, (size_t)(count - at), MSG_NOSIGNAL);
        if (sent < 0)
            return 0;
        at += sent;
    }
    return count > 0;
}

static void echo(int fd)
{
    while (echo_once(fd))
        ;
    close(fd);
}

static void *in_thread(void *argument)
{
    echo((int)(intptr_t)argument);
    return NULL;
}

static void all_in_one(int listener)
{
    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    for (;;) {
        fd_set ready = watched;
        if (select(FD_SETSIZE, &ready, NULL, NULL, NULL) < 0)
            die("select");
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int next = accept(listener, NULL, NULL);
                if (next >= 0)
                    FD_SET(next, &watched);
            } else if (!echo_once(fd)) {
                FD_CLR(fd, &watched);
                close(fd);
            }
        }
    }
}

static void datagrams(int fd)
{
    char room[65536];
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t count = recvfrom(fd, room, sizeof room, 0, (struct sockaddr *)&from, &length);
        if (count >= 0)
            sendto(fd, room, (size_t)count, 0, (struct sockaddr *)&from, length);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    const char *mode = argv[1];
    int udp = strcmp(mode, "udp") == 0;
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t length = sizeof here;
    inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
    int listener = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) < 0)
        die("bind");
    if (!udp && listen(listener, 64) < 0)
        die("listen");
    getsockname(listener, (struct sockaddr *)&here, &length);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);

    if (udp)
        datagrams(listener);
    if (strcmp(mode, "select") == 0)
        all_in_one(listener);
    /* Nobody waits for the children: the kernel need not keep them. */
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("accept");
        if (strcmp(mode, "fork") == 0) {
            if (fork() == 0) {
                close(listener);
                echo(fd);
                _exit(0);
            }
            close(fd);
        } else if (strcmp(mode, "threads") == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, in_thread, (void *)(intptr_t)fd) != 0)
                die("pthread_create");
            pthread_detach(thread);
        } else if (strcmp(mode, "reset") == 0) {
            struct linger now = {.l_onoff = 1, .l_linger = 0};
            echo_once(fd);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(fd);
        } else if (strcmp(mode, "iterative") == 0) {
            echo(fd);
        } else {
            return 2;
        }
    }
}
