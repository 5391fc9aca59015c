//! Clusters: create, describe, list, delete, tags; and their way from
//! CREATING to ACTIVE and from DELETING to gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::control_plane::ControlPlane;
use super::error::{in_use, invalid_parameter, invalid_request};
use super::network::{Made, Subnet};
use super::store::{Cluster, Status};
use super::{Ask, Emulator, access, iam, now, paging, validate, versions};
use crate::front::{AwsError, Scope};

/// How long AWS takes for a control plane (facts: 8 to 16 minutes, about 10).
const CREATE_TIME: Duration = Duration::from_secs(600);
/// How long AWS takes to delete one: inferred, nobody publishes it.
const DELETE_TIME: Duration = Duration::from_secs(180);

/// CreateCluster.
pub(super) async fn create(emulator: &Arc<Emulator>, ask: &Ask) -> Result<Value, AwsError> {
    let request = &ask.body;
    if let Some(answer) = repeated(emulator, request)? {
        return Ok(answer);
    }
    validate::request(request)?;
    let ec2 = emulator.ec2(&ask.scope);
    let config = &request["resourcesVpcConfig"];
    let subnets = ec2.subnets(config).await?;
    validate::subnets(config, &subnets)?;
    let role = request["roleArn"].as_str().unwrap_or_default();
    iam::require_role(&emulator.iam(&ask.scope), role, "eks.amazonaws.com").await?;
    let mut cluster = fresh(emulator, ask, &subnets);
    admit_creator(emulator, ask, &mut cluster).await?;
    let (name, view) = (name_of(request), json!({ "cluster": cluster.view() }));
    {
        let mut clusters = emulator.lock();
        if clusters.contains_key(&name) {
            return Err(in_use(format!("Cluster already exists with name: {name}")));
        }
        clusters.insert(name.clone(), cluster);
    }
    let version = view["cluster"]["version"].as_str().unwrap_or_default();
    let wanted = ControlPlane {
        token_webhook: emulator.token_webhook(&name),
        cluster: name,
        version: version.to_owned(),
        account: emulator.account.clone(),
        region: ask.scope.region.clone(),
    };
    tokio::spawn(bring_up(
        emulator.clone(),
        wanted,
        ask.scope.clone(),
        subnets,
    ));
    Ok(view)
}

fn name_of(request: &Value) -> String {
    request["name"].as_str().unwrap_or_default().to_owned()
}

/// What a second request of that name gets, before anything is looked at.
fn repeated(emulator: &Emulator, request: &Value) -> Result<Option<Value>, AwsError> {
    let name = name_of(request);
    let clusters = emulator.lock();
    let Some(cluster) = clusters.get(&name) else {
        return Ok(None);
    };
    let token = &request["clientRequestToken"];
    if token.is_null() || *token != cluster.request["clientRequestToken"] {
        return Err(in_use(format!("Cluster already exists with name: {name}")));
    }
    if *request != cluster.request {
        return Err(invalid_parameter(
            "The clientRequestToken was used before with other parameters.",
        ));
    }
    Ok(Some(json!({ "cluster": cluster.view() })))
}

fn fresh(emulator: &Emulator, ask: &Ask, subnets: &[Subnet]) -> Cluster {
    let (request, region) = (&ask.body, &ask.scope.region);
    let name = name_of(request);
    let mut fields: Map<String, Value> = Map::new();
    // What AWS gives back as it was given.
    for key in [
        "name",
        "roleArn",
        "clientRequestToken",
        "computeConfig",
        "storageConfig",
        "encryptionConfig",
        "zonalShiftConfig",
        "remoteNetworkConfig",
    ] {
        if let Some(value) = request.get(key) {
            fields.insert(key.into(), value.clone());
        }
    }
    let issuer = super::hex32();
    let defaults = json!({
        "arn": format!("arn:aws:eks:{region}:{}:cluster/{name}", emulator.account),
        "createdAt": now(),
        "version": request["version"].as_str().unwrap_or(versions::DEFAULT),
        "platformVersion": "eks.1",
        "tags": or(&request["tags"], json!({})),
        "deletionProtection": or(&request["deletionProtection"], json!(false)),
        "upgradePolicy": or(&request["upgradePolicy"], json!({"supportType": "EXTENDED"})),
        "identity": {"oidc": {"issuer": format!("https://oidc.eks.{region}.amazonaws.com/id/{issuer}")}},
        "logging": super::updates::logging(&request["logging"]),
        "accessConfig": merged(
            json!({
                "authenticationMode": "CONFIG_MAP",
                "bootstrapClusterCreatorAdminPermissions": true,
            }),
            &request["accessConfig"],
        ),
        "kubernetesNetworkConfig": merged(
            json!({"serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4"}),
            &request["kubernetesNetworkConfig"],
        ),
        "resourcesVpcConfig": merged(
            json!({
                "vpcId": subnets.first().map(|subnet| subnet.vpc.as_str()),
                "securityGroupIds": [],
                "endpointPublicAccess": true,
                "endpointPrivateAccess": false,
                "publicAccessCidrs": ["0.0.0.0/0"],
            }),
            &request["resourcesVpcConfig"],
        ),
    });
    if let Value::Object(defaults) = defaults {
        fields.extend(defaults);
    }
    Cluster {
        region: region.clone(),
        status: Status::Creating,
        request: request.clone(),
        fields,
        endpoint: None,
        failure: None,
        network: Made::default(),
        entries: BTreeMap::new(),
        updates: Vec::new(),
    }
}

fn or(value: &Value, default: Value) -> Value {
    if value.is_null() {
        default
    } else {
        value.clone()
    }
}

/// `over` laid on `base`, field by field; nulls and empty lists of CIDRs do not count.
pub(super) fn merged(mut base: Value, over: &Value) -> Value {
    for (key, value) in over.as_object().into_iter().flatten() {
        let nothing = value.is_null() || (key == "publicAccessCidrs" && *value == json!([]));
        if !nothing {
            base[key] = value.clone();
        }
    }
    base
}

/// The access entries that EKS makes itself: the creator's, unless declined,
/// and that of the built-in node pools' role.
async fn admit_creator(
    emulator: &Arc<Emulator>,
    ask: &Ask,
    cluster: &mut Cluster,
) -> Result<(), AwsError> {
    let config = &cluster.fields["accessConfig"];
    let entries = config["authenticationMode"] != "CONFIG_MAP";
    if entries && config["bootstrapClusterCreatorAdminPermissions"] == true {
        let identity = iam::identity(&emulator.sts(&ask.scope)).await?;
        let principal = iam::principal(&emulator.iam(&ask.scope), &identity).await;
        let entry = access::bootstrap(
            emulator,
            ask,
            cluster,
            &principal,
            "STANDARD",
            "AmazonEKSClusterAdminPolicy",
        );
        cluster.entries.insert(principal, entry);
    }
    let role = cluster
        .fields
        .get("computeConfig")
        .and_then(|it| it["nodeRoleArn"].as_str());
    if let Some(role) = role.filter(|_| entries).map(str::to_owned) {
        iam::require_role(&emulator.iam(&ask.scope), &role, "ec2.amazonaws.com").await?;
        let entry = access::bootstrap(
            emulator,
            ask,
            cluster,
            &role,
            "EC2",
            "AmazonEKSAutoNodePolicy",
        );
        cluster.entries.insert(role, entry);
    }
    Ok(())
}

/// CREATING → ACTIVE, or FAILED with the reason.
async fn bring_up(
    emulator: Arc<Emulator>,
    wanted: ControlPlane,
    scope: Scope,
    subnets: Vec<Subnet>,
) {
    let ready = tokio::time::Instant::now() + emulator.pace(CREATE_TIME);
    let ec2 = emulator.ec2(&scope);
    let furnish = async {
        let made = ec2.furnish(&wanted.cluster, &subnets).await;
        if let (Ok(made), Some(cluster)) = (&made, emulator.lock().get_mut(&wanted.cluster)) {
            cluster.network = made.clone();
        }
        made
    };
    let (made, endpoint) = tokio::join!(furnish, emulator.control_planes.start(&wanted));
    tokio::time::sleep_until(ready).await;
    let mut clusters = emulator.lock();
    let Some(cluster) = clusters.get_mut(&wanted.cluster) else {
        return;
    };
    let outcome = made
        .map_err(|error| format!("{}: {}", error.code, error.message))
        .and(endpoint);
    match outcome {
        Ok(endpoint) => {
            cluster.endpoint = Some(endpoint);
            cluster.status = Status::Active;
        }
        Err(why) => {
            tracing::error!(
                cluster = wanted.cluster,
                "the control plane did not come up: {why}"
            );
            cluster.failure = Some(why);
            cluster.status = Status::Failed;
        }
    }
}

/// DescribeCluster.
pub(super) fn describe(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    emulator.with(ask, |cluster| Ok(json!({ "cluster": cluster.view() })))
}

/// ListClusters.
pub(super) fn list(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let names = emulator
        .lock()
        .iter()
        .filter(|(_, cluster)| cluster.region == ask.scope.region)
        .map(|(name, _)| (name.clone(), json!(name)))
        .collect();
    paging::page("clusters", names, &ask.query)
}

/// DeleteCluster.
pub(super) fn delete(emulator: &Arc<Emulator>, ask: &Ask) -> Result<Value, AwsError> {
    let name = ask.name(0);
    let (view, made) = emulator.with(ask, |cluster| {
        match cluster.status {
            Status::Creating => {
                return Err(in_use(format!(
                    "Cannot delete because cluster {name} is currently being created"
                )));
            }
            // aws/containers-roadmap #1511
            Status::Updating => {
                return Err(in_use(format!(
                    "Cannot delete because cluster {name} currently has an update in progress"
                )));
            }
            Status::Deleting => {
                return Err(in_use(format!("Cluster {name} is already being deleted")));
            }
            Status::Active | Status::Failed => {}
        }
        if cluster.fields["deletionProtection"] == true {
            return Err(invalid_request(format!(
                "Cluster {name} has deletion protection enabled. Disable it before deleting."
            )));
        }
        cluster.status = Status::Deleting;
        Ok((
            json!({ "cluster": cluster.view() }),
            cluster.network.clone(),
        ))
    })?;
    tokio::spawn(take_down(
        emulator.clone(),
        name.to_owned(),
        ask.scope.clone(),
        made,
    ));
    Ok(view)
}

/// DELETING → gone.
async fn take_down(emulator: Arc<Emulator>, name: String, scope: Scope, made: Made) {
    let gone = tokio::time::Instant::now() + emulator.pace(DELETE_TIME);
    if let Err(why) = emulator.control_planes.stop(&name).await {
        tracing::error!(cluster = name, "the control plane did not stop: {why}");
    }
    emulator.ec2(&scope).clear(&made).await;
    tokio::time::sleep_until(gone).await;
    emulator.lock().remove(&name);
}

/// TagResource, UntagResource, ListTagsForResource on clusters and access entries.
pub(super) fn tags(emulator: &Emulator, ask: &Ask, operation: &str) -> Result<Value, AwsError> {
    let arn = ask.name(0);
    let mut clusters = emulator.lock();
    let tags = clusters.values_mut().find_map(|cluster| {
        if cluster.arn() == arn {
            return cluster.fields.get_mut("tags");
        }
        let mut entries = cluster.entries.values_mut();
        entries
            .find(|entry| entry.arn == arn)
            .map(|entry| &mut entry.tags)
    });
    let Some(tags) = tags.and_then(Value::as_object_mut) else {
        return Err(AwsError::new(
            404,
            "NotFoundException",
            format!("{arn} is not found"),
        ));
    };
    match operation {
        "TagResource" => {
            let Some(given) = ask.body["tags"].as_object() else {
                return Err(AwsError::new(
                    400,
                    "BadRequestException",
                    "tags is required",
                ));
            };
            tags.extend(given.clone());
        }
        "UntagResource" => {
            let keys = ask.query.0.iter().filter(|(name, _)| name == "tagKeys");
            keys.for_each(|(_, key)| drop(tags.shift_remove(key)));
        }
        _ => return Ok(json!({ "tags": tags })),
    }
    Ok(json!({}))
}
