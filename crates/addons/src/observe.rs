//! Reads what is installed, and renders what would be.

use std::collections::BTreeMap;

use trunkline_engine::{Failure, Health, Observed, Observing, Seen};
use trunkline_helm_wrapper::{Capabilities, ChartSource, Installed, Release, Status, installed};
use trunkline_ids::Address;
use trunkline_objects::{Cluster, Connections, Inventory, Object, Reach, surplus};

use crate::{
    Charts,
    catalog::{Entry, catalog},
    platform,
    spec::AddonsSpec,
};

/// What is.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The platform's objects by address.
    pub(crate) objects: BTreeMap<Address, Observed<Object>>,
    /// Objects of this layer that are no longer wished.
    pub(crate) surplus: Result<Vec<Object>, String>,
    /// The releases by address.
    pub(crate) releases: BTreeMap<Address, ReleaseSeen>,
}

/// One release: what is installed, and what would be.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseSeen {
    pub(crate) installed: Observed<Installed>,
    pub(crate) wished: Result<Rendered, String>,
}

/// What a release would install.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) inputs: String,
    pub(crate) app_version: Option<String>,
    /// Empty when it is installed as wished already: then nobody asks.
    pub(crate) objects: Vec<String>,
}

pub(crate) async fn observe(
    spec: &AddonsSpec,
    charts: &Charts,
    connections: &Connections,
    inventory: &Inventory,
    cx: &Observing,
) -> Observation {
    let wished = platform::objects(spec);
    let reach = connections.reach(cx);
    let (objects, surplus, installed) = match &reach {
        Reach::Cluster(cluster) => futures::join!(
            objects(cluster, &wished),
            surplus_of(cluster, inventory, &wished),
            releases(cluster)
        ),
        Reach::Absent => (all(&wished, &Observed::Absent), Ok(vec![]), Ok(vec![])),
        Reach::Unknown(why) => (
            all(&wished, &Observed::Unknown(why.clone())),
            Err(why.clone()),
            Err(why.clone()),
        ),
    };
    let entries = catalog(spec);
    let releases = futures::future::join_all(
        entries
            .iter()
            .map(|entry| release(spec, charts, entry, &installed)),
    )
    .await;
    Observation {
        objects,
        surplus,
        releases: releases.into_iter().collect(),
    }
}

fn all(wished: &[Object], value: &Observed<Object>) -> BTreeMap<Address, Observed<Object>> {
    wished
        .iter()
        .filter_map(|object| Some((object.address()?, value.clone())))
        .collect()
}

async fn objects(cluster: &Cluster, wished: &[Object]) -> BTreeMap<Address, Observed<Object>> {
    let reads = wished.iter().filter_map(|object| {
        let address = object.address()?;
        Some(async move { (address, cluster.observe(object.reference()).await) })
    });
    futures::future::join_all(reads).await.into_iter().collect()
}

async fn surplus_of(
    cluster: &Cluster,
    inventory: &Inventory,
    wished: &[Object],
) -> Result<Vec<Object>, String> {
    let found = inventory
        .owned(cluster, [])
        .await
        .map_err(|failure| failure.to_string())?;
    Ok(surplus("addons", wished, &found)
        .into_iter()
        .cloned()
        .collect())
}

async fn releases(cluster: &Cluster) -> Result<Vec<Installed>, String> {
    installed(cluster)
        .await
        .map_err(|failure| failure.to_string())
}

async fn release(
    spec: &AddonsSpec,
    charts: &Charts,
    entry: &Entry,
    installed: &Result<Vec<Installed>, String>,
) -> (Address, ReleaseSeen) {
    let installed = match installed {
        Err(why) => Observed::Unknown(why.clone()),
        Ok(all) => all
            .iter()
            .find(|one| one.name == entry.release && one.namespace == entry.namespace)
            .filter(|one| one.status != Status::Uninstalled)
            .map_or(Observed::Absent, |one| Observed::one(one.clone())),
    };
    let wished = rendered(spec, charts, entry, &installed).await;
    let wished = wished.map_err(|failure| failure.to_string());
    (entry.address.clone(), ReleaseSeen { installed, wished })
}

/// Rendering takes no outputs, so it works before a cluster exists.
async fn rendered(
    spec: &AddonsSpec,
    charts: &Charts,
    entry: &Entry,
    installed: &Observed<Installed>,
) -> Result<Rendered, Failure> {
    let release = charts.release(entry).await?;
    let inputs = release.inputs();
    let settled = installed.value().is_some_and(|one| one.is_settled(&inputs));
    let objects = if settled {
        Vec::new()
    } else {
        let capabilities = Capabilities {
            kube_version: spec.kubernetes.clone(),
            api_versions: Vec::new(),
        };
        let objects = charts.helm.render(&release, &capabilities).await?;
        objects
            .iter()
            .map(|object| object.reference().to_string())
            .collect()
    };
    Ok(Rendered {
        inputs,
        app_version: release.chart.app_version,
        objects,
    })
}

impl Charts {
    /// The release of an entry, with its chart at hand.
    pub(crate) async fn release(&self, entry: &Entry) -> Result<Release, Failure> {
        let own = ChartSource::parse(&entry.repository);
        let source = self.source.as_ref().unwrap_or(&own);
        let chart = self
            .helm
            .chart(source, &entry.chart, &entry.version, &self.cache)
            .await?;
        Ok(Release {
            name: entry.release.clone(),
            namespace: entry.namespace.clone(),
            chart,
            values: entry.values.clone(),
        })
    }
}

pub(crate) fn seen(observation: &Observation) -> Seen {
    let mut seen = Seen::default();
    for (address, object) in &observation.objects {
        seen.presence.insert(address.clone(), object.presence());
    }
    for (address, release) in &observation.releases {
        seen.presence
            .insert(address.clone(), release.installed.presence());
        if let Some(installed) = release.installed.value() {
            let well = installed.status == Status::Deployed;
            let words = format!("{:?}, revision {}", installed.status, installed.revision);
            seen.health.push(Health {
                address: address.clone(),
                well,
                words: words.to_lowercase(),
            });
        }
    }
    seen
}
