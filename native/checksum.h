// The Internet checksum (RFC 1071) and access to the unaligned words of headers.
//
// Sums are ones' complement sums of 16-bit words in the machine's own byte order, not yet folded: the checksum of RFC
// 1071 does not depend on that order as long as it is read and written in the same one, so nothing is swapped but the
// lengths added to it (by `swap16`). A sum of less than 2 GiB leaves room for many more words.
#pragma once

#include <cstdint>
#include <cstring>

namespace isthmus {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio_net_hdr and rows are little-endian");

inline uint16_t swap16(int value) { return __builtin_bswap16(static_cast<uint16_t>(value)); }

/** Words as they lie in memory. */
template <typename Word>
inline Word load(const uint8_t* bytes) {
  Word word;
  memcpy(&word, bytes, sizeof word);
  return word;
}
template <typename Word>
inline void store(uint8_t* bytes, Word word) {
  memcpy(bytes, &word, sizeof word);
}

/** Words in network byte order. */
inline uint16_t load16(const uint8_t* bytes) { return __builtin_bswap16(load<uint16_t>(bytes)); }
inline uint32_t load32(const uint8_t* bytes) { return __builtin_bswap32(load<uint32_t>(bytes)); }
inline void store16(uint8_t* bytes, int value) { store<uint16_t>(bytes, swap16(value)); }
inline void store32(uint8_t* bytes, uint32_t value) { store<uint32_t>(bytes, __builtin_bswap32(value)); }

/** Sum of `length` bytes; an odd last byte counts as if a zero followed. */
uint64_t sum(const uint8_t* bytes, int length);

/** A sum as 16 bits, not complemented. */
inline uint16_t fold(uint64_t sum) {
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<uint16_t>((sum >> 16) + (sum & 0xffff));
}

/** A UDP checksum as it is sent: 0 would mean that there is none (RFC 768). */
inline uint16_t udpChecksum(uint16_t checksum) { return checksum == 0 ? 0xffff : checksum; }

/**
 * Sum of the pseudo-header of a whole IPv4 or IPv6 packet (RFC 9293 3.1, RFC 8200 8.1) for `length` bytes of transport
 * header and payload.
 */
uint64_t pseudoHeader(const uint8_t* packet, int protocol, int length);

}  // namespace isthmus
