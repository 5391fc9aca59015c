//! Observes all layers: those that stand by themselves at once, then those
//! that live inside of something.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use trunkline_engine::{AnyLayer, AnyObservation, Happening, Observing, Presence};
use trunkline_ids::{Address, Outputs};

use crate::Pipeline;

/// What all layers saw.
pub(crate) struct Observations {
    /// One for each layer, in the order of the layers.
    pub(crate) all: Vec<AnyObservation>,
    pub(crate) outputs: Outputs,
    pub(crate) presence: BTreeMap<Address, Presence>,
    pub(crate) took: Duration,
}

impl Observations {
    /// How many resources are there.
    pub(crate) fn present(&self) -> usize {
        self.presence
            .values()
            .filter(|presence| **presence == Presence::Present)
            .count()
    }
}

impl Pipeline {
    pub(crate) async fn observe(&self) -> Observations {
        let start = Instant::now();
        let mut all: Vec<Option<AnyObservation>> = self.layers.iter().map(|_| None).collect();
        let (mut outputs, mut presence) = (Outputs::new(), BTreeMap::new());
        let standing = |layer: &AnyLayer| layer.inside().is_none();
        for round in [true, false] {
            let chosen = self
                .layers
                .iter()
                .enumerate()
                .filter(|(_, l)| standing(l) == round);
            let looks = chosen.map(|(i, layer)| {
                let cx = Observing {
                    outputs: outputs.clone(),
                    parent: parent(layer, &presence),
                };
                async move { (i, self.look(layer, &cx).await) }
            });
            for (i, seen) in futures::future::join_all(looks.collect::<Vec<_>>()).await {
                outputs.merge(seen.seen.outputs.clone());
                presence.extend(seen.seen.presence.clone());
                all[i] = Some(seen);
            }
        }
        let all = all.into_iter().flatten().collect();
        Observations {
            all,
            outputs,
            presence,
            took: start.elapsed(),
        }
    }

    async fn look(&self, layer: &AnyLayer, cx: &Observing) -> AnyObservation {
        let start = Instant::now();
        let observation = layer.observe(cx).await;
        let presence = observation.seen.presence.values();
        self.events.tell(Happening::Observed {
            layer: layer.name().to_owned(),
            resources: presence
                .filter(|presence| **presence == Presence::Present)
                .count(),
            took: start.elapsed(),
        });
        observation
    }
}

/// Whether what a layer lives in is there.
fn parent(layer: &AnyLayer, presence: &BTreeMap<Address, Presence>) -> Presence {
    match layer.inside() {
        None => Presence::Present,
        Some(address) => presence
            .get(&address)
            .cloned()
            .unwrap_or_else(|| Presence::Unknown(format!("no layer knows {address}"))),
    }
}
