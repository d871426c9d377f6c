#include "ring.h"

#include <cstring>

#include "rows.h"

namespace isthmus {
namespace {

constexpr int MAX_PACKET = 65535;
/** Records begin at multiples of this, and so do packets in the slab. */
constexpr uint32_t ALIGNMENT = 64;
constexpr uint32_t RECORD_BYTES = RECORD_WORDS * 4;
/** Room kept before and behind a packet in the slab: a segment's headers and padding may be written there. */
constexpr int SLACK = 64;

uint32_t aligned(uint32_t size) { return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1); }

}  // namespace

Ring::Ring(uint8_t* memory, size_t length) : memory_(memory), data_(memory + RING_DATA), size_(0) {
  if (!memory || reinterpret_cast<uintptr_t>(memory) % 8 != 0 || length < RING_DATA + RING_MIN) return;
  const size_t size = length - RING_DATA;
  if ((size & (size - 1)) != 0 || size > 1u << 30) return;
  size_ = static_cast<uint32_t>(size);
  head_ = word(RING_HEAD).load(std::memory_order_relaxed) & ~(ALIGNMENT - 1);
}

bool Ring::append(int32_t* record, const iovec* slices, int count) {
  size_t length = 0;
  for (int slice = 0; slice < count; slice++) length += slices[slice].iov_len;
  if (length == 0 || length > MAX_PACKET) return false;
  const uint32_t size = aligned(RECORD_BYTES + static_cast<uint32_t>(length));
  const uint32_t at = head_ & (size_ - 1);
  // A record lies in one piece: where it would reach over the end, the rest of the ring is skipped.
  const uint32_t skipped = at + size > size_ ? size_ - at : 0;
  const uint32_t used = head_ - word(RING_TAIL).load(std::memory_order_acquire);
  if (used > size_ || size_ - used < skipped + size) return false;
  if (skipped > 0) {
    const int32_t skip[RECORD_WORDS] = {static_cast<int32_t>(skipped), -1};
    memcpy(data_ + at, skip, RECORD_BYTES);
  }
  uint8_t* out = data_ + ((head_ + skipped) & (size_ - 1));
  record[RECORD_SIZE] = static_cast<int32_t>(size);
  record[RECORD_LENGTH] = static_cast<int32_t>(length);
  memcpy(out, record, RECORD_BYTES);
  out += RECORD_BYTES;
  for (int slice = 0; slice < count; slice++) {
    memcpy(out, slices[slice].iov_base, slices[slice].iov_len);
    out += slices[slice].iov_len;
  }
  head_ += skipped + size;
  return true;
}

bool Ring::publish() {
  // In one order with the reader's own store of SLEEPING and load of HEAD: either it sees the head, or we its sleep.
  word(RING_HEAD).store(head_, std::memory_order_seq_cst);
  return word(RING_SLEEPING).load(std::memory_order_seq_cst) != 0 &&
         word(RING_SLEEPING).exchange(0, std::memory_order_seq_cst) != 0;
}

int Ring::take(uint8_t* slab, int slabSize, int32_t* rows, int maxRows) {
  const uint32_t head = word(RING_HEAD).load(std::memory_order_acquire);
  uint32_t tail = word(RING_TAIL).load(std::memory_order_relaxed);
  int count = 0, offset = SLACK;
  while (count < maxRows && tail != head) {
    const uint32_t at = tail & (size_ - 1);
    int32_t record[RECORD_WORDS];
    if (tail % ALIGNMENT != 0) tail = head;
    if (tail == head) break;
    memcpy(record, data_ + at, RECORD_BYTES);
    const uint32_t size = static_cast<uint32_t>(record[RECORD_SIZE]);
    const int length = record[RECORD_LENGTH];
    const bool fits = size >= ALIGNMENT && size % ALIGNMENT == 0 && size <= size_ - at && size <= head - tail;
    if (!fits || length > static_cast<int>(size - RECORD_BYTES) || length > MAX_PACKET) {
      tail = head;  // no writer of ours leaves such a record: what is in the ring can't be read
      break;
    }
    if (length <= 0) {
      tail += size;
      continue;
    }
    if (offset + length + SLACK > slabSize) break;
    int32_t* row = rows + count * ROW_WORDS;
    memset(row, 0, ROW_WORDS * 4);
    memcpy(slab + offset, data_ + at + RECORD_BYTES, static_cast<size_t>(length));
    row[OFFSET] = offset;
    row[LENGTH] = length;
    row[GSO] = record[RECORD_GSO];
    row[SEGMENT_SIZE] = record[RECORD_SEGMENT_SIZE];
    row[HEADER] = record[RECORD_HEADER];
    row[SEGMENTS] = record[RECORD_SEGMENTS];
    row[ENDPOINT] = record[RECORD_TARGET];
    row[PEER] = record[RECORD_SOURCE];
    offset += static_cast<int>(aligned(static_cast<uint32_t>(length + SLACK)));
    tail += size;
    count++;
  }
  word(RING_TAIL).store(tail, std::memory_order_release);
  return count;
}

}  // namespace isthmus
