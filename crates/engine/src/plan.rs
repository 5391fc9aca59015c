//! The plan: steps and their order, as data. Made by a pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use petgraph::{algo::toposort, graph::DiGraph};
use serde::{Deserialize, Serialize};
use trunkline_ids::Address;

use crate::{DeleteOrder, Draft, Kept, Step, Verb};

/// What will be done, in which order, and what was found besides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps, each after all that it waits for.
    pub steps: Vec<Step>,
    /// For each step the indices of the steps it waits for.
    pub waits_for: Vec<BTreeSet<usize>>,
    /// What could not be read, and why.
    pub unknown: Vec<(Address, String)>,
    /// What is ours and stays on purpose.
    pub kept: Vec<Kept>,
    /// What is not ours and was left alone.
    pub foreign: Vec<String>,
    /// How many resources were found to be there.
    pub present: usize,
}

/// The longest chain of steps by their estimates: what the whole cannot be
/// faster than.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalPath {
    /// The chain, first step first.
    pub steps: Vec<usize>,
    /// The sum of its estimates.
    pub estimate: Duration,
}

/// Why steps do not make a plan. Each is a mistake of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The same resource twice with the same verb.
    #[error("{address} is planned to {verb} twice")]
    Twice {
        /// The resource.
        address: Address,
        /// The verb.
        verb: Verb,
    },
    /// Steps that wait for each other.
    #[error("the steps around {0} wait for each other")]
    Circle(Address),
}

impl Plan {
    /// Puts the drafts of all layers into one graph.
    ///
    /// A create or update waits for the creates and updates of what it names
    /// in `after`, and for the delete of its own address; a delete waits for
    /// what `after` names likewise and for the deletes of every kind that the
    /// table puts before its own.
    ///
    /// # Errors
    /// Mistakes of a layer: see [`PlanError`].
    pub fn assemble(
        drafts: impl IntoIterator<Item = Draft>,
        order: &DeleteOrder,
        present: usize,
    ) -> Result<Self, PlanError> {
        let mut all = Draft::default();
        for draft in drafts {
            all.steps.extend(draft.steps);
            all.unknown.extend(draft.unknown);
            all.kept.extend(draft.kept);
            all.foreign.extend(draft.foreign);
        }
        refuse_twice(&all.steps)?;
        let edges = edges(&all.steps, order);
        let (steps, waits_for) = sort(all.steps, &edges)?;
        let (unknown, kept, foreign) = (all.unknown, all.kept, all.foreign);
        Ok(Self {
            steps,
            waits_for,
            unknown,
            kept,
            foreign,
            present,
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps have this verb.
    #[must_use]
    pub fn count(&self, verb: Verb) -> usize {
        self.steps.iter().filter(|step| step.verb == verb).count()
    }

    /// The longest chain by estimates.
    #[must_use]
    pub fn critical_path(&self) -> CriticalPath {
        let estimates: Vec<Duration> = self.steps.iter().map(|step| step.estimate).collect();
        longest_path(&self.waits_for, &estimates)
    }

    /// The (address, verb) pairs: what the plan says will happen.
    #[must_use]
    pub fn pairs(&self) -> BTreeSet<(Address, Verb)> {
        self.steps
            .iter()
            .map(|step| (step.address.clone(), step.verb))
            .collect()
    }
}

/// The longest path through steps that are sorted so that each comes after
/// what it waits for.
pub(crate) fn longest_path(waits_for: &[BTreeSet<usize>], takes: &[Duration]) -> CriticalPath {
    let mut ends: Vec<(Duration, Option<usize>)> = Vec::with_capacity(takes.len());
    for (step, takes) in takes.iter().enumerate() {
        let before = waits_for[step]
            .iter()
            .copied()
            .max_by_key(|&i| (ends[i].0, i));
        let start = before.map_or(Duration::ZERO, |i| ends[i].0);
        ends.push((start + *takes, before));
    }
    let mut steps = Vec::new();
    let mut at = (0..ends.len()).max_by_key(|&i| (ends[i].0, std::cmp::Reverse(i)));
    let estimate = at.map_or(Duration::ZERO, |i| ends[i].0);
    while let Some(step) = at {
        steps.push(step);
        at = ends[step].1;
    }
    steps.reverse();
    CriticalPath { steps, estimate }
}

fn refuse_twice(steps: &[Step]) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    for step in steps {
        if !seen.insert((&step.address, step.verb)) {
            return Err(PlanError::Twice {
                address: step.address.clone(),
                verb: step.verb,
            });
        }
    }
    Ok(())
}

/// Pairs (first, then) of indices.
fn edges(steps: &[Step], order: &DeleteOrder) -> Vec<(usize, usize)> {
    let mut makers: BTreeMap<&Address, Vec<usize>> = BTreeMap::new();
    let mut deletes = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        match step.verb {
            Verb::Delete => deletes.push((i, step.address.kind())),
            Verb::Create | Verb::Update => makers.entry(&step.address).or_default().push(i),
        }
    }
    let mut edges = Vec::new();
    for (then, step) in steps.iter().enumerate() {
        for first in step
            .after
            .iter()
            .filter_map(|address| makers.get(address))
            .flatten()
        {
            edges.push((*first, then));
        }
    }
    for (first, kind) in &deletes {
        let then = deletes
            .iter()
            .filter(|(_, other)| order.is_before(kind, other));
        edges.extend(then.map(|(then, _)| (*first, *then)));
        for then in makers.get(&steps[*first].address).into_iter().flatten() {
            edges.push((*first, *then));
        }
    }
    edges
}

type Sorted = (Vec<Step>, Vec<BTreeSet<usize>>);

/// Sorts the steps so that each comes after what it waits for.
fn sort(steps: Vec<Step>, edges: &[(usize, usize)]) -> Result<Sorted, PlanError> {
    let mut graph = DiGraph::<usize, ()>::new();
    let nodes: Vec<_> = (0..steps.len()).map(|i| graph.add_node(i)).collect();
    for (first, then) in edges {
        graph.update_edge(nodes[*first], nodes[*then], ());
    }
    let sorted = toposort(&graph, None)
        .map_err(|circle| PlanError::Circle(steps[graph[circle.node_id()]].address.clone()))?;
    let mut place = vec![0; steps.len()];
    for (new, node) in sorted.iter().enumerate() {
        place[graph[*node]] = new;
    }
    let mut waits_for = vec![BTreeSet::new(); steps.len()];
    for (first, then) in edges {
        waits_for[place[*then]].insert(place[*first]);
    }
    let mut numbered: Vec<(usize, Step)> = place.into_iter().zip(steps).collect();
    numbered.sort_by_key(|(place, _)| *place);
    Ok((
        numbered.into_iter().map(|(_, step)| step).collect(),
        waits_for,
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use trunkline_ids::Kind;

    use super::*;
    use crate::Action;

    pub(crate) fn step(verb: Verb, kind: &str, name: &str, after: &[(&str, &str)]) -> Step {
        let action = Action {
            layer: "x".into(),
            version: 1,
            body: serde_json::Value::Null,
        };
        Step::new(verb, Address::new("x", kind, name), "x", action).after(
            after
                .iter()
                .map(|(kind, name)| Address::new("x", kind, name)),
        )
    }

    pub(crate) fn plan(steps: Vec<Step>, order: &DeleteOrder) -> Result<Plan, PlanError> {
        Plan::assemble(
            [Draft {
                steps,
                ..Draft::default()
            }],
            order,
            0,
        )
    }

    #[test]
    fn what_is_as_wished_already_is_waited_for_by_nobody() {
        let steps = vec![step(Verb::Create, "subnet", "a", &[("vpc", "main")])];
        let plan = plan(steps, &DeleteOrder::default()).unwrap();
        assert!(plan.waits_for[0].is_empty());
    }

    #[test]
    fn a_replacement_deletes_first() {
        let steps = vec![
            step(Verb::Create, "subnet", "a", &[]),
            step(Verb::Delete, "subnet", "a", &[]),
        ];
        let plan = plan(steps, &DeleteOrder::default()).unwrap();
        assert_eq!(plan.steps[0].verb, Verb::Delete);
        assert_eq!(plan.waits_for[1], BTreeSet::from([0]));
    }

    #[test]
    fn mistakes_of_layers_are_named() {
        let twice = vec![
            step(Verb::Create, "a", "x", &[]),
            step(Verb::Create, "a", "x", &[]),
        ];
        assert!(matches!(
            plan(twice, &DeleteOrder::default()),
            Err(PlanError::Twice {
                verb: Verb::Create,
                ..
            })
        ));
        let circle = vec![
            step(Verb::Create, "a", "x", &[("b", "x")]),
            step(Verb::Create, "b", "x", &[("a", "x")]),
        ];
        assert!(matches!(
            plan(circle, &DeleteOrder::default()),
            Err(PlanError::Circle(_))
        ));
    }

    /// Any acyclic graph: step i may wait only for steps before it.
    pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
        let step = (
            0..3u8,
            0..5u8,
            0..50u64,
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        );
        prop::collection::vec(step, 1..40).prop_map(|drawn| {
            let kinds = ["a", "b", "c", "d", "e"];
            let mut steps: Vec<Step> = Vec::new();
            for (i, (verb, kind, seconds, after)) in drawn.into_iter().enumerate() {
                let verb = [Verb::Create, Verb::Update, Verb::Delete][usize::from(verb)];
                let mut one = step_of(verb, kinds[usize::from(kind)], i);
                if i > 0 && verb != Verb::Delete {
                    one.after = after
                        .iter()
                        .map(|a| steps[a.index(i)].address.clone())
                        .collect();
                }
                one.estimate = Duration::from_secs(seconds);
                steps.push(one);
            }
            plan(steps, &table()).unwrap()
        })
    }

    fn step_of(verb: Verb, kind: &str, i: usize) -> Step {
        step(verb, kind, &format!("n{i}"), &[])
    }

    pub(crate) fn table() -> DeleteOrder {
        let kind = |name| Kind::new("x", name);
        DeleteOrder::new([
            (kind("e"), kind("d")),
            (kind("d"), kind("b")),
            (kind("c"), kind("b")),
        ])
    }

    proptest! {
        #[test]
        fn each_step_comes_after_what_it_waits_for(plan in any_plan()) {
            for (i, before) in plan.waits_for.iter().enumerate() {
                prop_assert!(before.iter().all(|b| *b < i));
            }
        }

        #[test]
        fn deletes_respect_the_table_of_kinds(plan in any_plan()) {
            let table = table();
            for (i, step) in plan.steps.iter().enumerate() {
                for (j, other) in plan.steps.iter().enumerate() {
                    let deletes = step.verb == Verb::Delete && other.verb == Verb::Delete;
                    if deletes && table.is_before(&step.address.kind(), &other.address.kind()) {
                        prop_assert!(plan.waits_for[j].contains(&i));
                    }
                }
            }
        }

        #[test]
        fn the_critical_path_is_a_chain_and_no_chain_is_longer(plan in any_plan()) {
            let path = plan.critical_path();
            for pair in path.steps.windows(2) {
                prop_assert!(plan.waits_for[pair[1]].contains(&pair[0]));
            }
            let sum: Duration = path.steps.iter().map(|i| plan.steps[*i].estimate).sum();
            prop_assert_eq!(sum, path.estimate);
            // By hand, the other way around: the longest way from each step to the end.
            let mut to_end = vec![Duration::ZERO; plan.steps.len()];
            for i in (0..plan.steps.len()).rev() {
                to_end[i] += plan.steps[i].estimate;
                for before in &plan.waits_for[i] {
                    to_end[*before] = to_end[*before].max(to_end[i]);
                }
            }
            prop_assert_eq!(to_end.into_iter().max().unwrap_or_default(), path.estimate);
        }
    }
}
