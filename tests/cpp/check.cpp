#include <atomic>
#include <cstdio>
#include <cstdlib>

#include <poll.h>
#include <sys/resource.h>

#include "check.hpp"

namespace
{

std::atomic<long> blocks{0};
std::atomic<bool> refusing{false};

void *count_malloc(std::size_t size)
{
    void *p = refusing ? nullptr : std::malloc(size);
    blocks += p != nullptr;
    return p;
}

void *count_realloc(void *old, std::size_t size)
{
    if (refusing)
        return nullptr;
    void *p = std::realloc(old, size);
    blocks += old == nullptr && p != nullptr;
    return p;
}

void count_free(void *p)
{
    blocks -= p != nullptr;
    std::free(p);
}

} // namespace

void check_init() noexcept
{
    if (push_set_allocator(count_malloc, count_realloc, count_free) != 0)
        std::abort();
}

long blocks_held() noexcept
{
    return blocks;
}

out_of_memory::out_of_memory() noexcept
{
    refusing = true;
}

out_of_memory::~out_of_memory()
{
    refusing = false;
}

out_of_descriptors::out_of_descriptors()
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    soft_ = limit.rlim_cur;
    limit.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

out_of_descriptors::~out_of_descriptors()
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        std::abort();
    limit.rlim_cur = soft_;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        std::abort();
}

bool readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

const char *outcome(void (*test)()) noexcept
{
    static char why[512];
    try {
        test();
        push::shutdown();
        CHECK(blocks_held() == 0);
        return nullptr;
    } catch (const std::exception &e) {
        std::snprintf(why, sizeof(why), "%s", e.what());
    }
    push::shutdown();
    return why;
}
