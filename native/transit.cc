// The addon's calls for packets in transit: groups of the inbound thread into the ring, from there into the outbound
// thread's rows.

#include <unistd.h>

#include <cerrno>

#include "addon.h"
#include "ring.h"
#include "rows.h"

namespace isthmus {
namespace {

/** Of a group: not written to the TUN but handed on to GROUP_PEER; and what that becomes without room. src/nic/layout.ts has the same numbers. */
constexpr int VERDICT_HAND_ON = -2, VERDICT_NO_ROOM = -3;

void wakeReader(int fd) {
  const uint64_t one = 1;
  // A full counter is a wake that was not heard yet.
  if (fd >= 0 && write(fd, &one, sizeof one) < 0) return;
}

/**
 * handOn(queue, ring, wakeFd, groups): puts the groups whose VERDICT is -2 into the ring, each as one packet. Returns how
 * many; status[STATUS_FAILED] counts those for which there was no room, whose VERDICT becomes -3.
 */
napi_value handOn(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  size_t length = 0;
  uint8_t* memory = toBytes(env, arguments.value[1], &length);
  const int groups = toInt(env, arguments.value[3]);
  Ring ring(memory, length);
  if (!queue || !queue->groups || groups < 0 || groups > queue->groupCapacity || !ring.isValid()) {
    return fromInt(env, -EINVAL);
  }
  iovec slices[MAX_SLICES];
  virtio_net_hdr header;
  int handed = 0, failed = 0;
  for (int at = 0; at < groups; at++) {
    int32_t* group = queue->groups + at * GROUP_WORDS;
    if (group[GROUP_VERDICT] != VERDICT_HAND_ON) continue;
    const int32_t* row = queue->rows + group[GROUP_FIRST] * ROW_WORDS;
    const int count = isSound(queue, group) ? gather(queue->slab, queue->rows, group, &header, slices, MAX_SLICES) : -1;
    int32_t record[RECORD_WORDS] = {};
    record[RECORD_GSO] = group[GROUP_GSO];
    record[RECORD_SEGMENT_SIZE] = group[GROUP_SEGMENT_SIZE];
    record[RECORD_HEADER] = group[GROUP_HEADER];
    record[RECORD_SEGMENTS] = group[GROUP_COUNT];
    record[RECORD_TARGET] = group[GROUP_PEER];
    record[RECORD_SOURCE] = count < 0 ? -1 : row[PEER];
    if (count >= 0 && ring.append(record, slices + 1, count - 1)) {
      handed++;
      continue;
    }
    group[GROUP_VERDICT] = VERDICT_NO_ROOM;
    failed++;
  }
  if (handed > 0 && ring.publish()) wakeReader(toInt(env, arguments.value[2]));
  queue->status[STATUS_FAILED] = failed;
  return fromInt(env, handed);
}

/** handOnPacket(ring, wakeFd, bytes, length, target): one packet of the gateway's own. 0, or -ENOBUFS without room. */
napi_value handOnPacket(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  size_t ringLength = 0, available = 0;
  uint8_t* memory = toBytes(env, arguments.value[0], &ringLength);
  uint8_t* bytes = toBytes(env, arguments.value[2], &available);
  const int length = toInt(env, arguments.value[3]);
  Ring ring(memory, ringLength);
  if (!ring.isValid() || !bytes || length < 1 || static_cast<size_t>(length) > available) return fromInt(env, -EINVAL);
  const iovec slice = {bytes, static_cast<size_t>(length)};
  int32_t record[RECORD_WORDS] = {};
  record[RECORD_SEGMENTS] = 1;
  record[RECORD_TARGET] = toInt(env, arguments.value[4]);
  record[RECORD_SOURCE] = -1;
  if (!ring.append(record, &slice, 1)) return fromInt(env, -ENOBUFS);
  if (ring.publish()) wakeReader(toInt(env, arguments.value[1]));
  return fromInt(env, 0);
}

/** readTransit(queue, ring, maxRows): packets from the ring into the slab and rows. Returns rows filled. */
napi_value readTransit(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  size_t length = 0;
  uint8_t* memory = toBytes(env, arguments.value[1], &length);
  int maxRows = toInt(env, arguments.value[2]);
  Ring ring(memory, length);
  if (!queue || !ring.isValid()) return fromInt(env, -EINVAL);
  if (maxRows > queue->rowCapacity) maxRows = queue->rowCapacity;
  return fromInt(env, ring.take(queue->slab, queue->reserve, queue->rows, maxRows));
}

}  // namespace

void registerTransit(napi_env env, napi_value exports) {
  exportFunction(env, exports, "handOn", handOn);
  exportFunction(env, exports, "handOnPacket", handOnPacket);
  exportFunction(env, exports, "readTransit", readTransit);
}

}  // namespace isthmus
