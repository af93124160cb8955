/* Level stream: what was missed is fetched. */
#include "cluster.h"

static void open_client(struct node *node, const char *session, const char *client, const char *room_and_policy)
{
    assert_answer(node, "1", "open %s %s %s 30000", session, client, room_and_policy);
}

static void live_messages(void **state)
{
    enum { MESSAGES = SCALED(5000) };
    (void)state;
    struct server *server = start_stream_server();
    struct node *a = connected_node(server, "stream"), *b = connected_node(server, "stream");
    open_client(a, E("alice"), E("phone"), "100000 newest");
    open_client(b, E("alice"), E("phone"), "100000 newest");
    open_client(b, E("alice"), E("laptop"), "100000 newest");
    assert_answer(a, "1 1 1 0", "push %s %s 0 -1", E("alice"), E("laptop"));
    assert_int_equal(ask_number(a, "many %s 0 %d -1 0", E("alice"), MESSAGES), MESSAGES);
    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES - 1, 30000);
    assert_int_equal(c.count, MESSAGES + 1);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.lost, 0);
    c = count_until(b, E("alice"), E("laptop"), MESSAGES - 1, 30000);
    assert_int_equal(c.count, MESSAGES);
    assert_answer(a, "0", "flush 20000");
    assert_int_equal(stat_of(a, "published"), MESSAGES + 1);
    /* The stream sends it to everybody: its own node does not take it twice. */
    c = count_messages(a, E("alice"), E("phone"), 300);
    assert_int_equal(c.count, MESSAGES + 1);
    assert_int_equal(stat_of(a, "received"), 0);
    /* Who joins now begins now. */
    struct node *d = connected_node(server, "stream");
    open_client(d, E("alice"), E("phone"), "100 newest");
    assert_answer(a, "1", "many %s %d 1 0 0", E("alice"), MESSAGES);
    c = count_until(d, E("alice"), E("phone"), MESSAGES, 20000);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.lost, 0);
}

/* Killed and restarted while messages flow: nobody misses anything, as long as the history is long enough. */
static void nothing_is_missed_when_the_server_restarts(void **state)
{
    enum { MESSAGES = SCALED(20000) };
    (void)state;
    struct server *server = start_stream_server();
    const char *options = "stream history=100000";
    struct node *a = connected_node(server, options), *b = connected_node(server, options);
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    assert_answer(a, "0", "burst %s 0 %d -1 10", E("alice"), MESSAGES);
    for (int i = 1; i <= 2; i++) {
        assert_eventually(stat_of(b, "received") >= i * MESSAGES / 4);
        kill_server(server);
        assert_eventually(stat_of(a, "connected") == 0 && stat_of(b, "connected") == 0);
        restart_server(server);
        assert_eventually(stat_of(a, "reconnects") >= i && stat_of(b, "reconnects") >= i);
    }
    assert_int_equal(ask_number(a, "burst"), MESSAGES);
    assert_answer(a, "0", "flush 60000");
    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES - 1, 60000);
    print_message("%ld came, %ld of them from the history; %ld sent again, %ld duplicates dropped\n", c.count,
                  stat_of(b, "caught_up"), stat_of(a, "resent"), stat_of(b, "duplicates"));
    assert_int_equal(c.count, MESSAGES);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.lost, 0);
}

/* A node that stands still until its server has given it up, while others go on. */
static void a_node_that_was_cut_off_catches_up(void **state)
{
    enum { MESSAGES = 50, HISTORY = 20 };
    (void)state;
    struct server *server = start_stream_server();
    const char *options = "stream history=20";
    struct node *a = connected_node(server, options), *b = connected_node(server, options);
    open_client(b, E("alice"), E("phone"), "1000 newest");
    open_client(b, E("bob"), E("phone"), "1000 newest");
    open_client(b, E("carol"), E("phone"), "1000 newest");
    assert_answer(a, "1", "many %s 0 1 0 0", E("alice"));
    assert_answer(b, "0 0", "pull %s %s 20000", E("alice"), E("phone"));
    assert_answer(a, "1", "many %s 0 1 0 0", E("bob"));
    assert_answer(b, "0 0", "pull %s %s 20000", E("bob"), E("phone"));

    /* b's server goes, and a's stays: the same one, restarted while b stands still. */
    stop_node(b);
    kill_server(server);
    assert_eventually(stat_of(a, "connected") == 0);
    restart_server(server);
    assert_answer(a, "0", "wait 20000");
    assert_int_equal(ask_number(a, "many %s 1 %d -1 0", E("alice"), MESSAGES), MESSAGES); /* more than is kept */
    assert_int_equal(ask_number(a, "many %s 1 10 -1 0", E("bob")), 10);                   /* fewer */
    assert_int_equal(ask_number(a, "many %s 0 10 -1 0", E("carol")), 10);                 /* of nobody known */
    assert_answer(a, "0", "flush 20000");
    continue_node(b);

    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES, 30000);
    assert_int_equal(c.count, HISTORY);
    assert_int_equal(c.lost, MESSAGES - HISTORY);
    assert_int_equal(c.disorder, 0);
    c = count_until(b, E("bob"), E("phone"), 10, 30000);
    assert_int_equal(c.count, 10);
    assert_int_equal(c.lost, 0);
    c = count_until(b, E("carol"), E("phone"), 9, 30000);
    assert_int_equal(c.count, 10);
    assert_int_equal(c.lost, 0);
    assert_int_equal(stat_of(b, "caught_up"), HISTORY + 20);
    /* And it goes on live. */
    assert_answer(a, "1", "many %s %d 1 0 0", E("alice"), MESSAGES + 1);
    c = count_until(b, E("alice"), E("phone"), MESSAGES + 1, 20000);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.lost, 0);
    assert_int_equal(stat_of(b, "caught_up"), HISTORY + 20);
}

/* What the position file in the server's folder says; -1: there is none. */
static long position_in(const struct server *server)
{
    char path[128];
    long position = -1;
    snprintf(path, sizeof path, "%s/position", server->folder);
    FILE *file = fopen(path, "r");
    if (file) {
        assert_int_equal(fscanf(file, "%ld", &position), 1); /* never half written */
        fclose(file);
    }
    return position;
}

static void a_node_that_was_restarted_catches_up(void **state)
{
    (void)state;
    struct server *server = start_stream_server();
    char options[128];
    snprintf(options, sizeof options, "stream position=%s/position", server->folder);
    struct node *a = connected_node(server, "stream"), *b = connected_node(server, options);
    open_client(b, E("alice"), E("phone"), "1000 newest");
    assert_answer(a, "10", "many %s 0 10 0 0", E("alice"));
    struct counted c = count_until(b, E("alice"), E("phone"), 9, 20000);
    assert_int_equal(c.count, 10);
    assert_answer(b, "0", "close 10000");
    end_node(b);

    assert_answer(a, "10", "many %s 10 10 0 0", E("alice"));
    assert_answer(a, "10", "many %s 0 10 0 0", E("bob"));
    assert_answer(a, "0", "flush 20000");
    b = connected_node(server, options);
    assert_int_equal(ask_number(b, "open %s %s 1000 newest 20000", E("alice"), E("phone")), 1);
    c = count_until(b, E("alice"), E("phone"), 19, 20000);
    assert_int_equal(c.count, 10);
    assert_int_equal(c.disorder, 0);

    /* Killed, once the file says that these were delivered. */
    assert_answer(a, "10", "many %s 20 10 0 0", E("alice"));
    c = count_until(b, E("alice"), E("phone"), 29, 20000);
    assert_int_equal(c.count, 10);
    assert_eventually(position_in(server) == 40); /* of the 40 messages in the stream */
    kill_node(b);
    assert_answer(a, "10", "many %s 30 10 0 0", E("alice"));
    assert_answer(a, "0", "flush 20000");
    b = connected_node(server, options);
    open_client(b, E("alice"), E("phone"), "1000 newest");
    c = count_until(b, E("alice"), E("phone"), 39, 20000);
    assert_int_equal(c.count, 10);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.lost, 0);
}

/* A message that the server had already, and whose acknowledgement was lost: the stream keeps one. */
static void a_stalled_server_makes_no_duplicates(void **state)
{
    enum { MESSAGES = 500 };
    (void)state;
    struct server *server = start_stream_server();
    const char *options = "stream history=10000";
    struct node *a = connected_node(server, options), *b = connected_node(server, options);
    open_client(b, E("alice"), E("phone"), "100000 newest");
    stop_server(server);
    assert_int_equal(ask_number(a, "many %s 0 %d 0 0", E("alice"), MESSAGES), MESSAGES);
    assert_eventually(stat_of(a, "connected") == 0 && stat_of(b, "connected") == 0);
    continue_server(server);
    assert_answer(a, "0", "flush 60000");
    assert_int_equal(stat_of(a, "unpublished"), 0);
    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES - 1, 30000);
    assert_int_equal(c.count, MESSAGES);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.lost, 0);
    c = count_messages(b, E("alice"), E("phone"), 300);
    assert_int_equal(c.count, 0);
}

/* What libnats drops, the stream has. */
static void a_slow_consumer_misses_nothing(void **state)
{
    enum { MESSAGES = SCALED(10000) };
    (void)state;
    struct server *server = start_stream_server();
    struct node *a = connected_node(server, "stream history=100000");
    struct node *b = connected_node(server, "stream history=100000 max_pending=1");
    open_client(b, E("alice"), E("phone"), "1000000 newest");
    assert_int_equal(ask_number(a, "many %s 0 %d -1 0", E("alice"), MESSAGES), MESSAGES);
    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES - 2, 60000);
    assert_true(c.last >= MESSAGES - 2); /* the very last, dropped, would show with the next */
    assert_answer(a, "1", "many %s %d 1 -1 0", E("alice"), MESSAGES);
    c.count += count_until(b, E("alice"), E("phone"), MESSAGES, 20000).count;
    assert_int_equal(c.count, MESSAGES + 1);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(stat_of(b, "lost"), 0);
    assert_eventually(stat_of(b, "dropped") > 0);
}

static void a_server_without_streams(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = start_node();
    assert_answer(a, "0", "connect %s stream", server->url);
    assert_answer(a, "0", "open %s %s 10 block 0", E("alice"), E("phone"));
    assert_answer(a, "1 1 1 0", "push %s - 0 here", E("alice"));
    assert_answer(a, "0 here", "pull %s %s 0", E("alice"), E("phone"));
    assert_answer(a, "-110", "wait 1000");
    const char *error = strstr(ask(a, "stat"), "error=");
    assert_true(error != NULL && strlen(error) > strlen("error="));
    /* It gets them. */
    server->stream = true;
    restart_server(server);
    assert_answer(a, "0", "wait 30000");
    assert_answer(a, "0", "flush 30000");
    assert_int_equal(stat_of(a, "published"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(live_messages),
        CLUSTER_TEST(nothing_is_missed_when_the_server_restarts),
        CLUSTER_TEST(a_node_that_was_cut_off_catches_up),
        CLUSTER_TEST(a_node_that_was_restarted_catches_up),
        CLUSTER_TEST(a_stalled_server_makes_no_duplicates),
        CLUSTER_TEST(a_slow_consumer_misses_nothing),
        CLUSTER_TEST(a_server_without_streams),
    };
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
