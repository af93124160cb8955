/* Pollers: who is reported, until when, in which order, and to whom. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

static push_poller *poller(void)
{
    push_poller *p = push_poller_new();
    assert_non_null(p);
    return p;
}

static void add(push_poller *p, push_client *c, void *data)
{
    assert_int_equal(push_poller_add(p, c, data), 0);
}

/* A wait that does not wait reports exactly that client. */
#define assert_reports(p, c, data) assert_reports_(p, c, data, __FILE__, __LINE__)
static void assert_reports_(push_poller *p, push_client *c, void *data, const char *file, int line)
{
    push_event events[4];
    memset(events, 0xa5, sizeof(events));
    int n = push_poller_wait(p, events, 4, 0);
    _assert_int_equal(cast_to_largest_integral_type(n), 1, file, line);
    _assert_true(events[0].client == c, "the client", file, line);
    _assert_true(events[0].data == data, "its data", file, line);
}

#define assert_quiet(p) assert_quiet_(p, __FILE__, __LINE__)
static void assert_quiet_(push_poller *p, const char *file, int line)
{
    push_event events[4];
    int n = push_poller_wait(p, events, 4, 0);
    _assert_int_equal(cast_to_largest_integral_type(n), cast_to_largest_integral_type(-EAGAIN), file, line);
}

static void reported_until_a_pull_finds_nothing(void **state)
{
    (void)state;
    int data;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = poller();
    assert_quiet(p);
    add(p, c, &data);
    assert_quiet(p);
    for (int round = 0; round < 3; round++) {
        assert_put(c, "1");
        assert_reports(p, c, &data);
        assert_put(c, "2");
        assert_reports(p, c, &data);
        assert_next(c, 0, "1");
        assert_reports(p, c, &data);
        assert_next(c, 0, "2");
        assert_reports(p, c, &data); /* drained, but nobody has found nothing yet */
        assert_empty(c);
        assert_quiet(p);
    }
    /* Every kind of pull that finds nothing will do. */
    push_msg *msg;
    assert_put(c, "1");
    assert_next(c, 0, "1");
    assert_int_equal(push_client_pull(c, &msg, 1), -ETIMEDOUT);
    assert_quiet(p);
    assert_put(c, "1");
    assert_next(c, 0, "1");
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), -EAGAIN);
    assert_quiet(p);
    assert_put(c, "1");
    assert_int_equal(push_client_pull_many(c, &msg, 1, NULL, 0), 1);
    push_msg_unref(msg);
    assert_reports(p, c, &data);
    assert_int_equal(push_client_pull_many(c, &msg, 1, NULL, 1), -ETIMEDOUT);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

static void waits_say_why_they_end(void **state)
{
    (void)state;
    push_poller *p = poller();
    push_event event;
    assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
    struct result r = finish(begin_wait(p, 40));
    assert_int_equal(r.rc, -ETIMEDOUT);
    assert_true(r.ns >= 40 * MILLISECOND);

    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    add(p, c, NULL);
    int timeouts[] = {-1, -7, 60000};
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        struct call *wait = begin_wait(p, timeouts[i]);
        assert_asleep(wait);
        assert_int_equal(push_session_push(s, "x", 1), 1);
        r = finish(wait);
        assert_int_equal(r.rc, 1);
        assert_ptr_equal(r.events[0].client, c);
        assert_next(c, 0, "x");
        assert_empty(c);
    }
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

static void what_was_there_before_the_add_is_reported(void **state)
{
    (void)state;
    int data;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = poller();
    assert_put(c, "x");
    add(p, c, &data);
    assert_reports(p, c, &data);
    assert_next(c, 0, "x");
    assert_empty(c);
    assert_quiet(p);

    push_client *closed = client(s, "closed", 3);
    assert_true(push_client_delete(closed));
    add(p, closed, NULL);
    assert_reports(p, closed, NULL);
    assert_drained(closed);
    assert_reports(p, closed, NULL);
    assert_int_equal(push_poller_remove(p, closed), 0);
    assert_quiet(p);

    push_client *rendezvous = client(s, "rendezvous", 0);
    struct call *push = begin_send(rendezvous, "x", -1);
    assert_asleep(push);
    add(p, rendezvous, NULL);
    assert_reports(p, rendezvous, NULL);
    assert_next(rendezvous, 0, "x");
    assert_int_equal(finish(push).rc, 1);
    assert_empty(rendezvous);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(rendezvous);
    push_client_unref(closed);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_closed_client_is_reported_until_it_is_removed(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        push_session *s = session("s");
        push_client *c = client_with(s, "c", 1, how == 3 ? PUSH_DISCONNECT : PUSH_BLOCK);
        push_client *newer = NULL;
        push_client_options options = {.max_buffer = 1, .duplicate = how == 4 ? PUSH_REPLACE : PUSH_TAKEOVER};
        push_poller *p = poller();
        add(p, c, NULL);
        struct call *wait = NULL;
        if (how == 3) {
            assert_put(c, "x");
        } else {
            wait = begin_wait(p, -1);
            assert_asleep(wait);
        }
        if (how == 0)
            assert_true(push_client_delete(c));
        if (how == 1)
            assert_true(push_session_delete_client(s, PUSH_ID("c")));
        if (how == 2)
            assert_true(push_session_delete(PUSH_ID("s")));
        if (how == 3)
            assert_int_equal(push_session_push(s, "y", 1), 0);
        if (how >= 4)
            newer = push_client_new(s, PUSH_ID("c"), &options);
        if (wait) {
            struct result r = finish(wait);
            assert_int_equal(r.rc, 1);
            assert_ptr_equal(r.events[0].client, c);
        }
        if (how == 3)
            assert_next(c, 0, "x");
        for (int i = 0; i < 3; i++) {
            assert_reports(p, c, NULL);
            assert_drained(c);
        }
        if (newer) {
            /* The newer one is in no poller until it is added. */
            assert_int_equal(push_poller_remove(p, newer), -ENOENT);
            assert_put(newer, "x");
            assert_reports(p, c, NULL);
            assert_int_equal(push_poller_remove(p, c), 0);
            assert_quiet(p);
            add(p, newer, &newer);
            assert_reports(p, newer, &newer);
            push_client_unref(newer);
        } else {
            assert_int_equal(push_poller_remove(p, c), 0);
            assert_quiet(p);
        }
        assert_int_equal(push_poller_remove(p, c), -ENOENT);
        push_poller_free(p);
        push_client_unref(c);
        push_session_delete(PUSH_ID("s"));
        push_session_unref(s);
    }
}

static void one_poller_a_client(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = poller();
    push_poller *q = poller();
    add(p, c, &p);
    assert_int_equal(push_poller_add(p, c, &q), -EEXIST);
    assert_int_equal(push_poller_add(q, c, &q), -EBUSY);
    assert_int_equal(push_poller_remove(q, c), -ENOENT);
    assert_int_equal(push_poller_pause(q, c), -ENOENT);
    assert_int_equal(push_poller_resume(q, c), -ENOENT);
    assert_put(c, "x");
    assert_reports(p, c, &p); /* with the data it was added with */
    assert_quiet(q);
    assert_int_equal(push_poller_remove(p, c), 0);
    assert_quiet(p);
    add(q, c, &q);
    assert_reports(q, c, &q);
    assert_int_equal(push_poller_add(p, c, NULL), -EBUSY);
    assert_true(push_client_delete(c));
    assert_int_equal(push_poller_add(p, c, NULL), -EBUSY);
    assert_int_equal(push_poller_add(q, c, NULL), -EEXIST);
    push_poller_free(q);
    add(p, c, NULL);
    assert_reports(p, c, NULL);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

static void removed_is_removed(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_client *other = client(s, "other", 3);
    push_poller *p = poller();
    add(p, c, NULL);
    add(p, other, NULL);
    assert_put(c, "x");
    assert_int_equal(push_poller_remove(p, c), 0);
    assert_quiet(p);
    assert_int_equal(push_poller_remove(p, c), -ENOENT);
    assert_int_equal(push_poller_pause(p, c), -ENOENT);
    assert_int_equal(push_poller_resume(p, c), -ENOENT);
    struct call *wait = begin_wait(p, -1);
    assert_asleep(wait);
    assert_put(c, "y");
    assert_asleep(wait);
    assert_put(other, "z");
    struct result r = finish(wait);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, other);
    /* The client is as it was. */
    assert_next(c, 0, "x");
    assert_next(c, 0, "y");
    push_poller_free(p);
    push_client_unref(c);
    push_client_unref(other);
    push_session_unref(s);
}

static void the_poller_holds_its_clients(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = poller();
    add(p, c, &t);
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    int fd = push_client_fd(c);
    push_client_unref(c);
    assert_true(push_session_delete(PUSH_ID("s")));
    push_session_unref(s);
    push_shutdown();
    push_event event;
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    assert_ptr_equal(event.client, c);
    assert_true(push_id_equal(push_client_id(event.client), PUSH_ID("c")));
    assert_true(stats_of(event.client).closed);
    assert_true(readable(fd));
    assert_int_equal(t.freed, 0);
    assert_int_equal(push_poller_remove(p, event.client), 0);
    assert_int_equal(t.freed, 1);
    assert_false(descriptor_open(fd));
    assert_quiet(p);
    push_poller_free(p);
}

static void a_poller_freed_with_clients_in_it(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *open = client(s, "open", 3);
    push_client *gone = client(s, "gone", 3);
    push_poller *p = poller();
    add(p, open, NULL);
    add(p, gone, NULL);
    assert_put(open, "x");
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(gone, msg, 0, NULL), 1);
    push_msg_unref(msg);
    assert_true(push_client_delete(gone));
    push_client_unref(gone);
    push_poller_wake(p);
    assert_int_equal(t.freed, 0);
    push_poller_free(p);
    assert_int_equal(t.freed, 1);
    push_poller_free(NULL);
    /* The other stays as it was, and may be in another. */
    assert_put(open, "y");
    p = poller();
    add(p, open, NULL);
    assert_reports(p, open, NULL);
    assert_next(open, 0, "x");
    assert_next(open, 0, "y");
    assert_empty(open);
    push_poller_free(p);
    assert_put(open, "z");
    assert_next(open, 0, "z");
    push_client_unref(open);
    push_session_unref(s);
}

/* ---- Many clients ----------------------------------------------------------------------------------------- */

static void a_wait_fills_the_events(void **state)
{
    (void)state;
    enum { N = 100 };
    push_poller *p = poller();
    push_client *clients[N];
    int seen[N] = {0};
    for (int i = 0; i < N; i++) {
        /* Clients of many sessions share it. */
        clients[i] = push_client_open(PUSH_ID(i % 7), PUSH_ID(i), NULL);
        assert_non_null(clients[i]);
        add(p, clients[i], &seen[i]);
    }
    push_event events[N + 10];
    for (int i = 0; i < N; i += 2)
        assert_put(clients[i], "x");
    assert_int_equal(push_poller_wait(p, events, N + 10, -1), N / 2);
    for (int i = 0; i < N / 2; i++)
        ++*(int *)events[i].data;
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], i % 2 == 0); /* nobody twice */
    for (int i = 1; i < N; i += 2)
        assert_put(clients[i], "x");
    assert_int_equal(push_poller_wait(p, events, 30, -1), 30);
    assert_int_equal(push_poller_wait(p, events, N, 5), N);
    for (int i = 0; i < N; i++) {
        assert_next(clients[i], 0, "x");
        assert_empty(clients[i]);
    }
    assert_quiet(p);
    push_poller_free(p);
    for (int i = 0; i < N; i++)
        push_client_unref(clients[i]);
}

static void ready_clients_are_served_in_turn(void **state)
{
    (void)state;
    enum { N = 10 };
    push_session *s = session("s");
    push_poller *p = poller();
    push_client *clients[N];
    int seen[N] = {0};
    for (int i = 0; i < N; i++) {
        clients[i] = push_client_new(s, PUSH_ID(i), NULL);
        add(p, clients[i], &seen[i]);
    }
    assert_int_equal(push_session_push(s, "x", 1), N);
    /* One at a time, and nobody a second time before everybody has had his first. */
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < N; i++) {
            push_event event;
            assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
            ++*(int *)event.data;
        }
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], round);
    }
    for (int i = 0; i < N; i++) {
        assert_next(clients[i], 0, "x");
        assert_empty(clients[i]);
    }
    /* One that is always busy does not keep the others from their turn. */
    memset(seen, 0, sizeof(seen));
    assert_put(clients[0], "busy");
    push_event event;
    for (int i = 1; i < N; i++) {
        assert_put(clients[i], "y");
        int waits = 0;
        do {
            assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
            if (event.client == clients[0]) {
                assert_next(clients[0], 0, "busy");
                assert_put(clients[0], "busy");
            }
            assert_true(++waits <= 2);
        } while (event.client == clients[0]);
        assert_ptr_equal(event.client, clients[i]);
        assert_next(clients[i], 0, "y");
        assert_empty(clients[i]);
    }
    push_poller_free(p);
    for (int i = 0; i < N; i++)
        push_client_unref(clients[i]);
    push_session_unref(s);
}

/* ---- The descriptor --------------------------------------------------------------------------------------- */

static void the_descriptor_is_true(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_client *d = client(s, "d", 3);
    push_poller *p = poller();
    int fd = push_poller_fd(p);
    assert_true(fd >= 0);
    assert_int_equal(push_poller_fd(p), fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_quiet(p);
    assert_false(readable(fd));
    add(p, c, NULL);
    add(p, d, NULL);
    assert_quiet(p);
    assert_false(readable(fd));
    for (int round = 0; round < 3; round++) {
        assert_put(c, "x");
        assert_true(readable(fd));
        assert_true(readable(fd));
        assert_reports(p, c, NULL);
        assert_true(readable(fd));
        assert_put(d, "x");
        push_event event;
        assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
        assert_true(readable(fd));
        assert_next(c, 0, "x");
        assert_empty(c);
        assert_true(readable(fd));
        assert_reports(p, d, NULL);
        assert_next(d, 0, "x");
        assert_empty(d);
        assert_quiet(p);
        assert_false(readable(fd));
    }
    /* A wake, and a closed client. */
    push_poller_wake(p);
    assert_true(readable(fd));
    push_event event;
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 0);
    assert_quiet(p);
    assert_false(readable(fd));
    assert_true(push_client_delete(c));
    assert_true(readable(fd));
    assert_reports(p, c, NULL);
    assert_drained(c);
    assert_true(readable(fd));
    assert_int_equal(push_poller_remove(p, c), 0);
    assert_quiet(p);
    assert_false(readable(fd));
    push_poller_free(p);
    assert_false(descriptor_open(fd));

    /* Made when there is something to report already; with a message, and with a wake. */
    p = poller();
    assert_put(d, "x");
    add(p, d, NULL);
    fd = push_poller_fd(p);
    assert_true(readable(fd));
    assert_next(d, 0, "x");
    assert_empty(d);
    assert_quiet(p);
    assert_false(readable(fd));
    push_poller_free(p);
    p = poller();
    push_poller_wake(p);
    assert_true(readable(push_poller_fd(p)));
    push_poller_free(p);
    push_client_unref(c);
    push_client_unref(d);
    push_session_unref(s);
}

static void pollers_nest_in_epoll(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = poller();
    add(p, c, NULL);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, push_poller_fd(p), &event), 0);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 0);
    assert_put(c, "1");
    for (int i = 0; i < 3; i++)
        assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_reports(p, c, NULL);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_next(c, 0, "1");
    assert_empty(c);
    assert_quiet(p);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 0);
    /* The client's own descriptor beside the poller's. */
    int fd = push_client_fd(c);
    assert_false(readable(fd));
    assert_put(c, "2");
    assert_true(readable(fd));
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_next(c, 0, "2");
    assert_empty(c);
    assert_false(readable(fd));
    close(loop);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* A client without a descriptor of its own needs none in a poller. */
static void a_poller_is_one_descriptor_for_all(void **state)
{
    (void)state;
    enum { N = 300 };
    int before = count_descriptors();
    push_session *s = session("s");
    push_poller *p = poller();
    for (int i = 0; i < N; i++) {
        push_client *c = push_client_new(s, PUSH_ID(i), NULL);
        add(p, c, NULL);
        push_client_unref(c);
    }
    assert_int_equal(push_session_push(s, "x", 1), N);
    assert_true(push_poller_fd(p) >= 0);
    assert_in_range(count_descriptors() - before, 1, 2);
    push_poller_free(p);
    assert_int_equal(count_descriptors(), before);
    push_session_unref(s);
}

/* ---- Pause and wake --------------------------------------------------------------------------------------- */

static void a_paused_client_is_not_reported(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    push_client *other = client(s, "other", 5);
    push_poller *p = poller();
    add(p, c, NULL);
    add(p, other, NULL);
    int fd = push_poller_fd(p);
    /* Paused while it is ready. */
    assert_put(c, "1");
    assert_int_equal(push_poller_pause(p, c), 0);
    assert_quiet(p);
    assert_false(readable(fd));
    assert_int_equal(push_poller_pause(p, c), 0);
    assert_put(c, "2");
    assert_quiet(p);
    assert_false(readable(fd));
    struct call *wait = begin_wait(p, -1);
    assert_asleep(wait);
    assert_put(c, "3");
    assert_asleep(wait);
    assert_int_equal(push_poller_resume(p, c), 0);
    struct result r = finish(wait);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, c);
    assert_true(readable(fd));
    assert_reports(p, c, NULL);
    assert_int_equal(push_poller_resume(p, c), 0);
    assert_reports(p, c, NULL);
    for (int i = 1; i <= 3; i++)
        assert_next(c, 0, ((char[2]){(char)('0' + i)}));
    assert_empty(c);
    assert_quiet(p);

    /* Paused while it is not; the others are reported meanwhile. */
    assert_int_equal(push_poller_pause(p, c), 0);
    assert_put(c, "4");
    assert_put(other, "5");
    assert_reports(p, other, NULL);
    assert_next(other, 0, "5");
    assert_empty(other);
    assert_quiet(p);
    /* Emptied meanwhile: there is nothing to report after all. */
    assert_next(c, 0, "4");
    assert_empty(c);
    assert_int_equal(push_poller_resume(p, c), 0);
    assert_quiet(p);
    assert_put(c, "6");
    assert_reports(p, c, NULL);

    /* Removed and added again it starts anew. */
    assert_int_equal(push_poller_pause(p, c), 0);
    assert_quiet(p);
    assert_int_equal(push_poller_remove(p, c), 0);
    add(p, c, NULL);
    assert_reports(p, c, NULL);
    push_poller_free(p);
    push_client_unref(c);
    push_client_unref(other);
    push_session_unref(s);
}

static void a_paused_client_is_reported_when_it_closes(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    push_poller *p = poller();
    add(p, c, NULL);
    assert_put(c, "x");
    assert_int_equal(push_poller_pause(p, c), 0);
    struct call *wait = begin_wait(p, -1);
    assert_asleep(wait);
    assert_true(push_client_delete(c));
    struct result r = finish(wait);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, c);
    assert_reports(p, c, NULL);
    assert_true(readable(push_poller_fd(p)));
    /* Pausing a closed one does not hide it either. */
    assert_int_equal(push_poller_pause(p, c), 0);
    assert_reports(p, c, NULL);
    assert_next(c, 0, "x");
    assert_drained(c);
    assert_reports(p, c, NULL);
    assert_int_equal(push_poller_resume(p, c), 0);
    assert_reports(p, c, NULL);
    assert_int_equal(push_poller_remove(p, c), 0);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

static void wakes_are_counted_and_come_first(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    push_poller *p = poller();
    push_event event;
    add(p, c, NULL);
    for (int n = 1; n <= 5; n++) {
        for (int i = 0; i < n; i++)
            push_poller_wake(p);
        if (n % 2)
            assert_put(c, "x");
        for (int i = 0; i < n; i++)
            assert_int_equal(push_poller_wait(p, &event, 1, i % 2 ? 0 : -1), 0);
        if (n % 2) {
            assert_reports(p, c, NULL);
            assert_next(c, 0, "x");
            assert_empty(c);
        }
        assert_quiet(p);
    }
    push_poller_wake(NULL);

    /* A wait that sleeps: one wake ends one. */
    struct call *waits[3];
    for (size_t i = 0; i < COUNT(waits); i++) {
        waits[i] = begin_wait(p, i == 1 ? 60000 : -1);
        assert_asleep(waits[i]);
    }
    for (size_t i = 0; i < COUNT(waits); i++) {
        push_poller_wake(p);
        size_t done;
        AWAIT((done = (size_t)call_done(waits[0]) + (size_t)call_done(waits[1]) + (size_t)call_done(waits[2])) > i);
        assert_int_equal(done, i + 1);
        for (size_t k = 0; k < COUNT(waits); k++) {
            if (!call_done(waits[k]))
                assert_asleep(waits[k]);
        }
    }
    for (size_t i = 0; i < COUNT(waits); i++)
        assert_int_equal(finish(waits[i]).rc, 0);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Rendezvous, put-back, drops -------------------------------------------------------------------------- */

static void what_counts_as_a_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    push_poller *p = poller();
    add(p, c, NULL);
    assert_int_equal(send_text(c, "x", NULL), 0);
    assert_empty(c);
    assert_quiet(p);
    struct call *wait = begin_wait(p, -1);
    assert_asleep(wait);
    struct call *push = begin_push(s, "x");
    assert_int_equal(finish(wait).rc, 1);
    assert_reports(p, c, NULL);
    push_msg *msg;
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
    assert_int_equal(finish(push).rc, 1);
    assert_empty(c);
    assert_quiet(p);
    assert_int_equal(push_client_unpull(c, msg), 0);
    assert_reports(p, c, NULL);
    assert_next(c, 0, "x");
    assert_empty(c);
    assert_quiet(p);
    /* A push that gave up is found out by a pull. */
    assert_int_equal(finish(begin_send(c, "y", 20)).rc, 0);
    assert_empty(c);
    assert_quiet(p);
    push_client_unref(c);

    c = client_with(s, "oldest", 1, PUSH_DROP_OLDEST);
    add(p, c, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_text(c, "x", NULL), 1);
        assert_reports(p, c, NULL);
    }
    assert_next(c, 3, "x");
    assert_empty(c);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Several threads -------------------------------------------------------------------------------------- */

static void one_arrival_wakes_one_wait(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_poller *p = poller();
    push_client *clients[3];
    struct call *waits[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = push_client_new(s, PUSH_ID(i), NULL);
        add(p, clients[i], NULL);
        waits[i] = begin_wait(p, -1);
        assert_asleep(waits[i]);
    }
    for (size_t n = 0; n < 3; n++) {
        assert_put(clients[n], "x");
        size_t done;
        AWAIT((done = (size_t)call_done(waits[0]) + (size_t)call_done(waits[1]) + (size_t)call_done(waits[2])) > n);
        assert_int_equal(done, n + 1);
        for (size_t k = 0; k < 3; k++) {
            if (!call_done(waits[k]))
                assert_asleep(waits[k]);
        }
        assert_next(clients[n], 0, "x");
        assert_empty(clients[n]);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(finish(waits[i]).rc, 1);
    push_poller_free(p);
    for (size_t i = 0; i < 3; i++)
        push_client_unref(clients[i]);
    push_session_unref(s);
}

/* Consumers that share one poller, and a producer: everything is taken, by somebody, once. */
struct consumer {
    push_poller *p;
    atomic_int *left;
    atomic_int *stops;
};

static void consume(void *arg)
{
    struct consumer *me = arg;
    while (atomic_load(me->left) > 0) {
        push_event events[4];
        int n = push_poller_wait(me->p, events, 4, -1);
        if (n == 0)
            break;
        if (!EXPECT(n > 0))
            break;
        for (int i = 0; i < n; i++) {
            push_msg *msg;
            while (push_client_pull(events[i].client, &msg, 0) >= 0) {
                push_msg_unref(msg);
                if (atomic_fetch_sub(me->left, 1) == 1) {
                    for (int k = atomic_load(me->stops); k > 0; k--)
                        push_poller_wake(me->p);
                }
            }
        }
    }
}

static void consumers_that_share_a_poller(void **state)
{
    (void)state;
    enum { CLIENTS = 20, CONSUMERS = 3 };
    const int messages = SCALED(20000);
    push_session *s = session("s");
    push_poller *p = poller();
    for (int i = 0; i < CLIENTS; i++) {
        push_client_options options = {.max_buffer = (size_t)(i % 4)};
        push_client *c = push_client_new(s, PUSH_ID(i), &options);
        add(p, c, NULL);
        push_client_unref(c);
    }
    atomic_int left = CLIENTS * messages;
    atomic_int stops = CONSUMERS;
    struct consumer consumer = {p, &left, &stops};
    struct crew *crew = crew_start(CONSUMERS, consume, &consumer, 0);
    for (int i = 0; i < messages; i++)
        assert_int_equal(push_session_push(s, &i, sizeof(i)), CLIENTS);
    crew_join(crew);
    assert_int_equal(left, 0);
    push_poller_free(p);
    push_session_unref(s);
}

/* After a remove has returned no wait reports the client, and its memory may go. */
struct remover {
    push_poller *p;
    push_session *s;
    uint64_t id;
    atomic_bool *stop;
};

static void wait_and_look(void *arg)
{
    struct remover *r = arg;
    while (!atomic_load(r->stop)) {
        push_event events[8];
        int n = push_poller_wait(r->p, events, 8, -1);
        EXPECT(n >= 0);
    }
}

static void add_push_remove(void *arg)
{
    struct remover *r = arg;
    for (int i = 0; i < SCALED(50000); i++) {
        push_client *c = push_client_new(r->s, push_id_int(r->id), NULL);
        EXPECT(push_poller_add(r->p, c, NULL) == 0);
        push_msg *msg = push_msg_new("x", 1);
        EXPECT(push_client_send(c, msg, 0, NULL) == 1);
        push_msg_unref(msg);
        if (i % 3 == 0)
            EXPECT(push_poller_pause(r->p, c) == 0);
        if (i % 2)
            EXPECT(push_client_delete(c));
        if (i % 3 == 0)
            EXPECT(push_poller_resume(r->p, c) == 0);
        EXPECT(push_poller_remove(r->p, c) == 0);
        push_client_delete(c);
        push_client_unref(c);
    }
}

static void removing_races_with_waiting(void **state)
{
    (void)state;
    atomic_bool stop = false;
    struct remover removers[] = {
        {poller(), session("s"), 0, &stop}, {NULL, NULL, 1, &stop}, {NULL, NULL, 2, &stop}};
    for (size_t i = 1; i < COUNT(removers); i++) {
        removers[i].p = removers[0].p;
        removers[i].s = removers[0].s;
    }
    struct crew *waiters = crew_start(2, wait_and_look, &removers[0], 0);
    crew_run(COUNT(removers), add_push_remove, removers, sizeof(removers[0]));
    atomic_store(&stop, true);
    push_poller_wake(removers[0].p);
    push_poller_wake(removers[0].p);
    crew_join(waiters);
    push_event event;
    int n;
    while ((n = push_poller_wait(removers[0].p, &event, 1, 0)) == 0) {
        /* a wake that no waiter needed any more */
    }
    assert_int_equal(n, -EAGAIN);
    push_poller_free(removers[0].p);
    push_session_unref(removers[0].s);
}

static void failing_allocations_change_nothing(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (long n = 0;; n++) {
        push_client *c = client(s, "c", 3);
        assert_put(c, "x");
        long blocks = blocks_held();
        int descriptors = count_descriptors();
        fail_allocations_after(n);
        push_poller *p = push_poller_new();
        int error = errno;
        int rc = p ? push_poller_add(p, c, NULL) : 0;
        int fd = p ? push_poller_fd(p) : 0;
        bool refused = allocations_failed() > 0;
        fail_allocations_after(-1);
        if (!p) {
            assert_int_equal(error, ENOMEM);
            assert_int_equal(blocks_held(), blocks);
            assert_int_equal(count_descriptors(), descriptors);
            p = poller();
            rc = -ENOMEM;
        }
        if (rc != 0) {
            assert_int_equal(rc, -ENOMEM);
            assert_quiet(p);
            assert_int_equal(push_poller_remove(p, c), -ENOENT);
            add(p, c, NULL);
        }
        if (fd < 0)
            assert_int_equal(fd, -ENOMEM);
        assert_reports(p, c, NULL);
        assert_true(readable(push_poller_fd(p)));
        push_poller_free(p);
        assert_true(push_client_delete(c));
        push_client_unref(c);
        if (!refused) {
            assert_true(n >= 1);
            break;
        }
    }
    push_session_unref(s);
}

/* Found empty, it is not reported, whoever asks for its descriptor then. */
static void asking_for_a_descriptor_reports_nothing(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    push_poller *p = poller();
    add(p, c, NULL);
    assert_put(c, "one");
    assert_next(c, 0, "one");
    assert_empty(c);
    assert_true(push_client_fd(c) >= 0);
    assert_quiet(p);
    assert_put(c, "two");
    assert_reports(p, c, NULL);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* A message put back is one that came, even when it has been pulled again. */
static void a_message_put_back_is_reported(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    push_poller *p = poller();
    push_msg *msg;
    add(p, c, NULL);
    assert_put(c, "one");
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
    assert_empty(c);
    assert_int_equal(push_client_unpull(c, msg), 0);
    assert_next(c, 0, "one");
    assert_reports(p, c, NULL);
    assert_empty(c);
    assert_quiet(p);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* Whether its mailbox ran empty before or not: a wait reports all that have something. */
static void a_wait_reports_one_that_rested(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *busy = client(s, "busy", 4);
    push_client *c = client(s, "c", 4);
    push_poller *p = poller();
    push_event events[4];
    add(p, busy, NULL);
    add(p, c, NULL);
    assert_put(busy, "stays");
    assert_put(c, "one");
    assert_int_equal(push_poller_wait(p, events, 4, 0), 2);
    assert_next(c, 0, "one");
    assert_empty(c);
    assert_reports(p, busy, NULL);
    assert_put(c, "two");
    assert_int_equal(push_poller_wait(p, events, 4, 0), 2);
    assert_next(c, 0, "two");
    push_poller_free(p);
    push_client_unref(c);
    push_client_unref(busy);
    push_session_unref(s);
}

/* A mailbox runs empty, its client is paused, before or after that, and resumed: nothing has come. */
static void resuming_an_empty_client_reports_nothing(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    push_poller *p = poller();
    int fd = push_poller_fd(p);
    add(p, c, NULL);
    for (int paused_first = 0; paused_first <= 1; paused_first++) {
        assert_put(c, "one");
        assert_reports(p, c, NULL);
        if (paused_first)
            assert_int_equal(push_poller_pause(p, c), 0);
        assert_next(c, 0, "one");
        assert_empty(c);
        assert_int_equal(push_poller_pause(p, c), 0);
        assert_quiet(p);
        assert_int_equal(push_poller_resume(p, c), 0);
        assert_false(readable(fd));
        assert_quiet(p);
        assert_int_equal(push_poller_pause(p, c), 0);
        assert_put(c, "two");
        assert_quiet(p);
        assert_int_equal(push_poller_resume(p, c), 0);
        assert_true(readable(fd));
        assert_reports(p, c, NULL);
        assert_next(c, 0, "two");
        assert_empty(c);
        assert_quiet(p);
    }
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(reported_until_a_pull_finds_nothing),
    TEST(waits_say_why_they_end),
    TEST(what_was_there_before_the_add_is_reported),
    TEST(a_closed_client_is_reported_until_it_is_removed),
    TEST(one_poller_a_client),
    TEST(removed_is_removed),
    TEST(the_poller_holds_its_clients),
    TEST(a_poller_freed_with_clients_in_it),
    TEST(a_wait_fills_the_events),
    TEST(ready_clients_are_served_in_turn),
    TEST(the_descriptor_is_true),
    TEST(pollers_nest_in_epoll),
    TEST(a_poller_is_one_descriptor_for_all),
    TEST(a_paused_client_is_not_reported),
    TEST(a_paused_client_is_reported_when_it_closes),
    TEST(wakes_are_counted_and_come_first),
    TEST(what_counts_as_a_message),
    TEST(one_arrival_wakes_one_wait),
    TEST(consumers_that_share_a_poller),
    TEST(removing_races_with_waiting),
    TEST(failing_allocations_change_nothing),
    TEST(asking_for_a_descriptor_reports_nothing),
    TEST(a_message_put_back_is_reported),
    TEST(a_wait_reports_one_that_rested),
    TEST(resuming_an_empty_client_reports_nothing),
};
TEST_MAIN(tests)
