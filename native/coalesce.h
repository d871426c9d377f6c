// To the TUN: runs of packets of one flow joined into super-packets, by the rules of Linux's GRO: cut again, they are
// what went in, but for TCP's window and the identification of an IPv4 packet that must not be fragmented.
#pragma once

#include <sys/uio.h>

#include <cstdint>

#include "virtio.h"

namespace isthmus {

/** The most rows in a group: of TCP by choice; of UDP the least UDP_MAX_SEGMENTS of the kernels, which refuse more. */
constexpr int MAX_TCP_ROWS = 150, MAX_UDP_ROWS = 64;
/** Enough for `gather` of any group. */
constexpr int MAX_SLICES = MAX_TCP_ROWS + 1;

/** Finds the flows of a batch. All its memory is in it, 20 KiB; one thread uses one. */
class Coalescer {
 public:
  /**
   * Groups rows [0, count) that have VERDICT 0 and a positive LENGTH, which are whole inner IP packets in the slab, and
   * links them by NEXT. Rows merge when they are of one peer and one flow, and are contiguous TCP or UDP of one size;
   * their checksums are verified first. `allowTcp` and `allowUdp` say what the TUN takes. Whatever does not merge is a
   * group of its own, untouched. Groups stand in the order of their first packets, and packets of one flow (what has
   * the same addresses and ports; later fragments and what is behind IPv6 extension headers have none) keep theirs.
   * Returns the number of groups, at most `count`.
   */
  int run(uint8_t* slab, int32_t* rows, int count, int32_t* groups, bool allowTcp, bool allowUdp);

 private:
  struct Batch;
  /** A flow of the batch `epoch`; a slot of another batch is free. */
  struct Flow {
    uint32_t epoch;
    uint32_t hash;
    int32_t group;      // its latest
    int32_t state;      // what that is to the next packet
    uint32_t sequence;  // TCP, of the byte that comes next
  };
  static constexpr uint32_t SLOTS = 1024;
  static constexpr uint32_t PROBES = 16;

  Flow* find(const Batch& batch, int index, int transport);

  Flow flows_[SLOTS] = {};
  uint32_t epoch_ = 0;
};

/**
 * Prepares the write of a group: makes the first packet's headers those of the merged packet, in place, fills `hdr`,
 * and lists `hdr`, the first packet, and the payload of each following row in `iov`. A group of one row is untouched
 * and its `hdr` all zero. Headers that were changed since the group was made are taken as they are; doing it again
 * gives the same.
 * Returns the number of slices, or -1 if there are more than `iovMax` or the chain of rows ends before the count.
 */
int gather(uint8_t* slab, const int32_t* rows, const int32_t* group, virtio_net_hdr* hdr, iovec* iov, int iovMax);

}  // namespace isthmus
