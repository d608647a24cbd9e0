#include "theirs/register.c"
