#include "tools/watch/local_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <strings.h>

#include <cerrno>
#include <cstring>
#include <exception>

namespace tamer {
namespace {

constexpr unsigned kConnections = 32;
constexpr unsigned kTimeoutSeconds = 20;

MHD_Result Send(MHD_Connection* connection, const LocalServer::Answer& answer) {
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()),
      MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, "Content-Type", answer.type.c_str());
  MHD_add_response_header(response, "Cache-Control", "no-store");
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(response, "Cross-Origin-Resource-Policy",
                          "same-origin");
  MHD_add_response_header(response, "X-Frame-Options", "DENY");
  const MHD_Result queued = MHD_queue_response(
      connection, static_cast<unsigned>(answer.code), response);
  MHD_destroy_response(response);
  return queued;
}

LocalServer::Answer Respond(const LocalServer& server,
                            MHD_Connection* connection, const char* url,
                            const char* method) {
  const char* host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                 MHD_HTTP_HEADER_HOST);
  if (host == nullptr || !IsLocalHost(host)) {
    return {403, "text/plain", "only for 127.0.0.1 and localhost\n"};
  }
  if (std::strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
    return {405, "text/plain", "only GET\n"};
  }
  const char* since =
      MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "since");
  try {
    return server.handler()({url, since == nullptr ? "" : since});
  } catch (const std::exception& error) {
    return {500, "text/plain", std::string(error.what()) + "\n"};
  }
}

MHD_Result OnRequest(void* server, MHD_Connection* connection, const char* url,
                     const char* method, const char*, const char*,
                     size_t* upload_size, void** seen) {
  // The first call has the headers alone; the answer comes with the second,
  // and what is uploaded in between is dropped.
  static int mark = 0;
  if (*seen == nullptr || *upload_size > 0) {
    *seen = &mark;
    *upload_size = 0;
    return MHD_YES;
  }
  return Send(connection, Respond(*static_cast<LocalServer*>(server),
                                  connection, url, method));
}

}  // namespace

bool IsLocalHost(const std::string& host) {
  const size_t colon = host.find(':');
  const std::string name = host.substr(0, colon);
  if (colon != std::string::npos &&
      host.find_first_not_of("0123456789", colon + 1) != std::string::npos) {
    return false;
  }
  return name == "127.0.0.1" || strcasecmp(name.c_str(), "localhost") == 0;
}

absl::StatusOr<std::unique_ptr<LocalServer>> LocalServer::Start(
    int port, Handler handler) {
  auto server =
      std::unique_ptr<LocalServer>(new LocalServer(std::move(handler)));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  errno = 0;
  server->daemon_ = MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &OnRequest,
      server.get(), MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT,
      kConnections, MHD_OPTION_CONNECTION_TIMEOUT, kTimeoutSeconds,
      MHD_OPTION_END);
  if (server->daemon_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve at 127.0.0.1:", port, ": ",
                     errno == 0 ? "no reason given" : std::strerror(errno),
                     "; choose another port by --watch=PORT"));
  }
  const MHD_DaemonInfo* info =
      MHD_get_daemon_info(server->daemon_, MHD_DAEMON_INFO_BIND_PORT);
  server->port_ = info == nullptr ? port : info->port;
  return server;
}

LocalServer::~LocalServer() {
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

}  // namespace tamer
