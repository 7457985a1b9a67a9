#ifndef TAMER_TOOLS_WATCH_WATCH_H_
#define TAMER_TOOLS_WATCH_WATCH_H_

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "core/op/registry.h"
#include "tools/watch/local_server.h"
#include "tools/watch/relay.h"

namespace tamer {

// Serves the report of a run while it trains: `/` is the page, `/data.json`
// what is new since the version that the page has. The report is made when
// somebody asks and the run has written something, on the server's thread.
class Watch : public Relay {
 public:
  // `run` need not exist yet. `registry` and `next` must outlive it. Port -1:
  // kPort, or if that is taken any free one.
  static constexpr int kPort = 7007;
  static absl::StatusOr<std::unique_ptr<Watch>> Start(
      int port, const std::string& run, const OpRegistry& registry,
      Observer* next);

  // "http://127.0.0.1:7007/".
  std::string address() const;

  void Progress(const PhaseReport& report) override;
  void EpochEnds(const PhaseReport& report) override;

 private:
  Watch(const std::string& run, const OpRegistry& registry, Observer* next)
      : Relay(next), run_(run), registry_(registry) {}
  LocalServer::Answer Answer(const LocalServer::Request& request);
  nlohmann::ordered_json Data() const;
  std::string Version() const;
  void Note(const PhaseReport& report);

  const std::string run_;
  const OpRegistry& registry_;
  std::mutex mutex_;  // guards what stands below it
  nlohmann::ordered_json progress_;
  // Last, to stop first.
  std::unique_ptr<LocalServer> server_;
};

}  // namespace tamer

#endif  // TAMER_TOOLS_WATCH_WATCH_H_
