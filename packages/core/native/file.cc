// The …at family on directory descriptors: mkdirat(2), mknodat(2), symlinkat(2), linkat(2), unlinkat(2),
// renameat2(2), readlinkat(2), fstatat(2), fchmodat(2), fchownat(2), utimensat(2), getdents64(2).
// They block for as long as the disk does.
#include "addon.h"

#include <climits>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <vector>

static Napi::Value MkdirAt(const Napi::CallbackInfo& info) {
  return Result(info.Env(), mkdirat(Fd(info, 0), Text(info, 1).c_str(), static_cast<mode_t>(Int(info, 2, 0, 07777))));
}

static Napi::Value MknodAt(const Napi::CallbackInfo& info) {
  auto major = static_cast<unsigned>(Int(info, 3, 0, 0xfff));
  auto minor = static_cast<unsigned>(Int(info, 4, 0, 0xfffff));
  return Result(info.Env(), mknodat(Fd(info, 0), Text(info, 1).c_str(),
                                    static_cast<mode_t>(Int(info, 2, 0, 0177777)), makedev(major, minor)));
}

static Napi::Value SymlinkAt(const Napi::CallbackInfo& info) {
  return Result(info.Env(), symlinkat(Text(info, 0).c_str(), Fd(info, 1), Text(info, 2).c_str()));
}

static Napi::Value LinkAt(const Napi::CallbackInfo& info) {
  return Result(info.Env(), linkat(Fd(info, 0), Text(info, 1).c_str(), Fd(info, 2), Text(info, 3).c_str(),
                                   Flags(info, 4)));
}

static Napi::Value UnlinkAt(const Napi::CallbackInfo& info) {
  return Result(info.Env(), unlinkat(Fd(info, 0), Text(info, 1).c_str(), Flags(info, 2)));
}

static Napi::Value RenameAt2(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_renameat2, Fd(info, 0), Text(info, 1).c_str(), Fd(info, 2),
                                    Text(info, 3).c_str(), Flags(info, 4)));
}

static Napi::Value ReadlinkAt(const Napi::CallbackInfo& info) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(Fd(info, 0), Text(info, 1).c_str(), target, sizeof target);
  if (length < 0) return Result(info.Env(), -1);
  return Napi::Buffer<char>::Copy(info.Env(), target, static_cast<size_t>(length));
}

static Napi::Value FstatAt(const Napi::CallbackInfo& info) {
  struct stat stat;
  std::string path = Text(info, 1);
  if (fstatat(Fd(info, 0), path.c_str(), &stat, Flags(info, 2)) < 0) return Result(info.Env(), -1);
  int64_t* out = Out<Napi::BigInt64Array>(info, 3, 10);
  out[0] = stat.st_mode;
  out[1] = stat.st_uid;
  out[2] = stat.st_gid;
  out[3] = major(stat.st_rdev);
  out[4] = minor(stat.st_rdev);
  out[5] = stat.st_size;
  out[6] = static_cast<int64_t>(stat.st_nlink);
  out[7] = static_cast<int64_t>(stat.st_ino);
  out[8] = static_cast<int64_t>(stat.st_dev);
  out[9] = stat.st_mtim.tv_sec * 1'000'000'000 + stat.st_mtim.tv_nsec;
  return Value(info.Env(), 0);
}

static Napi::Value Fchmod(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fchmod(Fd(info, 0), static_cast<mode_t>(Int(info, 1, 0, 07777))));
}

// chmod(2) through the magic link of an O_PATH descriptor: it leads to the very file, and no link in it is followed
// (a symbolic link itself answers EOPNOTSUPP). fchmodat2(2) came with Linux 6.6 only.
static int ChmodByDescriptor(int fd, mode_t mode) {
  struct stat stat;
  if (fstat(fd, &stat) < 0) return -errno;
  if (S_ISLNK(stat.st_mode)) return -EOPNOTSUPP;
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return chmod(path, mode) < 0 ? -errno : 0;
}

static Napi::Value FchmodAt(const Napi::CallbackInfo& info) {
  int dirfd = Fd(info, 0);
  std::string path = Text(info, 1);
  auto mode = static_cast<mode_t>(Int(info, 2, 0, 07777));
  if (path.empty()) return Value(info.Env(), ChmodByDescriptor(dirfd, mode));
  UniqueFd entry(openat(dirfd, path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!entry) return Result(info.Env(), -1);
  return Value(info.Env(), ChmodByDescriptor(entry.get(), mode));
}

static Napi::Value FchownAt(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fchownat(Fd(info, 0), Text(info, 1).c_str(),
                                     static_cast<uid_t>(Int(info, 2, 0, 0xfffffffe)),
                                     static_cast<gid_t>(Int(info, 3, 0, 0xfffffffe)), Flags(info, 4)));
}

static timespec TimeOf(const Napi::CallbackInfo& info, size_t index) {
  bool lossless = false;
  int64_t nanoseconds = info[index].As<Napi::BigInt>().Int64Value(&lossless);
  if (!lossless) Napi::Error::Fatal("holdfast core", "a time is out of range");
  int64_t seconds = nanoseconds / 1'000'000'000;
  int64_t rest = nanoseconds % 1'000'000'000;
  if (rest < 0) {  // before 1970: tv_nsec counts forward
    seconds -= 1;
    rest += 1'000'000'000;
  }
  return {seconds, rest};
}

static Napi::Value UtimensAt(const Napi::CallbackInfo& info) {
  timespec times[2] = {TimeOf(info, 2), TimeOf(info, 3)};
  // The C library refuses AT_EMPTY_PATH here in some versions; the kernel takes it since 5.8.
  return Result(info.Env(), syscall(SYS_utimensat, Fd(info, 0), Text(info, 1).c_str(), times, Flags(info, 4)));
}

static Napi::Value Readdir(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = Fd(info, 0);
  if (lseek(fd, 0, SEEK_SET) < 0) return Result(env, -1);
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
  alignas(dirent64) char buffer[32768];
  for (;;) {
    ssize_t length = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (length < 0) return Result(env, -1);
    if (length == 0) return names;
    for (ssize_t at = 0; at < length;) {
      auto* entry = reinterpret_cast<dirent64*>(buffer + at);
      at += entry->d_reclen;
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      names[count++] = Napi::Buffer<char>::Copy(env, entry->d_name, strlen(entry->d_name));
    }
  }
}

static Napi::Value Ftruncate(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  int64_t length = Int(info, 1, 0, int64_t{1} << 53);
  return Result(info.Env(), Retry([&] { return ftruncate(fd, length); }));
}

static Napi::Value Fsync(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  bool dataOnly = Int(info, 1, 0, 1) == 1;
  return Result(info.Env(), Retry([&] { return dataOnly ? fdatasync(fd) : fsync(fd); }));
}

void InitFile(Napi::Env env, Napi::Object exports) {
  exports["mkdirat"] = Napi::Function::New(env, MkdirAt);
  exports["mknodat"] = Napi::Function::New(env, MknodAt);
  exports["symlinkat"] = Napi::Function::New(env, SymlinkAt);
  exports["linkat"] = Napi::Function::New(env, LinkAt);
  exports["unlinkat"] = Napi::Function::New(env, UnlinkAt);
  exports["renameat2"] = Napi::Function::New(env, RenameAt2);
  exports["readlinkat"] = Napi::Function::New(env, ReadlinkAt);
  exports["fstatat"] = Napi::Function::New(env, FstatAt);
  exports["fchmod"] = Napi::Function::New(env, Fchmod);
  exports["fchmodat"] = Napi::Function::New(env, FchmodAt);
  exports["fchownat"] = Napi::Function::New(env, FchownAt);
  exports["utimensat"] = Napi::Function::New(env, UtimensAt);
  exports["readdir"] = Napi::Function::New(env, Readdir);
  exports["ftruncate"] = Napi::Function::New(env, Ftruncate);
  exports["fsync"] = Napi::Function::New(env, Fsync);
}
