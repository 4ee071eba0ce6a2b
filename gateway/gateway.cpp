#include "gateway/gateway.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/basic_dynamic_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "gateway/render.hpp"
#include "gateway/routes.hpp"

namespace forerun {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;
using TlsContext = asio::ssl::context;
using TlsStream = asio::ssl::stream<Socket&>;
/// A body takes memory as it arrives, not as it is announced.
using Parser = http::request_parser<http::basic_dynamic_body<boost::beast::flat_buffer>>;

constexpr auto sweep_interval = std::chrono::milliseconds(250);
constexpr auto accept_pause = std::chrono::milliseconds(100);  ///< After EMFILE and the like.
constexpr auto linger_timeout = std::chrono::seconds(2);
constexpr auto stop_grace = std::chrono::seconds(1);
constexpr int backlog = 4096;
constexpr std::size_t chunk_bytes = 4096;
/// Read ahead of a request that still waits; with more, reading pauses.
constexpr std::size_t ahead_bytes_max = 16U << 10U;
constexpr std::size_t headers_max = 128;
/// Descriptors that connections leave to stores, sockets and processes of the same program.
constexpr std::size_t descriptors_kept = 512;
/// A chunked body ends with these bytes, "0\r\n\r\n". The parser must not be asked again with
/// fewer.
constexpr std::size_t chunked_end_bytes = 5;

Problem timed_out(std::string_view what) {
  return {.status = 408,
          .name = "request-timeout",
          .detail = std::string(what) + ": not whole in time, expected sooner",
          .closes = true};
}

/// Bodies have no room for what this one announces, or for what arrived of it.
Problem no_room(const std::string& expected) {
  return {.status = 503,
          .name = "overloaded",
          .detail = "bodies: expected at most " + expected,
          .retry_after = std::chrono::seconds(1),
          .closes = true};
}

std::string_view view_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

std::string_view view_of(const boost::beast::flat_buffer& bytes) {
  return {static_cast<const char*>(bytes.data().data()), bytes.size()};
}

class Loop;
class Connection;

/// An answer that its client has not taken whole.
struct Unread {
  Connection* connection = nullptr;
  std::size_t bytes = 0;
  SteadyClock::time_point since{};
};

/// One client. Lives on the loop's thread; the pending operations own it.
class Connection : public std::enable_shared_from_this<Connection> {
public:
  /// `tls` may be null: then bytes are read and written as they are.
  Connection(Loop& loop, Socket socket, const std::shared_ptr<TlsContext>& tls, std::string peer);

  void start();
  void on_handshake(ErrorCode problem);
  /// The answer to the request that waits.
  void answer(const RenderedAnswer& answer);
  void sweep(SteadyClock::time_point now);
  void close_if_idle();
  /// Closes an idle connection, to make room.
  void close();
  const std::string& peer() const { return peer_; }
  /// Answers the request that waits, when its token is no longer one that may ask it.
  void check_token();
  /// Leaves an answer that is being written until `deadline`; otherwise closes now.
  void stop(SteadyClock::time_point deadline);
  /// What it asked for comes in pages: the same page may be asked for once more.
  bool asks_for_page() const { return comes_in_pages(route_.endpoint); }
  bool asks_for_status() const { return route_.endpoint == Endpoint::show_status; }

private:
  enum class Stage {
    header,     ///< Reads a head, or waits for its first byte.
    body,       ///< The head was accepted.
    waiting,    ///< Handed over. Never with a deadline: a step takes as long as it takes.
    answering,  ///< The answer is being written.
    lingering,  ///< All written and our side closed: reads on, else a reset could destroy the
                ///< answer.
    closed,
  };

  void read_more();
  void on_read(ErrorCode problem, std::size_t size);
  void advance();
  bool advance_header();
  bool advance_body();
  bool feed(ErrorCode& problem);
  bool on_head();
  bool on_request();
  bool refuse(const Problem& problem);
  void respond(const RenderedAnswer& answer, bool closes);
  void send(std::string text);
  void on_written(ErrorCode problem);
  void next_request();
  void linger();
  void client_left();
  void end_unread();
  void begin_idle();
  void end_idle();
  void release_body();
  RequestHead head_of(const http::fields& fields);

  Loop& loop_;
  Socket socket_;
  std::optional<TlsStream> tls_;  ///< Over socket_.
  const std::string peer_;        ///< As peer_of() names it; empty when it is not counted.
  std::optional<std::list<Connection*>::iterator> idle_;  ///< Its place among the idle ones.
  std::optional<std::list<Unread>::iterator> unread_;     ///< Its place among the unread answers.
  Stage stage_ = Stage::header;
  SteadyClock::time_point deadline_{};
  std::optional<Parser> parser_;  ///< Exists while a request is read.
  std::size_t header_bytes_ = 0;  ///< Of the current head, already with the parser.
  std::size_t body_bytes_ = 0;    ///< Taken by this body of what all may have: its memory.
  std::string in_;                ///< Read and not parsed yet.
  std::string out_;               ///< Being written.
  std::string out_next_;          ///< To be written after it.
  Route route_;
  std::optional<RequestId> request_;  ///< Set while waiting.
  WireForm::Connection persistence_ = WireForm::Connection::close;
  bool omit_body_ = false;
  bool is_new_ = true;  ///< No request has been read yet.
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool closes_ = false;           ///< After the answer that is being written.
  bool client_finished_ = false;  ///< It will send nothing more.
  std::array<char, chunk_bytes> chunk_;
};

/// The gateway: accepts, keeps what connections share, sweeps their deadlines, takes answers from
/// other threads.
class Loop final : public Gateway {
public:
  Loop(const GatewaySettings& settings, GatewayPorts ports, const tcp::endpoint& endpoint,
       std::shared_ptr<TlsContext> tls);
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Binds and starts the thread.
  Result<void> open(const tcp::endpoint& endpoint);
  std::uint16_t port() const override { return port_; }
  void answer(ClientResponse response) override;
  void drain() override;
  void set_tokens(std::shared_ptr<const TokenTable> tokens) override;
  Result<void> renew_certificate() override;

  const GatewaySettings& settings() const { return settings_; }
  const HeadRules& rules() const { return rules_; }
  bool is_draining() const { return is_draining_; }
  std::string_view date() const { return date_; }
  std::vector<Header>& scratch_headers() { return scratch_headers_; }
  /// Why a body of this peer cannot have so many bytes more; nothing when there is room.
  std::optional<Problem> body_problem(const std::string& peer, std::size_t size) const;
  /// @pre body_problem() has none with it.
  void take_body_bytes(const std::string& peer, std::size_t size);
  void return_body_bytes(const std::string& peer, std::size_t size);
  /// Nothing when waiting_max is reached. Otherwise the request is with the coordinator.
  std::optional<RequestId> hand_over(std::string tenant, ClientRequestBody body,
                                     Connection& connection);
  void left(RequestId request);
  void forget(RequestId request) { waiting_.erase(request.value); }
  void remove(Connection& connection);
  std::list<Connection*>::iterator add_idle(Connection& connection);
  void remove_idle(std::list<Connection*>::iterator place) { idle_.erase(place); }
  /// Whether so much more may wait to be read; cuts what has waited too long for it.
  bool make_room_unread(const std::string& peer, std::size_t bytes);
  std::list<Unread>::iterator add_unread(Connection& connection, std::size_t bytes);
  void remove_unread(std::list<Unread>::iterator place);
  bool is_stopping() const { return is_stopping_; }

private:
  void accept();
  void on_accept(ErrorCode problem, Socket socket);
  void refuse_peer(Socket socket);
  json::Value own_status() const;
  void deliver();
  void sweep();
  void set_date();
  void stop();

  const GatewaySettings settings_;
  GatewayPorts ports_;
  std::shared_ptr<const TokenTable> tokens_;  ///< What rules_ points to.
  HeadRules rules_;
  std::size_t connections_max_ = 0;
  std::size_t per_peer_max_ = 0;  ///< 0: no bound.
  std::size_t bodies_per_peer_max_ = 0;
  std::size_t unread_per_peer_max_ = 0;
  std::uint64_t refused_ = 0;  ///< Connections beyond per_peer_max_.
  asio::io_context io_{1};
  Acceptor acceptor_{io_};
  Timer sweep_timer_{io_};
  Timer accept_timer_{io_};
  std::uint16_t port_ = 0;
  std::shared_ptr<TlsContext> tls_;  ///< Null without TLS.
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  struct Peer {
    std::size_t connections = 0;
    std::size_t body_bytes = 0;
    std::size_t unread_bytes = 0;
  };
  std::unordered_map<std::string, Peer> peers_;  ///< With a connection, if per_peer_max_ is set.
  std::list<Connection*> idle_;  ///< Between requests, or before the first; the longest first.
  std::list<Unread> unread_;     ///< The one that has waited longest first.
  std::size_t unread_bytes_ = 0;
  std::uint64_t unread_cut_ = 0;  ///< Connections that were closed for others' answers.
  std::unordered_map<std::uint64_t, Connection*> waiting_;
  std::uint64_t requests_ = 0;
  std::size_t bodies_bytes_ = 0;
  std::vector<Header> scratch_headers_;
  std::string date_;
  std::chrono::sys_seconds date_second_{};
  bool is_accepting_ = false;
  bool is_draining_ = false;
  bool is_stopping_ = false;

  std::mutex mutex_;
  std::vector<ClientResponse> answers_;  ///< Under mutex_. Not empty: deliver() is posted.

  std::thread thread_;
};

// ---- Connection

Connection::Connection(Loop& loop, Socket socket, const std::shared_ptr<TlsContext>& tls,
                       std::string peer)
    : loop_(loop), socket_(std::move(socket)), peer_(std::move(peer)) {
  if (tls) {
    tls_.emplace(socket_, *tls);
  }
}

void Connection::start() {
  deadline_ = SteadyClock::now() + loop_.settings().header_timeout;
  begin_idle();
  if (!tls_) {
    read_more();
    return;
  }
  tls_->async_handshake(TlsStream::server, [self = shared_from_this()](ErrorCode problem) {
    self->on_handshake(problem);
  });
}

/// A client that speaks no TLS, or trusts no certificate of ours, is told so by the handshake.
void Connection::on_handshake(ErrorCode problem) {
  if (stage_ == Stage::closed) {
    return;
  }
  if (problem) {
    close();
    return;
  }
  read_more();
}

/// One read is always outstanding, so that a client that leaves is noticed while its request waits.
void Connection::read_more() {
  const bool is_full = stage_ != Stage::header && stage_ != Stage::body &&
                       stage_ != Stage::lingering && in_.size() >= ahead_bytes_max;
  if (is_reading_ || is_full || client_finished_ || stage_ == Stage::closed) {
    return;
  }
  is_reading_ = true;
  auto done = [self = shared_from_this()](ErrorCode problem, std::size_t size) {
    self->on_read(problem, size);
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(chunk_), std::move(done));
  } else {
    socket_.async_read_some(asio::buffer(chunk_), std::move(done));
  }
}

void Connection::on_read(ErrorCode problem, std::size_t size) {
  is_reading_ = false;
  if (stage_ == Stage::closed) {
    return;
  }
  if (problem) {
    client_left();
    return;
  }
  if (stage_ != Stage::lingering) {
    in_.append(chunk_.data(), size);
  }
  advance();
  read_more();
}

/// The end of its stream counts as leaving: a client that waits keeps its side open.
void Connection::client_left() {
  client_finished_ = true;
  if (stage_ != Stage::answering) {
    close();
  }
}

void Connection::advance() {
  bool goes_on = true;
  while (goes_on) {
    goes_on = stage_ == Stage::header ? advance_header()
              : stage_ == Stage::body ? advance_body()
                                      : false;
  }
}

bool Connection::advance_header() {
  if (!parser_) {
    // RFC 9112 §2.2: empty lines ahead of a request are passed over.
    in_.erase(0, std::min(in_.find_first_not_of("\r\n"), in_.size()));
    if (in_.empty()) {
      return false;
    }
    parser_.emplace();
    end_idle();
    // The whole head is counted here: the parser's own limit starts anew with each piece.
    parser_->header_limit(
        static_cast<std::uint32_t>(loop_.settings().header_bytes_max + chunk_bytes));
    parser_->body_limit(boost::none);
    header_bytes_ = 0;
    if (!is_new_) {
      deadline_ = SteadyClock::now() + loop_.settings().header_timeout;
    }
    is_new_ = false;
  }
  ErrorCode problem;
  const std::size_t used = parser_->put(asio::buffer(in_), problem);
  in_.erase(0, used);
  header_bytes_ += used;
  const bool needs_more = problem == http::error::need_more;
  const std::size_t head_bytes = header_bytes_ + (needs_more ? in_.size() : 0);
  if (head_bytes > loop_.settings().header_bytes_max || problem == http::error::header_limit) {
    return refuse({.status = 431,
                   .name = "header-too-large",
                   .detail = "header: expected at most " +
                             std::to_string(loop_.settings().header_bytes_max) + " bytes",
                   .closes = true});
  }
  if (problem && !needs_more) {
    return refuse(
        {.detail = "request: " + problem.message() + ", expected HTTP/1.1", .closes = true});
  }
  return parser_->is_header_done() ? on_head() : false;
}

RequestHead Connection::head_of(const http::fields& fields) {
  std::vector<Header>& headers = loop_.scratch_headers();
  headers.clear();
  for (const auto& field : fields) {
    headers.push_back({view_of(field.name_string()), view_of(field.value())});
  }
  const auto& message = parser_->get();
  return {.method = view_of(message.method_string()),
          .target = view_of(message.target()),
          .is_http_1_1 = message.version() >= 11,
          .headers = headers,
          .content_length = parser_->content_length().value_or(0),
          .is_chunked = parser_->chunked()};
}

/// Judges the head. What a trailer may add later is never looked at.
bool Connection::on_head() {
  const RequestHead head = head_of(parser_->get().base());
  omit_body_ = head.method == "HEAD";
  const bool persists = parser_->keep_alive();
  persistence_ = !persists          ? WireForm::Connection::close
                 : head.is_http_1_1 ? WireForm::Connection::persistent
                                    : WireForm::Connection::keep_alive_1_0;
  if (head.headers.size() > headers_max) {
    return refuse({.status = 431,
                   .name = "header-too-large",
                   .detail = "header: expected at most " + std::to_string(headers_max) + " fields",
                   .closes = true});
  }
  auto route = route_of(head, loop_.rules());
  if (!route) {
    return refuse(route.error());
  }
  route_ = std::move(*route);
  if (!head.has_body()) {
    return on_request();
  }
  // What cannot be taken whole is not begun; what can is counted as it arrives.
  if (const auto problem = loop_.body_problem(peer_, head.content_length)) {
    return refuse(*problem);
  }
  parser_->get().body().max_size(head.is_chunked ? loop_.settings().body_bytes_max
                                                 : head.content_length);
  stage_ = Stage::body;
  deadline_ = SteadyClock::now() + loop_.settings().body_timeout;
  parser_->body_limit(loop_.settings().body_bytes_max);
  parser_->eager(true);
  if (route_.wants_continue && in_.empty()) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

bool Connection::advance_body() {
  if (in_.empty() || (parser_->chunked() && in_.size() < chunked_end_bytes)) {
    return false;
  }
  ErrorCode problem;
  const std::size_t used = parser_->put(asio::buffer(in_), problem);
  in_.erase(0, used);
  if (problem == http::error::body_limit) {
    return refuse({.status = 413,
                   .name = "too-large",
                   .detail = "body: expected at most " +
                             std::to_string(loop_.settings().body_bytes_max) + " bytes",
                   .closes = true});
  }
  if (problem && problem != http::error::need_more) {
    return refuse({.detail = "body: " + problem.message(), .closes = true});
  }
  const std::size_t more = parser_->get().body().capacity() - body_bytes_;
  if (const auto no_more = loop_.body_problem(peer_, more)) {
    return refuse(*no_more);
  }
  loop_.take_body_bytes(peer_, more);
  body_bytes_ += more;
  if (parser_->is_done()) {
    return on_request();
  }
  // What stays unread is one chunk's first line or the trailer.
  if (in_.size() > loop_.settings().header_bytes_max) {
    return refuse({.detail = "body: chunk line or trailer longer than " +
                             std::to_string(loop_.settings().header_bytes_max) + " bytes",
                   .closes = true});
  }
  return false;
}

bool Connection::on_request() {
  if (route_.endpoint == Endpoint::healthz) {
    respond(render_health(), false);
    return false;
  }
  // The body may have taken longer than its token was good for.
  if (const auto problem = check_again(route_, loop_.rules().tokens)) {
    respond(render(*problem), false);
    return false;
  }
  auto body = request_of(route_, view_of(parser_->get().body()), loop_.settings().body_bytes_max);
  if (!body) {
    respond(render(body.error()), body.error().closes);
    return false;
  }
  parser_.reset();
  release_body();
  stage_ = Stage::waiting;
  deadline_ = SteadyClock::time_point::max();
  request_ = loop_.hand_over(route_.tenant, std::move(*body), *this);
  if (!request_) {
    respond(render(Problem{.status = 503,
                           .name = "overloaded",
                           .detail = "requests: expected at most " +
                                     std::to_string(loop_.settings().waiting_max) + " waiting",
                           .retry_after = std::chrono::seconds(1)}),
            false);
  }
  return false;
}

void Connection::answer(const RenderedAnswer& answer) {
  FORERUN_ASSERT(stage_ == Stage::waiting);
  request_.reset();
  // What was decided must reach its client; a page can be asked for again.
  if (!loop_.make_room_unread(peer_, answer.body.size()) && asks_for_page()) {
    respond(render(Problem{.status = 503,
                           .name = "overloaded",
                           .detail = "answers: expected at most " +
                                     std::to_string(loop_.settings().unread_bytes_max) +
                                     " bytes that clients have not read yet",
                           .retry_after = std::chrono::seconds(1)}),
            false);
  } else {
    respond(answer, false);
  }
  read_more();
}

/// Answers a head or body that is not accepted. A body that is still to come is not read, so the
/// connection ends.
bool Connection::refuse(const Problem& problem) {
  respond(render(problem), problem.closes || !parser_ || !parser_->is_done());
  return false;
}

void Connection::respond(const RenderedAnswer& answer, bool closes) {
  release_body();
  closes_ = closes || client_finished_ || loop_.is_draining() ||
            persistence_ == WireForm::Connection::close;
  parser_.reset();
  stage_ = Stage::answering;
  deadline_ = SteadyClock::now() + loop_.settings().write_timeout;
  std::string text =
      to_wire(answer, {.connection = closes_ ? WireForm::Connection::close : persistence_,
                       .omit_body = omit_body_,
                       .date = loop_.date()});
  unread_ = loop_.add_unread(*this, text.size());
  send(std::move(text));
}

void Connection::send(std::string text) {
  if (is_writing_) {
    out_next_ += text;
    return;
  }
  is_writing_ = true;
  out_ = std::move(text);
  auto done = [self = shared_from_this()](ErrorCode problem, std::size_t) {
    self->on_written(problem);
  };
  if (tls_) {
    asio::async_write(*tls_, asio::buffer(out_), std::move(done));
  } else {
    asio::async_write(socket_, asio::buffer(out_), std::move(done));
  }
}

void Connection::on_written(ErrorCode problem) {
  is_writing_ = false;
  if (stage_ == Stage::closed) {
    return;
  }
  if (problem) {
    close();
    return;
  }
  if (!out_next_.empty()) {
    send(std::exchange(out_next_, {}));
    return;
  }
  // A waiting connection keeps no memory for what it said.
  out_ = std::string();
  end_unread();
  if (stage_ != Stage::answering) {
    return;
  }
  if (closes_ || client_finished_ || loop_.is_draining()) {
    linger();
  } else {
    next_request();
  }
}

void Connection::next_request() {
  stage_ = Stage::header;
  persistence_ = WireForm::Connection::close;
  omit_body_ = false;
  deadline_ = SteadyClock::now() + loop_.settings().idle_timeout;
  begin_idle();
  advance();
  read_more();
}

void Connection::linger() {
  if (client_finished_) {
    close();
    return;
  }
  stage_ = Stage::lingering;
  deadline_ = std::min(deadline_, SteadyClock::now() + linger_timeout);
  if (tls_) {
    // RFC 8446 §6.1: without its close_notify the client could not tell an end from a cut.
    tls_->async_shutdown([self = shared_from_this()](ErrorCode) {});
  } else {
    ErrorCode ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  in_ = std::string();
  read_more();
}

void Connection::release_body() {
  loop_.return_body_bytes(peer_, std::exchange(body_bytes_, 0));
}

void Connection::close() {
  if (stage_ == Stage::closed) {
    return;
  }
  stage_ = Stage::closed;
  end_idle();
  end_unread();
  release_body();
  ErrorCode ignored;
  socket_.close(ignored);
  if (request_) {
    loop_.left(*std::exchange(request_, std::nullopt));
  }
  loop_.remove(*this);  // May end this object: nothing follows.
}

void Connection::end_unread() {
  if (unread_) {
    loop_.remove_unread(*std::exchange(unread_, std::nullopt));
  }
}

void Connection::begin_idle() {
  idle_ = loop_.add_idle(*this);
}

void Connection::end_idle() {
  if (idle_) {
    loop_.remove_idle(*std::exchange(idle_, std::nullopt));
  }
}

void Connection::sweep(SteadyClock::time_point now) {
  if (now < deadline_) {
    return;
  }
  if (stage_ == Stage::header && parser_) {
    refuse(timed_out("header"));
  } else if (stage_ == Stage::body) {
    refuse(timed_out("body"));
  } else {
    close();
  }
}

void Connection::close_if_idle() {
  if (stage_ == Stage::header && !parser_) {
    close();
  }
}

void Connection::check_token() {
  const auto problem = request_ ? check_again(route_, loop_.rules().tokens) : std::nullopt;
  if (problem) {
    loop_.left(*std::exchange(request_, std::nullopt));
    respond(render(*problem), true);
    read_more();
  }
}

void Connection::stop(SteadyClock::time_point deadline) {
  if (stage_ == Stage::answering || stage_ == Stage::lingering) {
    deadline_ = std::min(deadline_, deadline);
    return;
  }
  if (request_) {
    loop_.forget(*std::exchange(request_, std::nullopt));
  }
  close();
}

// ---- Loop

/// As many connections as the settings allow and the descriptor limit has room for.
std::size_t connections_possible(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return wanted;
  }
  const auto descriptors = static_cast<std::size_t>(limit.rlim_cur);
  return std::min(wanted, descriptors - std::min(descriptors_kept, descriptors / 2));
}

/// At least one; a share of 1 is all of it.
std::size_t share_of(std::size_t whole, double share) {
  return std::max<std::size_t>(1, static_cast<std::size_t>(share * static_cast<double>(whole)));
}

/// Of one peer; 0: no bound.
std::size_t per_peer_possible(const GatewaySettings& settings, std::size_t connections_max) {
  std::size_t most = settings.connections_per_peer_max;
  if (settings.per_peer_share < 1) {
    const std::size_t share = share_of(connections_max, settings.per_peer_share);
    most = most == 0 ? share : std::min(most, share);
  }
  return most;
}

/// What connections are encrypted with; null without a certificate.
Result<std::shared_ptr<TlsContext>> tls_of(const GatewaySettings& settings) {
  if (settings.tls_certificate.empty() && settings.tls_key.empty()) {
    return std::shared_ptr<TlsContext>();
  }
  if (settings.tls_certificate.empty() || settings.tls_key.empty()) {
    return fail(Errc::invalid, "gateway: TLS: expected a certificate and its key, both or none");
  }
  struct stat status {};
  if (::stat(settings.tls_key.c_str(), &status) != 0) {
    return fail(Errc::io, "gateway: " + settings.tls_key + ": " + std::strerror(errno));
  }
  if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    return fail(Errc::refused, "gateway: " + settings.tls_key +
                                   ": others may read it, expected mode 0600 or 0640");
  }
  auto tls = std::make_shared<TlsContext>(TlsContext::tls_server);
  tls->set_options(TlsContext::default_workarounds | TlsContext::no_sslv2 | TlsContext::no_sslv3 |
                   TlsContext::no_tlsv1 | TlsContext::no_tlsv1_1);
  // Nobody sits before this process who could type one.
  tls->set_password_callback([](std::size_t, TlsContext::password_purpose) { return ""; });
  ErrorCode problem;
  tls->use_certificate_chain_file(settings.tls_certificate, problem);
  if (problem) {
    return fail(Errc::invalid, "gateway: " + settings.tls_certificate + ": " + problem.message() +
                                   ", expected a certificate (PEM)");
  }
  tls->use_private_key_file(settings.tls_key, TlsContext::pem, problem);
  if (problem) {
    return fail(Errc::invalid, "gateway: " + settings.tls_key + ": " + problem.message() +
                                   ", expected the certificate's key (PEM, no passphrase)");
  }
  return tls;
}

/// Whom a connection counts for: an IPv4 address, or the /64 of an IPv6 one, which is one site's.
std::string peer_of(const asio::ip::address& address) {
  if (address.is_v4()) {
    return address.to_string();
  }
  const asio::ip::address_v6 six = address.to_v6();
  if (six.is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, six).to_string();
  }
  constexpr std::size_t network_bytes = 8;
  const auto bytes = six.to_bytes();
  return {bytes.begin(), bytes.begin() + network_bytes};
}

Loop::Loop(const GatewaySettings& settings, GatewayPorts ports, const tcp::endpoint& endpoint,
           std::shared_ptr<TlsContext> tls)
    : settings_(settings),
      ports_(std::move(ports)),
      tokens_(settings.tokens),
      rules_{.bound_host = endpoint.address().to_string(),
             .is_loopback = endpoint.address().is_loopback(),
             .names = settings.names,
             .tokens = tokens_.get(),
             .body_bytes_max = settings.body_bytes_max},
      connections_max_(connections_possible(settings.connections_max)),
      per_peer_max_(per_peer_possible(settings, connections_max_)),
      bodies_per_peer_max_(share_of(settings.bodies_bytes_max, settings.per_peer_share)),
      unread_per_peer_max_(share_of(settings.unread_bytes_max, settings.per_peer_share)),
      tls_(std::move(tls)) {}

Result<void> Loop::open(const tcp::endpoint& endpoint) {
  ErrorCode problem;
  const auto failed = [&](const char* doing) {
    return fail(Errc::io, "gateway: " + endpoint.address().to_string() + " port " +
                              std::to_string(endpoint.port()) + ": " + doing + ": " +
                              problem.message());
  };
  acceptor_.open(endpoint.protocol(), problem);
  if (problem) {
    return failed("open");
  }
  acceptor_.set_option(asio::socket_base::reuse_address(true), problem);
  acceptor_.bind(endpoint, problem);
  if (problem) {
    return failed("bind");
  }
  acceptor_.listen(backlog, problem);
  if (problem) {
    return failed("listen");
  }
  port_ = acceptor_.local_endpoint(problem).port();
  if (problem) {
    return failed("read the port");
  }
  set_date();
  accept();
  sweep();
  // Signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { io_.run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

Loop::~Loop() {
  if (thread_.joinable()) {
    asio::post(io_, [this] { stop(); });
    thread_.join();
  }
}

void Loop::stop() {
  is_draining_ = true;
  is_stopping_ = true;
  ErrorCode ignored;
  acceptor_.close(ignored);
  const auto deadline = SteadyClock::now() + stop_grace;
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [key, connection] : connections_) {
    all.push_back(connection);
  }
  for (const auto& connection : all) {
    connection->stop(deadline);
  }
  if (connections_.empty()) {
    io_.stop();
  }
}

void Loop::drain() {
  asio::post(io_, [this] {
    is_draining_ = true;
    ErrorCode ignored;
    acceptor_.close(ignored);
    std::vector<std::shared_ptr<Connection>> all;
    for (const auto& [key, connection] : connections_) {
      all.push_back(connection);
    }
    for (const auto& connection : all) {
      connection->close_if_idle();
    }
  });
}

void Loop::set_tokens(std::shared_ptr<const TokenTable> tokens) {
  FORERUN_ASSERT(settings_.tokens != nullptr && tokens != nullptr);
  asio::post(io_, [this, tokens = std::move(tokens)]() mutable {
    tokens_ = std::move(tokens);
    rules_.tokens = tokens_.get();
    std::vector<std::shared_ptr<Connection>> all;
    for (const auto& [key, connection] : connections_) {
      all.push_back(connection);
    }
    for (const auto& connection : all) {
      connection->check_token();
    }
  });
}

void Loop::accept() {
  if (is_draining_ || is_accepting_ || (connections_.size() >= connections_max_ && idle_.empty())) {
    return;
  }
  is_accepting_ = true;
  acceptor_.async_accept([this](ErrorCode problem, Socket socket) {
    is_accepting_ = false;
    on_accept(problem, std::move(socket));
  });
}

void Loop::on_accept(ErrorCode problem, Socket socket) {
  if (is_draining_) {
    return;
  }
  if (problem) {
    // Out of descriptors or memory: trying again at once would only burn the processor.
    is_accepting_ = true;
    accept_timer_.expires_after(accept_pause);
    accept_timer_.async_wait([this](ErrorCode) {
      is_accepting_ = false;
      accept();
    });
    return;
  }
  ErrorCode ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  std::string peer;
  if (per_peer_max_ != 0) {
    peer = peer_of(socket.remote_endpoint(ignored).address());
    if (std::size_t& count = peers_[peer].connections; count >= per_peer_max_) {
      refuse_peer(std::move(socket));
      accept();
      return;
    } else {
      ++count;
    }
  }
  if (connections_.size() >= connections_max_ && !idle_.empty()) {
    idle_.front()->close();
  }
  auto connection = std::make_shared<Connection>(*this, std::move(socket), tls_, std::move(peer));
  connections_.emplace(connection.get(), connection);
  connection->start();
  accept();
}

/// Says why where it can: what is written at once, to a client that may not even have asked.
void Loop::refuse_peer(Socket socket) {
  ++refused_;
  ErrorCode ignored;
  if (!tls_) {
    const std::string text = to_wire(
        render(Problem{.status = 503,
                       .name = "overloaded",
                       .detail = "connections: this address has " + std::to_string(per_peer_max_) +
                                 ", expected at most that many: use them again, or close some",
                       .retry_after = std::chrono::seconds(1),
                       .closes = true}),
        {.connection = WireForm::Connection::close, .omit_body = false, .date = date_});
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(text), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    // What came already is taken: closing over unread bytes resets, which may destroy the answer.
    std::array<char, chunk_bytes> unread{};
    socket.read_some(asio::buffer(unread), ignored);
  }
  socket.close(ignored);
}

/// What only the gateway knows, in `http` of the status.
json::Value Loop::own_status() const {
  json::Object own;
  own.set("connections", std::uint64_t{connections_.size()});
  own.set("connections_max", std::uint64_t{connections_max_});
  own.set("connections_per_peer_max",
          per_peer_max_ == 0 ? json::Value() : json::Value(std::uint64_t{per_peer_max_}));
  own.set("connections_refused", refused_);
  own.set("unread_bytes", std::uint64_t{unread_bytes_});
  own.set("unread_cut", unread_cut_);
  return own;
}

std::list<Connection*>::iterator Loop::add_idle(Connection& connection) {
  const auto place = idle_.insert(idle_.end(), &connection);
  accept();  // It can make room.
  return place;
}

bool Loop::make_room_unread(const std::string& peer, std::size_t bytes) {
  if (const auto at = peers_.find(peer);
      at != peers_.end() && at->second.unread_bytes + bytes > unread_per_peer_max_) {
    return false;
  }
  const auto now = SteadyClock::now();
  while (unread_bytes_ + bytes > settings_.unread_bytes_max) {
    if (unread_.empty() || now - unread_.front().since < settings_.unread_grace) {
      return false;
    }
    ++unread_cut_;
    unread_.front().connection->close();
  }
  return true;
}

std::list<Unread>::iterator Loop::add_unread(Connection& connection, std::size_t bytes) {
  unread_bytes_ += bytes;
  if (const auto at = peers_.find(connection.peer()); at != peers_.end()) {
    at->second.unread_bytes += bytes;
  }
  return unread_.insert(unread_.end(), {&connection, bytes, SteadyClock::now()});
}

void Loop::remove_unread(std::list<Unread>::iterator place) {
  unread_bytes_ -= place->bytes;
  if (const auto at = peers_.find(place->connection->peer()); at != peers_.end()) {
    at->second.unread_bytes -= place->bytes;
  }
  unread_.erase(place);
}

void Loop::remove(Connection& connection) {
  if (const auto peer = peers_.find(connection.peer()); peer != peers_.end()) {
    if (--peer->second.connections == 0) {
      peers_.erase(peer);
    }
  }
  connections_.erase(&connection);
  if (is_stopping_ && connections_.empty()) {
    io_.stop();
  }
  accept();
}

std::optional<Problem> Loop::body_problem(const std::string& peer, std::size_t size) const {
  if (size > settings_.bodies_bytes_max - bodies_bytes_) {
    return no_room(std::to_string(settings_.bodies_bytes_max) + " bytes at once");
  }
  const auto at = peers_.find(peer);
  if (at != peers_.end() && size > bodies_per_peer_max_ - at->second.body_bytes) {
    return no_room(std::to_string(bodies_per_peer_max_) + " bytes at once from one address");
  }
  return std::nullopt;
}

void Loop::take_body_bytes(const std::string& peer, std::size_t size) {
  bodies_bytes_ += size;
  if (const auto at = peers_.find(peer); at != peers_.end()) {
    at->second.body_bytes += size;
  }
}

void Loop::return_body_bytes(const std::string& peer, std::size_t size) {
  bodies_bytes_ -= size;
  if (const auto at = peers_.find(peer); at != peers_.end()) {
    at->second.body_bytes -= size;
  }
}

std::optional<RequestId> Loop::hand_over(std::string tenant, ClientRequestBody body,
                                         Connection& connection) {
  if (waiting_.size() >= settings_.waiting_max) {
    return std::nullopt;
  }
  const RequestId request{++requests_};
  waiting_.emplace(request.value, &connection);
  ports_.submit(ClientRequest{request, std::move(tenant), std::move(body)});
  return request;
}

void Loop::left(RequestId request) {
  forget(request);
  ports_.left(request);
}

void Loop::answer(ClientResponse response) {
  bool must_post = false;
  {
    const std::lock_guard lock(mutex_);
    must_post = answers_.empty();
    answers_.push_back(std::move(response));
  }
  if (must_post) {
    asio::post(io_, [this] { deliver(); });
  }
}

void Loop::deliver() {
  std::vector<ClientResponse> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (ClientResponse& response : answers) {
    const auto at = waiting_.find(response.id.value);
    if (at == waiting_.end()) {
      continue;
    }
    Connection& connection = *at->second;
    waiting_.erase(at);
    if (auto* report = std::get_if<JsonReport>(&response.body);
        report != nullptr && connection.asks_for_status() && report->body.object() != nullptr) {
      report->body.object()->set("http", own_status());
    }
    connection.answer(render(response.body));
  }
}

void Loop::sweep() {
  const auto now = SteadyClock::now();
  set_date();
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections_.size());
  for (const auto& [key, connection] : connections_) {
    all.push_back(connection);
  }
  for (const auto& connection : all) {
    connection->sweep(now);
  }
  sweep_timer_.expires_at(now + sweep_interval);
  sweep_timer_.async_wait([this](ErrorCode) { sweep(); });
}

void Loop::set_date() {
  const auto second = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (second != date_second_) {
    date_second_ = second;
    date_ = http_date(second);
  }
}

Result<void> Loop::renew_certificate() {
  auto tls = tls_of(settings_);
  if (!tls) {
    return tl::unexpected(tls.error());
  }
  asio::post(io_, [this, tls = std::move(*tls)]() mutable { tls_ = std::move(tls); });
  return {};
}

Result<tcp::endpoint> endpoint_of(const GatewaySettings& settings) {
  std::string host = settings.host == "localhost" ? "127.0.0.1" : settings.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  ErrorCode problem;
  const auto address = asio::ip::make_address(host, problem);
  if (problem) {
    return fail(Errc::invalid,
                "gateway: host " + settings.host + ", expected an IP address or localhost");
  }
  if (!address.is_loopback() && settings.tokens == nullptr) {
    return fail(Errc::refused, "gateway: host " + settings.host +
                                   ": others reach it and may ask anything, expected tokens "
                                   "(--tokens FILE) or a loopback address");
  }
  if (!address.is_loopback() && settings.tls_certificate.empty() && !settings.is_behind_tls_proxy) {
    return fail(
        Errc::refused,
        "gateway: host " + settings.host +
            ": tokens would cross the network in the clear, expected TLS (--tls-certificate "
            "and --tls-key; --behind-tls-proxy where a proxy before it ends TLS)");
  }
  return tcp::endpoint(address, settings.port);
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(const GatewaySettings& settings,
                                                GatewayPorts ports) {
  const auto endpoint = endpoint_of(settings);
  if (!endpoint) {
    return tl::unexpected<Error>(endpoint.error());
  }
  auto tls = tls_of(settings);
  if (!tls) {
    return tl::unexpected<Error>(tls.error());
  }
  auto loop = std::make_unique<Loop>(settings, std::move(ports), *endpoint, std::move(*tls));
  if (auto opened = loop->open(*endpoint); !opened) {
    return tl::unexpected<Error>(opened.error());
  }
  return std::unique_ptr<Gateway>(std::move(loop));
}

}  // namespace forerun
