#include "fuzz.h"

static const uint8_t *at;
static size_t left;

void input_set(const uint8_t *data, size_t size)
{
    at = data;
    left = size;
}

bool input_left(void)
{
    return left > 0;
}

static size_t next_byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *at++;
}

size_t input_below(size_t n)
{
    size_t value = next_byte();
    if (n > 256)
        value = value << 8 | next_byte();
    return value % n;
}

bool input_rarely(void)
{
    return input_below(256) == 255;
}
