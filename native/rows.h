// The descriptors that native code and TypeScript share: int32 words in typed arrays. src/nic has the same numbers.
#pragma once

#include <cstdint>

namespace isthmus {

/** Words of a packet's row. Offsets and lengths are bytes; what a direction does not use stays as it is. */
enum Row {
  OFFSET = 0,        // of the IP packet in the slab
  LENGTH = 1,        // of the IP packet
  GSO = 2,           // one of Gso (virtio.h)
  SEGMENT_SIZE = 3,  // payload bytes per segment; 0 when single
  HEADER = 4,        // bytes of IP and transport headers; 0 when single
  SEGMENTS = 5,      // packets it becomes, at least 1; 0: malformed
  KEY = 6,
  COUNTER_LO = 7,
  COUNTER_HI = 8,
  RECEIVER = 9,
  ENDPOINT = 10,
  VERDICT = 11,  // 0: goes on; anything else: dropped
  PEER = 12,
  NEXT = 13,  // next row of the same group, -1 in the last
  TAIL = 14,  // inbound, in the first row of a group: its last row
  SPARE = 15,
  ROW_WORDS = 16
};

/** Words of a group: packets of one flow that are written to the TUN as one. */
enum Group {
  GROUP_FIRST = 0,         // its first row; the others follow by NEXT
  GROUP_COUNT = 1,         // rows
  GROUP_LENGTH = 2,        // bytes of the merged packet
  GROUP_GSO = 3,           // one of Gso; GSO_NONE when the count is 1
  GROUP_SEGMENT_SIZE = 4,  // payload bytes of every packet but the last; 0 when the count is 1
  GROUP_HEADER = 5,        // bytes of IP and transport headers; 0 when the count is 1
  GROUP_PEER = 6,
  GROUP_VERDICT = 7,  // 0: write it; set by TypeScript
  GROUP_WORDS = 8
};

}  // namespace isthmus
