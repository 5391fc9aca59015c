//! The rules of `[argo_cd]`, `[workloads]` and `[redis]`.

use super::Context;
use crate::{
    ArgoCd, Redis, RepositoryUrl, Workloads,
    file::{ArgoCdFile, RedisFile, WorkloadsFile},
    mistake::Sink,
    repository::{check_folder, check_revision},
    tier,
};

/// The major version of the chart that our values are written for: another
/// one changes keys and object names.
const CHART_MAJOR: u64 = 10;

/// What a gp3 volume holds at most by EBS's long-standing limit (Amazon EBS
/// user guide, "General Purpose SSD volumes").
const LARGEST_GIB: u32 = 16_384;

pub(super) fn argo_cd(file: ArgoCdFile, sink: &mut Sink) -> Option<ArgoCd> {
    const FIELD: &str = "argo_cd.version";
    let Some(at) = file.version else {
        return Some(ArgoCd {
            version: tier::ARGO_CD_CHART.to_owned(),
        });
    };
    let numbers: Vec<Option<u64>> = at
        .value
        .split('.')
        .map(|part| {
            let digits = part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect();
    let [Some(major), Some(_), Some(_)] = numbers.as_slice() else {
        let problem = "expected the version of a chart";
        let fix = format!("as \"{}\"", tier::ARGO_CD_CHART);
        sink.add(&at.span, FIELD, problem, fix);
        return None;
    };
    if *major != CHART_MAJOR {
        let problem = format!("the values are written for chart {CHART_MAJOR}");
        // Argo CD's own version is easily taken for its chart's.
        let fix = format!("take \"{}\"", tier::ARGO_CD_CHART);
        sink.add(&at.span, FIELD, problem, fix);
        return None;
    }
    Some(ArgoCd { version: at.value })
}

pub(super) fn validate(
    file: WorkloadsFile,
    environment: Option<&str>,
    sink: &mut Sink,
) -> Option<Workloads> {
    let repository = file.repository.and_then(|at| {
        let parsed = RepositoryUrl::parse(&at.value).map_err(|error| (error.problem, error.fix));
        let reachable = parsed.and_then(|url| match url.is_local() {
            true => Err((
                "only this machine can read it",
                "take the URL that Argo CD can read".to_owned(),
            )),
            false => Ok(url),
        });
        reachable
            .map_err(|(problem, fix)| sink.add(&at.span, "workloads.repository", problem, fix))
            .ok()
    });
    let path = match file.path {
        Some(at) => check_folder(&at.value)
            .map_err(|problem| {
                sink.add(&at.span, "workloads.path", problem, "as \"gitops/sandbox\"")
            })
            .ok()
            .map(|()| at.value.trim_end_matches('/').to_owned()),
        None => environment.map(|name| format!("gitops/{name}")),
    };
    let revision = match file.revision {
        Some(at) => check_revision(&at.value)
            .map_err(|problem| sink.add(&at.span, "workloads.revision", problem, "as \"main\""))
            .ok()
            .map(|()| at.value),
        None => Some("main".to_owned()),
    };
    Some(Workloads {
        repository: repository?,
        path: path?,
        revision: revision?,
    })
}

pub(super) fn redis(file: &RedisFile, context: &Context, sink: &mut Sink) -> Option<Redis> {
    let Some(at) = &file.storage_gib else {
        let defaults = context.tier?.defaults();
        return Some(Redis {
            storage_gib: defaults.redis_storage_gib,
        });
    };
    if !(1..=LARGEST_GIB).contains(&at.value) {
        let problem = format!("expected 1 to {LARGEST_GIB} GiB");
        sink.add(&at.span, "redis.storage_gib", problem, "as 8");
        return None;
    }
    Some(Redis {
        storage_gib: at.value,
    })
}
