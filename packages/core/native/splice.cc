// splice(2), ioctl_fionread(2). SPLICE_F_NONBLOCK keeps the pipe side from blocking; a blocking file or
// socket on the other side of splice may still.
#include "addon.h"

#include <fcntl.h>
#include <sys/ioctl.h>

static Napi::Value Splice(const Napi::CallbackInfo& info) {
  int from = Fd(info, 0), to = Fd(info, 1);
  auto length = static_cast<size_t>(Int(info, 2, 1, INT32_MAX));
  return Result(info.Env(), Retry([&] { return splice(from, nullptr, to, nullptr, length, SPLICE_F_NONBLOCK); }));
}

static Napi::Value Fionread(const Napi::CallbackInfo& info) {
  int count = 0;
  if (ioctl(Fd(info, 0), FIONREAD, &count) < 0) return Result(info.Env(), -1);
  return Value(info.Env(), count);
}

void InitSplice(Napi::Env env, Napi::Object exports) {
  exports["splice"] = Napi::Function::New(env, Splice);
  exports["fionread"] = Napi::Function::New(env, Fionread);
}
