// Namespaces: setns(2), unshare(2), ioctl_nsfs(2), PIDFD_GET_…_NAMESPACE (Linux 6.11), and making one with no process
// in it. CAP_SYS_ADMIN. None of them blocks. setns and unshare affect the calling thread alone.
#include "addon.h"
#include "child.h"

#include <cstdio>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

static Napi::Value SetNs(const Napi::CallbackInfo& info) {
  return Result(info.Env(), setns(Fd(info, 0), Flags(info, 1)));
}

static Napi::Value Unshare(const Napi::CallbackInfo& info) {
  return Result(info.Env(), unshare(Flags(info, 0)));
}

static Napi::Value NamespaceType(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), NS_GET_NSTYPE));
}

static Napi::Value NamespaceOwner(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), NS_GET_USERNS));
}

static Napi::Value NamespaceParent(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), NS_GET_PARENT));
}

static Napi::Value NamespaceOwnerUid(const Napi::CallbackInfo& info) {
  uid_t uid = 0;
  if (ioctl(Fd(info, 0), NS_GET_OWNER_UID, &uid) < 0) return Result(info.Env(), -1);
  return Value(info.Env(), uid);
}

static Napi::Value NamespaceOfPidfd(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), _IO(0xFF, static_cast<unsigned>(Int(info, 1, 1, 10))), 0));
}

// The whole map must go in one write; 0 or -errno.
static int WriteProc(pid_t pid, const char* name, const std::string& text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
  if (!fd) return -errno;
  return write(fd.get(), text.data(), text.size()) < 0 ? -errno : 0;
}

static int EndAtOnce(void*) {
  RawCall(SYS_exit, 0);
  return 0;
}

// The child of clone(CLONE_NEWUSER) may have ended by the time that its maps are written: a zombie still has its
// credentials, and with them the namespace. So it never has to wait for us.
static Napi::Value CreateUserNamespace(const Napi::CallbackInfo& info) {
  std::string uidMap = Text(info, 0), gidMap = Text(info, 1);
  BorrowedChild child(EndAtOnce, nullptr, CLONE_NEWUSER);
  if (child.error() != 0) return Value(info.Env(), -child.error());
  int result = WriteProc(child.pid(), "uid_map", uidMap);
  if (result == 0) result = WriteProc(child.pid(), "gid_map", gidMap);
  if (result < 0) return Value(info.Env(), result);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", child.pid());
  return Result(info.Env(), open(path, O_RDONLY | O_CLOEXEC));
}

static int Wait(void*) {
  RawCall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  for (;;) RawCall(SYS_ppoll, 0, 0, 0);
}

// For a caller without rights over every id: a zombie's maps belong to the host's root, and newuidmap(1) takes none. So
// the child has memory of its own (ours would be changed by what runs meanwhile) and lives until its maps are written.
// `write(pid)` does that, and what it returns is returned beside the descriptor.
static Napi::Value CreateUserNamespaceBy(const Napi::CallbackInfo& info) {
  Napi::Function write = info[0].As<Napi::Function>();
  LivingChild child(Wait, CLONE_NEWUSER);
  if (child.error() != 0) return Value(info.Env(), -child.error());
  write.Call({Napi::Number::New(info.Env(), child.pid())});
  if (info.Env().IsExceptionPending()) return info.Env().Undefined();
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", child.pid());
  return Result(info.Env(), open(path, O_RDONLY | O_CLOEXEC));
}

struct NamespaceRequest {
  int usernsFd;
  int flag;
  const char* path;
  long result;
};

// The descriptor that it opens is ours too, as the table of descriptors is shared.
static int MakeNamespace(void* argument) {
  auto* request = static_cast<NamespaceRequest*>(argument);
  long result = 0;
  if (request->usernsFd >= 0) result = RawCall(SYS_setns, request->usernsFd, CLONE_NEWUSER);
  if (result >= 0) result = RawCall(SYS_unshare, request->flag);
  if (result >= 0)
    result = RawCall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(request->path), O_RDONLY | O_CLOEXEC);
  request->result = result;
  RawCall(SYS_exit, 0);
  return 0;
}

static Napi::Value CreateNamespace(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 2);
  NamespaceRequest request = {static_cast<int>(Int(info, 1, -1, INT32_MAX)), Flags(info, 0), path.c_str(), -EIO};
  // setns to a user namespace of another owner makes the memory undumpable, and it is our memory too.
  int dumpable = prctl(PR_GET_DUMPABLE);
  {
    BorrowedChild child(MakeNamespace, &request, 0);
    if (child.error() != 0) return Value(info.Env(), -child.error());
  }
  if (dumpable == 1 && prctl(PR_GET_DUMPABLE) != 1) prctl(PR_SET_DUMPABLE, 1);
  return Value(info.Env(), request.result);
}

// A pidfd of a child that has ended and was reaped: to find out what this kernel still tells of such.
static Napi::Value EndedChildPidfd(const Napi::CallbackInfo& info) {
  BorrowedChild child(EndAtOnce, nullptr, 0);
  if (child.error() != 0) return Value(info.Env(), -child.error());
  child.Reap();
  return Value(info.Env(), child.ReleasePidfd());
}

void InitNamespace(Napi::Env env, Napi::Object exports) {
  exports["setns"] = Napi::Function::New(env, SetNs);
  exports["unshare"] = Napi::Function::New(env, Unshare);
  exports["namespaceType"] = Napi::Function::New(env, NamespaceType);
  exports["namespaceOwner"] = Napi::Function::New(env, NamespaceOwner);
  exports["namespaceParent"] = Napi::Function::New(env, NamespaceParent);
  exports["namespaceOwnerUid"] = Napi::Function::New(env, NamespaceOwnerUid);
  exports["namespaceOfPidfd"] = Napi::Function::New(env, NamespaceOfPidfd);
  exports["createUserNamespace"] = Napi::Function::New(env, CreateUserNamespace);
  exports["createUserNamespaceBy"] = Napi::Function::New(env, CreateUserNamespaceBy);
  exports["createNamespace"] = Napi::Function::New(env, CreateNamespace);
  exports["endedChildPidfd"] = Napi::Function::New(env, EndedChildPidfd);
}
