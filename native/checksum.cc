#include "checksum.h"

namespace isthmus {

// Compilers make vectors of this loop, and wider ones where the CPU has them. (With AddressSanitizer only the plain
// one: the code that picks a clone runs before the sanitizer has started.)
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#endif
uint64_t sum(const uint8_t* bytes, int length) {
  // Halves of 32 bits added up in 64 cannot overflow, so there are no carries to look after.
  uint64_t total = 0;
  int at = 0;
  for (; at + 8 <= length; at += 8) {
    const uint64_t word = load<uint64_t>(bytes + at);
    total += (word & 0xffffffff) + (word >> 32);
  }
  for (; at + 2 <= length; at += 2) total += load<uint16_t>(bytes + at);
  return at < length ? total + bytes[at] : total;
}

uint64_t pseudoHeader(const uint8_t* packet, int protocol, int length) {
  const bool ipv4 = packet[0] >> 4 == 4;
  const uint64_t addresses = ipv4 ? sum(packet + 12, 8) : sum(packet + 8, 32);
  return addresses + swap16(protocol) + swap16(length);
}

}  // namespace isthmus
