#include "plugins/host/library.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "plugins/host/guard.h"
#include "plugins/host/services.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

constexpr char kEntry[] = "tamer_plugin_entry";
constexpr uint32_t kMostTables = 10000;

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
#else
constexpr int kMachine = EM_NONE;
#endif

std::string MachineName(int machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "AArch64";
    case EM_386:
      return "32-bit x86";
    case EM_ARM:
      return "32-bit ARM";
    case EM_RISCV:
      return "RISC-V";
    default:
      return absl::StrCat("machine ", machine);
  }
}

// What dlopen says of a wrong file helps nobody.
absl::Status CheckElf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot be opened: ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) return Invalid("not a file");
  Elf64_Ehdr header;
  std::memset(&header, 0, sizeof(header));
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot be opened: ", std::strerror(errno)));
  }
  const ssize_t got = read(file, &header, sizeof(header));
  close(file);
  if (got < EI_NIDENT || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return Invalid("not a shared library (it has no ELF header)");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      (kMachine != EM_NONE && header.e_machine != kMachine)) {
    return Invalid("made for ", MachineName(header.e_machine),
                   header.e_ident[EI_CLASS] == ELFCLASS64 ? "" : " (32 bits)",
                   ", but this is ", MachineName(kMachine));
  }
  if (header.e_type != ET_DYN) {
    return Invalid("an ELF file, but not a shared library; link it with ",
                   "-shared");
  }
  return absl::OkStatus();
}

// The table that the library's entry gives.
absl::StatusOr<TamerPlugin> Enter(const std::string& path) {
  dlerror();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* error = dlerror();
    return Invalid("cannot be loaded: ",
                   error == nullptr ? "the loader doesn't say why" : error);
  }
  void* symbol = dlsym(handle, kEntry);
  if (symbol == nullptr) {
    return Invalid("no Tamer plugin: it exports no ", kEntry,
                   "; is TAMER_PLUGIN(...) there?");
  }
  const auto entry =
      reinterpret_cast<const TamerPlugin* (*)(const TamerHost*)>(symbol);
  const TamerPlugin* table = nullptr;
  TAMER_RETURN_IF_ERROR(Guarded("its entry", [&](TamerError*) {
    table = entry(&HostServices());
    return TAMER_OK;
  }));
  if (table == nullptr) return Invalid("its entry returned null");
  constexpr size_t kLeast = offsetof(TamerPlugin, query) + sizeof(void*);
  if (table->struct_size < kLeast) {
    return Invalid("its TamerPlugin says it has ", table->struct_size,
                   " bytes; the first version had ", kLeast);
  }
  return Take(table);
}

absl::Status CheckVersions(const TamerPlugin& plugin) {
  if (plugin.abi_version == 0) {
    return Invalid("its abi_version is 0; set it to TAMER_ABI_VERSION");
  }
  if (plugin.min_host_abi > TAMER_ABI_VERSION) {
    return Invalid("needs plugin interface ", plugin.min_host_abi,
                   ", and this Tamer has ", TAMER_ABI_VERSION,
                   "; use a newer Tamer, or a plugin built for this one");
  }
  if (plugin.name == nullptr || plugin.name[0] == 0) {
    return Invalid("it has no name");
  }
  if (plugin.query == nullptr) {
    return Invalid("its callback `query` is null");
  }
  return absl::OkStatus();
}

// Loads the library in a child process, and says how that ended.
absl::Status TryInChild(const std::string& path) {
  const pid_t child = fork();
  if (child < 0) return absl::OkStatus();  // then the attempt has to do
  if (child == 0) {
    // Its words would come twice.
    const int null = open("/dev/null", O_WRONLY);
    if (null >= 0) {
      dup2(null, STDOUT_FILENO);
      dup2(null, STDERR_FILENO);
    }
    Enter(path).status().IgnoreError();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    return absl::InternalError(absl::StrCat("crashes while it is loaded (",
                                            strsignal(WTERMSIG(status)), ")"));
  }
  if (WEXITSTATUS(status) != 0) {
    return absl::InternalError(
        absl::StrCat("ends the process while it is loaded (exit code ",
                     WEXITSTATUS(status), ")"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Library> LoadLibrary(const std::string& path) {
  Library library;
  library.path = path;
  library.file = path.substr(path.find_last_of('/') + 1);
  const std::string where = absl::StrCat("plugin ", library.file);
  InstallCrashReporter();
  absl::Status status = CheckElf(path);
  if (status.ok()) status = TryInChild(path);
  if (!status.ok()) return Annotate(status, where);
  auto plugin = Enter(path);
  if (plugin.ok()) status = CheckVersions(*plugin);
  status.Update(plugin.status());
  if (!status.ok()) return Annotate(status, where);
  library.plugin = *plugin;
  return library;
}

absl::StatusOr<std::vector<const void*>> Library::Tables(
    const char* capability) const {
  const TamerList* list = nullptr;
  TAMER_RETURN_IF_ERROR(
      Guarded(absl::StrCat("plugin ", file), [&](TamerError*) {
        list = plugin.query(capability);
        return TAMER_OK;
      }));
  std::vector<const void*> tables;
  if (list == nullptr) return tables;
  const TamerList taken = Take(list);
  if (taken.count > kMostTables || (taken.count > 0 && !taken.items)) {
    return Invalid("plugin ", file, ": its list of ", capability, " tells of ",
                   taken.count, " tables");
  }
  for (uint32_t i = 0; i < taken.count; ++i) {
    if (taken.items[i] == nullptr) {
      return Invalid("plugin ", file, ": table ", i, " of ", capability,
                     " is null");
    }
    tables.push_back(taken.items[i]);
  }
  return tables;
}

}  // namespace tamer
