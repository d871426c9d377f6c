#include <deque>
#include <memory>
#include <thread>

#include "ring.h"
#include "selftest.h"

namespace isthmus {
namespace {

constexpr size_t MEMORY = RING_DATA + RING_MIN;
constexpr int SLAB = 1 << 18, ROWS = 64;

/** A ring's memory, its end where ASan sees it. */
struct Memory {
  std::unique_ptr<uint64_t[]> words{new uint64_t[MEMORY / 8]()};
  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(words.get()); }
  uint32_t& word(size_t at) { return reinterpret_cast<uint32_t*>(bytes())[at / 4]; }
};

struct Reader {
  std::unique_ptr<uint8_t[]> slab{new uint8_t[SLAB]};
  std::vector<int32_t> rows = std::vector<int32_t>(ROWS * ROW_WORDS);
  int take(Memory& memory, int slabSize = SLAB, int maxRows = ROWS) {
    return Ring(memory.bytes(), MEMORY).take(slab.get(), slabSize, rows.data(), maxRows);
  }
  const int32_t* row(int index) const { return rows.data() + index * ROW_WORDS; }
  Bytes packet(int index) const {
    const uint8_t* const start = slab.get() + row(index)[OFFSET];
    return Bytes(start, start + row(index)[LENGTH]);
  }
};

/** What is appended comes out, in order, whole, with its description; what finds no room is refused. */
void tryQueue(int count) {
  Memory memory;
  Reader reader;
  std::deque<std::pair<Bytes, int>> waiting;
  size_t held = 0;
  int refused = 0, taken = 0;
  for (int number = 0; number < count;) {
    Ring ring(memory.bytes(), MEMORY);
    CHECK(ring.isValid());
    for (const int until = number + any.between(0, 20); number < until; number++) {
      Bytes packet = any.bytes(any.one(10) ? any.between(1, 65535) : any.between(1, 1500));
      const size_t middle = static_cast<size_t>(any.between(0, static_cast<int>(packet.size())));
      const iovec slices[] = {{packet.data(), middle}, {packet.data() + middle, packet.size() - middle}};
      int32_t record[RECORD_WORDS] = {0, 0, 1, 2, 3, 4, number, 6};
      if (ring.append(record, slices, 2)) {
        held += packet.size();
        waiting.emplace_back(std::move(packet), number);
      } else {
        CHECK(held + packet.size() > RING_MIN / 4);
        refused++;
      }
    }
    CHECK(!ring.publish());
    const int least = any.between(0, 3);
    for (int round = 0; round < least; round++) {
      const int rows = reader.take(memory, any.one(2) ? SLAB : 70000, any.between(1, ROWS));
      for (int index = 0; index < rows; index++, taken++) {
        const auto& [packet, target] = waiting.front();
        const int32_t* const row = reader.row(index);
        CHECK(reader.packet(index) == packet && row[ENDPOINT] == target && row[PEER] == 6);
        CHECK(row[GSO] == 1 && row[SEGMENT_SIZE] == 2 && row[HEADER] == 3 && row[SEGMENTS] == 4 && row[KEY] == 0);
        held -= packet.size();
        waiting.pop_front();
      }
    }
  }
  while (const int rows = reader.take(memory))
    for (int index = 0; index < rows; index++, taken++) waiting.pop_front();
  CHECK(waiting.empty() && refused > 20 && taken > count / 3);
}

/** Whatever the shared memory holds, neither side leaves it, the slab or the rows. */
void tryScribbling(int count) {
  Memory memory;
  Reader reader;
  int taken = 0;
  for (int round = 0; round < count; round++) {
    Ring ring(memory.bytes(), MEMORY);
    Bytes packet = any.bytes(any.between(1, 3000));
    const iovec slice = {packet.data(), packet.size()};
    for (int times = any.between(1, 9); times > 0; times--) {
      int32_t record[RECORD_WORDS] = {};
      ring.append(record, &slice, 1);
    }
    ring.publish();
    const uint32_t tail = memory.word(RING_TAIL) & (RING_MIN - 1) & ~3u;
    switch (any.between(0, 4)) {
      case 0: memory.word(RING_HEAD) = static_cast<uint32_t>(any.next()); break;
      case 1: memory.word(RING_TAIL) = static_cast<uint32_t>(any.next()); break;
      case 2: memory.word(RING_DATA + tail) = static_cast<uint32_t>(any.one(2) ? any.next() : any.between(0, 70000)); break;
      case 3: memory.word(RING_DATA + (tail + 4 < RING_MIN ? tail + 4 : 0)) = static_cast<uint32_t>(any.next()); break;
      default: break;
    }
    taken += reader.take(memory);
  }
  CHECK(taken > count);
}

/** Two threads: nothing is lost or changed, and a reader that sleeps is always woken. */
void tryThreads(int count) {
  Memory memory;
  std::atomic<int> wakes{0};
  std::thread writer([&] {
    Random chance{7};
    for (int number = 0; number < count;) {
      Ring ring(memory.bytes(), MEMORY);
      const int until = std::min(count, number + chance.between(1, 8));
      while (number < until) {
        Bytes packet(static_cast<size_t>(chance.between(4, 3000)), static_cast<uint8_t>(number));
        const iovec slice = {packet.data(), packet.size()};
        int32_t record[RECORD_WORDS] = {0, 0, 0, 0, 0, 1, number, -1};
        if (!ring.append(record, &slice, 1)) break;
        number++;
      }
      if (ring.publish()) wakes++;
      if (chance.one(50)) std::this_thread::yield();
    }
  });
  Reader reader;
  auto& sleeping = *reinterpret_cast<std::atomic<uint32_t>*>(memory.bytes() + RING_SLEEPING);
  auto& head = *reinterpret_cast<std::atomic<uint32_t>*>(memory.bytes() + RING_HEAD);
  for (int next = 0; next < count;) {
    const int rows = reader.take(memory);
    for (int index = 0; index < rows; index++, next++) {
      const Bytes packet = reader.packet(index);
      CHECK(reader.row(index)[ENDPOINT] == next);
      CHECK(std::all_of(packet.begin(), packet.end(), [&](uint8_t byte) { return byte == static_cast<uint8_t>(next); }));
    }
    if (rows > 0 || next == count) continue;
    const int before = wakes;
    sleeping = 1;
    // As a poll on an eventfd that the writer writes to: without a wake-up this would never end.
    if (head == memory.word(RING_TAIL))
      while (wakes == before) std::this_thread::yield();
    sleeping = 0;
  }
  writer.join();
}

}  // namespace

void tryRing(int count) {
  Memory memory;
  CHECK(!Ring(nullptr, MEMORY).isValid() && !Ring(memory.bytes(), MEMORY - 1).isValid());
  CHECK(!Ring(memory.bytes(), RING_DATA).isValid() && !Ring(memory.bytes() + 4, MEMORY).isValid());
  tryQueue(count / 10);
  tryScribbling(count / 10);
  tryThreads(count / 2);
}

}  // namespace isthmus
