#include "plugins/host/guard.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>

namespace tamer {
namespace {

thread_local const char* current_site = nullptr;
// For threads that a plugin made itself: the last call that anybody began.
std::atomic<const char*> last_site{nullptr};

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
struct sigaction previous[64];

const char* NameOf(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "a segmentation fault";
    case SIGBUS:
      return "a bus error (was the library's file overwritten?)";
    case SIGFPE:
      return "an arithmetic fault";
    case SIGILL:
      return "an illegal instruction";
    default:
      return "an abort";
  }
}

// Only what is allowed in a signal handler.
void Write(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

void Report(int signal, siginfo_t*, void*) {
  const char* site = current_site;
  if (site == nullptr) site = last_site.load();
  if (site != nullptr) {
    Write(site);
    Write(": ");
    Write(NameOf(signal));
    Write(" inside the plugin ended this process\n");
  }
  sigaction(signal, &previous[signal], nullptr);
  raise(signal);
}

}  // namespace

CallGuard::CallGuard(const char* site) : before_(current_site) {
  current_site = site;
  if (before_ == nullptr) last_site.store(site, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

CallGuard::~CallGuard() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  current_site = before_;
  if (before_ == nullptr) last_site.store(nullptr, std::memory_order_relaxed);
}

const char* CallGuard::Current() { return current_site; }

void InstallCrashReporter() {
  static std::once_flag once;
  std::call_once(once, [] {
    // A plugin that overflows its stack is told of too, on this thread.
    static char stack[64 << 10];
    stack_t alternate;
    std::memset(&alternate, 0, sizeof(alternate));
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof(stack);
    sigaltstack(&alternate, nullptr);
    struct sigaction action;
    std::memset(&action, 0, sizeof(action));
    action.sa_sigaction = Report;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int signal : kSignals) {
      sigaction(signal, &action, &previous[signal]);
    }
  });
}

}  // namespace tamer
