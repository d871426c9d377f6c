// Keys in slots that all threads share, wiped when freed.
#pragma once

#include <cstdint>

#include "cipher.h"

namespace isthmus {

/**
 * Holds one key for the length of a batch. A handle names a slot and its generation, so a handle that outlives its key
 * never reaches another key that was put into the same slot: a send counter would meet a foreign key.
 */
class KeyLease {
 public:
  ~KeyLease() { release(); }
  /** Leases `handle`, at no cost if it is the one held. False if the key is gone. */
  bool hold(int32_t handle);
  void release();
  /** As `CipherKey` has it, by the key that is held. */
  bool seal(const uint8_t* in, int length, uint64_t counter, uint8_t* out);
  bool open(uint8_t* data, int length, uint64_t counter);

 private:
  struct Key* key_ = nullptr;
  int32_t handle_ = 0;
};

}  // namespace isthmus
