// What every facility's file shares.
//
// JavaScript checks arguments, this side asserts. A function returns its value or -errno as a number; the facade in
// src/ builds the SyscallError. Descriptors are close-on-exec from birth.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cstdint>
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

// A result that is a value, or -errno where the call failed.
inline Napi::Value Result(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value < 0 ? -errno : value));
}

// A number checked again on this side: an integer in range, or the process ends. The facade has checked before.
inline int64_t Int(const Napi::CallbackInfo& info, size_t index, int64_t min, int64_t max) {
  double value = info[index].As<Napi::Number>().DoubleValue();
  auto number = static_cast<int64_t>(value);
  if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) ||
      static_cast<double>(number) != value)
    Napi::Error::Fatal("holdfast core", "an argument is out of range");
  return number;
}

inline int Fd(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int>(Int(info, index, -100 /* AT_FDCWD */, INT32_MAX));
}

inline std::string Text(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::String>().Utf8Value();
}

void InitNamespace(Napi::Env env, Napi::Object exports);
