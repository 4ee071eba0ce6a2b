#pragma once

namespace forerun::real {

/// The transcendental functions that predictions and simulated times are made of, equal bit by bit
/// on every machine: written with IEEE 754 additions, multiplications and divisions alone, which
/// are exact to the last bit everywhere. The C library's are not: it chooses its code by the
/// processor, and the last bit with it (docs/adr/0019-portable-reals.md). Within 2 units in the
/// last place of the true value. Pure. Compiled with -ffp-contract=off, like all of Forerun.

/// Natural logarithm. @pre value > 0; a subnormal number counts as the smallest normal one.
double log(double value);
/// log(1 + value), exact for small values (Kahan; Goldberg 1991, theorem 4). @pre value > -1.
double log1p(double value);
/// e to the power of `value`: 0 below -708, infinity above 709.
double exp(double value);
/// `base` to a power, by its logarithm: within 1e-14 of the true value, relatively, where both
/// are of everyday size. @pre base > 0.
double pow(double base, double exponent);
/// Cosine of an angle given in turns of the circle. @pre 0 <= turns < 1.
double cos_of_turns(double turns);

}  // namespace forerun::real
