// From the inbound thread to the outbound one: packets that one peer sends to another, without a trip through the kernel.
// A ring in memory that both share, with one thread that writes and one that reads, and no lock.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace isthmus {

/** Where the words that both threads use begin, each in a cache line of its own, and the records behind them. */
constexpr size_t RING_HEAD = 0, RING_TAIL = 64, RING_SLEEPING = 128, RING_DATA = 256;
/** Bytes of records that a ring has at least: more than one of the longest. A power of two. */
constexpr uint32_t RING_MIN = 1 << 18;

/** What stands before each packet in the ring. All words are int32; SIZE counts from here to the next record. */
enum Record {
  RECORD_SIZE = 0,
  RECORD_LENGTH = 1,  // of the packet; -1: nothing but a step to the ring's begin
  RECORD_GSO = 2,
  RECORD_SEGMENT_SIZE = 3,
  RECORD_HEADER = 4,
  RECORD_SEGMENTS = 5,
  RECORD_TARGET = 6,  // the peer that it goes to
  RECORD_SOURCE = 7,  // the peer that it came from, -1 for the gateway itself
  RECORD_WORDS = 8
};

/** A view of the shared memory, which JavaScript owns. */
class Ring {
 public:
  /** False from `isValid` if the memory is too small, or not of the form. */
  Ring(uint8_t* memory, size_t length);
  bool isValid() const { return size_ != 0; }

  /**
   * The writer: appends a packet made of slices, `record` says what it is (LENGTH and SIZE are filled in). Nobody sees it
   * before `publish`. False if there is no room.
   */
  bool append(int32_t* record, const iovec* slices, int count);
  /** Shows what was appended. True if the reader sleeps and has to be woken. */
  bool publish();

  /**
   * The reader: moves packets into the slab and their descriptors into rows, until the ring is empty or either is full.
   * Whatever the memory holds, nothing is written outside of them. Returns the rows filled.
   */
  int take(uint8_t* slab, int slabSize, int32_t* rows, int maxRows);

 private:
  std::atomic<uint32_t>& word(size_t at) const { return *reinterpret_cast<std::atomic<uint32_t>*>(memory_ + at); }

  uint8_t* memory_;
  uint8_t* data_;
  uint32_t size_;
  uint32_t head_ = 0;  // the writer's own, ahead of the published one
};

}  // namespace isthmus
