/*
 * How what is appended to a journal reaches one viewer: attach, replay, live, reconnect (docs/architecture.md,
 * "A hub"). `python -m tests.model` lets spin try every order in which the parts can act and fail.
 *
 * The parts: a producer that appends to Redis, Redis, a hub (its listener and its filler) that holds one topic, and
 * a viewer who comes and goes. Names are those of headway/hub.py, topics.py and seats.py.
 *
 * What may happen: Redis breaks the subscription and all that is under way is lost; a message is lost without a
 * sound; Redis fails over to an older copy of its log, whereupon the producer sends again what it still has, or it
 * has died and another execution goes on from there; the log is trimmed; the viewer's connection is cut between
 * any two frames; while it is away the hub drops the topic, or another web process serves it.
 *
 * What must hold is an assertion wherever it could break:
 *   1. each event a viewer gets follows the one before, in one history       (give)
 *   2. whoever had something and gets a snapshot is told of a gap            (give_snapshot)
 *   3. no gap unless events were lost for good, or trimmed                   (give_snapshot)
 *   4. once faults are over the viewer is where the log ends                 (the end of the file)
 * The fourth is checked where nothing can move any more. Nothing here can go on for ever (spin checks that too), so
 * every run comes there: no fairness is assumed.
 *
 * An event's id commits to its past. Here it is `8 * began + seq`: `began` is 0 for what the first execution says, and
 * for the second one the seq of its first event. The first execution's events before that are the only ones they
 * could be, so equal ids have equal pasts, and `before(id)` is all that a message need not carry.
 *
 * What is left out: time. "3 seconds" is: until whoever still has what Redis lost has sent it again. So is a Redis
 * that comes back with nothing at all, the end of a task, and every number but a few: the bounds below. One viewer is
 * enough: viewers share the topic and nothing else.
 *
 * The other names that can be defined each break a rule (NO_AUDIT, BLIND ...) or deny that something happens
 * (REACH_...): spin must find where that goes wrong. tests/model/spin.py has the list.
 */

#ifndef EVENTS
#define EVENTS 3 /* in the whole log */
#endif
#ifndef KEPT
#define KEPT EVENTS /* of them in the log at a time; if fewer, it is trimmed */
#endif
/* How often it may happen that ... */
#ifndef BREAKS
#define BREAKS 0 /* the subscription breaks */
#endif
#ifndef LOSSES
#define LOSSES 0 /* a message is lost without a sound */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0 /* Redis fails over */
#endif
#ifndef DEATHS
#define DEATHS 0 /* the first execution dies */
#endif
#ifndef LEAVES
#define LEAVES 0 /* the viewer is cut off, and returns */
#endif
#define RING 2       /* frames held of a topic */
#define READ_COUNT 2 /* entries of the log read at once */
#define HEARD 2      /* messages kept while a topic is being read */

/* What a run may be asked to show: that it happens at all. */
#ifdef REACH_REPLAY
#define REPLAYED assert(false)
#else
#define REPLAYED skip
#endif
#ifdef REACH_FORK
#define TORN assert(false)
#else
#define TORN skip
#endif
#ifdef REACH_RESENT
#define RESENT assert(!topic.missing)
#else
#define RESENT skip
#endif
#ifdef REACH_AHEAD
#define WAITS assert(false)
#else
#define WAITS skip
#endif

#define NONE 255 /* no cursor */
#define seq(id) ((id) & 7)
#define began(id) ((id) >> 3)
#define said(id) (id == NONE -> 0 : seq(id)), (id == NONE -> 0 : began(id)) /* 3-0: the first one's third event */
#define before(id) (seq(id) == began(id) -> seq(id) - 1 : (id) - 1)

mtype = { same, trimmed, fork, ahead, gone };

typedef Log {
    byte first = 1;
    byte last;  /* seq; 0: nothing there */
    byte began  /* of the second execution's events, if it holds any */
};
#define entry(log, n) ((log.began && (n) >= log.began) -> 8 * log.began + (n) : (n))

Log log;

/* How a cursor stands to the log, as one reading finds it: journal.py, `_reading`. */
#ifdef TRUST_CURSOR
#define is_in(log, cursor) true
#else
#define is_in(log, cursor) (cursor == entry(log, seq(cursor)))
#endif
#define follows(cursor) (cursor == 0 -> (log.first == 1 -> same : trimmed) : \
    (seq(cursor) > log.last -> ahead : (seq(cursor) < log.first -> trimmed : \
    (is_in(log, cursor) -> same : fork))))
#define compare(cursor) (log.last == 0 -> gone : \
    (cursor == NONE || cursor == entry(log, log.last) -> same : follows(cursor)))

inline copy(reading)
{
    reading.first = log.first;
    reading.last = log.last;
    reading.began = log.began
}

/* ---- what all parts share ------------------------------------------------------------------------------------ */

#define ACKNOWLEDGED 254
chan feed = [2] of { byte }; /* what Redis has sent to the listener: ids, and acknowledgements */
bool asked, subscribed, broken; /* SUBSCRIBE is on its way; was carried out; the connection has gone */

typedef Topic {
    byte cursor = NONE;
    byte base;
    byte ring[RING];
    byte held; /* of the ring's places */
    byte generation;
    byte doubted = NONE;
    bool exists, acknowledged, ready, live, missing
}
Topic topic;
chan heard = [HEARD] of { byte }; /* the topic's: came while it was not live */
bool fills;  /* the topic is to be read */
bool reads;  /* it is being read, and its connection has not changed meanwhile */

typedef Seat {
    byte cursor = NONE;
    byte generation;
    bool attached, placed, waits;
    bool spent /* its wait, on an earlier loss: only if STALE_WAIT */
}
Seat seat;
byte brought = NONE; /* the id the viewer would return with */
byte seen = NONE;    /* what its next event must follow */

byte most;       /* the furthest that the producer has got: beyond the log's end, it has something to send again */
bool replaced;   /* the first execution has died */
bool lost;       /* events that nobody will send again */
byte breaks, losses, failovers, deaths, leaves; /* that are still to come */
#define owes (log.last < most)
#if defined(NO_WAIT)
#define is_late(waits) true
#elif defined(ENDLESS_WAIT)
#define is_late(waits) false
#else
#define is_late(waits) (waits && !owes) /* "after 3 seconds" */
#endif

/* ---- the producer -------------------------------------------------------------------------------------------- */

/* The script: append, trim, publish, in one step. */
inline append()
{
    log.last++;
    if
    :: replaced && log.began == 0 -> log.began = log.last
    :: else
    fi;
    if
    :: log.last > most -> most = log.last
    :: else
    fi;
    if
    :: log.last - log.first >= KEPT -> log.first++
    :: else
    fi;
    if
    :: subscribed && nfull(feed) ->
        printf("producer: appends %d-%d\n", said(entry(log, log.last)));
        feed!entry(log, log.last)
    :: subscribed && losses ->
        printf("producer: appends %d-%d; the message is lost\n", said(entry(log, log.last)));
        losses--
    :: !subscribed -> printf("producer: appends %d-%d; nobody hears it\n", said(entry(log, log.last)))
    fi
}

proctype producer()
{
    bool silent; /* the second execution has nothing to say */
end:
    do
    :: atomic { log.last < EVENTS && !silent && (nfull(feed) || !subscribed) -> append() }
    :: atomic { deaths && log.last -> /* its task is delivered again */
        printf("producer: dies; another execution goes on\n");
        deaths--;
        replaced = true;
        lost = owes;
        most = log.last;
        if
        :: silent = true
        :: skip
        fi }
    od
}

/* ---- Redis --------------------------------------------------------------------------------------------------- */

/* An older copy takes over. What the first execution has said is lost for good if that one has died. */
inline fail_over()
{
    log.last--;
    do
    :: log.last > log.first -> log.last--
    :: break
    od;
    if
    :: replaced && (log.began == 0 || log.last + 1 < log.began) ->
        lost = true;
        most = log.last
    :: else
    fi;
    if
    :: log.last < log.began -> log.began = 0
    :: else
    fi;
    printf("Redis: fails over; the log ends at %d-%d\n", said(entry(log, log.last)))
}

proctype redis()
{
end:
    do
    :: atomic { asked && nfull(feed) -> 
        printf("Redis: acknowledges the subscription\n");
        asked = false;
        subscribed = true;
        feed!ACKNOWLEDGED }
    :: atomic { breaks && !broken ->
        printf("Redis: the subscription breaks\n");
        breaks--;
        broken = true;
        asked = false;
        subscribed = false;
        do
        :: feed?_
        :: empty(feed) -> break
        od }
    :: atomic { failovers && log.last > log.first -> failovers--; fail_over() }
    od
}

/* ---- the topic: hub.py, topics.py ---------------------------------------------------------------------------- */

#define holds(id) (id == topic.cursor || id == topic.base || \
    (topic.held > 0 && topic.ring[0] == id) || (topic.held > 1 && topic.ring[1] == id))

#ifdef BLIND
#define is_next(id) (id != topic.cursor)
#elif defined(SEQ_PLUS_ONE)
#define is_next(id) (topic.cursor != NONE && seq(id) == seq(topic.cursor) + 1)
#else
#define is_next(id) (before(id) == topic.cursor)
#endif

inline hold(id)
{
    if
    :: topic.held == RING ->
        topic.base = topic.ring[0];
        topic.ring[0] = topic.ring[1];
        topic.ring[1] = id
    :: else ->
        topic.ring[topic.held] = id;
        topic.held++
    fi;
    topic.cursor = id;
    topic.missing = false;
    printf("hub: holds %d-%d\n", said(topic.cursor))
}

inline begin(reading)
{
    topic.cursor = (reading.last -> entry(reading, reading.last) : 0);
    topic.base = topic.cursor;
    topic.ring[0] = 0;
    topic.ring[1] = 0;
    topic.held = 0
}

inline refill()
{
    topic.live = false;
    fills = true
}

/* The listener: owns the connection. */

inline subscribe()
{
    asked = !broken;
    topic.acknowledged = false;
#ifdef UNACKNOWLEDGED
    topic.acknowledged = true;
    refill()
#endif
}

inline acknowledge()
{
    topic.acknowledged = true;
#ifdef NO_REFILL
    if
    :: topic.ready -> topic.live = true
    :: else -> refill()
    fi
#elif !defined(UNACKNOWLEDGED)
    refill()
#endif
}

inline hear(id)
{
    if
    :: !topic.exists
    :: topic.exists && id == ACKNOWLEDGED -> acknowledge()
    :: topic.exists && id != ACKNOWLEDGED && !topic.live ->
        if
        :: full(heard) -> heard?_
        :: nfull(heard)
        fi;
        heard!id
    :: topic.exists && id != ACKNOWLEDGED && topic.live ->
        if
        :: is_next(id) -> hold(id)
        :: !is_next(id) && holds(id) -> skip
        :: else ->
            heard!id;
            refill()
        fi
    fi
}

proctype listener()
{
    byte id;
end:
    do
    :: atomic { feed?id -> hear(id); id = 0 }
    :: atomic { broken -> /* noticed: connect again, and subscribe to all there is */
        printf("hub: connects again\n");
        broken = false;
        reads = false;
        topic.live = false;
        if
        :: topic.exists -> subscribe()
        :: else
        fi }
    od
}

/* The filler: does all reading. */

inline take_heard()
{
    do
    :: nempty(heard) ->
        heard?<id>;
        if
        :: is_next(id) -> heard?_; hold(id)
        :: !is_next(id) && seq(id) > seq(topic.cursor) && id != topic.doubted ->
            topic.doubted = id;
            refill();
            break
        :: else -> heard?_ /* a second reading has not found it either */
        fi
    :: empty(heard) -> break
    od;
    id = 0
}

inline tear()
{
    begin(reading);
#ifndef UNANNOUNCED
    topic.generation++;
#endif
    topic.missing = false;
    TORN;
    printf("hub: history is not what it saw; begins at %d-%d\n", said(topic.cursor))
}

inline integrate()
{
    topic.live = true;
    fills = false;
    if
    :: topic.cursor == NONE ->
        begin(reading);
        printf("hub: begins at %d-%d\n", said(topic.cursor))
    :: topic.cursor != NONE && past == same ->
        RESENT;
        topic.missing = false;
        n = 0;
        do
        :: n < READ_COUNT && seq(topic.cursor) < reading.last ->
            hold(entry(reading, seq(topic.cursor) + 1));
            n++
        :: else -> break
        od;
        n = 0;
        if
        :: seq(topic.cursor) < reading.last -> refill()
        :: else
        fi
    :: topic.cursor != NONE && past == ahead && !late -> topic.missing = true
    :: topic.cursor != NONE && (past == trimmed || past == fork || past == ahead && late) -> tear()
    :: topic.cursor == 0 && past == gone
    fi;
    topic.ready = true;
    take_heard()
}

proctype filler()
{
    Log reading;
    mtype past;
    bool late;
    byte id, n;
end:
    do
    :: atomic { fills && topic.acknowledged ->
        copy(reading);
        past = compare(topic.cursor);
        late = is_late(topic.missing);
        reads = true;
        printf("hub: reads; its cursor is %e\n", past) }
        atomic {
            if
            :: reads -> integrate()
            :: !reads
            fi;
            reads = false;
            past = 0; late = false; reading.first = 0; reading.last = 0; reading.began = 0 }
#ifndef NO_AUDIT
    :: atomic { topic.live && !topic.missing && topic.cursor != entry(log, log.last) ->
        printf("hub: its audit finds something new\n");
        refill() }
#endif
#ifndef ENDLESS_WAIT
    :: atomic { topic.live && topic.missing && !owes -> refill() }
#endif
    od
}

/* ---- the viewer and its seat: seats.py ----------------------------------------------------------------------- */

#define is_torn (seat.placed && seat.generation != topic.generation)
#define is_due (seat.attached && topic.ready && (is_torn || seat.cursor == NONE || \
    (holds(seat.cursor) && (!seat.placed || seat.cursor != topic.cursor))))
#define is_behind (seat.attached && topic.ready && !is_torn && seat.cursor != NONE && !holds(seat.cursor))
/* To read now would change nothing: it is further than the hub, or waits. */
#define is_idle (seat.cursor == entry(log, log.last) || \
    (compare(seat.cursor) == ahead && seat.waits && owes && !seat.spent))

inline attach()
{
    seat.attached = true;
    seat.cursor = brought;
    seen = brought;
    printf("viewer: comes, and knows %d-%d\n", said(brought));
    if
    :: !topic.exists -> topic.exists = true; subscribe()
    :: topic.exists
    fi
}

inline leave()
{
    printf("viewer: is cut off\n");
    leaves--;
    seat.attached = false;
    seat.placed = false;
    seat.waits = false;
    seat.spent = false;
    seat.cursor = NONE;
    seat.generation = 0
}

/* Another web process has served it meanwhile, and its hub was further than this one. */
#define is_served_elsewhere (!seat.attached && brought != NONE && brought == entry(log, seq(brought)) && \
    seq(brought) >= log.first && seq(brought) < log.last)

/* Nobody watches: the hub drops the topic. Also what a return to a web process that has none is like. */
inline drop()
{
    printf("hub: drops the topic\n");
    asked = false;
    subscribed = false;
    fills = false;
    reads = false;
    topic.exists = false;
    topic.acknowledged = false;
    topic.ready = false;
    topic.live = false;
    topic.missing = false;
    topic.cursor = NONE;
    topic.doubted = NONE;
    topic.base = 0;
    topic.held = 0;
    topic.ring[0] = 0;
    topic.ring[1] = 0;
    topic.generation = 0;
    do
    :: heard?_
    :: empty(heard) -> break
    od
}

inline place(id)
{
    seat.placed = true;
    seat.cursor = id;
    seat.generation = topic.generation;
#ifdef STALE_WAIT
    seat.spent = seat.waits
#else
    seat.waits = false
#endif
}

inline give(id)
{
    printf("viewer: gets %d-%d\n", said(id));
    assert(before(id) == seen);
    seen = id;
    brought = id
}

inline give_snapshot(gap)
{
    printf("viewer: gets a snapshot of %d-%d, gap %d\n", said(topic.cursor), gap);
    assert(gap || brought == NONE);
    assert(!gap || lost || log.first > 1);
    place(topic.cursor);
    seen = topic.cursor;
    if
    :: topic.cursor -> brought = topic.cursor
    :: else /* of nothing: it has no id */
    fi
}

inline take()
{
    if
    :: is_torn -> give_snapshot(true)
    :: !is_torn && seat.cursor == NONE -> give_snapshot(false)
    :: else ->
        id = seat.cursor;
        place(topic.cursor);
        n = 0;
        do
        :: n < topic.held && seq(topic.ring[n]) <= seq(id) -> n++
        :: n < topic.held && seq(topic.ring[n]) > seq(id) -> give(topic.ring[n]); n++
        :: n < topic.held && leaves -> leave(); break
        :: n == topic.held -> break
        od;
        id = 0; n = 0
    fi
}

inline replay(since)
{
    n = since;
    id = n + READ_COUNT;
    do
    :: n < reading.last && n < id ->
        n++;
        place(entry(reading, n));
        give(seat.cursor);
        REPLAYED
    :: n < reading.last && n < id && leaves -> leave(); break
    :: n == reading.last || n == id -> break
    od;
    id = 0; n = 0
}

inline catch_up()
{
    if
    :: past == ahead && !late -> seat.waits = true; WAITS
    :: past == trimmed && seat.cursor == 0 ->
        give_snapshot(true);
        seen = entry(reading, reading.first - 1); /* this snapshot has no id, and all that is held follows */
        replay(reading.first - 1)
    :: past == same -> replay(seq(seat.cursor))
#ifdef UNANNOUNCED
    :: else -> give_snapshot(false)
#else
    :: else -> give_snapshot(true)
#endif
    fi
}

proctype viewer()
{
    Log reading;
    mtype past;
    bool late;
    byte id, n;
end:
    do
    :: atomic { !seat.attached -> attach() }
    :: atomic { !seat.attached && topic.exists -> drop() }
    :: atomic { is_served_elsewhere -> brought = entry(log, seq(brought) + 1);
        printf("viewer: gets %d-%d elsewhere\n", said(brought)) }
    :: atomic { is_due -> take() }
    :: atomic { is_behind && !is_idle ->
        copy(reading);
        past = compare(seat.cursor);
        late = is_late(seat.waits) || seat.spent;
        printf("viewer: reads the log; its cursor is %e\n", past) }
        atomic {
            catch_up();
            past = 0; late = false; reading.first = 0; reading.last = 0; reading.began = 0 }
    :: atomic { seat.attached && leaves -> leave() }
    od
}

/* ---- the beginning; and the end, when nothing can move any more ---------------------------------------------- */

inline up_to(faults, most_faults)
{
    do
    :: faults < most_faults -> faults++
    :: break
    od
}


init
{
    atomic {
        up_to(breaks, BREAKS);
        up_to(losses, LOSSES);
        up_to(failovers, FAILOVERS);
        up_to(deaths, DEATHS);
        up_to(leaves, LEAVES);
        run producer();
        run redis();
        run listener();
        run filler();
        run viewer()
    }
    timeout -> assert(seat.attached && seen == entry(log, log.last) && topic.cursor == seen)
}
