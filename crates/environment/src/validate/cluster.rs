//! The rules of `[cluster]`.

use ipnet::Ipv4Net;

use super::{Context, network};
use crate::{
    Cluster, KubernetesVersion, Principal, file::ClusterFile, mistake::Sink, read::At, region,
};

/// The versions this release was written for. What EKS offers on the day is
/// asked for (`DescribeClusterVersions`) before anything is made.
const OLDEST: KubernetesVersion = version(34);
const DEFAULT: KubernetesVersion = version(35);
const NEWEST: KubernetesVersion = version(36);

/// EKS's quota "public endpoint access CIDR ranges per cluster", which cannot
/// be raised (Amazon EKS user guide, "Service quotas").
const MOST_RANGES: usize = 40;

const fn version(minor: u16) -> KubernetesVersion {
    KubernetesVersion { major: 1, minor }
}

pub(super) fn validate(file: ClusterFile, context: &Context, sink: &mut Sink) -> Option<Cluster> {
    let defaults = context.tier.map(crate::Tier::defaults);
    let place = file.span().clone();
    let version = match file.version {
        Some(at) => kubernetes_version(&at, sink),
        None => Some(DEFAULT),
    };
    let public_access = match (file.public_access, &defaults) {
        (Some(at), _) => public_access(&at, sink),
        (None, Some(defaults)) => match defaults.public_access {
            Some(range) => range.parse().ok().map(|range| vec![range]),
            None => {
                let problem = "public_access is missing; live must say who reaches its endpoint";
                let fix = "add public_access = [\"203.0.113.0/24\"] under [cluster], or [] for nobody outside";
                sink.structure(&place, "cluster.public_access", problem, fix);
                None
            }
        },
        (None, None) => None,
    };
    let admins = match file.admins {
        Some(at) => admins(&at.value, context, sink),
        None => Some(Vec::new()),
    };
    let protection = file.deletion_protection.map(|at| at.value);
    Some(Cluster {
        version: version?,
        public_access: public_access?,
        admins: admins?,
        deletion_protection: protection.or(defaults.map(|d| d.deletion_protection))?,
    })
}

fn kubernetes_version(at: &At<String>, sink: &mut Sink) -> Option<KubernetesVersion> {
    const FIELD: &str = "cluster.version";
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let parts: Vec<&str> = at.value.split('.').collect();
    if let [major, minor] = parts.as_slice()
        && let (Some(major), Some(minor)) = (number(major), number(minor))
    {
        let version = KubernetesVersion { major, minor };
        if (OLDEST..=NEWEST).contains(&version) {
            return Some(version);
        }
        let problem = format!("supported are {OLDEST} to {NEWEST}");
        let close = if version < OLDEST { OLDEST } else { NEWEST };
        sink.add(&at.span, FIELD, problem, format!("take \"{close}\""));
        return None;
    }
    let fix = match parts.as_slice() {
        [major, minor, _] if number(major.trim_start_matches('v')).is_some() => {
            let major = major.trim_start_matches('v');
            format!("EKS chooses the patch; write \"{major}.{minor}\"")
        }
        _ => String::new(),
    };
    let problem = format!("expected two numbers, as \"{DEFAULT}\"");
    sink.add(&at.span, FIELD, problem, fix);
    None
}

fn public_access(at: &At<Vec<At<String>>>, sink: &mut Sink) -> Option<Vec<Ipv4Net>> {
    const FIELD: &str = "cluster.public_access";
    let mut fine = true;
    if at.value.len() > MOST_RANGES {
        let problem = format!("EKS takes at most {MOST_RANGES} ranges");
        sink.add(&at.span, FIELD, problem, "join neighbouring ones");
        fine = false;
    }
    let mut ranges: Vec<Ipv4Net> = Vec::new();
    for item in &at.value {
        let Some(range) = network::cidr(item, FIELD, sink) else {
            fine = false;
            continue;
        };
        if ranges.contains(&range) {
            sink.add(&item.span, FIELD, "named twice", "take one of them out");
            fine = false;
        } else if is_reserved(range) {
            let problem = "no address of the internet comes out of this range";
            let fix = "inside of the VPC the private endpoint is always reached";
            sink.add(&item.span, FIELD, problem, fix);
            fine = false;
        }
        ranges.push(range);
    }
    fine.then_some(ranges)
}

/// EKS refuses ranges that hold only reserved addresses (Amazon EKS user
/// guide, "Cluster API server endpoint").
fn is_reserved(range: Ipv4Net) -> bool {
    let [first, last] = [range.network(), range.broadcast()];
    let reserved = |address: std::net::Ipv4Addr| {
        address.is_private() || address.is_loopback() || address.is_link_local()
    };
    reserved(first) && reserved(last)
}

fn admins(items: &[At<String>], context: &Context, sink: &mut Sink) -> Option<Vec<Principal>> {
    const FIELD: &str = "cluster.admins";
    let partition = context
        .region
        .as_ref()
        .map(|facts| region::partition(&facts.name));
    let mut principals: Vec<Principal> = Vec::new();
    let mut fine = true;
    for item in items {
        let found = principal(&item.value, partition).and_then(|new| {
            let same = principals
                .iter()
                .find(|old| old.short_name == new.short_name);
            match same {
                Some(old) if old.arn == new.arn => {
                    Err(("named twice", "take one of them out".to_owned()))
                }
                Some(old) => Err((
                    "its access entry would be called as another one's",
                    format!("rename one of them: {} is there", old.arn),
                )),
                None => Ok(new),
            }
        });
        match found {
            Ok(new) => principals.push(new),
            Err((problem, fix)) => {
                sink.add(&item.span, FIELD, problem, fix);
                fine = false;
            }
        }
    }
    fine.then_some(principals)
}

/// Parses the ARN of a role or user. Access entries take nothing else: no
/// sessions, no groups, no account roots (Amazon EKS user guide, "Create
/// access entries").
fn principal(text: &str, partition: Option<&str>) -> Result<Principal, (&'static str, String)> {
    const EXPECTED: &str = "expected the ARN of an IAM role or user";
    let example = || "as arn:aws:iam::111122223333:role/admin".to_owned();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", found, service, "", account, resource] = parts.as_slice() else {
        return Err((EXPECTED, example()));
    };
    let twelve = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    if *service == "sts"
        && twelve
        && let Some(session) = resource.strip_prefix("assumed-role/")
    {
        let role = session.split('/').next().unwrap_or(session);
        let fix = format!("did you mean arn:{found}:iam::{account}:role/{role}?");
        return Err(("this is a session, not a role", fix));
    }
    let Some((kind @ ("role" | "user"), name)) = resource.split_once('/') else {
        return Err((EXPECTED, example()));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
    let named = name.split('/').all(|part| !part.is_empty()) && name.chars().all(allowed);
    if *service != "iam" || !twelve || !named {
        return Err((EXPECTED, example()));
    }
    if let Some(partition) = partition
        && partition != *found
    {
        let fix = format!("ARNs of this region start with arn:{partition}:");
        return Err(("an ARN of another partition", fix));
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    Ok(Principal {
        arn: text.to_owned(),
        short_name: format!("{kind}-{}", address_part(last)),
    })
}

/// The name with what an address cannot hold replaced.
fn address_part(name: &str) -> String {
    name.chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.' | '-') => c,
            _ => '-',
        })
        .collect()
}
