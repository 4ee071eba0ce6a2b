#include "speculation/seed_chain.hpp"

#include "base/hex.hpp"

namespace forerun {

Digest call_hash(std::string_view canonical_call) {
  return sha256(canonical_call);
}

std::string canonical_call(std::string_view task, const json::Value& input) {
  std::string text = "{\"input\":";
  json::append_canonical(text, input);
  text += ",\"task\":";
  json::append_string(text, task);
  text.push_back('}');
  return text;
}

ChainValue chain_start(std::string_view call, std::string_view run_id) {
  return sha256_concat(as_bytes_of(call), run_id);
}

ChainValue chain_next(const ChainValue& previous, std::string_view call) {
  return sha256_concat(previous.bytes, call);
}

std::uint64_t seed_of(const ChainValue& chain) {
  std::uint64_t seed = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    seed = seed << 8U | chain.bytes[i];
  }
  return seed;
}

std::string seed_text(const ChainValue& chain) {
  return to_hex(std::span(chain.bytes).first<8>());
}

}  // namespace forerun
