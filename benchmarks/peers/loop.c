/* The limit: a loop that calls send(), and nothing else. No HTTP but for the one kind of request, no ids, no replay.
 *
 *   loop PORT REDIS_PORT
 *
 * Who asks for /events/<channel> gets all that is published to that channel. A viewer who does not read is dropped.
 * Answers /healthz with its process id.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MOST 65536 /* files, and more channels than there are viewers */
#define NAME 80

struct channel {
	char name[NAME];
	int *viewers, count, room;
};

static struct channel channels[MOST], *channel_of[MOST]; /* hashed by name; by file */
static int poller;
static char said[1 << 20], frame[1 << 20]; /* what Redis has said and is not understood yet */
static long length;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static int opened(int port, int listens) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (listens ? bind(fd, (void *)&address, sizeof address) || listen(fd, 2048)
	            : connect(fd, (void *)&address, sizeof address))
		die("socket");
	return fd;
}

static void watch(int fd) {
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static struct channel *channel_named(const char *name, int size) {
	unsigned at = 2166136261u;
	if (size >= NAME) size = NAME - 1;
	for (int i = 0; i < size; i++) at = (at ^ (unsigned char)name[i]) * 16777619u;
	for (at %= MOST; channels[at].name[0]; at = (at + 1) % MOST)
		if (!strncmp(channels[at].name, name, size) && !channels[at].name[size]) return &channels[at];
	memcpy(channels[at].name, name, size);
	return &channels[at];
}

static void enter(struct channel *channel, int fd) {
	if (channel->count == channel->room) {
		channel->room = channel->room ? 2 * channel->room : 1;
		channel->viewers = realloc(channel->viewers, channel->room * sizeof *channel->viewers);
	}
	channel->viewers[channel->count++] = fd;
	channel_of[fd] = channel;
}

static void leave(int fd) {
	struct channel *channel = channel_of[fd];
	for (int i = 0; channel && i < channel->count; i++)
		if (channel->viewers[i] == fd) channel->viewers[i] = channel->viewers[--channel->count];
	channel_of[fd] = NULL;
	close(fd);
}

static void answer(int fd) {
	char request[4096], reply[256];
	long got = read(fd, request, sizeof request - 1);
	if (got <= 0) {
		leave(fd);
		return;
	}
	request[got] = 0;
	const char *events = strstr(request, "/events/");
	if (!events) {
		int size = sprintf(reply, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n%d", getpid());
		send(fd, reply, size, MSG_NOSIGNAL);
		close(fd);
	} else {
		const char *head = "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n";
		send(fd, head, strlen(head), MSG_NOSIGNAL);
		enter(channel_named(events + 8, strcspn(events + 8, " ")), fd);
	}
}

static void deliver(struct channel *channel, const char *data, long size) {
	int all = sprintf(frame, "data: %.*s\n\n", (int)size, data);
	for (int i = channel->count - 1; i >= 0; i--)
		if (send(channel->viewers[i], frame, all, MSG_NOSIGNAL | MSG_DONTWAIT) != all) leave(channel->viewers[i]);
}

/* One reply of Redis: an array of bulk strings, of which the last is delivered, and the one before names the channel.
 * Says how long it was, 0 if it is not whole. Numbers among them are as good as strings. */
static long taken(const char *start) {
	const char *at = strstr(start, "\r\n"), *data = NULL, *name = NULL;
	long parts = at ? strtol(start + 1, NULL, 10) : 0, size = 0, named = 0;
	if (!at) return 0;
	for (at += 2; parts; parts--) {
		const char *end = strstr(at, "\r\n");
		if (!end) return 0;
		name = data, named = size, data = end + 2;
		size = *at == '$' ? strtol(at + 1, NULL, 10) : -1;
		at = size < 0 ? data : data + size + 2;
		if (at > said + length) return 0;
	}
	if (!strncmp(start, "*4", 2)) deliver(channel_named(name, named), data, size);
	return at - start;
}

static void hear(int redis) {
	long got = read(redis, said + length, sizeof said - 1 - length), used = 0, one;
	if (got <= 0) die("Redis");
	said[length += got] = 0;
	while (used < length && (one = taken(said + used))) used += one;
	memmove(said, said + used, length -= used);
	said[length] = 0;
}

int main(int argc, char **argv) {
	if (argc != 3) return fprintf(stderr, "loop PORT REDIS_PORT\n"), 2;
	const char *subscribe = "PSUBSCRIBE *\r\n";
	int redis = opened(atoi(argv[2]), 0), listener = opened(atoi(argv[1]), 1);
	poller = epoll_create1(0);
	watch(redis), watch(listener);
	if (write(redis, subscribe, strlen(subscribe)) < 0) die("write");
	for (struct epoll_event events[512];;) {
		int found = epoll_wait(poller, events, 512, -1);
		for (int i = 0; i < found; i++) {
			int fd = events[i].data.fd;
			if (fd == redis) hear(redis);
			else if (fd == listener) watch(accept(listener, NULL, NULL));
			else answer(fd);
		}
	}
}
