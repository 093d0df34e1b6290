// Compiles system-call filters with libseccomp (seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3)).
// Loads nothing, affects no thread. Takes milliseconds for a profile of hundreds of names.
#include "addon.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <seccomp.h>
#include <sys/mman.h>
#include <vector>

namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// System calls that came after the libseccomp we are built with. From 424 on all architectures share the numbers.
constexpr struct {
  const char* name;
  int number;
} kLaterCalls[] = {
    {"futex_waitv", 449},      {"set_mempolicy_home_node", 450},
    {"cachestat", 451},        {"fchmodat2", 452},
    {"map_shadow_stack", 453}, {"futex_wake", 454},
    {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},        {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},       {"getxattrat", 464},
    {"listxattrat", 465},      {"removexattrat", 466},
    {"open_tree_attr", 467},   {"file_getattr", 468},
    {"file_setattr", 469},     {"listns", 470},
};

int SyscallNumber(const std::string& name) {
  int number = seccomp_syscall_resolve_name(name.c_str());
  if (number != __NR_SCMP_ERROR) return number;
  for (const auto& call : kLaterCalls)
    if (name == call.name) return call.number;
  return __NR_SCMP_ERROR;
}

// JavaScript's action is the kernel's SECCOMP_RET_…; libseccomp's SCMP_ACT_… are the same numbers.
uint32_t Action(const Napi::Value& value) {
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= 4294967295.0)) Napi::Error::Fatal("holdfast core", "a seccomp action is out of range");
  return static_cast<uint32_t>(number);
}

uint64_t Operand(const Napi::Value& value) {
  bool lossless = false;
  uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Napi::Error::Fatal("holdfast core", "a seccomp operand is out of range");
  return number;
}

std::vector<scmp_arg_cmp> Conditions(const Napi::Array& args) {
  std::vector<scmp_arg_cmp> conditions;
  for (uint32_t i = 0; i < args.Length(); i++) {
    Napi::Object arg = args.Get(i).As<Napi::Object>();
    conditions.push_back({arg.Get("index").As<Napi::Number>().Uint32Value(),
                          static_cast<scmp_compare>(arg.Get("op").As<Napi::Number>().Uint32Value()),
                          Operand(arg.Get("value")), Operand(arg.Get("valueTwo"))});
  }
  return conditions;
}

// One rule for all its names; 0 or -errno. Names without a number go to `skipped`, `highest` grows. `foreign`: the
// filter is for other architectures than this machine's, and numbers reach it through names that libseccomp knows.
int AddRule(void* filter, bool foreign, const Napi::Object& rule, std::vector<std::string>* skipped, int* highest) {
  uint32_t action = Action(rule.Get("action"));
  std::vector<scmp_arg_cmp> conditions = Conditions(rule.Get("args").As<Napi::Array>());
  Napi::Array names = rule.Get("names").As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); i++) {
    std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    int number = SyscallNumber(name);
    if (number == __NR_SCMP_ERROR) {
      skipped->push_back(name);
      continue;
    }
    if (foreign && seccomp_syscall_resolve_name(name.c_str()) == __NR_SCMP_ERROR) continue;
    *highest = std::max(*highest, number);
    int result = seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(conditions.size()),
                                        conditions.data());
    // A call of another architecture only (EDOM), or a rule that another one covers already (EEXIST).
    if (result == -EDOM) skipped->push_back(name);
    if (result < 0 && result != -EDOM && result != -EEXIST) return result;
  }
  return 0;
}

// A filter for these architectures alone; 0 or -errno. libseccomp starts with this machine's.
int AddArchitectures(void* filter, const std::vector<uint32_t>& tokens) {
  for (uint32_t token : tokens) {
    int result = seccomp_arch_add(filter, token);
    if (result < 0 && result != -EEXIST) return result;
  }
  bool native = std::find(tokens.begin(), tokens.end(), seccomp_arch_native()) != tokens.end();
  return native ? 0 : seccomp_arch_remove(filter, seccomp_arch_native());
}

// libseccomp 2.5 writes to a descriptor only.
Napi::Value Export(Napi::Env env, void* filter, const std::vector<std::string>& skipped, int highest) {
  UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return Result(env, -1);
  int result = seccomp_export_bpf(filter, file.get());
  if (result < 0) return Value(env, result);
  off_t size = lseek(file.get(), 0, SEEK_END);
  auto program = Napi::Buffer<char>::New(env, static_cast<size_t>(size));
  if (pread(file.get(), program.Data(), program.Length(), 0) != size) return Value(env, -EIO);
  Napi::Array names = Napi::Array::New(env, skipped.size());
  for (uint32_t i = 0; i < skipped.size(); i++) names[i] = Napi::String::New(env, skipped[i]);
  Napi::Object compiled = Napi::Object::New(env);
  compiled["program"] = program;
  compiled["skipped"] = names;
  compiled["highest"] = Napi::Number::New(env, highest);
  return compiled;
}

// Splits the architectures into this machine's, which is always there, and others. False: one is not known.
bool ReadArchitectures(const Napi::Array& names, std::vector<uint32_t>* foreign) {
  for (uint32_t i = 0; i < names.Length(); i++) {
    uint32_t token = seccomp_arch_resolve_name(names.Get(i).As<Napi::String>().Utf8Value().c_str());
    if (token == 0) return false;
    if (token != seccomp_arch_native()) foreign->push_back(token);
  }
  return true;
}

// Builds a filter; 0 or -errno.
int Build(Filter* filter, const Napi::Object& request, const std::vector<uint32_t>& architectures, bool foreign,
          std::vector<std::string>* skipped, int* highest) {
  filter->reset(seccomp_init(Action(request.Get("defaultAction"))));
  if (!*filter) return -EINVAL;
  // A binary tree of numbers instead of a list: a dozen comparisons per system call instead of hundreds.
  int result = seccomp_attr_set(filter->get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result == 0) result = AddArchitectures(filter->get(), architectures);
  Napi::Array rules = request.Get("rules").As<Napi::Array>();
  for (uint32_t i = 0; result == 0 && i < rules.Length(); i++)
    result = AddRule(filter->get(), foreign, rules.Get(i).As<Napi::Object>(), skipped, highest);
  return result;
}

Napi::Value Compile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object request = info[0].As<Napi::Object>();
  std::vector<uint32_t> foreign;
  if (!ReadArchitectures(request.Get("architectures").As<Napi::Array>(), &foreign)) return Value(env, -EINVAL);
  std::vector<std::string> skipped;
  int highest = -1;
  Filter filter(nullptr, seccomp_release);
  int result = Build(&filter, request, {seccomp_arch_native()}, false, &skipped, &highest);
  if (result == 0 && !foreign.empty()) {
    // Apart, then merged: a number that libseccomp has no name for can't be added where there are two architectures.
    std::vector<std::string> ignored;
    int unused = -1;
    Filter others(nullptr, seccomp_release);
    result = Build(&others, request, foreign, true, &ignored, &unused);
    if (result == 0) result = seccomp_merge(filter.get(), others.get());
    if (result == 0) others.release(); // seccomp_merge(3) has released it
  }
  if (result < 0) return Value(env, result);
  return Export(env, filter.get(), skipped, highest);
}

Napi::Value NumberOf(const Napi::CallbackInfo& info) {
  return Value(info.Env(), SyscallNumber(Text(info, 0)));
}

}  // namespace

void InitSeccomp(Napi::Env env, Napi::Object exports) {
  exports["seccompCompile"] = Napi::Function::New(env, Compile);
  exports["syscallNumber"] = Napi::Function::New(env, NumberOf);
}
