// What stands before each packet of a TUN with IFF_VNET_HDR (virtio 1.2, 5.1.6): linux/virtio_net.h, which C++ cannot
// include because a field in it is named `class`.
#pragma once

#include <cstdint>

namespace isthmus {

struct virtio_net_hdr {
  uint8_t flags;
  uint8_t gso_type;      // one of Gso, perhaps with VIRTIO_GSO_ECN
  uint16_t hdr_len;      // bytes of all headers; a hint
  uint16_t gso_size;     // payload bytes per segment
  uint16_t csum_start;   // offset from which the checksum is taken, to the end of the packet
  uint16_t csum_offset;  // of its field, from there
};
static_assert(sizeof(virtio_net_hdr) == 10);

/** Flag: the checksum's field holds the folded sum of the pseudo-header; the checksum is still to be made. */
constexpr uint8_t VIRTIO_NEEDS_CSUM = 1;
/** Bit of gso_type: the super-packet has CWR set, which is only the first segment's. */
constexpr uint8_t VIRTIO_GSO_ECN = 0x80;

/** Kinds of super-packet: gso_type. */
enum Gso { GSO_NONE = 0, GSO_TCP4 = 1, GSO_TCP6 = 4, GSO_UDP = 5 };

}  // namespace isthmus
