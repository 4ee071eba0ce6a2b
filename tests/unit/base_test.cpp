#include <catch2/catch.hpp>
#include <set>

#include "base/ed25519.hpp"
#include "base/hex.hpp"
#include "base/prng.hpp"
#include "base/uuid.hpp"

using namespace forerun;

namespace {
std::array<std::uint8_t, 32> seed_from_hex(std::string_view text) {
  const auto bytes = from_hex(text).value();
  std::array<std::uint8_t, 32> seed{};
  std::copy(bytes.begin(), bytes.end(), seed.begin());
  return seed;
}
}  // namespace

TEST_CASE("Ed25519 gives the key and signature of RFC 8032 test 2", "[ed25519]") {
  const SigningKey key = SigningKey::from_seed(
      seed_from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  REQUIRE(to_hex(key.public_key()) ==
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  REQUIRE(to_hex(key.sign("\x72")) ==
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
          "d0f11d8c"
          "387b2eaeb4302aeeb00d291612bb0c00");
}

TEST_CASE("a signature holds for its message and key alone", "[ed25519]") {
  const SigningKey key = SigningKey::generate();
  const Signature signature = key.sign("head");
  REQUIRE(verify(key.public_key(), "head", signature));
  REQUIRE_FALSE(verify(key.public_key(), "heaD", signature));
  REQUIRE_FALSE(verify(SigningKey::generate().public_key(), "head", signature));
  Signature other = signature;
  other.bytes[5] ^= 1U;
  REQUIRE_FALSE(verify(key.public_key(), "head", other));
  REQUIRE(SigningKey::from_seed(key.seed()).public_key() == key.public_key());
  REQUIRE(signature_from_hex(to_hex(signature)) == signature);
  REQUIRE(public_key_from_hex("00").error().message ==
          "public key: 2 characters, expected 64 hex digits");
}

TEST_CASE("a UUID reads back from its text, and from nothing else", "[uuid]") {
  const Uuid uuid = Uuid::random();
  REQUIRE(Uuid::parse(to_string(uuid)) == uuid);
  REQUIRE(to_string(uuid)[14] == '4');
  REQUIRE(Uuid::random() != uuid);
  const std::string text =
      GENERATE("", "8D65a9f0-1111-4111-8111-000000000000", "8d65a9f0-1111-4111-8111-00000000000",
               "8d65a9f011111-4111-8111-000000000000", "{d65a9f0-1111-4111-8111-00000000000}");
  REQUIRE_FALSE(Uuid::parse(text));
}

TEST_CASE("the generator is SplitMix64", "[prng]") {
  Prng prng(1234567);
  REQUIRE(prng.next() == 6457827717110365317U);
  REQUIRE(prng.next() == 3203168211198807973U);
  REQUIRE(prng.next() == 9817491932198370423U);
}

TEST_CASE("bounded numbers reach every value and stay in bounds", "[prng]") {
  Prng prng(7);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 200; ++i) {
    seen.insert(prng.below(5));
    const double unit = prng.unit();
    REQUIRE((unit >= 0 && unit < 1));
  }
  REQUIRE(seen == std::set<std::uint64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("half of all lognormal values lie under the median", "[prng]") {
  Prng prng(11);
  int under = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double value = prng.lognormal(20, 0.5);
    REQUIRE(value > 0);
    under += value < 20 ? 1 : 0;
  }
  REQUIRE(under > 4800);
  REQUIRE(under < 5200);
  REQUIRE(Prng(3).lognormal(5, 0) == 5);
}
