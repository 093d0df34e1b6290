// read(2), write(2), pipe2(2), fcntl(2), flock(2), close_range(2, Linux 5.11 for CLOEXEC). read and write block
// unless the descriptor is non-blocking; flock blocks without LOCK_NB.
#include "addon.h"

#include <fcntl.h>
#include <sys/file.h>

static Napi::Value Close(const Napi::CallbackInfo& info) {
  // EINTR too leaves the descriptor closed on Linux: never again.
  int result = close(Fd(info, 0));
  return Result(info.Env(), result < 0 && errno == EINTR ? 0 : result);
}

struct Span {
  uint8_t* data;
  size_t length;
};

// The part of the buffer in argument 1 from offset (2) on, of length (3).
static Span BufferPart(const Napi::CallbackInfo& info) {
  auto buffer = info[1].As<Napi::Uint8Array>();
  auto size = static_cast<int64_t>(buffer.ByteLength());
  int64_t offset = Int(info, 2, 0, size);
  int64_t length = Int(info, 3, 0, size - offset);
  return {buffer.Data() + offset, static_cast<size_t>(length)};
}

static Napi::Value Read(const Napi::CallbackInfo& info) {
  Span part = BufferPart(info);
  int fd = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return read(fd, part.data, part.length); }));
}

static Napi::Value Write(const Napi::CallbackInfo& info) {
  Span part = BufferPart(info);
  int fd = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return write(fd, part.data, part.length); }));
}

static Napi::Value Pipe2(const Napi::CallbackInfo& info) {
  return Result(info.Env(), pipe2(Out<Napi::Int32Array>(info, 1, 2), Flags(info, 0)));
}

static Napi::Value DupCloexec(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fcntl(Fd(info, 0), F_DUPFD_CLOEXEC, Fd(info, 1)));
}

static Napi::Value SetNonblocking(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Result(info.Env(), -1);
  int wanted = Int(info, 1, 0, 1) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return Result(info.Env(), wanted == flags ? 0 : fcntl(fd, F_SETFL, wanted));
}

static Napi::Value IsNonblocking(const Napi::CallbackInfo& info) {
  int flags = fcntl(Fd(info, 0), F_GETFL);
  return Result(info.Env(), flags < 0 ? -1 : (flags & O_NONBLOCK) != 0);
}

static Napi::Value Flock(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  int operation = Flags(info, 1);
  return Result(info.Env(), Retry([&] { return flock(fd, operation); }));
}

static Napi::Value CloseRange(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_close_range, static_cast<unsigned>(Int(info, 0, 0, UINT32_MAX)),
                                    static_cast<unsigned>(Int(info, 1, 0, UINT32_MAX)), Flags(info, 2)));
}

void InitDescriptor(Napi::Env env, Napi::Object exports) {
  exports["close"] = Napi::Function::New(env, Close);
  exports["read"] = Napi::Function::New(env, Read);
  exports["write"] = Napi::Function::New(env, Write);
  exports["pipe2"] = Napi::Function::New(env, Pipe2);
  exports["dupCloexec"] = Napi::Function::New(env, DupCloexec);
  exports["setNonblocking"] = Napi::Function::New(env, SetNonblocking);
  exports["isNonblocking"] = Napi::Function::New(env, IsNonblocking);
  exports["flock"] = Napi::Function::New(env, Flock);
  exports["closeRange"] = Napi::Function::New(env, CloseRange);
}
