// Loaded before the C library by LD_PRELOAD: counts the calls that change files
// and at the one numbered FAULT_AT does what FAULT_KIND says: "kill" (SIGKILL
// before the call), "full" (from then on writes fail with ENOSPC, each after
// half of its bytes), "readonly" (from then on nothing can be opened for
// writing). With FAULT_COUNT=FILE the number of calls is written there at the
// end.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

int calls = 0;

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int FaultAt() {
  static const int at = [] {
    const char* text = getenv("FAULT_AT");
    return text == nullptr ? 0 : atoi(text);
  }();
  return at;
}

bool Is(const char* kind) {
  const char* text = getenv("FAULT_KIND");
  return text != nullptr && strcmp(text, kind) == 0;
}

// Counts a call; whether faults have begun.
bool Begun() {
  ++calls;
  if (FaultAt() == 0 || calls < FaultAt()) return false;
  if (Is("kill")) kill(getpid(), SIGKILL);
  return true;
}

__attribute__((destructor)) void Report() {
  const char* path = getenv("FAULT_COUNT");
  if (path == nullptr) return;
  unsetenv("FAULT_COUNT");
  if (FILE* file = fopen(path, "w")) {
    fprintf(file, "%d", calls);
    fclose(file);
  }
}

bool IsFile(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  const auto next = Next<ssize_t (*)(int, const void*, size_t)>("write");
  if (!IsFile(fd)) return next(fd, data, size);
  if (Begun() && Is("full")) {
    if (size > 1) return next(fd, data, size / 2);
    errno = ENOSPC;
    return -1;
  }
  return next(fd, data, size);
}

int fsync(int fd) {
  Begun();
  return Next<int (*)(int)>("fsync")(fd);
}

int rename(const char* from, const char* to) {
  Begun();
  return Next<int (*)(const char*, const char*)>("rename")(from, to);
}

int unlink(const char* path) {
  Begun();
  return Next<int (*)(const char*)>("unlink")(path);
}

int rmdir(const char* path) {
  Begun();
  return Next<int (*)(const char*)>("rmdir")(path);
}

int mkdir(const char* path, mode_t mode) {
  if (Begun() && (Is("readonly") || Is("full")) && access(path, F_OK) != 0) {
    errno = Is("full") ? ENOSPC : EROFS;
    return -1;
  }
  return Next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = (flags & O_CREAT) != 0 ? va_arg(rest, int) : 0;
  va_end(rest);
  const auto next = Next<int (*)(const char*, int, ...)>("open");
  if ((flags & (O_WRONLY | O_RDWR)) == 0) return next(path, flags, mode);
  if (Begun() && Is("readonly")) {
    errno = EROFS;
    return -1;
  }
  return next(path, flags, mode);
}

}  // extern "C"
