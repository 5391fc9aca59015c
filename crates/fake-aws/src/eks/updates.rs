//! UpdateClusterConfig and the updates it starts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{in_use, invalid_parameter, not_found};
use super::store::{Cluster, Status, Update, strings};
use super::{Ask, Emulator, clusters, now, paging, validate};
use crate::front::AwsError;

/// How long AWS takes for a change of configuration: inferred, some minutes.
const UPDATE_TIME: Duration = Duration::from_secs(300);

/// UpdateClusterConfig.
pub(super) fn config(emulator: &Arc<Emulator>, ask: &Ask) -> Result<Value, AwsError> {
    let name = ask.name(0).to_owned();
    let answer = emulator.with(ask, |cluster| {
        let token = &ask.body["clientRequestToken"];
        let same =
            |update: &&Update| !token.is_null() && update.request["clientRequestToken"] == *token;
        if let Some(update) = cluster.updates.iter().find(same) {
            return match update.request == ask.body {
                true => Ok((update.id.clone(), json!({ "update": update.view() }))),
                false => Err(invalid_parameter(
                    "The clientRequestToken was used before with other parameters.",
                )),
            };
        }
        if cluster.status != Status::Active {
            return Err(in_use(format!(
                "Cannot UpdateClusterConfig because cluster {name} is in status {}",
                cluster.status.name()
            )));
        }
        let (kind, params) = change(cluster, &ask.body)?;
        let update = Update {
            id: super::uuid(),
            kind,
            params,
            created: now(),
            done: false,
            request: ask.body.clone(),
        };
        let answer = (update.id.clone(), json!({ "update": update.view() }));
        cluster.status = Status::Updating;
        cluster.updates.push(update);
        Ok(answer)
    })?;
    let (id, view) = answer;
    tokio::spawn(finish(emulator.clone(), name, id));
    Ok(view)
}

async fn finish(emulator: Arc<Emulator>, name: String, id: String) {
    tokio::time::sleep(emulator.pace(UPDATE_TIME)).await;
    let mut clusters = emulator.lock();
    let Some(cluster) = clusters.get_mut(&name) else {
        return;
    };
    let Some(update) = cluster
        .updates
        .iter_mut()
        .find(|it| it.id == id && !it.done)
    else {
        return;
    };
    update.done = true;
    if cluster.status == Status::Updating {
        cluster.status = Status::Active;
    }
}

/// Applies the one kind of change that a request may hold.
fn change(cluster: &mut Cluster, body: &Value) -> Result<(&'static str, Vec<Value>), AwsError> {
    let auto_mode = ["computeConfig", "kubernetesNetworkConfig", "storageConfig"]
        .map(|key| !body[key].is_null());
    let singles = [
        "resourcesVpcConfig",
        "logging",
        "accessConfig",
        "upgradePolicy",
        "zonalShiftConfig",
        "deletionProtection",
    ];
    let mut given: Vec<&str> = singles
        .into_iter()
        .filter(|key| !body[*key].is_null())
        .collect();
    if auto_mode.contains(&true) {
        given.push("computeConfig");
    }
    match given[..] {
        [] => Err(invalid_parameter("No update was specified")),
        ["resourcesVpcConfig"] => vpc(cluster, &body["resourcesVpcConfig"]),
        ["logging"] => replace(
            cluster,
            "logging",
            logging(&body["logging"]),
            "LoggingUpdate",
        ),
        ["accessConfig"] => access(cluster, &body["accessConfig"]),
        ["upgradePolicy"] => replace(
            cluster,
            "upgradePolicy",
            body["upgradePolicy"].clone(),
            "UpgradePolicyUpdate",
        ),
        ["zonalShiftConfig"] => {
            let wanted = body["zonalShiftConfig"].clone();
            replace(
                cluster,
                "zonalShiftConfig",
                wanted,
                "ZonalShiftConfigUpdate",
            )
        }
        ["deletionProtection"] => {
            let wanted = body["deletionProtection"].clone();
            replace(
                cluster,
                "deletionProtection",
                wanted,
                "DeletionProtectionUpdate",
            )
        }
        ["computeConfig"] => compute(cluster, body),
        _ => Err(invalid_parameter("Only one type of update can be allowed.")),
    }
}

fn replace(
    cluster: &mut Cluster,
    key: &str,
    wanted: Value,
    kind: &'static str,
) -> Result<(&'static str, Vec<Value>), AwsError> {
    if cluster.fields.get(key) == Some(&wanted) {
        return Err(invalid_parameter(format!(
            "No changes needed for the {key} config provided"
        )));
    }
    let mut name = key[..1].to_uppercase();
    name.push_str(&key[1..]);
    let params = vec![
        json!({"type": if key == "logging" { "ClusterLogging" } else { &name }, "value": text(&wanted)}),
    ];
    cluster.fields.insert(key.to_owned(), wanted);
    Ok((kind, params))
}

fn vpc(cluster: &mut Cluster, wanted: &Value) -> Result<(&'static str, Vec<Value>), AwsError> {
    let is = cluster.fields["resourcesVpcConfig"].clone();
    let next = clusters::merged(is.clone(), wanted);
    validate::endpoint(&next)?;
    if next == is {
        return Err(invalid_parameter(format!(
            "Cluster is already at the desired configuration with endpointPrivateAccess: {} , \
             endpointPublicAccess: {}, and Public Endpoint Restrictions: {}",
            next["endpointPrivateAccess"],
            next["endpointPublicAccess"],
            strings(&next["publicAccessCidrs"]).join(", "),
        )));
    }
    let moved = ["subnetIds", "securityGroupIds"]
        .iter()
        .any(|key| next[*key] != is[*key]);
    let params = [
        ("EndpointPublicAccess", "endpointPublicAccess"),
        ("EndpointPrivateAccess", "endpointPrivateAccess"),
        ("PublicAccessCidrs", "publicAccessCidrs"),
        ("Subnets", "subnetIds"),
        ("SecurityGroups", "securityGroupIds"),
    ];
    let params = params
        .iter()
        .filter(|(_, key)| !wanted[*key].is_null())
        .map(|(kind, key)| json!({"type": kind, "value": text(&next[*key])}))
        .collect();
    cluster.fields.insert("resourcesVpcConfig".into(), next);
    Ok((
        if moved {
            "VpcConfigUpdate"
        } else {
            "EndpointAccessUpdate"
        },
        params,
    ))
}

/// Authentication modes only go from the ConfigMap to the API
/// (EKS User Guide, "Change authentication mode to use access entries").
fn access(cluster: &mut Cluster, wanted: &Value) -> Result<(&'static str, Vec<Value>), AwsError> {
    let rank = |mode: &Value| {
        ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]
            .iter()
            .position(|known| mode == known)
    };
    let config = &mut cluster.fields["accessConfig"];
    let (is, next) = (
        rank(&config["authenticationMode"]),
        rank(&wanted["authenticationMode"]),
    );
    if next.is_none() || next <= is {
        return Err(invalid_parameter(format!(
            "Unsupported authentication mode update from {} to {}",
            text(&config["authenticationMode"]),
            text(&wanted["authenticationMode"]),
        )));
    }
    config["authenticationMode"] = wanted["authenticationMode"].clone();
    let value = text(&wanted["authenticationMode"]);
    Ok((
        "AccessConfigUpdate",
        vec![json!({"type": "AuthenticationMode", "value": value})],
    ))
}

fn compute(cluster: &mut Cluster, body: &Value) -> Result<(&'static str, Vec<Value>), AwsError> {
    let mut next = Value::Object(cluster.fields.clone());
    for key in ["computeConfig", "kubernetesNetworkConfig", "storageConfig"] {
        next[key] = clusters::merged(next[key].clone(), &body[key]);
    }
    // Auto Mode that is switched on later runs beside the self-managed add-ons.
    next["bootstrapSelfManagedAddons"] = json!(false);
    validate::auto_mode(&next)?;
    let mut params = Vec::new();
    for (kind, key) in [
        ("ComputeConfig", "computeConfig"),
        ("KubernetesNetworkConfig", "kubernetesNetworkConfig"),
        ("StorageConfig", "storageConfig"),
    ] {
        if !body[key].is_null() {
            params.push(json!({"type": kind, "value": text(&next[key])}));
        }
        cluster.fields.insert(key.into(), next[key].take());
    }
    Ok(("AutoModeUpdate", params))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Log types as AWS gives them back: those switched on, then all others.
pub(super) fn logging(wanted: &Value) -> Value {
    const ALL: [&str; 5] = [
        "api",
        "audit",
        "authenticator",
        "controllerManager",
        "scheduler",
    ];
    let setups = wanted["clusterLogging"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let enabled: Vec<String> = setups
        .iter()
        .filter(|setup| setup["enabled"] == true)
        .flat_map(|setup| strings(&setup["types"]))
        .collect();
    let (on, off): (Vec<&str>, Vec<&str>) = ALL
        .iter()
        .partition(|kind| enabled.iter().any(|it| it == *kind));
    let setups = [(on, true), (off, false)]
        .into_iter()
        .filter(|(types, _)| !types.is_empty());
    let setups: Vec<Value> = setups
        .map(|(types, enabled)| json!({"types": types, "enabled": enabled}))
        .collect();
    json!({ "clusterLogging": setups })
}

/// DescribeUpdate.
pub(super) fn describe(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    emulator.with(ask, |cluster| {
        let update = cluster
            .updates
            .iter()
            .find(|update| update.id == ask.name(1));
        let update = update.ok_or_else(|| {
            not_found(format!(
                "No update found for cluster {} with ID {}",
                ask.name(0),
                ask.name(1)
            ))
        })?;
        Ok(json!({ "update": update.view() }))
    })
}

/// ListUpdates.
pub(super) fn list(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let ids = emulator.with(ask, |cluster| {
        Ok(cluster
            .updates
            .iter()
            .map(|it| (it.id.clone(), json!(it.id)))
            .collect())
    })?;
    paging::page("updateIds", ids, &ask.query)
}
