#include "aead.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>

#include "addon.h"
#include "rows.h"
#include "segment.h"

namespace isthmus {

struct Key {
  std::mutex mutex;
  int32_t handle = 0;  // 0 while free
  CipherKey cipher;
  napi_env owner = nullptr;
  uint32_t generation = 0;
  int next = -1;  // free list
};

namespace {

// A handle is generation << SLOT_BITS | slot, positive. Freed slots are reused last, so a generation comes round after
// 8191 lives of a slot at the earliest.
constexpr int SLOT_BITS = 18;
constexpr int SLOTS = 1 << SLOT_BITS;
constexpr uint32_t GENERATIONS = 1u << (31 - SLOT_BITS);

std::mutex slotsMutex;
std::atomic<Key*> slots[SLOTS];
int slotsUsed = 0;
int firstFree = -1, lastFree = -1;

int takeSlot() {
  if (firstFree >= 0) {
    int slot = firstFree;
    firstFree = slots[slot].load()->next;
    if (firstFree < 0) lastFree = -1;
    return slot;
  }
  if (slotsUsed == SLOTS) return -1;
  Key* key = new (std::nothrow) Key();
  if (!key) return -1;
  slots[slotsUsed].store(key, std::memory_order_release);
  return slotsUsed++;
}

/** Wipes a slot's key and puts the slot at the end of the free list. */
void wipe(int slot) {
  Key* key = slots[slot].load();
  {
    std::lock_guard<std::mutex> lock(key->mutex);
    if (key->handle == 0) return;
    key->handle = 0;
    key->cipher.wipe();
  }
  key->next = -1;
  if (lastFree >= 0) slots[lastFree].load()->next = slot;
  else firstFree = slot;
  lastFree = slot;
}

/** setKey(cipher, key, seals): a handle for one key in one direction. Throws if the arguments are not of the form. */
napi_value setKey(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  size_t length = 0;
  int cipher = toInt(env, arguments.value[0]);
  const uint8_t* bytes = toBytes(env, arguments.value[1], &length);
  bool seals = false;
  napi_get_value_bool(env, arguments.value[2], &seals);
  if (!bytes || length != 32) return throwErrno(env, "setKey", EINVAL);

  std::lock_guard<std::mutex> table(slotsMutex);
  int slot = takeSlot();
  if (slot < 0) return throwErrno(env, "setKey: every key slot is taken", ENOSPC);
  Key* key = slots[slot].load();
  std::unique_lock<std::mutex> lock(key->mutex);
  key->owner = env;
  key->generation = key->generation % (GENERATIONS - 1) + 1;
  key->handle = static_cast<int32_t>(key->generation << SLOT_BITS | static_cast<uint32_t>(slot));
  if (!key->cipher.set(cipher, bytes, seals)) {
    int32_t handle = key->handle;
    lock.unlock();
    wipe(handle & (SLOTS - 1));
    return throwErrno(env, "setKey: the cipher is not there", ENOSYS);
  }
  return fromInt(env, key->handle);
}

/** freeKey(handle): waits for a batch that holds the key, then wipes it. A handle whose key is gone is ignored. */
napi_value freeKey(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int32_t handle = toInt(env, arguments.value[0]);
  std::lock_guard<std::mutex> table(slotsMutex);
  int slot = handle & (SLOTS - 1);
  if (handle > 0 && slot < slotsUsed && slots[slot].load()->handle == handle) wipe(slot);
  return nullptr;
}

void wipeAllOf(void* env) {
  std::lock_guard<std::mutex> table(slotsMutex);
  for (int slot = 0; slot < slotsUsed; slot++)
    if (slots[slot].load()->owner == env) wipe(slot);
}

constexpr int MAX_UDP_PAYLOAD = 65507;
constexpr int HEADER_SIZE = 16;

/** The plaintext's length once padded: to 16 bytes, but not past the MTU (white paper §5.4.6). */
int padded(int length, int mtu) {
  int full = (length + 15) & ~15;
  return full > mtu && length <= mtu ? mtu : full;
}

/** Adds a datagram of `size` bytes, just written at the end of `sealed`, to the open run or to a new one. */
bool appendToRun(Queue* queue, int size, int endpoint, int maxSegments, bool* open) {
  if (*open) {
    int32_t* run = queue->table + (queue->runCount - 1) * RUN_WORDS;
    if (run[RUN_ENDPOINT] == endpoint && size <= run[RUN_SEGMENT] && run[RUN_COUNT] < maxSegments &&
        run[RUN_LENGTH] + size <= MAX_UDP_PAYLOAD) {
      run[RUN_LENGTH] += size;
      run[RUN_COUNT]++;
      *open = size == run[RUN_SEGMENT];
      return true;
    }
  }
  if (queue->runCount == queue->tableCapacity) return false;
  int32_t* run = queue->table + queue->runCount++ * RUN_WORDS;
  run[RUN_OFFSET] = queue->sealedUsed;
  run[RUN_LENGTH] = size;
  run[RUN_SEGMENT] = size;
  run[RUN_COUNT] = 1;
  run[RUN_ENDPOINT] = endpoint;
  *open = true;
  return true;
}

void putHeader(uint8_t* out, uint32_t receiver, uint64_t counter) {
  const uint32_t type = 4;
  memcpy(out, &type, 4);
  memcpy(out + 4, &receiver, 4);
  memcpy(out + 8, &counter, 8);
}

/**
 * Seals one row's segments into `sealed`. Returns datagrams made, or -1 if the row's key is gone or its numbers don't fit.
 * A segment is padded over the bytes behind it, which are the next one's payload: they are put back after sealing.
 */
int sealRow(Queue* queue, const int32_t* row, KeyLease& key, int mtu, int maxSegments, bool* runOpen) {
  uint64_t counter = static_cast<uint64_t>(static_cast<uint32_t>(row[COUNTER_HI])) << 32 | static_cast<uint32_t>(row[COUNTER_LO]);
  Segmenter segments(queue->slab + row[OFFSET], row);
  uint8_t* segment;
  int length, made = 0;
  while (made < row[SEGMENTS]) {
    if (row[LENGTH] == 0) {  // a keepalive
      segment = queue->slab + row[OFFSET];
      length = 0;
    } else if (!segments.next(&segment, &length)) {
      break;
    }
    int size = padded(length, mtu);
    uint8_t saved[16] = {};
    if (size > length) {
      memcpy(saved, segment + length, 16);
      memset(segment + length, 0, static_cast<size_t>(size - length));
    }
    uint8_t* out = queue->sealed + queue->sealedUsed;
    int wire = HEADER_SIZE + size + TAG;
    if (queue->sealedUsed + wire > queue->sealedSize) return -1;
    putHeader(out, static_cast<uint32_t>(row[RECEIVER]), counter++);
    bool sealed = key.seal(segment, size, counter - 1, out + HEADER_SIZE);
    if (size > length) memcpy(segment + length, saved, 16);
    if (!sealed || !appendToRun(queue, wire, row[ENDPOINT], maxSegments, runOpen)) return -1;
    queue->sealedUsed += wire;
    made++;
  }
  return made;
}

/**
 * seal(queue, from, to, mtu, maxSegments): segments and seals the rows [from, to) whose KEY is set, into runs. Returns the
 * row it stopped before: `to`, or less where `sealed` or the run table is full, to go on after a send. A row that could
 * not be sealed has VERDICT -1 and counts in STATUS_FAILED. STATUS_RUNS: runs that wait for send.
 */
napi_value seal(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int from = toInt(env, arguments.value[1]), to = toInt(env, arguments.value[2]);
  int mtu = toInt(env, arguments.value[3]), maxSegments = toInt(env, arguments.value[4]);
  if (!queue || !queue->sealed || from < 0 || to > queue->rowCapacity || maxSegments < 1) return fromInt(env, -EINVAL);
  KeyLease key;
  bool runOpen = false;
  int at = from, failed = 0;
  for (; at < to; at++) {
    int32_t* row = queue->rows + at * ROW_WORDS;
    if (row[KEY] == 0) continue;
    row[VERDICT] = -1;
    failed++;
    if (row[OFFSET] < 0 || row[LENGTH] < 0 || row[OFFSET] > queue->slabSize - 64 - row[LENGTH] || row[SEGMENTS] < 1) continue;
    long need = row[LENGTH] + static_cast<long>(row[SEGMENTS]) * (row[HEADER] + HEADER_SIZE + TAG + 16);
    if (need > queue->sealedSize) continue;
    long runs = row[SEGMENTS] / maxSegments + need / (MAX_UDP_PAYLOAD / 2) + 2;
    if (queue->sealedUsed + need > queue->sealedSize || queue->runCount + runs > queue->tableCapacity) {
      if (queue->runCount == 0) continue;
      failed--;
      break;
    }
    if (!key.hold(row[KEY])) continue;
    if (sealRow(queue, row, key, mtu, maxSegments, &runOpen) != row[SEGMENTS]) continue;
    row[VERDICT] = 0;
    failed--;
  }
  queue->status[STATUS_RUNS] = queue->runCount;
  queue->status[STATUS_FAILED] = failed;
  return fromInt(env, at);
}

/**
 * open(queue, count): decrypts the transport messages of rows [0, count) in place; OFFSET and LENGTH are the message's.
 * VERDICT becomes 0, or -1 where the tag is wrong or the key gone. Returns how many opened.
 */
napi_value openRows(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int count = toInt(env, arguments.value[1]);
  if (!queue || count < 0 || count > queue->rowCapacity) return fromInt(env, -EINVAL);
  KeyLease key;
  int opened = 0;
  for (int at = 0; at < count; at++) {
    int32_t* row = queue->rows + at * ROW_WORDS;
    row[VERDICT] = -1;
    int length = row[LENGTH] - HEADER_SIZE - TAG;
    if (row[KEY] == 0 || length < 0 || row[OFFSET] < 0 || row[OFFSET] > queue->slabSize - row[LENGTH]) continue;
    if (!key.hold(row[KEY])) continue;
    uint64_t counter = static_cast<uint64_t>(static_cast<uint32_t>(row[COUNTER_HI])) << 32 | static_cast<uint32_t>(row[COUNTER_LO]);
    if (!key.open(queue->slab + row[OFFSET] + HEADER_SIZE, length, counter)) continue;
    row[VERDICT] = 0;
    opened++;
  }
  return fromInt(env, opened);
}

}  // namespace

bool KeyLease::hold(int32_t handle) {
  if (key_ && handle == handle_) return true;
  release();
  int slot = handle & (SLOTS - 1);
  Key* key = handle > 0 ? slots[slot].load(std::memory_order_acquire) : nullptr;
  if (!key) return false;
  key->mutex.lock();
  if (key->handle != handle) {
    key->mutex.unlock();
    return false;
  }
  key_ = key;
  handle_ = handle;
  return true;
}

void KeyLease::release() {
  if (key_) key_->mutex.unlock();
  key_ = nullptr;
}

bool KeyLease::seal(const uint8_t* in, int length, uint64_t counter, uint8_t* out) {
  return key_->cipher.seal(in, length, counter, out);
}

bool KeyLease::open(uint8_t* data, int length, uint64_t counter) { return key_->cipher.open(data, length, counter); }

/** aeadLibrary(): which library seals and opens. */
napi_value libraryName(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_string_utf8(env, aeadLibrary(), NAPI_AUTO_LENGTH, &result);
  return result;
}

void registerAead(napi_env env, napi_value exports) {
  exportFunction(env, exports, "aeadLibrary", libraryName);
  exportFunction(env, exports, "setKey", setKey);
  exportFunction(env, exports, "freeKey", freeKey);
  exportFunction(env, exports, "seal", seal);
  exportFunction(env, exports, "open", openRows);
  napi_add_env_cleanup_hook(env, wipeAllOf, env);
}

}  // namespace isthmus
