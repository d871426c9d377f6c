// What the self-test is made with: repeatable chance, and packets built the slow, obvious way.
#pragma once

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "checksum.h"
#include "coalesce.h"
#include "rows.h"
#include "virtio.h"

namespace isthmus {

using Bytes = std::vector<uint8_t>;

constexpr int TCP = 6, UDP = 17;
constexpr uint8_t FIN = 1, SYN = 2, PSH = 8, ACK = 16, URG = 32, CWR = 128;

#define CHECK(condition) \
  if (!(condition)) fail(#condition, __LINE__)

[[noreturn]] inline void fail(const char* condition, int line) {
  fprintf(stderr, "selftest.cc:%d: does not hold: %s\n", line, condition);
  exit(1);
}

/** SplitMix64. */
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t value = state += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  int between(int least, int most) {
    return least + static_cast<int>(next() % static_cast<uint64_t>(most - least + 1));
  }
  bool one(int in) { return between(1, in) == 1; }
  Bytes bytes(int length) {
    Bytes result(static_cast<size_t>(length));
    for (uint8_t& byte : result) byte = static_cast<uint8_t>(next());
    return result;
  }
};

inline Random any{2026};

/** What a super-packet is made of. */
struct Recipe {
  bool ipv6, udp, dontFragment;
  int extra;    // bytes of IPv4 options, or of an IPv6 extension header
  int options;  // bytes, TCP
  uint8_t flags;
  uint16_t identification;
  uint32_t sequence;
  Bytes addresses, ports, payload;
  int size;  // payload bytes per segment
  int network() const { return (ipv6 ? 40 : 20) + extra; }
  int header() const { return network() + (udp ? 8 : 20 + options); }
  int segments() const { return std::max(1, (static_cast<int>(payload.size()) + size - 1) / size); }
};

inline Recipe randomRecipe(bool plain) {
  Recipe recipe;
  recipe.ipv6 = any.one(2);
  recipe.udp = any.one(2);
  recipe.dontFragment = any.one(2);
  recipe.extra = plain || any.one(2) ? 0 : recipe.ipv6 ? 8 * any.between(1, 6) : 4 * any.between(1, 10);
  recipe.options = 4 * any.between(0, 10);
  recipe.flags = ACK | (any.one(2) ? PSH : 0) | (!plain && any.one(3) ? FIN : 0) | (!plain && any.one(3) ? CWR : 0);
  recipe.identification = static_cast<uint16_t>(any.next());
  recipe.sequence = static_cast<uint32_t>(any.one(3) ? -any.between(1, 9000) : any.next());  // often about to wrap
  recipe.addresses = any.bytes(recipe.ipv6 ? 32 : 8);
  recipe.ports = any.bytes(4);
  recipe.size = any.one(4) ? any.between(1, 40) : any.between(41, 1500);
  const int most = 65535 - recipe.header();
  recipe.payload = any.bytes(std::min(most, any.one(3) ? any.between(1, most) : any.between(1, recipe.size * 40)));
  return recipe;
}

/** The ones' complement sum of big-endian words, folded. */
inline uint16_t slowSum(const Bytes& bytes) {
  uint32_t total = 0;
  for (size_t at = 0; at < bytes.size(); at++) total += at % 2 == 0 ? bytes[at] << 8 : bytes[at];
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(total);
}

inline void append(Bytes* to, const Bytes& bytes) { to->insert(to->end(), bytes.begin(), bytes.end()); }

/** The packet with payload [from, to), as segment `index`. Without `complete`, as the kernel leaves it to a NIC. */
inline Bytes build(const Recipe& recipe, int from, int to, int index, bool complete) {
  const int protocol = recipe.udp ? UDP : TCP;
  const int total = recipe.header() + to - from, length = total - recipe.network();
  Bytes packet(static_cast<size_t>(recipe.header()));
  uint8_t* const network = packet.data();
  uint8_t* const transport = network + recipe.network();
  if (recipe.ipv6) {
    network[0] = 0x60;
    store16(network + 4, total - 40);
    network[6] = static_cast<uint8_t>(recipe.extra ? 60 : protocol);
    network[7] = 64;
    if (recipe.extra) store16(network + 40, protocol << 8 | (recipe.extra / 8 - 1));
    if (recipe.extra) store16(network + 42, 1 << 8 | (recipe.extra - 4));
    std::copy(recipe.addresses.begin(), recipe.addresses.end(), network + 8);
  } else {
    network[0] = static_cast<uint8_t>(0x40 | recipe.network() / 4);
    store16(network + 2, total);
    store16(network + 4, recipe.identification + index);
    network[6] = recipe.dontFragment ? 0x40 : 0;
    network[8] = 64;
    network[9] = static_cast<uint8_t>(protocol);
    std::copy(recipe.addresses.begin(), recipe.addresses.end(), network + 12);
    std::fill(network + 20, transport, 1);
    store16(network + 10, ~slowSum(Bytes(network, transport)));
  }
  std::copy(recipe.ports.begin(), recipe.ports.end(), transport);
  if (recipe.udp) {
    store16(transport + 4, length);
  } else {
    const bool last = to == static_cast<int>(recipe.payload.size());
    store32(transport + 4, recipe.sequence + static_cast<uint32_t>(from));
    store32(transport + 8, 12345);
    transport[12] = static_cast<uint8_t>((20 + recipe.options) / 4 << 4);
    transport[13] = static_cast<uint8_t>(recipe.flags & ~(last ? 0 : FIN | PSH) & ~(index == 0 ? 0 : CWR));
    store16(transport + 14, 501);
    std::fill(transport + 20, transport + 20 + recipe.options, 1);
  }
  packet.insert(packet.end(), recipe.payload.begin() + from, recipe.payload.begin() + to);

  Bytes covered = recipe.addresses;
  const int lengthHigh = length >> 8, lengthLow = length & 255;
  append(&covered, {0, uint8_t(protocol), uint8_t(lengthHigh), uint8_t(lengthLow)});
  if (complete) covered.insert(covered.end(), packet.begin() + recipe.network(), packet.end());
  const uint16_t checksum = complete ? static_cast<uint16_t>(~slowSum(covered)) : slowSum(covered);
  store16(packet.data() + recipe.network() + (recipe.udp ? 6 : 16), recipe.udp && checksum == 0 ? 0xffff : checksum);
  return packet;
}

/** The segments of a super-packet. */
inline std::vector<Bytes> cut(const Recipe& recipe) {
  std::vector<Bytes> segments;
  const int length = static_cast<int>(recipe.payload.size());
  for (int from = 0, index = 0; from < length; from += recipe.size, index++)
    segments.push_back(build(recipe, from, std::min(length, from + recipe.size), index, true));
  return segments;
}

/** Changes the payload of each segment so that its checksum comes out as 0, which UDP sends as 0xffff. */
inline void zeroChecksums(Recipe* recipe) {
  const int length = static_cast<int>(recipe->payload.size());
  for (int from = 0, index = 0; from + 2 <= length; from += recipe->size, index++) {
    const Bytes segment = build(*recipe, from, std::min(length, from + recipe->size), index, true);
    uint8_t* const word = recipe->payload.data() + from;
    const uint8_t* const checksum = segment.data() + recipe->network() + (recipe->udp ? 6 : 16);
    if (recipe->size > 1) store16(word, slowSum({word[0], word[1], 0, 0, checksum[0], checksum[1]}));
  }
}

inline int gsoOf(const Recipe& recipe) { return recipe.udp ? GSO_UDP : recipe.ipv6 ? GSO_TCP6 : GSO_TCP4; }

inline virtio_net_hdr headerOf(const Recipe& recipe, bool super) {
  virtio_net_hdr hdr = {};
  hdr.flags = VIRTIO_NEEDS_CSUM;
  hdr.csum_start = static_cast<uint16_t>(recipe.network());
  hdr.csum_offset = recipe.udp ? 6 : 16;
  if (!super) return hdr;
  hdr.gso_type = static_cast<uint8_t>(gsoOf(recipe) | (recipe.flags & CWR ? VIRTIO_GSO_ECN : 0));
  hdr.gso_size = static_cast<uint16_t>(recipe.size);
  hdr.hdr_len = static_cast<uint16_t>(any.next());
  return hdr;
}

/** Rows, slab and groups of one call, with poison between the packets. */
struct Batch {
  std::vector<int32_t> rows, groups;
  Bytes slab;
  int groupCount = 0;

  void add(const Bytes& packet, int peer = 1, int verdict = 0) {
    const size_t at = slab.size() + 16;
    slab.resize((at + packet.size() + 7) & ~size_t(7));
    std::copy(packet.begin(), packet.end(), slab.begin() + static_cast<long>(at));
    rows.resize(rows.size() + ROW_WORDS, -77);
    int32_t* const row = rows.data() + rows.size() - ROW_WORDS;
    row[OFFSET] = static_cast<int32_t>(at);
    row[LENGTH] = static_cast<int32_t>(packet.size());
    row[PEER] = peer;
    row[VERDICT] = verdict;
  }

  int run(bool allowTcp = true, bool allowUdp = true) {
    static Coalescer coalescer;
    const int count = static_cast<int>(rows.size()) / ROW_WORDS;
    groups.assign(static_cast<size_t>(count) * GROUP_WORDS, -77);
    ASAN_POISON_MEMORY_REGION(slab.data(), slab.size());
    for (int index = 0; index < count; index++) {
      const int32_t* const row = rows.data() + index * ROW_WORDS;
      ASAN_UNPOISON_MEMORY_REGION(slab.data() + row[OFFSET], static_cast<size_t>(row[LENGTH]));
    }
    groupCount = coalescer.run(slab.data(), rows.data(), count, groups.data(), allowTcp, allowUdp);
    return groupCount;
  }

  /** What is written for a group, behind its virtio_net_hdr. */
  Bytes written(int index, virtio_net_hdr* hdr) {
    const int32_t* const group = groups.data() + index * GROUP_WORDS;
    iovec slices[MAX_SLICES];
    CHECK(gather(slab.data(), rows.data(), group, hdr, slices, group[GROUP_COUNT]) == -1);
    CHECK(gather(slab.data(), rows.data(), group, hdr, slices, MAX_SLICES) == group[GROUP_COUNT] + 1);
    CHECK(slices[0].iov_base == hdr && slices[0].iov_len == 10);
    Bytes bytes;
    for (int slice = 1; slice <= group[GROUP_COUNT]; slice++) {
      const uint8_t* const base = static_cast<uint8_t*>(slices[slice].iov_base);
      bytes.insert(bytes.end(), base, base + slices[slice].iov_len);
    }
    CHECK(static_cast<int>(bytes.size()) == group[GROUP_LENGTH]);
    return bytes;
  }

  ~Batch() { ASAN_UNPOISON_MEMORY_REGION(slab.data(), slab.size()); }
};

/** The ring between the threads, against a queue, with other people's writing in it, and with two threads at once. */
void tryRing(int count);

}  // namespace isthmus
