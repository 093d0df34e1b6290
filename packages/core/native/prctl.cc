// prctl(2). Dumpability and the subreaper flag are the process's; name and no_new_privs the calling thread's.
#include "addon.h"

#include <sys/prctl.h>

// The PR_GET_… options return their value in one of two ways; those that write it through a pointer get one.
static Napi::Value Prctl(const Napi::CallbackInfo& info) {
  int option = Flags(info, 0);
  if (option == PR_GET_CHILD_SUBREAPER) {
    int value = 0;
    return Result(info.Env(), prctl(option, &value, 0, 0, 0) < 0 ? -1 : value);
  }
  return Result(info.Env(), prctl(option, static_cast<unsigned long>(Flags(info, 1)), 0, 0, 0));
}

static Napi::Value SetProcessName(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_SET_NAME, Text(info, 0).c_str(), 0, 0, 0));
}

void InitPrctl(Napi::Env env, Napi::Object exports) {
  exports["prctl"] = Napi::Function::New(env, Prctl);
  exports["setProcessName"] = Napi::Function::New(env, SetProcessName);
}
