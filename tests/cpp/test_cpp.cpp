/* push.hpp: each member, in both of its forms; what handles hold; that what a call takes is taken on success only.
 */
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <pthread.h>

#include "check.hpp"

namespace
{

using namespace std::chrono_literals;
using std::errc;

const std::string too_long(PUSH_ID_MAX + 1, 'x');

/* ---- Errors ---------------------------------------------------------------------------------------------- */

void error_codes()
{
    CHECK(push::category().name() == std::string_view("push"));
    CHECK(push::category() == push::category() && push::category() != std::generic_category());
    for (int error : {EAGAIN, ETIMEDOUT, ENOENT, EPIPE, EEXIST, EBUSY, EINVAL, ENOMEM, EMFILE}) {
        const std::error_code code = push::make_error_code(-error);
        CHECK(code && code.value() == error && code.category() == push::category());
        CHECK(code.message() == push_strerror(-error));
        CHECK(code == static_cast<errc>(error));
    }
    CHECK(push::make_error_code(-EPIPE) != errc::timed_out);
    CHECK(!push::make_error_code(0) && !push::make_error_code(7));
}

void a_success_clears_the_code()
{
    std::error_code code = stale();
    push::session s("s", code);
    CHECK(!code);
    code = stale();
    push::client c(s, "c", {}, code);
    CHECK(!code);
    code = stale();
    push::message m("m", code);
    CHECK(!code);
    code = stale();
    CHECK(s.push("1", code) == 1 && !code);
    code = stale();
    CHECK(s.send(m, {}, push::now, code).delivered == 1 && !code);
    code = stale();
    CHECK(c.send(m, push::now, code).delivered == 1 && !code);
    code = stale();
    push::pulled first = c.pull(push::now, code);
    CHECK(first && !code);
    code = stale();
    c.unpull(std::move(first.msg), code);
    CHECK(!code);
    code = stale();
    push::message many[4];
    CHECK(c.pull_many(many, 4, push::now, code).size == 3 && !code);
    code = stale();
    CHECK(c.fd(code) >= 0 && !code);
    code = stale();
    CHECK(c.stat(code).pulled == 3 && !code);
    code = stale();
    CHECK(s.clients(code).size() == 1 && !code);
    code = stale();
    CHECK(push::sessions(code).size() == 1 && !code);
}

/* ---- Timeouts -------------------------------------------------------------------------------------------- */

static_assert(push::forever.ms() == -1 && push::timeout::never().ms() == -1);
static_assert(push::now.ms() == 0);
static_assert(push::timeout(3s).ms() == 3000);
static_assert(push::timeout(0s).ms() == 0);
static_assert(push::timeout(-1ns).ms() == 0 && push::timeout(-1h).ms() == 0, "what has passed is not for ever");
static_assert(push::timeout(1ns).ms() == 1 && push::timeout(1000001ns).ms() == 2, "rounded up: never too early");
static_assert(push::timeout(std::chrono::hours::max()).ms() == INT_MAX);
static_assert(push::timeout(std::chrono::hours::min()).ms() == 0);
static_assert(push::timeout(std::chrono::nanoseconds::max()).ms() == INT_MAX);
static_assert(push::timeout(std::chrono::milliseconds(INT_MAX)).ms() == INT_MAX);
static_assert(push::timeout(std::chrono::milliseconds(INT_MAX - 1)).ms() == INT_MAX - 1);

void timeouts()
{
    push::timeout (*const never)() = push::timeout::never;
    CHECK(never().ms() == -1);
    using seconds = std::chrono::duration<double>;
    CHECK(push::timeout(seconds(0.0015)).ms() == 2);
    CHECK(push::timeout(seconds(std::numeric_limits<double>::infinity())).ms() == INT_MAX);
    CHECK(push::timeout(seconds(std::nan(""))).ms() == 0);

    push::client c(push::session("s"), "c");
    const auto start = std::chrono::steady_clock::now();
    CHECK_THROWS(c.pull(20ms), errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - start >= 20ms);
    CHECK_THROWS(c.pull(start - std::chrono::steady_clock::now()), errc::resource_unavailable_try_again);
}

/* ---- Ids ------------------------------------------------------------------------------------------------- */

void ids()
{
    using namespace std::string_literals;
    const push::id none;
    CHECK(!none && none == push::id(static_cast<const char *>(nullptr)) && push_id_equal(none.raw(), push_id()));

    const push::id alice = "alice";
    CHECK(alice && alice == "alice"s && alice == std::string_view("alice") && alice == push_id_str("alice"));
    CHECK(alice != "bob" && alice != none);

    const std::string bytes = "a\0b"s;
    const push::id zero = bytes;
    CHECK(zero == push_id_bytes("a\0b", 3) && zero != "a");

    CHECK(push::id(std::string_view()) == "" && push::id(std::string_view()) != none);

    CHECK(push::id(42) == push_id_int(42) && push::id(42U) == 42 && push::id(42LL) == 42UL);
    CHECK(push::id(42) != "42");
    CHECK(push::id(-1) == push_id_int(UINT64_MAX) && push::id(static_cast<signed char>(-1)) == UINT64_MAX);
    CHECK(push::id(0) && push::id(0) != none);
    static_assert(!std::is_constructible_v<push::id, bool>, "a comparison is no id");

    CHECK(push::id(42).to_string() == "42" && alice.to_string() == "alice" && zero.to_string() == "a\\x00b");
    CHECK(none.to_string() == "(none)");
    CHECK_THROWS(push::id(too_long).to_string(), errc::invalid_argument);
}

std::vector<std::string> names(const push::id_list &list)
{
    std::vector<std::string> all;
    for (push::id name : list)
        all.push_back(name.to_string());
    std::sort(all.begin(), all.end());
    return all;
}

void lists_of_ids()
{
    push::session s("s");
    CHECK(s.clients().size() == 0 && s.clients().empty() && names(s.clients()).empty());
    push::client a(s, "a"), b(s, 2);
    push::id_list list = s.clients();
    CHECK(list.size() == 2 && !list.empty() && (names(list) == std::vector<std::string>{"2", "a"}));
    CHECK(list[0] != list[1] && (list[0] == "a" || list[0] == 2));

    push::id_list::iterator at = list.begin();
    CHECK(*at++ == list[0] && *at == list[1] && at != list.end() && ++at == list.end());
    CHECK(push::id_list::iterator() == push::id_list::iterator());
    CHECK(std::distance(list.begin(), list.end()) == 2);

    push::id_list moved(std::move(list));
    CHECK(moved.size() == 2);
    push::id_list assigned = push::id_list();
    CHECK(assigned.begin() == assigned.end());
    assigned = std::move(moved);
    assigned = s.clients();
    CHECK(assigned.size() == 2);
    static_assert(!std::is_copy_constructible_v<push::id_list>);

    push::session t(7);
    CHECK((names(push::sessions()) == std::vector<std::string>{"7", "s"}));

    CHECK_FAILS(push::session().clients(), push::session().clients(ec), errc::invalid_argument);
    out_of_memory now;
    CHECK_FAILS(s.clients(), s.clients(ec), errc::not_enough_memory);
    CHECK_FAILS(push::sessions(), push::sessions(ec), errc::not_enough_memory);
}

/* ---- Handles --------------------------------------------------------------------------------------------- */

/* A handle of any kind, whose object lives as long as one of its references. */
template <class Handle> void handles_of(Handle first)
{
    static_assert(std::is_nothrow_copy_constructible_v<Handle> && std::is_nothrow_copy_assignable_v<Handle>);
    static_assert(std::is_nothrow_move_constructible_v<Handle> && std::is_nothrow_move_assignable_v<Handle>);
    const auto *raw = first.get();
    CHECK(first && raw != nullptr);

    Handle empty;
    CHECK(!empty && empty.get() == nullptr && empty.release() == nullptr);
    Handle copy_of_empty(empty);
    CHECK(copy_of_empty == empty && copy_of_empty != first);

    Handle copy(first);
    CHECK(copy == first && copy.get() == raw);
    Handle moved(std::move(copy));
    CHECK(moved.get() == raw && !copy);
    copy = moved;
    CHECK(copy.get() == raw && moved.get() == raw);
    copy = std::move(moved);
    CHECK(copy.get() == raw && !moved);
    Handle &self = copy;
    copy = self;
    CHECK(copy.get() == raw);
    copy = std::move(self);
    CHECK(copy.get() == raw);
    copy = empty;
    CHECK(!copy && first.get() == raw);

    Handle adopted = Handle::adopt(first.release());
    CHECK(!first && adopted.get() == raw);
}

void handles()
{
    handles_of(push::message("text"));
    handles_of(push::session("s"));
    handles_of(push::client(push::session("s"), "c"));
}

void the_last_handle_lets_go()
{
    struct flag {
        explicit flag(bool *gone) : gone_(gone) {}
        flag(flag &&other) noexcept : gone_(std::exchange(other.gone_, nullptr)) {}
        flag &operator=(flag &&other) noexcept
        {
            std::swap(gone_, other.gone_);
            return *this;
        }
        ~flag()
        {
            if (gone_ != nullptr)
                *gone_ = true;
        }
        char *data() noexcept { return bytes_; }
        std::size_t size() const noexcept { return 1; }

        bool *gone_;
        char bytes_[1] = {'f'};
    };
    bool gone = false;
    push::client c(push::session("s"), "c");
    {
        push::message m = push::message::wrap(flag(&gone));
        c.send(m);
    }
    CHECK(!gone && c.stat().queued == 1);
    {
        push::pulled p = c.pull();
        push::message copy = p.msg;
        CHECK(copy.bytes() == "f" && !gone);
    }
    CHECK(gone);
    push::session::erase("s");
    CHECK(c.stat().closed);
}

/* ---- Messages -------------------------------------------------------------------------------------------- */

void messages()
{
    push::message m("text");
    CHECK(m.bytes() == "text" && m.size() == 4 && m.data() == m.bytes().data());
    push::message none;
    CHECK(!none && none.bytes().empty() && none.data() == nullptr && none.size() == 0);
    push::message empty{std::string_view()};
    CHECK(empty && empty.size() == 0);

    static const char literal[] = "for ever";
    push::message borrowed = push::message::borrow(literal);
    CHECK(borrowed.data() == literal && borrowed.bytes() == literal);

    std::string text(1000, 't');
    const char *where = text.data();
    push::message wrapped = push::message::wrap(std::move(text));
    CHECK(wrapped.data() == where && wrapped.size() == 1000);
    push::message numbers = push::message::wrap(std::vector<int>{1, 2, 3});
    CHECK(numbers.size() == 3 * sizeof(int) && static_cast<const int *>(numbers.data())[2] == 3);
    CHECK(push::message::wrap(std::vector<int>()).size() == 0);
    CHECK(push::message::wrap(std::string("short")).bytes() == "short");
}

/* A container for which there is no memory. */
struct homeless {
    static void *operator new(std::size_t, const std::nothrow_t &) noexcept { return nullptr; }
    char *data() noexcept { return nullptr; }
    std::size_t size() const noexcept { return 0; }
};

void messages_without_memory()
{
    std::string text(1000, 't');
    const char *where = text.data();
    {
        out_of_memory now;
        CHECK_FAILS(push::message("text"), push::message("text", ec), errc::not_enough_memory);
        CHECK_FAILS(push::message::borrow("text"), push::message::borrow("text", ec), errc::not_enough_memory);
        CHECK_FAILS(push::message::wrap(std::move(text)), push::message::wrap(std::move(text), ec),
                    errc::not_enough_memory);
    }
    CHECK(text.size() == 1000 && text.data() == where);
    CHECK_FAILS(push::message::wrap(homeless()), push::message::wrap(homeless(), ec), errc::not_enough_memory);
}

/* ---- Sessions -------------------------------------------------------------------------------------------- */

void sessions()
{
    CHECK(!push::session::exists("s"));
    CHECK_FAILS(push::session::find("s"), push::session::find("s", ec), errc::no_such_file_or_directory);
    push::session s("s");
    CHECK(s.id() == "s" && push::session::exists("s") && push::session::find("s") == s && push::session("s") == s);
    CHECK(push::session(0).id() == 0);
    CHECK(push::session::erase(0) && !push::session::erase(0));

    std::error_code code = stale();
    CHECK(push::session("s", "phone", 1, code) == s && !code && s.size() == 1);
    push::session with_client(std::string("s"), "laptop", 3);
    CHECK(s.size() == 2 && push::client::find(s, "laptop").stat().max_buffer == 3);
    CHECK(s.erase_client("phone") && !s.erase_client("phone") && s.size() == 1);

    CHECK(!push::session::erase_if_empty("s"));
    s.erase_client("laptop");
    CHECK(push::session::erase_if_empty("s") && !push::session::exists("s"));
    CHECK_FAILS(s.push("x"), s.push("x", ec), errc::broken_pipe);
    CHECK_FAILS(s.send(push::message("x")), s.send(push::message("x"), {}, push::forever, ec), errc::broken_pipe);
    CHECK_FAILS(push::client(s, "c"), push::client(s, "c", {}, ec), errc::broken_pipe);

    CHECK_FAILS(push::session(push::id()), push::session(push::id(), ec), errc::invalid_argument);
    CHECK_FAILS(push::session("s", too_long, 1), push::session("s", too_long, 1, ec), errc::invalid_argument);
    CHECK(!push::session::exists("s"));
    CHECK(push::session().size() == 0 && !push::session().id() && !push::session().erase_client("c"));
    out_of_memory now;
    CHECK_FAILS(push::session("t"), push::session("t", ec), errc::not_enough_memory);
}

void pushing_to_a_session()
{
    push::session s("s");
    CHECK(s.push("nobody") == 0);
    push::client_options newest;
    newest.max_buffer = 1;
    newest.overflow = push::overflow::drop_newest;
    push::client a(s, "a"), b(s, "b", newest);
    CHECK(s.push("1") == 2);
    push::report r = s.send(push::message("2"));
    CHECK(r.delivered == 1 && r.dropped == 1 && r.disconnected == 0 && r.timed_out == 0);
    r = s.send(push::message("3"), "a", 0s);
    CHECK(r.delivered == 0 && r.dropped == 1);
    CHECK_FAILS(s.send(push::message()), s.send({}, {}, push::now, ec), errc::invalid_argument);

    CHECK(s.pull("a").msg.bytes() == "1" && s.pull("a", 1s).msg.bytes() == "2");
    CHECK_FAILS(s.pull("a", push::now), s.pull("a", push::now, ec), errc::resource_unavailable_try_again);
    CHECK_FAILS(s.pull("c"), s.pull("c", push::forever, ec), errc::no_such_file_or_directory);
    auto [msg, lost] = s.pull("b");
    CHECK(msg.bytes() == "1" && lost == 0);
    s.push("4");
    push::pulled after = s.pull("b");
    CHECK(after && after.msg.bytes() == "4" && after.lost == 2);

    CHECK(s.fd("a") == a.fd());
    CHECK_FAILS(s.fd("c"), s.fd("c", ec), errc::no_such_file_or_directory);
    std::error_code code;
    CHECK(s.fd("c", code) == -1);
    push::session empty;
    CHECK_FAILS(empty.push("x"), empty.push("x", ec), errc::invalid_argument);
    CHECK_FAILS(empty.pull("a"), empty.pull("a", push::forever, ec), errc::invalid_argument);
}

/* ---- Clients --------------------------------------------------------------------------------------------- */

void clients()
{
    push::session s("s");
    CHECK_FAILS(push::client::find(s, "c"), push::client::find(s, "c", ec), errc::no_such_file_or_directory);
    push::client c(s, "c");
    CHECK(c.id() == "c" && c.session() == s && push::client::find(s, "c") == c && push::client(s, "c") == c);
    CHECK(push::client::share(c.get()) == c && !push::client::share(nullptr));
    CHECK(push::client(s, 0).id() == 0);

    push::client_stats stats = c.stat();
    CHECK(stats.max_buffer == 10 && stats.queued == 0 && !stats.closed);
    CHECK(c.data() == nullptr);
    c.set_data(&stats);
    CHECK(c.data() == &stats && push::client::find(s, "c").data() == &stats);

    push::client empty;
    CHECK(!empty.id() && !empty.session() && empty.data() == nullptr && !empty.erase());
    empty.set_data(&stats);
    CHECK_FAILS(empty.stat(), empty.stat(ec), errc::invalid_argument);
    CHECK_FAILS(empty.pull(), empty.pull(push::forever, ec), errc::invalid_argument);
    CHECK_FAILS(empty.send(push::message("x")), empty.send(push::message("x"), push::now, ec),
                errc::invalid_argument);
    CHECK_FAILS(empty.fd(), empty.fd(ec), errc::invalid_argument);

    push::client_options wrong;
    wrong.max_buffer = 0;
    wrong.overflow = push::overflow::drop_oldest;
    CHECK_FAILS(push::client(s, "d", wrong), push::client(s, "d", wrong, ec), errc::invalid_argument);
    CHECK_FAILS(push::client::open("t", "d", wrong), push::client::open("t", "d", wrong, ec),
                errc::invalid_argument);
    CHECK(!push::session::exists("t"));

    CHECK(c.erase() && !c.erase() && c.stat().closed);
    CHECK_FAILS(c.pull(), c.pull(push::forever, ec), errc::broken_pipe);
    CHECK_FAILS(c.send(push::message("x")), c.send(push::message("x"), push::now, ec), errc::broken_pipe);
}

void opening_session_and_client_at_once()
{
    push::client_options refuse;
    refuse.duplicate = push::duplicate::refuse;
    std::error_code code = stale();
    push::client c = push::client::open("s", 1, refuse, code);
    CHECK(c && !code && c.session().id() == "s");
    CHECK_FAILS(push::client::open("s", 1, refuse), push::client::open("s", 1, refuse, ec), errc::file_exists);
    push::client shared = push::client::open("s", 1);
    CHECK(shared == c);
    CHECK(c.erase() && !push::session::exists("s"));
}

/* Each option says to the library what it says here. */
void options()
{
    push::session s("s");
    push::client_options o;
    CHECK(o.raw().max_buffer == 10 && o.raw().max_bytes == 0 && o.raw().overflow == PUSH_BLOCK &&
          o.raw().duplicate == PUSH_SHARE);

    o.max_buffer = 2;
    o.max_bytes = 3;
    push::client block(s, "block", o);
    CHECK(block.send(push::message("12")).delivered == 1);
    CHECK(block.send(push::message("34"), push::now).timed_out == 1);

    o.overflow = push::overflow::drop_newest;
    push::client newest(s, "newest", o);
    newest.send(push::message("12"));
    CHECK(newest.send(push::message("34")).dropped == 1 && newest.pull().msg.bytes() == "12");

    o.overflow = push::overflow::drop_oldest;
    push::client oldest(s, "oldest", o);
    oldest.send(push::message("12"));
    CHECK(oldest.send(push::message("34")).dropped == 1 && oldest.pull().msg.bytes() == "34");

    o.overflow = push::overflow::disconnect;
    push::client closed(s, "closed", o);
    closed.send(push::message("12"));
    CHECK(closed.send(push::message("34")).disconnected == 1 && closed.stat().closed);

    o = {};
    o.duplicate = push::duplicate::takeover;
    push::client heir(s, "block", o);
    CHECK(heir != block && heir.pull().msg.bytes() == "12");
    CHECK_THROWS(block.pull(), errc::broken_pipe);
    heir.send(push::message("5"));
    o.duplicate = push::duplicate::replace;
    push::client fresh(s, "block", o);
    CHECK(fresh != heir && fresh.stat().queued == 0 && heir.pull().msg.bytes() == "5");
    o.duplicate = push::duplicate::refuse;
    CHECK_FAILS(push::client(s, "block", o), push::client(s, "block", o, ec), errc::file_exists);
    o.duplicate = push::duplicate::share;
    CHECK(push::client(s, "block", o) == fresh);
}

void pulling_many()
{
    push::session s("s");
    push::client_options o;
    o.max_buffer = 70;
    o.overflow = push::overflow::drop_oldest;
    push::client c(s, "c", o);
    push::message msgs[100];
    CHECK_FAILS(c.pull_many(msgs, 100, push::now), c.pull_many(msgs, 100, push::now, ec),
                errc::resource_unavailable_try_again);
    for (int i = 0; i < 73; i++)
        s.push(std::to_string(i));
    push::batch got = c.pull_many(msgs, 2);
    CHECK(got.size == 2 && got.lost == 3 && msgs[0].bytes() == "3" && msgs[1].bytes() == "4" && !msgs[2]);
    got = c.pull_many(msgs, 100, 1s);
    CHECK(got.size == 64 && got.lost == 0 && msgs[0].bytes() == "5" && msgs[63].bytes() == "68");
    got = c.pull_many(msgs, 100);
    CHECK(got.size == 4 && msgs[3].bytes() == "72" && msgs[63].bytes() == "68");
    CHECK_FAILS(c.pull_many(msgs, 0), c.pull_many(msgs, 0, push::now, ec), errc::invalid_argument);
    CHECK_FAILS(c.pull_many(nullptr, 1), c.pull_many(nullptr, 1, push::now, ec), errc::invalid_argument);
    c.erase();
    CHECK_FAILS(c.pull_many(msgs, 1), c.pull_many(msgs, 1, push::forever, ec), errc::broken_pipe);
}

void putting_back()
{
    push::session s("s");
    push::client c(s, "c");
    push::message fresh("never pulled");
    CHECK_FAILS(c.unpull(std::move(fresh)), c.unpull(std::move(fresh), ec), errc::invalid_argument);
    CHECK(fresh.bytes() == "never pulled");
    CHECK_FAILS(c.unpull(push::message()), c.unpull(push::message(), ec), errc::invalid_argument);

    s.push("1");
    s.push("2");
    push::pulled p = c.pull();
    c.unpull(std::move(p.msg));
    CHECK(!p && c.stat().queued == 2 && c.pull().msg.bytes() == "1" && c.pull().msg.bytes() == "2");

    p.msg = push::message("3");
    push::client_options o;
    o.duplicate = push::duplicate::takeover;
    push::client heir(s, "c", o);
    CHECK_FAILS(c.unpull(std::move(p.msg)), c.unpull(std::move(p.msg), ec), errc::broken_pipe);
    CHECK(p.msg.bytes() == "3");
}

void descriptors()
{
    push::session s("s");
    push::client c(s, "c");
    {
        out_of_descriptors now;
        CHECK_FAILS(c.fd(), c.fd(ec), errc::too_many_files_open);
        CHECK_FAILS(s.fd("c"), s.fd("c", ec), errc::too_many_files_open);
        std::error_code code;
        CHECK(c.fd(code) == -1);
    }
    const int fd = c.fd();
    CHECK(fd >= 0 && !readable(fd));
    s.push("1");
    CHECK(readable(fd) && c.fd() == fd);
}

/* ---- Pollers --------------------------------------------------------------------------------------------- */

void pollers()
{
    static_assert(!std::is_copy_constructible_v<push::poller> && !std::is_copy_assignable_v<push::poller>);
    static_assert(std::is_nothrow_move_constructible_v<push::poller> &&
                  std::is_nothrow_move_assignable_v<push::poller>);
    push::session s("s");
    push::client a(s, "a"), b(s, "b");
    push::poller p;
    push::event events[4];
    int mark;

    CHECK(p && p.get() != nullptr);
    CHECK_FAILS(p.wait(events, 4, push::now), p.wait(events, 4, push::now, ec),
                errc::resource_unavailable_try_again);
    CHECK_FAILS(p.wait(events, 4, 1ms), p.wait(events, 4, 1ms, ec), errc::timed_out);
    CHECK_FAILS(p.wait(events, 0), p.wait(events, 0, push::now, ec), errc::invalid_argument);
    p.add(a, &mark);
    std::error_code code = stale();
    p.add(b, nullptr, code);
    CHECK(!code);
    CHECK_FAILS(p.add(a), p.add(a, nullptr, ec), errc::file_exists);
    push::poller other;
    CHECK_FAILS(other.add(a), other.add(a, nullptr, ec), errc::device_or_resource_busy);
    CHECK_FAILS(other.remove(a), other.remove(a, ec), errc::no_such_file_or_directory);
    CHECK_FAILS(other.pause(a), other.pause(a, ec), errc::no_such_file_or_directory);
    CHECK_FAILS(other.resume(a), other.resume(a, ec), errc::no_such_file_or_directory);

    a.send(push::message("1"));
    CHECK(readable(p.fd()) && p.wait(events, 4) == 1);
    CHECK(events[0].client == a.get() && events[0].data == &mark && push::client::share(events[0].client) == a);
    p.pause(a);
    CHECK_THROWS(p.wait(events, 4, push::now), errc::resource_unavailable_try_again);
    p.resume(a);
    CHECK(p.wait(events, SIZE_MAX, 1s) == 1 && events[0].client == a.get());
    code = stale();
    p.pause(a, code);
    CHECK(!code);
    code = stale();
    p.resume(a, code);
    CHECK(!code);
    a.pull();
    p.wake();
    CHECK(p.wait(events, 4) == 0);

    p.remove(a);
    code = stale();
    p.remove(b, code);
    CHECK(!code);
    s.push("2");
    CHECK_THROWS(p.wait(events, 4, push::now), errc::resource_unavailable_try_again);

    const push_poller *raw = p.get();
    push::poller moved(std::move(p));
    CHECK(!p && moved.get() == raw);
    p = std::move(moved);
    CHECK(p.get() == raw && !moved);
    CHECK_FAILS(moved.wait(events, 4), moved.wait(events, 4, push::now, ec), errc::invalid_argument);
    CHECK_FAILS(moved.fd(), moved.fd(ec), errc::invalid_argument);
    moved.wake();
}

void pollers_without_memory_or_descriptors()
{
    {
        out_of_memory now;
        CHECK_FAILS(push::poller(), push::poller(ec), errc::not_enough_memory);
        std::error_code code;
        push::poller empty(code);
        CHECK(!empty);
    }
    push::poller p;
    out_of_descriptors now;
    CHECK_FAILS(p.fd(), p.fd(ec), errc::too_many_files_open);
    std::error_code code;
    CHECK(p.fd(code) == -1);
}

/* ---- Threads --------------------------------------------------------------------------------------------- */

/* The loop of the header's first example for std::error_code, on a thread with a handle of its own. */
void a_reader_reads_until_the_client_is_deleted()
{
    push::session s("s");
    push::client_options o;
    o.max_buffer = 2;
    push::client c(s, "c", o);
    std::vector<std::string> got;
    std::error_code code;
    std::thread reader([c, &got, &code] {
        while (push::pulled next = c.pull(push::forever, code))
            got.emplace_back(next.msg.bytes());
    });
    c = {};
    for (int i = 0; i < 100; i++)
        s.push(std::to_string(i));
    push::session::erase("s");
    reader.join();
    CHECK(code == errc::broken_pipe && got.size() == 100 && got.front() == "0" && got.back() == "99");
}

#ifdef __GLIBC__
/* Cancellation unwinds through calls that wait, as an exception that nobody catches: handles let go. */
struct cancelled_call {
    push::client c;
    void (*wait)(const push::client &);
};

void *wait_for_ever(void *arg)
{
    std::unique_ptr<cancelled_call> call(static_cast<cancelled_call *>(arg));
    call->wait(call->c);
    return nullptr;
}

void cancellation_unwinds()
{
    void (*const calls[])(const push::client &) = {
        [](const push::client &c) { c.pull(); },
        [](const push::client &c) {
            std::error_code code;
            c.pull(push::forever, code);
        },
        [](const push::client &c) {
            push::message msgs[2];
            c.pull_many(msgs, 2);
        },
        [](const push::client &c) { c.session().pull("c"); },
        [](const push::client &c) {
            push::event event;
            push::poller p;
            p.add(c);
            p.wait(&event, 1);
        },
        [](const push::client &c) {
            push::client_options rendezvous;
            rendezvous.max_buffer = 0;
            push::client(c.session(), "full", rendezvous).send(push::message("x"));
        },
    };
    for (auto *wait : calls) {
        auto call = std::make_unique<cancelled_call>(cancelled_call{push::client::open("s", "c"), wait});
        pthread_t thread;
        CHECK(pthread_create(&thread, nullptr, wait_for_ever, call.get()) == 0);
        call.release();
        CHECK(pthread_cancel(thread) == 0);
        void *result = nullptr;
        CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        push::shutdown();
        CHECK(blocks_held() == 0);
    }
}
#endif

/* ---- The header's own words ------------------------------------------------------------------------------ */

void the_first_example()
{
    push::session alice("alice");
    push::client phone(alice, "phone");
    alice.push("hello");

    auto [msg, lost] = phone.pull();
    CHECK(msg.bytes() == "hello" && lost == 0);
    CHECK(push::version() == PUSH_VERSION_STRING);
}

} // namespace

int main()
{
    check_init();
    const struct CMUnitTest tests[] = {
        TEST(error_codes),
        TEST(a_success_clears_the_code),
        TEST(timeouts),
        TEST(ids),
        TEST(lists_of_ids),
        TEST(handles),
        TEST(the_last_handle_lets_go),
        TEST(messages),
        TEST(messages_without_memory),
        TEST(sessions),
        TEST(pushing_to_a_session),
        TEST(clients),
        TEST(opening_session_and_client_at_once),
        TEST(options),
        TEST(pulling_many),
        TEST(putting_back),
        TEST(descriptors),
        TEST(pollers),
        TEST(pollers_without_memory_or_descriptors),
        TEST(a_reader_reads_until_the_client_is_deleted),
#ifdef __GLIBC__
        TEST(cancellation_unwinds),
#endif
        TEST(the_first_example),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
