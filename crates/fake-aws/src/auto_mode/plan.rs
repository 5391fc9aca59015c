//! Which nodes to start for which pending pods: Karpenter's decision, in small.
//! Pure: everything it needs to know is handed to it as data.
//!
//! A node that could be started is a set of *offers* (instance type, zone,
//! capacity type, as labels); putting a pod on it leaves the offers that suit
//! the pod, and the cheapest of the rest is started in the end.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};

use super::catalog::InstanceType;
use super::requirements::{AnyOf, Labels, Requirement};
use super::resources::Resources;

/// The label of a node's zone.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// The label of a node's name.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// A taint that keeps pods off a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// What makes a pod bear taints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toleration {
    pub key: Option<String>,
    pub operator: Option<String>,
    pub value: Option<String>,
    pub effect: Option<String>,
}

impl Toleration {
    fn bears(&self, taint: &Taint) -> bool {
        let effect = self
            .effect
            .as_deref()
            .is_none_or(|e| e.is_empty() || e == taint.effect);
        let key = self
            .key
            .as_deref()
            .is_none_or(|k| k.is_empty() || k == taint.key);
        let exists = self.operator.as_deref() == Some("Exists");
        effect && key && (exists || self.value.as_deref().unwrap_or_default() == taint.value)
    }
}

/// How a pod must stand to other pods.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// A topology spread constraint that must hold.
    Spread {
        key: String,
        max_skew: usize,
        selector: Selector,
    },
    /// A required anti-affinity: none of these pods in the same domain.
    Apart { key: String, selector: Selector },
}

/// A pod that no node takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub requests: Resources,
    /// Node selector and required affinity.
    pub wants: AnyOf,
    /// Where its volumes are; each must hold.
    pub volumes: Vec<AnyOf>,
    pub tolerations: Vec<Toleration>,
    pub rules: Vec<Rule>,
}

impl Pod {
    /// `namespace/name`.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn accepts(&self, labels: &Labels, taints: &[Taint]) -> bool {
        let blocks = |taint: &&Taint| taint.effect != "PreferNoSchedule";
        self.wants.admits(labels)
            && self.volumes.iter().all(|volume| volume.admits(labels))
            && taints
                .iter()
                .filter(blocks)
                .all(|t| self.tolerations.iter().any(|b| b.bears(t)))
    }
}

/// A pod that has its node.
#[derive(Debug, Clone)]
pub(super) struct PlacedPod {
    pub namespace: String,
    pub labels: Labels,
    pub node: String,
}

/// A node that is there or on its way.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub name: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub free: Resources,
}

/// A NodePool that may start nodes.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub name: String,
    /// Labels of its template.
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub requirements: Vec<Requirement>,
    /// Zones of the subnets that its NodeClass selects.
    pub zones: Vec<Labels>,
    /// The heavier one is asked first.
    pub weight: i32,
}

/// A node to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewNode {
    pub pool: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub instance_type: String,
    /// The pods it is started for, `namespace/name`.
    pub pods: Vec<String>,
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The nodes to start.
    pub start: Vec<NewNode>,
    /// The pods that have a place on a node which is there or on its way.
    pub places: BTreeMap<String, String>,
}

/// Everything the decision rests on.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    pub pending: Vec<Pod>,
    pub placed: Vec<PlacedPod>,
    pub nodes: Vec<Node>,
    pub pools: Vec<Pool>,
    pub types: Vec<InstanceType>,
    /// Where the plan before this one put pods that still wait. They keep
    /// their places if they can, or another order of the same pods could ask
    /// for one more node each time.
    pub nominated: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Offer {
    labels: Labels,
    free: Resources,
    instance_type: String,
}

/// A node with the pods it takes; `pool` is set on those yet to be started.
struct Bin {
    name: String,
    pool: Option<String>,
    offers: Vec<Offer>,
    taints: Vec<Taint>,
    used: Resources,
    pods: Vec<String>,
}

impl Bin {
    fn domain(&self, key: &str) -> Option<&str> {
        if key == HOSTNAME {
            return Some(&self.name);
        }
        self.offers
            .first()
            .and_then(|offer| offer.labels.get(key))
            .map(String::as_str)
    }

    /// The offers that would remain with the pod on it.
    fn with(&self, pod: &Pod) -> Vec<Offer> {
        let mut used = self.used;
        used += pod.requests;
        let suits = |o: &&Offer| used.fit(&o.free) && pod.accepts(&o.labels, &self.taints);
        self.offers.iter().filter(suits).cloned().collect()
    }
}

/// The nodes to start, so that every pending pod that can have a place gets
/// one. Pods that an existing node takes start none: the scheduler will see.
pub(super) fn plan(scene: &Scene) -> Plan {
    let mut pending: Vec<&Pod> = scene.pending.iter().collect();
    pending.sort_by_cached_key(|pod| {
        let fresh = !scene.nominated.contains_key(&pod.id());
        (fresh, std::cmp::Reverse(pod.requests), pod.id())
    });
    let mut packing = Packing {
        scene,
        bins: existing(scene),
        placed: scene.placed.clone(),
    };
    for pod in pending {
        packing.place(pod);
    }
    let mut plan = Plan::default();
    for bin in packing.bins {
        if bin.pool.is_none() {
            plan.places
                .extend(bin.pods.into_iter().map(|pod| (pod, bin.name.clone())));
        } else {
            plan.start.extend(new_node(bin));
        }
    }
    plan
}

fn existing(scene: &Scene) -> Vec<Bin> {
    let bin = |node: &Node| Bin {
        name: node.name.clone(),
        pool: None,
        offers: vec![Offer {
            labels: node.labels.clone(),
            free: node.free,
            instance_type: String::new(),
        }],
        taints: node.taints.clone(),
        used: Resources::default(),
        pods: Vec::new(),
    };
    scene.nodes.iter().map(bin).collect()
}

fn new_node(bin: Bin) -> Option<NewNode> {
    let pool = bin.pool?;
    // Offers keep the catalogue's order: the first is the cheapest.
    let offer = bin.offers.into_iter().next()?;
    Some(NewNode {
        pool,
        labels: offer.labels,
        taints: bin.taints,
        instance_type: offer.instance_type,
        pods: bin.pods,
    })
}

struct Packing<'a> {
    scene: &'a Scene,
    bins: Vec<Bin>,
    placed: Vec<PlacedPod>,
}

impl Packing<'_> {
    fn place(&mut self, pod: &Pod) {
        let nominated = self.scene.nominated.get(&pod.id());
        let kept = self
            .bins
            .iter()
            .position(|bin| Some(&bin.name) == nominated);
        let found = kept
            .filter(|at| self.takes(&self.bins[*at], pod))
            .or_else(|| self.bins.iter().position(|bin| self.takes(bin, pod)));
        let at = match found {
            Some(at) => at,
            None => match self.open(pod) {
                Some(bin) => {
                    self.bins.push(bin);
                    self.bins.len() - 1
                }
                None => return,
            },
        };
        let bin = &mut self.bins[at];
        bin.offers = bin.with(pod);
        bin.used += pod.requests;
        bin.pods.push(pod.id());
        self.placed.push(PlacedPod {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            node: bin.name.clone(),
        });
    }

    fn takes(&self, bin: &Bin, pod: &Pod) -> bool {
        !bin.with(pod).is_empty() && pod.rules.iter().all(|rule| self.holds(rule, bin, pod))
    }

    /// A new node for the pod: in the first pool that can, in the zone of that
    /// pool with the fewest nodes.
    fn open(&self, pod: &Pod) -> Option<Bin> {
        let mut pools: Vec<&Pool> = self.scene.pools.iter().collect();
        pools.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
        pools.into_iter().find_map(|pool| {
            let mut zones: Vec<&Labels> = pool.zones.iter().collect();
            zones.sort_by_key(|zone| (self.nodes_in(&pool.name, zone), zone.get(ZONE).cloned()));
            zones
                .into_iter()
                .map(|zone| self.candidate(pool, zone))
                .find(|bin| self.takes(bin, pod))
        })
    }

    fn candidate(&self, pool: &Pool, zone: &Labels) -> Bin {
        let offers = offers(pool, zone, &self.scene.types);
        Bin {
            name: format!("new-{}", self.bins.len()),
            pool: Some(pool.name.clone()),
            offers,
            taints: pool.taints.clone(),
            used: Resources::default(),
            pods: Vec::new(),
        }
    }

    fn nodes_in(&self, pool: &str, zone: &Labels) -> usize {
        let here = |bin: &&Bin| {
            bin.domain(ZONE) == zone.get(ZONE).map(String::as_str)
                && bin.domain("karpenter.sh/nodepool") == Some(pool)
        };
        self.bins.iter().filter(here).count()
    }

    fn holds(&self, rule: &Rule, bin: &Bin, pod: &Pod) -> bool {
        match rule {
            Rule::Apart { key, selector } => {
                let Some(domain) = bin.domain(key) else {
                    return true;
                };
                self.count(key, selector, pod)
                    .get(domain)
                    .copied()
                    .unwrap_or(0)
                    == 0
            }
            Rule::Spread {
                key,
                max_skew,
                selector,
            } => {
                let Some(domain) = bin.domain(key) else {
                    return false;
                };
                let counts = self.count(key, selector, pod);
                let here = counts.get(domain).copied().unwrap_or(0);
                // A new node can always be started, so no host is ever the
                // fullest one by necessity: the smallest count is 0.
                let least = if key == HOSTNAME {
                    0
                } else {
                    self.least(key, &counts, pod)
                };
                let own = usize::from(selector.matches(&pod.labels));
                here + own <= least + max_skew
            }
        }
    }

    /// How many of the selected pods each domain has.
    fn count(&self, key: &str, selector: &Selector, pod: &Pod) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for other in &self.placed {
            if other.namespace != pod.namespace || !selector.matches(&other.labels) {
                continue;
            }
            let bin = self.bins.iter().find(|bin| bin.name == other.node);
            if let Some(domain) = bin.and_then(|bin| bin.domain(key)) {
                *counts.entry(domain.to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// The smallest count over the domains that the pod could be in.
    fn least(&self, key: &str, counts: &BTreeMap<String, usize>, pod: &Pod) -> usize {
        let pools = self.scene.pools.iter().flat_map(|pool| &pool.zones);
        let nodes = self.scene.nodes.iter().map(|node| &node.labels);
        let eligible = |labels: &&Labels| match labels.get(key) {
            Some(value) => pod
                .volumes
                .iter()
                .all(|volume| volume.admits(&Labels::from([(key.to_owned(), value.clone())]))),
            None => false,
        };
        pools
            .chain(nodes)
            .filter(eligible)
            .filter_map(|labels| counts.get(&labels[key]).copied().or(Some(0)))
            .min()
            .unwrap_or(0)
    }
}

/// What the pool can start in one zone, cheapest first.
fn offers(pool: &Pool, zone: &Labels, types: &[InstanceType]) -> Vec<Offer> {
    types
        .iter()
        .flat_map(|kind| ["spot", "on-demand"].map(|capacity| (kind, capacity)))
        .filter_map(|(kind, capacity)| {
            let mut labels = kind.labels();
            labels.extend(zone.clone());
            labels.extend(pool.labels.clone());
            labels.insert("karpenter.sh/capacity-type".into(), capacity.into());
            labels.insert("karpenter.sh/nodepool".into(), pool.name.clone());
            let suits = pool.requirements.iter().all(|wish| wish.admits(&labels));
            suits.then(|| Offer {
                labels,
                free: kind.allocatable(),
                instance_type: kind.name.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
