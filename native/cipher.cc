#include "cipher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <cstring>

#ifdef ISTHMUS_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

namespace isthmus {
namespace {

struct Nonce {
  uint8_t bytes[12];
  Nonce(int cipher, uint64_t counter) {
    memset(bytes, 0, 4);
    uint64_t ordered = cipher == AES_256_GCM ? __builtin_bswap64(counter) : counter;
    memcpy(bytes + 4, &ordered, 8);
  }
};

const EVP_CIPHER* fetchCipher(int cipher) {
  static const EVP_CIPHER* chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  static const EVP_CIPHER* aes = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher == AES_256_GCM ? aes : cipher == CHACHA20_POLY1305 ? chacha : nullptr;
}

}  // namespace

#ifdef ISTHMUS_IPSEC_MB
namespace {

constexpr int SCHEDULE_ALIGNMENT = 64;

IMB_MGR* makeLibrary(IMB_ARCH* arch) {
  // For comparison, and for a CPU on which the library should prove wrong.
  if (getenv("ISTHMUS_AEAD") && strcmp(getenv("ISTHMUS_AEAD"), "openssl") == 0) return nullptr;
  IMB_MGR* library = alloc_mb_mgr(0);
  if (!library) return nullptr;
  init_mb_mgr_auto(library, arch);
  // Without AES instructions the library emulates them, slower than OpenSSL.
  bool usable = (library->features & IMB_FEATURE_AESNI) && *arch >= IMB_ARCH_SSE;
  if (!usable) free_mb_mgr(library);
  return usable ? library : nullptr;
}

/** A thread's own: a job is queued in it while it runs. */
struct Library {
  IMB_ARCH arch = IMB_ARCH_NONE;
  IMB_MGR* library = makeLibrary(&arch);
  ~Library() {
    if (library) free_mb_mgr(library);
  }
};

Library& mine() {
  static thread_local Library library;
  return library;
}

IMB_MGR* library() { return mine().library; }

/** The library's direct call, which keeps no state between packets; the tag is written to `tag`. */
void runGcm(const gcm_key_data* schedule, bool seals, const uint8_t* in, int length, const Nonce& nonce, uint8_t* out, uint8_t* tag) {
  static const aes_gcm_enc_dec_t encrypt = library()->gcm256_enc, decrypt = library()->gcm256_dec;
  gcm_context_data context;
  (seals ? encrypt : decrypt)(schedule, &context, out, in, static_cast<uint64_t>(length), nonce.bytes, nullptr, 0, tag, TAG);
}

/** ChaCha20-Poly1305 is faster as a job than by the direct calls, which are made for scattered input. */
bool runChacha(const uint8_t* key, bool seals, const uint8_t* in, int length, const Nonce& nonce, uint8_t* out, uint8_t* tag) {
  IMB_MGR* jobs = library();
  IMB_JOB* job = IMB_GET_NEXT_JOB(jobs);
  job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
  job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
  job->cipher_direction = seals ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
  job->chain_order = seals ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job->enc_keys = job->dec_keys = key;
  job->key_len_in_bytes = 32;
  job->u.CHACHA20_POLY1305.aad = nullptr;
  job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
  job->src = in;
  job->dst = out;
  job->iv = nonce.bytes;
  job->iv_len_in_bytes = sizeof nonce.bytes;
  job->cipher_start_src_offset_in_bytes = 0;
  job->hash_start_src_offset_in_bytes = 0;
  job->msg_len_to_cipher_in_bytes = static_cast<uint64_t>(length);
  job->msg_len_to_hash_in_bytes = static_cast<uint64_t>(length);
  job->auth_tag_output = tag;
  job->auth_tag_output_len_in_bytes = TAG;
  job = IMB_SUBMIT_JOB_NOCHECK(jobs);
  return job && job->status == IMB_STATUS_COMPLETED;
}

}  // namespace

const char* aeadLibrary() {
  switch (library() ? mine().arch : IMB_ARCH_NONE) {
    case IMB_ARCH_AVX512: return "ipsec-mb avx512";
    case IMB_ARCH_AVX2: return "ipsec-mb avx2";
    case IMB_ARCH_AVX: return "ipsec-mb avx";
    case IMB_ARCH_SSE: return "ipsec-mb sse";
    default: return "openssl";
  }
}
#else
const char* aeadLibrary() { return "openssl"; }
#endif

bool CipherKey::set(int cipher, const uint8_t* key, bool seals) {
  wipe();
  cipher_ = cipher;
  seals_ = seals;
  const EVP_CIPHER* algorithm = fetchCipher(cipher);
  if (!algorithm) return false;
#ifdef ISTHMUS_IPSEC_MB
  if (library()) {
    memcpy(key_, key, sizeof key_);
    if (cipher == CHACHA20_POLY1305) return true;
    schedule_ = static_cast<gcm_key_data*>(aligned_alloc(SCHEDULE_ALIGNMENT, (sizeof(gcm_key_data) + 63) & ~size_t{63}));
    if (!schedule_) return false;
    IMB_AES256_GCM_PRE(library(), key, schedule_);
    return true;
  }
#endif
  context_ = EVP_CIPHER_CTX_new();
  return context_ && (seals ? EVP_EncryptInit_ex(context_, algorithm, nullptr, key, nullptr)
                            : EVP_DecryptInit_ex(context_, algorithm, nullptr, key, nullptr)) == 1;
}

void CipherKey::wipe() {
  EVP_CIPHER_CTX_free(context_);
  context_ = nullptr;
  OPENSSL_cleanse(key_, sizeof key_);
#ifdef ISTHMUS_IPSEC_MB
  if (schedule_) OPENSSL_cleanse(schedule_, sizeof *schedule_);
  free(schedule_);
  schedule_ = nullptr;
#endif
}

bool CipherKey::seal(const uint8_t* in, int length, uint64_t counter, uint8_t* out) {
  if (!seals_) return false;
  const Nonce nonce(cipher_, counter);
#ifdef ISTHMUS_IPSEC_MB
  if (!context_) {
    if (cipher_ == CHACHA20_POLY1305) return runChacha(key_, true, in, length, nonce, out, out + length);
    runGcm(schedule_, true, in, length, nonce, out, out + length);
    return true;
  }
#endif
  int written = 0;
  return EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, nonce.bytes) == 1 &&
         (length == 0 || EVP_EncryptUpdate(context_, out, &written, in, length) == 1) &&
         EVP_EncryptFinal_ex(context_, out + length, &written) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, TAG, out + length) == 1;
}

bool CipherKey::open(uint8_t* data, int length, uint64_t counter) {
  if (seals_) return false;
  const Nonce nonce(cipher_, counter);
#ifdef ISTHMUS_IPSEC_MB
  if (!context_) {
    uint8_t tag[TAG];
    if (cipher_ == CHACHA20_POLY1305) {
      if (!runChacha(key_, false, data, length, nonce, data, tag)) return false;
    } else {
      runGcm(schedule_, false, data, length, nonce, data, tag);
    }
    return CRYPTO_memcmp(tag, data + length, TAG) == 0;
  }
#endif
  int written = 0;
  return EVP_DecryptInit_ex(context_, nullptr, nullptr, nullptr, nonce.bytes) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, TAG, data + length) == 1 &&
         (length == 0 || EVP_DecryptUpdate(context_, data, &written, data, length) == 1) &&
         EVP_DecryptFinal_ex(context_, data + length, &written) == 1;
}

}  // namespace isthmus
