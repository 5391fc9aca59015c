//! EBS volumes for claims, as Auto Mode's storage capability makes and deletes
//! them: a volume in EC2 once the scheduler has chosen a node, a
//! PersistentVolume for it, and its end according to the reclaim policy.
//! Growing a volume is left out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::ec2::NewVolume;
use super::node_class::gone_is_fine;
use super::plan::ZONE;
use super::resources;
use super::{Error, PROVISIONER, StandIn};

/// Keeps a PersistentVolume until its volume is deleted (external-provisioner).
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// The scheduler's choice for a claim that waits for its first pod.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

impl StandIn {
    /// Makes what claims ask for and deletes what nobody claims any more.
    pub(super) async fn volumes(&self) -> Result<(), Error> {
        let classes = self.stores.storage_classes.state();
        let nodes = self.stores.nodes.state();
        for claim in self.stores.claims.state() {
            let Some((class, node)) = wanted(&claim, &classes, &nodes) else {
                continue;
            };
            self.provision(&claim, class, node).await?;
        }
        for volume in self.stores.volumes.state() {
            self.reclaim(&volume).await?;
        }
        Ok(())
    }

    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        node: &Node,
    ) -> Result<(), Error> {
        let name = volume_name(claim);
        if self
            .stores
            .volumes
            .state()
            .iter()
            .any(|volume| volume.name_any() == name)
        {
            return Ok(());
        }
        let zone = node.labels().get(ZONE).cloned().unwrap_or_default();
        let volume = new_volume(&self.config.cluster, claim, class, &zone);
        // The name is looked up first, so that a stand-in that was stopped
        // between the two writes makes no second volume.
        let id = match self.ec2.volume_named(&name).await? {
            Some(id) => id,
            None => {
                let id = self.ec2.create_volume(&volume).await?;
                tracing::info!(
                    cluster = self.config.cluster,
                    volume = id,
                    zone,
                    claim = claim.name_any(),
                    "Auto Mode: makes a volume",
                );
                id
            }
        };
        let object = persistent_volume(claim, class, &zone, &id, volume.gibibytes);
        let object: PersistentVolume = serde_json::from_value(object)?;
        let api: Api<PersistentVolume> = Api::all(self.config.client.clone());
        gone_is_fine(api.create(&PostParams::default(), &object).await)
    }

    /// Deletes a released volume whose policy says so.
    async fn reclaim(&self, volume: &PersistentVolume) -> Result<(), Error> {
        let spec = volume.spec.clone().unwrap_or_default();
        let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
        let Some(csi) = spec.csi.filter(|csi| csi.driver == PROVISIONER) else {
            return Ok(());
        };
        let delete = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
        let going = volume.metadata.deletion_timestamp.is_some();
        let api: Api<PersistentVolume> = Api::all(self.config.client.clone());
        let free = matches!(phase, Some("Released" | "Failed"));
        if delete && free {
            self.ec2.delete_volume(&csi.volume_handle).await?;
            if !going {
                let done = api
                    .delete(&volume.name_any(), &DeleteParams::default())
                    .await;
                gone_is_fine(done)?;
            }
        }
        // Of a bound volume the protection finalizer takes care.
        let ours = volume.finalizers().iter().any(|f| f == FINALIZER);
        if going && ours && (free || !delete) {
            let others = volume.finalizers().iter().filter(|f| *f != FINALIZER);
            self.set_finalizers(&api, volume, others.cloned().collect())
                .await?;
        }
        Ok(())
    }
}

/// The class and node of a claim whose volume is to be made now.
fn wanted<'a>(
    claim: &PersistentVolumeClaim,
    classes: &'a [std::sync::Arc<StorageClass>],
    nodes: &'a [std::sync::Arc<Node>],
) -> Option<(&'a StorageClass, &'a Node)> {
    let spec = claim.spec.as_ref()?;
    if spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let class = classes
        .iter()
        .find(|c| Some(c.name_any()) == spec.storage_class_name)?;
    let node = claim.annotations().get(SELECTED_NODE)?;
    let node = nodes.iter().find(|n| n.name_any() == *node)?;
    (class.provisioner == PROVISIONER).then_some((class.as_ref(), node.as_ref()))
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

/// The volume in EC2. Tags: those of the EBS CSI driver (its docs/tagging.md)
/// and the one that Auto Mode's policies ask for, `eks:eks-cluster-name`
/// (AmazonEKSBlockStoragePolicy).
fn new_volume(
    cluster: &str,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    zone: &str,
) -> NewVolume {
    let name = volume_name(claim);
    let asked = claim
        .spec
        .as_ref()
        .and_then(|s| s.resources.as_ref()?.requests.as_ref());
    let bytes = asked
        .and_then(|r| resources::parse(&r.get("storage")?.0))
        .unwrap_or(0.0);
    let parameters = class.parameters.clone().unwrap_or_default();
    let mut tags: BTreeMap<String, String> = [
        ("eks:eks-cluster-name", cluster.to_owned()),
        ("KubernetesCluster", cluster.to_owned()),
        ("Name", format!("{cluster}-dynamic-{name}")),
        ("CSIVolumeName", name.clone()),
        ("ebs.csi.aws.com/cluster", "true".to_owned()),
        ("kubernetes.io/created-for/pvc/name", claim.name_any()),
        (
            "kubernetes.io/created-for/pvc/namespace",
            claim.namespace().unwrap_or_default(),
        ),
        ("kubernetes.io/created-for/pv/name", name),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    tags.insert(format!("kubernetes.io/cluster/{cluster}"), "owned".into());
    let own = parameters
        .iter()
        .filter(|(key, _)| key.starts_with("tagSpecification"));
    tags.extend(own.filter_map(|(_, tag)| {
        let (key, value) = tag.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    }));
    NewVolume {
        zone: zone.to_owned(),
        gibibytes: (bytes / f64::from(1 << 30)).ceil().max(1.0) as i64,
        parameters: ec2_parameters(&parameters),
        tags,
    }
}

/// The parameters of a StorageClass that CreateVolume has, by EC2's names.
fn ec2_parameters(parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut ec2 = BTreeMap::from([("VolumeType".to_owned(), "gp3".to_owned())]);
    for (key, value) in parameters {
        let name = match key.to_lowercase().as_str() {
            "type" => "VolumeType",
            "iops" => "Iops",
            "throughput" => "Throughput",
            "encrypted" => "Encrypted",
            "kmskeyid" => "KmsKeyId",
            _ => continue,
        };
        ec2.insert(name.to_owned(), value.clone());
    }
    ec2
}

fn persistent_volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    zone: &str,
    id: &str,
    gibibytes: i64,
) -> serde_json::Value {
    let parameters = class.parameters.clone().unwrap_or_default();
    let file_system = parameters.get("csi.storage.k8s.io/fstype");
    let policy = class.reclaim_policy.as_deref().unwrap_or("Delete");
    let finalizers: &[&str] = if policy == "Delete" {
        &[FINALIZER]
    } else {
        &[]
    };
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            "finalizers": finalizers,
        },
        "spec": {
            "capacity": {"storage": format!("{gibibytes}Gi")},
            "accessModes": claim.spec.as_ref().and_then(|s| s.access_modes.clone()),
            "volumeMode": claim.spec.as_ref().and_then(|s| s.volume_mode.clone()),
            "storageClassName": class.name_any(),
            "persistentVolumeReclaimPolicy": policy,
            "mountOptions": class.mount_options,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(),
                "name": claim.name_any(),
                "uid": claim.uid(),
            },
            "csi": {
                "driver": PROVISIONER,
                "volumeHandle": id,
                "fsType": file_system.map_or("ext4", String::as_str),
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{
                "matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}],
            }]}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "data-redis-0", "namespace": "redis", "uid": "u-1"},
            "spec": {"resources": {"requests": {"storage": "1500Mi"}}},
        }))
        .unwrap()
    }

    fn class() -> StorageClass {
        serde_json::from_value(json!({
            "metadata": {"name": "gp3"},
            "provisioner": PROVISIONER,
            "parameters": {
                "type": "gp3",
                "encrypted": "true",
                "tagSpecification_1": "trunkline:environment=sandbox",
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_volume_carries_the_drivers_tags_and_those_of_its_class() {
        let volume = new_volume("c", &claim(), &class(), "eu-central-1a");
        assert_eq!(volume.gibibytes, 2);
        assert_eq!(volume.parameters["Encrypted"], "true");
        for (key, value) in [
            ("eks:eks-cluster-name", "c"),
            ("CSIVolumeName", "pvc-u-1"),
            ("kubernetes.io/cluster/c", "owned"),
            ("kubernetes.io/created-for/pvc/name", "data-redis-0"),
            ("kubernetes.io/created-for/pvc/namespace", "redis"),
            ("trunkline:environment", "sandbox"),
        ] {
            assert_eq!(volume.tags[key], value, "{key}");
        }
    }

    #[test]
    fn only_a_volume_to_be_deleted_is_held() {
        let mut class = class();
        let of = |class: &StorageClass| -> PersistentVolume {
            serde_json::from_value(persistent_volume(&claim(), class, "a", "vol-1", 2)).unwrap()
        };
        assert_eq!(of(&class).finalizers(), [FINALIZER]);
        class.reclaim_policy = Some("Retain".into());
        assert_eq!(of(&class).finalizers(), <[&str; 0]>::default());
    }
}
