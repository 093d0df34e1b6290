// The addon's one entry point: each facility's file registers its functions.
#include "addon.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  InitBpf(env, exports);
  InitDatagram(env, exports);
  InitDescriptor(env, exports);
  InitFile(env, exports);
  InitCloseAside(env, exports);
  InitFork(env, exports);
  InitLaunch(env, exports);
  InitMemfd(env, exports);
  InitMemory(env, exports);
  InitMount(env, exports);
  InitNamespace(env, exports);
  InitPath(env, exports);
  InitPidfd(env, exports);
  InitPrctl(env, exports);
  InitPty(env, exports);
  InitRlimit(env, exports);
  InitSeccomp(env, exports);
  InitSocket(env, exports);
  InitSplice(env, exports);
  InitWatch(env, exports);
  InitXattr(env, exports);
  return exports;
}

NODE_API_MODULE(core, Init)
