// The TUN device: opened with IFF_VNET_HDR and as many offloads as the kernel has, read and written in batches.
// Linux Documentation/networking/tuntap.rst; struct virtio_net_hdr is VirtIO 1.2 §5.1.6.

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "addon.h"
#include "rows.h"
#include "segment.h"
#include "virtio.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

namespace isthmus {
namespace {

constexpr int MAX_PACKET = 65535;
constexpr int VNET_HEADER = sizeof(virtio_net_hdr);
/** Room kept behind a packet: a segment's padding may be written there. */
constexpr int SLACK = 64;

/** Turns on what the kernel has, most first, and describes the device: { fd, name, vnet, tso, uso }. */
napi_value describe(napi_env env, int fd) {
  ifreq request = {};
  if (ioctl(fd, TUNGETIFF, &request) < 0) return throwErrno(env, "not a TUN device", errno);
  bool vnet = request.ifr_flags & IFF_VNET_HDR;
  constexpr unsigned TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  bool tso = vnet && ioctl(fd, TUNSETOFFLOAD, TSO) == 0;
  bool uso = tso && ioctl(fd, TUNSETOFFLOAD, TSO | TUN_F_USO4 | TUN_F_USO6) == 0;
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) return throwErrno(env, "fcntl", errno);
  napi_value result;
  napi_create_object(env, &result);
  setInt(env, result, "fd", fd);
  setString(env, result, "name", request.ifr_name);
  setBool(env, result, "vnet", vnet);
  setBool(env, result, "tso", tso);
  setBool(env, result, "uso", uso);
  return result;
}

/** openTun(name): creates the device, or attaches to a persistent one; `%d` in the name is the kernel's to fill. */
napi_value openTun(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  ifreq request = {};
  size_t length = 0;
  char name[64] = {};
  napi_get_value_string_utf8(env, arguments.value[0], name, sizeof name, &length);
  if (length == 0 || length >= IFNAMSIZ) return throwErrno(env, "interface name", EINVAL);
  memcpy(request.ifr_name, name, length);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return throwErrno(env, "/dev/net/tun", errno);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd, TUNSETIFF, &request) < 0) {
    int error = errno;
    close(fd);
    return throwErrno(env, name, error);
  }
  napi_value result = describe(env, fd);
  if (!result) close(fd);
  return result;
}

/** adoptTun(fd): a TUN that another process opened and handed over. Programs that are started from here do not get it. */
napi_value adoptTun(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = toInt(env, arguments.value[0]);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return describe(env, fd);
}

/** A socket in the TUN's own network namespace, for questions about its link; it may have been moved after opening. */
int linkSocket(int fd) {
  static int socketFd = -1;
  static ino_t namespaceInode = 0;
  int ns = ioctl(fd, TUNGETDEVNETNS);
  struct stat status = {};
  if (ns >= 0) fstat(ns, &status);
  if (socketFd < 0 || status.st_ino != namespaceInode) {
    int opened = -1;
    if (ns >= 0)
      std::thread([&opened, ns] {
        if (setns(ns, CLONE_NEWNET) == 0) opened = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      }).join();
    if (opened < 0) opened = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socketFd >= 0) close(socketFd);
    socketFd = opened;
    namespaceInode = status.st_ino;
  }
  if (ns >= 0) close(ns);
  return socketFd;
}

/**
 * tunState(fd): { name, up, mtu }, or undefined when the device is gone. Asked rather than listened to: netlink says
 * nothing of a device that was moved to another network namespace.
 */
napi_value tunState(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = toInt(env, arguments.value[0]);
  ifreq request = {};
  if (ioctl(fd, TUNGETIFF, &request) < 0) return nullptr;
  napi_value result;
  napi_create_object(env, &result);
  setString(env, result, "name", request.ifr_name);
  int link = linkSocket(fd);
  setBool(env, result, "up", ioctl(link, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP));
  setInt(env, result, "mtu", ioctl(link, SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0);
  return result;
}

/**
 * readTun(queue, fd, vnet, maxRows): packets into the slab below its reserve and rows, until the TUN is empty or either is full.
 * Returns rows filled, or a negative errno if there is none. A malformed packet fills a row with SEGMENTS 0.
 */
napi_value readTun(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int fd = toInt(env, arguments.value[1]);
  int header = toInt(env, arguments.value[2]) ? VNET_HEADER : 0;
  int maxRows = toInt(env, arguments.value[3]);
  if (!queue) return fromInt(env, -EINVAL);
  if (maxRows > queue->rowCapacity) maxRows = queue->rowCapacity;
  int count = 0, at = 0, error = EAGAIN;
  while (count < maxRows && at + VNET_HEADER + MAX_PACKET + SLACK <= queue->reserve) {
    uint8_t* packet = queue->slab + at + VNET_HEADER;
    ssize_t size = read(fd, packet - header, static_cast<size_t>(header + MAX_PACKET));
    if (size < 0) {
      error = errno;
      break;
    }
    int length = static_cast<int>(size) - header;
    if (length <= 0) continue;
    int32_t* row = queue->rows + count * ROW_WORDS;
    memset(row, 0, ROW_WORDS * 4);
    row[OFFSET] = at + VNET_HEADER;
    virtio_net_hdr virtio = {};
    memcpy(&virtio, packet - header, static_cast<size_t>(header));
    if (inspect(packet, length, &virtio, row) < 0) row[SEGMENTS] = 0;
    count++;
    at = (at + VNET_HEADER + length + SLACK + 63) & ~63;
  }
  queue->clock[0] = bootMilliseconds();
  return fromInt(env, count > 0 ? count : -error);
}

/**
 * writeTun(queue, fd, vnet, groups): writes the groups whose VERDICT is 0, each as one packet. Returns how many were written;
 * status[STATUS_FAILED] counts the packets of those the kernel refused, whose VERDICT becomes -1; STATUS_ERRNO says why the
 * last was.
 */
napi_value writeTun(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int fd = toInt(env, arguments.value[1]);
  bool vnet = toInt(env, arguments.value[2]) != 0;
  int groups = toInt(env, arguments.value[3]);
  if (!queue || !queue->groups || groups < 0 || groups > queue->groupCapacity) return fromInt(env, -EINVAL);
  iovec slices[MAX_SLICES];
  virtio_net_hdr header;
  int written = 0, failed = 0;
  for (int at = 0; at < groups; at++) {
    int32_t* group = queue->groups + at * GROUP_WORDS;
    if (group[GROUP_VERDICT] != 0) continue;
    int count = isSound(queue, group) ? gather(queue->slab, queue->rows, group, &header, slices, MAX_SLICES) : -1;
    int first = vnet ? 0 : 1;
    ssize_t result;
    do result = count < 0 ? (errno = EINVAL, -1) : writev(fd, slices + first, count - first);
    while (result < 0 && errno == EINTR);
    if (result >= 0) {
      written++;
      continue;
    }
    group[GROUP_VERDICT] = -1;
    queue->status[STATUS_ERRNO] = errno;
    failed += count < 0 ? 1 : group[GROUP_COUNT];
  }
  queue->status[STATUS_FAILED] = failed;
  return fromInt(env, written);
}

/**
 * coalesce(queue, count, tso, uso): groups the opened packets of rows [0, count) into runs of one flow of one PEER.
 * Returns the number of groups.
 */
napi_value coalesce(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  int count = toInt(env, arguments.value[1]);
  if (!queue || !queue->coalescer || count < 0 || count > queue->rowCapacity || count > queue->groupCapacity)
    return fromInt(env, -EINVAL);
  for (int at = 0; at < count; at++) {
    int32_t* row = queue->rows + at * ROW_WORDS;
    if (row[OFFSET] < 0 || row[LENGTH] < 0 || row[OFFSET] > queue->slabSize - row[LENGTH]) row[LENGTH] = 0;
  }
  bool tso = toInt(env, arguments.value[2]) != 0, uso = toInt(env, arguments.value[3]) != 0;
  return fromInt(env, queue->coalescer->run(queue->slab, queue->rows, count, queue->groups, tso, uso));
}

}  // namespace

bool isSound(const Queue* queue, const int32_t* group) {
  int at = group[GROUP_FIRST];
  for (int count = group[GROUP_COUNT]; count > 0; count--) {
    if (at < 0 || at >= queue->rowCapacity) return false;
    const int32_t* row = queue->rows + at * ROW_WORDS;
    if (row[OFFSET] < 0 || row[LENGTH] < group[GROUP_HEADER] || row[OFFSET] > queue->slabSize - row[LENGTH]) return false;
    at = row[NEXT];
  }
  return group[GROUP_COUNT] > 0 && group[GROUP_HEADER] >= 0;
}

void registerTun(napi_env env, napi_value exports) {
  exportFunction(env, exports, "openTun", openTun);
  exportFunction(env, exports, "adoptTun", adoptTun);
  exportFunction(env, exports, "tunState", tunState);
  exportFunction(env, exports, "readTun", readTun);
  exportFunction(env, exports, "writeTun", writeTun);
  exportFunction(env, exports, "coalesce", coalesce);
}

}  // namespace isthmus
