// What every facility's file shares.
//
// JavaScript checks arguments, this side asserts. A function returns its value or -errno as a number; the facade in
// src/ builds the SyscallError. Descriptors are close-on-exec from birth.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

// Owns a descriptor.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

// A result as the C library gives it: a value, or -1 and errno.
inline Napi::Value Result(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value < 0 ? -errno : value));
}

// A result that is a value or -errno already.
inline Napi::Value Value(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

// Runs a call again for as long as a signal interrupts it.
template <typename Call>
inline auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

// A number checked again on this side: an integer in range, or the process ends. The facade has checked before.
inline int64_t Int(const Napi::CallbackInfo& info, size_t index, int64_t min, int64_t max) {
  double value = info[index].As<Napi::Number>().DoubleValue();
  if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) ||
      static_cast<double>(static_cast<int64_t>(value)) != value)
    Napi::Error::Fatal("holdfast core", "an argument is out of range");
  return static_cast<int64_t>(value);
}

inline int Fd(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int>(Int(info, index, -100 /* AT_FDCWD */, INT32_MAX));
}

inline int Flags(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int>(Int(info, index, 0, INT32_MAX));
}

// A string, or the bytes of a Buffer for names that are not UTF-8. A NUL would end it early for the kernel.
inline std::string Text(const Napi::CallbackInfo& info, size_t index) {
  std::string text;
  if (info[index].IsString()) {
    text = info[index].As<Napi::String>().Utf8Value();
  } else {
    auto bytes = info[index].As<Napi::Uint8Array>();
    text.assign(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  if (text.find('\0') != std::string::npos) Napi::Error::Fatal("holdfast core", "a string contains a NUL");
  return text;
}

// A typed array of the facade's, with room for at least `length` elements, to return several values in.
template <typename Array>
inline auto* Out(const Napi::CallbackInfo& info, size_t index, size_t length) {
  auto array = info[index].As<Array>();
  if (array.ElementLength() < length) Napi::Error::Fatal("holdfast core", "an array is too short");
  return array.Data();
}

void InitBpf(Napi::Env env, Napi::Object exports);
void InitDatagram(Napi::Env env, Napi::Object exports);
void InitDescriptor(Napi::Env env, Napi::Object exports);
void InitFile(Napi::Env env, Napi::Object exports);
void InitCloseAside(Napi::Env env, Napi::Object exports);
void InitFork(Napi::Env env, Napi::Object exports);
void InitLaunch(Napi::Env env, Napi::Object exports);
void InitMemfd(Napi::Env env, Napi::Object exports);
void InitMemory(Napi::Env env, Napi::Object exports);
void InitMount(Napi::Env env, Napi::Object exports);
void InitNamespace(Napi::Env env, Napi::Object exports);
void InitPath(Napi::Env env, Napi::Object exports);
void InitPidfd(Napi::Env env, Napi::Object exports);
void InitPrctl(Napi::Env env, Napi::Object exports);
void InitPty(Napi::Env env, Napi::Object exports);
void InitRlimit(Napi::Env env, Napi::Object exports);
void InitSeccomp(Napi::Env env, Napi::Object exports);
void InitSocket(Napi::Env env, Napi::Object exports);
void InitSplice(Napi::Env env, Napi::Object exports);
void InitWatch(Napi::Env env, Napi::Object exports);
void InitXattr(Napi::Env env, Napi::Object exports);
