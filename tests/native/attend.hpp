// A header that the library depends on.
#pragma once
#include <unistd.h>
