/* Two and three processes at level core: what reaches whom. */
#include "cluster.h"

static void open_client(struct node *node, const char *session, const char *client, const char *room_and_policy)
{
    assert_answer(node, "1", "open %s %s %s 10000", session, client, room_and_policy);
}

static void a_push_reaches_all_nodes(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, ""), *c = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "10 block");
    open_client(b, E("alice"), E("laptop"), "10 block");
    open_client(b, E("alice"), E("tablet"), "10 block");
    open_client(c, E("bob"), E("phone"), "10 block");

    assert_answer(a, "1 1 1 0", "push %s - 0 hello", E("alice"));
    assert_answer(a, "0 hello", "pull %s %s 0", E("alice"), E("phone"));
    assert_answer(b, "0 hello", "pull %s %s 10000", E("alice"), E("laptop"));
    assert_answer(b, "0 hello", "pull %s %s 10000", E("alice"), E("tablet"));

    /* From a node that has no client of the session, and with the other's message as the sign that nothing came. */
    assert_answer(c, "0 1 0 0", "push %s - 0 from afar", E("alice"));
    assert_answer(a, "0 from afar", "pull %s %s 10000", E("alice"), E("phone"));
    assert_answer(c, "-11 ", "pull %s %s 0", E("bob"), E("phone"));
    assert_int_equal(stat_of(c, "received"), 0);
    end_node(a);
    end_node(b);
    end_node(c);
}

static void no_message_comes_back(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "10 block");
    open_client(b, E("alice"), E("phone"), "10 block");
    assert_answer(a, "1 1 1 0", "push %s - 0 ping", E("alice"));
    assert_answer(b, "0 ping", "pull %s %s 10000", E("alice"), E("phone"));
    assert_answer(b, "1 1 1 0", "push %s - 0 pong", E("alice"));
    assert_answer(a, "0 ping", "pull %s %s 10000", E("alice"), E("phone"));
    assert_answer(a, "0 pong", "pull %s %s 10000", E("alice"), E("phone"));
    assert_answer(a, "-11 ", "pull %s %s 0", E("alice"), E("phone"));
    assert_int_equal(stat_of(a, "received"), 1);
}

static void the_exception_holds_on_all_nodes(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(a, E("alice"), E("phone"), "10 block");
    open_client(b, E("alice"), E("laptop"), "10 block");
    open_client(b, E("alice"), E("tablet"), "10 block");
    open_client(b, E("alice"), "i7", "10 block");
    assert_answer(a, "1 1 1 0", "push %s %s 0 first", E("alice"), E("laptop"));
    assert_answer(a, "1 1 1 0", "push %s i7 0 second", E("alice"));
    assert_answer(b, "0 first", "pull %s %s 10000", E("alice"), E("tablet"));
    assert_answer(b, "0 second", "pull %s %s 10000", E("alice"), E("tablet"));
    assert_answer(b, "0 second", "pull %s %s 0", E("alice"), E("laptop"));
    assert_answer(b, "0 first", "pull %s i7 0", E("alice"));
    assert_answer(b, "-11 ", "pull %s i7 0", E("alice"));
}

static void order_is_kept(void **state)
{
    enum { MESSAGES = SCALED(30000) };
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(b, E("alice"), E("phone"), "100000 newest");
    assert_answer(a, "0", "burst %s 0 %d -1 0", E("alice"), MESSAGES);
    struct counted c = count_until(b, E("alice"), E("phone"), MESSAGES - 1, 30000);
    assert_int_equal(ask_number(a, "burst"), MESSAGES);
    assert_int_equal(c.count, MESSAGES);
    assert_int_equal(c.disorder, 0);
    assert_int_equal(c.lost, 0);
    assert_answer(a, "0", "flush 10000");
    assert_int_equal(stat_of(a, "published"), MESSAGES);
    assert_int_equal(stat_of(a, "queued"), 0);
}

/* Whatever the sender and the keeper do at that moment, a confirmation comes for the last message, too. */
static void every_message_is_confirmed(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "");
    long pushed = 0;
    for (int round = 0; round < SCALED(240); round++) {
        int count = 1 + round * 37 % 1000;
        assert_int_equal(ask_number(a, "many %s 0 %d -1 %d", E("alice"), count, round % 3 == 0 ? 7 : 0), count);
        assert_answer(a, "0", "flush 10000");
        pushed += count;
    }
    assert_int_equal(stat_of(a, "published"), pushed);
    assert_int_equal(stat_of(a, "resent"), 0);
}

/* Ids that would be lines of the protocol, wildcards, or other sessions' subjects. */
static void hostile_ids(void **state)
{
    (void)state;
    static char large[PUSH_ID_MAX], nearly[PUSH_ID_MAX];
    memset(large, 'x', sizeof large);
    memset(nearly, 'x', sizeof nearly);
    nearly[sizeof nearly - 1] = 'y';
    const push_id ids[] = {
        push_id_str("\r\nPUB push.v1.default.i1 5\r\nhello\r\n"),
        push_id_str("*"),
        push_id_str(">"),
        push_id_str("a b"),
        push_id_str("."),
        push_id_str(""),
        push_id_bytes("a\0b", 3),
        push_id_bytes("a", 1),
        push_id_str("42"),
        push_id_int(42),
        push_id_int(UINT64_MAX),
        push_id_bytes(large, 96),
        push_id_bytes(large, 97),
        push_id_bytes(large, sizeof large),
        push_id_bytes(nearly, sizeof nearly),
    };
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    for (size_t i = 0; i < COUNT(ids); i++)
        open_client(b, encoded(ids[i]), encoded(ids[i]), "10 block");
    for (size_t i = 0; i < COUNT(ids); i++)
        assert_answer(a, "0 1 0 0", "push %s %s 0 for number %zu", encoded(ids[i]), E("nobody"), i);
    for (size_t i = 0; i < COUNT(ids); i++) {
        char expected[40];
        snprintf(expected, sizeof expected, "0 for number %zu", i);
        assert_answer(b, expected, "pull %s %s 10000", encoded(ids[i]), encoded(ids[i]));
    }
    assert_int_equal(stat_of(b, "received"), COUNT(ids));
    /* As an exception, too, in a header. */
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_answer(a, "0 1 0 0", "push %s %s 0 not for you", encoded(ids[i]), encoded(ids[i]));
        assert_answer(a, "0 1 0 0", "push %s - 0 for you", encoded(ids[i]));
        assert_answer(b, "0 for you", "pull %s %s 10000", encoded(ids[i]), encoded(ids[i]));
    }
}

static void subscribed_exactly_while_joined(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "linger=-1");
    open_client(b, E("alice"), E("phone"), "10 block");
    open_client(b, E("alice"), E("laptop"), "10 block");
    assert_int_equal(stat_of(b, "subscriptions"), 1);
    assert_answer(b, "0", "shut %s %s", E("alice"), E("phone"));
    assert_answer(a, "0 1 0 0", "push %s - 0 one", E("alice"));
    assert_answer(b, "0 one", "pull %s %s 10000", E("alice"), E("laptop"));
    assert_answer(b, "0", "shut %s %s", E("alice"), E("laptop"));
    assert_eventually(stat_of(b, "sessions") == 0);
    assert_int_equal(stat_of(b, "subscriptions"), 0);

    /* Nobody hears this; the session that is joined next shows that it would have come by now. */
    assert_answer(b, "1", "join %s 10000", E("bob"));
    assert_answer(a, "0 1 0 0", "push %s - 0 two", E("alice"));
    assert_answer(a, "0 1 0 0", "push %s - 0 three", E("bob"));
    assert_eventually(stat_of(b, "received") == 2);
    assert_answer(b, "0", "leave %s", E("bob"));
    assert_answer(b, "-2", "leave %s", E("bob"));
    assert_eventually(stat_of(b, "sessions") == 0);
}

static void a_subscription_lingers(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "linger=600000");
    assert_answer(b, "1", "join %s 10000", E("alice"));
    assert_answer(b, "0", "leave %s", E("alice"));
    assert_int_equal(stat_of(b, "subscriptions"), 1);
    open_client(b, E("alice"), E("phone"), "10 block"); /* confirmed at once */
    assert_answer(b, "1", "join %s 0", E("alice"));
    assert_answer(a, "0 1 0 0", "push %s - 0 one", E("alice"));
    assert_answer(b, "0 one", "pull %s %s 10000", E("alice"), E("phone"));
}

/* The thread that delivers waits for nobody: other sessions' messages arrive, and the loss is counted. */
static void a_full_blocking_client_holds_nobody_up(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, ""), *b = connected_node(server, "");
    open_client(b, E("alice"), E("stuck"), "2 block");
    open_client(b, E("alice"), E("oldest"), "2 oldest");
    open_client(b, E("bob"), E("phone"), "10 block");
    assert_answer(a, "5", "many %s 0 5 0 0", E("alice"));
    assert_answer(a, "0 1 0 0", "push %s - 0 through", E("bob"));
    assert_answer(b, "0 through", "pull %s %s 10000", E("bob"), E("phone"));
    assert_int_equal(stat_of(b, "refused"), 3);
    assert_int_equal(ask_number(b, "refused"), 3);
    assert_answer(b, "0 0", "pull %s %s 0", E("alice"), E("stuck"));
    assert_answer(b, "3 3", "pull %s %s 0", E("alice"), E("oldest"));
}

static void clusters_do_not_mix(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "cluster=one"), *b = connected_node(server, "cluster=two"),
                *c = connected_node(server, "cluster=one");
    open_client(b, E("alice"), E("phone"), "10 block");
    open_client(c, E("alice"), E("phone"), "10 block");
    assert_answer(a, "0 1 0 0", "push %s - 0 hello", E("alice"));
    assert_answer(c, "0 hello", "pull %s %s 10000", E("alice"), E("phone"));
    assert_int_equal(stat_of(b, "received"), 0);
}

static void too_large_for_the_server(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "");
    static char text[(1 << 20) + 1];
    memset(text, 'x', sizeof text - 1);
    char *expected = NULL;
    assert_true(asprintf(&expected, "%d 0 0 0", -EMSGSIZE) > 0);
    assert_answer(a, expected, "push %s - 0 %s", E("alice"), text);
    free(expected);
    text[(1 << 20) - 4096] = '\0';
    assert_answer(a, "0 1 0 0", "push %s - 0 %s", E("alice"), text);
    assert_answer(a, "0", "flush 10000");
    assert_int_equal(stat_of(a, "published"), 1);
}

static void arguments(void **state)
{
    (void)state;
    push_nats_options options = {0};
    const char *const clusters[] = {"", "a.b", "a b", "*", "0123456789012345678901234567890123"};
    assert_null_errno(push_nats_connect(NULL, NULL), EINVAL);
    assert_null_errno(push_nats_connect(" ,", NULL), EINVAL);
    for (size_t i = 0; i < COUNT(clusters); i++) {
        options.cluster = clusters[i];
        assert_null_errno(push_nats_connect("nats://127.0.0.1", &options), EINVAL);
    }
    assert_int_equal(push_nats_wait(NULL, 0), -EINVAL);
    assert_int_equal(push_nats_flush(NULL, 0), -EINVAL);
    assert_int_equal(push_nats_close(NULL, 0), -EINVAL);
    assert_int_equal(push_nats_join(NULL, PUSH_ID(1), 0), -EINVAL);
    assert_int_equal(push_nats_leave(NULL, PUSH_ID(1)), -EINVAL);
    assert_null_errno(push_nats_client_open(NULL, PUSH_ID(1), PUSH_ID(1), NULL, 0), EINVAL);
    assert_int_equal(push_nats_client_close(NULL, NULL), -EINVAL);
    assert_int_equal(push_nats_stat(NULL, NULL), -EINVAL);
    push_nats_report report = {.queued = true};
    push_msg *msg = text_msg("x");
    assert_int_equal(push_nats_push(NULL, PUSH_ID(1), msg, PUSH_ID_NONE, 0, &report), -EINVAL);
    assert_false(report.queued);
    push_msg_unref(msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_push_reaches_all_nodes),
        CLUSTER_TEST(no_message_comes_back),
        CLUSTER_TEST(the_exception_holds_on_all_nodes),
        CLUSTER_TEST(order_is_kept),
        CLUSTER_TEST(every_message_is_confirmed),
        CLUSTER_TEST(hostile_ids),
        CLUSTER_TEST(subscribed_exactly_while_joined),
        CLUSTER_TEST(a_subscription_lingers),
        CLUSTER_TEST(a_full_blocking_client_holds_nobody_up),
        CLUSTER_TEST(clusters_do_not_mix),
        CLUSTER_TEST(too_large_for_the_server),
        CLUSTER_TEST(arguments),
    };
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
