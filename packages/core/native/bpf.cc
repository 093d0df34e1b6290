// bpf(2): BPF_PROG_TYPE_CGROUP_DEVICE (Linux 4.15). CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN. Does not block.
#include "addon.h"

#include <csignal>
#include <linux/bpf.h>

static Napi::Value LoadDeviceProgram(const Napi::CallbackInfo& info) {
  auto code = info[0].As<Napi::Uint8Array>();
  if (code.ByteLength() % sizeof(bpf_insn) != 0) Napi::Error::Fatal("holdfast core", "half a BPF instruction");
  static const char license[] = "Apache-2.0";
  bpf_attr attributes = {};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(code.Data());
  attributes.insn_cnt = static_cast<uint32_t>(code.ByteLength() / sizeof(bpf_insn));
  attributes.license = reinterpret_cast<uint64_t>(license);
  // The kernel gives up the check of a program (EAGAIN) when a signal arrives.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Napi::Value fd = Result(info.Env(), syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return fd;
}

static Napi::Value AttachDeviceProgram(const Napi::CallbackInfo& info) {
  bpf_attr attributes = {};
  attributes.target_fd = static_cast<uint32_t>(Fd(info, 0));
  attributes.attach_bpf_fd = static_cast<uint32_t>(Fd(info, 1));
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  return Result(info.Env(), syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes));
}

void InitBpf(Napi::Env env, Napi::Object exports) {
  exports["loadDeviceProgram"] = Napi::Function::New(env, LoadDeviceProgram);
  exports["attachDeviceProgram"] = Napi::Function::New(env, AttachDeviceProgram);
}
