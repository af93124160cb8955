/* Descriptors of clients: level-triggered and true, made on demand, closed with the last handle. */
#include "helpers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static int fd_of(push_client *c)
{
    int fd = push_client_fd(c);
    assert_true(fd >= 0);
    return fd;
}

/* One pull that finds nothing is all it takes for the descriptor to come to rest. */
static void settle(push_client *c, int fd)
{
    assert_empty(c);
    assert_false(readable(fd));
}

static void readable_whenever_there_is_a_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    assert_false(readable(fd));
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            assert_put(c, "x");
            assert_true(readable(fd));
        }
        for (int i = 0; i < 3; i++) {
            /* Looking changes nothing. */
            assert_true(readable(fd));
            assert_true(readable(fd));
            assert_next(c, 0, "x");
        }
        settle(c, fd);
        assert_empty(c);
        assert_false(readable(fd));
    }
    /* A pull whose time runs out is as good. */
    assert_put(c, "x");
    assert_next(c, 0, "x");
    push_msg *msg;
    assert_int_equal(push_client_pull(c, &msg, 1), -ETIMEDOUT);
    assert_false(readable(fd));
    /* As are those by id, and of many. */
    assert_put(c, "x");
    assert_next(c, 0, "x");
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), -EAGAIN);
    assert_false(readable(fd));
    assert_put(c, "x");
    assert_int_equal(push_client_pull_many(c, &msg, 1, NULL, 0), 1);
    push_msg_unref(msg);
    assert_int_equal(push_client_pull_many(c, &msg, 1, NULL, 0), -EAGAIN);
    assert_false(readable(fd));
    push_client_unref(c);
    push_session_unref(s);
}

/* Whoever came first: the message, the close or the descriptor. */
static void made_after_the_message_and_after_the_close(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    assert_put(c, "x");
    int fd = fd_of(c);
    assert_true(readable(fd));
    assert_next(c, 0, "x");
    settle(c, fd);
    assert_true(push_client_delete(c));
    assert_true(readable(fd));
    push_client_unref(c);

    c = client(s, "c", 3);
    assert_put(c, "x");
    assert_true(push_client_delete(c));
    fd = fd_of(c);
    assert_true(readable(fd));
    assert_next(c, 0, "x");
    assert_drained(c);
    assert_true(readable(fd));
    push_client_unref(c);

    /* A message that came and went before. */
    c = client(s, "c", 3);
    assert_put(c, "x");
    assert_next(c, 0, "x");
    assert_empty(c);
    fd = fd_of(c);
    settle(c, fd);
    assert_put(c, "y");
    assert_true(readable(fd));
    push_client_unref(c);
    push_session_unref(s);
}

/* Of two pulls that sleep the first gets the message; the second finds nothing, and says so as any other. */
static void a_pull_that_times_out_clears_it(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    struct call *first = begin_pull(c, -1);
    assert_asleep(first);
    struct call *second = begin_pull(c, 1000);
    assert_asleep(second);
    assert_put(c, "x");
    struct result r = finish(first);
    assert_int_equal(r.rc, 0);
    assert_text(r.msg, "x");
    r = finish(second);
    assert_int_equal(r.rc, -ETIMEDOUT);
    assert_false(readable(fd));
    push_client_unref(c);
    push_session_unref(s);
}

static void a_closed_client_stays_readable(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (int how = 0; how < 6; how++) {
        push_client *c = client_with(s, "c", 1, how == 3 ? PUSH_DISCONNECT : PUSH_BLOCK);
        int fd = fd_of(c);
        push_client *newer = NULL;
        push_client_options options = {.max_buffer = 1, .duplicate = how == 4 ? PUSH_REPLACE : PUSH_TAKEOVER};
        if (how == 3)
            assert_put(c, "x");
        else
            assert_false(readable(fd));
        if (how == 0)
            assert_true(push_client_delete(c));
        if (how == 1)
            assert_true(push_session_delete_client(s, PUSH_ID("c")));
        if (how == 2)
            assert_true(push_session_delete(PUSH_ID("s")));
        if (how == 3)
            assert_int_equal(send_text(c, "y", NULL), 0);
        if (how >= 4)
            newer = push_client_new(s, PUSH_ID("c"), &options);
        assert_true(readable(fd));
        if (how == 3)
            assert_next(c, 0, "x");
        assert_drained(c);
        assert_drained(c);
        assert_true(readable(fd));
        assert_int_equal(fd_of(c), fd);
        if (newer) {
            assert_false(readable(fd_of(newer)));
            assert_true(push_client_delete(newer));
            push_client_unref(newer);
        }
        push_client_unref(c);
        assert_false(descriptor_open(fd));
        if (how == 2) {
            push_session_unref(s);
            s = session("s");
        }
    }
    push_session_unref(s);
}

static void the_same_at_every_call(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    assert_int_equal(fd_of(c), fd);
    assert_int_equal(push_session_pull_fd(s, PUSH_ID("c")), fd);
    assert_put(c, "x");
    push_client *other = push_client_find(s, PUSH_ID("c"));
    assert_int_equal(fd_of(other), fd);
    push_client_unref(other);
    push_client *second = client(s, "second", 3);
    assert_int_not_equal(fd_of(second), fd);
    assert_false(readable(fd_of(second)));
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(push_client_delete(c));
    assert_int_equal(fd_of(c), fd);
    push_client_unref(c);
    push_client_unref(second);
    push_session_unref(s);
}

static void by_id_of_nobody(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int before = count_descriptors();
    assert_int_equal(push_session_pull_fd(s, PUSH_ID("other")), -ENOENT);
    assert_true(push_client_delete(c));
    assert_int_equal(push_session_pull_fd(s, PUSH_ID("c")), -ENOENT);
    assert_int_equal(count_descriptors(), before);
    push_client_unref(c);
    push_session_unref(s);
}

static void closed_with_the_last_handle(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_client *ref = push_client_ref(c);
    int fd = fd_of(c);
    push_client_unref(c);
    assert_true(descriptor_open(fd));
    assert_true(push_client_delete(ref));
    assert_true(descriptor_open(fd));
    assert_true(readable(fd));
    push_client_unref(ref);
    assert_false(descriptor_open(fd));

    /* Not deleted: the session itself holds the client, and its descriptor. */
    c = client(s, "c", 3);
    fd = fd_of(c);
    push_client_unref(c);
    assert_true(descriptor_open(fd));
    assert_int_equal(push_session_push(s, "x", 1), 1);
    assert_true(readable(fd));
    c = push_client_find(s, PUSH_ID("c"));
    assert_int_equal(fd_of(c), fd);
    push_client_unref(c);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_false(descriptor_open(fd));
    push_session_unref(s);
}

static void taken_by_id_it_closes_at_the_delete(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 1);
    for (int how = 0; how < 3; how++) {
        push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("c"), 1));
        int fd = push_session_pull_fd(s, PUSH_ID("c"));
        assert_true(fd >= 0);
        assert_false(readable(fd));
        assert_int_equal(push_session_push(s, "x", 1), 1);
        assert_true(readable(fd));
        if (how == 0)
            assert_true(push_session_delete_client(s, PUSH_ID("c")));
        if (how == 1)
            assert_true(push_session_delete(PUSH_ID("s")));
        if (how == 2)
            push_shutdown();
        assert_false(descriptor_open(fd));
        push_session_unref(s);
        s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 1);
    }
    push_session_unref(s);
}

/* A push that waits for one client keeps no other from going, one that it has disconnected neither: its descriptor,
 * its messages. */
static void a_waiting_push_keeps_nobody_alive(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("other"), 5));
    push_client_unref(
        push_client_new(s, PUSH_ID("slow"), &(push_client_options){.max_buffer = 1, .overflow = PUSH_DISCONNECT}));
    int fd = push_session_pull_fd(s, PUSH_ID("other"));
    assert_true(fd >= 0);
    assert_put(full, "fill");
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID("full"), 0, NULL), 2);
    push_msg_unref(msg);
    struct call *push = begin_push(s, "x");
    assert_asleep(push);
    assert_int_equal(push_session_len(s), 2);
    assert_true(push_session_delete_client(s, PUSH_ID("other")));
    assert_false(descriptor_open(fd));
    assert_int_equal(t.freed, 1);
    assert_next(full, 0, "fill");
    assert_int_equal(finish(push).rc, 2);
    push_client_unref(full);
    push_session_unref(s);
}

static void nobody_pays_for_what_he_did_not_ask(void **state)
{
    (void)state;
    int before = count_descriptors();
    push_session *s = session("s");
    for (int i = 0; i < 500; i++)
        push_client_unref(push_client_new(s, PUSH_ID(i), NULL));
    for (int i = 0; i < 5; i++)
        assert_int_equal(push_session_push(s, "x", 1), 500);
    push_msg *msg;
    for (int i = 0; i < 500; i++) {
        assert_int_equal(push_session_pull(s, PUSH_ID(i), &msg, 0), 0);
        push_msg_unref(msg);
    }
    push_client *c = push_client_find(s, PUSH_ID(3));
    struct call *pull = NULL;
    for (int i = 0; i < 4; i++)
        assert_next(c, 0, "x");
    pull = begin_pull(c, -1);
    assert_asleep(pull);
    assert_int_equal(count_descriptors(), before);
    assert_true(push_client_delete(c));
    assert_int_equal(finish(pull).rc, -EPIPE);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_waiting_push_to_a_rendezvous_is_a_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    int fd = fd_of(c);
    assert_false(readable(fd));
    assert_int_equal(send_text(c, "x", NULL), 0);
    settle(c, fd);

    struct call *push = begin_push(s, "x");
    assert_eventually(readable(fd));
    assert_asleep(push);
    assert_true(readable(fd));
    assert_next(c, 0, "x");
    assert_int_equal(finish(push).rc, 1);
    settle(c, fd);

    /* One that gave up is none. */
    assert_int_equal(finish(begin_send(c, "x", 20)).rc, 0);
    settle(c, fd);

    /* The push waits first, the descriptor comes later. */
    push_client *late = client(s, "late", 0);
    push = begin_send(late, "x", -1);
    assert_asleep(push);
    fd = fd_of(late);
    assert_true(readable(fd));
    assert_next(late, 0, "x");
    assert_int_equal(finish(push).rc, 1);
    settle(late, fd);
    push_client_unref(late);
    push_client_unref(c);
    push_session_unref(s);
}

/* A push that waits moves in as the pull makes room: there is a message all the time. */
static void readable_while_pushes_wait_for_room(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    int fd = fd_of(c);
    assert_put(c, "0");
    struct call *pushes[3];
    for (int i = 0; i < 3; i++) {
        pushes[i] = begin_push(s, (char[2]){(char)('1' + i)});
        assert_asleep(pushes[i]);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(readable(fd));
        assert_next(c, 0, ((char[2]){(char)('0' + i)}));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(finish(pushes[i]).rc, 1);
    settle(c, fd);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_put_back_message_is_a_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    int fd = fd_of(c);
    assert_put(c, "x");
    push_msg *msg;
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
    settle(c, fd);
    assert_int_equal(push_client_unpull(c, msg), 0);
    assert_true(readable(fd));
    assert_next(c, 0, "x");
    settle(c, fd);
    push_client_unref(c);
    push_session_unref(s);
}

static void evictions_leave_it_true(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *oldest = client_with(s, "oldest", 1, PUSH_DROP_OLDEST);
    push_client *newest = client_with(s, "newest", 1, PUSH_DROP_NEWEST);
    int a = fd_of(oldest);
    int b = fd_of(newest);
    for (int i = 0; i < 10; i++) {
        send_all_text(s, "x", NULL);
        assert_true(readable(a));
        assert_true(readable(b));
    }
    assert_next(oldest, 9, "x");
    assert_next(newest, 0, "x");
    settle(oldest, a);
    settle(newest, b);
    push_client_unref(oldest);
    push_client_unref(newest);
    push_session_unref(s);
}

static void takeover_moves_the_messages_not_the_descriptor(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *old = client(s, "c", 2);
    int old_fd = fd_of(old);
    assert_put(old, "x");
    push_client_options options = {.max_buffer = 1, .duplicate = PUSH_TAKEOVER};
    push_client *new = push_client_new(s, PUSH_ID("c"), &options);
    int fd = fd_of(new);
    assert_int_not_equal(fd, old_fd);
    assert_true(readable(old_fd));
    assert_drained(old);
    assert_true(readable(old_fd));
    assert_true(readable(fd));
    assert_next(new, 0, "x");
    settle(new, fd);
    assert_true(readable(old_fd));
    assert_put(new, "y");
    assert_true(readable(fd));
    push_client_unref(old);
    assert_false(descriptor_open(old_fd));
    assert_true(readable(fd));

    /* A waiting push of a rendezvous comes over as well. */
    push_client *rendezvous = client(s, "r", 0);
    struct call *push = begin_send(rendezvous, "x", -1);
    assert_asleep(push);
    push_client *next = push_client_new(s, PUSH_ID("r"), &options);
    assert_true(readable(fd_of(next)));
    assert_next(next, 0, "x");
    assert_int_equal(finish(push).rc, 1);
    settle(next, fd_of(next));
    push_client_unref(rendezvous);
    push_client_unref(next);
    push_client_unref(new);
    push_session_unref(s);
}

static void level_triggered_in_epoll(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 0);
    assert_put(c, "1");
    assert_put(c, "2");
    for (int i = 0; i < 3; i++)
        assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_next(c, 0, "1");
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_next(c, 0, "2");
    assert_empty(c);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 0);
    /* Taken out while the consumer cannot write, and put back. */
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_DEL, fd, &event), 0);
    assert_put(c, "3");
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 0);
    event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    assert_int_equal(event.data.fd, fd);
    assert_next(c, 0, "3");
    assert_empty(c);
    assert_true(push_client_delete(c));
    assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
    close(loop);
    push_client_unref(c);
    push_session_unref(s);
}

/* A thread that sleeps in poll(2) is woken by a push, and by a delete. */
static void poll_until_readable(void *arg)
{
    struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};
    EXPECT(poll(&p, 1, 20000) == 1);
    EXPECT(p.revents & POLLIN);
}

static void a_poll_that_sleeps_is_woken(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    struct crew *crew = crew_start(2, poll_until_readable, &fd, 0);
    assert_put(c, "x");
    crew_join(crew);
    assert_next(c, 0, "x");
    settle(c, fd);
    crew = crew_start(2, poll_until_readable, &fd, 0);
    assert_true(push_client_delete(c));
    crew_join(crew);
    push_client_unref(c);
    push_session_unref(s);
}

/* A pull that waits takes the message away from under the descriptor: it says so, at the latest after one look. */
static void waiting_pulls_beside_the_descriptor(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    int fd = fd_of(c);
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    assert_put(c, "1");
    assert_text(finish(pull).msg, "1");
    settle(c, fd);
    assert_put(c, "2");
    assert_true(readable(fd));
    assert_next(c, 0, "2");
    settle(c, fd);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- No descriptor to be had ------------------------------------------------------------------------------ */

#define LIMIT 64

static int hoard[LIMIT];
static int hoarded;
static struct rlimit limit_before;

static void use_up_descriptors(void)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    struct rlimit low = {LIMIT, limit_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    hoarded = 0;
    while (hoarded < LIMIT && (hoard[hoarded] = dup(STDERR_FILENO)) >= 0)
        hoarded++;
    assert_int_equal(errno, EMFILE);
}

static void give_descriptors_back(void)
{
    while (hoarded > 0)
        close(hoard[--hoarded]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static void without_descriptors_the_client_goes_on(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_client *has_one = client(s, "has one", 3);
    int fd = fd_of(has_one);
    assert_int_equal(push_session_push(s, "1", 1), 2);
    use_up_descriptors();
    int by_handle = push_client_fd(c);
    int by_id = push_session_pull_fd(s, PUSH_ID("c"));
    int again = push_client_fd(has_one);
    int delivered = push_session_push(s, "2", 1);
    give_descriptors_back();
    assert_int_equal(by_handle, -EMFILE);
    assert_int_equal(by_id, -EMFILE);
    assert_int_equal(again, fd);
    assert_int_equal(delivered, 2);
    int later = fd_of(c);
    assert_true(readable(later));
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    settle(c, later);
    push_client_unref(c);
    push_client_unref(has_one);
    push_session_unref(s);
}

static void without_memory_the_client_goes_on(void **state)
{
    (void)state;
    push_session *s = session("s");
    long points = 0;
    for (long n = 0;; n++) {
        push_client *c = client(s, "c", 3);
        assert_put(c, "1");
        int before = count_descriptors();
        fail_allocations_after(n);
        int rc = push_client_fd(c);
        bool refused = allocations_failed() > 0;
        fail_allocations_after(-1);
        if (refused) {
            points++;
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(count_descriptors(), before);
        }
        assert_true(readable(fd_of(c)));
        assert_next(c, 0, "1");
        settle(c, fd_of(c));
        assert_true(push_client_delete(c));
        push_client_unref(c);
        if (!refused)
            break;
    }
    (void)points; /* a client may have a place for it from the start */
    push_session_unref(s);
}

/* ---- Lifetimes under load --------------------------------------------------------------------------------- */

static void many_descriptors_come_and_go(void **state)
{
    (void)state;
    int before = count_descriptors();
    push_session *s = session("s");
    for (int round = 0; round < 3; round++) {
        enum { N = 200 };
        push_client *clients[N];
        for (int i = 0; i < N; i++) {
            clients[i] = push_client_new(s, PUSH_ID(i), NULL);
            assert_false(readable(fd_of(clients[i])));
        }
        assert_int_equal(push_session_push(s, "x", 1), N);
        for (int i = 0; i < N; i++) {
            assert_true(readable(fd_of(clients[i])));
            assert_next(clients[i], 0, "x");
            settle(clients[i], fd_of(clients[i]));
            if (i % 2)
                push_client_unref(clients[i]);
        }
        for (int i = 0; i < N; i++) {
            assert_true(push_session_delete_client(s, PUSH_ID(i)));
            if (i % 2 == 0) {
                assert_true(readable(fd_of(clients[i])));
                push_client_unref(clients[i]);
            }
        }
        assert_int_equal(count_descriptors(), before);
    }
    push_session_unref(s);
}

/* All threads that ask first at once get the same one. */
struct asking {
    push_client *c;
    int fd;
};

static void ask_for_descriptor(void *arg)
{
    struct asking *a = arg;
    a->fd = push_client_fd(a->c);
}

static void asked_for_by_many_at_once(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (int round = 0; round < SCALED(1000); round++) {
        push_client *c = client(s, "c", 1);
        int before = count_descriptors();
        struct asking asking[4];
        for (size_t i = 0; i < COUNT(asking); i++)
            asking[i].c = c;
        crew_run(COUNT(asking), ask_for_descriptor, asking, sizeof(asking[0]));
        for (size_t i = 0; i < COUNT(asking); i++)
            assert_int_equal(asking[i].fd, asking[0].fd);
        int made = count_descriptors() - before;
        assert_in_range(made, 1, 2); /* where there is no eventfd(2), a pipe */
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(readable_whenever_there_is_a_message),
    TEST(made_after_the_message_and_after_the_close),
    TEST(a_pull_that_times_out_clears_it),
    TEST(a_closed_client_stays_readable),
    TEST(the_same_at_every_call),
    TEST(by_id_of_nobody),
    TEST(closed_with_the_last_handle),
    TEST(taken_by_id_it_closes_at_the_delete),
    TEST(a_waiting_push_keeps_nobody_alive),
    TEST(nobody_pays_for_what_he_did_not_ask),
    TEST(a_waiting_push_to_a_rendezvous_is_a_message),
    TEST(readable_while_pushes_wait_for_room),
    TEST(a_put_back_message_is_a_message),
    TEST(evictions_leave_it_true),
    TEST(takeover_moves_the_messages_not_the_descriptor),
    TEST(level_triggered_in_epoll),
    TEST(a_poll_that_sleeps_is_woken),
    TEST(waiting_pulls_beside_the_descriptor),
    TEST(without_descriptors_the_client_goes_on),
    TEST(without_memory_the_client_goes_on),
    TEST(many_descriptors_come_and_go),
    TEST(asked_for_by_many_at_once),
};
TEST_MAIN(tests)
