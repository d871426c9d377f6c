// From the TUN: super-packets, as IFF_VNET_HDR with TSO and USO gives them, cut into the packets they stand for
// (virtio 1.2, 5.1.6; Linux Documentation/networking/segmentation-offloads).
#pragma once

#include <cstdint>

#include "virtio.h"

namespace isthmus {

/** The longest headers, IP and transport together, of a super-packet; a longer one is malformed. */
constexpr int MAX_HEADER = 512;

/**
 * Looks at an IP packet of `length` bytes read from the TUN behind `hdr`, fills LENGTH, GSO, SEGMENT_SIZE, HEADER and
 * SEGMENTS of its row, and completes its checksum if the kernel left that to us and the packet is a single one, be it
 * only because its payload fits one segment. Lengths come from the packet, as the kernel's hdr_len can be anything up
 * to that of the whole packet when it forwards. LENGTH leaves out what lies behind the end of the IP packet.
 * Returns 0, or -1 if malformed; SEGMENTS is then 0.
 */
int inspect(uint8_t* packet, int length, const virtio_net_hdr* hdr, int32_t* row);

/**
 * Walks the packets that an inspected packet stands for. Each is completed in place: its headers are put just before
 * its payload, over the end of the one before, which the caller must have consumed by then.
 */
class Segmenter {
 public:
  /** `row` is only read here; of one that `inspect` cannot have written, there are no packets. */
  Segmenter(uint8_t* packet, const int32_t* row);
  /** The next packet and its length in bytes; false behind the last. */
  bool next(uint8_t** segment, int* length);

 private:
  uint8_t* packet_;
  int position_;   // of the payload that comes next
  int end_;        // of the packet
  int size_;       // payload bytes per segment
  int header_;     // bytes of all headers; 0 when the packet is single
  int transport_;  // offset of the transport header
  bool ipv4_;
  bool udp_;
  uint8_t flags_;       // TCP, of the packets that are neither first nor last
  uint8_t firstFlags_;  // TCP, only in the first packet
  uint8_t lastFlags_;   // TCP, only in the last packet
  uint16_t identification_;
  uint32_t sequence_;
  uint64_t networkSum_;    // of the IPv4 header without what differs between packets
  uint64_t transportSum_;  // of pseudo-header and transport header, likewise
  uint8_t template_[MAX_HEADER];
};

}  // namespace isthmus
