// unix(7) sockets: SO_PEERCRED, SO_PEERPIDFD (Linux 6.5), SCM_RIGHTS; and sockets made in another network namespace
// (setns(2), CAP_SYS_ADMIN). sendmsg and recvmsg here never block.
#include "addon.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <memory>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <vector>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(Fd(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return Result(info.Env(), -1);
  uint32_t* out = Out<Napi::Uint32Array>(info, 1, 3);
  out[0] = static_cast<uint32_t>(peer.pid);
  out[1] = peer.uid;
  out[2] = peer.gid;
  return Value(info.Env(), 0);
}

static Napi::Value PeerPidfd(const Napi::CallbackInfo& info) {
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (getsockopt(Fd(info, 0), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0) return Result(info.Env(), -1);
  return Value(info.Env(), pidfd);
}

// Of a unix socket: what its peer has not read, with the buffers' overhead. Of a tcp socket: what is not acknowledged.
static Napi::Value UnsentBytes(const Napi::CallbackInfo& info) {
  int bytes = 0;
  if (ioctl(Fd(info, 0), SIOCOUTQ, &bytes) < 0) return Result(info.Env(), -1);
  return Value(info.Env(), bytes);
}

static Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  return Result(info.Env(), socketpair(AF_UNIX, Flags(info, 0) | SOCK_CLOEXEC, 0, Out<Napi::Int32Array>(info, 1, 2)));
}

static Napi::Value Accept(const Napi::CallbackInfo& info) {
  int listener = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
}

static Napi::Value SendMessage(const Napi::CallbackInfo& info) {
  auto data = info[1].As<Napi::Uint8Array>();
  auto fds = info[2].As<Napi::Int32Array>();
  iovec bytes = {data.Data(), data.ByteLength()};
  msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  size_t fdBytes = fds.ElementLength() * sizeof(int);
  std::vector<char> control(fdBytes == 0 ? 0 : CMSG_SPACE(fdBytes));
  if (fdBytes > 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fdBytes);
    memcpy(CMSG_DATA(header), fds.Data(), fdBytes);
  }
  int socket = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); }));
}

// The descriptors of a message, owned until they are handed over.
static std::vector<UniqueFd> ReceivedFds(msghdr* message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

static Napi::Value ReceiveMessage(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto maxBytes = static_cast<size_t>(Int(info, 1, 1, 1 << 24));
  auto maxFds = static_cast<size_t>(Int(info, 2, 0, 253));
  // Not zeroed: that would write to all of it, for a message that is short most of the time.
  std::unique_ptr<char[]> data(new char[maxBytes]);
  std::vector<char> control(CMSG_SPACE(maxFds * sizeof(int)));
  iovec bytes = {data.get(), maxBytes};
  msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  int socket = Fd(info, 0);
  int flags = MSG_CMSG_CLOEXEC | MSG_DONTWAIT | (Int(info, 3, 0, 1) != 0 ? MSG_PEEK : 0);
  ssize_t length = Retry([&] { return recvmsg(socket, &message, flags); });
  if (length < 0) return Result(env, -1);
  std::vector<UniqueFd> fds = ReceivedFds(&message);
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) return Value(env, -EMSGSIZE);  // and `fds` closes what came
  Napi::Object result = Napi::Object::New(env);
  result["data"] = Napi::Buffer<char>::Copy(env, data.get(), static_cast<size_t>(length));
  Napi::Array numbers = Napi::Array::New(env, fds.size());
  for (uint32_t i = 0; i < fds.size(); i++) numbers[i] = Napi::Number::New(env, fds[i].release());
  result["fds"] = numbers;
  return result;
}

// SO_PEEK_OFF: what is peeked next begins there, and moves it on; -1: at the first byte, always.
static Napi::Value SetPeekOffset(const Napi::CallbackInfo& info) {
  int offset = Int(info, 1, -1, INT32_MAX);
  return Result(info.Env(), setsockopt(Fd(info, 0), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset));
}

// The thread's own namespace must be back before anything else runs on it. A thread that stayed behind would do
// everybody else's networking in a container's namespace, so the process ends rather than go on.
static Napi::Value OpenSocketIn(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int family = Flags(info, 1);
  int type = Flags(info, 2) | SOCK_CLOEXEC | (family == AF_NETLINK ? 0 : SOCK_NONBLOCK);
  int protocol = Flags(info, 3);
  if (Int(info, 0, -1, INT32_MAX) < 0) return Result(env, socket(family, type, protocol));  // our own
  if (gettid() != getpid()) return Value(env, -EXDEV);
  UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own) return Result(env, -1);
  if (setns(Fd(info, 0), CLONE_NEWNET) < 0) return Result(env, -1);
  int fd = socket(family, type, family == AF_PACKET ? htons(static_cast<uint16_t>(protocol)) : protocol);
  int error = errno;
  if (setns(own.get(), CLONE_NEWNET) < 0)
    Napi::Error::Fatal("holdfast core", "the thread cannot leave a foreign network namespace");
  return Value(env, fd < 0 ? -error : fd);
}

// bind(2) or connect(2) with a numeric address; EAFNOSUPPORT where it is none of that family.
static Napi::Value WithName(const Napi::CallbackInfo& info, int (*call)(int, const sockaddr*, socklen_t)) {
  int fd = Fd(info, 0);
  std::string address = Text(info, 2);
  uint16_t port = htons(static_cast<uint16_t>(Int(info, 3, 0, 65535)));
  if (Flags(info, 1) == AF_INET6) {
    sockaddr_in6 name = {};
    name.sin6_family = AF_INET6;
    name.sin6_port = port;
    if (inet_pton(AF_INET6, address.c_str(), &name.sin6_addr) != 1) return Value(info.Env(), -EAFNOSUPPORT);
    return Result(info.Env(), call(fd, reinterpret_cast<sockaddr*>(&name), sizeof name));
  }
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_port = port;
  if (inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1) return Value(info.Env(), -EAFNOSUPPORT);
  return Result(info.Env(), call(fd, reinterpret_cast<sockaddr*>(&name), sizeof name));
}

static Napi::Value BindSocket(const Napi::CallbackInfo& info) {
  return WithName(info, bind);
}

static Napi::Value ConnectSocket(const Napi::CallbackInfo& info) {
  return WithName(info, connect);
}

static Napi::Value SetFlag(const Napi::CallbackInfo& info, int level, int option) {
  int on = 1;
  return Result(info.Env(), setsockopt(Fd(info, 0), level, option, &on, sizeof on));
}

static Napi::Value SetReuseAddress(const Napi::CallbackInfo& info) {
  return SetFlag(info, SOL_SOCKET, SO_REUSEADDR);
}

// bind(2) to an address that is not there yet, as 127.0.0.11 while the loopback is down.
static Napi::Value SetFreeBind(const Napi::CallbackInfo& info) {
  return SetFlag(info, IPPROTO_IP, IP_FREEBIND);
}

static Napi::Value SetV6Only(const Napi::CallbackInfo& info) {
  return SetFlag(info, IPPROTO_IPV6, IPV6_V6ONLY);
}

static Napi::Value ListenSocket(const Napi::CallbackInfo& info) {
  return Result(info.Env(), listen(Fd(info, 0), Flags(info, 1)));
}

// netlink(7): what the kernel tells this group comes on this socket too.
static Napi::Value JoinNetlinkGroup(const Napi::CallbackInfo& info) {
  int group = static_cast<int>(Int(info, 1, 1, 1 << 16));
  return Result(info.Env(), setsockopt(Fd(info, 0), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
}

static Napi::Value UnixSocket(const Napi::CallbackInfo& info) {
  return Result(info.Env(), socket(AF_UNIX, Flags(info, 0) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// The facade has checked the length.
static sockaddr_un UnixName(const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path - 1));
  return name;
}

static Napi::Value BindUnix(const Napi::CallbackInfo& info) {
  sockaddr_un name = UnixName(Text(info, 1));
  return Result(info.Env(), bind(Fd(info, 0), reinterpret_cast<sockaddr*>(&name), sizeof name));
}

static Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
  sockaddr_un name = UnixName(Text(info, 1));
  return Result(info.Env(), connect(Fd(info, 0), reinterpret_cast<sockaddr*>(&name), sizeof name));
}

static Napi::Value AcceptSocket(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
}

void InitSocket(Napi::Env env, Napi::Object exports) {
  exports["peerCredentials"] = Napi::Function::New(env, PeerCredentials);
  exports["peerPidfd"] = Napi::Function::New(env, PeerPidfd);
  exports["unsentBytes"] = Napi::Function::New(env, UnsentBytes);
  exports["accept"] = Napi::Function::New(env, Accept);
  exports["socketpair"] = Napi::Function::New(env, SocketPair);
  exports["sendMessage"] = Napi::Function::New(env, SendMessage);
  exports["setPeekOffset"] = Napi::Function::New(env, SetPeekOffset);
  exports["receiveMessage"] = Napi::Function::New(env, ReceiveMessage);
  exports["openSocketIn"] = Napi::Function::New(env, OpenSocketIn);
  exports["bindSocket"] = Napi::Function::New(env, BindSocket);
  exports["connectSocket"] = Napi::Function::New(env, ConnectSocket);
  exports["setReuseAddress"] = Napi::Function::New(env, SetReuseAddress);
  exports["setFreeBind"] = Napi::Function::New(env, SetFreeBind);
  exports["setV6Only"] = Napi::Function::New(env, SetV6Only);
  exports["joinNetlinkGroup"] = Napi::Function::New(env, JoinNetlinkGroup);
  exports["unixSocket"] = Napi::Function::New(env, UnixSocket);
  exports["bindUnix"] = Napi::Function::New(env, BindUnix);
  exports["connectUnix"] = Napi::Function::New(env, ConnectUnix);
  exports["acceptSocket"] = Napi::Function::New(env, AcceptSocket);
  exports["listenSocket"] = Napi::Function::New(env, ListenSocket);
}
