// AEAD by OpenSSL's EVP, as the node binary exports it, with keys in slots that are wiped when freed.
#pragma once

#include <cstdint>

typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;

namespace isthmus {

enum Cipher { CHACHA20_POLY1305 = 1, AES_256_GCM = 2 };
constexpr int TAG = 16;

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
  /**
   * Encrypts `length` bytes to `out`, tag behind them. The nonce is built from the counter: little-endian for
   * ChaCha20-Poly1305 (RFC 8439, as WireGuard uses it), big-endian for AES-GCM (Noise §12.4), after four zero bytes.
   */
  bool seal(const uint8_t* in, int length, uint64_t counter, uint8_t* out);
  /** Decrypts in place `length` bytes, tag excluded but present behind them. False if the tag is wrong. */
  bool open(uint8_t* data, int length, uint64_t counter);

 private:
  struct Key* key_ = nullptr;
  int32_t handle_ = 0;
};

}  // namespace isthmus
