/* SPDX-License-Identifier: MIT */
/*
 * cm.h - cmocka and the headers it asks for, in the order it asks for.
 */
#ifndef SLUICE_SELFTESTS_CM_H
#define SLUICE_SELFTESTS_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
