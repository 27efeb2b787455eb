/*
 * The client of the textbooks: connects, sends, and prints what comes back.
 *
 * usage: client talk  PORT TEXT     sends TEXT, reads up to the end
 *        client half  PORT < FILE   sends all of FILE, shuts the sending side, reads up to the end
 *        client reset PORT TEXT     sends TEXT, reads one octet, ends with RST (linger 0)
 *
 * Exit status: 0; 1 when a call failed, which it names; 2 for wrong usage.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *call)
{
    perror(call);
    exit(1);
}

static void send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0)
            die("send");
        data += sent;
        length -= (size_t)sent;
    }
}

static void print_rest(int fd)
{
    char room[4096];
    ssize_t count;
    while ((count = recv(fd, room, sizeof room, 0)) > 0)
        fwrite(room, 1, (size_t)count, stdout);
    if (count < 0)
        die("recv");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct sockaddr_in server = {.sin_family = AF_INET};
    server.sin_port = htons((unsigned short)atoi(argv[2]));
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        die("connect");

    if (strcmp(argv[1], "talk") == 0 && argc == 4) {
        send_all(fd, argv[3], strlen(argv[3]));
        print_rest(fd);
    } else if (strcmp(argv[1], "half") == 0) {
        /* All of it before anything is read: what a file may be that fits
         * into the buffers of both sides. */
        char room[4096];
        size_t count;
        while ((count = fread(room, 1, sizeof room, stdin)) > 0)
            send_all(fd, room, count);
        if (shutdown(fd, SHUT_WR) < 0)
            die("shutdown");
        print_rest(fd);
    } else if (strcmp(argv[1], "reset") == 0 && argc == 4) {
        char octet;
        send_all(fd, argv[3], strlen(argv[3]));
        if (recv(fd, &octet, 1, 0) != 1)
            die("recv");
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0)
            die("setsockopt");
    } else {
        return 2;
    }
    close(fd);
    return 0;
}
