// close(2) beside the caller, clone(2). The last descriptor of a mount namespace or of a mount makes whoever closes it wait
// for RCU grace periods, and that of an overlay writes all of the file system beneath it to the disk.
// A thread with a copy of our descriptors does it, and ends; nobody needs to reap it.
#include "addon.h"
#include "child.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr size_t kMost = 64;

// What a thread needs until it has ended: its kernel writes 0 to `thread` then.
struct Closing {
  alignas(16) char stack[8192];
  pid_t thread;
  size_t count;
  int fds[kMost];
  int ascending[kMost];
};

// Raw system calls only: it has our thread's TLS.
int CloseAll(void* argument) {
  auto* closing = static_cast<Closing*>(argument);
  unsigned from = 0;
  for (size_t i = 0; i < closing->count; i++) {
    auto fd = static_cast<unsigned>(closing->ascending[i]);
    if (fd > from) RawCall(SYS_close_range, from, fd - 1, 0);
    from = fd + 1;
  }
  RawCall(SYS_close_range, from, UINT32_MAX, 0);
  for (size_t i = 0; i < closing->count; i++) RawCall(SYS_close, closing->fds[i]);
  RawCall(SYS_exit, 0);
  return 0;
}

// One that is not in use. They stay: as many as were ever needed at once.
Closing* Free() {
  static std::vector<std::unique_ptr<Closing>> all;
  for (auto& each : all)
    if (__atomic_load_n(&each->thread, __ATOMIC_ACQUIRE) == 0) return each.get();
  all.push_back(std::make_unique<Closing>());
  return all.back().get();
}

// (fds: Int32Array): a thread closes its copies in this order. Our own descriptors all stay open.
Napi::Value CloseAside(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Int32Array>();
  size_t count = fds.ElementLength();
  if (count > kMost) return Value(info.Env(), -E2BIG);
  Closing* closing = Free();
  closing->count = count;
  memcpy(closing->fds, fds.Data(), count * sizeof(int));
  memcpy(closing->ascending, fds.Data(), count * sizeof(int));
  std::sort(closing->ascending, closing->ascending + count);
  // A handler of ours must not run on its stack, nor without a TLS of its own.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  constexpr int kThread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS | CLONE_SYSVSEM;
  int started = clone(CloseAll, closing->stack + sizeof closing->stack,
                      kThread | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, closing, &closing->thread, nullptr,
                      &closing->thread);
  Napi::Value result = Result(info.Env(), started < 0 ? -1 : 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace

void InitCloseAside(Napi::Env env, Napi::Object exports) {
  exports["closeAside"] = Napi::Function::New(env, CloseAside);
}
