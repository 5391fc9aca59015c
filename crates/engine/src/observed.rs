//! What is: three values, never two.

use serde::{Deserialize, Serialize};

/// What a read said of one resource.
///
/// A read that failed is [`Unknown`](Self::Unknown), never
/// [`Absent`](Self::Absent): unknown plans neither a create nor a delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// Not there, for certain.
    Absent,
    /// There.
    Present {
        /// The one in use.
        value: T,
        /// Others marked for the same address: left by a create whose answer
        /// was lost. Those that nothing refers to are deleted by the next
        /// plan.
        spares: Vec<T>,
    },
    /// Could not be read; why.
    Unknown(String),
}

/// Whether something is there, without saying what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// There.
    Present,
    /// Not there, for certain, or not so far that anything could be inside.
    Absent,
    /// Could not be read; why.
    Unknown(String),
}

impl<T> Observed<T> {
    /// There, once.
    #[must_use]
    pub fn one(value: T) -> Self {
        Self::Present {
            value,
            spares: Vec::new(),
        }
    }

    /// From everything that carries the mark of one address. The first that
    /// `in_use` holds for is the value, else the first at all; the rest are
    /// spares.
    #[must_use]
    pub fn from_marked(mut all: Vec<T>, in_use: impl Fn(&T) -> bool) -> Self {
        if all.is_empty() {
            return Self::Absent;
        }
        let chosen = all.iter().position(in_use).unwrap_or(0);
        let value = all.remove(chosen);
        Self::Present { value, spares: all }
    }

    /// The value, if it is there.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Present { value, .. } => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// The spares.
    #[must_use]
    pub fn spares(&self) -> &[T] {
        match self {
            Self::Present { spares, .. } => spares,
            Self::Absent | Self::Unknown(_) => &[],
        }
    }

    /// Whether it is there.
    #[must_use]
    pub fn presence(&self) -> Presence {
        match self {
            Self::Absent => Presence::Absent,
            Self::Present { .. } => Presence::Present,
            Self::Unknown(why) => Presence::Unknown(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_use_is_kept_and_the_rest_are_spares() {
        let observed = Observed::from_marked(vec![1, 2, 3], |n| *n == 2);
        assert_eq!(
            observed,
            Observed::Present {
                value: 2,
                spares: vec![1, 3]
            }
        );
        assert_eq!(
            Observed::<i32>::from_marked(vec![], |_| true),
            Observed::Absent
        );
        assert_eq!(
            Observed::from_marked(vec![7, 8], |_| false).value(),
            Some(&7)
        );
    }
}
