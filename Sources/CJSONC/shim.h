#ifndef CJSONC_SHIM_H
#define CJSONC_SHIM_H

// The part of json-c that EPJSON uses, and no more.
#include <json-c/json_object.h>
#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>

#endif
