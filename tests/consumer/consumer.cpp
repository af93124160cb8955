/* The header from C++11, PUSH_ID with every kind of argument. */
#include <push/push.h>

int main()
{
    const push_id one = push_id_int(1);
    bool same = push_id_equal(PUSH_ID(one), one) && push_id_equal(PUSH_ID(true), one) &&
                push_id_equal(PUSH_ID('\1'), one) && push_id_equal(PUSH_ID(static_cast<signed char>(1)), one) &&
                push_id_equal(PUSH_ID(static_cast<unsigned char>(1)), one) &&
                push_id_equal(PUSH_ID(static_cast<short>(1)), one) &&
                push_id_equal(PUSH_ID(static_cast<unsigned short>(1)), one) && push_id_equal(PUSH_ID(1), one) &&
                push_id_equal(PUSH_ID(1U), one) && push_id_equal(PUSH_ID(1L), one) &&
                push_id_equal(PUSH_ID(1UL), one) && push_id_equal(PUSH_ID(1LL), one) &&
                push_id_equal(PUSH_ID(1ULL), one) && push_id_equal(PUSH_ID("a"), push_id_bytes("a", 1)) &&
                !push_id_equal(PUSH_ID("1"), one) && push_id_equal(PUSH_ID_NONE, push_id_str(nullptr));

    push_msg *msg = nullptr;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 1);
    bool pulled = push_session_push(s, "hello", 5) == 1 && push_session_pull(s, PUSH_ID("phone"), &msg, 0) == 0 &&
                  push_msg_size(msg) == 5;
    push_msg_unref(msg);
    push_session_unref(s);
    push_shutdown();
    return same && pulled ? 0 : 1;
}
