/* Lists of ids: what session and registry ask of them is tested there; here, sizes that cannot be had. */
#include "helpers.h"

#include "idlist.h"
#include "session.h"

static void a_list_ends_before_its_size_overflows(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    for (int of_bytes = 0; of_bytes < 2; of_bytes++) {
        struct idlist list = {0};
        if (of_bytes)
            list.bytes_len = list.bytes_cap = SIZE_MAX / 2;
        else
            list.len = list.cap = SIZE_MAX / 2 / sizeof(push_id);
        struct idlist before = list;
        assert_int_equal(push__idlist_add_map(&list, &s->clients_lock, &s->clients), -ENOMEM);
        assert_int_equal(list.len, before.len);
        assert_int_equal(list.bytes_len, before.bytes_len);
        assert_null(list.bytes);
        push__idlist_free(&list);
    }
    push_client_unref(c);
    push_session_unref(s);
}

static void an_empty_list_is_a_block(void **state)
{
    (void)state;
    struct idlist list = {0};
    push_id *ids = push__idlist_finish(&list);
    assert_non_null(ids);
    assert_int_equal(ids[0].kind, 0);
    push_ids_free(ids);
}

static const struct CMUnitTest tests[] = {TEST(a_list_ends_before_its_size_overflows),
                                          TEST(an_empty_list_is_a_block)};

TEST_MAIN(tests)
