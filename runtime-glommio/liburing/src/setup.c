#include "theirs/setup.c"
