// uv_poll_t for descriptors of the caller's: epoll(7) inside libuv's loop. Event-loop thread only; never blocks.
#include "addon.h"

#include <poll.h>
#include <uv.h>

namespace {

struct Watch {
  Watch(Napi::Env env, Napi::Function callback) : env(env), callback(Napi::Persistent(callback)), context(env, "holdfast:watch") {}

  Napi::Env env;
  Napi::FunctionReference callback;
  Napi::AsyncContext context;
  uv_poll_t handle = {};
  int fd = -1;
  napi_async_cleanup_hook_handle hook = nullptr;
  bool closing = false;
};

void Close(Watch* watch) {
  if (watch->closing) return;
  watch->closing = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->handle), [](uv_handle_t* handle) {
    auto* watch = static_cast<Watch*>(handle->data);
    napi_remove_async_cleanup_hook(watch->hook);
    delete watch;
  });
}

// libuv's own event bits can't tell a hang-up beside input, and an error stops the handle: poll(2) says what is.
void OnReady(uv_poll_t* handle, int, int) {
  auto* watch = static_cast<Watch*>(handle->data);
  pollfd now = {watch->fd, POLLIN | POLLOUT | POLLRDHUP, 0};
  if (Retry([&] { return poll(&now, 1, 0); }) < 0) now.revents = POLLERR;
  Napi::HandleScope scope(watch->env);
  Napi::Env env = watch->env;
  watch->callback.MakeCallback(env.Global(), {Napi::Number::New(env, now.revents)}, watch->context);
  // The callback's exception is nobody's to catch: it ends in 'uncaughtException', as in any other event.
  if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
}

Napi::Value Start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Value(env, -ENOSYS);
  auto* watch = new Watch(env, info[2].As<Napi::Function>());
  watch->fd = Fd(info, 0);
  watch->handle.data = watch;
  int result = uv_poll_init(loop, &watch->handle, watch->fd);
  if (result < 0) {
    delete watch;
    return Value(env, result);  // libuv's codes are -errno
  }
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* data) { Close(static_cast<Watch*>(data)); }, watch, &watch->hook);
  int events = static_cast<int>(Int(info, 1, 0, 7));
  if (events != 0) uv_poll_start(&watch->handle, events, OnReady);
  return Napi::External<Watch>::New(env, watch);
}

Watch* WatchOf(const Napi::CallbackInfo& info) {
  return info[0].As<Napi::External<Watch>>().Data();
}

Napi::Value Update(const Napi::CallbackInfo& info) {
  Watch* watch = WatchOf(info);
  int events = static_cast<int>(Int(info, 1, 0, 7));
  return Value(info.Env(), events == 0 ? uv_poll_stop(&watch->handle) : uv_poll_start(&watch->handle, events, OnReady));
}

void Ref(const Napi::CallbackInfo& info) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&WatchOf(info)->handle);
  if (Int(info, 1, 0, 1)) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void Stop(const Napi::CallbackInfo& info) {
  Close(WatchOf(info));
}

}  // namespace

void InitWatch(Napi::Env env, Napi::Object exports) {
  exports["watchStart"] = Napi::Function::New(env, Start);
  exports["watchUpdate"] = Napi::Function::New(env, Update);
  exports["watchRef"] = Napi::Function::New(env, Ref);
  exports["watchClose"] = Napi::Function::New(env, Stop);
}
