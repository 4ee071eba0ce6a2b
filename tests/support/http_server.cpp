#include "tests/support/http_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/assert.hpp"

namespace forerun::test {
namespace {

constexpr auto server_patience = std::chrono::seconds(20);

}  // namespace

std::string HttpRequestSeen::header(std::string_view name) const {
  const std::size_t at = head.find("\r\n" + std::string(name) + ":");
  if (at == std::string::npos) {
    return {};
  }
  const std::size_t begin = head.find_first_not_of(' ', at + 3 + name.size());
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

bool HttpConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = tls_ != nullptr
                             ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                             : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool HttpConnection::answer(int status, std::string_view body, std::string_view headers) {
  return send("HTTP/1.1 " + std::to_string(status) +
              " Said\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
              std::string(headers) + "\r\n" + std::string(body));
}

std::string HttpConnection::receive() {
  char buffer[4096];
  const ssize_t size = tls_ != nullptr ? SSL_read(tls_, buffer, sizeof buffer)
                                       : ::recv(socket_, buffer, sizeof buffer, 0);
  return size > 0 ? std::string(buffer, static_cast<std::size_t>(size)) : std::string();
}

void HttpConnection::wait_until_closed() {
  while (!receive().empty()) {
  }
  cut();
}

TlsIdentity::TlsIdentity(const std::string& address) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_set_version(certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("forerun test"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* const subject =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, ("IP:" + address).c_str());
  X509_add_ext(certificate, subject, -1);
  X509_EXTENSION_free(subject);
  FORERUN_ASSERT(X509_sign(certificate, key, EVP_sha256()) > 0);
  BIO* const out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  pem_.assign(text, static_cast<std::size_t>(size));
  BIO_free(out);
  context_ = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate(context_, certificate);
  SSL_CTX_use_PrivateKey(context_, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TlsIdentity::~TlsIdentity() {
  SSL_CTX_free(context_);
}

HttpServer::HttpServer(Handler handler, const TlsIdentity* tls)
    : handler_(std::move(handler)), tls_(tls) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool is_bound =
      ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(listener_, 128) == 0 &&
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  FORERUN_ASSERT(is_bound);
  url_ = std::string(tls_ != nullptr ? "https" : "http") +
         "://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    for (const int socket : open_) {
      ::shutdown(socket, SHUT_RDWR);
    }
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  ::close(listener_);
}

std::vector<HttpRequestSeen> HttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}
int HttpServer::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}
std::size_t HttpServer::open_connections() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}
bool HttpServer::wait_for_requests(std::size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, server_patience, [&] { return requests_.size() >= count; });
}
bool HttpServer::wait_for_closed(int count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, server_patience, [&] { return closed_ >= count; });
}

void HttpServer::accept_all() {
  // Of this thread and those that it starts: OpenSSL writes to clients that have left.
  sigset_t broken_pipe;
  ::sigemptyset(&broken_pipe);
  ::sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) {
      return;
    }
    const std::lock_guard lock(mutex_);
    ++connections_;
    open_.insert(socket);
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void HttpServer::serve(int socket) {
  SSL* tls = nullptr;
  bool is_open = true;
  if (tls_ != nullptr) {
    tls = SSL_new(tls_->context());
    SSL_set_fd(tls, socket);
    is_open = SSL_accept(tls) == 1;
  }
  HttpConnection connection(socket, tls);
  std::string bytes;
  while (is_open && !connection.is_cut()) {
    std::size_t head = bytes.find("\r\n\r\n");
    HttpRequestSeen request;
    if (head != std::string::npos) {
      request.head = bytes.substr(0, head + 2);
      const std::string length = request.header("Content-Length");
      const std::size_t size = length.empty() ? 0 : std::stoul(length);
      if (bytes.size() >= head + 4 + size) {
        request.body = bytes.substr(head + 4, size);
        bytes.erase(0, head + 4 + size);
        request.method = request.head.substr(0, request.head.find(' '));
        const std::size_t target = request.method.size() + 1;
        request.target = request.head.substr(target, request.head.find(' ', target) - target);
        {
          const std::lock_guard lock(mutex_);
          requests_.push_back(request);
          changed_.notify_all();
        }
        handler_(request, connection);
        continue;
      }
    }
    const std::string more = connection.receive();
    is_open = !more.empty();
    bytes += more;
  }
  SSL_free(tls);
  const std::lock_guard lock(mutex_);
  open_.erase(socket);
  ::close(socket);
  ++closed_;
  changed_.notify_all();
}

}  // namespace forerun::test
