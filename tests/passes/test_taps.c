#include "rig.h"
#include <criterion/criterion.h>
