//! A time axis on which nothing happens for long and much happens at once: waits take room by the logarithm of their
//! length.

use weir_checker::Micros;

/// Room that any wait takes, however short.
const ROOM_MIN: f64 = 1.0;

/// Moments in order, and where each is: from 0 to 100.
pub(super) struct Squeezed(Vec<(Micros, f64)>);

impl Squeezed {
    /// An axis from the first to the last of these moments.
    pub(super) fn new(mut moments: Vec<Micros>) -> Self {
        moments.sort_unstable();
        moments.dedup();
        let mut places = Vec::with_capacity(moments.len());
        let mut place = 0.0;
        for (number, moment) in moments.iter().enumerate() {
            if number > 0 {
                let wait = (moment - moments[number - 1]) as f64 / 1_000.0;
                place += ROOM_MIN + (1.0 + wait).log10() * 2.0;
            }
            places.push((*moment, place));
        }
        let whole = if place > 0.0 { place } else { 1.0 };
        for (_, place) in &mut places {
            *place *= 100.0 / whole;
        }
        Self(places)
    }

    /// Where a moment is, from 0 to 100.
    pub(super) fn x(&self, at: Micros) -> f64 {
        let next = self.0.partition_point(|(moment, _)| *moment < at);
        let Some((after, right)) = self.0.get(next) else { return 100.0 };
        let Some((before, left)) = next.checked_sub(1).map(|previous| self.0[previous]) else {
            return *right;
        };
        left + (right - left) * (at - before) as f64 / (after - before) as f64
    }

    /// The waits that take at least `room` of 100: from where to where, and how long.
    pub(super) fn waits(&self, room: f64) -> impl Iterator<Item = (f64, f64, Micros)> {
        let pairs = self.0.windows(2).map(|pair| (pair[0].1, pair[1].1, pair[1].0 - pair[0].0));
        pairs.filter(move |(left, right, _)| right - left >= room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_moments_stays_and_long_waits_shrink() {
        let axis = Squeezed::new(vec![1_000, 0, 60_001_000, 2_000]);
        let places: Vec<_> =
            [0, 500, 1_000, 2_000, 30_000_000, 60_001_000, 90_000_000].map(|at| axis.x(at)).into();
        assert!(places.is_sorted(), "{places:?}");
        assert!((places[0], places[6]) == (0.0, 100.0), "{places:?}");
        assert!(places[2] > 10.0, "a millisecond among a minute is seen: {places:?}");
        let waits: Vec<_> = axis.waits(50.0).map(|(_, _, wait)| wait).collect();
        assert_eq!(waits, [59_999_000]);
    }

    #[test]
    fn a_single_moment_has_a_place() {
        assert!(Squeezed::new(vec![5]).x(5).abs() < f64::EPSILON);
    }
}
