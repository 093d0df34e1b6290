// Datagrams with their peers: recvmsg(2), sendmsg(2), IP_PKTINFO (ip(7)) and IPV6_RECVPKTINFO (ipv6(7)). None of them
// blocks; no capability is needed.
#include "addon.h"

#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

// Who sent a datagram, and to which of our addresses: an answer must come from that one. JavaScript keeps it as bytes.
struct Peer {
  uint32_t nameSize;
  char name[sizeof(sockaddr_in6)];
  // AF_UNSPEC where the socket does not tell.
  uint32_t localFamily;
  unsigned char local[16];
};

union Control {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))];
};

void NoteLocal(msghdr* message, Peer* peer) {
  peer->localFamily = AF_UNSPEC;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo found;
      memcpy(&found, CMSG_DATA(header), sizeof found);
      peer->localFamily = AF_INET;
      memcpy(peer->local, &found.ipi_addr, sizeof found.ipi_addr);
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo found;
      memcpy(&found, CMSG_DATA(header), sizeof found);
      peer->localFamily = AF_INET6;
      memcpy(peer->local, &found.ipi6_addr, sizeof found.ipi6_addr);
    }
  }
}

template <typename Info>
void AddControl(msghdr* message, Control* control, int level, const Info& info) {
  message->msg_control = control->bytes;
  message->msg_controllen = CMSG_SPACE(sizeof info);
  cmsghdr* header = CMSG_FIRSTHDR(message);
  header->cmsg_level = level;
  header->cmsg_type = level == IPPROTO_IP ? IP_PKTINFO : IPV6_PKTINFO;
  header->cmsg_len = CMSG_LEN(sizeof info);
  memcpy(CMSG_DATA(header), &info, sizeof info);
}

// The interface stays open: routing finds it, and a link-local peer's name has its scope.
void AnswerFromLocal(msghdr* message, Control* control, const Peer& peer) {
  if (peer.localFamily == AF_INET) {
    in_pktinfo info = {};
    memcpy(&info.ipi_spec_dst, peer.local, sizeof info.ipi_spec_dst);
    AddControl(message, control, IPPROTO_IP, info);
  } else if (peer.localFamily == AF_INET6) {
    in6_pktinfo info = {};
    memcpy(&info.ipi6_addr, peer.local, sizeof info.ipi6_addr);
    AddControl(message, control, IPPROTO_IPV6, info);
  }
}

Napi::Value PeerSize(const Napi::CallbackInfo& info) {
  return Value(info.Env(), sizeof(Peer));
}

// The datagram's whole length, which is more than the buffer's where it was cut.
Napi::Value ReceiveFrom(const Napi::CallbackInfo& info) {
  auto data = info[1].As<Napi::Uint8Array>();
  auto* out = Out<Napi::Uint8Array>(info, 2, sizeof(Peer));
  Peer peer = {};
  Control control = {};
  iovec bytes = {data.Data(), data.ByteLength()};
  msghdr message = {};
  message.msg_name = peer.name;
  message.msg_namelen = sizeof peer.name;
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  int socket = Fd(info, 0);
  ssize_t length = Retry([&] { return recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC); });
  if (length < 0) return Result(info.Env(), -1);
  peer.nameSize = message.msg_namelen;
  NoteLocal(&message, &peer);
  memcpy(out, &peer, sizeof peer);
  return Value(info.Env(), length);
}

// Without a peer: to whom the socket is connected.
Napi::Value SendTo(const Napi::CallbackInfo& info) {
  auto data = info[1].As<Napi::Uint8Array>();
  Peer peer = {};
  Control control = {};
  iovec bytes = {data.Data(), data.ByteLength()};
  msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (info[2].IsTypedArray()) {
    memcpy(&peer, Out<Napi::Uint8Array>(info, 2, sizeof peer), sizeof peer);
    if (peer.nameSize > sizeof peer.name) Napi::Error::Fatal("holdfast core", "a peer is malformed");
    message.msg_name = peer.name;
    message.msg_namelen = peer.nameSize;
    AnswerFromLocal(&message, &control, peer);
  }
  int socket = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); }));
}

Napi::Value TellLocalAddress(const Napi::CallbackInfo& info) {
  int on = 1;
  int fd = Fd(info, 0);
  if (Flags(info, 1) == AF_INET6)
    return Result(info.Env(), setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on));
  return Result(info.Env(), setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
}

}  // namespace

void InitDatagram(Napi::Env env, Napi::Object exports) {
  exports["peerSize"] = Napi::Function::New(env, PeerSize);
  exports["receiveFrom"] = Napi::Function::New(env, ReceiveFrom);
  exports["sendTo"] = Napi::Function::New(env, SendTo);
  exports["tellLocalAddress"] = Napi::Function::New(env, TellLocalAddress);
}
