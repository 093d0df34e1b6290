// fork(2) of a Node process. It must have been started with --v8-pool-size=0 --single-threaded; the child has the
// calling thread alone.
#include "addon.h"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <uv.h>
#include <vector>

namespace {

struct Mapping {
  uintptr_t start, end;
  bool kernels;
};

// Reads /proc/self/maps whole first: reading allocates, which may change it.
bool ReadMappings(std::vector<Mapping>* mappings) {
  UniqueFd fd(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  std::string text;
  char chunk[16384];
  for (;;) {
    ssize_t length = Retry([&] { return read(fd.get(), chunk, sizeof chunk); });
    if (length < 0) return false;
    if (length == 0) break;
    text.append(chunk, static_cast<size_t>(length));
  }
  for (const char* line = text.c_str(); *line != '\0';) {
    const char* end = strchr(line, '\n');
    char* after = nullptr;
    Mapping mapping = {strtoul(line, &after, 16), 0, false};
    mapping.end = strtoul(after + 1, nullptr, 16);
    auto length = static_cast<size_t>(end - line);
    mapping.kernels = memmem(line, length, "[v", 2) != nullptr;  // [vdso], [vvar], [vvar_vclock], [vsyscall]
    mappings->push_back(mapping);
    line = end + 1;
  }
  return true;
}

void MarkForkable(const Mapping& mapping) {
  madvise(reinterpret_cast<void*>(mapping.start), mapping.end - mapping.start, MADV_DOFORK);
}

// V8 maps its heap MADV_DONTFORK: without this the child has no heap and dies at its first step. Neighbours are done in
// one call; where the kernel refuses one of them (device memory, EINVAL) the call stops there, so then each by itself.
bool MakeMemoryForkable() {
  std::vector<Mapping> mappings;
  if (!ReadMappings(&mappings)) return false;
  for (size_t first = 0; first < mappings.size();) {
    size_t last = first;
    if (mappings[first].kernels) {
      first++;
      continue;
    }
    while (last + 1 < mappings.size() && !mappings[last + 1].kernels && mappings[last + 1].start == mappings[last].end)
      last++;
    size_t bytes = mappings[last].end - mappings[first].start;
    if (madvise(reinterpret_cast<void*>(mappings[first].start), bytes, MADV_DOFORK) < 0)
      for (size_t i = first; i <= last; i++) MarkForkable(mappings[i]);
    first = last + 1;
  }
  return true;
}

// Takes every hole between the allocations of malloc(3) for good. A child then allocates from the end of the heap, in
// pages that it fills, where each hole would cost it a page of its own for some bytes. Returns what it took.
size_t FillHeapHoles() {
  malloc_trim(0);
  const auto* end = static_cast<const char*>(sbrk(0));
  size_t taken = 0;
  for (size_t size = 65536; size >= 16; size = size > 1024 ? size / 2 : size - 16) {
    for (;;) {
      auto* hole = static_cast<char*>(malloc(size));
      if (hole == nullptr) return taken;
      if (hole >= end) {  // no hole of this size is left
        free(hole);
        break;
      }
      taken += size;
    }
  }
  return taken;
}

Napi::Value FillHoles(const Napi::CallbackInfo& info) {
  return Value(info.Env(), static_cast<int64_t>(FillHeapHoles()));
}

Napi::Value Fork(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Value(env, -ENOSYS);
  if (!MakeMemoryForkable()) return Result(env, -1);
  pid_t pid = fork();
  if (pid != 0) return Result(env, pid);
  // From here on in the child, where nobody could handle a failure: it ends instead.
  if (uv_loop_fork(loop) != 0) Napi::Error::Fatal("holdfast core", "uv_loop_fork failed in a forked child");
  setsid();
  return Value(env, 0);
}

void ExitNow(const Napi::CallbackInfo& info) {
  _exit(static_cast<int>(Int(info, 0, 0, 255)));
}

Napi::Value GetPid(const Napi::CallbackInfo& info) {
  return Value(info.Env(), getpid());
}

}  // namespace

void InitFork(Napi::Env env, Napi::Object exports) {
  exports["forkProcess"] = Napi::Function::New(env, Fork);
  exports["fillHeapHoles"] = Napi::Function::New(env, FillHoles);
  exports["exitNow"] = Napi::Function::New(env, ExitNow);
  exports["getpid"] = Napi::Function::New(env, GetPid);
}
