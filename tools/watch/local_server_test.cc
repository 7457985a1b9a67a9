#include "tools/watch/local_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

// What the server at `address` says to `request`, byte for byte; "" if nobody
// listens there.
std::string Ask(const char* address, int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address, &to.sin_addr);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) {
    EXPECT_EQ(write(fd, request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;) {
      answer.append(buffer, got);
    }
  }
  close(fd);
  return answer;
}

std::string Get(const std::string& target, const std::string& host) {
  return "GET " + target + " HTTP/1.1\r\nHost: " + host +
         "\r\nConnection: close\r\n\r\n";
}

class LocalServerTest : public ::testing::Test {
 protected:
  LocalServerTest() {
    auto server =
        LocalServer::Start(0, [](const LocalServer::Request& request) {
          return LocalServer::Answer{200, "text/plain",
                                     request.path + " since " + request.since};
        });
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<LocalServer> server_;
};

TEST_F(LocalServerTest, AnswersThisMachine) {
  for (const char* host : {"127.0.0.1", "localhost", "LOCALHOST:80"}) {
    const std::string answer =
        Ask("127.0.0.1", server_->port(), Get("/data.json?since=7", host));
    EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 200")) << answer;
    EXPECT_TRUE(absl::EndsWith(answer, "/data.json since 7")) << answer;
    EXPECT_TRUE(absl::StrContains(answer, "Cache-Control: no-store"));
  }
}

// A name of somebody else's that leads here must not open it to their pages.
TEST_F(LocalServerTest, RefusesOtherNames) {
  for (const char* host :
       {"evil.example", "evil.example:7007", "127.0.0.1.evil.example",
        "localhost.evil.example", "127.0.0.1:80.evil.example", "10.0.0.1", "",
        "[::1]"}) {
    const std::string answer =
        Ask("127.0.0.1", server_->port(), Get("/", host));
    EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 403")) << host << answer;
    EXPECT_FALSE(absl::StrContains(answer, "since")) << host;
  }
  const std::string none =
      Ask("127.0.0.1", server_->port(), "GET / HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(absl::StrContains(none, " 200 ")) << none;
}

TEST_F(LocalServerTest, ListensAtNoOtherAddress) {
  // The whole of 127.0.0.0/8 is this machine, but only one of it is served.
  EXPECT_EQ(Ask("127.0.0.2", server_->port(), Get("/", "127.0.0.1")), "");
}

TEST_F(LocalServerTest, AnswersGetAlone) {
  const std::string answer =
      Ask("127.0.0.1", server_->port(),
          "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
          "Connection: close\r\n\r\nabc");
  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 405")) << answer;
}

TEST_F(LocalServerTest, SurvivesNonsense) {
  Ask("127.0.0.1", server_->port(), std::string(100000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(
      absl::StartsWith(Ask("127.0.0.1", server_->port(), Get("/", "localhost")),
                       "HTTP/1.1 200"));
}

TEST_F(LocalServerTest, SaysThatThePortIsTaken) {
  const auto second = LocalServer::Start(
      server_->port(),
      [](const LocalServer::Request&) { return LocalServer::Answer(); });
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(absl::StrContains(second.status().message(), "--watch=PORT"))
      << second.status();
}

}  // namespace
}  // namespace tamer
