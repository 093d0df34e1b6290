// pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2) with P_PIDFD, ioctl PIDFD_GET_INFO (Linux 6.13,
// exit status 6.15). None of them blocks.
#include "addon.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static Napi::Value PidfdOpen(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_pidfd_open, static_cast<pid_t>(Int(info, 0, 1, INT32_MAX)), Flags(info, 1)));
}

static Napi::Value PidfdSendSignal(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_pidfd_send_signal, Fd(info, 0), static_cast<int>(Int(info, 1, 0, 64)),
                                    nullptr, 0));
}

static Napi::Value PidfdGetfd(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_pidfd_getfd, Fd(info, 0), Fd(info, 1), 0));
}

// Children made by clone with no exit signal are waited for with __WALL only.
static Napi::Value Wait(const Napi::CallbackInfo& info, int type, id_t id, int flags, size_t outIndex) {
  siginfo_t end = {};
  if (Retry([&] { return waitid(static_cast<idtype_t>(type), id, &end, flags | WEXITED | WNOHANG | __WALL); }) < 0)
    return Result(info.Env(), -1);
  int32_t* out = Out<Napi::Int32Array>(info, outIndex, 2);
  out[0] = end.si_code;
  out[1] = end.si_status;
  return Value(info.Env(), end.si_pid);
}

static Napi::Value PidfdWait(const Napi::CallbackInfo& info) {
  return Wait(info, P_PIDFD, static_cast<id_t>(Fd(info, 0)), 0, 1);
}

static Napi::Value ReapChild(const Napi::CallbackInfo& info) {
  return Wait(info, P_ALL, 0, 0, 0);
}

// struct pidfd_info as of Linux 6.15, which the headers here may not have yet.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid;
  uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exitCode;
};
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

static Napi::Value GetPidfdInfo(const Napi::CallbackInfo& info) {
  PidfdInfo process = {};
  process.mask = static_cast<uint64_t>(Int(info, 1, 0, INT32_MAX));
  if (ioctl(Fd(info, 0), kPidfdGetInfo, &process) < 0) return Result(info.Env(), -1);
  int64_t* out = Out<Napi::BigInt64Array>(info, 2, 8);
  out[0] = static_cast<int64_t>(process.mask);
  out[1] = process.pid;
  out[2] = process.tgid;
  out[3] = process.ppid;
  out[4] = process.ruid;
  out[5] = process.rgid;
  out[6] = static_cast<int64_t>(process.cgroupid);
  out[7] = process.exitCode;
  return Value(info.Env(), 0);
}

// Field 22 of /proc/PID/stat, and in the out array field 3, the state's letter. The second field is the name in
// parentheses, which may contain spaces and parentheses itself.
static Napi::Value ProcessStat(const Napi::CallbackInfo& info) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(Int(info, 0, 1, INT32_MAX)));
  UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return Result(info.Env(), -1);
  ssize_t size = Retry([&] { return read(fd.get(), text, sizeof text - 1); });
  if (size < 0) return Result(info.Env(), -1);
  text[size] = '\0';
  const char* field = strrchr(text, ')');
  if (field == nullptr || field[1] != ' ') return Value(info.Env(), -EIO);
  Out<Napi::Int32Array>(info, 1, 1)[0] = field[2];
  for (int number = 2; field != nullptr && number < 22; number++) field = strchr(field + 1, ' ');
  if (field == nullptr) return Value(info.Env(), -EIO);
  return Value(info.Env(), strtoll(field, nullptr, 10));
}

void InitPidfd(Napi::Env env, Napi::Object exports) {
  exports["pidfdOpen"] = Napi::Function::New(env, PidfdOpen);
  exports["pidfdSendSignal"] = Napi::Function::New(env, PidfdSendSignal);
  exports["pidfdGetfd"] = Napi::Function::New(env, PidfdGetfd);
  exports["pidfdWait"] = Napi::Function::New(env, PidfdWait);
  exports["pidfdInfo"] = Napi::Function::New(env, GetPidfdInfo);
  exports["processStat"] = Napi::Function::New(env, ProcessStat);
  exports["reapChild"] = Napi::Function::New(env, ReapChild);
}
