#include "addon.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>

#include "rows.h"

namespace isthmus {

int32_t toInt(napi_env env, napi_value value) {
  int32_t result = 0;
  napi_get_value_int32(env, value, &result);
  return result;
}

Queue* toQueue(napi_env env, napi_value value) {
  void* queue = nullptr;
  napi_get_value_external(env, value, &queue);
  return static_cast<Queue*>(queue);
}

uint8_t* toBytes(napi_env env, napi_value value, size_t* length) {
  *length = 0;
  bool isTyped = false;
  if (napi_is_typedarray(env, value, &isTyped) != napi_ok || !isTyped) return nullptr;
  napi_typedarray_type type;
  size_t count = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &count, &data, nullptr, nullptr) != napi_ok) return nullptr;
  size_t width = type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array ? 8
                 : type == napi_int32_array || type == napi_uint32_array || type == napi_float32_array     ? 4
                 : type == napi_int16_array || type == napi_uint16_array                                   ? 2
                                                                                                           : 1;
  *length = count * width;
  return static_cast<uint8_t*>(data);
}

napi_value fromInt(napi_env env, int32_t value) {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

void setInt(napi_env env, napi_value object, const char* key, int32_t value) {
  napi_set_named_property(env, object, key, fromInt(env, value));
}

void setBool(napi_env env, napi_value object, const char* key, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  napi_set_named_property(env, object, key, result);
}

void setString(napi_env env, napi_value object, const char* key, const char* value) {
  napi_value result;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result);
  napi_set_named_property(env, object, key, result);
}

napi_value throwErrno(napi_env env, const char* what, int error) {
  char text[256];
  snprintf(text, sizeof text, "%s: %s", what, strerror(error));
  napi_value message, code, result;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  const char* name = strerrorname_np(error);
  napi_create_string_utf8(env, name ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &code);
  napi_create_error(env, code, message, &result);
  setInt(env, result, "errno", error);
  napi_throw(env, result);
  return nullptr;
}

void exportFunction(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  napi_set_named_property(env, exports, name, value);
}

double bootMilliseconds() {
  timespec time;
  clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

namespace {

void freeQueue(napi_env env, void* data, void*) {
  Queue* queue = static_cast<Queue*>(data);
  for (napi_ref reference : queue->references)
    if (reference) napi_delete_reference(env, reference);
  delete queue->coalescer;
  delete queue;
}

/** The named typed array of `options`: its memory, its length in elements of `width` bytes, a reference that keeps it. */
void* attach(napi_env env, napi_value options, const char* name, int width, int* count, napi_ref* reference) {
  napi_value value;
  size_t bytes = 0;
  *count = 0;
  if (napi_get_named_property(env, options, name, &value) != napi_ok) return nullptr;
  uint8_t* data = toBytes(env, value, &bytes);
  if (!data) return nullptr;
  napi_create_reference(env, value, 1, reference);
  *count = static_cast<int>(bytes) / width;
  return data;
}

/** queue({ slab, reserve, rows, clock, status, sealed?, table, groups? }): what the hot calls take first. */
napi_value createQueue(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Queue* queue = new (std::nothrow) Queue();
  if (!queue) return throwErrno(env, "queue", ENOMEM);
  napi_value options = arguments.value[0];
  int clocks = 0, statuses = 0;
  queue->slab = static_cast<uint8_t*>(attach(env, options, "slab", 1, &queue->slabSize, &queue->references[0]));
  napi_value reserve;
  napi_get_named_property(env, options, "reserve", &reserve);
  queue->reserve = toInt(env, reserve);
  if (queue->reserve < 0 || queue->reserve > queue->slabSize) queue->reserve = queue->slabSize;
  queue->rows = static_cast<int32_t*>(attach(env, options, "rows", 4 * ROW_WORDS, &queue->rowCapacity, &queue->references[1]));
  queue->clock = static_cast<double*>(attach(env, options, "clock", 8, &clocks, &queue->references[2]));
  queue->status = static_cast<int32_t*>(attach(env, options, "status", 4, &statuses, &queue->references[3]));
  queue->sealed = static_cast<uint8_t*>(attach(env, options, "sealed", 1, &queue->sealedSize, &queue->references[4]));
  // Runs are 8 words and buffers 16; the capacity counts the larger, and so never overruns either.
  queue->table = static_cast<int32_t*>(attach(env, options, "table", 4 * BUFFER_WORDS, &queue->tableCapacity, &queue->references[5]));
  queue->groups = static_cast<int32_t*>(attach(env, options, "groups", 4 * GROUP_WORDS, &queue->groupCapacity, &queue->references[6]));
  if (queue->groups) queue->coalescer = new (std::nothrow) Coalescer();
  if (!queue->slab || !queue->rows || clocks < 1 || statuses < 8 || !queue->table || (queue->groups && !queue->coalescer)) {
    freeQueue(env, queue, nullptr);
    return throwErrno(env, "queue", EINVAL);
  }
  napi_value result;
  if (napi_create_external(env, queue, freeQueue, nullptr, &result) != napi_ok) {
    freeQueue(env, queue, nullptr);
    return throwErrno(env, "queue", ENOMEM);
  }
  return result;
}

}  // namespace
}  // namespace isthmus

NAPI_MODULE_INIT() {
  using namespace isthmus;
  exportFunction(env, exports, "queue", createQueue);
  registerAead(env, exports);
  registerTun(env, exports);
  registerUdp(env, exports);
  registerSystem(env, exports);
  registerTransit(env, exports);
  return exports;
}
