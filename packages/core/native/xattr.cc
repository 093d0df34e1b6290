// setxattr(2), getxattr(2), listxattr(2). `path` is /proc/self/fd/N of an opened file.
#include "addon.h"

#include <sys/xattr.h>
#include <vector>

static Napi::Value SetXattr(const Napi::CallbackInfo& info) {
  auto value = info[2].As<Napi::Uint8Array>();
  return Result(info.Env(), setxattr(Text(info, 0).c_str(), Text(info, 1).c_str(), value.Data(), value.ByteLength(),
                                     Flags(info, 3)));
}

// The value's size may change between asking for it and reading it: ERANGE, and once more.
template <typename Call>
static Napi::Value ReadSized(Napi::Env env, Call call) {
  char first[256];
  ssize_t length = call(first, sizeof first);
  if (length >= 0) return Napi::Buffer<char>::Copy(env, first, static_cast<size_t>(length));
  while (errno == ERANGE) {
    ssize_t size = call(nullptr, 0);
    if (size < 0) break;
    std::vector<char> larger(static_cast<size_t>(size) + 1);
    length = call(larger.data(), larger.size());
    if (length >= 0) return Napi::Buffer<char>::Copy(env, larger.data(), static_cast<size_t>(length));
  }
  return Result(env, -1);
}

static Napi::Value GetXattr(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0), name = Text(info, 1);
  return ReadSized(info.Env(),
                   [&](char* out, size_t size) { return getxattr(path.c_str(), name.c_str(), out, size); });
}

static Napi::Value ListXattr(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0);
  return ReadSized(info.Env(), [&](char* out, size_t size) { return listxattr(path.c_str(), out, size); });
}

void InitXattr(Napi::Env env, Napi::Object exports) {
  exports["setxattr"] = Napi::Function::New(env, SetXattr);
  exports["getxattr"] = Napi::Function::New(env, GetXattr);
  exports["listxattr"] = Napi::Function::New(env, ListXattr);
}
