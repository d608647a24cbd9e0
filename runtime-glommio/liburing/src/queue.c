#include "theirs/queue.c"
