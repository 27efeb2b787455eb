/* The server of the textbooks: a process for each connection.
 *
 * It accepts, forks, and the child returns what it reads until the client is
 * done. Nothing else: no limit, no log, no timeout. What a server with a
 * process a connection costs above this is its own doing.
 *
 *   textbook PORT      on 127.0.0.1
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) {
    int kept = errno;
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = kept;
}

static void echo(int client) {
    char buffer[8192];
    for (;;) {
        ssize_t count = read(client, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        for (ssize_t sent = 0; sent < count;) {
            ssize_t part = write(client, buffer + sent, count - sent);
            if (part < 0 && errno != EINTR)
                return;
            if (part > 0)
                sent += part;
        }
    }
}

int main(int count, char **arguments) {
    if (count != 2)
        return 64;
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in place = {
        .sin_family = AF_INET,
        .sin_port = htons(atoi(arguments[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 1024)) {
        perror("textbook");
        return 71;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        if (fork() == 0) {
            close(listener);
            echo(client);
            _exit(0);
        }
        close(client);
    }
}
