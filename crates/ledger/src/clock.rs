//! Time as a holder of a lease has to see it.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// One moment, by both clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since some start: never set back, but on many machines it stands still
    /// while they sleep.
    pub monotonic: Duration,
    /// The time of day: goes on while the machine sleeps, but can be set.
    pub wall: Timestamp,
}

impl Moment {
    /// How long ago `earlier` was: the larger of what both clocks say.
    ///
    /// A laptop that was closed for an hour says seconds by the one and an
    /// hour by the other; whose lease it was is decided by the hour. A clock
    /// that is set back makes nothing younger, one that is set forward makes
    /// us stop too early, which is safe.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let monotonic = self.monotonic.saturating_sub(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall);
        monotonic.max(Duration::try_from(wall).unwrap_or(Duration::ZERO))
    }
}

/// Where moments come from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Moment;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        static START: OnceLock<Instant> = OnceLock::new();
        Moment {
            monotonic: START.get_or_init(Instant::now).elapsed(),
            wall: Timestamp::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(monotonic: u64, wall: i64) -> Moment {
        Moment {
            monotonic: Duration::from_secs(monotonic),
            wall: Timestamp::from_second(wall).unwrap(),
        }
    }

    #[test]
    fn the_larger_clock_counts() {
        let start = moment(100, 1_000);
        assert_eq!(moment(110, 1_010).since(start).as_secs(), 10);
        assert_eq!(moment(101, 4_600).since(start).as_secs(), 3_600, "asleep");
        assert_eq!(moment(110, 500).since(start).as_secs(), 10, "set back");
        assert_eq!(start.since(moment(110, 1_010)), Duration::ZERO);
    }
}
