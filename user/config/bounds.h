/* SPDX-License-Identifier: MIT */
/*
 * bounds.h - how much of a thing one config may hold, where the maps (sluice/abi.h) do not say it.
 * The tables and the wire form hold to the same numbers.
 */
#ifndef SLUICE_CONFIG_BOUNDS_H
#define SLUICE_CONFIG_BOUNDS_H

#define BOUNDS_CERTIFICATES 4
#define BOUNDS_INTERFACES   64
#define BOUNDS_ACL_FILES    64	/* of one list and action */
#define BOUNDS_ROUTES	    4096 /* of a listener, besides its group */
#define BOUNDS_TEXTS	    256	 /* of one condition: any of so many */
#define BOUNDS_CONDITIONS   32	 /* on metadata, of one route */
#define BOUNDS_SOURCES	    1024
#define BOUNDS_SPLITS	    64
#define BOUNDS_WEIGHT	    10000 /* of a split */
#define BOUNDS_EDITS	    192 /* of one direction */
#define BOUNDS_ATTEMPTS	    5	/* of one call: STREAM_ATTEMPTS_MAX */
#define BOUNDS_HEADER_KEY   256
#define BOUNDS_HEADER_VALUE 4096 /* of a template, as written */
#define BOUNDS_MESSAGE	    512	 /* of a fixed status */
#define BOUNDS_PATH	    1024
#define BOUNDS_REGEX	    1024

#endif
