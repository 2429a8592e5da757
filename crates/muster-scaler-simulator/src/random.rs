//! Chance, all of it from seeds.

use std::f64::consts::TAU;

/// A source of numbers that gives the same ones for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(fastrand::Rng);

impl Random {
    /// The source of a seed for one purpose: sources for different purposes don't disturb each other,
    /// so that two policies meet the same load.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose
            .bytes()
            .fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(fastrand::Rng::with_seed(mixed))
    }

    /// A position below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n.max(1))
    }

    /// From 0 to 1, 1 excluded.
    pub(crate) fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// Of the normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (TAU * self.share()).cos()
    }

    /// Of the lognormal distribution with this mean and the deviation `sigma` of its logarithm.
    pub(crate) fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        mean * sigma.mul_add(self.normal(), -sigma * sigma / 2.0).exp()
    }

    /// How long until the next event of a Poisson process with this rate.
    pub(crate) fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.share()).ln() / rate
    }
}
