// Namespaces: setns(2), unshare(2), ioctl_ns(2). Linux 4.9 and later for the ioctls. None of them blocks.
// setns and unshare affect the calling thread alone.
#include "addon.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>

static Napi::Value SetNs(const Napi::CallbackInfo& info) {
  return Result(info.Env(), setns(Fd(info, 0), static_cast<int>(Int(info, 1, 0, INT32_MAX))));
}

static Napi::Value NamespaceType(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), NS_GET_NSTYPE));
}

void InitNamespace(Napi::Env env, Napi::Object exports) {
  exports["setns"] = Napi::Function::New(env, SetNs);
  exports["namespaceType"] = Napi::Function::New(env, NamespaceType);
}
