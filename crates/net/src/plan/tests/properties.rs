//! Any account, however harmed, gives a plan that can be walked.

use proptest::prelude::*;
use trunkline_ids::Outputs;

use super::*;
use crate::{Make, Mend};

fn any_spec() -> impl Strategy<Value = NetSpec> {
    let zones = prop::sample::subsequence(vec![1u8, 2, 3, 4, 5, 6], 2..=6).prop_shuffle();
    let nat = prop::sample::select(vec![Nat::None, Nat::Single, Nat::PerZone]);
    (zones, nat).prop_map(|(zones, nat)| spec(&zones, nat))
}

/// One way in which an account differs from whole.
#[derive(Debug, Clone)]
enum Harm {
    Unread(u8),
    Missing(u8, prop::sample::Index),
    Twice(u8, prop::sample::Index),
    Life(prop::sample::Index, u8),
    Route(prop::sample::Index, Option<u8>),
    Unassociated(prop::sample::Index),
    Unmarked(u8, prop::sample::Index, bool),
}

fn any_harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        1 => (0..8u8).prop_map(Harm::Unread),
        4 => (0..8u8, at()).prop_map(|(kind, at)| Harm::Missing(kind, at)),
        3 => (0..8u8, at()).prop_map(|(kind, at)| Harm::Twice(kind, at)),
        2 => (at(), 0..3u8).prop_map(|(at, life)| Harm::Life(at, life)),
        2 => (at(), prop::option::of(0..3u8)).prop_map(|(at, via)| Harm::Route(at, via)),
        1 => at().prop_map(Harm::Unassociated),
        1 => (0..8u8, at(), any::<bool>()).prop_map(|(kind, at, both)| Harm::Unmarked(kind, at, both)),
    ]
}

/// The `nth` harm; its number makes the ids of twins.
fn harm(read: &mut Read, harm: &Harm, nth: usize) {
    fn on<T: Clone>(
        found: &mut Found<T>,
        (harm, nth): (&Harm, usize),
        twin: impl Fn(&mut T, usize),
        tags: impl Fn(&mut T) -> &mut tags::Tags,
    ) {
        match (found, harm) {
            (found, Harm::Unread(_)) => *found = Err("not read".into()),
            (Ok(all), Harm::Missing(_, at)) if !all.is_empty() => {
                all.remove(at.index(all.len()));
            }
            (Ok(all), Harm::Twice(_, at)) if !all.is_empty() => {
                let mut copy = at.get(all).clone();
                twin(&mut copy, nth);
                all.push(copy);
            }
            (Ok(all), Harm::Unmarked(_, at, both)) if !all.is_empty() => {
                let len = all.len();
                let tags = tags(&mut all[at.index(len)]);
                tags.remove("trunkline:address");
                if *both {
                    tags.remove("trunkline:environment");
                }
            }
            _ => {}
        }
    }
    fn again(id: &str, n: usize) -> String {
        format!("{id}-{n}")
    }
    match harm {
        Harm::Life(at, life) => {
            if let Ok(all) = &mut read.nat_gateways
                && !all.is_empty()
            {
                let len = all.len();
                all[at.index(len)].life = match life {
                    0 => Life::Coming,
                    1 => Life::Going,
                    _ => Life::Failed("because".into()),
                };
            }
        }
        Harm::Route(at, via) => {
            if let Ok(all) = &mut read.route_tables
                && !all.is_empty()
            {
                let len = all.len();
                let route = |via: u8| Route {
                    to: "0.0.0.0/0".into(),
                    via: ["nat-euc1-az1", "igw-main", "tgw-1"][usize::from(via)].into(),
                    active: via != 0,
                };
                all[at.index(len)].routes = via.iter().copied().map(route).collect();
            }
        }
        Harm::Unassociated(at) => {
            if let Ok(all) = &mut read.route_tables
                && !all.is_empty()
            {
                let len = all.len();
                all[at.index(len)].associations.clear();
            }
        }
        Harm::Unread(kind)
        | Harm::Missing(kind, _)
        | Harm::Twice(kind, _)
        | Harm::Unmarked(kind, ..) => match kind {
            0 => on(
                &mut read.vpcs,
                (harm, nth),
                |x, n| x.id = trunkline_ids::VpcId::new(again(x.id.as_str(), n)),
                |x| &mut x.tags,
            ),
            1 => on(
                &mut read.internet_gateways,
                (harm, nth),
                |x, n| {
                    x.id = trunkline_ids::InternetGatewayId::new(again(x.id.as_str(), n));
                    x.attached = None;
                },
                |x| &mut x.tags,
            ),
            2 => on(
                &mut read.subnets,
                (harm, nth),
                |x, n| x.id = trunkline_ids::SubnetId::new(again(x.id.as_str(), n)),
                |x| &mut x.tags,
            ),
            3 => on(
                &mut read.elastic_ips,
                (harm, nth),
                |x, n| {
                    x.id = trunkline_ids::AllocationId::new(again(x.id.as_str(), n));
                    x.associated = false;
                },
                |x| &mut x.tags,
            ),
            4 => on(
                &mut read.nat_gateways,
                (harm, nth),
                |x, n| x.id = trunkline_ids::NatGatewayId::new(again(x.id.as_str(), n)),
                |x| &mut x.tags,
            ),
            5 => on(
                &mut read.route_tables,
                (harm, nth),
                |x, n| {
                    x.id = trunkline_ids::RouteTableId::new(again(x.id.as_str(), n));
                    x.associations.clear();
                },
                |x| &mut x.tags,
            ),
            6 => on(
                &mut read.endpoints,
                (harm, nth),
                |x, n| {
                    x.id = trunkline_ids::VpcEndpointId::new(again(x.id.as_str(), n));
                    x.route_tables.clear();
                },
                |x| &mut x.tags,
            ),
            _ => on(
                &mut read.security_groups,
                (harm, nth),
                |x, n| x.id = trunkline_ids::SecurityGroupId::new(again(x.id.as_str(), n)),
                |x| &mut x.tags,
            ),
        },
    }
}

fn any_account() -> impl Strategy<Value = (NetSpec, NetSpec, Read)> {
    let harms = prop::collection::vec(any_harm(), 0..6);
    (any_spec(), any_spec(), harms).prop_map(|(was, is, harms)| {
        let mut read = whole(&was);
        for (nth, one) in harms.iter().enumerate() {
            harm(&mut read, one, nth);
        }
        (was, is, read)
    })
}

/// The addresses whose outputs an action asks for while it is done.
fn asked(step: &Step<NetAction>) -> Vec<Address> {
    let vpc = address("vpc", "main");
    let of_mend = |mend: &Mend| match mend {
        Mend::Attach => vec![vpc.clone()],
        Mend::DefaultRoute(via) => vec![via.address().clone()],
        Mend::Associate(all) => all.clone(),
        Mend::RouteTables { add, .. } => add.clone(),
        _ => vec![],
    };
    match &step.action {
        NetAction::Create { make, .. } => match make.clone() {
            Make::Vpc { .. } | Make::ElasticIp => vec![],
            Make::InternetGateway | Make::Subnet { .. } | Make::SecurityGroup { .. } => vec![vpc],
            Make::NatGateway { subnet, elastic_ip } => vec![subnet, elastic_ip],
            Make::RouteTable {
                default_route,
                subnets,
            } => {
                let via = default_route.map(|via| via.address().clone());
                via.into_iter().chain(subnets).chain([vpc]).collect()
            }
            Make::S3Endpoint { route_tables } => [route_tables, vec![vpc]].concat(),
        },
        NetAction::Mend { mends, .. } => mends.iter().flat_map(of_mend).collect(),
        NetAction::Delete { .. } => vec![],
    }
}

fn knows(outputs: &Outputs, of: &Address) -> bool {
    serde_json::to_value(outputs)
        .unwrap()
        .get(of.as_str())
        .is_some()
}

proptest! {
    #[test]
    fn any_account_gives_a_plan_that_can_be_walked((_, spec, read) in any_account()) {
        let (seen, draft) = draft(DEPLOYED, &spec, read);
        let plan = assembled(&draft);
        let outputs = seen.outputs(&spec);
        let creates: BTreeSet<&Address> = draft
            .steps
            .iter()
            .filter(|step| step.verb == Verb::Create)
            .map(|step| &step.address)
            .collect();
        for step in &draft.steps {
            for of in asked(step) {
                let comes_before = creates.contains(&of) && step.after.contains(&of);
                prop_assert!(knows(&outputs, &of) || comes_before, "{} asks for {of}", step.address);
            }
        }
        // A mend that waits for a gateway is waited for by what routes to it.
        prop_assert_eq!(plan.steps.len(), draft.steps.len());
    }

    #[test]
    fn unknown_is_never_made_nor_deleted((_, spec, read) in any_account(), destroy: bool) {
        let wish = if destroy { DESTROYED } else { DEPLOYED };
        let (_, draft) = draft(wish, &spec, read);
        let unknown: BTreeSet<&Address> = draft.unknown.iter().map(|(of, _)| of).collect();
        for step in draft.steps.iter().filter(|step| step.verb != Verb::Update) {
            // A dying one may be deleted although making it anew is held back.
            let dies = step.verb == Verb::Delete && step.reason.starts_with("failed");
            prop_assert!(dies || !unknown.contains(&step.address), "{}", step.address);
        }
    }

    #[test]
    fn what_is_wished_and_well_is_never_deleted((_, spec, read) in any_account()) {
        let well: BTreeSet<String> = read.nat_gateways.iter().flatten().filter(|nat| nat.life.is_alive()).map(|nat| nat.id.to_string()).collect();
        let (_, draft) = draft(DEPLOYED, &spec, read);
        let wished: BTreeSet<Address> = spec.addresses().into_iter().collect();
        for step in &draft.steps {
            if let NetAction::Delete { id, .. } = &step.action {
                let is_nat = step.address.kind().as_str() == "net/nat-gateway";
                prop_assert!(!wished.contains(&step.address) || (is_nat && !well.contains(id)));
            }
        }
    }

    #[test]
    fn a_destroy_deletes_all_that_is_marked((_, spec, read) in any_account()) {
        let mut marked = BTreeSet::new();
        fn add<T: Thing>(found: &Found<T>, marked: &mut BTreeSet<String>) {
            let ours = found.iter().flatten().filter(|t| t.tags().contains_key("trunkline:address"));
            marked.extend(ours.map(|t| t.id().to_owned()));
        }
        add(&read.vpcs, &mut marked);
        add(&read.internet_gateways, &mut marked);
        add(&read.subnets, &mut marked);
        add(&read.elastic_ips, &mut marked);
        add(&read.nat_gateways, &mut marked);
        add(&read.route_tables, &mut marked);
        add(&read.endpoints, &mut marked);
        add(&read.security_groups, &mut marked);
        let (_, draft) = draft(DESTROYED, &spec, read);
        assembled(&draft);
        let deleted: BTreeSet<String> = draft.steps.iter().map(|step| match &step.action {
            NetAction::Delete { id, .. } => id.clone(),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(deleted, marked);
    }

    #[test]
    fn every_edge_of_a_create_is_reversed_by_the_order_of_deletes(spec in any_spec()) {
        let order = DeleteOrder::new(crate::apply::order());
        for step in draft(DEPLOYED, &spec, nothing()).1.steps {
            for before in &step.after {
                prop_assert!(order.is_before(&step.address.kind(), &before.kind()), "{} after {before}", step.address);
            }
        }
    }
}
