// madvise(2) and malloc_trim(3) of the calling process, all its threads. No capability. malloc_trim blocks for about a
// millisecond for each ten MiB of heap.
#include "addon.h"

#include <malloc.h>
#include <sys/mman.h>

static uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  uint64_t value = info[index].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Napi::Error::Fatal("holdfast core", "an address is out of range");
  return value;
}

static Napi::Value Madvise(const Napi::CallbackInfo& info) {
  void* start = reinterpret_cast<void*>(Unsigned(info, 0));
  return Result(info.Env(), madvise(start, Unsigned(info, 1), static_cast<int>(Int(info, 2, 0, 64))));
}

static Napi::Value MallocTrim(const Napi::CallbackInfo& info) {
  return Value(info.Env(), malloc_trim(0));
}

void InitMemory(Napi::Env env, Napi::Object exports) {
  exports["madvise"] = Napi::Function::New(env, Madvise);
  exports["mallocTrim"] = Napi::Function::New(env, MallocTrim);
}
