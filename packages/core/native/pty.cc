// ptmx(4): TIOCSPTLCK, TIOCGPTPEER (Linux 4.13), TIOCGPTN; tty_ioctl(4): window sizes; termios(3): output
// processing, which waits until the terminal has taken what was written to it. The rest does not block.
#include "addon.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static Napi::Value OpenPty(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  UniqueFd master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master) return Result(env, -1);
  int unlock = 0;
  unsigned index = 0;
  if (ioctl(master.get(), TIOCSPTLCK, &unlock) < 0 || ioctl(master.get(), TIOCGPTN, &index) < 0)
    return Result(env, -1);
  UniqueFd peer(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!peer) return Result(env, -1);
  int32_t* out = Out<Napi::Int32Array>(info, 0, 3);
  out[0] = master.release();
  out[1] = peer.release();
  out[2] = static_cast<int32_t>(index);
  return Value(env, 0);
}

static Napi::Value SetWindowSize(const Napi::CallbackInfo& info) {
  winsize size = {};
  size.ws_row = static_cast<unsigned short>(Int(info, 1, 0, 0xffff));
  size.ws_col = static_cast<unsigned short>(Int(info, 2, 0, 0xffff));
  return Result(info.Env(), ioctl(Fd(info, 0), TIOCSWINSZ, &size));
}

static Napi::Value GetWindowSize(const Napi::CallbackInfo& info) {
  winsize size = {};
  if (ioctl(Fd(info, 0), TIOCGWINSZ, &size) < 0) return Result(info.Env(), -1);
  int32_t* out = Out<Napi::Int32Array>(info, 1, 2);
  out[0] = size.ws_row;
  out[1] = size.ws_col;
  return Value(info.Env(), 0);
}

static Napi::Value PassOutputThrough(const Napi::CallbackInfo& info) {
  int fd = Fd(info, 0);
  termios settings = {};
  if (tcgetattr(fd, &settings) < 0) return Result(info.Env(), -1);
  settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  return Result(info.Env(), tcsetattr(fd, TCSADRAIN, &settings));
}

void InitPty(Napi::Env env, Napi::Object exports) {
  exports["openPty"] = Napi::Function::New(env, OpenPty);
  exports["setWindowSize"] = Napi::Function::New(env, SetWindowSize);
  exports["passOutputThrough"] = Napi::Function::New(env, PassOutputThrough);
  exports["getWindowSize"] = Napi::Function::New(env, GetWindowSize);
}
