// Waiting and waking, and the few system calls that Node has no function for.

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "addon.h"

namespace isthmus {
namespace {

enum Event { EVENT_READY = 1, EVENT_WOKEN = 2, EVENT_ERROR = 4 };

/** createWake(): an eventfd that ends another thread's wait. */
napi_value createWake(napi_env env, napi_callback_info) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? throwErrno(env, "eventfd", errno) : fromInt(env, fd);
}

/** wake(fd): a wait on it, running or the next, returns. */
napi_value wake(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  uint64_t one = 1;
  ssize_t size = write(toInt(env, arguments.value[0]), &one, sizeof one);
  return fromInt(env, size < 0 ? -errno : 0);
}

/**
 * wait(queue, fd, wakeFd, milliseconds): until fd (-1: none) can be read, wakeFd is woken, or the time is over.
 * Returns EVENT bits, 0 after the time.
 */
napi_value wait(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Queue* queue = toQueue(env, arguments.value[0]);
  if (!queue) return fromInt(env, -EINVAL);
  pollfd polls[2] = {{toInt(env, arguments.value[2]), POLLIN, 0}, {toInt(env, arguments.value[1]), POLLIN, 0}};
  int ready = poll(polls, 2, toInt(env, arguments.value[3]));
  queue->clock[0] = bootMilliseconds();
  if (ready < 0) return fromInt(env, errno == EINTR ? 0 : -errno);
  int events = 0;
  if (polls[0].revents) {
    uint64_t count;
    if (read(polls[0].fd, &count, sizeof count) > 0) events |= EVENT_WOKEN;
  }
  if (polls[1].revents & POLLIN) events |= EVENT_READY;
  if (polls[1].revents & (POLLERR | POLLHUP | POLLNVAL)) events |= EVENT_ERROR;
  return fromInt(env, events);
}

/** pause(microseconds): sleeps, to the microsecond; the kernel's default slack of 50 µs is switched off for the thread. */
napi_value pauseThread(napi_env env, napi_callback_info info) {
  static thread_local bool isPrecise = prctl(PR_SET_TIMERSLACK, 1) == 0;
  (void)isPrecise;
  Arguments<1> arguments(env, info);
  timespec time = {0, toInt(env, arguments.value[0]) * 1000L};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  return nullptr;
}

/** yieldCpu(): lets a thread that is ready run first; cheaper than a wait that is over at once. */
napi_value yieldCpu(napi_env, napi_callback_info) {
  sched_yield();
  return nullptr;
}

/** What `sched_setattr` takes (linux/sched/types.h, which clashes with sched.h); its first version, which all kernels know. */
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

/** The shortest turn that the scheduler gives, ns; kernels before 6.12 have one length for all and ignore it. */
constexpr uint64_t SHORT_TURN = 100'000;

/**
 * schedule(bulk): how the kernel is to schedule this thread. For bulk: SCHED_BATCH, under which a thread that is woken
 * does not interrupt whoever runs, so that packets gather. Else at once and in short turns. Its niceness stays as it is.
 * Returns 0 or a negative errno.
 */
napi_value schedule(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  bool bulk = false;
  napi_get_value_bool(env, arguments.value[0], &bulk);
  SchedulingAttributes attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) return fromInt(env, -errno);
  attributes.size = sizeof attributes;
  attributes.policy = bulk ? SCHED_BATCH : SCHED_OTHER;
  attributes.runtime = bulk ? 0 : SHORT_TURN;
  return fromInt(env, syscall(SYS_sched_setattr, 0, &attributes, 0) < 0 ? -errno : 0);
}

/** bootTime(): milliseconds of CLOCK_BOOTTIME, the clock of all queues. It goes on while the machine sleeps, as keys age. */
napi_value bootTime(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_double(env, bootMilliseconds(), &result);
  return result;
}

/** closeFd(fd). */
napi_value closeFd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  close(toInt(env, arguments.value[0]));
  return nullptr;
}

/** listenUnix(path): the fd of a listening stream socket that only its owner may use (umask 077). */
napi_value listenUnix(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  size_t length = 0;
  napi_get_value_string_utf8(env, arguments.value[0], address.sun_path, sizeof address.sun_path, &length);
  if (length == 0 || length >= sizeof address.sun_path - 1) return throwErrno(env, "listenUnix", ENAMETOOLONG);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throwErrno(env, "socket", errno);
  mode_t mask = umask(077);
  int bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  umask(mask);
  if (bound < 0 || listen(fd, 128) < 0) {
    error = bound < 0 ? error : errno;
    close(fd);
    return throwErrno(env, address.sun_path, error);
  }
  return fromInt(env, fd);
}

/** The address of a socket by its path; one that begins with `@` has a name and no file. False if it is too long or empty. */
bool toAddress(const char* path, size_t length, sockaddr_un* address, socklen_t* size) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (length == 0 || length >= sizeof address->sun_path) return false;
  memcpy(address->sun_path, path, length);
  *size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + 1);
  if (path[0] != '@') return true;
  address->sun_path[0] = '\0';
  (*size)--;
  return true;
}

/**
 * notify(path, text, fd): sends one datagram to a unix socket, with a descriptor (-1: none) for its reader; Node has no
 * such sockets. Waits a second at most for a reader that is behind. Returns 0 or a negative errno.
 */
napi_value notify(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  char path[sizeof(sockaddr_un::sun_path) + 1];
  char text[2048];
  size_t pathLength = 0, textLength = 0;
  napi_get_value_string_utf8(env, arguments.value[0], path, sizeof path, &pathLength);
  napi_get_value_string_utf8(env, arguments.value[1], text, sizeof text, &textLength);
  int passed = toInt(env, arguments.value[2]);
  sockaddr_un address;
  msghdr message = {};
  if (!toAddress(path, pathLength, &address, &message.msg_namelen)) return fromInt(env, -EINVAL);
  message.msg_name = &address;
  iovec content = {text, textLength};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (passed >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof passed);
  }
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fromInt(env, -errno);
  timeval patience = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int result = sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
  close(fd);
  return fromInt(env, result);
}

}  // namespace

void registerSystem(napi_env env, napi_value exports) {
  exportFunction(env, exports, "createWake", createWake);
  exportFunction(env, exports, "wake", wake);
  exportFunction(env, exports, "wait", wait);
  exportFunction(env, exports, "pause", pauseThread);
  exportFunction(env, exports, "yieldCpu", yieldCpu);
  exportFunction(env, exports, "schedule", schedule);
  exportFunction(env, exports, "bootTime", bootTime);
  exportFunction(env, exports, "closeFd", closeFd);
  exportFunction(env, exports, "listenUnix", listenUnix);
  exportFunction(env, exports, "notify", notify);
}

}  // namespace isthmus
