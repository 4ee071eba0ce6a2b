#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "base/ed25519.hpp"
#include "base/hex.hpp"
#include "base/prng.hpp"
#include "base/real.hpp"
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

TEST_CASE("portable functions are as near to the truth as a double can be", "[real]") {
  Prng prng(1);
  const auto ulps = [](double found, long double expected) {
    const double size = std::abs(static_cast<double>(expected));
    return std::abs(static_cast<double>(found - expected)) /
           (std::nextafter(size, HUGE_VAL) - size);
  };
  for (int i = 0; i < 20'000; ++i) {
    const double value = std::ldexp(0.5 + prng.unit(), static_cast<int>(prng.below(120)) - 60);
    REQUIRE(ulps(real::log(value), std::log(static_cast<long double>(value))) < 2);
    const double near_one = 0.7 + prng.unit() * 0.8;
    REQUIRE(ulps(real::log(near_one), std::log(static_cast<long double>(near_one))) < 2);
    const double power = (prng.unit() - 0.5) * 1'400;
    REQUIRE(ulps(real::exp(power), std::exp(static_cast<long double>(power))) < 2);
    const double little = (prng.unit() - 0.5) * (i % 2 == 0 ? 1e-6 : 1.5);
    REQUIRE(ulps(real::log1p(little), std::log1p(static_cast<long double>(little))) < 4);
    const double turns = prng.unit();
    REQUIRE(std::abs(real::cos_of_turns(turns) - std::cos(2 * 3.14159265358979323846L * turns)) <
            4e-16L);
    REQUIRE(real::pow(value, 0.25) == Approx(std::pow(value, 0.25)).epsilon(1e-14));
  }
}

TEST_CASE("portable functions give the same bits on every machine", "[real]") {
  Prng prng(2);
  std::uint64_t bits = 0;
  const auto add = [&bits](double value) {
    bits = bits * 0x100000001B3U + std::bit_cast<std::uint64_t>(value);
  };
  for (int i = 0; i < 10'000; ++i) {
    const double value = prng.unit() * 100 + 1e-9;
    add(real::log(value));
    add(real::log1p(value - 0.5));
    add(real::exp(50 - value));
    add(real::pow(value, 1.7));
    add(real::cos_of_turns(value / 101));
    add(prng.lognormal(100, 0.3));
  }
  CHECK(bits == 0x1a543e7795bbb367U);
}

TEST_CASE("portable functions hold at the ends of their range", "[real]") {
  CHECK(real::log(1) == 0);
  CHECK(real::log1p(0) == 0);
  CHECK(real::log1p(-1e-300) == -1e-300);
  CHECK(real::exp(0) == 1);
  CHECK(real::exp(-1e308) == 0);
  CHECK(std::isinf(real::exp(1e308)));
  CHECK(std::isnan(real::exp(std::nan(""))));
  CHECK(real::cos_of_turns(0) == 1);
  CHECK(real::cos_of_turns(0.25) == 0);
  CHECK(real::cos_of_turns(0.5) == -1);
  CHECK(real::log(5e-324) == Approx(std::log(2.2250738585072014e-308)));
}
