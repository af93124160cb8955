/*
 * libpush for C++17: push.h with handles that let go by themselves, std::chrono timeouts and std::error_code.
 * Nothing but this header and the C library is needed, and nothing is added: what a call does, push.h says.
 *
 *     push::session alice("alice");
 *     push::client phone(alice, "phone");
 *     alice.push("hello");
 *
 *     auto [msg, lost] = phone.pull();
 *     std::cout << msg.bytes() << '\n';
 *
 * Sections: errors, timeouts, ids, handles, messages, transfer, sessions, clients, pollers, the process.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PUSH_PUSH_HPP
#define PUSH_PUSH_HPP

#include "push.h"

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace push
{

/* ---- Errors ----------------------------------------------------------------------------------------------
 * Each call that can fail is there twice, as in std::filesystem: with a std::error_code& as its last argument,
 * which it clears or sets, and without, when it throws std::system_error with that code. A wait that found nothing
 * is an error too: who expects it takes the first form.
 *
 *     std::error_code ec;
 *     while (push::pulled next = phone.pull(push::forever, ec))
 *         write(next.msg.bytes());
 *     if (ec != std::errc::broken_pipe) ...     // the client was deleted, and is drained
 *
 * Codes are of push::category() and compare to std::errc: resource_unavailable_try_again, timed_out,
 * no_such_file_or_directory, broken_pipe, file_exists, device_or_resource_busy, invalid_argument,
 * not_enough_memory. Calls on an empty handle are invalid_argument. A call that failed has changed nothing.
 * Compiled without exceptions, a call of the second form that fails ends the program.
 *
 * Calls that wait are not noexcept, in either form, so that pthread_cancel can unwind them. */

namespace detail
{

class push_category final : public std::error_category
{
  public:
    const char *name() const noexcept override { return "push"; }
    std::string message(int value) const override { return push_strerror(value); }
    std::error_condition default_error_condition(int value) const noexcept override
    {
        return std::error_condition(value, std::generic_category());
    }
};

} // namespace detail

/* The category of this library's codes, whose values are those of errno. */
inline const std::error_category &category() noexcept
{
    static const detail::push_category instance;
    return instance;
}

/* The code of a result of the C interface: none where it is not negative. */
inline std::error_code make_error_code(int rc) noexcept
{
    return rc < 0 ? std::error_code(-rc, category()) : std::error_code();
}

namespace detail
{

/* Takes the error code of the first form, and throws it. */
class throwing
{
  public:
    throwing() = default;
    throwing(const throwing &) = delete;
    throwing &operator=(const throwing &) = delete;
    operator std::error_code &() noexcept { return ec_; }

    template <class T> T operator()(T result) const
    {
        check();
        return result;
    }
    void check() const
    {
        if (!ec_)
            return;
#ifdef __cpp_exceptions
        throw std::system_error(ec_);
#else
        std::abort();
#endif
    }

  private:
    std::error_code ec_;
};

/* What the C interface returned: a count, or an error. */
inline std::size_t count(int rc, std::error_code &ec) noexcept
{
    ec = make_error_code(rc);
    return rc < 0 ? 0 : static_cast<std::size_t>(rc);
}

/* A pointer, or an error in errno. */
template <class T> T *pointer(T *p, std::error_code &ec) noexcept
{
    ec = p == nullptr ? std::error_code(errno, category()) : std::error_code();
    return p;
}

} // namespace detail

/* ---- Timeouts -------------------------------------------------------------------------------------------- */

/* How long a call may wait, on the monotonic clock: a std::chrono duration, rounded up to milliseconds, or
 * push::forever. Nothing and less does not wait: so a deadline minus now is right when it has passed. */
class timeout
{
  public:
    template <class Rep, class Period>
    constexpr timeout(std::chrono::duration<Rep, Period> wait) noexcept : ms_(milliseconds(wait))
    {
    }

    /* Waits until something comes. */
    static constexpr timeout never() noexcept { return timeout(); }

    /* As the C interface takes it: -1 for ever. */
    constexpr int ms() const noexcept { return ms_; }

  private:
    constexpr timeout() noexcept : ms_(-1) {}

    template <class Duration> static constexpr int milliseconds(Duration wait) noexcept
    {
        using whole = std::chrono::milliseconds;
        if (!(wait > Duration::zero()))
            return 0;
        /* In floating point first: what does not fit must not overflow on the way. */
        if (std::chrono::duration<double, std::milli>(wait).count() >= static_cast<double>(INT_MAX))
            return INT_MAX;
        return static_cast<int>(std::chrono::ceil<whole>(wait).count());
    }

    int ms_;
};

inline constexpr timeout forever = timeout::never();
inline constexpr timeout now = timeout(std::chrono::milliseconds(0));

/* ---- Ids ------------------------------------------------------------------------------------------------- */

/* A session's or a client's name: a string, any bytes, or an integer; made from each by itself. A view, as
 * std::string_view: the bytes are the caller's, who keeps them for the duration of the call they are given to. 42
 * and "42" are different. */
class id
{
  public:
    /* No id. */
    constexpr id() noexcept = default;
    id(const push_id &raw) noexcept : raw_(raw) {}
    /* A null pointer is no id. */
    id(const char *s) noexcept : raw_(push_id_str(s)) {}
    id(std::string_view s) noexcept : raw_(push_id_bytes(s.data() != nullptr ? s.data() : "", s.size())) {}
    id(const std::string &s) noexcept : id(std::string_view(s)) {}
    template <class Integer,
              std::enable_if_t<std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>, int> = 0>
    id(Integer n) noexcept : raw_(push_id_int(static_cast<std::uint64_t>(n)))
    {
    }

    const push_id &raw() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return !push_id_equal(raw_, push_id()); }

    /* For people to read: see push_id_format. Throws std::bad_alloc, std::system_error for an id too long. */
    std::string to_string() const
    {
        detail::throwing ec;
        std::string text(ec(detail::count(push_id_format(raw_, nullptr, 0), ec)) + 1, '\0');
        push_id_format(raw_, text.data(), text.size());
        text.pop_back();
        return text;
    }

    friend bool operator==(const id &a, const id &b) noexcept { return push_id_equal(a.raw_, b.raw_); }
    friend bool operator!=(const id &a, const id &b) noexcept { return !push_id_equal(a.raw_, b.raw_); }

  private:
    push_id raw_{};
};

/* A list of ids, with their bytes: ids in it are valid while it lives. Moves, does not copy. */
class id_list
{
  public:
    class iterator
    {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = id;
        using difference_type = std::ptrdiff_t;
        using pointer = const id *;
        using reference = id;

        iterator() noexcept = default;
        explicit iterator(const push_id *at) noexcept : at_(at) {}
        id operator*() const noexcept { return *at_; }
        iterator &operator++() noexcept
        {
            ++at_;
            return *this;
        }
        iterator operator++(int) noexcept { return iterator(at_++); }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) noexcept { return a.at_ != b.at_; }

      private:
        const push_id *at_ = nullptr;
    };

    id_list() noexcept {}
    /* Adopts a list of the C interface. */
    id_list(push_id *ids, std::size_t size) noexcept : ids_(ids), size_(size) {}
    id_list(id_list &&other) noexcept
        : ids_(std::exchange(other.ids_, nullptr)), size_(std::exchange(other.size_, 0))
    {
    }
    id_list &operator=(id_list &&other) noexcept
    {
        id_list taken(std::move(other));
        std::swap(ids_, taken.ids_);
        std::swap(size_, taken.size_);
        return *this;
    }
    ~id_list() { push_ids_free(ids_); }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    id operator[](std::size_t i) const noexcept { return ids_[i]; }
    iterator begin() const noexcept { return iterator(ids_); }
    iterator end() const noexcept { return iterator(ids_ + size_); }

  private:
    push_id *ids_ = nullptr;
    std::size_t size_ = 0;
};

/* ---- Handles ---------------------------------------------------------------------------------------------
 * Sessions, clients and messages are counted by the library: copying a handle takes a reference, as each thread
 * needs one, and costs an atomic increment; moving costs nothing. A handle that was default-constructed, moved
 * from, or made by a call that failed, is empty. A poller has one owner: it moves only. */

namespace detail
{

/* Tells a C object that a handle adopts from all other arguments: 0 is an id. */
struct adopted {
};

template <class T, T *(*Ref)(T *), void (*Unref)(T *)> class handle
{
  public:
    handle() noexcept = default;
    handle(const handle &other) noexcept : raw_(other.raw_ != nullptr ? Ref(other.raw_) : nullptr) {}
    handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    handle &operator=(const handle &other) noexcept
    {
        handle copy(other);
        std::swap(raw_, copy.raw_);
        return *this;
    }
    handle &operator=(handle &&other) noexcept
    {
        handle taken(std::move(other));
        std::swap(raw_, taken.raw_);
        return *this;
    }
    ~handle() { Unref(raw_); }

    /* The C object: still this handle's, and, from release(), the caller's to let go. */
    T *get() const noexcept { return raw_; }
    T *release() noexcept { return std::exchange(raw_, nullptr); }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

    /* The same object. */
    friend bool operator==(const handle &a, const handle &b) noexcept { return a.raw_ == b.raw_; }
    friend bool operator!=(const handle &a, const handle &b) noexcept { return a.raw_ != b.raw_; }

  protected:
    explicit handle(T *raw) noexcept : raw_(raw) {}

  private:
    T *raw_ = nullptr;
};

} // namespace detail

/* ---- Messages -------------------------------------------------------------------------------------------- */

class message : public detail::handle<push_msg, push_msg_ref, push_msg_unref>
{
  public:
    message() noexcept = default;
    /* Adopts a reference of the C interface. */
    static message adopt(push_msg *raw) noexcept { return {detail::adopted{}, raw}; }

    /* With a copy of the bytes. ENOMEM. */
    explicit message(std::string_view bytes) : message(bytes, detail::throwing()) {}
    message(std::string_view bytes, std::error_code &ec) noexcept
        : handle(detail::pointer(push_msg_new(bytes.data(), bytes.size()), ec))
    {
    }

    /* Adopts a std::string, a std::vector or the like, without copying what is in it; it is destroyed with the
     * message, on the thread that lets the last reference go. On failure it stays as it was. ENOMEM. */
    template <class Container> static message wrap(Container &&bytes)
    {
        detail::throwing ec;
        return ec(wrap(std::forward<Container>(bytes), ec));
    }
    template <class Container> static message wrap(Container &&bytes, std::error_code &ec) noexcept
    {
        static_assert(!std::is_reference_v<Container> && !std::is_const_v<Container>, "give it away: std::move");
        static_assert(std::is_nothrow_move_constructible_v<Container> &&
                      std::is_nothrow_move_assignable_v<Container>);
        using element = std::remove_pointer_t<decltype(bytes.data())>;
        static_assert(std::is_trivially_copyable_v<element>, "a message is bytes");

        auto *kept = new (std::nothrow) Container(std::move(bytes));
        if (kept == nullptr) {
            ec = make_error_code(-ENOMEM);
            return message();
        }
        const auto destroy = [](void *, void *container) { delete static_cast<Container *>(container); };
        push_msg *raw = push_msg_wrap(kept->data(), kept->size() * sizeof(element), destroy, kept);
        message msg = adopt(detail::pointer(raw, ec));
        if (!msg) {
            bytes = std::move(*kept);
            delete kept;
        }
        return msg;
    }

    /* Bytes that are there as long as any message may be, literals say. ENOMEM. */
    static message borrow(std::string_view bytes)
    {
        detail::throwing ec;
        return ec(borrow(bytes, ec));
    }
    static message borrow(std::string_view bytes, std::error_code &ec) noexcept
    {
        push_msg *raw = push_msg_wrap(const_cast<char *>(bytes.data()), bytes.size(), nullptr, nullptr);
        return adopt(detail::pointer(raw, ec));
    }

    /* Valid while a handle is held. */
    const void *data() const noexcept { return push_msg_data(get()); }
    std::size_t size() const noexcept { return push_msg_size(get()); }
    std::string_view bytes() const noexcept { return {static_cast<const char *>(data()), size()}; }

  private:
    message(detail::adopted, push_msg *raw) noexcept : handle(raw) {}
    message(std::string_view bytes, detail::throwing &&ec) : message(bytes, static_cast<std::error_code &>(ec))
    {
        ec.check();
    }
};

/* ---- Transfer -------------------------------------------------------------------------------------------- */

/* What a push did: delivered, dropped, disconnected, timed_out. */
using report = push_report;

/* What a pull gave: false where there was no message. */
struct pulled {
    message msg;
    std::size_t lost = 0; /* messages, just before this one, by the client's policy */

    explicit operator bool() const noexcept { return static_cast<bool>(msg); }
};

/* What a pull of many gave. */
struct batch {
    std::size_t size = 0;
    std::size_t lost = 0; /* messages, just before the first one */
};

namespace detail
{

inline pulled pull_done(int rc, push_msg *msg, std::error_code &ec) noexcept
{
    pulled result;
    result.lost = count(rc, ec);
    result.msg = message::adopt(msg);
    return result;
}

} // namespace detail

/* ---- Sessions -------------------------------------------------------------------------------------------- */

class session : public detail::handle<push_session, push_session_ref, push_session_unref>
{
  public:
    session() noexcept = default;
    /* Adopts a reference of the C interface. */
    static session adopt(push_session *raw) noexcept { return {detail::adopted{}, raw}; }

    /* Finds or creates it; it stays until it is erased. ENOMEM. */
    explicit session(const push::id &name) : session(name, push::id(), 0) {}
    session(const push::id &name, std::error_code &ec) noexcept : session(name, push::id(), 0, ec) {}

    /* With a client, found or created as well, whose mailbox holds max_buffer messages. ENOMEM. */
    session(const push::id &name, const push::id &client, std::size_t max_buffer)
        : session(name, client, max_buffer, detail::throwing())
    {
    }
    session(const push::id &name, const push::id &client, std::size_t max_buffer, std::error_code &ec) noexcept
        : handle(detail::pointer(push_session_new(name.raw(), client.raw(), max_buffer), ec))
    {
    }

    /* Never creates one. ENOENT. */
    static session find(const push::id &name)
    {
        detail::throwing ec;
        return ec(find(name, ec));
    }
    static session find(const push::id &name, std::error_code &ec) noexcept
    {
        return adopt(detail::pointer(push_session_find(name.raw()), ec));
    }
    static bool exists(const push::id &name) noexcept { return push_session_exists(name.raw()); }

    /* Delete the session and its clients. False: there was none, or, for the second, it has clients. */
    static bool erase(const push::id &name) noexcept { return push_session_delete(name.raw()); }
    static bool erase_if_empty(const push::id &name) noexcept { return push_session_delete_if_empty(name.raw()); }

    /* Valid while a handle is held. */
    push::id id() const noexcept { return push_session_id(get()); }

    /* Pushes a copy to all clients, and waits for those that are full and block. Returns how many took it. EPIPE:
     * the session was deleted; ENOMEM. */
    std::size_t push(std::string_view bytes) const
    {
        detail::throwing ec;
        return ec(push(bytes, ec));
    }
    std::size_t push(std::string_view bytes, std::error_code &ec) const
    {
        return detail::count(push_session_push(get(), bytes.data(), bytes.size()), ec);
    }

    /* Pushes to all clients but `except`, and waits no longer than that for those that are full and block. EPIPE,
     * ENOMEM. */
    report send(const message &msg, const push::id &except = {}, timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(send(msg, except, limit, ec));
    }
    report send(const message &msg, const push::id &except, timeout limit, std::error_code &ec) const
    {
        report done = {};
        ec = make_error_code(push_session_send(get(), msg.get(), except.raw(), limit.ms(), &done));
        return done;
    }

    /* Pulls by the client's id. ENOENT: no such client; EAGAIN, ETIMEDOUT, EPIPE, ENOMEM. */
    pulled pull(const push::id &client, timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(pull(client, limit, ec));
    }
    pulled pull(const push::id &client, timeout limit, std::error_code &ec) const
    {
        push_msg *msg = nullptr;
        int rc = push_session_pull(get(), client.raw(), &msg, limit.ms());
        return detail::pull_done(rc, msg, ec);
    }

    /* The client's descriptor, -1 on failure: see Descriptors in push.h. ENOENT, ENOMEM, EMFILE, ENFILE. */
    int fd(const push::id &client) const
    {
        detail::throwing ec;
        return ec(fd(client, ec));
    }
    int fd(const push::id &client, std::error_code &ec) const noexcept
    {
        int rc = push_session_pull_fd(get(), client.raw());
        ec = make_error_code(rc);
        return rc < 0 ? -1 : rc;
    }

    /* False: there was none, which is fine. */
    bool erase_client(const push::id &client) const noexcept
    {
        return push_session_delete_client(get(), client.raw());
    }

    /* Clients. */
    std::size_t size() const noexcept { return push_session_len(get()); }

    /* Their ids, in no order. ENOMEM. */
    id_list clients() const
    {
        detail::throwing ec;
        return ec(clients(ec));
    }
    id_list clients(std::error_code &ec) const noexcept
    {
        std::size_t size = 0;
        push_id *ids = detail::pointer(push_session_clients(get(), &size), ec);
        return id_list(ids, size);
    }

  private:
    session(detail::adopted, push_session *raw) noexcept : handle(raw) {}
    session(const push::id &name, const push::id &client, std::size_t max_buffer, detail::throwing &&ec)
        : session(name, client, max_buffer, static_cast<std::error_code &>(ec))
    {
        ec.check();
    }
};

/* ---- Clients --------------------------------------------------------------------------------------------- */

/* What a push does to a full mailbox. */
enum class overflow {
    block = PUSH_BLOCK,
    drop_newest = PUSH_DROP_NEWEST,
    drop_oldest = PUSH_DROP_OLDEST,
    disconnect = PUSH_DISCONNECT
};

/* What happens when the id of a new client is taken. */
enum class duplicate { share = PUSH_SHARE, takeover = PUSH_TAKEOVER, replace = PUSH_REPLACE, refuse = PUSH_REFUSE };

struct client_options {
    std::size_t max_buffer = 10; /* messages; 0: rendezvous, which only overflow::block may have */
    std::size_t max_bytes = 0;   /* payload bytes queued, 0 for no such limit */
    push::overflow overflow = push::overflow::block;
    push::duplicate duplicate = push::duplicate::share;

    push_client_options raw() const noexcept
    {
        return {max_buffer, max_bytes, static_cast<push_overflow>(overflow),
                static_cast<push_duplicate>(duplicate)};
    }
};

using client_stats = push_client_stats;

class client : public detail::handle<push_client, push_client_ref, push_client_unref>
{
  public:
    client() noexcept = default;
    /* Adopts a reference of the C interface; share() takes one more, of an event's client say. */
    static client adopt(push_client *raw) noexcept { return {detail::adopted{}, raw}; }
    static client share(push_client *raw) noexcept
    {
        return adopt(raw != nullptr ? push_client_ref(raw) : nullptr);
    }

    /* Created, or found, as options.duplicate says. EPIPE: the session is deleted; EEXIST, EINVAL, ENOMEM. */
    client(const push::session &s, const push::id &name, const client_options &options = {})
        : client(s, name, options, detail::throwing())
    {
    }
    client(const push::session &s, const push::id &name, const client_options &options,
           std::error_code &ec) noexcept
        : handle(create(s, name, options.raw(), ec))
    {
    }

    /* Session and client in one atomic step. A session that only this made goes with its last client. EEXIST,
     * EINVAL, ENOMEM. */
    static client open(const push::id &session, const push::id &name, const client_options &options = {})
    {
        detail::throwing ec;
        return ec(open(session, name, options, ec));
    }
    static client open(const push::id &session, const push::id &name, const client_options &options,
                       std::error_code &ec) noexcept
    {
        const push_client_options raw = options.raw();
        return adopt(detail::pointer(push_client_open(session.raw(), name.raw(), &raw), ec));
    }

    /* Never creates one. ENOENT. */
    static client find(const push::session &s, const push::id &name)
    {
        detail::throwing ec;
        return ec(find(s, name, ec));
    }
    static client find(const push::session &s, const push::id &name, std::error_code &ec) noexcept
    {
        return adopt(detail::pointer(push_client_find(s.get(), name.raw()), ec));
    }

    /* Valid while a handle is held. */
    push::id id() const noexcept { return push_client_id(get()); }
    push::session session() const noexcept
    {
        push_session *s = push_client_session(get());
        return push::session::adopt(s != nullptr ? push_session_ref(s) : nullptr);
    }

    /* A pointer of the caller's. */
    void set_data(void *data) const noexcept { push_client_set_data(get(), data); }
    void *data() const noexcept { return push_client_data(get()); }

    /* Pushes to this one client. EPIPE, ENOMEM. */
    report send(const message &msg, timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(send(msg, limit, ec));
    }
    report send(const message &msg, timeout limit, std::error_code &ec) const
    {
        report done = {};
        ec = make_error_code(push_client_send(get(), msg.get(), limit.ms(), &done));
        return done;
    }

    /* EAGAIN, ETIMEDOUT; EPIPE: deleted, and drained; ENOMEM. */
    pulled pull(timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(pull(limit, ec));
    }
    pulled pull(timeout limit, std::error_code &ec) const
    {
        push_msg *msg = nullptr;
        int rc = push_client_pull(get(), &msg, limit.ms());
        return detail::pull_done(rc, msg, ec);
    }

    /* Waits for the first message, then takes what is there, up to `max`, and at most 64 in one call. A batch ends
     * before the next gap. As pull; EINVAL for max 0. */
    batch pull_many(message *msgs, std::size_t max, timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(pull_many(msgs, max, limit, ec));
    }
    batch pull_many(message *msgs, std::size_t max, timeout limit, std::error_code &ec) const
    {
        constexpr std::size_t most = 64;
        push_msg *raw[most];
        batch result;
        int rc = push_client_pull_many(get(), msgs != nullptr ? raw : nullptr, max < most ? max : most,
                                       &result.lost, limit.ms());
        result.size = detail::count(rc, ec);
        for (std::size_t i = 0; i < result.size; i++)
            msgs[i] = message::adopt(raw[i]);
        return result;
    }

    /* Puts a message that was pulled back to the front. It is taken on success only. EPIPE: the handle was closed
     * by a take-over; EINVAL, ENOMEM. */
    void unpull(message &&msg) const
    {
        detail::throwing ec;
        unpull(std::move(msg), ec);
        ec.check();
    }
    void unpull(message &&msg, std::error_code &ec) const noexcept
    {
        ec = make_error_code(push_client_unpull(get(), msg.get()));
        if (!ec)
            msg.release();
    }

    /* The descriptor, -1 on failure: see Descriptors in push.h. ENOMEM, EMFILE, ENFILE. */
    int fd() const
    {
        detail::throwing ec;
        return ec(fd(ec));
    }
    int fd(std::error_code &ec) const noexcept
    {
        int rc = push_client_fd(get());
        ec = make_error_code(rc);
        return rc < 0 ? -1 : rc;
    }

    /* Deletes exactly this client: see push_client_delete. False: it was deleted already, which is fine. */
    bool erase() const noexcept { return push_client_delete(get()); }

    client_stats stat() const
    {
        detail::throwing ec;
        return ec(stat(ec));
    }
    client_stats stat(std::error_code &ec) const noexcept
    {
        client_stats stats = {};
        ec = make_error_code(push_client_stat(get(), &stats));
        return stats;
    }

  private:
    client(detail::adopted, push_client *raw) noexcept : handle(raw) {}
    static push_client *create(const push::session &s, const push::id &name, const push_client_options &options,
                               std::error_code &ec) noexcept
    {
        return detail::pointer(push_client_new(s.get(), name.raw(), &options), ec);
    }
    client(const push::session &s, const push::id &name, const client_options &options, detail::throwing &&ec)
        : client(s, name, options, static_cast<std::error_code &>(ec))
    {
        ec.check();
    }
};

/* ---- Pollers --------------------------------------------------------------------------------------------- */

/* A client that is ready, borrowed (client::share makes a handle of it), and what add() was given with it. */
using event = push_event;

class poller
{
  public:
    /* ENOMEM, or what the system said; the second form then gives an empty one. */
    poller() : poller(detail::throwing()) {}
    explicit poller(std::error_code &ec) noexcept : raw_(detail::pointer(push_poller_new(), ec)) {}
    poller(poller &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    poller &operator=(poller &&other) noexcept
    {
        poller taken(std::move(other));
        std::swap(raw_, taken.raw_);
        return *this;
    }
    ~poller() { push_poller_free(raw_); }

    push_poller *get() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

    /* The poller holds a reference of its own. EEXIST: it is in this poller; EBUSY: in another; ENOMEM. */
    void add(const client &c, void *data = nullptr) const
    {
        detail::throwing ec;
        add(c, data, ec);
        ec.check();
    }
    void add(const client &c, void *data, std::error_code &ec) const noexcept
    {
        ec = make_error_code(push_poller_add(raw_, c.get(), data));
    }

    /* ENOENT: it is not in this poller. */
    void remove(const client &c) const
    {
        detail::throwing ec;
        remove(c, ec);
        ec.check();
    }
    void remove(const client &c, std::error_code &ec) const noexcept
    {
        ec = make_error_code(push_poller_remove(raw_, c.get()));
    }

    /* Returns the number of events, or 0 for a wake. EAGAIN, ETIMEDOUT, EINVAL, ENOMEM. */
    std::size_t wait(event *events, std::size_t max, timeout limit = forever) const
    {
        detail::throwing ec;
        return ec(wait(events, max, limit, ec));
    }
    std::size_t wait(event *events, std::size_t max, timeout limit, std::error_code &ec) const
    {
        const int most = max < INT_MAX ? static_cast<int>(max) : INT_MAX;
        return detail::count(push_poller_wait(raw_, events, most, limit.ms()), ec);
    }

    /* One descriptor for all, -1 on failure. EMFILE, ENFILE. */
    int fd() const
    {
        detail::throwing ec;
        return ec(fd(ec));
    }
    int fd(std::error_code &ec) const noexcept
    {
        int rc = push_poller_fd(raw_);
        ec = make_error_code(rc);
        return rc < 0 ? -1 : rc;
    }

    /* Stops reporting a client for messages, and undoes it. ENOENT: it is not in this poller. */
    void pause(const client &c) const
    {
        detail::throwing ec;
        pause(c, ec);
        ec.check();
    }
    void pause(const client &c, std::error_code &ec) const noexcept
    {
        ec = make_error_code(push_poller_pause(raw_, c.get()));
    }
    void resume(const client &c) const
    {
        detail::throwing ec;
        resume(c, ec);
        ec.check();
    }
    void resume(const client &c, std::error_code &ec) const noexcept
    {
        ec = make_error_code(push_poller_resume(raw_, c.get()));
    }

    /* Makes one wait, now or next, return 0. */
    void wake() const noexcept { push_poller_wake(raw_); }

  private:
    explicit poller(detail::throwing &&ec) : poller(static_cast<std::error_code &>(ec)) { ec.check(); }

    push_poller *raw_ = nullptr;
};

/* ---- The process ----------------------------------------------------------------------------------------- */

/* The ids of all live sessions. ENOMEM. */
inline id_list sessions(std::error_code &ec) noexcept
{
    std::size_t size = 0;
    push_id *ids = detail::pointer(push_sessions(&size), ec);
    return id_list(ids, size);
}
inline id_list sessions()
{
    detail::throwing ec;
    return ec(sessions(ec));
}

/* Deletes every session, and frees the registry. */
inline void shutdown() noexcept
{
    push_shutdown();
}

/* Of the library that runs. */
inline std::string_view version() noexcept
{
    return push_version();
}

} // namespace push

#endif /* PUSH_PUSH_HPP */
