// One AEAD key in one direction: Intel's multi-buffer library where it was found at build and the CPU has what it needs,
// else OpenSSL's EVP as the node binary exports it. Which one is decided once, at run time.
#pragma once

#include <cstdint>

typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
struct gcm_key_data;

namespace isthmus {

enum Cipher { CHACHA20_POLY1305 = 1, AES_256_GCM = 2 };
constexpr int TAG = 16;

/** The library that seals and opens: "ipsec-mb", with the CPU's instruction set, or "openssl". */
const char* aeadLibrary();

/** A key's schedule. Not thread-safe. */
class CipherKey {
 public:
  CipherKey() = default;
  CipherKey(const CipherKey&) = delete;
  ~CipherKey() { wipe(); }
  /** Takes a 32-byte key, in the place of any before. False if the cipher is not there. */
  bool set(int cipher, const uint8_t* key, bool seals);
  /** Overwrites the key and all that was derived from it. */
  void wipe();
  /**
   * Encrypts `length` bytes to `out`, tag behind them. The nonce is built from the counter: little-endian for
   * ChaCha20-Poly1305 (RFC 8439, as WireGuard uses it), big-endian for AES-GCM (Noise §12.4), after four zero bytes.
   */
  bool seal(const uint8_t* in, int length, uint64_t counter, uint8_t* out);
  /** Decrypts in place `length` bytes, the tag being behind them. False if it is wrong; the bytes are then worthless. */
  bool open(uint8_t* data, int length, uint64_t counter);

 private:
  int cipher_ = 0;
  bool seals_ = false;
  EVP_CIPHER_CTX* context_ = nullptr;  // OpenSSL
  uint8_t key_[32] = {};               // multi-buffer library, ChaCha20-Poly1305
  gcm_key_data* schedule_ = nullptr;         // multi-buffer library, AES-256-GCM
};

}  // namespace isthmus
