#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

namespace forerun::test {

struct HttpRequestSeen {
  std::string method;
  std::string target;
  std::string head;  ///< All lines, the first one included.
  std::string body;
  /// The value of a header; empty when there is none.
  std::string header(std::string_view name) const;
};

/// One connection, of the thread that serves it.
class HttpConnection {
public:
  HttpConnection(int socket, SSL* tls) : socket_(socket), tls_(tls) {}
  /// False once the other end is gone.
  bool send(std::string_view bytes);
  /// A whole answer that keeps the connection.
  bool answer(int status, std::string_view body, std::string_view headers = {});
  /// Sends what a server that dies would have sent so far: nothing more.
  void cut() { is_cut_ = true; }
  bool is_cut() const { return is_cut_; }
  /// Returns once the other end has closed.
  void wait_until_closed();
  /// Bytes that have come; none: the other end has closed.
  std::string receive();

private:
  int socket_;
  SSL* tls_;
  bool is_cut_ = false;
};

/// A certificate of its own for 127.0.0.1 and its key.
class TlsIdentity {
public:
  /// `name`: the host or, where it is none, the IP address that it is for.
  explicit TlsIdentity(const std::string& address = "127.0.0.1");
  ~TlsIdentity();
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;
  const std::string& pem() const { return pem_; }
  SSL_CTX* context() const { return context_; }

private:
  SSL_CTX* context_ = nullptr;
  std::string pem_;
};

/// A server on loopback; each connection is served by a thread, each request by `handler`.
class HttpServer {
public:
  using Handler = std::function<void(const HttpRequestSeen&, HttpConnection&)>;
  explicit HttpServer(Handler handler, const TlsIdentity* tls = nullptr);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "http://127.0.0.1:PORT".
  const std::string& url() const { return url_; }
  /// So far.
  std::vector<HttpRequestSeen> requests() const;
  int connections() const;
  /// Connections that are open at the server's end.
  std::size_t open_connections() const;
  /// Waits for so many requests or closed connections in all. False: it took too long.
  bool wait_for_requests(std::size_t count) const;
  bool wait_for_closed(int count) const;

private:
  void accept_all();
  void serve(int socket);

  Handler handler_;
  const TlsIdentity* tls_;
  int listener_ = -1;
  std::string url_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<HttpRequestSeen> requests_;
  std::set<int> open_;
  int connections_ = 0;
  int closed_ = 0;
  bool is_ending_ = false;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace forerun::test
