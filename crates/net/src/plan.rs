//! What to do: a pure function of wish, spec and observation.
//!
//! One room per group of kinds under `plan/`; here is what they share: the
//! rules by which something absent, present or unknown becomes a step.

mod addressing;
mod routing;
mod security;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use trunkline_aws::Aws;
use trunkline_engine::{Change, Draft, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, Later, Output, Outputs, Ref};

use crate::{
    Make, Mend, NetAction, NetSpec, Observation,
    observe::{Marked, Thing},
    tags,
};

/// Most calls of EC2 are done in a second or two.
const CALL: Duration = Duration::from_secs(2);

/// Plans.
pub(crate) fn plan(wish: Wish, spec: &NetSpec, seen: &Observation, aws: &Aws) -> Draft<NetAction> {
    let mut drafter = Drafter {
        wish,
        spec,
        seen,
        aws,
        wished: spec.addresses().into_iter().collect(),
        outputs: seen.outputs(spec),
        referred: seen.referred(),
        unknown: BTreeMap::new(),
        steps: Vec::new(),
        draft: Draft::default(),
    };
    // In the order of references: what is unknown holds back what needs it.
    drafter.vpc();
    drafter.internet_gateway();
    drafter.subnets();
    drafter.elastic_ips();
    drafter.nat_gateways();
    drafter.route_tables();
    drafter.endpoint();
    drafter.security_group();
    drafter.volumes();
    drafter.end()
}

/// A plan in the making.
struct Drafter<'a> {
    wish: Wish,
    spec: &'a NetSpec,
    seen: &'a Observation,
    aws: &'a Aws,
    wished: BTreeSet<Address>,
    outputs: Outputs,
    referred: BTreeSet<String>,
    unknown: BTreeMap<Address, String>,
    steps: Vec<Step<NetAction>>,
    draft: Draft<NetAction>,
}

/// A resource that is wished: how it would be made, if it has to be.
struct Wished {
    address: Address,
    make: Make,
    about: String,
    /// What it refers to.
    needs: Vec<Address>,
    estimate: Duration,
}

/// What differs, and how that is mended.
#[derive(Default)]
struct Differences {
    mends: Vec<Mend>,
    changes: Vec<Change>,
    needs: Vec<Address>,
    /// What differs and cannot be changed in place, in words.
    fixed: Vec<String>,
    estimate: Option<Duration>,
}

impl Drafter<'_> {
    fn is_deployed(&self) -> bool {
        self.wish == Wish::Deployed
    }

    fn is_wished(&self, address: &Address) -> bool {
        self.is_deployed() && self.wished.contains(address)
    }

    /// The rule for one wished resource: absent is made, present is compared,
    /// dying is deleted to its end and made anew, unknown is said.
    fn settle<T: Thing + Clone>(
        &mut self,
        wished: Wished,
        marked: &Marked<T>,
        compare: impl FnOnce(&Self, &T, &mut Differences),
    ) {
        match marked.of(&wished.address) {
            Observed::Unknown(why) => {
                self.unknown.insert(wished.address, why);
            }
            Observed::Absent => self.create(wished, "not there"),
            Observed::Present { value, .. } if !value.is_alive() => {
                let reason = "failed, or on its way out: made anew";
                self.delete(wished.address.clone(), &value, reason, Vec::new());
                self.create(wished, reason);
            }
            Observed::Present { value, .. } => {
                let mut differences = Differences::default();
                self.compare_tags(&wished.address, &value, &mut differences);
                compare(self, &value, &mut differences);
                self.mend(wished, value.id(), differences);
            }
        }
    }

    fn create(&mut self, wished: Wished, reason: &str) {
        if self.is_held_back(&wished.address, &wished.needs) {
            return;
        }
        let tags = tags::wished(self.aws, &wished.address);
        let make = wished.make;
        let action = NetAction::Create { make, tags };
        let step = Step::new(Verb::Create, wished.address, "ec2", action)
            .about(wished.about)
            .after(wished.needs)
            .because(reason)
            .takes(wished.estimate);
        self.steps.push(step);
    }

    fn mend(&mut self, wished: Wished, id: &str, differences: Differences) {
        for fixed in &differences.fixed {
            self.draft.foreign.push(format!(
                "{} ({id}): {fixed}; that cannot be changed in place, \
                 and --replace {} is not offered yet",
                wished.address, wished.address
            ));
        }
        if differences.mends.is_empty() || self.is_held_back(&wished.address, &differences.needs) {
            return;
        }
        let action = NetAction::Mend {
            id: id.to_owned(),
            mends: differences.mends,
        };
        let step = Step::new(Verb::Update, wished.address, "ec2", action)
            .about(wished.about)
            .after(differences.needs)
            .because("not as wished")
            .changes(differences.changes)
            .takes(differences.estimate.unwrap_or(CALL));
        self.steps.push(step);
    }

    /// Unknown holds back: what cannot be referred to for certain is not used.
    fn is_held_back(&mut self, address: &Address, needs: &[Address]) -> bool {
        let Some(need) = needs.iter().find(|need| self.unknown.contains_key(*need)) else {
            return false;
        };
        let why = format!("it needs {need}, which is not known");
        self.unknown.insert(address.clone(), why);
        true
    }

    /// Only our tags are compared; what others add is theirs.
    fn compare_tags<T: Thing>(&self, address: &Address, thing: &T, to: &mut Differences) {
        let mut wished = tags::wished(self.aws, address);
        wished.retain(|key, value| thing.tags().get(key) != Some(value));
        for (key, value) in &wished {
            let from = thing.tags().get(key).cloned();
            to.change(&format!("tag {key}"), from, Later::Known(value.clone()));
        }
        if !wished.is_empty() {
            to.mends.push(Mend::Tags(wished));
        }
    }

    /// What of one kind is there and not wished goes: all of it when the
    /// environment is destroyed. Spares go when nothing refers to them.
    fn prune<T: Thing + Clone>(
        &mut self,
        marked: &Marked<T>,
        after: &[Address],
        first: impl Fn(&T) -> Vec<Mend>,
    ) {
        for (address, seen) in marked.iter() {
            let Observed::Present { value, spares } = seen else {
                if let (Observed::Unknown(why), false) = (seen, self.is_wished(address)) {
                    self.unknown.insert(address.clone(), why.clone());
                }
                continue;
            };
            if !self.is_wished(address) {
                let reason = match self.wish {
                    Wish::Deployed => "no longer wished",
                    Wish::Destroyed { .. } => "the environment is destroyed",
                };
                self.delete(address.clone(), value, reason, first(value));
                self.last_after(after);
            }
            for spare in spares {
                let is_needed = self.referred.contains(spare.id()) || spare.is_used();
                if self.is_deployed() && is_needed {
                    self.draft.foreign.push(format!(
                        "{} is marked as {address}, too, and something uses it",
                        spare.id()
                    ));
                    continue;
                }
                let own = format!("{}.spare-{}", address.name(), spare.id());
                let own = crate::spec::address(T::KIND, &own);
                let reason = format!("made twice: {} is the one in use", value.id());
                self.delete(own, spare, &reason, first(spare));
                self.last_after(&[std::slice::from_ref(address), after].concat());
            }
        }
        if !self.is_deployed() {
            self.say_unread(marked);
        }
    }

    fn delete<T: Thing>(&mut self, address: Address, thing: &T, reason: &str, first: Vec<Mend>) {
        let action = NetAction::Delete {
            id: thing.id().to_owned(),
            first,
        };
        let step = Step::new(Verb::Delete, address, "ec2", action)
            .about(thing.id())
            .because(reason)
            .takes(CALL);
        self.steps.push(step);
    }

    /// The step made last also comes after these.
    fn last_after(&mut self, after: &[Address]) {
        if let Some(step) = self.steps.last_mut() {
            step.after.extend(after.iter().cloned());
        }
    }

    /// When all goes, a kind that could not be read must be said: there may be
    /// something of it.
    fn say_unread<T: Thing + Clone>(&mut self, marked: &Marked<T>) {
        let of_kind = self.wished.iter().filter(|a| a.kind() == T::kind());
        for address in of_kind {
            if let Observed::Unknown(why) = marked.of(address) {
                self.unknown.insert(address.clone(), why);
            }
        }
    }

    /// What a reference points at, as the plan shows it.
    fn later<T: Output + std::fmt::Display>(&self, reference: &Ref<T>) -> Later<String> {
        match self.outputs.later(reference) {
            Later::Known(value) => Later::Known(value.to_string()),
            Later::After(address) => Later::After(address),
        }
    }

    /// Something is there, and a part of it could not be read: what needs it
    /// may go on.
    fn unknown_in_part(&mut self, address: Address, why: String) {
        self.draft.unknown.push((address, why));
    }

    fn end(self) -> Draft<NetAction> {
        let mut draft = self.draft;
        draft.steps = self.steps;
        draft.unknown.extend(self.unknown);
        draft
    }
}

impl Differences {
    fn change(&mut self, field: &str, from: Option<String>, to: Later<String>) {
        self.changes.push(Change {
            field: field.to_owned(),
            from,
            to: Some(to),
        });
    }
}

/// The estimate of deleting or making a NAT gateway is far from that of other
/// calls: 1.5 to 2 minutes to make one, by public logs.
const NAT_GATEWAY: Duration = Duration::from_secs(110);

#[cfg(test)]
mod tests;
