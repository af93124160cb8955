/* Servers that are not there, die, come back, or do nothing. */
#include "cluster.h"

static void open_client(struct node *node, const char *session, const char *client, const char *room_and_policy)
{
    assert_answer(node, "1", "open %s %s %s 30000", session, client, room_and_policy);
}

/* Sees that all `count` messages came to alice's phone, in order, each once, or were told to be lost. */
static struct counted assert_complete(struct node *node, long count)
{
    struct counted c = count_until(node, E("alice"), E("phone"), count - 1, 60000);
    assert_int_equal(c.last, count - 1);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.count + c.lost, count);
    return c;
}

static void the_server_comes_later(void **state)
{
    (void)state;
    struct server *server = reserve_server();
    struct node *a = start_node(), *b = start_node();
    assert_answer(a, "0", "connect %s", server->url);
    assert_answer(b, "0", "connect %s", server->url);
    assert_answer(a, "-11", "wait 0");
    assert_answer(a, "-110", "wait 50");
    assert_answer(a, "0", "open %s %s 10 block 0", E("alice"), E("phone"));
    assert_answer(b, "0", "open %s %s 10 block 0", E("alice"), E("phone"));
    assert_answer(a, "1 1 1 0", "push %s - 0 early", E("alice"));
    assert_answer(a, "0 early", "pull %s %s 0", E("alice"), E("phone"));
    assert_answer(a, "-11", "flush 0");
    assert_eventually(strstr(ask(a, "stat"), "error=\n") == NULL);

    start_reserved(server);
    assert_answer(b, "0", "wait 20000");
    assert_answer(b, "1", "join %s 20000", E("alice"));
    assert_answer(a, "0", "flush 20000");
    /* The early one may have been sent before b had subscribed. This one not. */
    assert_answer(a, "1 1 1 0", "push %s - 0 late", E("alice"));
    const char *text = ask(b, "pull %s %s 20000", E("alice"), E("phone"));
    if (strcmp(text, "0 early") == 0)
        text = ask(b, "pull %s %s 20000", E("alice"), E("phone"));
    assert_string_equal(text, "0 late");
}

/* Killed and restarted three times while messages flow: the publisher loses none. A receiver misses what was
 * published before it was back, and is told how many. */
static void killed_and_restarted_under_load(void **state)
{
    enum { MESSAGES = SCALED(60000) };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "1000000 newest");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    assert_answer(a, "0", "burst %s 0 %d -1 20", E("alice"), MESSAGES);
    for (int i = 1; i <= 3; i++) {
        assert_eventually(stat_of(b, "received") + stat_of(b, "lost") >= i * MESSAGES / 5);
        kill_server(server);
        assert_eventually(stat_of(a, "connected") == 0 && stat_of(b, "connected") == 0);
        restart_server(server);
        assert_eventually(stat_of(a, "reconnects") >= i && stat_of(b, "reconnects") >= i);
    }
    assert_int_equal(ask_number(a, "burst"), MESSAGES);
    assert_answer(a, "0", "flush 30000");
    assert_int_equal(stat_of(a, "published"), MESSAGES);
    assert_int_equal(stat_of(a, "unpublished"), 0);
    /* Here, nothing of it was noticed. */
    struct counted here = count_messages(a, E("alice"), E("phone"), 0);
    assert_int_equal(here.count, MESSAGES);
    /* There, one more message shows what is missing at the end. */
    assert_answer(b, "1", "join %s 20000", E("alice"));
    assert_answer(a, "1", "many %s %d 1 0 0", E("alice"), MESSAGES);
    struct counted there = assert_complete(b, MESSAGES + 1);
    print_message("of %d messages, %ld came, %ld were told to be lost; %ld sent again, %ld duplicates dropped\n",
                  MESSAGES + 1, there.count, there.lost, stat_of(a, "resent"), stat_of(b, "duplicates"));
    assert_int_equal(stat_of(b, "lost"), there.lost);
    assert_int_equal(ask_number(b, "lost"), there.lost);
}

/* Two servers are one cluster; the node whose server dies goes to the other. */
static void a_cluster_of_two_servers(void **state)
{
    (void)state;
    struct server *one, *two;
    start_two_servers(&one, &two);
    struct node *a = start_node(), *b = connected_node(two, "");
    assert_answer(a, "0", "connect %s,%s", one->url, two->url);
    assert_answer(a, "0", "wait 20000");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    /* The servers tell each other who listens a moment after a subscription is confirmed. */
    struct counted c = {0};
    long sent = 0;
    for (int64_t end = now_ns() + PATIENCE; c.count == 0 && now_ns() < end;) {
        ask(a, "many %s %ld 1 0 0", E("alice"), sent++);
        c = count_messages(b, E("alice"), E("phone"), 50);
    }
    assert_true(c.count > 0);

    kill_server(one);
    assert_answer(a, "1000", "many %s %ld 1000 -1 0", E("alice"), sent);
    assert_answer(a, "0", "flush 30000");
    assert_int_equal(stat_of(a, "unpublished"), 0);
    assert_int_equal(stat_of(b, "connected"), 1);
    c = count_until(b, E("alice"), E("phone"), sent + 999, 20000);
    assert_int_equal(c.last, sent + 999);
    assert_int_equal(c.count + c.lost, 1000);
}

/* Many sessions take no more threads than a few; and all are subscribed again on a new connection. */
static void a_hundred_thousand_sessions(void **state)
{
    enum { SESSIONS = SCALED(100000), THREADS_MAX = 12 };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    assert_int_equal(ask_number(b, "fill user- 0 %d", SESSIONS), SESSIONS);
    assert_eventually(stat_of(b, "subscriptions") == SESSIONS);
    assert_in_range(node_threads(b), 1, THREADS_MAX);
    kill_server(server);
    assert_eventually(stat_of(b, "connected") == 0);
    assert_int_equal(stat_of(b, "subscriptions"), 0);
    restart_server(server);
    assert_eventually(stat_of(b, "subscriptions") == SESSIONS);
    assert_answer(a, "0", "wait 20000");
    char name[40];
    snprintf(name, sizeof name, "user-%d", SESSIONS - 1);
    assert_answer(a, "0 1 0 0", "push %s - 0 hello", E(name));
    assert_answer(b, "0 hello", "pull %s i1 20000", E(name));
    assert_in_range(node_threads(b), 1, THREADS_MAX);
    end_node(b);
}

/* The server is there, and answers nothing. */
static void a_server_that_does_nothing(void **state)
{
    enum { ROOM = 1000 };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "max_queued=1000"), *b = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "1000000 newest");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    /* Of whom nothing came before, nobody can say how much is missing. */
    assert_answer(a, "1", "many %s 0 1 0 0", E("alice"));
    assert_answer(a, "0", "flush 20000");
    assert_answer(b, "0 0", "pull %s %s 20000", E("alice"), E("phone"));
    stop_server(server);

    /* The outbox fills; then pushes say so, at once, and within their time; and this node's clients get them all.
     */
    int64_t begin = now_ns();
    assert_int_equal(ask_number(a, "many %s 1 %d 0 0", E("alice"), ROOM + 500), ROOM);
    assert_true(now_ns() - begin < 2 * SECOND);
    assert_answer(a, "1 0 1 0", "push %s - 100 1500", E("alice"));
    assert_answer(a, "0", "join %s 100", E("bob"));
    assert_int_equal(stat_of(a, "queued"), ROOM);
    assert_int_equal(stat_of(a, "unpublished"), 501);
    assert_int_equal(count_messages(a, E("alice"), E("phone"), 0).count, ROOM + 502);

    /* It is taken for dead after some unanswered pings. */
    assert_eventually(stat_of(a, "connected") == 0 && stat_of(b, "connected") == 0);
    continue_server(server);
    assert_answer(a, "0", "flush 30000");
    assert_answer(b, "0", "wait 20000");
    assert_answer(b, "1", "join %s 20000", E("alice"));
    assert_int_equal(stat_of(a, "published"), ROOM + 1);
    assert_answer(a, "1", "many %s %d 1 0 0", E("alice"), ROOM + 1);
    struct counted c = count_until(b, E("alice"), E("phone"), ROOM + 1, 60000);
    assert_int_equal(c.last, ROOM + 1);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.count + c.lost, ROOM + 1);
}

/* A node that is cut off for less than the servers' patience misses nothing; the server keeps it for it. */
static void a_node_that_stalls(void **state)
{
    enum { MESSAGES = 2000 };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    stop_node(b);
    assert_int_equal(ask_number(a, "many %s 0 %d -1 0", E("alice"), MESSAGES), MESSAGES);
    assert_answer(a, "0", "flush 20000");
    continue_node(b);
    struct counted c = assert_complete(b, MESSAGES);
    assert_int_equal(c.lost, 0);
}

/* Pushes numbers, one at a time, until one comes: what a node has had from then on. */
static struct counted push_until_heard(struct node *from, struct node *to, long *sent)
{
    struct counted sum = {.last = -1};
    for (int64_t end = now_ns() + PATIENCE; (sum.count == 0 || sum.last < *sent - 1) && now_ns() < end;) {
        ask(from, "many %s %ld 1 0 0", E("alice"), (*sent)++);
        struct counted c = count_messages(to, E("alice"), E("phone"), 50);
        sum = (struct counted){sum.count + c.count, c.count > 0 ? c.last : sum.last, sum.lost + c.lost,
                               sum.disorder + c.disorder};
    }
    assert_int_equal(sum.last, *sent - 1);
    assert_int_equal(sum.disorder, 0);
    return sum;
}

/* Of two servers that are one cluster, one stands still, and so does what it has from the other. A node that knows
 * both goes over; one that knows no other waits. */
static void a_partition(void **state)
{
    enum { MESSAGES = 1000 };
    (void)state;
    struct server *one, *two;
    start_two_servers(&one, &two);
    struct node *a = connected_node(one, ""), *b = connected_node(two, ""), *c = start_node();
    assert_answer(c, "0", "connect %s,%s", two->url, one->url);
    assert_answer(c, "0", "wait 20000");
    open_client(b, E("alice"), E("phone"), "10000 newest");
    open_client(c, E("alice"), E("phone"), "10000 newest");
    long sent = 0;
    push_until_heard(a, b, &sent);
    long b_heard = sent;
    push_until_heard(a, c, &sent);
    long b_had = sent;
    if (sent > b_heard)
        assert_int_equal(count_until(b, E("alice"), E("phone"), sent - 1, 20000).last, sent - 1);

    stop_server(two);
    long c_had = sent;
    assert_int_equal(ask_number(a, "many %s %ld %d -1 0", E("alice"), sent, MESSAGES), MESSAGES);
    sent += MESSAGES;
    assert_answer(a, "0", "flush 20000"); /* one is as it was */
    assert_eventually(stat_of(b, "connected") == 0);
    struct counted at_c = push_until_heard(a, c, &sent);
    assert_int_equal(at_c.count + at_c.lost, sent - c_had);

    continue_server(two);
    assert_answer(b, "0", "wait 20000");
    assert_answer(b, "1", "join %s 20000", E("alice"));
    struct counted at_b = push_until_heard(a, b, &sent);
    assert_int_equal(at_b.count + at_b.lost, sent - b_had);
}

/* More comes than can be delivered: what libnats drops is counted, and told where it is missing. */
static void a_slow_consumer(void **state)
{
    enum { MESSAGES = SCALED(100000) };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "max_pending=1");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    assert_int_equal(ask_number(a, "many %s 0 %d -1 0", E("alice"), MESSAGES), MESSAGES);
    assert_answer(a, "0", "flush 20000");
    assert_answer(b, "1", "join %s 20000", E("alice")); /* what was to come has come, or is in libnats */
    struct counted c = {.last = -1};
    long last = MESSAGES - 1;
    do {
        assert_int_equal(ask_number(a, "many %s %ld 1 0 0", E("alice"), ++last), 1);
        struct counted more = count_messages(b, E("alice"), E("phone"), 100);
        c = (struct counted){c.count + more.count, more.last, c.lost + more.lost, c.disorder + more.disorder};
    } while (c.last < last);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.count + c.lost, last + 1);
    assert_true(c.lost > 0);
    assert_eventually(stat_of(b, "dropped") == c.lost);
    assert_int_equal(stat_of(b, "lost"), c.lost);
}

static void what_gets_old_is_given_up_and_told(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "max_age=200"), *b = connected_node(server, "");
    open_client(b, E("alice"), E("phone"), "100 newest");
    assert_answer(a, "1", "many %s 0 1 0 0", E("alice"));
    assert_answer(a, "0", "flush 20000");
    assert_answer(b, "0 0", "pull %s %s 20000", E("alice"), E("phone"));
    kill_server(server);
    assert_eventually(stat_of(a, "connected") == 0);
    assert_answer(a, "10", "many %s 1 10 0 0", E("alice"));
    assert_answer(a, "0", "flush 20000");
    assert_int_equal(stat_of(a, "unpublished"), 10);
    assert_int_equal(ask_number(a, "unpublished"), 10);

    /* And those who were to get them hear of it by the next. */
    restart_server(server);
    assert_answer(a, "0", "wait 20000");
    assert_answer(b, "0", "wait 20000");
    assert_answer(b, "1", "join %s 20000", E("alice"));
    assert_answer(a, "1", "many %s 11 1 0 0", E("alice"));
    assert_answer(b, "0 lost 10", "pull %s %s 20000", E("alice"), E("phone"));
    assert_answer(b, "0 11", "pull %s %s 20000", E("alice"), E("phone"));
}

static void close_tells_what_is_left(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(b, E("alice"), E("phone"), "10000 newest");
    assert_answer(a, "5000", "many %s 0 5000 0 0", E("alice"));
    assert_answer(a, "0", "close 20000");
    struct counted c = assert_complete(b, 5000);
    assert_int_equal(c.lost, 0);
    /* What has arrived is delivered by a close. */
    assert_answer(a, "0", "connect %s", server->url);
    assert_answer(a, "0", "wait 20000");
    assert_answer(a, "5000", "many %s 0 5000 0 0", E("alice"));
    assert_answer(a, "0", "flush 20000");
    assert_answer(b, "0", "close 20000");
    assert_int_equal(assert_complete(b, 5000).lost, 0);

    kill_server(server);
    assert_eventually(stat_of(a, "connected") == 0);
    assert_answer(a, "3", "many %s 0 3 0 0", E("alice"));
    assert_answer(a, "3", "close 100");
    assert_int_equal(ask_number(a, "unpublished"), 3);
    end_node(a);
    end_node(b);
}

/* With a server that does nothing, too, a close ends: in its time, and what an attempt under way may take. */
static void close_does_not_hang(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "10 newest");
    stop_server(server);
    assert_answer(a, "100", "many %s 0 100 0 0", E("alice"));
    int64_t begin = now_ns();
    assert_answer(a, "100", "close 300");
    assert_true(now_ns() - begin < 6 * SECOND);
    assert_int_equal(ask_number(a, "unpublished"), 100);
    end_node(a);
}

static void a_server_that_wants_to_know_who(void **state)
{
    (void)state;
    struct server *server = reserve_server();
    server->user = "alice";
    start_reserved(server);
    struct node *a = start_node(), *b = start_node();
    assert_answer(a, "0", "connect %s", server->url);
    assert_answer(b, "0", "connect %s user=alice", server->url);
    assert_answer(b, "0", "wait 20000");
    assert_answer(a, "-110", "wait 500");
    assert_eventually(strstr(ask(a, "stat"), "uthorization") != NULL);
    /* Whoever is not let in goes on trying. */
    kill_server(server);
    server->user = NULL;
    start_reserved(server);
    assert_answer(a, "0", "wait 20000");
    assert_answer(b, "0", "wait 20000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(the_server_comes_later),
        CLUSTER_TEST(killed_and_restarted_under_load),
        CLUSTER_TEST(a_cluster_of_two_servers),
        CLUSTER_TEST(a_hundred_thousand_sessions),
        CLUSTER_TEST(a_server_that_does_nothing),
        CLUSTER_TEST(a_partition),
        CLUSTER_TEST(a_slow_consumer),
        CLUSTER_TEST(a_node_that_stalls),
        CLUSTER_TEST(what_gets_old_is_given_up_and_told),
        CLUSTER_TEST(close_tells_what_is_left),
        CLUSTER_TEST(close_does_not_hang),
        CLUSTER_TEST(a_server_that_wants_to_know_who),
    };
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
