/*
 * The floor: a server of canned octets, which shows what the system calls of a
 * request cost by themselves. It takes every empty line for the end of a
 * request, looks at nothing else but the words that ask for the connection to
 * be closed, and answers with 200. Who makes the same calls in the same order
 * and reads what it is asked cannot cost less.
 *
 * usage: floor epoll|prefork PORT OCTETS memory|file WORKERS
 *
 * epoll    one process, one loop, level-triggered; WORKERS is not used
 * prefork  WORKERS processes that block, on one shared socket
 * memory   head and body by one send(2), all answers to one read together
 * file     the head by send(2), the body by sendfile(2); an answer a read
 *
 * OCTETS is the size of the body. Listens on 127.0.0.1. Exit status 64: wrong
 * usage; 71: the system refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536, BATCH = 64, SMALL = 4096, EVENTS = 256 };

/* What is sent for a request. */
struct canned {
	char *octets;  /* head and body, as often as `copies` says */
	size_t head;   /* octets of the head */
	size_t length; /* of one answer, with its body */
	int copies;
};

/* What is still to be sent; one for each descriptor, touched only where the
 * kernel did not take everything at once. */
struct rest {
	const struct canned *canned;
	size_t from, to;
};

static struct canned keep, closing;
static struct rest rests[DESCRIPTORS];
static int file = -1;

static void refuse(const char *call)
{
	perror(call);
	exit(71);
}

static void can(struct canned *canned, const char *field, size_t body)
{
	char head[256];
	int length = snprintf(head, sizeof head,
	                      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%sContent-Length: %zu\r\n\r\n",
	                      field, body);
	canned->head = length;
	canned->length = length + body;
	canned->copies = body <= SMALL ? BATCH : 1;
	canned->octets = malloc(canned->length * canned->copies);
	if (!canned->octets)
		refuse("malloc");
	for (int copy = 0; copy < canned->copies; copy++) {
		char *at = canned->octets + copy * canned->length;
		memcpy(at, head, length);
		memset(at + length, 'x', body);
	}
}

/* Sends what it can: 1 when all is sent, 0 when the kernel takes no more now,
 * -1 when the client is gone. */
static int advance(int client, struct rest *rest)
{
	while (rest->from < rest->to) {
		const struct canned *canned = rest->canned;
		ssize_t sent;
		if (file >= 0 && rest->from >= canned->head) {
			off_t at = rest->from - canned->head;
			sent = sendfile(client, file, &at, rest->to - rest->from);
		} else {
			size_t end = file >= 0 ? canned->head : rest->to;
			int flags = MSG_NOSIGNAL | (file >= 0 ? MSG_MORE : 0);
			sent = send(client, canned->octets + rest->from, end - rest->from, flags);
		}
		if (sent < 0)
			return errno == EAGAIN ? 0 : -1;
		rest->from += sent;
	}
	return 1;
}

/* One read, and what answers it. As `advance`; -1 also where the client wants
 * the connection closed and has everything. */
static int turn(int client, struct rest *rest)
{
	static char input[65536];
	ssize_t got = recv(client, input, sizeof input, 0);
	if (got <= 0)
		return got < 0 && errno == EAGAIN ? 1 : -1;
	int requests = 0;
	for (char *at = input, *end = input + got;
	     (at = memmem(at, end - at, "\r\n\r\n", 4)); at += 4)
		requests++;
	int closes = memmem(input, got, "Connection: close", 17) != NULL;
	rest->canned = closes ? &closing : &keep;
	if (requests > rest->canned->copies)
		requests = rest->canned->copies;
	rest->from = 0;
	rest->to = (closes && requests ? 1 : requests) * rest->canned->length;
	int done = advance(client, rest);
	return done > 0 && closes ? -1 : done;
}

static void prefork(int listener, int workers)
{
	for (int worker = 0; worker < workers; worker++) {
		pid_t child = fork();
		if (child < 0)
			refuse("fork");
		if (child > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			struct rest rest;
			int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (client < 0)
				continue;
			while (turn(client, &rest) > 0)
				;
			close(client);
		}
	}
	for (;;)
		pause();
}

static void loop(int listener)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
		refuse("epoll");
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);
		for (int number = 0; number < count; number++) {
			int client = events[number].data.fd;
			if (client == listener) {
				client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
				if (client < 0)
					continue;
				event.events = EPOLLIN;
				event.data.fd = client;
				if (client >= DESCRIPTORS || epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event) < 0)
					close(client);
				continue;
			}
			int waited = (events[number].events & EPOLLOUT) != 0;
			struct rest fresh, *rest = waited ? &rests[client] : &fresh;
			int done = waited ? advance(client, rest) : turn(client, rest);
			if (done > 0 && waited && rest->canned == &closing)
				done = -1;
			if (done < 0) {
				close(client);
			} else if ((done == 0) != waited) {
				/* Only now does it matter which way it waits. */
				rests[client] = *rest;
				event.events = done == 0 ? EPOLLOUT : EPOLLIN;
				event.data.fd = client;
				epoll_ctl(epoll, EPOLL_CTL_MOD, client, &event);
			}
		}
	}
}

int main(int count, char **arguments)
{
	if (count != 6) {
		fputs("usage: floor epoll|prefork PORT OCTETS memory|file WORKERS\n", stderr);
		return 64;
	}
	/* sendfile(2) has no flag that says so. */
	signal(SIGPIPE, SIG_IGN);
	size_t body = strtoul(arguments[3], NULL, 10);
	can(&keep, "", body);
	can(&closing, "Connection: close\r\n", body);
	if (strcmp(arguments[4], "file") == 0) {
		file = memfd_create("body", MFD_CLOEXEC);
		if (file < 0 || write(file, keep.octets + keep.head, body) != (ssize_t)body)
			refuse("memfd_create");
		keep.copies = closing.copies = 1;
	}
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(arguments[2])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* Accepted sockets have it from here. */
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
		refuse("bind");
	if (strcmp(arguments[1], "prefork") == 0)
		prefork(listener, atoi(arguments[5]));
	loop(listener);
}
