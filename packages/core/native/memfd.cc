// memfd_create(2) and seals, fcntl(2) F_ADD_SEALS. Linux 3.17; MFD_EXEC and F_SEAL_EXEC 6.3. None of them blocks.
#include "addon.h"

#include <fcntl.h>

static Napi::Value MemfdCreate(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_memfd_create, Text(info, 0).c_str(), Flags(info, 1)));
}

static Napi::Value AddSeals(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fcntl(Fd(info, 0), F_ADD_SEALS, Flags(info, 1)));
}

static Napi::Value GetSeals(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fcntl(Fd(info, 0), F_GET_SEALS));
}

void InitMemfd(Napi::Env env, Napi::Object exports) {
  exports["memfdCreate"] = Napi::Function::New(env, MemfdCreate);
  exports["addSeals"] = Napi::Function::New(env, AddSeals);
  exports["getSeals"] = Napi::Function::New(env, GetSeals);
}
