// open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), fspick(2) (Linux 5.2), mount_setattr(2) (5.12),
// umount2(2). CAP_SYS_ADMIN in the user namespace of the mount namespace. fsconfig's CREATE reads the disk.
#include "addon.h"

#include <linux/mount.h>
#include <sys/mount.h>

static Napi::Value OpenTree(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_open_tree, Fd(info, 0), Text(info, 1).c_str(), Flags(info, 2)));
}

static Napi::Value MoveMount(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_move_mount, Fd(info, 0), Text(info, 1).c_str(), Fd(info, 2),
                                    Text(info, 3).c_str(), Flags(info, 4)));
}

static Napi::Value FsOpen(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_fsopen, Text(info, 0).c_str(), Flags(info, 1)));
}

static Napi::Value FsConfig(const Napi::CallbackInfo& info) {
  std::string key, value;
  bool hasKey = !info[2].IsNull(), hasValue = !info[3].IsNull();
  if (hasKey) key = Text(info, 2);
  if (hasValue) value = Text(info, 3);
  return Result(info.Env(), syscall(SYS_fsconfig, Fd(info, 0), Flags(info, 1), hasKey ? key.c_str() : nullptr,
                                    hasValue ? value.c_str() : nullptr, Flags(info, 4)));
}

static Napi::Value FsMount(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_fsmount, Fd(info, 0), Flags(info, 1), Flags(info, 2)));
}

static Napi::Value FsPick(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_fspick, Fd(info, 0), Text(info, 1).c_str(), Flags(info, 2)));
}

// One message of a context's log; -ENODATA when there is none left.
static Napi::Value ReadMessage(const Napi::CallbackInfo& info) {
  char message[512];
  int fd = Fd(info, 0);
  ssize_t length = Retry([&] { return read(fd, message, sizeof message); });
  if (length < 0) return Result(info.Env(), -1);
  return Napi::String::New(info.Env(), message, static_cast<size_t>(length));
}

static Napi::Value MountSetattr(const Napi::CallbackInfo& info) {
  mount_attr attributes = {};
  attributes.attr_set = static_cast<uint64_t>(Int(info, 3, 0, INT32_MAX));
  attributes.attr_clr = static_cast<uint64_t>(Int(info, 4, 0, INT32_MAX));
  attributes.propagation = static_cast<uint64_t>(Int(info, 5, 0, INT32_MAX));
  attributes.userns_fd = static_cast<uint64_t>(Int(info, 6, 0, INT32_MAX));
  return Result(info.Env(), syscall(SYS_mount_setattr, Fd(info, 0), Text(info, 1).c_str(), Flags(info, 2),
                                    &attributes, sizeof attributes));
}

static Napi::Value Umount(const Napi::CallbackInfo& info) {
  return Result(info.Env(), umount2(Text(info, 0).c_str(), Flags(info, 1)));
}

void InitMount(Napi::Env env, Napi::Object exports) {
  exports["openTree"] = Napi::Function::New(env, OpenTree);
  exports["moveMount"] = Napi::Function::New(env, MoveMount);
  exports["fsopen"] = Napi::Function::New(env, FsOpen);
  exports["fsconfig"] = Napi::Function::New(env, FsConfig);
  exports["fsmount"] = Napi::Function::New(env, FsMount);
  exports["fspick"] = Napi::Function::New(env, FsPick);
  exports["readMessage"] = Napi::Function::New(env, ReadMessage);
  exports["mountSetattr"] = Napi::Function::New(env, MountSetattr);
  exports["umount"] = Napi::Function::New(env, Umount);
}
