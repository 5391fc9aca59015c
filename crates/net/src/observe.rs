//! What is: everything marked, sorted by address; one bulk read per kind.
//!
//! Reading is in `observe/read.rs`; the rest is pure: which of two things with
//! one mark is the one in use, and what looks like ours but cannot be told.

pub(crate) mod read;
mod things;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use trunkline_aws::{ENVIRONMENT_TAG, address_of};
use trunkline_engine::{Health, Observed, Presence, Seen};
use trunkline_ids::{Address, Outputs};

use crate::{
    NetSpec,
    spec::{LAYER, address},
    tags::is_of_cluster,
};

pub(crate) use read::{Found, Read, marked_as, why};
pub(crate) use things::*;

/// Everything of the network that carries the environment's mark.
#[derive(Debug, Clone)]
pub struct Observation {
    pub(crate) vpcs: Marked<Vpc>,
    pub(crate) internet_gateways: Marked<InternetGateway>,
    pub(crate) subnets: Marked<Subnet>,
    pub(crate) elastic_ips: Marked<ElasticIp>,
    pub(crate) nat_gateways: Marked<NatGateway>,
    pub(crate) route_tables: Marked<RouteTable>,
    pub(crate) endpoints: Marked<Endpoint>,
    pub(crate) security_groups: Marked<SecurityGroup>,
    /// Volumes carry the environment's mark and no address: Auto Mode made
    /// them for claims.
    pub(crate) volumes: Result<Vec<Volume>, String>,
}

/// Everything marked of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Marked<T> {
    /// By address.
    found: BTreeMap<Address, Observed<T>>,
    /// Why an address that was not found cannot be called absent.
    doubt: Option<String>,
}

impl<T: Clone> Marked<T> {
    /// What was seen of one address.
    pub(crate) fn of(&self, address: &Address) -> Observed<T> {
        match (self.found.get(address), &self.doubt) {
            (Some(seen), _) => seen.clone(),
            (None, Some(why)) => Observed::Unknown(why.clone()),
            (None, None) => Observed::Absent,
        }
    }

    /// All addresses that were found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Address, &Observed<T>)> {
        self.found.iter()
    }

    /// The ones in use.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.found.values().filter_map(Observed::value)
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.found.values_mut().filter_map(|seen| match seen {
            Observed::Present { value, .. } => Some(value),
            Observed::Absent | Observed::Unknown(_) => None,
        })
    }
}

/// Looks: one call per kind, all at once; then what needs an id.
pub(crate) async fn observe(ec2: &Client, spec: &NetSpec) -> Observation {
    let read = read::all(ec2, spec.environment()).await;
    let mut seen = Observation::sort(read, spec);
    let vpc = seen.vpcs.values_mut().next();
    let group = seen.security_groups.values_mut().next();
    futures::join!(
        async {
            if let Some(vpc) = vpc {
                vpc.dns = read::dns(ec2, &vpc.id).await;
            }
        },
        async {
            if let Some(group) = group {
                group.rules = read::rules(ec2, &group.id).await;
            }
        }
    );
    seen
}

impl Observation {
    /// Sorts what was read by address, and chooses between things that carry
    /// the same one.
    pub(crate) fn sort(read: Read, spec: &NetSpec) -> Self {
        let uses = Uses::of(&read);
        let mut seen = Self {
            vpcs: sort(read.vpcs, spec, &uses),
            internet_gateways: sort(read.internet_gateways, spec, &uses),
            subnets: sort(read.subnets, spec, &uses),
            elastic_ips: sort(read.elastic_ips, spec, &uses),
            nat_gateways: sort(read.nat_gateways, spec, &uses),
            route_tables: sort(read.route_tables, spec, &uses),
            endpoints: sort(read.endpoints, spec, &uses),
            security_groups: sort(read.security_groups, spec, &uses),
            volumes: read.volumes,
        };
        seen.doubt_unmarked_vpc(&uses);
        seen.doubt_unmarked_addresses();
        seen
    }

    /// Something of ours lies in a VPC that is not marked: making another VPC
    /// would split the network in two.
    fn doubt_unmarked_vpc(&mut self, uses: &Uses) {
        if let (true, Some(vpc)) = (self.vpcs.found.is_empty(), uses.vpcs.keys().next()) {
            self.vpcs.doubt.get_or_insert(format!(
                "what is marked as ours lies in {vpc}, which has lost its own marks: put them back"
            ));
        }
    }

    /// A NAT gateway of ours uses an address that is not marked: another one
    /// would be paid for and never used.
    fn doubt_unmarked_addresses(&mut self) {
        let ours: BTreeSet<&str> = self.elastic_ips.values().map(Thing::id).collect();
        let unmarked = self
            .nat_gateways
            .found
            .iter()
            .filter_map(|(of, seen)| Some((of, seen.value()?)))
            .filter(|(_, nat)| nat.life.is_alive())
            .filter_map(|(of, nat)| Some((of, nat, nat.allocation.as_ref()?)))
            .filter(|(_, _, allocation)| !ours.contains(allocation.as_str()));
        let doubts: Vec<(Address, String)> = unmarked
            .map(|(of, nat, allocation)| {
                let why = format!(
                    "{} uses {allocation}, which has lost its marks: put them back",
                    nat.id
                );
                (address(ElasticIp::KIND, of.name()), why)
            })
            .collect();
        for (of, why) in doubts {
            self.elastic_ips
                .found
                .entry(of)
                .or_insert(Observed::Unknown(why));
        }
    }

    /// The ids that the things in use refer to: a spare among them stays.
    pub(crate) fn referred(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        fn collect<T: Thing + Clone>(of: &Marked<T>, all: &mut BTreeSet<String>) {
            all.extend(of.values().flat_map(Thing::refers_to));
        }
        collect(&self.internet_gateways, &mut all);
        collect(&self.subnets, &mut all);
        collect(&self.nat_gateways, &mut all);
        collect(&self.route_tables, &mut all);
        collect(&self.endpoints, &mut all);
        collect(&self.security_groups, &mut all);
        all
    }

    /// The observation in the engine's terms.
    pub(crate) fn seen(&self, spec: &NetSpec) -> Seen {
        let mut seen = Seen::default();
        fn add<T: Thing + Clone>(seen: &mut Seen, of: &Marked<T>, wished: &[Address]) {
            let wished = wished
                .iter()
                .filter(|address| address.kind() == T::kind())
                .chain(of.found.keys());
            for address in wished {
                let state = of.of(address);
                if let Some(value) = state.value() {
                    value.put(address, &mut seen.outputs);
                }
                seen.presence.insert(address.clone(), state.presence());
            }
        }
        let wished = spec.addresses();
        add(&mut seen, &self.vpcs, &wished);
        add(&mut seen, &self.internet_gateways, &wished);
        add(&mut seen, &self.subnets, &wished);
        add(&mut seen, &self.elastic_ips, &wished);
        add(&mut seen, &self.nat_gateways, &wished);
        add(&mut seen, &self.route_tables, &wished);
        add(&mut seen, &self.endpoints, &wished);
        add(&mut seen, &self.security_groups, &wished);
        for volume in self.volumes.iter().flatten() {
            seen.presence.insert(volume.address(), Presence::Present);
        }
        seen.health = self.health(spec);
        seen
    }

    /// What the references of this layer point at by now.
    pub(crate) fn outputs(&self, spec: &NetSpec) -> Outputs {
        self.seen(spec).outputs
    }

    fn health(&self, spec: &NetSpec) -> Vec<Health> {
        let mut lines = Vec::new();
        let vpc = address(Vpc::KIND, "main");
        let (well, words) = match self.vpcs.of(&vpc) {
            Observed::Present { value, .. } => {
                let zones = spec.ranges().len();
                (true, format!("{} in {zones} zones", value.cidr))
            }
            Observed::Absent => (false, "not there".to_owned()),
            Observed::Unknown(why) => (false, why),
        };
        lines.push(Health {
            address: vpc,
            well,
            words,
        });
        for zone in spec.nat_zones() {
            let nat = address(NatGateway::KIND, zone.as_str());
            let (well, words) = match self.nat_gateways.of(&nat) {
                Observed::Present { value, .. } => (value.life == Life::Well, value.life.words()),
                Observed::Absent => (false, "not there".to_owned()),
                Observed::Unknown(why) => (false, why),
            };
            lines.push(Health {
                address: nat,
                well,
                words,
            });
        }
        lines
    }
}

/// Who uses what, over everything that was read.
struct Uses {
    /// Per VPC how many things of ours lie in it.
    vpcs: BTreeMap<String, usize>,
    /// Ids that others refer to.
    referred: BTreeSet<String>,
}

impl Uses {
    fn of(read: &Read) -> Self {
        let mut uses = Self {
            vpcs: BTreeMap::new(),
            referred: BTreeSet::new(),
        };
        uses.add(&read.internet_gateways);
        uses.add(&read.subnets);
        uses.add(&read.nat_gateways);
        uses.add(&read.route_tables);
        uses.add(&read.endpoints);
        uses.add(&read.security_groups);
        uses
    }

    fn add<T: Thing>(&mut self, of: &Found<T>) {
        for thing in of.iter().flatten() {
            if let Some(vpc) = thing.vpc() {
                *self.vpcs.entry(vpc.to_string()).or_default() += 1;
            }
            self.referred.extend(thing.refers_to());
        }
    }

    /// The more, the more likely it is the one in use: alive before dying, in
    /// the fullest VPC before others, referred to before not.
    fn rank<T: Thing>(&self, thing: &T) -> (bool, usize, bool) {
        let residents = |id: &str| self.vpcs.get(id).copied().unwrap_or_default();
        let vpc = thing.vpc().map_or(thing.id(), |vpc| vpc.as_str());
        (
            thing.is_alive(),
            residents(vpc),
            thing.is_used() || self.referred.contains(thing.id()),
        )
    }
}

fn sort<T: Thing + Clone>(found: Found<T>, spec: &NetSpec, uses: &Uses) -> Marked<T> {
    let things = match found {
        Ok(things) => things,
        Err(why) => {
            return Marked {
                found: BTreeMap::new(),
                doubt: Some(why),
            };
        }
    };
    let mut by_address: BTreeMap<Address, Vec<T>> = BTreeMap::new();
    let mut doubt = None;
    for thing in things {
        let tags = thing.tags();
        let pairs = tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        match address_of(pairs, spec.environment()) {
            Some(address) if address.layer() == LAYER && address.kind() == T::kind() => {
                by_address.entry(address).or_default().push(thing);
            }
            // What Auto Mode tags on our behalf has no address.
            _ if is_of_cluster(tags, spec.cluster().as_str()) => {}
            _ if tags
                .get(ENVIRONMENT_TAG)
                .is_some_and(|e| e == spec.environment()) =>
            {
                doubt = Some(format!(
                    "{} has the mark of the environment and none of its address: \
                     put it back, or take away both",
                    thing.id()
                ));
            }
            // Emulators that ignore the filter.
            _ => {}
        }
    }
    let chosen = by_address.into_iter().map(|(address, mut things)| {
        things.sort_by(|a, b| uses.rank(b).cmp(&uses.rank(a)).then(a.id().cmp(b.id())));
        (address, Observed::from_marked(things, |_| true))
    });
    Marked {
        found: chosen.collect(),
        doubt,
    }
}
