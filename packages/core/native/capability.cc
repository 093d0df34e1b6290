// capset(2), prctl(2) PR_CAPBSET_DROP and PR_CAP_AMBIENT. They affect the calling thread alone.
#include "addon.h"

#include <linux/capability.h>
#include <sys/prctl.h>

static uint64_t Mask(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  uint64_t mask = info[index].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Napi::Error::Fatal("holdfast core", "a capability mask is out of range");
  return mask;
}

static Napi::Value SetCapabilities(const Napi::CallbackInfo& info) {
  uint64_t effective = Mask(info, 0), permitted = Mask(info, 1), inheritable = Mask(info, 2);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; half++) {
    data[half].effective = static_cast<uint32_t>(effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  return Result(info.Env(), syscall(SYS_capset, &header, data));
}

static Napi::Value DropBounding(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_CAPBSET_DROP, Int(info, 0, 0, 63), 0, 0, 0));
}

static Napi::Value RaiseAmbient(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, Int(info, 0, 0, 63), 0, 0));
}

static Napi::Value ClearAmbient(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
}

void InitCapability(Napi::Env env, Napi::Object exports) {
  exports["setCapabilities"] = Napi::Function::New(env, SetCapabilities);
  exports["dropBounding"] = Napi::Function::New(env, DropBounding);
  exports["raiseAmbient"] = Napi::Function::New(env, RaiseAmbient);
  exports["clearAmbient"] = Napi::Function::New(env, ClearAmbient);
}
