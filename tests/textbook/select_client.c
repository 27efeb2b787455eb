/*
 * The client with select(2): standard input to the socket and the socket to
 * standard output, both at once; at the end of the input it shuts the sending
 * side and reads on.
 *
 * usage: select_client PORT < FILE
 *
 * Exit status: 0; 1 when a call failed, which it names; 2 for wrong usage.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *call)
{
    perror(call);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    struct sockaddr_in server = {.sin_family = AF_INET};
    server.sin_port = htons((unsigned short)atoi(argv[1]));
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        die("connect");

    char held[4096];
    ssize_t have = 0, sent = 0;
    int reading = 1;
    for (;;) {
        fd_set in, out;
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_SET(fd, &in);
        if (sent < have)
            FD_SET(fd, &out);
        else if (reading)
            FD_SET(STDIN_FILENO, &in);
        if (select(fd + 1, &in, &out, NULL, NULL) < 0)
            die("select");
        if (FD_ISSET(STDIN_FILENO, &in)) {
            sent = 0;
            have = read(STDIN_FILENO, held, sizeof held);
            if (have <= 0) {
                have = 0;
                reading = 0;
                shutdown(fd, SHUT_WR);
            }
        }
        if (FD_ISSET(fd, &out)) {
            ssize_t count = send(fd, held + sent, (size_t)(have - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count < 0)
                die("send");
            sent += count;
        }
        if (FD_ISSET(fd, &in)) {
            char room[4096];
            ssize_t count = recv(fd, room, sizeof room, 0);
            if (count < 0)
                die("recv");
            if (count == 0)
                break;
            fwrite(room, 1, (size_t)count, stdout);
        }
    }
    fflush(stdout);
    return 0;
}
