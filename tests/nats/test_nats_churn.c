/* Joins, leaves and pushes from many threads of two processes at once; made to be run under the thread sanitizer.
 */
#include "cluster.h"

enum { ROUNDS = SCALED(1500), MESSAGES = SCALED(6000) };

/* Beside the churn, a session that stays: it must get everything. */
static void churn(const struct server *server, const char *options)
{
    struct node *a = connected_node(server, options), *b = connected_node(server, options);
    struct node *pusher = connected_node(server, options);
    assert_answer(b, "1", "open %s %s 1000000 newest 20000", E("steady"), E("phone"));
    assert_answer(pusher, "0", "burst %s 0 %d -1 10", E("steady"), MESSAGES);
    tell(a, "churn %d", ROUNDS);
    tell(b, "churn %d", ROUNDS);

    long pushed, pulled, failed, pulled_in_all = 0;
    struct node *both[] = {a, b};
    for (size_t i = 0; i < COUNT(both); i++) {
        assert_int_equal(sscanf(answer(both[i]), "%ld %ld %ld", &pushed, &pulled, &failed), 3);
        assert_int_equal(failed, 0);
        assert_true(pushed > 0);
        pulled_in_all += pulled;
    }
    assert_true(pulled_in_all > 0);
    assert_int_equal(ask_number(pusher, "burst"), MESSAGES);
    struct counted c = count_until(b, E("steady"), E("phone"), MESSAGES - 1, 60000);
    assert_int_equal(c.count, MESSAGES);
    assert_int_equal(c.lost, 0);
    assert_int_equal(c.disorder, 0);

    /* All that came has gone. */
    assert_eventually(stat_of(a, "sessions") == 0);
    assert_eventually(stat_of(b, "sessions") == 1);
    assert_true(stat_of(a, "received") + stat_of(b, "received") > 0);
    end_node(a);
    end_node(b);
    end_node(pusher);
}

static void churn_at_level_core(void **state)
{
    (void)state;
    churn(start_server(), "linger=-1");
}

static void churn_at_level_stream(void **state)
{
    (void)state;
    churn(start_stream_server(), "linger=-1 stream");
}

/* With time to linger, subscriptions come back to life. */
static void churn_that_lingers(void **state)
{
    (void)state;
    churn(start_server(), "linger=1");
}

/* And with a server that goes and comes back. */
static void churn_while_the_server_restarts(void **state)
{
    (void)state;
    struct server *server = start_server();
    struct node *a = connected_node(server, "linger=-1"), *b = connected_node(server, "linger=1");
    tell(a, "churn %d", ROUNDS);
    tell(b, "churn %d", ROUNDS);
    for (int i = 0; i < 3; i++)
        restart_server(server);
    long pushed, pulled, failed;
    assert_int_equal(sscanf(answer(a), "%ld %ld %ld", &pushed, &pulled, &failed), 3);
    assert_int_equal(failed, 0);
    assert_int_equal(sscanf(answer(b), "%ld %ld %ld", &pushed, &pulled, &failed), 3);
    assert_int_equal(failed, 0);
    assert_answer(a, "0", "wait 20000");
    assert_answer(b, "0", "wait 20000");
    assert_eventually(stat_of(a, "sessions") == 0 && stat_of(b, "sessions") == 0);
    assert_answer(b, "1", "open %s %s 10 block 20000", E("alice"), E("phone"));
    assert_answer(a, "0 1 0 0", "push %s - 0 hello", E("alice"));
    assert_answer(b, "0 hello", "pull %s %s 20000", E("alice"), E("phone"));
    end_node(a);
    end_node(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(churn_at_level_core),
        CLUSTER_TEST(churn_at_level_stream),
        CLUSTER_TEST(churn_that_lingers),
        CLUSTER_TEST(churn_while_the_server_restarts),
    };
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
