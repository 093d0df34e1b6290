// prlimit(2). CAP_SYS_RESOURCE to raise a hard limit, or to touch a process of another user. Does not block.
#include "addon.h"

#include <sys/resource.h>

static rlim_t Limit(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  uint64_t limit = info[index].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Napi::Error::Fatal("holdfast core", "a limit is out of range");
  return limit;
}

static Napi::Value Prlimit(const Napi::CallbackInfo& info) {
  rlimit before = {};
  rlimit after = {Limit(info, 3), Limit(info, 4)};
  bool set = info[2].As<Napi::Boolean>().Value();
  auto resource = static_cast<__rlimit_resource>(Int(info, 1, 0, 15));
  if (prlimit(static_cast<pid_t>(Int(info, 0, 0, INT32_MAX)), resource, set ? &after : nullptr, &before) < 0)
    return Result(info.Env(), -1);
  uint64_t* out = Out<Napi::BigUint64Array>(info, 5, 2);
  out[0] = before.rlim_cur;
  out[1] = before.rlim_max;
  return Value(info.Env(), 0);
}

void InitRlimit(Napi::Env env, Napi::Object exports) {
  exports["prlimit"] = Napi::Function::New(env, Prlimit);
}
