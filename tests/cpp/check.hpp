/* What the C++ tests share. A check that fails throws, so that what the test holds is let go; cmocka, which leaves
 * a test by longjmp, hears of it where no object is left that this would skip. After each test nothing of the
 * library may be left over. */
#ifndef PUSH_TESTS_CHECK_HPP
#define PUSH_TESTS_CHECK_HPP

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>

#include <push/push.hpp>

/* Last: it makes a macro of `fail`. */
extern "C" {
#include <cmocka.h>
}

class failure : public std::exception
{
  public:
    failure(const char *file, int line, const std::string &what)
        : what_(std::string(file) + ":" + std::to_string(line) + ": " + what)
    {
    }
    const char *what() const noexcept override { return what_.c_str(); }

  private:
    std::string what_;
};

#define CHECK(condition) ((condition) ? void() : throw failure(__FILE__, __LINE__, #condition))

/* The expression throws std::system_error of that code, and of the library's category. */
#define CHECK_THROWS(expression, expected)                                                                         \
    do {                                                                                                           \
        bool thrown_ = false;                                                                                      \
        try {                                                                                                      \
            static_cast<void>(expression);                                                                         \
        } catch (const std::system_error &e) {                                                                     \
            thrown_ = e.code() == (expected) && e.code().category() == push::category();                           \
        }                                                                                                          \
        CHECK(thrown_ &&#expression);                                                                              \
    } while (0)

/* Both forms of a call: one throws, the other, given `ec`, says the same; `ec` is cleared where it succeeds. */
#define CHECK_FAILS(expression, expression_with_ec, expected)                                                      \
    do {                                                                                                           \
        CHECK_THROWS(expression, expected);                                                                        \
        std::error_code ec;                                                                                        \
        static_cast<void>(expression_with_ec);                                                                     \
        CHECK(ec == (expected) && ec.category() == push::category());                                              \
    } while (0)

/* Starts from an error of somebody else's, which a call that succeeds must clear. */
inline std::error_code stale() noexcept
{
    return std::make_error_code(std::errc::io_error);
}

/* Blocks that the library holds. */
long blocks_held() noexcept;

/* Until it goes, the library gets no memory. */
class out_of_memory
{
  public:
    out_of_memory() noexcept;
    ~out_of_memory();
    out_of_memory(const out_of_memory &) = delete;
    out_of_memory &operator=(const out_of_memory &) = delete;
};

/* Until it goes, this process gets no descriptor. */
class out_of_descriptors
{
  public:
    out_of_descriptors();
    ~out_of_descriptors();
    out_of_descriptors(const out_of_descriptors &) = delete;
    out_of_descriptors &operator=(const out_of_descriptors &) = delete;

  private:
    unsigned long soft_;
};

bool readable(int fd);

/* Runs it; says why it failed, or nothing. */
const char *outcome(void (*test)()) noexcept;

template <void (*Test)()> void run(void **)
{
    if (const char *why = outcome(Test)) {
        print_error("%s\n", why);
        fail();
    }
}

#define TEST(function)                                                                                             \
    {                                                                                                              \
#function, run < function>, nullptr, nullptr, nullptr                                                      \
    }

/* To be called first. */
void check_init() noexcept;

#endif
