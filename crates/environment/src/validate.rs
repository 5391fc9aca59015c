//! From the file as written to the environment that is wished: every rule is
//! tried, every mistake is collected.

mod cluster;
mod network;
mod workloads;

use trunkline_ids::{AccountId, Region};

use crate::{
    Environment, EnvironmentName, Tier,
    file::EnvironmentFile,
    mistake::{Mistakes, Sink},
    names,
    read::At,
    region,
};

/// Parses and validates; see [`Environment::parse`].
pub(crate) fn parse(label: &str, text: &str) -> Result<Environment, Mistakes> {
    let mut sink = Sink::default();
    let file = EnvironmentFile::read(text, &mut sink);
    let environment = environment(file, stem(label), &mut sink);
    match environment {
        Some(environment) if sink.is_empty() => Ok(environment),
        _ => Err(sink.into_mistakes(label, text)),
    }
}

/// The file's name without folders and `.toml`.
fn stem(label: &str) -> &str {
    let name = label.rsplit(['/', '\\']).next().unwrap_or(label);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// What the rules of other fields look at.
struct Context {
    tier: Option<Tier>,
    region: Option<RegionFacts>,
}

struct RegionFacts {
    name: String,
    zone_prefix: String,
}

fn environment(file: EnvironmentFile, stem: &str, sink: &mut Sink) -> Option<Environment> {
    let region = file.region.as_ref().and_then(|at| region_facts(at, sink));
    let context = Context {
        tier: file.tier.as_ref().map(|at| at.value),
        region,
    };
    let name = file
        .environment
        .and_then(|at| name(at, stem, &context, sink));
    let account = file.account.and_then(|at| account(at, sink));
    let network = file
        .network
        .and_then(|network| network::validate(network, &context, sink));
    let cluster = cluster::validate(file.cluster, &context, sink);
    let argo_cd = workloads::argo_cd(file.argo_cd, sink);
    let workloads = file.workloads.and_then(|workloads| {
        workloads::validate(workloads, name.as_ref().map(EnvironmentName::as_str), sink)
    });
    let redis = workloads::redis(&file.redis, &context, sink);
    Some(Environment {
        name: name?,
        tier: context.tier?,
        account: account?,
        region: Region::new(context.region?.name),
        network: network?,
        cluster: cluster?,
        argo_cd: argo_cd?,
        workloads: workloads?,
        redis: redis?,
    })
}

fn region_facts(at: &At<String>, sink: &mut Sink) -> Option<RegionFacts> {
    let name = at.value.clone();
    if let Some(zone_prefix) = region::zone_prefix(&name) {
        return Some(RegionFacts { name, zone_prefix });
    }
    // "eu-central-1a" is a zone, and the region stands in front of its letter.
    let fix = region::closest_region(name.trim_end_matches(|c: char| c.is_ascii_lowercase()))
        .or_else(|| region::closest_region(&name))
        .map(|close| format!("did you mean \"{close}\"?"))
        .unwrap_or_default();
    let problem = "expected the code of a region, as \"eu-central-1\"";
    sink.add(&at.span, "region", problem, fix);
    None
}

fn name(at: At<String>, stem: &str, context: &Context, sink: &mut Sink) -> Option<EnvironmentName> {
    let name = at.value.as_str();
    let longest = context
        .region
        .as_ref()
        .map_or(20, |region| names::longest_name(&region.name));
    let lower = name.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    if !is_name(name) {
        let problem = "expected lowercase letters, digits and hyphens, a letter first";
        let fix = if is_name(&lower) {
            format!("did you mean \"{lower}\"?")
        } else {
            "as \"sandbox\"".to_owned()
        };
        sink.add(&at.span, "environment", problem, fix);
        return None;
    }
    if name.len() > longest {
        let problem = format!("at most {longest} characters, this has {}", name.len());
        let fix = if longest < 20 {
            "with a longer one the names of buckets in this region exceed S3's 63"
        } else {
            "names of roles and buckets are made of it"
        };
        sink.add(&at.span, "environment", problem, fix);
        return None;
    }
    if name != stem {
        let problem = format!("the file is called {stem}.toml");
        let fix = if is_name(stem) {
            format!("write \"{stem}\" or rename the file to {name}.toml")
        } else {
            format!("rename the file to {name}.toml")
        };
        sink.add(&at.span, "environment", problem, fix);
        return None;
    }
    Some(EnvironmentName(at.value))
}

/// The form of a name: it becomes part of bucket names, whose rules are the
/// strictest.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(allowed)
        && !text.ends_with('-')
}

fn account(at: At<String>, sink: &mut Sink) -> Option<AccountId> {
    let digits: String = at.value.chars().filter(char::is_ascii_digit).collect();
    if at.value.len() == 12 && digits.len() == 12 {
        return Some(AccountId::new(at.value));
    }
    let only_decorated = at
        .value
        .chars()
        .all(|c| c.is_ascii_digit() || "- ".contains(c));
    let fix = if digits.len() == 12 && only_decorated {
        format!("did you mean \"{digits}\"?")
    } else {
        String::new()
    };
    let problem = if only_decorated {
        format!(
            "expected the 12 digits of an account, found {}",
            digits.len()
        )
    } else {
        "expected the 12 digits of an account".to_owned()
    };
    sink.add(&at.span, "account", problem, fix);
    None
}
