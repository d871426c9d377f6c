// The underlay: one UDP socket for IPv4 and IPv6, received with UDP_GRO and sent with UDP_SEGMENT in batches, answering
// from the address that was written to (sticky source).

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

#include "addon.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace isthmus {
namespace {

constexpr int ENDPOINT_WORDS = 12;
constexpr int SOCKET_BUFFER = 16 << 20;
constexpr int RECEIVE_BUFFER = 65536;
constexpr int MAX_RECEIVES = 32;
constexpr int MAX_SENDS = 64;

/** As TypeScript has it (wire/endpoint.ts): address words in network order once stored, IPv4 mapped. */
struct Endpoint {
  int32_t word[ENDPOINT_WORDS];
  bool isMapped() const { return word[0] == 0 && word[1] == 0 && word[2] == 0xffff; }
  bool hasLocal() const { return word[6] | word[7] | word[8] | word[9]; }
};

// Endpoints by slot, written by the thread that learns of a new one and read by the one that sends.
std::mutex endpointsMutex;
std::vector<Endpoint> endpoints;

void putAddress(const int32_t* words, in6_addr* out) {
  for (int at = 0; at < 4; at++) {
    uint32_t ordered = htonl(static_cast<uint32_t>(words[at]));
    memcpy(reinterpret_cast<uint8_t*>(out) + at * 4, &ordered, 4);
  }
}

void takeAddress(const in6_addr& in, int32_t* words) {
  for (int at = 0; at < 4; at++) {
    uint32_t ordered;
    memcpy(&ordered, reinterpret_cast<const uint8_t*>(&in) + at * 4, 4);
    words[at] = static_cast<int32_t>(ntohl(ordered));
  }
}

int socketFamily(int fd) {
  int family = 0;
  socklen_t size = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return family;
}

void forceBuffer(int fd, int force, int ordinary) {
  int size = SOCKET_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) < 0) setsockopt(fd, SOL_SOCKET, ordinary, &size, sizeof size);
}

/** Binds to `port` (0: any) on `words` (null: every address). Returns the fd or a negative errno. */
int bindSocket(const int32_t* words, int port, int family) {
  int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int off = 0, result;
  if (family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(static_cast<uint16_t>(port));
    if (words) putAddress(words, &address.sin6_addr);
    result = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (words) address.sin_addr.s_addr = htonl(static_cast<uint32_t>(words[3]));
    result = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  if (result == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

/**
 * openUdp(port, mark, address?): { fd, port, gso, gro }. Both families on one socket; IPv4 alone where the kernel has
 * no IPv6. `address`: four words, to listen on one address only.
 */
napi_value openUdp(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  int port = toInt(env, arguments.value[0]), mark = toInt(env, arguments.value[1]);
  size_t length = 0;
  const int32_t* words = reinterpret_cast<const int32_t*>(toBytes(env, arguments.value[2], &length));
  if (length < 16) words = nullptr;
  int fd = bindSocket(words, port, AF_INET6);
  if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) fd = bindSocket(words, port, AF_INET);
  if (fd < 0) return throwErrno(env, "UDP socket", -fd);

  int on = 1, omit = IP_PMTUDISC_OMIT;
  timeval patience = {0, 100000};
  forceBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  forceBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  // A full send buffer holds the sender back, and so the TUN's queue, but never for good.
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  // As with the kernel's WireGuard routers may cut a datagram. Else it takes one ICMP error, from anyone, to have this host
  // cut them all for ten minutes. Over IPv6 routers don't, and the errors have to be believed.
  setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof omit);
  if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) {
    int error = errno;
    close(fd);
    return throwErrno(env, "fwmark", error);
  }
  if (socketFamily(fd) == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  else setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  int segment = 0;
  socklen_t size = sizeof segment;
  bool gso = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &size) == 0;
  bool gro = setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;

  sockaddr_storage bound = {};
  size = sizeof bound;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  napi_value result;
  napi_create_object(env, &result);
  setInt(env, result, "fd", fd);
  setInt(env, result, "port", ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port));
  setBool(env, result, "gso", gso);
  setBool(env, result, "gro", gro);
  return result;
}

/** setMark(fd, mark): 0 or a negative errno. */
napi_value setMark(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int mark = toInt(env, arguments.value[1]);
  int result = setsockopt(toInt(env, arguments.value[0]), SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  return fromInt(env, result < 0 ? -errno : 0);
}

/** setEndpoint(slot, words): where a peer is from now on; all zero for nowhere. */
napi_value setEndpoint(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int slot = toInt(env, arguments.value[0]);
  size_t length = 0;
  const uint8_t* words = toBytes(env, arguments.value[1], &length);
  if (slot < 0 || slot >= 1 << 20 || !words || length < sizeof(Endpoint)) return throwErrno(env, "setEndpoint", EINVAL);
  std::lock_guard<std::mutex> lock(endpointsMutex);
  if (static_cast<size_t>(slot) >= endpoints.size()) endpoints.resize(static_cast<size_t>(slot) + 64);
  memcpy(&endpoints[static_cast<size_t>(slot)], words, sizeof(Endpoint));
  return nullptr;
}

/** getEndpoint(slot, out): copies the endpoint of a slot; false if the peer is nowhere. */
napi_value getEndpoint(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  size_t slot = static_cast<size_t>(toInt(env, arguments.value[0])), length = 0;
  uint8_t* out = toBytes(env, arguments.value[1], &length);
  std::lock_guard<std::mutex> lock(endpointsMutex);
  bool known = out && length >= sizeof(Endpoint) && slot < endpoints.size() && endpoints[slot].word[4] != 0;
  if (known) memcpy(out, &endpoints[slot], sizeof(Endpoint));
  napi_value result;
  napi_get_boolean(env, known, &result);
  return result;
}

Endpoint endpointOf(int slot) {
  std::lock_guard<std::mutex> lock(endpointsMutex);
  return slot >= 0 && static_cast<size_t>(slot) < endpoints.size() ? endpoints[static_cast<size_t>(slot)] : Endpoint{};
}

/** Lets the kernel choose the source again, unless the peer has moved meanwhile. */
void forgetLocal(int slot, const Endpoint& seen) {
  std::lock_guard<std::mutex> lock(endpointsMutex);
  if (slot < 0 || static_cast<size_t>(slot) >= endpoints.size()) return;
  Endpoint& now = endpoints[static_cast<size_t>(slot)];
  if (memcmp(&now, &seen, sizeof now) == 0) memset(now.word + 6, 0, 5 * sizeof(int32_t));
}

/** One message to send: its address, its control data, its bytes. */
struct Outgoing {
  sockaddr_in6 name6;
  sockaddr_in name4;
  iovec data;
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

void prepare(msghdr* message, Outgoing* out, const Endpoint& endpoint, int family, uint8_t* bytes, size_t length, int segment,
             bool withLocal) {
  memset(message, 0, sizeof *message);
  out->data = {bytes, length};
  message->msg_iov = &out->data;
  message->msg_iovlen = 1;
  if (family == AF_INET6) {
    out->name6 = {};
    out->name6.sin6_family = AF_INET6;
    out->name6.sin6_port = htons(static_cast<uint16_t>(endpoint.word[4]));
    out->name6.sin6_scope_id = static_cast<uint32_t>(endpoint.word[5]);
    putAddress(endpoint.word, &out->name6.sin6_addr);
    message->msg_name = &out->name6;
    message->msg_namelen = sizeof out->name6;
  } else {
    out->name4 = {};
    out->name4.sin_family = AF_INET;
    out->name4.sin_port = htons(static_cast<uint16_t>(endpoint.word[4]));
    out->name4.sin_addr.s_addr = htonl(static_cast<uint32_t>(endpoint.word[3]));
    message->msg_name = &out->name4;
    message->msg_namelen = sizeof out->name4;
  }
  size_t used = 0;
  message->msg_control = out->control;
  message->msg_controllen = sizeof out->control;
  cmsghdr* control = CMSG_FIRSTHDR(message);
  if (withLocal && endpoint.hasLocal()) {
    if (family == AF_INET6) {
      in6_pktinfo source = {};
      putAddress(endpoint.word + 6, &source.ipi6_addr);
      // A link-local source means nothing without its link; any other leaves the way out to the routing table.
      if ((static_cast<uint32_t>(endpoint.word[6]) >> 22) == 0xfe80u >> 6) source.ipi6_ifindex = static_cast<unsigned>(endpoint.word[10]);
      control->cmsg_level = IPPROTO_IPV6;
      control->cmsg_type = IPV6_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof source);
      memcpy(CMSG_DATA(control), &source, sizeof source);
      used += CMSG_SPACE(sizeof source);
    } else {
      in_pktinfo source = {};
      source.ipi_spec_dst.s_addr = htonl(static_cast<uint32_t>(endpoint.word[9]));
      control->cmsg_level = IPPROTO_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof source);
      memcpy(CMSG_DATA(control), &source, sizeof source);
      used += CMSG_SPACE(sizeof source);
    }
    control = reinterpret_cast<cmsghdr*>(out->control + used);
  }
  if (segment > 0) {
    uint16_t size = static_cast<uint16_t>(segment);
    control->cmsg_level = IPPROTO_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(control), &size, sizeof size);
    used += CMSG_SPACE(sizeof size);
  }
  message->msg_controllen = used;
  if (used == 0) message->msg_control = nullptr;
}

/** Sends one message, without the sticky source if the kernel no longer takes it. Returns 0 or an errno. */
int sendOne(int fd, int family, int slot, Endpoint& endpoint, uint8_t* bytes, size_t length, int segment) {
  for (bool withLocal : {true, false}) {
    msghdr message;
    Outgoing out;
    prepare(&message, &out, endpoint, family, bytes, length, segment, withLocal);
    ssize_t sent;
    do sent = sendmsg(fd, &message, 0);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
      if (!withLocal) {
        forgetLocal(slot, endpoint);
        memset(endpoint.word + 6, 0, 5 * sizeof(int32_t));
      }
      return 0;
    }
    if (!endpoint.hasLocal() || (errno != EINVAL && errno != EADDRNOTAVAIL && errno != ENETUNREACH && errno != ENODEV)) break;
  }
  return errno;
}

/** Sends a run by all means: as one, then datagram by datagram. Returns datagrams that could not be sent. */
int sendRunSlowly(Queue* queue, int fd, int family, int32_t* run) {
  Endpoint endpoint = endpointOf(run[RUN_ENDPOINT]);
  uint8_t* bytes = queue->sealed + run[RUN_OFFSET];
  if (run[RUN_COUNT] > 1) {
    int error = sendOne(fd, family, run[RUN_ENDPOINT], endpoint, bytes, static_cast<size_t>(run[RUN_LENGTH]), run[RUN_SEGMENT]);
    if (error == 0) return 0;
    // EIO: the interface can't do checksums, and so no segmentation, ever. EINVAL, EMSGSIZE: not for this size of segment.
    if (error == EIO) queue->status[STATUS_GSO_OFF] = 1;
    else if (error != EINVAL && error != EMSGSIZE) {
      queue->status[STATUS_ERRNO] = error;
      return run[RUN_COUNT];
    }
  }
  int failed = 0;
  for (int at = 0; at < run[RUN_LENGTH]; at += run[RUN_SEGMENT]) {
    int left = run[RUN_LENGTH] - at;
    size_t length = static_cast<size_t>(left < run[RUN_SEGMENT] ? left : run[RUN_SEGMENT]);
    int error = sendOne(fd, family, run[RUN_ENDPOINT], endpoint, bytes + at, length, 0);
    if (error != 0) {
      queue->status[STATUS_ERRNO] = error;
      failed++;
    }
  }
  return failed;
}

/** socketFamily(fd): AF_INET or AF_INET6; 0 of no socket. */
napi_value socketFamilyOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  return fromInt(env, socketFamily(toInt(env, arguments.value[0])));
}

/**
 * send(queue, fd, family): sends the sealed runs and empties them. Returns datagrams handed to the kernel; status[STATUS_FAILED]
 * counts those it refused, and RUN_UNSENT each run's; STATUS_ERRNO says why the last was, STATUS_GSO_OFF that the socket can't segment.
 */
napi_value send(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int fd = toInt(env, arguments.value[1]), family = toInt(env, arguments.value[2]);
  if (!queue || !queue->sealed) return fromInt(env, -EINVAL);
  int sent = 0, failed = 0;
  static thread_local mmsghdr messages[MAX_SENDS];
  static thread_local Outgoing outgoing[MAX_SENDS];
  for (int at = 0; at < queue->runCount;) {
    int count = 0;
    Endpoint endpoint = {};
    int slot = -1;
    for (; count < MAX_SENDS && at + count < queue->runCount; count++) {
      int32_t* run = queue->table + (at + count) * RUN_WORDS;
      if (run[RUN_ENDPOINT] != slot) endpoint = endpointOf(slot = run[RUN_ENDPOINT]);
      prepare(&messages[count].msg_hdr, &outgoing[count], endpoint, family, queue->sealed + run[RUN_OFFSET],
              static_cast<size_t>(run[RUN_LENGTH]), run[RUN_COUNT] > 1 ? run[RUN_SEGMENT] : 0, true);
    }
    int accepted = sendmmsg(fd, messages, static_cast<unsigned>(count), 0);
    if (accepted < 0 && errno == EINTR) continue;
    for (int done = 0; done < accepted; done++) {
      int32_t* run = queue->table + (at + done) * RUN_WORDS;
      run[RUN_UNSENT] = 0;
      sent += run[RUN_COUNT];
    }
    at += accepted > 0 ? accepted : 0;
    if (accepted > 0 || at == queue->runCount) continue;
    int32_t* run = queue->table + at * RUN_WORDS;
    int lost = sendRunSlowly(queue, fd, family, run);
    run[RUN_UNSENT] = lost;
    failed += lost;
    sent += run[RUN_COUNT] - lost;
    at++;
  }
  queue->runCount = 0;
  queue->sealedUsed = 0;
  queue->status[STATUS_RUNS] = 0;
  queue->status[STATUS_FAILED] = failed;
  return fromInt(env, sent);
}

/** sendDatagram(fd, slot, words, bytes): one datagram to an endpoint (slot -1: not a peer's). 0 or a negative errno. */
napi_value sendDatagram(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  size_t wordsLength = 0, length = 0;
  int fd = toInt(env, arguments.value[0]);
  const uint8_t* words = toBytes(env, arguments.value[2], &wordsLength);
  uint8_t* bytes = toBytes(env, arguments.value[3], &length);
  if (!words || wordsLength < sizeof(Endpoint) || !bytes) return fromInt(env, -EINVAL);
  Endpoint endpoint;
  memcpy(&endpoint, words, sizeof endpoint);
  return fromInt(env, -sendOne(fd, socketFamily(fd), toInt(env, arguments.value[1]), endpoint, bytes, length, 0));
}

void readControl(msghdr* message, int32_t* buffer) {
  for (cmsghdr* control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      int segment;
      memcpy(&segment, CMSG_DATA(control), sizeof segment);
      if (segment > 0 && segment < buffer[BUFFER_LENGTH]) buffer[BUFFER_SEGMENT] = segment;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo source;
      memcpy(&source, CMSG_DATA(control), sizeof source);
      takeAddress(source.ipi6_addr, buffer + BUFFER_ENDPOINT + 6);
      buffer[BUFFER_ENDPOINT + 10] = static_cast<int32_t>(source.ipi6_ifindex);
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo source;
      memcpy(&source, CMSG_DATA(control), sizeof source);
      buffer[BUFFER_ENDPOINT + 8] = 0xffff;
      buffer[BUFFER_ENDPOINT + 9] = static_cast<int32_t>(ntohl(source.ipi_addr.s_addr));
      buffer[BUFFER_ENDPOINT + 10] = source.ipi_ifindex;
    }
  }
}

/**
 * receive(queue, fd, maxBuffers): what has come, without waiting, each buffer of 64 KiB at its own place in the slab.
 * Returns buffers filled or a negative errno.
 */
napi_value receive(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int fd = toInt(env, arguments.value[1]), max = toInt(env, arguments.value[2]);
  if (!queue) return fromInt(env, -EINVAL);
  if (max > MAX_RECEIVES) max = MAX_RECEIVES;
  if (max > queue->tableCapacity) max = queue->tableCapacity;
  if (max > queue->slabSize / RECEIVE_BUFFER) max = queue->slabSize / RECEIVE_BUFFER;
  mmsghdr messages[MAX_RECEIVES];
  sockaddr_in6 names[MAX_RECEIVES];
  iovec data[MAX_RECEIVES];
  alignas(cmsghdr) uint8_t controls[MAX_RECEIVES][128];
  for (int at = 0; at < max; at++) {
    data[at] = {queue->slab + at * RECEIVE_BUFFER, RECEIVE_BUFFER};
    messages[at].msg_hdr = {&names[at], sizeof names[at], &data[at], 1, controls[at], sizeof controls[at], 0};
  }
  int count = recvmmsg(fd, messages, static_cast<unsigned>(max), MSG_DONTWAIT, nullptr);
  queue->clock[0] = bootMilliseconds();
  if (count < 0) return fromInt(env, -errno);
  for (int at = 0; at < count; at++) {
    int32_t* buffer = queue->table + at * BUFFER_WORDS;
    memset(buffer, 0, BUFFER_WORDS * sizeof(int32_t));
    int length = static_cast<int>(messages[at].msg_len);
    buffer[BUFFER_OFFSET] = at * RECEIVE_BUFFER;
    buffer[BUFFER_LENGTH] = length;
    buffer[BUFFER_SEGMENT] = length;
    if (names[at].sin6_family == AF_INET6) {
      takeAddress(names[at].sin6_addr, buffer + BUFFER_ENDPOINT);
      buffer[BUFFER_ENDPOINT + 5] = static_cast<int32_t>(names[at].sin6_scope_id);
    } else {
      sockaddr_in address;
      memcpy(&address, &names[at], sizeof address);
      buffer[BUFFER_ENDPOINT + 2] = 0xffff;
      buffer[BUFFER_ENDPOINT + 3] = static_cast<int32_t>(ntohl(address.sin_addr.s_addr));
    }
    buffer[BUFFER_ENDPOINT + 4] = ntohs(names[at].sin6_port);
    readControl(&messages[at].msg_hdr, buffer);
  }
  return fromInt(env, count);
}

}  // namespace

void registerUdp(napi_env env, napi_value exports) {
  exportFunction(env, exports, "openUdp", openUdp);
  exportFunction(env, exports, "setMark", setMark);
  exportFunction(env, exports, "setEndpoint", setEndpoint);
  exportFunction(env, exports, "getEndpoint", getEndpoint);
  exportFunction(env, exports, "socketFamily", socketFamilyOf);
  exportFunction(env, exports, "send", send);
  exportFunction(env, exports, "sendDatagram", sendDatagram);
  exportFunction(env, exports, "receive", receive);
}

}  // namespace isthmus
