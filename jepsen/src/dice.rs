//! Chance, told by a seed: equal seeds draw alike.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A source of chance. Each actor has one of its own, so that what one draws does not depend on how fast another is.
pub struct Dice(StdRng);

impl Dice {
    /// The chance of one actor in a run.
    pub fn new(seed: u64, actor: u64) -> Self {
        // Neighbouring seeds and actors must not draw alike: the generator mixes what it is seeded with.
        Self(StdRng::seed_from_u64(seed.rotate_left(32) ^ actor.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// From 0 to below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// Both ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// One of them by Zipf's law, the first most often.
    ///
    /// # Panics
    /// When there are none.
    pub fn zipf_of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.zipf(from.len() as u32) as usize]
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.random()
    }

    /// A time between the two.
    pub fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        Duration::from_micros(self.between(least.as_micros() as u64, most.as_micros() as u64))
    }

    /// The wait until the next event of a Poisson process, at most ten times the mean.
    pub fn wait(&mut self, mean: Duration) -> Duration {
        let uniform: f64 = self.0.random();
        mean.mul_f64((-(1.0 - uniform).ln()).min(10.0))
    }

    /// A place below `count` by Zipf's law: the first is drawn most, the second half as often, and so on.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn zipf(&mut self, count: u32) -> u32 {
        let total: f64 = (1..=count).map(|rank| f64::from(rank).recip()).sum();
        let mut left = self.0.random::<f64>() * total;
        for rank in 1..count {
            left -= f64::from(rank).recip();
            if left < 0.0 {
                return rank - 1;
            }
        }
        count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_draw_alike_and_neighbours_do_not() {
        let draw = |seed, actor| {
            let mut dice = Dice::new(seed, actor);
            (0..8).map(|_| dice.number()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
    }

    #[test]
    fn the_first_of_many_is_drawn_most() {
        let mut dice = Dice::new(1, 1);
        let mut drawn = [0u32; 4];
        (0..10_000).for_each(|_| drawn[dice.zipf(4) as usize] += 1);
        assert!(drawn.is_sorted_by(|a, b| a > b), "{drawn:?}");
    }

    #[test]
    fn waits_have_the_mean_that_was_asked_for() {
        let mut dice = Dice::new(1, 1);
        let mean = Duration::from_millis(10);
        let all: Duration = (0..20_000).map(|_| dice.wait(mean)).sum();
        let found = all / 20_000;
        assert!((Duration::from_micros(9_600)..Duration::from_micros(10_400)).contains(&found), "{found:?}");
    }
}
