// The addon's one entry point: each facility's file registers its functions.
#include "addon.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  InitNamespace(env, exports);
  return exports;
}

NODE_API_MODULE(core, Init)
