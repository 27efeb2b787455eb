/*
 * The client for datagrams: sends one, prints the one that comes back.
 *
 * usage: udp_client PORT TEXT
 *
 * Exit status: 0; 1 when a call failed, which it names, or nothing came in 5 s;
 * 2 for wrong usage.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static int failed(const char *call)
{
    perror(call);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct sockaddr_in server = {.sin_family = AF_INET}, from;
    server.sin_port = htons((unsigned short)atoi(argv[1]));
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return failed("socket");
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (sendto(fd, argv[2], strlen(argv[2]), 0, (struct sockaddr *)&server, sizeof server) < 0)
        return failed("sendto");
    char room[65536];
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(fd, room, sizeof room, 0, (struct sockaddr *)&from, &length);
    if (count < 0)
        return failed("recvfrom");
    if (from.sin_port != server.sin_port || from.sin_addr.s_addr != server.sin_addr.s_addr)
        return failed("an answer from somebody else");
    fwrite(room, 1, (size_t)count, stdout);
    return 0;
}
