//! The order of deletes: one table, kind before kind.
//!
//! The edges of what is no longer wished are gone with the wish, so deletes
//! cannot be ordered by them; kinds are always known.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_ids::Kind;

/// Which kind is deleted before which, transitively.
#[derive(Debug, Clone, Default)]
pub struct DeleteOrder(BTreeMap<Kind, BTreeSet<Kind>>);

impl DeleteOrder {
    /// The table of these pairs (first, then), closed transitively.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (Kind, Kind)>) -> Self {
        let mut after: BTreeMap<Kind, BTreeSet<Kind>> = BTreeMap::new();
        for (first, then) in pairs {
            after.entry(first).or_default().insert(then);
        }
        let kinds: Vec<Kind> = after.keys().cloned().collect();
        for kind in kinds {
            let reached = reachable(&after, &kind);
            after.insert(kind, reached);
        }
        Self(after)
    }

    /// Whether everything of `first` is deleted before anything of `then`.
    #[must_use]
    pub fn is_before(&self, first: &Kind, then: &Kind) -> bool {
        self.0.get(first).is_some_and(|after| after.contains(then))
    }

    /// Kinds that the table puts before themselves: such a table is wrong.
    #[must_use]
    pub fn circles(&self) -> Vec<&Kind> {
        self.0
            .iter()
            .filter(|(kind, after)| after.contains(*kind))
            .map(|(kind, _)| kind)
            .collect()
    }
}

fn reachable(after: &BTreeMap<Kind, BTreeSet<Kind>>, from: &Kind) -> BTreeSet<Kind> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(kind) = open.pop() {
        for next in after.get(kind).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        Kind::new("net", name)
    }

    #[test]
    fn the_order_reaches_through_kinds_that_a_plan_does_not_hold() {
        let order = DeleteOrder::new([
            (kind("nat-gateway"), kind("subnet")),
            (kind("subnet"), kind("vpc")),
        ]);
        assert!(order.is_before(&kind("nat-gateway"), &kind("vpc")));
        assert!(!order.is_before(&kind("vpc"), &kind("nat-gateway")));
        assert!(order.circles().is_empty());
    }

    #[test]
    fn a_circle_is_named() {
        let order = DeleteOrder::new([(kind("a"), kind("b")), (kind("b"), kind("a"))]);
        assert_eq!(order.circles(), [&kind("a"), &kind("b")]);
    }
}
