// openat2(2). Linux 5.6. Blocks as open(2) does (FIFOs without O_NONBLOCK, network file systems).
#include "addon.h"

#include <linux/openat2.h>

static Napi::Value OpenAt2(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 1);
  open_how how = {};
  how.flags = static_cast<uint64_t>(Int(info, 2, 0, INT32_MAX));
  how.mode = static_cast<uint64_t>(Int(info, 3, 0, 07777));
  how.resolve = static_cast<uint64_t>(Int(info, 4, 0, 0x3f));
  int dirfd = Fd(info, 0);
  return Result(info.Env(), Retry([&] { return syscall(SYS_openat2, dirfd, path.c_str(), &how, sizeof how); }));
}

void InitPath(Napi::Env env, Napi::Object exports) {
  exports["openat2"] = Napi::Function::New(env, OpenAt2);
}
