#ifndef TAMER_TOOLS_WATCH_LOCAL_SERVER_H_
#define TAMER_TOOLS_WATCH_LOCAL_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "core/base/status.h"

struct MHD_Daemon;

namespace tamer {

// A web server for this machine's own browser: it listens at 127.0.0.1 alone,
// answers GET alone, and refuses what was not asked of "127.0.0.1" or
// "localhost" by name, so that no page from elsewhere can read it through a
// name of its own that it points here (DNS rebinding). One thread answers all.
class LocalServer {
 public:
  struct Request {
    std::string path;   // "/data.json"
    std::string since;  // of "?since=…"
  };
  struct Answer {
    int code = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
  };
  // Called on the server's thread, never twice at once.
  using Handler = std::function<Answer(const Request&)>;

  // Port 0: any that is free. An error names the port that is taken.
  static absl::StatusOr<std::unique_ptr<LocalServer>> Start(int port,
                                                            Handler handler);
  ~LocalServer();

  int port() const { return port_; }
  const Handler& handler() const { return handler_; }

 private:
  explicit LocalServer(Handler handler) : handler_(std::move(handler)) {}

  const Handler handler_;
  MHD_Daemon* daemon_ = nullptr;
  int port_ = 0;
};

// Whether a Host header names this machine's own address, with or without a
// port.
bool IsLocalHost(const std::string& host);

}  // namespace tamer

#endif  // TAMER_TOOLS_WATCH_LOCAL_SERVER_H_
