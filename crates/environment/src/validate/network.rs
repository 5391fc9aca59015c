//! The rules of `[network]`.

use ipnet::Ipv4Net;
use trunkline_ids::ZoneId;

use super::{Context, RegionFacts};
use crate::{
    Network, SERVICE_CIDR,
    file::NetworkFile,
    mistake::Sink,
    read::At,
    region::{self, MOST_ZONES},
};

/// Ranges that a VPC can lie in: RFC 1918, and RFC 6598 for those who ran out.
const PRIVATE: [&str; 4] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
];

pub(super) fn validate(file: NetworkFile, context: &Context, sink: &mut Sink) -> Option<Network> {
    let cidr = file.cidr.and_then(|at| vpc_cidr(&at, sink));
    let defaults = context.tier.map(crate::Tier::defaults);
    let zones = match (file.zones, &context.region) {
        (Some(at), region) => zones(at, region.as_ref(), sink),
        (None, Some(region)) => defaults.as_ref().map(|defaults| {
            let zones = region::first_zones(&region.zone_prefix, defaults.zones);
            zones.into_iter().map(ZoneId::new).collect()
        }),
        (None, None) => None,
    };
    let nat = file
        .nat
        .map(|at| at.value)
        .or(defaults.map(|defaults| defaults.nat));
    Some(Network {
        cidr: cidr?,
        zones: zones?,
        nat: nat?,
    })
}

/// An IPv4 range without host bits; used by `cluster.public_access` too.
pub(super) fn cidr(at: &At<String>, field: &str, sink: &mut Sink) -> Option<Ipv4Net> {
    let Ok(net) = at.value.parse::<Ipv4Net>() else {
        let (problem, fix) = no_cidr(&at.value);
        sink.add(&at.span, field, problem, fix);
        return None;
    };
    if net.addr() != net.network() {
        let fix = format!("did you mean {}?", suggest(net));
        sink.add(&at.span, field, "host bits are set", fix);
        return None;
    }
    Some(net)
}

/// The range without its host bits; where the address was meant and the
/// prefix is wrong, the one with the longest prefix that has no host bits.
fn suggest(net: Ipv4Net) -> Ipv4Net {
    let bits = 32 - u32::from(net.addr()).trailing_zeros().min(32);
    // 10.20.0.0/15 is 10.20.0.0/16 with a slip of the finger; 10.20.30.40/16
    // is the address of a host in 10.20.0.0/16.
    let octets = u8::try_from(bits.next_multiple_of(8)).unwrap_or(32);
    if octets <= 24 && octets > net.prefix_len() {
        Ipv4Net::new(net.addr(), octets).unwrap_or(net.trunc())
    } else {
        net.trunc()
    }
}

fn no_cidr(text: &str) -> (String, String) {
    let problem = "expected an IPv4 range, as 10.20.0.0/16".to_owned();
    let fix = if text.parse::<std::net::Ipv4Addr>().is_ok() {
        "the length of its prefix is missing".to_owned()
    } else if text.parse::<ipnet::Ipv6Net>().is_ok() {
        "IPv6 is not supported".to_owned()
    } else {
        String::new()
    };
    (problem, fix)
}

fn vpc_cidr(at: &At<String>, sink: &mut Sink) -> Option<Ipv4Net> {
    const FIELD: &str = "network.cidr";
    let net = cidr(at, FIELD, sink)?;
    let mut fine = true;
    let mut wrong = |problem: String, fix: String| {
        sink.add(&at.span, FIELD, problem, fix);
        fine = false;
    };
    let length = net.prefix_len();
    let at = |length| Ipv4Net::new(net.addr(), length).map_or(net, |net| net.trunc());
    if length < 16 {
        let problem = format!("/{length} is larger than a VPC can be");
        let fix = format!("take /16 to /20, as {}", at(16));
        wrong(problem, fix);
    } else if length > 20 {
        let problem =
            format!("/{length} is too small for {MOST_ZONES} zones with two subnets each");
        let fix = format!("take /16 to /20, as {}", at(20));
        wrong(problem, fix);
    }
    let private = PRIVATE
        .iter()
        .filter_map(|range| range.parse::<Ipv4Net>().ok());
    if !private.into_iter().any(|range| range.contains(&net)) {
        let problem = "not a private range".to_owned();
        wrong(
            problem,
            format!("take one inside of {}", PRIVATE.join(", ")),
        );
    }
    if net.contains(&SERVICE_CIDR) || SERVICE_CIDR.contains(&net) {
        let problem = format!("overlaps {SERVICE_CIDR}, where the cluster's Services live");
        wrong(problem, "take another range".to_owned());
    }
    fine.then_some(net)
}

fn zones(
    at: At<Vec<At<String>>>,
    region: Option<&RegionFacts>,
    sink: &mut Sink,
) -> Option<Vec<ZoneId>> {
    const FIELD: &str = "network.zones";
    let count = at.value.len();
    let mut fine = true;
    if !(2..=MOST_ZONES).contains(&count) {
        let (problem, fix) = if count < 2 {
            let problem = format!("EKS wants at least 2 zones, found {count}");
            (problem, example(region))
        } else {
            let problem = format!("expected 2 to {MOST_ZONES} zones, found {count}");
            (problem, String::new())
        };
        sink.add(&at.span, FIELD, problem, fix);
        fine = false;
    }
    let mut seen: Vec<&str> = Vec::new();
    for zone in &at.value {
        let wrong = if seen.contains(&zone.value.as_str()) {
            Some(("named twice".to_owned(), "take one of them out".to_owned()))
        } else {
            region.and_then(|region| wrong_zone(&zone.value, region))
        };
        if let Some((problem, fix)) = wrong {
            sink.add(&zone.span, FIELD, problem, fix);
            fine = false;
        }
        seen.push(&zone.value);
    }
    fine.then(|| {
        let zones = at.value.into_iter().map(|zone| ZoneId::new(zone.value));
        zones.collect()
    })
}

fn example(region: Option<&RegionFacts>) -> String {
    region.map_or_else(String::new, |region| {
        let zones = region::first_zones(&region.zone_prefix, 2).join("\", \"");
        format!("as [\"{zones}\"]")
    })
}

/// Why a zone cannot be one of this region's.
fn wrong_zone(zone: &str, region: &RegionFacts) -> Option<(String, String)> {
    let prefix = &region.zone_prefix;
    if region::zone_number(zone, prefix).is_some() {
        return (!region::takes_clusters(zone)).then(|| {
            let problem = format!("AWS makes no clusters in {zone}");
            (problem, "take another zone".to_owned())
        });
    }
    let name = &region.name;
    let is_zone_name = zone
        .strip_prefix(name.as_str())
        .is_some_and(|letter| letter.len() == 1);
    let problem = if is_zone_name {
        "expected a zone's id: its name means another place in each account".to_owned()
    } else {
        format!("no zone of {name}")
    };
    let fix = format!("expected {prefix}-az1 to {prefix}-az{MOST_ZONES}");
    Some((problem, fix))
}
