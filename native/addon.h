// What the parts of the addon share: argument reading for Node-API and the queues that hot calls work on.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>

#include "coalesce.h"

namespace isthmus {

/** One direction's memory, owned by JavaScript and kept alive by references. One thread uses a queue. */
struct Queue {
  uint8_t* slab;        // packets: read from the TUN (outbound) or received by UDP (inbound)
  int slabSize;
  int reserve;          // offset in the slab from which on no read or receive writes
  int32_t* rows;        // packet descriptors, ROW_WORDS each (rows.h)
  int rowCapacity;
  uint8_t* sealed;      // outbound: datagrams ready to send
  int sealedSize;
  int32_t* table;       // outbound: runs (RUN_WORDS); inbound: received buffers (BUFFER_WORDS)
  int tableCapacity;
  int32_t* groups;      // inbound: coalesced groups (GROUP_WORDS)
  int groupCapacity;
  double* clock;        // [0]: milliseconds of CLOCK_BOOTTIME, written by reads, receives and waits
  int32_t* status;      // [0..7]: secondary results of the last call
  Coalescer* coalescer;
  int runCount;         // outbound: runs sealed since the last send
  int sealedUsed;
  napi_ref references[7];
};

/** Words of a queue's status array. */
enum Status { STATUS_RUNS = 0, STATUS_FAILED = 1, STATUS_ERRNO = 2, STATUS_GSO_OFF = 3 };

/** A run: datagrams of one size (the last may be shorter) to one endpoint, back to back in `sealed`. */
enum Run { RUN_OFFSET = 0, RUN_LENGTH = 1, RUN_SEGMENT = 2, RUN_COUNT = 3, RUN_ENDPOINT = 4, RUN_UNSENT = 5, RUN_WORDS = 8 };

/** A received buffer: one datagram, or several of SEGMENT bytes each (the last may be shorter), and where from. */
enum Buffer { BUFFER_OFFSET = 0, BUFFER_LENGTH = 1, BUFFER_SEGMENT = 2, BUFFER_ENDPOINT = 4, BUFFER_WORDS = 16 };

/** Reads up to `N` arguments; absent ones are undefined. */
template <size_t N>
struct Arguments {
  napi_value value[N];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, value, nullptr, nullptr);
  }
};

int32_t toInt(napi_env env, napi_value value);
Queue* toQueue(napi_env env, napi_value value);
/** A typed array's or view's bytes; length 0 and null if it is not one. */
uint8_t* toBytes(napi_env env, napi_value value, size_t* length);
napi_value fromInt(napi_env env, int32_t value);
void setInt(napi_env env, napi_value object, const char* key, int32_t value);
void setBool(napi_env env, napi_value object, const char* key, bool value);
void setString(napi_env env, napi_value object, const char* key, const char* value);
/** Throws an Error whose code is the errno's name and whose errno is its number. Cold path only. */
napi_value throwErrno(napi_env env, const char* what, int error);
void exportFunction(napi_env env, napi_value exports, const char* name, napi_callback function);

double bootMilliseconds();

/** Whether a group's rows are rows, and lie in the slab: JavaScript could have written anything. */
bool isSound(const Queue* queue, const int32_t* group);

void registerAead(napi_env env, napi_value exports);
void registerTun(napi_env env, napi_value exports);
void registerUdp(napi_env env, napi_value exports);
void registerSystem(napi_env env, napi_value exports);
void registerTransit(napi_env env, napi_value exports);

}  // namespace isthmus
