/* Many viewers in one process: how much each of them was sent, whether in order, and how late.
 *
 *   viewers PORT COUNT SECONDS MARKER REQUEST
 *
 * Opens COUNT connections to 127.0.0.1:PORT and writes REQUEST to each; `%d` in it becomes the viewer's number. A
 * viewer is ready when it has read a line with MARKER in it. A delivery is a line with "type":"stage" in it; the
 * first "current": number in a line is the delivery's place, and the first "at": number is when it was reported.
 * With an empty MARKER they never read, and are ready when they have asked.
 *
 * Prints `ready <seconds>` when all are ready, `<k>` whenever all have been sent number k, and `closed` when all
 * streams have ended. For each line of its standard input it prints `delays <p50> <p99>` of the deliveries since the one
 * before, in milliseconds. At the end of that it prints `delivered lost doubled reordered closed torn` and ends; after SECONDS
 * it is killed. Lost is what was left out in front of something that came, torn a stream that ended within a frame.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 16384 /* the longest line that is understood; the rest of a longer one is dropped */
#define OPENING_MOST 256 /* not yet ready at once: no more than a listener's backlog */
#define DELAYS_MOST 4000000
#define MUTE_BYTES 4096 /* that the system takes for one who never reads */

struct viewer {
	int fd, ready, length, in_frame;
	long last;
	char line[LINE_BYTES];
};

static struct viewer *viewers;
static int count, opened, ready, at_goal, poller, mute;
static long goal = 1, delivered, lost, doubled, reordered, closed_, torn;
static double *delays;
static long delays_count;
static const char *marker, *request;
static struct sockaddr_in address;

static double now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void tell_ready(double start) {
	printf("ready %.6f\n", now(CLOCK_MONOTONIC) - start);
	fflush(stdout);
}

static void open_one(void) {
	char text[LINE_BYTES];
	int length = snprintf(text, sizeof text, request, opened), few = MUTE_BYTES;
	struct viewer *viewer = &viewers[opened];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = viewer};
	if ((viewer->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
	if (mute) setsockopt(viewer->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
	if (connect(viewer->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
	if (write(viewer->fd, text, length) < 0) die("write");
	if (!mute && epoll_ctl(poller, EPOLL_CTL_ADD, viewer->fd, &event)) die("epoll_ctl");
	opened++;
	ready += mute;
}

/* Tell how far all have come, each number once. */
static void reach(struct viewer *viewer, long place) {
	long before = viewer->last;
	viewer->last = place;
	if (before < goal && place >= goal) at_goal++;
	while (at_goal == count) {
		printf("%ld\n", goal++);
		fflush(stdout);
		at_goal = 0;
		for (int i = 0; i < count; i++) at_goal += viewers[i].last >= goal;
	}
}

static void deliver(struct viewer *viewer, const char *line) {
	const char *at = strstr(line, "\"at\":"), *current = strstr(line, "\"current\":");
	double arrived = now(CLOCK_REALTIME);
	delivered++;
	if (at && delays_count < DELAYS_MOST) delays[delays_count++] = arrived - strtod(at + 5, NULL);
	if (!current || current[10] < '0' || current[10] > '9') return;
	long place = strtol(current + 10, NULL, 10);
	if (place == viewer->last) doubled++;
	else if (place < viewer->last) reordered++;
	else {
		lost += place - viewer->last - 1;
		reach(viewer, place);
	}
}

static void take_line(struct viewer *viewer, double start) {
	const char *line = viewer->line, *current;
	if (line[0] == '\n' || line[0] == '\r') viewer->in_frame = 0;
	else if (line[0] != ':' && strncmp(line, "retry:", 6)) viewer->in_frame = 1;
	if (!viewer->ready && strstr(line, marker)) {
		viewer->ready = 1;
		if ((current = strstr(line, "\"current\":"))) reach(viewer, strtol(current + 10, NULL, 10));
		if (++ready == count) tell_ready(start);
	} else if (strstr(line, "\"type\":\"stage\""))
		deliver(viewer, line);
}

static void take(struct viewer *viewer, const char *data, ssize_t length, double start) {
	for (const char *end; length > 0; length -= end - data, data = end) {
		const char *newline = memchr(data, '\n', length);
		end = newline ? newline + 1 : data + length;
		long room = LINE_BYTES - 1 - viewer->length, part = end - data;
		memcpy(viewer->line + viewer->length, data, part < room ? part : room);
		viewer->length += part < room ? part : room;
		if (!newline) continue;
		viewer->line[viewer->length] = 0;
		take_line(viewer, start);
		viewer->length = 0;
	}
}

static int by_size(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double percentile(double part) {
	return delays_count ? delays[(long)(part * (delays_count - 1))] * 1e3 : 0;
}

static void tell_delays(void) {
	qsort(delays, delays_count, sizeof *delays, by_size);
	printf("delays %.6f %.6f\n", percentile(0.5), percentile(0.99));
	fflush(stdout);
	delays_count = 0;
}

static void end(void) {
	printf("%ld %ld %ld %ld %ld %ld\n", delivered, lost, doubled, reordered, closed_, torn);
	exit(0);
}

static void close_one(struct viewer *viewer) {
	torn += viewer->in_frame || viewer->length;
	close(viewer->fd);
	if (++closed_ == count) {
		printf("closed\n");
		fflush(stdout);
	}
}

static void run(void) {
	static struct epoll_event events[512];
	static char data[1 << 18];
	double start = now(CLOCK_MONOTONIC);
	for (;;) {
		while (opened < count && opened - ready < OPENING_MOST) {
			open_one();
			if (mute && ready == count) tell_ready(start);
		}
		int found = epoll_wait(poller, events, 512, -1);
		if (found < 0 && errno != EINTR) die("epoll_wait");
		for (int i = 0; i < found; i++) {
			struct viewer *viewer = events[i].data.ptr;
			ssize_t length = read(viewer ? viewer->fd : 0, data, sizeof data);
			if (length > 0 && viewer) take(viewer, data, length, start);
			else if (viewer) close_one(viewer);
			else if (length > 0) tell_delays();
			else end();
		}
	}
}

int main(int argc, char **argv) {
	if (argc != 6) return fprintf(stderr, "viewers PORT COUNT SECONDS MARKER REQUEST\n"), 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(atoi(argv[3]));
	count = atoi(argv[2]), marker = argv[4], request = argv[5], mute = !*marker;
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	viewers = calloc(count, sizeof *viewers);
	delays = malloc(DELAYS_MOST * sizeof *delays);
	poller = epoll_create1(0);
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
	if (!viewers || !delays || poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input)) die("start");
	run();
}
